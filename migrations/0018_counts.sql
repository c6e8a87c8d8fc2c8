-- Badges: which events are unread for whom. homeserver/counts/counts.h says how they are counted.

-- When the user came in for the last time: a change of their name in the room doesn't move it.
ALTER TABLE room_memberships ADD COLUMN joined_seq bigint NOT NULL DEFAULT 0;
UPDATE room_memberships SET joined_seq = room_seq;

-- A row for each event that came in live. thread_nid: the thread's root, -1 the main timeline. class: enum push_class. totals: how many events of each
-- class the thread has had up to this one, redacted ones too.
CREATE TABLE counted (
    room_nid bigint NOT NULL,
    thread_nid bigint NOT NULL,
    room_seq bigint NOT NULL,
    event_nid bigint NOT NULL,
    sender_nid bigint NOT NULL,
    class smallint NOT NULL,
    redacted boolean NOT NULL DEFAULT false,
    totals integer[] NOT NULL,
    PRIMARY KEY (room_nid, thread_nid, room_seq)
);
CREATE INDEX counted_by_sender ON counted (sender_nid, room_nid, thread_nid, room_seq);
CREATE INDEX counted_redacted ON counted (room_nid, thread_nid, room_seq) WHERE redacted;

-- The threads of a room, without the main timeline.
CREATE TABLE counted_threads (
    room_nid bigint NOT NULL,
    thread_nid bigint NOT NULL,
    last_seq bigint NOT NULL,
    PRIMARY KEY (room_nid, thread_nid)
);
CREATE INDEX counted_threads_by_last ON counted_threads (room_nid, last_seq);

-- Events that are not for one user what they are for the others: they mention them, or are hidden from them.
CREATE TABLE counted_own (
    user_nid bigint NOT NULL,
    room_nid bigint NOT NULL,
    thread_nid bigint NOT NULL,
    room_seq bigint NOT NULL,
    event_nid bigint NOT NULL,
    sender_nid bigint NOT NULL,
    class smallint NOT NULL,
    hidden boolean NOT NULL,
    PRIMARY KEY (user_nid, room_nid, thread_nid, room_seq)
);
CREATE INDEX counted_own_by_event ON counted_own (event_nid);
