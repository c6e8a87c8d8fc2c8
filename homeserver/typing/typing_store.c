#include "typing/typing_internal.h"

#define NOW "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
/* The lock on the head's row is held until the commit: so positions become visible in their order. */
#define NEXT_POSITION                                                                                                  \
	"WITH head AS (INSERT INTO ephemeral_head AS h (pos) VALUES (" NOW ")"                                         \
	" ON CONFLICT (single) DO UPDATE SET pos = greatest(h.pos + 1, excluded.pos) RETURNING pos)"

static const struct db_statement PROLONG = {
	"typing_prolong",
	"UPDATE typing SET expires_ts = " NOW " + $3 WHERE room_nid = $1 AND user_nid = $2 AND expires_ts > 0",
};
static const struct db_statement START = {
	"typing_start",
	NEXT_POSITION
	" INSERT INTO typing (room_nid, user_nid, pos, expires_ts) SELECT $1, $2, pos, " NOW " + $3 FROM head"
	" ON CONFLICT (room_nid, user_nid) DO UPDATE SET pos = excluded.pos, expires_ts = excluded.expires_ts",
};
static const struct db_statement END = {
	"typing_end",
	NEXT_POSITION " UPDATE typing SET pos = head.pos, expires_ts = 0 FROM head"
		      " WHERE room_nid = $1 AND user_nid = $2 AND expires_ts > 0",
};
static const struct db_statement SELECT_NEXT = {
	"typing_next_expiry",
	"SELECT min(expires_ts) - " NOW " FROM typing WHERE expires_ts > 0",
};
static const struct db_statement EXPIRE = {
	"typing_expire",
	NEXT_POSITION " UPDATE typing SET pos = head.pos, expires_ts = 0 FROM head"
		      " WHERE expires_ts > 0 AND expires_ts <= " NOW,
};
static const struct db_statement SELECT_NEW = {
	"typing_new",
	"SELECT room_nid, user_nid, pos, expires_ts > 0 FROM typing WHERE pos > $1 ORDER BY pos",
};
static const struct db_statement SWEEP = {
	"typing_sweep",
	"DELETE FROM typing WHERE expires_ts = 0 AND pos < " NOW " - $1",
};

bool typing_store_start(struct db *db, nid_t room, nid_t user, int64_t timeout_ms, bool *ret_news, struct err *err)
{
	struct db_params params = DB_PARAMS(db_int(room), db_int(user), db_int(timeout_ms));
	int64_t prolonged;

	if (!db_exec(db, &PROLONG, params, &prolonged, err))
		return false;
	*ret_news = !prolonged;
	return prolonged || db_exec(db, &START, params, NULL, err);
}

bool typing_store_end(struct db *db, nid_t room, nid_t user, struct err *err)
{
	return db_exec(db, &END, DB_PARAMS(db_int(room), db_int(user)), NULL, err);
}

bool typing_store_read(struct db *db, int64_t after, struct arena *arena, struct typing_row **ret_rows,
		       size_t *ret_count, struct err *err)
{
	struct typing_row *list;
	struct db_rows *rows;
	size_t count = 0;

	if (!db_query(db, &SELECT_NEW, DB_PARAMS(db_int(after)), arena, &rows, err))
		return false;
	list = ARENA_ARRAY(arena, db_row_count(rows), struct typing_row);
	while (db_next(rows))
		list[count++] = (struct typing_row){ db_get_nid(rows, 0), db_get_nid(rows, 1), db_get_int(rows, 2),
						     db_get_bool(rows, 3) };
	*ret_rows = list;
	*ret_count = count;
	return true;
}

static bool next_expiry(struct db *db, struct arena *arena, int64_t *ret_ms, struct err *err)
{
	struct db_rows *rows;

	if (!db_query(db, &SELECT_NEXT, DB_NO_PARAMS, arena, &rows, err))
		return false;
	*ret_ms = db_next(rows) && !db_is_null(rows, 0) ? MAX(db_get_int(rows, 0), 0) : -1;
	return true;
}

bool typing_store_expire(struct db *db, struct arena *arena, bool *ret_news, int64_t *ret_next_ms, struct err *err)
{
	int64_t ended;

	*ret_news = false;
	if (!next_expiry(db, arena, ret_next_ms, err))
		return false;
	if (*ret_next_ms != 0)
		return true;
	if (!db_exec(db, &EXPIRE, DB_NO_PARAMS, &ended, err))
		return false;
	*ret_news = ended > 0;
	return next_expiry(db, arena, ret_next_ms, err);
}

bool typing_store_sweep(struct db *db, int64_t age_ms, struct err *err)
{
	return db_exec(db, &SWEEP, DB_PARAMS(db_int(age_ms)), NULL, err);
}
