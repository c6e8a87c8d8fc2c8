-- Uploaded files, by the id that users know them by. Ids never change what they mean. sha256 names the content, a file of the media store that all ids
-- with equal content share; NULL: the id is reserved, until expires_ts, for what its user is going to upload. authenticated: shown only to those
-- who are logged in.
CREATE TABLE media (
    server_name text NOT NULL,
    media_id text NOT NULL,
    user_nid bigint NOT NULL REFERENCES accounts,
    created_ts bigint NOT NULL,
    expires_ts bigint,
    authenticated boolean NOT NULL,
    sha256 bytea,
    size bigint,
    content_type text,
    file_name text,
    PRIMARY KEY (server_name, media_id),
    CHECK ((sha256 IS NULL) = (expires_ts IS NOT NULL)),
    CHECK ((sha256 IS NULL) = (size IS NULL))
);
CREATE INDEX media_by_user ON media (user_nid, created_ts);
CREATE INDEX media_by_content ON media (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX media_reserved_by_user ON media (user_nid) WHERE sha256 IS NULL;
CREATE INDEX media_reserved_by_expiry ON media (expires_ts) WHERE sha256 IS NULL;
