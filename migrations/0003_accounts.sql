-- Accounts of our own, their devices and tokens. Tokens are stored hashed (BLAKE2b-256).

CREATE TABLE accounts (
    user_nid bigint PRIMARY KEY REFERENCES users,
    password_hash text,
    created_ts bigint NOT NULL,
    admin boolean NOT NULL DEFAULT false,
    guest boolean NOT NULL DEFAULT false,
    deactivated boolean NOT NULL DEFAULT false,
    erased boolean NOT NULL DEFAULT false,
    locked boolean NOT NULL DEFAULT false,
    suspended boolean NOT NULL DEFAULT false,
    user_type text
);

-- value is the JSON text of the field.
CREATE TABLE profiles (
    user_nid bigint NOT NULL REFERENCES users,
    field text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (user_nid, field)
);

-- What belongs to a device refers to it and goes with it.
CREATE TABLE devices (
    device_nid bigint PRIMARY KEY,
    user_nid bigint NOT NULL REFERENCES accounts,
    device_id text NOT NULL,
    display_name text,
    created_ts bigint NOT NULL,
    last_seen_ts bigint,
    last_seen_ip text,
    user_agent text,
    UNIQUE (user_nid, device_id)
);

-- validated_ts: when the user last proved in this session who they are (login, user-interactive authentication).
CREATE TABLE access_tokens (
    token_nid bigint PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    user_nid bigint NOT NULL REFERENCES accounts,
    device_nid bigint REFERENCES devices ON DELETE CASCADE,
    created_ts bigint NOT NULL,
    expires_ts bigint,
    validated_ts bigint
);
CREATE INDEX access_tokens_by_user ON access_tokens (user_nid, device_nid);
CREATE INDEX access_tokens_by_device ON access_tokens (device_nid);

-- A refresh token and the access token that it was given out with. previous_nid is the refresh token that this pair came from: it goes, with its
-- access token, when either of the pair is used for the first time; until then the refresh may be repeated.
CREATE TABLE refresh_tokens (
    token_nid bigint PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    user_nid bigint NOT NULL REFERENCES accounts,
    device_nid bigint NOT NULL REFERENCES devices ON DELETE CASCADE,
    access_nid bigint NOT NULL UNIQUE,
    previous_nid bigint,
    created_ts bigint NOT NULL,
    expires_ts bigint,
    session_ends_ts bigint
);
CREATE INDEX refresh_tokens_by_device ON refresh_tokens (device_nid);
