/* Login tokens (client-server-api "Token-based login"): good for one login, for a short time. */
#include "accounts/accounts_internal.h"

#define LOGIN_TOKEN_LENGTH 43

/* Sweeps a few that have expired. */
static const struct db_statement INSERT_LOGIN_TOKEN = {
	"login_token_insert",
	"WITH old AS (DELETE FROM login_tokens WHERE token_hash IN (SELECT token_hash FROM login_tokens WHERE "
	"expires_ts < $4"
	" ORDER BY expires_ts LIMIT 20 FOR UPDATE SKIP LOCKED))"
	" INSERT INTO login_tokens (token_hash, user_nid, expires_ts) VALUES ($1, $2, $3)",
};
static const struct db_statement TAKE_LOGIN_TOKEN = {
	"login_token_take",
	"WITH taken AS (DELETE FROM login_tokens WHERE token_hash = $1 AND expires_ts > $2 RETURNING user_nid)"
	" SELECT user_id FROM taken JOIN users USING (user_nid) JOIN accounts USING (user_nid) WHERE NOT deactivated",
};

bool login_token_make(struct server *server, nid_t user, int64_t lifetime_ms, struct arena *arena,
		      struct str *ret_token, struct err *err)
{
	struct str token = random_string(arena, LOGIN_TOKEN_LENGTH);
	struct token_hash hash = token_hash_of(token);
	CLEANUP(db_release) struct db *db = NULL;
	int64_t now = clock_wall_ms();

	if (!db_acquire(server->pool, &db, err) ||
	    !db_exec(db, &INSERT_LOGIN_TOKEN,
		     DB_PARAMS(db_bytes(token_hash_bytes(&hash)), db_int(user), db_int(now + lifetime_ms), db_int(now)),
		     NULL, err))
		return err_detail(err, "make a login token");
	*ret_token = token;
	return true;
}

bool login_token_take(struct server *server, struct str token, struct arena *arena, struct account *ret_account,
		      struct err *err)
{
	struct token_hash hash = token_hash_of(token);
	struct str user_id = STR("");
	{
		CLEANUP(db_release) struct db *db = NULL;
		struct db_rows *rows;

		if (!db_acquire(server->pool, &db, err) ||
		    !db_query(db, &TAKE_LOGIN_TOKEN,
			      DB_PARAMS(db_bytes(token_hash_bytes(&hash)), db_int(clock_wall_ms())), arena, &rows, err))
			return err_detail(err, "take a login token");
		if (db_next(rows))
			user_id = db_get_str(rows, 0);
	}
	if (!user_id.len)
		return err_set(err, M_FORBIDDEN, "This login token is not valid");
	return account_find(server, user_id, arena, ret_account, err);
}
