-- What events say of others (m.relates_to): one row a relation, by the ID of the event that it is about, which need not be here yet.
CREATE TABLE event_relations (
    event_nid bigint PRIMARY KEY,
    room_nid bigint NOT NULL,
    target_id text NOT NULL,
    rel_type text NOT NULL,
    type_nid bigint NOT NULL,
    sender_nid bigint NOT NULL,
    key text,
    room_seq bigint NOT NULL,
    sub integer NOT NULL
);
CREATE INDEX event_relations_by_target ON event_relations (room_nid, target_id, rel_type, room_seq, sub);
-- The threads of a room, by their latest reply.
CREATE INDEX event_relations_threads ON event_relations (room_nid, room_seq, sub) WHERE rel_type = 'm.thread';
