#include "accounts/uia.h"

#include "accounts/accounts_internal.h"
#include "limits/limits.h"

#define SESSION_LIFETIME_MS ((int64_t)60 * 60 * 1000)
#define SESSION_LENGTH      24
#define MAX_OPERATION       1024

static const struct {
	enum uia_stage stage;
	struct str type;
} stage_types[] = {
	{ UIA_REGISTRATION_TOKEN, STR_INIT("m.login.registration_token") },
	{ UIA_PASSWORD, STR_INIT("m.login.password") },
	{ UIA_DUMMY, STR_INIT("m.login.dummy") },
};

/* A session as it stands in this request. */
struct session_state {
	struct str id; /* empty: not in the database yet */
	unsigned completed;
	struct str registration_token, result;
};

struct auth_body {
	struct str type, session, token;
};

static const struct json_field auth_fields[] = {
	JSON_FIELD(struct auth_body, type, JSON_OPTIONAL),
	JSON_FIELD(struct auth_body, session, JSON_OPTIONAL),
	JSON_FIELD(struct auth_body, token, JSON_OPTIONAL),
	{ 0 },
};

/* --- rows --- */

/* Sweeps a few that have expired. */
static const struct db_statement INSERT_SESSION = {
	"uia_insert",
	"WITH old AS (DELETE FROM uia_sessions WHERE session_id IN (SELECT session_id FROM uia_sessions WHERE "
	"expires_ts < $6 - $7"
	" ORDER BY expires_ts LIMIT 20 FOR UPDATE SKIP LOCKED))"
	" INSERT INTO uia_sessions (session_id, user_nid, operation, completed, registration_token, expires_ts)"
	" VALUES ($1, $2, $3, $4, $5, $6)",
};
static const struct db_statement SELECT_SESSION = {
	"uia_select",
	"SELECT session_id, completed, registration_token, result FROM uia_sessions"
	" WHERE session_id = $1 AND user_nid = $2 AND operation = $3 AND expires_ts > $4",
};
static const struct db_statement UPDATE_SESSION = {
	"uia_update",
	"UPDATE uia_sessions SET completed = completed | $2, registration_token = coalesce($3, registration_token) "
	"WHERE session_id = $1",
};
/* Once: of two requests that complete it at the same time one is too late. */
static const struct db_statement DELETE_SESSION = { "uia_delete", "DELETE FROM uia_sessions WHERE session_id = $1" };
static const struct db_statement SET_VALIDATED = {
	"token_set_validated",
	"UPDATE access_tokens SET validated_ts = $2 WHERE token_nid = $1",
};
static const struct db_statement SELECT_VALIDATED = {
	"token_select_validated",
	"SELECT validated_ts FROM access_tokens WHERE token_nid = $1",
};

static nid_t owner_of(const struct request *req)
{
	return req->user ? req->user->nid : 0;
}

static struct str operation_of(const struct request *req)
{
	return str_sub(str_printf(req->arena, "%.*s %.*s", STR_ARG(req->method), STR_ARG(req->path)), 0, MAX_OPERATION);
}

static bool run(struct request *req, const struct db_statement *statement, struct db_params params,
		int64_t *ret_affected, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;

	return (db_acquire(req->server->pool, &db, err) && db_exec(db, statement, params, ret_affected, err)) ||
	       err_detail(err, "a session of user-interactive authentication");
}

static bool save(struct request *req, struct session_state *state, struct err *err)
{
	if (state->id.len)
		return run(req, &UPDATE_SESSION,
			   DB_PARAMS(db_text(state->id), db_int(state->completed),
				     db_text_or_null(state->registration_token)),
			   NULL, err);
	state->id = random_string(req->arena, SESSION_LENGTH);
	return run(req, &INSERT_SESSION,
		   DB_PARAMS(db_text(state->id), db_int(owner_of(req)), db_text(operation_of(req)),
			     db_int(state->completed), db_text_or_null(state->registration_token),
			     db_int(clock_wall_ms() + SESSION_LIFETIME_MS), db_int(SESSION_LIFETIME_MS)),
		   NULL, err);
}

/* An ID that is not found leaves the state empty. */
static bool load(struct request *req, struct str session_id, struct session_state *ret_state, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	*ret_state = (struct session_state){ 0 };
	if (!db_acquire(req->server->pool, &db, err) ||
	    !db_query(db, &SELECT_SESSION,
		      DB_PARAMS(db_text(session_id), db_int(owner_of(req)), db_text(operation_of(req)),
				db_int(clock_wall_ms())),
		      req->arena, &rows, err))
		return err_detail(err, "find a session of user-interactive authentication");
	if (db_next(rows))
		*ret_state = (struct session_state){
			.id = db_get_str(rows, 0),
			.completed = (unsigned)db_get_int(rows, 1),
			.registration_token = db_get_str(rows, 2),
			.result = db_get_str(rows, 3),
		};
	return true;
}

/* --- the answer that asks --- */

static json_t *stage_list(unsigned stages)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_LEN(stage_types); i++) {
		if (stages & stage_types[i].stage)
			json_array_append_new(list, json_new_str(stage_types[i].type));
	}
	return list;
}

/* `problem`: what was wrong with the last attempt; NULL: nothing. */
static bool ask(struct request *req, const struct uia *uia, struct session_state *state, const struct err *problem,
		struct err *err)
{
	json_t *answer, *flows;

	if (!save(req, state, err))
		return false;
	answer = json_object();
	flows = json_array();
	for (size_t i = 0; i < uia->flow_count; i++)
		json_array_append_new(flows, json_pack("{s:o}", "stages", stage_list(uia->flows[i])));
	json_object_set_new(answer, "flows", flows);
	json_object_set_new(answer, "params", json_object());
	json_object_set_new(answer, "session", json_new_str(state->id));
	if (state->completed)
		json_object_set_new(answer, "completed", stage_list(state->completed));
	if (problem) {
		json_object_set_new(answer, "errcode", json_string(errcode_name(problem->code)));
		json_object_set_new(answer, "error", json_string(problem->message));
	}
	return reply_json(req, 401, answer);
}

static bool ask_again(struct request *req, const struct uia *uia, struct session_state *state, enum errcode code,
		      const char *words, struct err *err)
{
	struct err problem = { 0 };

	err_set(&problem, code, "%s", words);
	return ask(req, uia, state, &problem, err);
}

/* --- stages --- */

static bool check_password(struct request *req, const json_t *auth, struct err *err)
{
	struct account account;

	return req->user && password_login(req, auth, req->user->user_id, req->user->nid, &account, err);
}

static bool check_token(struct request *req, const struct auth_body *auth, struct session_state *state, struct err *err)
{
	bool valid;

	if (!auth->token.len)
		return err_set(err, M_MISSING_PARAM, "The registration token is missing");
	if (!limit_take(req->server->limits, LIMIT_ASK_TOKEN, limit_address(req), err) ||
	    !registration_token_valid(req->server, auth->token, state->id, &valid, err))
		return false;
	if (!valid)
		return err_set(err, M_UNAUTHORIZED, "This registration token is not valid");
	state->registration_token = auth->token;
	return true;
}

static bool check_stage(struct request *req, enum uia_stage stage, const json_t *json, const struct auth_body *auth,
			struct session_state *state, struct err *err)
{
	switch (stage) {
	case UIA_PASSWORD:
		return check_password(req, json, err);
	case UIA_REGISTRATION_TOKEN:
		return check_token(req, auth, state, err);
	case UIA_DUMMY:
		return true;
	}
	abort();
}

static unsigned stage_of(const struct uia *uia, struct str type)
{
	unsigned offered = 0;

	for (size_t i = 0; i < uia->flow_count; i++)
		offered |= uia->flows[i];
	for (size_t i = 0; i < ARRAY_LEN(stage_types); i++) {
		if (str_eq(type, stage_types[i].type))
			return offered & stage_types[i].stage;
	}
	return 0;
}

static bool is_complete(const struct uia *uia, unsigned completed)
{
	for (size_t i = 0; i < uia->flow_count; i++) {
		if ((uia->flows[i] & ~completed) == 0)
			return true;
	}
	return false;
}

/* What was wrong with the attempt, and may be tried again; other errors end the request. */
static bool is_refusal(const struct err *err)
{
	return err->code == M_FORBIDDEN || err->code == M_UNAUTHORIZED;
}

/* --- the whole --- */

/* A registration's session is kept, for its result; others have done their duty. */
static bool finish(struct request *req, const struct session_state *state, bool *ret_done, struct err *err)
{
	int64_t deleted = 1;

	if (req->user && state->id.len && !run(req, &DELETE_SESSION, DB_PARAMS(db_text(state->id)), &deleted, err))
		return false;
	if (!deleted)
		return err_set(err, M_FORBIDDEN, "This authentication has been used already");
	*ret_done = true;
	return !req->user || !req->server->options->ui_auth_session_timeout ||
	       run(req, &SET_VALIDATED, DB_PARAMS(db_int(req->user->token), db_int(clock_wall_ms())), NULL, err);
}

static bool authenticated_recently(struct request *req, bool *ret_recent, struct err *err)
{
	int64_t timeout = req->server->options->ui_auth_session_timeout;
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	*ret_recent = false;
	if (!req->user || !timeout)
		return true;
	if (!db_acquire(req->server->pool, &db, err) ||
	    !db_query(db, &SELECT_VALIDATED, DB_PARAMS(db_int(req->user->token)), req->arena, &rows, err))
		return false;
	*ret_recent = db_next(rows) && !db_is_null(rows, 0) &&
		      (timeout == CONFIG_FOREVER || db_get_int(rows, 0) > clock_wall_ms() - timeout);
	return true;
}

static bool read_auth(struct request *req, json_t **ret_json, struct auth_body *ret_auth, struct err *err)
{
	json_t *json = json_object_get(req->body, "auth");

	*ret_auth = (struct auth_body){ 0 };
	*ret_json = json_is_null(json) || (json_is_object(json) && json_object_size(json) == 0) ? NULL : json;
	return !*ret_json || json_read(*ret_json, auth_fields, ret_auth, err);
}

static bool attempt(struct request *req, const struct uia *uia, const json_t *json, const struct auth_body *auth,
		    struct session_state *state, bool *ret_done, struct err *err)
{
	unsigned stage = stage_of(uia, auth->type);
	struct err problem = { 0 };

	/* Without a type the client asks whether a stage was done elsewhere ("Fallback"). */
	if (!stage && auth->type.len)
		return ask_again(req, uia, state, M_UNRECOGNIZED, "This stage is not asked for", err);
	if (stage && !(state->completed & stage)) {
		if (!check_stage(req, (enum uia_stage)stage, json, auth, state, &problem)) {
			if (is_refusal(&problem))
				return ask(req, uia, state, &problem, err);
			*err = problem;
			return false;
		}
		state->completed |= stage;
	}
	if (is_complete(uia, state->completed))
		return finish(req, state, ret_done, err);
	return ask(req, uia, state, NULL, err);
}

bool uia_check(struct request *req, const struct uia *uia, struct uia_result *ret_result, bool *ret_done,
	       struct err *err)
{
	struct session_state state = { 0 };
	struct auth_body auth;
	json_t *json;

	*ret_done = false;
	if (!read_auth(req, &json, &auth, err))
		return false;
	if (!json) {
		if (uia->may_be_recent && !authenticated_recently(req, ret_done, err))
			return false;
		return *ret_done || ask(req, uia, &state, NULL, err);
	}
	if (auth.session.len && !load(req, auth.session, &state, err))
		return false;
	if (auth.session.len && !state.id.len)
		return ask_again(req, uia, &state, M_UNKNOWN,
				 "This authentication is not known, has expired, or was for something else", err);
	if (!attempt(req, uia, json, &auth, &state, ret_done, err))
		return false;
	if (ret_result)
		*ret_result = (struct uia_result){ state.id, state.registration_token };
	return true;
}

bool uia_check_password(struct request *req, bool may_be_recent, bool *ret_done, struct err *err)
{
	const struct uia uia = { .flows = { UIA_PASSWORD }, .flow_count = 1, .may_be_recent = may_be_recent };
	const struct options *options = req->server->options;

	if (options->password_login == PASSWORD_OFF || !options->password_local)
		return err_set(err, M_FORBIDDEN, "This server has no passwords that could confirm this");
	return uia_check(req, &uia, NULL, ret_done, err);
}

bool uia_registered_user(struct request *req, struct str *ret_user_id, struct err *err)
{
	struct session_state state = { 0 };
	struct auth_body auth;
	json_t *json;

	*ret_user_id = STR("");
	if (!read_auth(req, &json, &auth, err) || (auth.session.len && !load(req, auth.session, &state, err)))
		return false;
	*ret_user_id = state.result;
	return true;
}
