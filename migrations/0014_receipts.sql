-- How far users have read. type: 1 m.read, 2 m.read.private, 3 m.fully_read. thread_nid: the thread's root, -1 the main timeline, 0 unthreaded.
-- (room_seq, sub) is the event's place in its room; a receipt never moves back.
CREATE TABLE receipts (
    user_nid bigint NOT NULL,
    room_nid bigint NOT NULL,
    type smallint NOT NULL,
    thread_nid bigint NOT NULL,
    event_nid bigint NOT NULL,
    room_seq bigint NOT NULL,
    sub integer NOT NULL,
    ts bigint NOT NULL,
    PRIMARY KEY (user_nid, room_nid, type, thread_nid)
) WITH (fillfactor = 80);
CREATE INDEX receipts_by_room ON receipts (room_nid) WHERE type = 1;

-- Account data as clients see it: the read marker is kept with the receipts, whose rules it follows.
CREATE VIEW shown_account_data AS
    SELECT user_nid, room_nid, type, content FROM account_data
    UNION ALL
    SELECT r.user_nid, r.room_nid, 'm.fully_read', '{"event_id":' || to_json(e.event_id)::text || '}'
    FROM receipts r JOIN events e USING (event_nid) WHERE r.type = 3;

-- Who types. Positions are those of the ephemeral part of a sync token: they grow in the order of the commits, since whoever writes holds the head
-- until then, and never fall behind the clock (in milliseconds), so that none is used again after a crash has emptied these tables.
-- expires_ts 0: has stopped.
CREATE UNLOGGED TABLE ephemeral_head (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    pos bigint NOT NULL
) WITH (fillfactor = 10);
CREATE UNLOGGED TABLE typing (
    room_nid bigint NOT NULL,
    user_nid bigint NOT NULL,
    pos bigint NOT NULL,
    expires_ts bigint NOT NULL,
    PRIMARY KEY (room_nid, user_nid)
) WITH (fillfactor = 50);
CREATE INDEX typing_by_pos ON typing (pos);
CREATE INDEX typing_by_expiry ON typing (expires_ts) WHERE expires_ts > 0;
