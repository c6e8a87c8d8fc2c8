/* Who is in which room now: of a user all rooms, of a room its members. Cached by user; the journal moves it. */
#pragma once

#include "base/cache.h"
#include "rooms/rooms.h"

struct user_room {
	nid_t room;
	enum membership membership;
	nid_t event, sender;
	int64_t room_seq; /* of the membership event */
	int64_t left_seq, left_root; /* where the last stay ended, and the state then; 0: never joined, or forgotten */
};

struct memberships;
struct memberships *memberships_new(struct server *server, size_t cache_bytes);
void memberships_free(struct memberships *memberships);
struct cache_stats memberships_cache_stats(struct memberships *memberships);

/* All rooms that the user has or had a membership of, sorted by room number. */
bool memberships_of_user(struct server *server, nid_t user, struct arena *arena, struct user_room **ret_rooms, size_t *ret_count, struct err *err);
/* membership NONE in *ret_room: never had one. */
bool membership_get(struct server *server, nid_t user, nid_t room, struct arena *arena, struct user_room *ret_room, struct err *err);
/* 403 M_FORBIDDEN. */
bool membership_require_joined(struct server *server, nid_t user, nid_t room, struct arena *arena, struct err *err);
extern const struct write_table MEMBERSHIP_TABLE, STAY_END_TABLE;
