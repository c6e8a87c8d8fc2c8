-- What stands between a stranger and an account, or a user and a grave step. All of it is short-lived or made again, and so not logged, but for
-- the registration tokens.

-- User-interactive authentication under way. completed: a set of stages (accounts/uia.h). result: the user that a registration made, so that it can
-- be repeated when its answer was lost.
CREATE UNLOGGED TABLE uia_sessions (
    session_id text PRIMARY KEY,
    user_nid bigint NOT NULL,
    operation text NOT NULL,
    completed bigint NOT NULL,
    registration_token text,
    result text,
    expires_ts bigint NOT NULL
);
CREATE INDEX uia_sessions_by_expiry ON uia_sessions (expires_ts);
CREATE INDEX uia_sessions_by_token ON uia_sessions (registration_token) WHERE registration_token IS NOT NULL;

-- pending uses are the uia_sessions that hold the token.
CREATE TABLE registration_tokens (
    token text PRIMARY KEY,
    uses_allowed bigint,
    completed bigint NOT NULL DEFAULT 0,
    expiry_ts bigint
);

CREATE UNLOGGED TABLE registration_nonces (
    nonce text PRIMARY KEY,
    expires_ts bigint NOT NULL
);
CREATE INDEX registration_nonces_by_expiry ON registration_nonces (expires_ts);

-- Failed logins in a row, as a leaky bucket: empty_ts is when it has run empty.
CREATE UNLOGGED TABLE login_failures (
    user_id text PRIMARY KEY,
    empty_ts bigint NOT NULL
);
CREATE INDEX login_failures_by_expiry ON login_failures (empty_ts);

-- Tokens with which a session lets another device log in, once. Stored hashed.
CREATE UNLOGGED TABLE login_tokens (
    token_hash bytea PRIMARY KEY,
    user_nid bigint NOT NULL,
    expires_ts bigint NOT NULL
);
CREATE INDEX login_tokens_by_expiry ON login_tokens (expires_ts);
