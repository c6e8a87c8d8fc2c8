#include "keys/keys_internal.h"

#define PAGE_SIZE 1000

static const struct db_statement SELECT_BACKUP = {
	"backup_select",
	"SELECT version, algorithm, auth_data, key_count, etag FROM key_backups WHERE user_nid = $1"
	" AND NOT deleted AND ($2 = 0 OR version = $2) ORDER BY version DESC LIMIT 1",
};
static const struct db_statement LOCK_BACKUP = {
	"backup_lock",
	"SELECT version, algorithm, auth_data, key_count, etag FROM key_backups WHERE user_nid = $1"
	" AND NOT deleted AND ($2 = 0 OR version = $2) ORDER BY version DESC LIMIT 1 FOR UPDATE",
};
/* Two devices that make a backup at once make two. */
static const struct db_statement LOCK_USER = { "backup_lock_user",
					       "SELECT 1 FROM accounts WHERE user_nid = $1 FOR NO KEY UPDATE" };
static const struct db_statement INSERT_BACKUP = {
	"backup_insert",
	"INSERT INTO key_backups (user_nid, version, algorithm, auth_data)"
	" SELECT $1, coalesce(max(version), 0) + 1, $2, $3 FROM key_backups WHERE user_nid = $1"
	" RETURNING version",
};
static const struct db_statement UPDATE_AUTH_DATA = {
	"backup_update_auth_data",
	"UPDATE key_backups SET auth_data = $3 WHERE user_nid = $1 AND version = $2 AND NOT deleted",
};
static const struct db_statement DELETE_BACKUP = {
	"backup_delete",
	"UPDATE key_backups SET deleted = true, auth_data = '', key_count = 0 WHERE user_nid = $1 AND version = $2",
};
/* client-server-api "Server-side key backups": a key takes another's place when it is verified and that one is not,
 * else when it begins at an earlier message, else when it has been forwarded less often. */
static const struct db_statement UPSERT_KEYS = {
	"backup_upsert_keys",
	"INSERT INTO backup_keys AS b (user_nid, version, room_id, session_id, first_message_index,"
	" forwarded_count, is_verified, session_data)"
	" SELECT $1, $2, *"
	" FROM unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::boolean[], $8::text[])"
	" ON CONFLICT (user_nid, version, room_id, session_id) DO UPDATE"
	" SET first_message_index = excluded.first_message_index, forwarded_count = excluded.forwarded_count,"
	" is_verified = excluded.is_verified, session_data = excluded.session_data"
	" WHERE (NOT excluded.is_verified, excluded.first_message_index, excluded.forwarded_count) < (NOT"
	" b.is_verified, b.first_message_index, b.forwarded_count)"
	" RETURNING xmax = 0",
};
static const struct db_statement COUNT_KEYS = {
	"backup_count_keys",
	"UPDATE key_backups SET key_count = key_count + $3, etag = etag + 1 WHERE user_nid = $1 AND version = $2",
};

/* All, a room's, a session's. */
enum depth { DEPTH_ALL, DEPTH_ROOM, DEPTH_SESSION, DEPTH_COUNT };

#define DELETE_KEYS "DELETE FROM backup_keys WHERE user_nid = $1 AND version = $2"
static const struct db_statement delete_keys[DEPTH_COUNT] = {
	{ "backup_delete_all", DELETE_KEYS },
	{ "backup_delete_room", DELETE_KEYS " AND room_id = $3" },
	{ "backup_delete_session", DELETE_KEYS " AND room_id = $3 AND session_id = $4" },
};

#define SELECT_KEYS                                                                                                    \
	"SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, session_data FROM backup_keys" \
	" WHERE user_nid = $1 AND version = $2"
#define IN_PAGES " ORDER BY room_id, session_id LIMIT 1000"
static const struct db_statement select_keys[DEPTH_COUNT] = {
	{ "backup_select_all", SELECT_KEYS " AND (room_id, session_id) > ($3, $4)" IN_PAGES },
	{ "backup_select_room", SELECT_KEYS " AND room_id = $3 AND session_id > $4" IN_PAGES },
	{ "backup_select_session", SELECT_KEYS " AND room_id = $3 AND session_id = $4" },
};

static enum depth depth_of(const struct backup_place *place)
{
	return place->session_id.len ? DEPTH_SESSION : place->room_id.len ? DEPTH_ROOM : DEPTH_ALL;
}

static bool read_backup(struct db *db, const struct db_statement *statement, nid_t user, int64_t version,
			struct arena *arena, struct key_backup *ret_backup, struct err *err)
{
	struct db_rows *rows;

	*ret_backup = (struct key_backup){ 0 };
	if (!db_query(db, statement, DB_PARAMS(db_int(user), db_int(version)), arena, &rows, err))
		return false;
	if (db_next(rows))
		*ret_backup = (struct key_backup){ db_get_int(rows, 0), db_get_str(rows, 1), db_get_str(rows, 2),
						   db_get_int(rows, 3), db_get_int(rows, 4) };
	return true;
}

bool backup_get(struct server *server, nid_t user, int64_t version, struct arena *arena, struct key_backup *ret_backup,
		struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;

	return (db_acquire(server->pool, &db, err) &&
		read_backup(db, &SELECT_BACKUP, user, version, arena, ret_backup, err)) ||
	       err_detail(err, "look for a backup");
}

bool backup_create(struct server *server, nid_t user, struct str algorithm, struct str auth_data, int64_t *ret_version,
		   struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !db_exec(db, &LOCK_USER, DB_PARAMS(db_int(user)), NULL, err) ||
	    !db_query(db, &INSERT_BACKUP, DB_PARAMS(db_int(user), db_text(algorithm), db_text(auth_data)), arena, &rows,
		      err) ||
	    !db_commit(db, err))
		return err_detail(err, "make a backup");
	*ret_version = db_next(rows) ? db_get_int(rows, 0) : 0;
	return true;
}

bool backup_set_auth_data(struct server *server, nid_t user, int64_t version, struct str auth_data, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;

	return (db_acquire(server->pool, &db, err) &&
		db_exec(db, &UPDATE_AUTH_DATA, DB_PARAMS(db_int(user), db_int(version), db_text(auth_data)), NULL,
			err)) ||
	       err_detail(err, "change a backup");
}

bool backup_delete(struct server *server, nid_t user, int64_t version, bool *ret_known, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	int64_t known;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !db_exec(db, &DELETE_BACKUP, DB_PARAMS(db_int(user), db_int(version)), &known, err) ||
	    !db_exec(db, &delete_keys[DEPTH_ALL], DB_PARAMS(db_int(user), db_int(version)), NULL, err) ||
	    !db_commit(db, err))
		return err_detail(err, "delete a backup");
	*ret_known = known > 0;
	return true;
}

/* --- its keys --- */

static bool refuse_missing(struct err *err)
{
	return err_set(err, M_NOT_FOUND, "There is no such backup");
}

/* Keys go into the newest backup alone. */
static bool lock_newest(struct db *db, nid_t user, int64_t version, struct arena *arena, struct key_backup *ret_backup,
			struct err *err)
{
	struct key_backup asked;

	if (!read_backup(db, &LOCK_BACKUP, user, 0, arena, ret_backup, err))
		return false;
	if (ret_backup->version && ret_backup->version == version)
		return true;
	if (!read_backup(db, &SELECT_BACKUP, user, version, arena, &asked, err))
		return false;
	if (!ret_backup->version || !asked.version)
		return refuse_missing(err);
	err_set(err, M_WRONG_ROOM_KEYS_VERSION, "This is not the newest backup");
	return err_extra(err, "\"current_version\":\"%" PRId64 "\"", ret_backup->version);
}

static bool upsert_keys(struct db *db, nid_t user, int64_t version, const struct backup_key *keys, size_t count,
			struct arena *arena, struct db_rows **ret_rows, struct err *err)
{
	struct str *rooms = ARENA_ARRAY(arena, count, struct str), *sessions = ARENA_ARRAY(arena, count, struct str);
	struct str *data = ARENA_ARRAY(arena, count, struct str);
	int64_t *first = ARENA_ARRAY(arena, count, int64_t), *forwarded = ARENA_ARRAY(arena, count, int64_t);
	bool *verified = ARENA_ARRAY(arena, count, bool);

	for (size_t i = 0; i < count; i++) {
		rooms[i] = keys[i].room_id;
		sessions[i] = keys[i].session_id;
		first[i] = keys[i].first_message_index;
		forwarded[i] = keys[i].forwarded_count;
		verified[i] = keys[i].is_verified;
		data[i] = keys[i].session_data;
	}
	return db_query(db, &UPSERT_KEYS,
			DB_PARAMS(db_int(user), db_int(version), db_texts(rooms, count), db_texts(sessions, count),
				  db_ints(first, count), db_ints(forwarded, count), db_bools(verified, count),
				  db_texts(data, count)),
			arena, ret_rows, err);
}

/* The etag tells clients that something has changed. */
static bool count_keys(struct db *db, nid_t user, int64_t added, struct key_backup *backup, struct err *err)
{
	backup->count += added;
	backup->etag++;
	return db_exec(db, &COUNT_KEYS, DB_PARAMS(db_int(user), db_int(backup->version), db_int(added)), NULL, err);
}

bool backup_put_keys(struct server *server, nid_t user, int64_t version, const struct backup_key *keys, size_t count,
		     struct arena *arena, struct key_backup *ret_backup, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;
	int64_t added = 0;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !lock_newest(db, user, version, arena, ret_backup, err) ||
	    !upsert_keys(db, user, version, keys, count, arena, &rows, err))
		return err_detail(err, "back keys up");
	while (db_next(rows))
		added += db_get_bool(rows, 0);
	return ((!db_row_count(rows) || count_keys(db, user, added, ret_backup, err)) && db_commit(db, err)) ||
	       err_detail(err, "back keys up");
}

bool backup_delete_keys(struct server *server, nid_t user, struct backup_place place, struct key_backup *ret_backup,
			struct err *err)
{
	const struct db_param params[] = { db_int(user), db_int(place.version), db_text(place.room_id),
					   db_text(place.session_id) };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(db_release) struct db *db = NULL;
	enum depth depth = depth_of(&place);
	int64_t deleted;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !read_backup(db, &LOCK_BACKUP, user, place.version, arena, ret_backup, err))
		return err_detail(err, "delete keys of a backup");
	if (!ret_backup->version)
		return refuse_missing(err);
	return (db_exec(db, &delete_keys[depth], (struct db_params){ params, 2 + (size_t)depth }, &deleted, err) &&
		(!deleted || count_keys(db, user, -deleted, ret_backup, err)) && db_commit(db, err)) ||
	       err_detail(err, "delete keys of a backup");
}

/* What follows `at`. A connection is held for one page at a time. */
static bool read_page(struct server *server, nid_t user, enum depth depth, const struct backup_place *at,
		      struct arena *arena, struct db_rows **ret_rows, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;

	return db_acquire(server->pool, &db, err) &&
	       db_query(db, &select_keys[depth],
			DB_PARAMS(db_int(user), db_int(at->version), db_text(at->room_id), db_text(at->session_id)),
			arena, ret_rows, err);
}

static void take_page(struct db_rows *rows, void (*take)(void *context, const struct backup_key *key), void *context,
		      struct backup_place *at)
{
	while (db_next(rows)) {
		const struct backup_key key = {
			.room_id = db_get_str(rows, 0),
			.session_id = db_get_str(rows, 1),
			.first_message_index = db_get_int(rows, 2),
			.forwarded_count = db_get_int(rows, 3),
			.is_verified = db_get_bool(rows, 4),
			.session_data = db_get_str(rows, 5),
		};

		take(context, &key);
		at->room_id = key.room_id;
		at->session_id = key.session_id;
	}
}

/* Keys of a room begin after the empty session ID, which none has. The arena of a page lives until the next one has
 * been asked for. */
bool backup_read_keys(struct server *server, nid_t user, struct backup_place place,
		      void (*take)(void *context, const struct backup_key *key), void *context, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	enum depth depth = depth_of(&place);
	struct key_backup backup = { 0 };
	struct db_rows *rows;

	if (!backup_get(server, user, place.version, arena, &backup, err))
		return false;
	if (!backup.version)
		return refuse_missing(err);
	do {
		struct arena *page = arena_new();

		if (!read_page(server, user, depth, &place, page, &rows, err)) {
			arena_free(page);
			return err_detail(err, "read a backup");
		}
		arena_free(arena);
		arena = page;
		take_page(rows, take, context, &place);
	} while (db_row_count(rows) == PAGE_SIZE);
	return true;
}
