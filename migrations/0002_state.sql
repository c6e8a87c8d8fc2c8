-- The packed rows of the state tries: state_trie.h says what is in them. They never change; a room's go when the room is purged.

-- Row numbers are unique over all rooms; each process takes 1024 at a time.
CREATE SEQUENCE state_row_ids INCREMENT BY 1024;

CREATE TABLE state_rows (
    room_nid bigint NOT NULL,
    row_id bigint NOT NULL,
    data bytea NOT NULL CHECK (length(data) BETWEEN 1 AND 1984),
    PRIMARY KEY (room_nid, row_id)
);
