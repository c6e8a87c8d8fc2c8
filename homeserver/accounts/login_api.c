/* client-server-api "Login", "Refreshing access tokens", logout, whoami. */
#include "accounts/accounts_internal.h"
#include "accounts/uia.h"
#include "limits/limits.h"

struct login_body {
	struct str type, token, device_id, initial_device_display_name;
	bool refresh_token;
};

static const struct json_field login_fields[] = {
	JSON_FIELD(struct login_body, type, JSON_REQUIRED),
	JSON_FIELD(struct login_body, token, JSON_OPTIONAL),
	JSON_FIELD(struct login_body, device_id, JSON_OPTIONAL),
	JSON_FIELD(struct login_body, initial_device_display_name, JSON_OPTIONAL),
	JSON_FIELD(struct login_body, refresh_token, JSON_OPTIONAL),
	{ 0 },
};

static bool offers_passwords(const struct options *options)
{
	return options->password_login == PASSWORD_ON && options->password_local;
}

void answer_add_tokens(json_t *answer, const struct session *session)
{
	json_object_set_new(answer, "access_token", json_new_str(session->access_token));
	if (session->refresh_token.len)
		json_object_set_new(answer, "refresh_token", json_new_str(session->refresh_token));
	if (session->expires_in_ms)
		json_object_set_new(answer, "expires_in_ms", json_integer(session->expires_in_ms));
}

bool answer_with_session(struct request *req, nid_t user, bool guest, const struct session_wish *wish, json_t *answer,
			 struct err *err)
{
	struct session_request wanted = {
		.user = user,
		.device_id = wish->device_id,
		.initial_display_name = wish->initial_device_display_name,
		.refreshable = wish->refresh_token,
		.guest = guest,
		.address = req->remote_address,
		.user_agent = header(req, "User-Agent"),
	};
	struct session session;

	if (!session_open(req->server, &wanted, req->arena, &session, err))
		return false;
	json_object_set_new(answer, "device_id", json_new_str(session.device_id));
	answer_add_tokens(answer, &session);
	return true;
}

static bool get_login(struct request *req, struct err *err UNUSED)
{
	json_t *flows = json_array();

	if (offers_passwords(req->server->options))
		json_array_append_new(flows, json_pack("{s:s}", "type", "m.login.password"));
	if (req->server->options->login_via_existing_session.enabled)
		json_array_append_new(flows, json_pack("{s:s, s:b}", "type", "m.login.token", "get_login_token", 1));
	return reply_json(req, 200, json_pack("{s:o}", "flows", flows));
}

/* Who logs in, by the flow that they chose. */
static bool identify(struct request *req, const struct login_body *body, struct account *ret_account, struct err *err)
{
	const struct options *options = req->server->options;

	if (str_eq(body->type, STR("m.login.password")) && offers_passwords(options))
		return password_login(req, req->body, STR(""), 0, ret_account, err);
	if (!str_eq(body->type, STR("m.login.token")) || !options->login_via_existing_session.enabled)
		return err_status(err, 400, M_UNKNOWN, "This login type is not supported");
	if (!body->token.len)
		return err_set(err, M_MISSING_PARAM, "token is missing");
	return login_token_take(req->server, body->token, req->arena, ret_account, err);
}

static bool post_login(struct request *req, struct err *err)
{
	struct login_body body = { 0 };
	struct session_wish wish;
	struct account account;
	json_t *answer;

	if (!json_read(req->body, login_fields, &body, err) || !identify(req, &body, &account, err) ||
	    !limit_take(req->server->limits, LIMIT_LOGIN_ACCOUNT, account.user_id, err))
		return false;
	wish = (struct session_wish){ body.device_id, body.initial_device_display_name, body.refresh_token };
	answer = json_pack("{s:o}", "user_id", json_new_str(account.user_id));
	arena_defer(req->arena, (void (*)(void *))json_decref, answer);
	return answer_with_session(req, account.user, false, &wish, answer, err) &&
	       reply_json(req, 200, json_incref(answer));
}

static bool post_get_token(struct request *req, struct err *err)
{
	const struct options *options = req->server->options;
	int64_t lifetime_ms = options->login_via_existing_session.token_timeout;
	bool done = true;
	struct str token;

	if (!options->login_via_existing_session.enabled)
		return err_set(err, M_UNRECOGNIZED, "This server gives out no login tokens");
	if (!json_is_object(req->body))
		return err_set(err, M_BAD_JSON, "The body is no object");
	if (options->login_via_existing_session.require_ui_auth && !uia_check_password(req, false, &done, err))
		return false;
	if (!done)
		return true;
	return limit_take(req->server->limits, LIMIT_LOGIN_ACCOUNT, req->user->user_id, err) &&
	       login_token_make(req->server, req->user->nid, lifetime_ms, req->arena, &token, err) &&
	       reply_json(req, 200,
			  json_pack("{s:o, s:I}", "login_token", json_new_str(token), "expires_in_ms",
				    (json_int_t)lifetime_ms));
}

struct refresh_body {
	struct str refresh_token;
};

static const struct json_field refresh_fields[] = {
	JSON_FIELD(struct refresh_body, refresh_token, JSON_REQUIRED),
	{ 0 },
};

static bool post_refresh(struct request *req, struct err *err)
{
	struct refresh_body body = { 0 };
	struct session session;
	json_t *answer;

	if (!json_read(req->body, refresh_fields, &body, err) ||
	    !session_refresh(req->server, body.refresh_token, req->arena, &session, err))
		return false;
	answer = json_object();
	answer_add_tokens(answer, &session);
	return reply_json(req, 200, answer);
}

static bool post_logout(struct request *req, struct err *err)
{
	const struct user *user = req->user;

	return (user->device ? session_close(req->server, user->nid, user->device, err)
			     : session_close_token(req->server, user->nid, user->token, err)) &&
	       reply_empty(req);
}

static bool post_logout_all(struct request *req, struct err *err)
{
	return session_close(req->server, req->user->nid, 0, err) && reply_empty(req);
}

static bool get_whoami(struct request *req, struct err *err UNUSED)
{
	json_t *answer =
		json_pack("{s:o, s:b}", "user_id", json_new_str(req->user->user_id), "is_guest", req->user->guest);

	if (req->user->device)
		json_object_set_new(answer, "device_id", json_new_str(req->user->device_id));
	return reply_json(req, 200, answer);
}

const struct route accounts_routes[] = {
	{ HTTP_GET, "/_matrix/client/v3/login", AUTH_NONE, LIMIT_NONE, get_login },
	{ HTTP_POST, "/_matrix/client/v3/login", AUTH_NONE, LIMIT_LOGIN, post_login },
	{ HTTP_POST, "/_matrix/client/v1/login/get_token", AUTH_USER, LIMIT_NONE, post_get_token },
	{ HTTP_POST, "/_matrix/client/v3/refresh", AUTH_NONE, LIMIT_NONE, post_refresh },
	{ HTTP_POST, "/_matrix/client/v3/logout", AUTH_USER, LIMIT_NONE, post_logout, BODY_NONE,
	  .flags = ROUTE_GUEST | ROUTE_DEACTIVATED },
	{ HTTP_POST, "/_matrix/client/v3/logout/all", AUTH_USER, LIMIT_NONE, post_logout_all, BODY_NONE,
	  .flags = ROUTE_DEACTIVATED },
	{ HTTP_GET, "/_matrix/client/v3/account/whoami", AUTH_USER, LIMIT_NONE, get_whoami, .flags = ROUTE_GUEST },
	{ 0 },
};
