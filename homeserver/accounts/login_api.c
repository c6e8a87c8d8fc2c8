/* client-server-api "Login", whoami. */
#include "accounts/accounts.h"
#include "interned/interned.h"
#include "matrix/identifiers.h"

struct login_body {
	struct str type, user, password, device_id, initial_device_display_name;
	json_t *identifier;
	bool refresh_token;
};

static const struct json_field login_fields[] = {
	JSON_FIELD(struct login_body, type, JSON_REQUIRED),
	JSON_FIELD(struct login_body, user, JSON_OPTIONAL),
	JSON_FIELD(struct login_body, password, JSON_OPTIONAL),
	JSON_FIELD(struct login_body, device_id, JSON_OPTIONAL),
	JSON_FIELD(struct login_body, initial_device_display_name, JSON_OPTIONAL),
	JSON_FIELD_OBJ(struct login_body, identifier, JSON_OPTIONAL),
	JSON_FIELD(struct login_body, refresh_token, JSON_OPTIONAL),
	{ 0 },
};

static bool get_login(struct request *req, struct err *err UNUSED)
{
	return reply_json(req, 200, json_pack("{s:[{s:s}]}", "flows", "type", "m.login.password"));
}

/* A full user ID, or a localpart of the (first) domain. */
static struct str full_user_id(struct request *req, struct str user)
{
	if (user.len && user.ptr[0] == '@')
		return user;
	return str_printf(req->arena, "@%.*s:%.*s", STR_ARG(user), STR_ARG(req->server->domains[0].name));
}

static bool named_user(struct request *req, const struct login_body *body, struct str *ret_user_id, struct err *err)
{
	struct str user = body->user;

	if (body->identifier) {
		if (!str_eq(json_get_str(body->identifier, "type"), STR("m.id.user")))
			return err_set(err, M_UNKNOWN, "This kind of identifier is not supported"), err->status = 400, false;
		user = json_get_str(body->identifier, "user");
	}
	if (!user.len)
		return err_set(err, M_MISSING_PARAM, "Who are you? An identifier is missing");
	*ret_user_id = full_user_id(req, user);
	return true;
}

static bool post_login(struct request *req, struct err *err)
{
	struct login_body body = { 0 };
	struct session_request wanted;
	struct session session;
	struct account account;
	struct str user_id;

	if (!json_read(req->body, login_fields, &body, err))
		return false;
	if (!str_eq(body.type, STR("m.login.password")))
		return err_status(err, 400, M_UNKNOWN, "This login type is not supported");
	if (!named_user(req, &body, &user_id, err) || !account_find(req->server, user_id, req->arena, &account, err))
		return false;
	if (!account.user || account.deactivated || !password_matches(account.password_hash, body.password, req->arena))
		return err_set(err, M_FORBIDDEN, "Wrong user name or password");
	wanted = (struct session_request){ account.user, body.device_id, body.initial_device_display_name, body.refresh_token };
	if (!session_open(req->server, &wanted, req->arena, &session, err))
		return false;
	return reply_json(req, 200, json_pack("{s:o, s:o, s:o}", "user_id", json_new_str(account.user_id), "access_token", json_new_str(session.access_token),
	                                      "device_id", json_new_str(session.device_id)));
}

static bool get_whoami(struct request *req, struct err *err UNUSED)
{
	json_t *answer = json_pack("{s:o, s:b}", "user_id", json_new_str(req->user->user_id), "is_guest", req->user->guest);

	if (req->user->device)
		json_object_set_new(answer, "device_id", json_new_str(req->user->device_id));
	return reply_json(req, 200, answer);
}

const struct route accounts_routes[] = {
	{ HTTP_GET, "/_matrix/client/v3/login", AUTH_NONE, LIMIT_LOGIN, get_login },
	{ HTTP_POST, "/_matrix/client/v3/login", AUTH_NONE, LIMIT_LOGIN, post_login },
	{ HTTP_GET, "/_matrix/client/v3/account/whoami", AUTH_USER, LIMIT_NONE, get_whoami, .flags = ROUTE_GUEST },
	{ 0 },
};
