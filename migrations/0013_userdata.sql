-- What users keep here for their clients. room_nid 0: of the account as a whole. content is the text of an object, as the client sent it.
CREATE TABLE account_data (
    user_nid bigint NOT NULL,
    room_nid bigint NOT NULL,
    type text NOT NULL,
    content text NOT NULL,
    PRIMARY KEY (user_nid, room_nid, type)
);

-- Filters never change: filter_id is a hash of what the definition says.
CREATE TABLE filters (
    user_nid bigint NOT NULL,
    filter_id text NOT NULL,
    definition text NOT NULL,
    PRIMARY KEY (user_nid, filter_id)
);
