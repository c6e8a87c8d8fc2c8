#include "rooms/member_content.h"

#include "accounts/accounts.h"
#include "interned/interned.h"
#include "options.h"

static bool add_profile(struct server *server, struct str user_id, json_t *content, struct arena *arena, struct err *err)
{
	static const struct str fields[] = { STR_INIT("displayname"), STR_INIT("avatar_url") };
	nid_t user;

	if (!server_domain_of_user(server, user_id))
		return true;
	if (!find_user(server->interned, user_id, &user, err))
		return false;
	for (size_t i = 0; user && i < ARRAY_LEN(fields); i++) {
		struct str value;
		json_t *json;

		if (!profile_get(server, user, fields[i], arena, &value, err))
			return false;
		if (value.len && json_parse(value, arena, &json, err) && json_is_string(json))
			json_object_set(content, fields[i].ptr, json);
	}
	return true;
}

bool member_content(struct server *server, struct str user_id, const struct member_wish *wish, struct arena *arena, struct str *ret_content, struct err *err)
{
	json_t *content = json_pack("{s:o}", "membership", json_new_str(wish->membership));
	bool hidden = str_eq(wish->membership, STR("invite")) && !server->options->profile_in_invites;
	bool ok = !wish->with_profile || hidden || add_profile(server, user_id, content, arena, err);

	if (wish->reason.len)
		json_object_set_new(content, "reason", json_new_str(wish->reason));
	if (wish->is_direct)
		json_object_set_new(content, "is_direct", json_true());
	if (wish->authorised_via.len)
		json_object_set_new(content, "join_authorised_via_users_server", json_new_str(wish->authorised_via));
	if (ok)
		*ret_content = json_text(content, arena);
	json_decref(content);
	return ok;
}

bool member_may_invite(const struct request *req, struct err *err)
{
	return req->user->admin || !req->server->options->block_non_admin_invites ||
	       err_set(err, M_FORBIDDEN, "Only administrators of this server may invite");
}
