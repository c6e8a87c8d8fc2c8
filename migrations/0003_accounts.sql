-- Accounts of our own, their devices and tokens. Tokens are stored hashed (BLAKE2b-256).

CREATE TABLE accounts (
    user_nid bigint PRIMARY KEY REFERENCES users,
    password_hash text,
    created_ts bigint NOT NULL,
    admin boolean NOT NULL DEFAULT false,
    guest boolean NOT NULL DEFAULT false,
    deactivated boolean NOT NULL DEFAULT false,
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

CREATE TABLE access_tokens (
    token_nid bigint PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    user_nid bigint NOT NULL REFERENCES accounts,
    device_nid bigint REFERENCES devices ON DELETE CASCADE,
    created_ts bigint NOT NULL,
    expires_ts bigint
);
CREATE INDEX access_tokens_by_user ON access_tokens (user_nid, device_nid);

-- A refresh token leads to the access token that it was given out with, and when used to its successor: a repeated refresh finds it.
CREATE TABLE refresh_tokens (
    token_nid bigint PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    user_nid bigint NOT NULL REFERENCES accounts,
    device_nid bigint NOT NULL REFERENCES devices ON DELETE CASCADE,
    created_ts bigint NOT NULL,
    expires_ts bigint,
    access_nid bigint,
    next_nid bigint
);
CREATE INDEX refresh_tokens_by_device ON refresh_tokens (device_nid);
