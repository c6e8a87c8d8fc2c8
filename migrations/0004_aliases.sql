-- Aliases of our own names, and the rooms that are published in the directory.
CREATE TABLE room_aliases (
    alias text PRIMARY KEY,
    room_nid bigint NOT NULL,
    creator_nid bigint NOT NULL,
    created_ts bigint NOT NULL
);
CREATE INDEX room_aliases_by_room ON room_aliases (room_nid);

CREATE TABLE published_rooms (
    room_nid bigint PRIMARY KEY
);
