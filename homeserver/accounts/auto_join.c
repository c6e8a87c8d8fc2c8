/* The rooms that new users join by themselves (auto_join_rooms). What does not work out is a line in the log, no fault
 * of the user's. */
#include "accounts/accounts_internal.h"
#include "log/log.h"
#include "rooms/aliases.h"
#include "rooms/member_content.h"

static bool find_room(struct server *server, struct str name, struct arena *arena, struct room_info *ret_room,
		      struct err *err)
{
	nid_t creator;

	if (str_starts_with(name, STR("#")) ? !alias_find(server, name, arena, ret_room, &creator, err)
					    : !room_find(server->rooms, name, arena, ret_room, err))
		return false;
	return ret_room->nid || err_set(err, M_NOT_FOUND, "There is no such room");
}

static bool send_member(struct server *server, const struct room_info *room, const struct sender *sender,
			struct str user_id, struct str membership, struct arena *arena, struct err *err)
{
	const struct member_wish wish = { .membership = membership, .with_profile = true };
	struct event_draft draft = { .type = STR("m.room.member"), .is_state = true, .state_key = user_id };
	struct str event_id;

	return member_content(server, user_id, &wish, arena, &draft.content, err) &&
	       room_send(server, room, sender, &draft, 1, arena, &event_id, err);
}

/* auto_join_mxid_localpart lets the user in where the room is not open. */
static bool invite(struct server *server, const struct room_info *room, struct str user_id, struct arena *arena,
		   struct err *err)
{
	struct sender host = { 0 };

	host.user_id = str_printf(arena, "@%.*s:%.*s", STR_ARG(server->options->auto_join.localpart),
				  STR_ARG(server->options->domains[0].name));
	return intern_user(server->interned, host.user_id, &host.nid, err) &&
	       send_member(server, room, &host, user_id, STR("invite"), arena, err);
}

static bool join(struct server *server, struct str name, const struct sender *user, struct arena *arena,
		 struct err *err)
{
	struct room_info room;

	if (!find_room(server, name, arena, &room, err))
		return false;
	if (send_member(server, &room, user, user->user_id, STR("join"), arena, err))
		return true;
	if (err->status >= 500 || !server->options->auto_join.localpart.len)
		return false;
	return invite(server, &room, user->user_id, arena, err) &&
	       send_member(server, &room, user, user->user_id, STR("join"), arena, err);
}

void auto_join(struct server *server, const struct new_account *account, nid_t user)
{
	const struct auto_join_options *options = &server->options->auto_join;
	const struct sender sender = { .nid = user, .user_id = account->user_id };
	CLEANUP(arena_free) struct arena *arena = arena_new();

	if (account->guest && !options->guests)
		return;
	for (size_t i = 0; i < options->rooms.count; i++) {
		struct err err = { 0 };

		arena_reset(arena);
		if (!join(server, options->rooms.items[i], &sender, arena, &err))
			log_warning("a new user could not join %.*s: %s", STR_ARG(options->rooms.items[i]),
				    err.message);
	}
}
