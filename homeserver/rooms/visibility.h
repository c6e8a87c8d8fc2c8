/*
 * History visibility (client-server-api modules/history_visibility.md): the one function that decides whether a user may see an event, for every endpoint that
 * shows one. Fast path: world-readable, or shared and the user is joined. Else the user's membership in the state before the event; own membership events and
 * changes of the visibility are judged by before or after. Who left sees what was before the leave, who forgot the room nothing. Of whom the reader ignores only
 * state is shown.
 */
#pragma once

#include "rooms/memberships.h"
#include "userdata/ignored.h"

struct reader {
	nid_t user;
	struct str user_id;
	struct user_room now; /* the reader's membership now */
	struct ignored_users ignored;
};

bool reader_of(struct server *server, const struct user *user, nid_t room, struct arena *arena, struct reader *ret_reader, struct err *err);
/* ret_visible[i] of events[i], all of `room`. */
bool visibility_filter(struct server *server, const struct room_info *room, const struct reader *reader, const struct event *events, size_t count,
                       struct arena *arena, bool *ret_visible, struct err *err);
/*
 * Whether the user may look into the room at all: is joined or was, or it is world-readable now. *ret_root: the state that they see: now, or at
 * the end of their stay, *ret_until. 403 M_FORBIDDEN.
 */
bool visibility_require_room(struct server *server, const struct room_info *room, const struct reader *reader, struct arena *arena, int64_t *ret_root,
                             struct event_order *ret_until, struct err *err);

/* The reader's membership in a state. */
bool membership_at(struct server *server, nid_t room, int64_t root, struct str user_id, enum membership *ret_membership, struct err *err);
struct str membership_name(enum membership membership); /* NONE: "leave", as unsigned.membership has it */
