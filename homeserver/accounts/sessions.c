/*
 * Sessions: a device and its tokens (client-server-api "Client Authentication", "Refreshing access tokens").
 *
 * A refresh makes a new pair and leaves the old one as it is, for the answer may be lost: the old pair ends when either
 * token of a new one is used for the first time. Until then a refresh may be repeated, and the pairs of the last two
 * attempts are good.
 */
#include "accounts/accounts_internal.h"
#include "base/utf8.h"
#include "keys/keys.h"

#define TOKEN_LENGTH 43 /* of 62 letters: 256 bits */

static const struct db_statement UPSERT_DEVICE = {
	"device_upsert",
	"INSERT INTO devices (device_nid, user_nid, device_id, display_name, created_ts, last_seen_ts, last_seen_ip, "
	"user_agent)"
	" VALUES ($1, $2, $3, $4, $5, $5, $6, $7)"
	" ON CONFLICT (user_nid, device_id) DO UPDATE SET last_seen_ts = excluded.last_seen_ts, last_seen_ip = "
	"excluded.last_seen_ip,"
	" user_agent = excluded.user_agent RETURNING device_nid, device_nid = $1",
};
/* A device's earlier tokens end when it logs in again. */
static const struct db_statement DELETE_DEVICE_TOKENS = {
	"tokens_delete_of_device",
	"DELETE FROM access_tokens WHERE device_nid = $1",
};
static const struct db_statement DELETE_DEVICE_REFRESH = {
	"refresh_delete_of_device",
	"DELETE FROM refresh_tokens WHERE device_nid = $1",
};
static const struct db_statement INSERT_TOKEN = {
	"token_insert",
	"INSERT INTO access_tokens (token_nid, token_hash, user_nid, device_nid, created_ts, expires_ts, validated_ts)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7)",
};
static const struct db_statement INSERT_REFRESH = {
	"refresh_insert",
	"INSERT INTO refresh_tokens (token_nid, token_hash, user_nid, device_nid, access_nid, previous_nid, "
	"created_ts, expires_ts, session_ends_ts)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
};

/* What a session's tokens are to be. */
struct token_plan {
	nid_t user;
	nid_t previous; /* refresh token; 0: a login */
	bool refreshable;
	int64_t now, session_ends_ts; /* CONFIG_FOREVER: never */
	nid_t access_nid, refresh_nid;
};

static int64_t after(int64_t now, int64_t lifetime)
{
	return lifetime == CONFIG_FOREVER ? CONFIG_FOREVER : now + lifetime;
}

static struct db_param moment(int64_t ts)
{
	return ts == CONFIG_FOREVER ? db_null() : db_int(ts);
}

static bool insert_refresh(struct server *server, struct db *db, const struct token_plan *plan,
			   const struct session *session, struct err *err)
{
	struct token_hash hash = token_hash_of(session->refresh_token);
	int64_t expires_ts = MIN(after(plan->now, server->options->refresh_token_lifetime), plan->session_ends_ts);

	return db_exec(db, &INSERT_REFRESH,
		       DB_PARAMS(db_int(plan->refresh_nid), db_bytes(token_hash_bytes(&hash)), db_int(plan->user),
				 db_int(session->device), db_int(plan->access_nid), db_int_or_null(plan->previous),
				 db_int(plan->now), moment(expires_ts), moment(plan->session_ends_ts)),
		       NULL, err);
}

/* session->device is set; makes the tokens. */
static bool insert_tokens(struct server *server, struct db *db, const struct token_plan *plan, struct arena *arena,
			  struct session *session, struct err *err)
{
	int64_t lifetime = plan->refreshable ? server->options->refreshable_token_lifetime
					     : server->options->nonrefreshable_token_lifetime;
	int64_t expires_ts = MIN(after(plan->now, lifetime), plan->session_ends_ts);
	struct token_hash hash;

	session->access_token = random_string(arena, TOKEN_LENGTH);
	session->expires_in_ms = expires_ts == CONFIG_FOREVER ? 0 : expires_ts - plan->now;
	hash = token_hash_of(session->access_token);
	if (!db_exec(db, &INSERT_TOKEN,
		     DB_PARAMS(db_int(plan->access_nid), db_bytes(token_hash_bytes(&hash)), db_int(plan->user),
			       db_int(session->device), db_int(plan->now), moment(expires_ts),
			       plan->previous ? db_null() : db_int(plan->now)),
		     NULL, err))
		return false;
	if (!plan->refreshable)
		return true;
	session->refresh_token = random_string(arena, TOKEN_LENGTH);
	return insert_refresh(server, db, plan, session, err);
}

static struct str first_code_points(struct str text, size_t count)
{
	struct str rest = text;
	uint32_t c;

	while (count-- && utf8_next(&rest, &c))
		;
	return str_sub(text, 0, text.len - rest.len);
}

static bool upsert_device(struct db *db, const struct session_request *request, nid_t fresh_nid, int64_t now,
			  struct arena *arena, struct session *session, bool *ret_new_device, struct err *err)
{
	struct str name = first_code_points(request->initial_display_name, MAX_DEVICE_DISPLAY_NAME);
	struct db_rows *rows;

	if (!db_query(db, &UPSERT_DEVICE,
		      DB_PARAMS(db_int(fresh_nid), db_int(request->user), db_text(session->device_id),
				db_text_or_null(name), db_int(now), db_text_or_null(request->address),
				db_text_or_null(request->user_agent)),
		      arena, &rows, err) ||
	    !db_next(rows))
		return false;
	session->device = db_get_nid(rows, 0);
	*ret_new_device = db_get_bool(rows, 1);
	return *ret_new_device || (db_exec(db, &DELETE_DEVICE_TOKENS, DB_PARAMS(db_int(session->device)), NULL, err) &&
				   db_exec(db, &DELETE_DEVICE_REFRESH, DB_PARAMS(db_int(session->device)), NULL, err));
}

static struct token_plan plan_login(const struct options *options, const struct session_request *request,
				    nid_t first_nid)
{
	int64_t now = clock_wall_ms();

	return (struct token_plan){
		.user = request->user,
		.refreshable = request->refreshable && !request->guest &&
			       options->refreshable_token_lifetime != CONFIG_FOREVER,
		.now = now,
		.session_ends_ts = request->guest ? CONFIG_FOREVER : after(now, options->session_lifetime),
		.access_nid = first_nid,
		.refresh_nid = first_nid + 1,
	};
}

bool device_id_acceptable(struct str device_id, struct err *err)
{
	if (device_id.len > MAX_DEVICE_ID)
		return err_set(err, M_INVALID_PARAM, "A device ID has at most %d bytes", MAX_DEVICE_ID);
	for (size_t i = 0; i < device_id.len; i++) {
		if ((unsigned char)device_id.ptr[i] < ' ' || device_id.ptr[i] == 0x7f)
			return err_set(err, M_INVALID_PARAM, "A device ID has no control characters");
	}
	return true;
}

bool session_open(struct server *server, const struct session_request *request, struct arena *arena,
		  struct session *ret_session, struct err *err)
{
	struct journal_entry entries[] = { { .kind = JOURNAL_TOKEN, .user = request->user },
					   { .kind = JOURNAL_DEVICE_LIST, .user = request->user } };
	struct session session = { .device_id = request->device_id };
	CLEANUP(db_release) struct db *db = NULL;
	struct token_plan plan;
	int64_t first_nid;
	bool new_device;

	if (!device_id_acceptable(session.device_id, err))
		return false;
	if (session.device_id.len && !cross_signing_check_device_id(server, request->user, session.device_id, err))
		return false;
	if (!session.device_id.len)
		session.device_id = random_string(arena, 10);
	if (!journal_next_ids(server->journal, 3, &first_nid, err) || !db_acquire(server->pool, &db, err) ||
	    !db_begin(db, err))
		return false;
	plan = plan_login(server->options, request, first_nid + 1);
	if (!upsert_device(db, request, first_nid, plan.now, arena, &session, &new_device, err) ||
	    !insert_tokens(server, db, &plan, arena, &session, err))
		return err_detail(err, "open a session");
	entries[0].device = session.device;
	if (!journal_append(server->journal, db, entries, new_device ? 2 : 1, NULL, err))
		return err_detail(err, "open a session");
	*ret_session = session;
	return true;
}

/* --- refreshing --- */

/*
 * What changes a device's tokens holds the device's row, what changes several devices the account's: so changes of one
 * session come one after the other, whichever of its tokens they begin with.
 */
static const struct db_statement LOCK_DEVICE = {
	"device_lock",
	"SELECT 1 FROM devices WHERE device_nid = $1 FOR UPDATE",
};
static const struct db_statement LOCK_ACCOUNT = {
	"account_lock",
	"SELECT 1 FROM accounts WHERE user_nid = $1 FOR NO KEY UPDATE",
};

static bool lock_row(struct db *db, const struct db_statement *statement, nid_t nid, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct db_rows *rows;

	return db_query(db, statement, DB_PARAMS(db_int(nid)), arena, &rows, err);
}

bool account_lock(struct db *db, nid_t user, struct err *err)
{
	return lock_row(db, &LOCK_ACCOUNT, user, err);
}

static const struct db_statement SELECT_REFRESH_DEVICE = {
	"refresh_select_device",
	"SELECT device_nid FROM refresh_tokens WHERE token_hash = $1",
};
static const struct db_statement SELECT_REFRESH = {
	"refresh_select",
	"SELECT r.token_nid, r.user_nid, r.device_nid, d.device_id, r.expires_ts, r.session_ends_ts, r.previous_nid"
	" FROM refresh_tokens r JOIN devices d USING (device_nid) WHERE r.token_hash = $1",
};
/* All successors but the latest: with the one that follows there are two. */
static const struct db_statement DELETE_SURPLUS = {
	"refresh_delete_surplus",
	"WITH gone AS (DELETE FROM refresh_tokens WHERE device_nid = $1 AND previous_nid = $2 AND token_nid <>"
	" (SELECT max(token_nid) FROM refresh_tokens WHERE device_nid = $1 AND previous_nid = $2) RETURNING access_nid)"
	" DELETE FROM access_tokens WHERE token_nid IN (SELECT access_nid FROM gone)",
};
static const struct db_statement DELETE_PREVIOUS = {
	"refresh_delete_previous",
	"WITH gone AS (DELETE FROM refresh_tokens WHERE device_nid = $1 AND token_nid = $2 RETURNING access_nid)"
	" DELETE FROM access_tokens WHERE token_nid IN (SELECT access_nid FROM gone)",
};
static const struct db_statement FORGET_PREVIOUS = {
	"refresh_forget_previous",
	"UPDATE refresh_tokens SET previous_nid = NULL WHERE device_nid = $1 AND previous_nid = $2",
};

bool refresh_retire(struct db *db, nid_t device, nid_t previous, struct err *err)
{
	return lock_row(db, &LOCK_DEVICE, device, err) &&
	       db_exec(db, &DELETE_PREVIOUS, DB_PARAMS(db_int(device), db_int(previous)), NULL, err) &&
	       db_exec(db, &FORGET_PREVIOUS, DB_PARAMS(db_int(device), db_int(previous)), NULL, err);
}

/* In a transaction: locks the refresh token's device, says what is to follow. */
static bool plan_refresh(struct db *db, struct str refresh_token, int64_t first_nid, struct arena *arena,
			 struct token_plan *ret_plan, struct session *ret_session, struct err *err)
{
	struct token_hash hash = token_hash_of(refresh_token);
	int64_t now = clock_wall_ms();
	struct db_rows *rows;

	if (!db_query(db, &SELECT_REFRESH_DEVICE, DB_PARAMS(db_bytes(token_hash_bytes(&hash))), arena, &rows, err) ||
	    (db_next(rows) && !lock_row(db, &LOCK_DEVICE, db_get_nid(rows, 0), err)) ||
	    !db_query(db, &SELECT_REFRESH, DB_PARAMS(db_bytes(token_hash_bytes(&hash))), arena, &rows, err))
		return false;
	if (!db_next(rows))
		return err_set(err, M_UNKNOWN_TOKEN, "This refresh token is not known");
	if (!db_is_null(rows, 4) && db_get_int(rows, 4) <= now) {
		err_set(err, M_UNKNOWN_TOKEN, "This refresh token has expired");
		return err_extra(err, "\"soft_logout\":true");
	}
	*ret_plan = (struct token_plan){
		.user = db_get_nid(rows, 1),
		.previous = db_get_nid(rows, 0),
		.refreshable = true,
		.now = now,
		.session_ends_ts = db_is_null(rows, 5) ? CONFIG_FOREVER : db_get_int(rows, 5),
		.access_nid = first_nid,
		.refresh_nid = first_nid + 1,
	};
	ret_session->device = db_get_nid(rows, 2);
	ret_session->device_id = db_get_str(rows, 3);
	return db_is_null(rows, 6) || refresh_retire(db, ret_session->device, db_get_nid(rows, 6), err);
}

bool session_refresh(struct server *server, struct str refresh_token, struct arena *arena, struct session *ret_session,
		     struct err *err)
{
	struct journal_entry entry = { .kind = JOURNAL_TOKEN };
	CLEANUP(db_release) struct db *db = NULL;
	struct session session = { 0 };
	struct token_plan plan = { 0 };
	int64_t first_nid;

	if (!journal_next_ids(server->journal, 2, &first_nid, err) || !db_acquire(server->pool, &db, err) ||
	    !db_begin(db, err) || !plan_refresh(db, refresh_token, first_nid, arena, &plan, &session, err) ||
	    !db_exec(db, &DELETE_SURPLUS, DB_PARAMS(db_int(session.device), db_int(plan.previous)), NULL, err) ||
	    !insert_tokens(server, db, &plan, arena, &session, err))
		return err_detail(err, "refresh a session");
	entry.user = plan.user;
	entry.device = session.device;
	if (!journal_append(server->journal, db, &entry, 1, NULL, err))
		return err_detail(err, "refresh a session");
	*ret_session = session;
	return true;
}

/* --- ending --- */

static const struct db_statement DELETE_DEVICES = {
	"devices_delete",
	"DELETE FROM devices WHERE user_nid = $1 AND device_nid <> $2",
};
static const struct db_statement DELETE_TOKENS = {
	"tokens_delete",
	"DELETE FROM access_tokens WHERE user_nid = $1 AND device_nid IS DISTINCT FROM $2",
};
static const struct db_statement DELETE_DEVICE = {
	"device_delete",
	"DELETE FROM devices WHERE user_nid = $1 AND device_nid = $2",
};
static const struct db_statement DELETE_TOKEN = {
	"token_delete",
	"DELETE FROM access_tokens WHERE user_nid = $1 AND token_nid = $2",
};

bool sessions_delete(struct db *db, nid_t user, nid_t keep, struct err *err)
{
	return account_lock(db, user, err) &&
	       db_exec(db, &DELETE_DEVICES, DB_PARAMS(db_int(user), db_int(keep)), NULL, err) &&
	       db_exec(db, &DELETE_TOKENS, DB_PARAMS(db_int(user), db_int(keep)), NULL, err);
}

bool session_close(struct server *server, nid_t user, nid_t device, struct err *err)
{
	struct journal_entry entries[] = {
		{ .kind = JOURNAL_TOKEN, .user = user, .device = device },
		{ .kind = JOURNAL_DEVICE_LIST, .user = user },
	};
	CLEANUP(db_release) struct db *db = NULL;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !(device ? db_exec(db, &DELETE_DEVICE, DB_PARAMS(db_int(user), db_int(device)), NULL, err)
		     : sessions_delete(db, user, 0, err)) ||
	    !journal_append(server->journal, db, entries, ARRAY_LEN(entries), NULL, err))
		return err_detail(err, "close a session");
	return true;
}

bool session_close_token(struct server *server, nid_t user, nid_t token, struct err *err)
{
	struct journal_entry entry = { .kind = JOURNAL_TOKEN, .user = user };
	CLEANUP(db_release) struct db *db = NULL;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !db_exec(db, &DELETE_TOKEN, DB_PARAMS(db_int(user), db_int(token)), NULL, err) ||
	    !journal_append(server->journal, db, &entry, 1, NULL, err))
		return err_detail(err, "close a session");
	return true;
}
