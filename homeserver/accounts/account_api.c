/* client-server-api "Account management": password, deactivation. */
#include "accounts/accounts_internal.h"
#include "accounts/uia.h"

struct password_body {
	struct str new_password;
	bool logout_devices;
};

static const struct json_field password_fields[] = {
	JSON_FIELD(struct password_body, new_password, JSON_OPTIONAL),
	JSON_FIELD(struct password_body, logout_devices, JSON_OPTIONAL),
	{ 0 },
};

/* Without a new password it only begins the authentication. */
static bool post_password(struct request *req, struct err *err)
{
	struct password_body body = { .logout_devices = true };
	bool done;

	if (!json_read(req->body, password_fields, &body, err) ||
	    (body.new_password.ptr && !password_acceptable(req->server->options, body.new_password, err)) ||
	    !uia_check_password(req, false, &done, err))
		return false;
	if (!done)
		return true;
	if (!body.new_password.ptr)
		return err_set(err, M_MISSING_PARAM, "new_password is missing");
	return account_set_password(req->server, req->user->nid, body.new_password, body.logout_devices,
				    req->user->device, err) &&
	       reply_empty(req);
}

struct deactivate_body {
	struct str id_server;
	bool erase;
};

static const struct json_field deactivate_fields[] = {
	JSON_FIELD(struct deactivate_body, id_server, JSON_OPTIONAL),
	JSON_FIELD(struct deactivate_body, erase, JSON_OPTIONAL),
	{ 0 },
};

static bool post_deactivate(struct request *req, struct err *err)
{
	struct deactivate_body body = { 0 };
	bool done;

	if (!json_read(req->body, deactivate_fields, &body, err) || !uia_check_password(req, false, &done, err))
		return false;
	if (!done)
		return true;
	/* Nothing is bound at an identity server, so nothing is left there. */
	return account_deactivate(req->server, req->user->nid, req->user->user_id, body.erase, err) &&
	       reply_json(req, 200, json_pack("{s:s}", "id_server_unbind_result", "success"));
}

/* There is none: addresses are not verified here. Clients ask all the same. */
static bool get_threepids(struct request *req, struct err *err UNUSED)
{
	return reply_json(req, 200, json_pack("{s:[]}", "threepids"));
}

const struct route account_routes[] = {
	{ HTTP_GET, "/_matrix/client/v3/account/3pid", AUTH_USER, LIMIT_NONE, get_threepids },
	{ HTTP_POST, "/_matrix/client/v3/account/password", AUTH_USER, LIMIT_NONE, post_password },
	{ HTTP_POST, "/_matrix/client/v3/account/deactivate", AUTH_USER, LIMIT_NONE, post_deactivate },
	{ 0 },
};
