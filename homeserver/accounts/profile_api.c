/* client-server-api "Profiles". */
#include "accounts/accounts_internal.h"
#include "accounts/profile.h"
#include "base/utf8.h"
#include "matrix/identifiers.h"
#include "matrix/slice.h"
#include "rooms/memberships.h"

#define UNSTABLE_PROFILE "/_matrix/client/unstable/uk.tcpip.msc4133/profile/"

#define MAX_FIELD_NAME  255
#define MAX_DISPLAYNAME 256 /* these two as Synapse has them */
#define MAX_AVATAR_URL  1000

/* --- reading --- */

static bool share_a_room(struct server *server, nid_t one, nid_t other, struct arena *arena, bool *ret_share,
			 struct err *err)
{
	struct user_room *rooms;
	struct user_room member;
	size_t count;

	*ret_share = one == other;
	if (!memberships_of_user(server, one, arena, &rooms, &count, err))
		return false;
	for (size_t i = 0; i < count && !*ret_share; i++) {
		if (rooms[i].membership != MEMBERSHIP_JOIN)
			continue;
		if (!membership_get(server, other, rooms[i].room, arena, &member, err))
			return false;
		*ret_share = member.membership == MEMBERSHIP_JOIN;
	}
	return true;
}

static bool may_look(struct request *req, nid_t user, struct err *err)
{
	const struct options *options = req->server->options;
	bool share;

	if (!options->require_auth_for_profiles && !options->limit_profiles_to_shared_rooms)
		return true;
	if (!req->user)
		return err_set(err, M_MISSING_TOKEN, "This server shows profiles to its users only");
	if (!options->limit_profiles_to_shared_rooms)
		return true;
	return share_a_room(req->server, req->user->nid, user, req->arena, &share, err) &&
	       (share || err_set(err, M_FORBIDDEN, "You share no room with this user"));
}

static bool find_profile(struct request *req, struct str *ret_profile, struct err *err)
{
	struct str user_id = path_param(req, "userId");
	struct account account;

	if (!user_id_valid(user_id))
		return err_set(err, M_INVALID_PARAM, "This is no user ID");
	/* Who did not authenticate has not passed the barrier yet. */
	if (!req->user && !journal_barrier(req->server->journal, err))
		return false;
	if (!account_find(req->server, user_id, req->arena, &account, err) || !may_look(req, account.user, err))
		return false;
	if (!account.user)
		return err_set(err, M_NOT_FOUND, "There is no such user here");
	return profile_get_all(req->server, account.user, req->arena, ret_profile, err);
}

static bool get_profile(struct request *req, struct err *err)
{
	struct str profile;

	return find_profile(req, &profile, err) && reply_text(req, 200, STR("application/json"), profile);
}

static bool get_field(struct request *req, struct err *err)
{
	struct str field = path_param(req, "keyName"), profile, value;
	CLEANUP(buf_done) struct buf out = buf_init((size_t)1 << 20);

	if (!find_profile(req, &profile, err))
		return false;
	if (!slice_get(profile, field, &value))
		return err_set(err, M_NOT_FOUND, "This user's profile has no such field");
	buf_char(&out, '{');
	slice_write_string(&out, field);
	buf_char(&out, ':');
	buf_append(&out, value);
	buf_char(&out, '}');
	return reply_buf(req, 200, "application/json", &out);
}

/* --- writing --- */

static bool is_field_name(struct str field)
{
	return str_eq(field, STR("displayname")) || str_eq(field, STR("avatar_url")) || namespaced_id_valid(field);
}

static bool may_change(struct request *req, struct str field, struct err *err)
{
	const struct options *options = req->server->options;
	struct str user_id = path_param(req, "userId");
	bool name = str_eq(field, STR("displayname"));

	if (!user_id_valid(user_id))
		return err_set(err, M_INVALID_PARAM, "This is no user ID");
	if (!str_eq(user_id, req->user->user_id))
		return err_set(err, M_FORBIDDEN, "This is somebody else's profile");
	if (field.len > MAX_FIELD_NAME)
		return err_set(err, M_KEY_TOO_LARGE, "The name of a field has at most %d bytes", MAX_FIELD_NAME);
	if (!is_field_name(field))
		return err_set(err, M_INVALID_PARAM, "This is no name of a profile's field");
	if (req->user->guest && !name)
		return err_set(err, M_GUEST_ACCESS_FORBIDDEN, "Guests may change their name only");
	if ((name && !options->enable_set_displayname) ||
	    (str_eq(field, STR("avatar_url")) && !options->enable_set_avatar_url))
		return err_set(err, M_FORBIDDEN, "This server does not let its users change this");
	return true;
}

/* An empty name or avatar is none. */
static bool check_text(struct str field, const json_t *value, size_t max, bool *ret_clears, struct err *err)
{
	if (!json_is_string(value))
		return err_set(err, M_BAD_JSON, "%.*s is not a string", STR_ARG(field));
	if (utf8_length(json_str(value)) > max)
		return err_set(err, M_INVALID_PARAM, "%.*s is too long: at most %zu characters", STR_ARG(field), max);
	if (json_str(value).len && memchr(json_str(value).ptr, 0, json_str(value).len))
		return err_set(err, M_BAD_JSON, "%.*s has a NUL in it", STR_ARG(field));
	*ret_clears = json_str(value).len == 0;
	return true;
}

/* JSON text for the field; empty: it goes. */
static bool read_value(struct request *req, struct str field, struct str *ret_value, struct err *err)
{
	json_t *value = json_is_object(req->body) ? json_object_getn(req->body, field.ptr, field.len) : NULL;
	bool clears = false;

	if (!json_is_object(req->body))
		return err_set(err, M_BAD_JSON, "The body is no object");
	if (!value)
		return err_set(err, M_MISSING_PARAM, "The body has no %.*s", STR_ARG(field));
	if ((str_eq(field, STR("displayname")) && !check_text(field, value, MAX_DISPLAYNAME, &clears, err)) ||
	    (str_eq(field, STR("avatar_url")) && !check_text(field, value, MAX_AVATAR_URL, &clears, err)) ||
	    (str_eq(field, STR("m.tz")) && !check_text(field, value, MAX_DISPLAYNAME, &clears, err)))
		return false;
	*ret_value = clears ? STR("") : json_text(value, req->arena);
	return true;
}

static bool put_field(struct request *req, struct err *err)
{
	struct str field = path_param(req, "keyName"), value;

	return may_change(req, field, err) && read_value(req, field, &value, err) &&
	       profile_set(req->server, req->user, field, value, err) && reply_empty(req);
}

static bool delete_field(struct request *req, struct err *err)
{
	struct str field = path_param(req, "keyName");

	return may_change(req, field, err) && profile_set(req->server, req->user, field, STR(""), err) &&
	       reply_empty(req);
}

/* The last four: what the endpoints were called before version 1.16. */
const struct route profile_routes[] = {
	{ HTTP_GET, "/_matrix/client/v3/profile/{userId}", AUTH_OPTIONAL, LIMIT_NONE, get_profile,
	  .flags = ROUTE_GUEST },
	{ HTTP_GET, "/_matrix/client/v3/profile/{userId}/{keyName}", AUTH_OPTIONAL, LIMIT_NONE, get_field,
	  .flags = ROUTE_GUEST },
	{ HTTP_PUT, "/_matrix/client/v3/profile/{userId}/{keyName}", AUTH_USER, LIMIT_NONE, put_field,
	  .flags = ROUTE_GUEST },
	{ HTTP_DELETE, "/_matrix/client/v3/profile/{userId}/{keyName}", AUTH_USER, LIMIT_NONE, delete_field,
	  .flags = ROUTE_GUEST },
	{ HTTP_GET, UNSTABLE_PROFILE "{userId}", AUTH_OPTIONAL, LIMIT_NONE, get_profile,
	  .flags = ROUTE_GUEST | ROUTE_UNLISTED },
	{ HTTP_GET, UNSTABLE_PROFILE "{userId}/{keyName}", AUTH_OPTIONAL, LIMIT_NONE, get_field,
	  .flags = ROUTE_GUEST | ROUTE_UNLISTED },
	{ HTTP_PUT, UNSTABLE_PROFILE "{userId}/{keyName}", AUTH_USER, LIMIT_NONE, put_field,
	  .flags = ROUTE_GUEST | ROUTE_UNLISTED },
	{ HTTP_DELETE, UNSTABLE_PROFILE "{userId}/{keyName}", AUTH_USER, LIMIT_NONE, delete_field,
	  .flags = ROUTE_GUEST | ROUTE_UNLISTED },
	{ 0 },
};
