/* Registration tokens (client-server-api "Token-authenticated registration"). */
#include "accounts/accounts_internal.h"

#define NEW_TOKEN_LENGTH 16

static const struct db_statement SELECT_VALID = {
	"registration_token_select_valid",
	"SELECT 1 FROM registration_tokens t WHERE t.token = $1 AND (t.expiry_ts IS NULL OR t.expiry_ts > $2) AND "
	"(t.uses_allowed IS NULL OR"
	" t.uses_allowed > t.completed + (SELECT count(*) FROM uia_sessions s WHERE s.registration_token = $1 AND "
	"s.session_id <> $3"
	" AND s.result IS NULL AND s.expires_ts > $2))",
};

bool registration_token_valid(struct server *server, struct str token, struct str uia_session, bool *ret_valid,
			      struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_VALID, DB_PARAMS(db_text(token), db_int(clock_wall_ms()), db_text(uia_session)),
		      arena, &rows, err))
		return err_detail(err, "look up a registration token");
	*ret_valid = db_next(rows);
	return true;
}

/* Of several processes that start together one makes it. */
static const struct db_statement LOCK_TOKENS = {
	"registration_tokens_lock",
	"LOCK TABLE registration_tokens IN SHARE ROW EXCLUSIVE MODE",
};
static const struct db_statement INSERT_FIRST = {
	"registration_token_insert_first",
	"INSERT INTO registration_tokens (token) SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM registration_tokens)",
};

bool registration_token_make_first(struct server *server, struct arena *arena, struct str *ret_token, bool *ret_made,
				   struct err *err)
{
	struct str token = random_string(arena, NEW_TOKEN_LENGTH);
	CLEANUP(db_release) struct db *db = NULL;
	int64_t inserted;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !db_exec(db, &LOCK_TOKENS, DB_NO_PARAMS, NULL, err) ||
	    !db_exec(db, &INSERT_FIRST, DB_PARAMS(db_text(token)), &inserted, err) || !db_commit(db, err))
		return err_detail(err, "make a registration token");
	*ret_token = token;
	*ret_made = inserted == 1;
	return true;
}
