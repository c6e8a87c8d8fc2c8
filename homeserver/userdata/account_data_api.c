#include "matrix/identifiers.h"
#include "push/push.h"
#include "userdata/userdata_api.h"

bool userdata_require_self(struct request *req, struct err *err)
{
	if (!str_eq(path_param(req, "userId"), req->user->user_id))
		return err_set(err, M_FORBIDDEN, "These are another user's data");
	return true;
}

bool userdata_require_room(struct request *req, struct room_info *ret_room, struct err *err)
{
	struct str room_id = path_param(req, "roomId");

	if (!room_id_valid(room_id))
		return err_set(err, M_INVALID_PARAM, "This is no room ID");
	return room_require(req->server->rooms, room_id, req->arena, ret_room, err);
}

static bool read_type(struct request *req, struct str *ret_type, struct err *err)
{
	*ret_type = path_param(req, "type");
	if (ret_type->len > ACCOUNT_DATA_MAX_TYPE)
		return err_set(err, M_INVALID_PARAM, "The type is longer than %d bytes", ACCOUNT_DATA_MAX_TYPE);
	return true;
}

/* "Servers MUST reject setting account data for event types that the server manages" (modules/account_data.md). */
static bool check_writable(struct str type, struct err *err)
{
	if (str_eq(type, STR("m.fully_read")) || str_eq(type, STR("m.push_rules")))
		return err_status(err, 405, M_BAD_JSON, "%.*s is not set through this endpoint", STR_ARG(type));
	return true;
}

static bool put_data(struct request *req, nid_t room, struct err *err)
{
	struct str type, content = req->body_text.len ? str_trim(req->body_text) : STR("{}");

	if (!read_type(req, &type, err) || !check_writable(type, err))
		return false;
	if (!json_is_object(req->body))
		return err_set(err, M_BAD_JSON, "Account data is an object");
	return account_data_put(req->server, req->user->nid, room, type, content, err) && reply_empty(req);
}

static bool get_data(struct request *req, nid_t room, struct err *err)
{
	struct str type, content;

	if (!read_type(req, &type, err) ||
	    !account_data_get(req->server, req->user->nid, room, type, req->arena, &content, err))
		return false;
	if (!content.len)
		return err_set(err, M_NOT_FOUND, "There is no account data of this type");
	return reply_text(req, 200, STR("application/json"), content);
}

static bool put_global(struct request *req, struct err *err)
{
	return userdata_require_self(req, err) && put_data(req, 0, err);
}

static bool reply_push_rules(struct request *req, struct err *err)
{
	struct push_ruleset *rules;

	return push_rules_get(req->server, req->user->nid, req->user->user_id, req->arena, &rules, err) &&
	       reply_text(req, 200, STR("application/json"),
			  str_printf(req->arena, "{\"global\":%.*s}", STR_ARG(push_ruleset_json(rules, req->arena))));
}

static bool get_global(struct request *req, struct err *err)
{
	if (!userdata_require_self(req, err))
		return false;
	return str_eq(path_param(req, "type"), STR("m.push_rules")) ? reply_push_rules(req, err)
								    : get_data(req, 0, err);
}

static bool put_of_room(struct request *req, struct err *err)
{
	struct room_info room = { 0 };

	return userdata_require_self(req, err) && userdata_require_room(req, &room, err) &&
	       put_data(req, room.nid, err);
}

static bool get_of_room(struct request *req, struct err *err)
{
	struct room_info room = { 0 };

	return userdata_require_self(req, err) && userdata_require_room(req, &room, err) &&
	       get_data(req, room.nid, err);
}

#define GLOBAL_PATH "/_matrix/client/v3/user/{userId}/account_data/{type}"
#define ROOM_PATH   "/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}"

const struct route account_data_routes[] = {
	{ HTTP_GET, GLOBAL_PATH, AUTH_USER, LIMIT_NONE, get_global },
	{ HTTP_PUT, GLOBAL_PATH, AUTH_USER, LIMIT_NONE, put_global },
	{ HTTP_GET, ROOM_PATH, AUTH_USER, LIMIT_NONE, get_of_room },
	{ HTTP_PUT, ROOM_PATH, AUTH_USER, LIMIT_NONE, put_of_room },
	{ 0 },
};
