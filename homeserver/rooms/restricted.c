#include "rooms/restricted.h"

#include "interned/interned.h"
#include "state/state_store.h"

static bool is_allowed_room(struct request *req, const json_t *rule, bool *ret_allowed, struct err *err)
{
	struct user_room member;
	struct room_info room;

	*ret_allowed = false;
	if (!str_eq(json_get_str(rule, "type"), STR("m.room_membership")))
		return true;
	if (!room_find(req->server->rooms, json_get_str(rule, "room_id"), req->arena, &room, err))
		return false;
	if (room.nid && !membership_get(req->server, req->user->nid, room.nid, req->arena, &member, err))
		return false;
	*ret_allowed = room.nid && member.membership == MEMBERSHIP_JOIN;
	return true;
}

static bool meets_conditions(struct request *req, const json_t *content, bool *ret_meets, struct err *err)
{
	const json_t *allow = json_object_get(content, "allow");

	*ret_meets = false;
	for (size_t i = 0; i < json_array_size(allow) && !*ret_meets; i++) {
		if (!is_allowed_room(req, json_array_get(allow, i), ret_meets, err))
			return false;
	}
	return true;
}

/* A member of ours who could invite: their server vouches for a restricted join (rooms/v8.md). */
static bool find_authoriser(struct request *req, const struct room_info *room, int64_t root, struct str *ret_user_id, struct err *err)
{
	struct state_view *view = state_view_new(req->server, room, root, req->arena);
	const struct power_levels *levels = power_levels_read(room->version, state_view_auth(view), req->arena);
	struct state_source source = state_store_source(req->server->states);
	struct state_entry *entries;
	struct str type, user_id;
	size_t count;

	if (state_view_failed(view, err) || !state_load(&source, room->nid, root, req->arena, &entries, &count, err))
		return false;
	*ret_user_id = STR("");
	for (size_t i = 0; i < count && !ret_user_id->len; i++) {
		if (entries[i].membership != MEMBERSHIP_JOIN)
			continue;
		if (!key_of(req->server->interned, entries[i].key, req->arena, &type, &user_id, err))
			return false;
		if (server_domain_of_user(req->server, user_id) && power_level_of(levels, user_id) >= power_level_action(levels, STR("invite")))
			*ret_user_id = user_id;
	}
	return true;
}

bool restricted_authorise(struct request *req, const struct room_info *room, const struct user_room *member, struct str *ret_authoriser, struct err *err)
{
	struct str content = STR("{}"), rule = STR("");
	struct event join_rules;
	int64_t root;
	json_t *json;
	bool meets;

	*ret_authoriser = STR("");
	if (member->membership == MEMBERSHIP_JOIN || member->membership == MEMBERSHIP_INVITE || !room->version->restricted_join)
		return true;
	if (!room_state_root(req->server->rooms, room->nid, &root, err) ||
	    !room_state_event(req->server, room->nid, root, STR("m.room.join_rules"), STR(""), req->arena, &join_rules, err))
		return false;
	if (join_rules.nid)
		slice_get(join_rules.json, STR("content"), &content);
	slice_get_string(content, STR("join_rule"), req->arena, &rule);
	if (!str_eq(rule, STR("restricted")) && !str_eq(rule, STR("knock_restricted")))
		return true;
	if (!json_parse(content, req->arena, &json, err) || !meets_conditions(req, json, &meets, err))
		return false;
	if (!meets)
		return err_set(err, M_FORBIDDEN, "You are in none of the rooms whose members may join");
	if (!find_authoriser(req, room, root, ret_authoriser, err))
		return false;
	if (!ret_authoriser->len)
		return err_set(err, M_UNABLE_TO_GRANT_JOIN, "Nobody here may let you in");
	return true;
}
