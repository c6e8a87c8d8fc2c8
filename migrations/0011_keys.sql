-- End-to-end encryption: what devices and users publish of their keys, and the backup of room keys. What belongs to a device goes with it.

-- Identity keys as they were uploaded, without `unsigned`, as canonical JSON.
CREATE TABLE device_keys (
    device_nid bigint PRIMARY KEY REFERENCES devices ON DELETE CASCADE,
    user_nid bigint NOT NULL,
    json text NOT NULL
);
CREATE INDEX device_keys_by_user ON device_keys (user_nid);

-- A claim deletes the oldest one.
CREATE TABLE one_time_keys (
    device_nid bigint NOT NULL REFERENCES devices ON DELETE CASCADE,
    algorithm text NOT NULL,
    key_id text NOT NULL,
    age bigint GENERATED ALWAYS AS IDENTITY,
    json text NOT NULL,
    PRIMARY KEY (device_nid, algorithm, key_id)
);
CREATE INDEX one_time_keys_by_age ON one_time_keys (device_nid, algorithm, age);

CREATE TABLE fallback_keys (
    device_nid bigint NOT NULL REFERENCES devices ON DELETE CASCADE,
    algorithm text NOT NULL,
    key_id text NOT NULL,
    json text NOT NULL,
    used boolean NOT NULL,
    PRIMARY KEY (device_nid, algorithm)
);

-- usage: 0 master, 1 self_signing, 2 user_signing. public_key is the key's unpadded base64, by which others refer to it.
CREATE TABLE cross_signing_keys (
    user_nid bigint NOT NULL REFERENCES accounts,
    usage smallint NOT NULL CHECK (usage BETWEEN 0 AND 2),
    public_key text NOT NULL,
    json text NOT NULL,
    PRIMARY KEY (user_nid, usage)
);

-- Signatures beside those that a key was uploaded with. target: a device ID or a public key of that user.
CREATE TABLE key_signatures (
    user_nid bigint NOT NULL,
    target text NOT NULL,
    signer_nid bigint NOT NULL,
    signer_key text NOT NULL,
    signature text NOT NULL,
    device_nid bigint REFERENCES devices ON DELETE CASCADE,
    PRIMARY KEY (user_nid, target, signer_nid, signer_key)
);
CREATE INDEX key_signatures_by_device ON key_signatures (device_nid) WHERE device_nid IS NOT NULL;

-- Versions count up and are never used again, so a deleted one keeps its row. etag: how often the keys have changed.
CREATE TABLE key_backups (
    user_nid bigint NOT NULL REFERENCES accounts,
    version bigint NOT NULL,
    algorithm text NOT NULL,
    auth_data text NOT NULL,
    key_count bigint NOT NULL DEFAULT 0,
    etag bigint NOT NULL DEFAULT 0,
    deleted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (user_nid, version)
);

CREATE TABLE backup_keys (
    user_nid bigint NOT NULL,
    version bigint NOT NULL,
    room_id text NOT NULL,
    session_id text NOT NULL,
    first_message_index bigint NOT NULL,
    forwarded_count bigint NOT NULL,
    is_verified boolean NOT NULL,
    session_data text NOT NULL,
    PRIMARY KEY (user_nid, version, room_id, session_id),
    FOREIGN KEY (user_nid, version) REFERENCES key_backups
);

-- Who changed their devices or keys since some position.
CREATE INDEX journal_device_lists ON journal (pos) WHERE kind = 6;
