-- Interned identifiers, events, rooms, and the journal: what everything else refers to.

-- One source of numbers for all that is interned or stored by number; each process takes 1024 at a time.
CREATE SEQUENCE nids INCREMENT BY 1024 START WITH 1024;

CREATE TABLE servers (
    server_nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server_name text NOT NULL UNIQUE
);

-- Every user that was ever named, local or remote. Accounts of our own are rows of `accounts`.
CREATE TABLE users (
    user_nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server_nid bigint NOT NULL REFERENCES servers,
    user_id text NOT NULL UNIQUE
);

CREATE TABLE event_types (
    type_nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type text NOT NULL UNIQUE
);

-- A pair of type and state key. Members' numbers carry the server of the user they name in their upper half, so that the state trie keeps
-- the members of one server together: key_nid = server_nid << 32 | n.
CREATE SEQUENCE state_key_numbers;
CREATE TABLE state_keys (
    key_nid bigint PRIMARY KEY,
    type text NOT NULL,
    state_key text NOT NULL,
    UNIQUE (type, state_key)
);

CREATE TABLE rooms (
    room_nid bigint PRIMARY KEY,
    room_id text NOT NULL UNIQUE,
    version text NOT NULL,
    creator_nid bigint NOT NULL REFERENCES users,
    created_ts bigint NOT NULL
);

-- Immutable. `json` is the exact canonical text of the PDU. The order of a room is (room_seq, sub).
CREATE TABLE events (
    event_nid bigint PRIMARY KEY,
    room_nid bigint NOT NULL,
    event_id text NOT NULL UNIQUE,
    room_seq bigint NOT NULL,
    sub integer NOT NULL,
    type_nid bigint NOT NULL,
    key_nid bigint,
    sender_nid bigint NOT NULL,
    origin_server_ts bigint NOT NULL,
    depth bigint NOT NULL,
    auth_gen bigint NOT NULL,
    prev_nids bigint[] NOT NULL,
    auth_nids bigint[] NOT NULL,
    txn_device bigint,
    txn_id text,
    json text NOT NULL
);
CREATE UNIQUE INDEX events_order ON events (room_nid, room_seq, sub);
CREATE UNIQUE INDEX events_transactions ON events (txn_device, txn_id, room_nid, type_nid) WHERE txn_device IS NOT NULL;

-- What we think of an event, which changes: state that completes, redaction.
-- verdict: 0 accepted, 1 soft-failed, 2 rejected, 3 outlier. visibility (of the room before it): 0 shared, 1 invited, 2 joined, 3 world_readable.
CREATE TABLE event_state (
    event_nid bigint PRIMARY KEY,
    room_nid bigint NOT NULL,
    root_before bigint NOT NULL,
    root_after bigint NOT NULL,
    verdict smallint NOT NULL,
    visibility smallint NOT NULL,
    redacted_by bigint
);

-- A room's moving part; locked by whoever writes to the room. `token` changes with every write.
CREATE TABLE room_heads (
    room_nid bigint PRIMARY KEY,
    token bigint NOT NULL,
    room_seq bigint NOT NULL,
    depth bigint NOT NULL,
    state_root bigint NOT NULL,
    extremities bigint[] NOT NULL,
    last_activity bigint NOT NULL
) WITH (fillfactor = 50);

-- The current state again, flat, for plain SQL.
CREATE TABLE current_state (
    room_nid bigint NOT NULL,
    key_nid bigint NOT NULL,
    event_nid bigint NOT NULL,
    PRIMARY KEY (room_nid, key_nid)
);

-- Of every user in every room: where they stand now. membership: 1 invite, 2 join, 3 leave, 4 ban, 5 knock.
CREATE TABLE room_memberships (
    user_nid bigint NOT NULL,
    room_nid bigint NOT NULL,
    membership smallint NOT NULL,
    event_nid bigint NOT NULL,
    room_seq bigint NOT NULL,
    sender_nid bigint NOT NULL,
    forgotten boolean NOT NULL DEFAULT false,
    PRIMARY KEY (user_nid, room_nid)
);
CREATE INDEX room_memberships_by_room ON room_memberships (room_nid, membership);

-- The journal. kind: see the journal's header.
CREATE TABLE journal (
    pos bigint PRIMARY KEY,
    kind smallint NOT NULL,
    room_nid bigint,
    user_nid bigint,
    event_nid bigint,
    device_nid bigint,
    key_nid bigint,
    target_nid bigint,
    seq bigint,
    root_before bigint,
    root_after bigint,
    membership smallint,
    data text
);
CREATE INDEX journal_by_room ON journal (room_nid, pos) WHERE room_nid IS NOT NULL;
CREATE INDEX journal_by_user ON journal (user_nid, pos) WHERE room_nid IS NULL;

CREATE TABLE journal_head (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    pos bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO journal_head (pos) VALUES (0);

-- The live processes. One that finds itself alone holds `sole` and need not look for others' writes. Who is not here may not write.
CREATE TABLE processes (
    process_nid bigint PRIMARY KEY,
    lease_until timestamptz NOT NULL,
    sole boolean NOT NULL,
    last_batch bigint NOT NULL DEFAULT 0,
    last_pos bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Takes `count` positions: locks the head until the end of the transaction, which must follow at once. A process that is not registered any more may
-- not write: others have stopped looking for its writes. `batch` > 0 records that this batch was committed.
CREATE FUNCTION journal_take(process bigint, batch bigint, count bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    UPDATE journal_head SET pos = pos + count RETURNING pos INTO last;
    UPDATE processes SET last_batch = CASE WHEN batch > 0 THEN batch ELSE last_batch END, last_pos = last WHERE process_nid = process;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'process % is not registered', process USING ERRCODE = 'HF001';
    END IF;
    RETURN last;
END $$;
