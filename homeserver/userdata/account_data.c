/* Account data: rows, and an entry in the journal for each change, that carries the type. */
#include "journal/journal.h"
#include "userdata/userdata.h"

static const struct db_statement SELECT_DATA = {
	"account_data_select",
	"SELECT content FROM shown_account_data WHERE user_nid = $1 AND room_nid = $2 AND type = $3",
};
static const struct db_statement UPSERT_DATA = {
	"account_data_upsert",
	"INSERT INTO account_data (user_nid, room_nid, type, content) VALUES ($1, $2, $3, $4)"
	" ON CONFLICT (user_nid, room_nid, type) DO UPDATE SET content = excluded.content",
};

bool account_data_get(struct server *server, nid_t user, nid_t room, struct str type, struct arena *arena,
		      struct str *ret_content, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_DATA, DB_PARAMS(db_int(user), db_int(room), db_text(type)), arena, &rows, err))
		return err_detail(err, "account data of user %" PRId64, user);
	*ret_content = db_next(rows) ? db_get_str(rows, 0) : STR("");
	return true;
}

bool account_data_put(struct server *server, nid_t user, nid_t room, struct str type, struct str content,
		      struct err *err)
{
	struct journal_entry entry = { .kind = JOURNAL_ACCOUNT_DATA, .user = user, .room = room, .data = type };
	struct db_params params = DB_PARAMS(db_int(user), db_int(room), db_text(type), db_text(content));
	CLEANUP(db_release) struct db *db = NULL;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !db_exec(db, &UPSERT_DATA, params, NULL, err) || !journal_append(server->journal, db, &entry, 1, NULL, err))
		return err_detail(err, "set account data of user %" PRId64, user);
	return true;
}
