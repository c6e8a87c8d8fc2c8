/* Room aliases and the directory of published rooms (client-server-api "Room aliases", "Listing rooms"). */
#pragma once

#include "rooms/rooms.h"

/* The room of an alias of ours; nid 0: none. */
bool alias_find(struct server *server, struct str alias, struct arena *arena, struct room_info *ret_room, nid_t *ret_creator, struct err *err);
/* M_ROOM_IN_USE. */
bool alias_require_free(struct server *server, struct str alias, struct arena *arena, struct err *err);
/* Rows of a write set: an alias, and that the room is published. */
void alias_add_row(struct write_set *set, struct str alias, nid_t room, nid_t creator);
void directory_add_row(struct write_set *set, nid_t room);
