/* client-server-api "Account registration", and Synapse's registration with a shared secret. */
#include <gnutls/crypto.h>
#include <sodium.h>

#include "accounts/accounts_internal.h"
#include "accounts/uia.h"
#include "limits/limits.h"
#include "matrix/identifiers.h"

#define GENERATED_LENGTH  12
#define NONCE_LENGTH      64
#define NONCE_LIFETIME_MS 60000
#define MAX_SECRET_FIELD  512

struct register_body {
	json_t *username; /* any value: what has NUL bytes is a bad name, not bad JSON */
	struct str password, device_id, initial_device_display_name;
	bool inhibit_login, refresh_token;
};

static const struct json_field register_fields[] = {
	JSON_FIELD(struct register_body, username, JSON_OPTIONAL),
	JSON_FIELD(struct register_body, password, JSON_OPTIONAL),
	JSON_FIELD(struct register_body, device_id, JSON_OPTIONAL),
	JSON_FIELD(struct register_body, initial_device_display_name, JSON_OPTIONAL),
	JSON_FIELD(struct register_body, inhibit_login, JSON_OPTIONAL),
	JSON_FIELD(struct register_body, refresh_token, JSON_OPTIONAL),
	{ 0 },
};

static bool sign_up_open(const struct registration_options *options)
{
	/* Neither addresses nor captchas can be verified. */
	return options->enabled && !options->requires_3pid.count && !options->captcha &&
	       (options->requires_token || options->without_verification);
}

static bool all_digits(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
	}
	return text.len > 0;
}

/* What people may call themselves: names of digits are guests', those with an underscore first application services'.
 */
static bool check_name(struct request *req, struct str name, bool tell_taken, struct str *ret_user_id, struct err *err)
{
	name = str_lower_ascii(req->arena, name);
	if (all_digits(name) || str_starts_with(name, STR("_")))
		return err_set(err, M_INVALID_USERNAME, "A user name may not be a number, nor begin with _");
	if (account_check_localpart(req->server, name, request_domain(req)->name, req->arena, ret_user_id, err))
		return true;
	if (tell_taken || err->code != M_USER_IN_USE)
		return false;
	*err = (struct err){ 0 };
	return true;
}

static bool wanted_user_id(struct request *req, const json_t *username, bool tell_taken, struct str *ret_user_id,
			   struct err *err)
{
	if (json_is_null(username) || !username) {
		struct str name = str_lower_ascii(req->arena, random_string(req->arena, GENERATED_LENGTH));

		*ret_user_id = str_printf(req->arena, "@u%.*s:%.*s", STR_ARG(name), STR_ARG(request_domain(req)->name));
		return true;
	}
	if (!json_is_string(username))
		return err_set(err, M_BAD_JSON, "username is not a string");
	return check_name(req, json_str(username), tell_taken, ret_user_id, err);
}

/* The answer for an account that has just been made, with a session if one is wanted. */
static bool welcome(struct request *req, nid_t user, struct str user_id, bool guest, const struct register_body *body,
		    bool home_server, struct err *err)
{
	struct session_wish wish = { body->device_id, body->initial_device_display_name, body->refresh_token };
	json_t *answer = json_pack("{s:o}", "user_id", json_new_str(user_id));

	arena_defer(req->arena, (void (*)(void *))json_decref, answer);
	if (home_server)
		json_object_set_new(answer, "home_server", json_new_str(identifier_domain(user_id)));
	return (body->inhibit_login || answer_with_session(req, user, guest, &wish, answer, err)) &&
	       reply_json(req, 200, json_incref(answer));
}

static bool create_and_welcome(struct request *req, const struct new_account *account, const struct register_body *body,
			       struct err *err)
{
	nid_t user;

	return limit_take(req->server->limits, LIMIT_SIGN_UP, limit_address(req), err) &&
	       account_create(req->server, account, &user, err) &&
	       welcome(req, user, account->user_id, account->guest, body, false, err);
}

/* The answer to the request that made the account was lost. */
static bool welcome_again(struct request *req, struct str user_id, const struct register_body *body, struct err *err)
{
	struct account account;

	if (!account_find(req->server, user_id, req->arena, &account, err))
		return false;
	if (!account.user || account.deactivated ||
	    !password_matches(req->server, account.password_hash, body->password, req->arena))
		return err_set(err, M_FORBIDDEN, "This registration is done");
	return welcome(req, account.user, user_id, false, body, false, err);
}

static bool register_user(struct request *req, const struct register_body *body, struct err *err)
{
	const struct registration_options *options = &request_domain(req)->registration;
	const struct uia uia = {
		.flows = { options->requires_token ? UIA_REGISTRATION_TOKEN : UIA_DUMMY },
		.flow_count = 1,
	};
	struct new_account account = { .password = body->password };
	struct uia_result result;
	struct str registered;
	bool done;

	if (!sign_up_open(options))
		return err_set(err, M_FORBIDDEN, "Nobody can sign up on this server");
	if (!uia_registered_user(req, &registered, err))
		return false;
	if (registered.len)
		return welcome_again(req, registered, body, err);
	if (!wanted_user_id(req, body->username, !options->hide_user_in_use, &account.user_id, err) ||
	    (body->password.ptr && !password_acceptable(req->server->options, body->password, err)) ||
	    !uia_check(req, &uia, &result, &done, err))
		return false;
	if (!done)
		return true;
	if (!body->password.len)
		return err_set(err, M_MISSING_PARAM, "The password is missing");
	account.uia_session = result.session;
	account.registration_token = result.registration_token;
	return create_and_welcome(req, &account, body, err);
}

/* Guests are numbers. */
static bool register_guest(struct request *req, const struct register_body *body, struct err *err)
{
	struct new_account account = { .guest = true };
	struct register_body plain = { .initial_device_display_name = body->initial_device_display_name };
	uint64_t number = ((uint64_t)randombytes_random() << 20) | (randombytes_random() >> 12);

	if (!request_domain(req)->registration.guests)
		return err_set(err, M_FORBIDDEN, "This server has no guests");
	account.user_id = str_printf(req->arena, "@%" PRIu64 ":%.*s", number, STR_ARG(request_domain(req)->name));
	return create_and_welcome(req, &account, &plain, err);
}

static bool post_register(struct request *req, struct err *err)
{
	struct str kind = query_param(req, "kind");
	struct register_body body = { 0 };

	if (!json_read(req->body, register_fields, &body, err) || !device_id_acceptable(body.device_id, err))
		return false;
	if (str_eq(kind, STR("guest")))
		return register_guest(req, &body, err);
	if (kind.ptr && !str_eq(kind, STR("user")))
		return err_set(err, M_INVALID_PARAM, "An account is of the kind user or guest");
	return register_user(req, &body, err);
}

static bool get_available(struct request *req, struct err *err)
{
	struct str name = query_param(req, "username"), user_id;
	const struct registration_options *options = &request_domain(req)->registration;

	if (!name.ptr)
		return err_set(err, M_MISSING_PARAM, "username is missing");
	if (!sign_up_open(options))
		return err_set(err, M_FORBIDDEN, "Nobody can sign up on this server");
	return check_name(req, name, !options->hide_user_in_use, &user_id, err) &&
	       reply_json(req, 200, json_pack("{s:b}", "available", 1));
}

static bool get_token_validity(struct request *req, struct err *err)
{
	struct str token = query_param(req, "token");
	bool valid;

	if (!token.ptr)
		return err_set(err, M_MISSING_PARAM, "token is missing");
	if (!request_domain(req)->registration.enabled)
		return err_set(err, M_FORBIDDEN, "Nobody can sign up on this server");
	return registration_token_valid(req->server, token, STR(""), &valid, err) &&
	       reply_json(req, 200, json_pack("{s:b}", "valid", valid));
}

/* --- with the shared secret --- */

static const struct db_statement INSERT_NONCE = {
	"registration_nonce_insert",
	"WITH old AS (DELETE FROM registration_nonces WHERE nonce IN (SELECT nonce FROM registration_nonces WHERE "
	"expires_ts < $2 - $3"
	" ORDER BY expires_ts LIMIT 20 FOR UPDATE SKIP LOCKED)) INSERT INTO registration_nonces (nonce, expires_ts) "
	"VALUES ($1, $2)",
};
static const struct db_statement TAKE_NONCE = {
	"registration_nonce_take",
	"DELETE FROM registration_nonces WHERE nonce = $1 AND expires_ts > $2",
};

struct secret_body {
	struct str nonce, username, password, mac, displayname, user_type;
	struct str device_id, initial_device_display_name;
	bool admin, inhibit_login, refresh_token;
};

static const struct json_field secret_fields[] = {
	JSON_FIELD(struct secret_body, nonce, JSON_REQUIRED),
	JSON_FIELD(struct secret_body, username, JSON_REQUIRED),
	JSON_FIELD(struct secret_body, password, JSON_REQUIRED),
	JSON_FIELD(struct secret_body, mac, JSON_REQUIRED),
	JSON_FIELD(struct secret_body, displayname, JSON_OPTIONAL),
	JSON_FIELD(struct secret_body, user_type, JSON_OPTIONAL),
	JSON_FIELD(struct secret_body, device_id, JSON_OPTIONAL),
	JSON_FIELD(struct secret_body, initial_device_display_name, JSON_OPTIONAL),
	JSON_FIELD(struct secret_body, admin, JSON_OPTIONAL),
	JSON_FIELD(struct secret_body, inhibit_login, JSON_OPTIONAL),
	JSON_FIELD(struct secret_body, refresh_token, JSON_OPTIONAL),
	{ 0 },
};

static bool require_secret(struct request *req, struct err *err)
{
	return request_domain(req)->registration.shared_secret.len ||
	       err_status(err, 400, M_UNKNOWN, "This server has no shared secret for registration");
}

static bool get_nonce(struct request *req, struct err *err)
{
	struct str nonce = random_string(req->arena, NONCE_LENGTH);
	int64_t expires_ts = clock_wall_ms() + NONCE_LIFETIME_MS;
	CLEANUP(db_release) struct db *db = NULL;

	if (!require_secret(req, err) || !db_acquire(req->server->pool, &db, err) ||
	    !db_exec(db, &INSERT_NONCE, DB_PARAMS(db_text(nonce), db_int(expires_ts), db_int(NONCE_LIFETIME_MS)), NULL,
		     err))
		return false;
	return reply_field(req, "nonce", nonce);
}

static bool take_nonce(struct request *req, struct str nonce, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	int64_t taken;

	if (!db_acquire(req->server->pool, &db, err) ||
	    !db_exec(db, &TAKE_NONCE, DB_PARAMS(db_text(nonce), db_int(clock_wall_ms())), &taken, err))
		return false;
	return taken || err_status(err, 400, M_UNKNOWN, "This nonce is not known");
}

/* Lowercase hex HMAC-SHA1 of nonce, name, password, admin or notadmin and, if given, the type, with NUL bytes between
 * them. */
static bool check_mac(struct request *req, const struct secret_body *body, struct err *err)
{
	struct str secret = request_domain(req)->registration.shared_secret, expected;
	CLEANUP(buf_done) struct buf text = buf_init(8192);
	uint8_t mac[20];

	buf_append(&text, body->nonce);
	buf_char(&text, 0);
	buf_append(&text, body->username);
	buf_char(&text, 0);
	buf_append(&text, body->password);
	buf_char(&text, 0);
	buf_append(&text, body->admin ? STR("admin") : STR("notadmin"));
	if (body->user_type.len) {
		buf_char(&text, 0);
		buf_append(&text, body->user_type);
	}
	if (!buf_ok(&text) || gnutls_hmac_fast(GNUTLS_MAC_SHA1, secret.ptr, secret.len, text.ptr, text.len, mac) != 0)
		return err_internal(err, "cannot compute the HMAC of a registration");
	sodium_memzero(text.ptr, text.len);
	expected = hex_encode(req->arena, mac, sizeof(mac));
	if (body->mac.len != expected.len || sodium_memcmp(body->mac.ptr, expected.ptr, expected.len) != 0)
		return err_set(err, M_FORBIDDEN, "The MAC is wrong");
	return true;
}

static bool check_secret_fields(const struct secret_body *body, struct err *err)
{
	const struct str texts[] = { body->nonce, body->username, body->password };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (!texts[i].len || texts[i].len > MAX_SECRET_FIELD)
			return err_set(err, M_INVALID_PARAM, "Nonce, name and password have 1 to %d bytes",
				       MAX_SECRET_FIELD);
	}
	if (body->displayname.len > MAX_SECRET_FIELD)
		return err_set(err, M_INVALID_PARAM, "The display name is too long");
	if (body->user_type.len && !str_eq(body->user_type, STR("support")) && !str_eq(body->user_type, STR("bot")))
		return err_set(err, M_INVALID_PARAM, "A user type is support or bot");
	return device_id_acceptable(body->device_id, err);
}

static bool post_secret_register(struct request *req, struct err *err)
{
	struct secret_body body = { 0 };
	struct register_body session;
	struct new_account account;
	struct str name;
	nid_t user;

	if (!require_secret(req, err) || !json_read(req->body, secret_fields, &body, err) ||
	    !check_secret_fields(&body, err) || !take_nonce(req, body.nonce, err) || !check_mac(req, &body, err))
		return false;
	name = str_lower_ascii(req->arena, body.username);
	account = (struct new_account){
		.password = body.password,
		.admin = body.admin,
		.displayname = body.displayname,
		.user_type = body.user_type,
	};
	session = (struct register_body){
		.device_id = body.device_id,
		.initial_device_display_name = body.initial_device_display_name,
		.inhibit_login = body.inhibit_login,
		.refresh_token = body.refresh_token,
	};
	return account_check_localpart(req->server, name, request_domain(req)->name, req->arena, &account.user_id,
				       err) &&
	       account_create(req->server, &account, &user, err) &&
	       welcome(req, user, account.user_id, false, &session, true, err);
}

const struct route register_routes[] = {
	{ HTTP_POST, "/_matrix/client/v3/register", AUTH_NONE, LIMIT_REGISTRATION, post_register },
	{ HTTP_GET, "/_matrix/client/v3/register/available", AUTH_NONE, LIMIT_REGISTRATION, get_available },
	{ HTTP_GET, "/_matrix/client/v1/register/m.login.registration_token/validity", AUTH_NONE, LIMIT_TOKEN_VALIDITY,
	  get_token_validity },
	{ HTTP_GET, "/_synapse/admin/v1/register", AUTH_NONE, LIMIT_NONE, get_nonce, .flags = ROUTE_UNLISTED },
	{ HTTP_POST, "/_synapse/admin/v1/register", AUTH_NONE, LIMIT_NONE, post_secret_register,
	  .flags = ROUTE_UNLISTED },
	{ 0 },
};
