/* The table `media`. */
#include "journal/journal.h"
#include "media/media_internal.h"

static const struct db_statement SELECT_MEDIA = {
	"media_select",
	"SELECT user_nid, coalesce(expires_ts, 0), authenticated, sha256, size, content_type, coalesce(file_name, '') "
	"FROM media"
	" WHERE server_name = $1 AND media_id = $2 AND (sha256 IS NOT NULL OR expires_ts > $3)",
};
static const struct db_statement INSERT_MEDIA = {
	"media_insert",
	"INSERT INTO media (server_name, media_id, user_nid, created_ts, authenticated, sha256, size, content_type, "
	"file_name)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
};
/* Sweeps a few reservations that are over. */
static const struct db_statement RESERVE_MEDIA = {
	"media_reserve",
	"WITH old AS (DELETE FROM media WHERE (server_name, media_id) IN (SELECT server_name, media_id FROM media"
	" WHERE sha256 IS NULL AND expires_ts <= $4 ORDER BY expires_ts LIMIT 20 FOR UPDATE SKIP LOCKED))"
	" INSERT INTO media (server_name, media_id, user_nid, created_ts, expires_ts, authenticated)"
	" SELECT $1, $2, $3, $4, $5, $6"
	" WHERE (SELECT count(*) FROM media WHERE user_nid = $3 AND sha256 IS NULL AND expires_ts > $4) < $7",
};
static const struct db_statement FILL_MEDIA = {
	"media_fill",
	"UPDATE media SET expires_ts = NULL, sha256 = $5, size = $6, content_type = $7, file_name = $8"
	" WHERE server_name = $1 AND media_id = $2 AND user_nid = $3 AND sha256 IS NULL AND expires_ts > $4",
};

bool media_find(struct server *server, struct str server_name, struct str media_id, struct arena *arena,
		struct media_row *ret_row, bool *ret_found, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;
	struct str sha256;

	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_MEDIA, DB_PARAMS(db_text(server_name), db_text(media_id), db_int(clock_wall_ms())),
		      arena, &rows, err))
		return err_detail(err, "look up media");
	*ret_found = db_next(rows);
	if (!*ret_found)
		return true;
	*ret_row = (struct media_row){
		.server_name = server_name,
		.media_id = media_id,
		.user = db_get_nid(rows, 0),
		.expires_ts = db_get_int(rows, 1),
		.authenticated = db_get_bool(rows, 2),
		.content.size = (uint64_t)db_get_int(rows, 4),
		.content_type = db_get_str(rows, 5),
		.file_name = db_get_str(rows, 6),
	};
	sha256 = db_get_str(rows, 3);
	if (sha256.len == SHA256_BYTES)
		memcpy(ret_row->content.sha256, sha256.ptr, SHA256_BYTES);
	return true;
}

static struct str sha256_of(const struct media_row *row)
{
	return (struct str){ (const char *)row->content.sha256, SHA256_BYTES };
}

bool media_insert(struct server *server, const struct media_row *row, struct err *err)
{
	struct db_params params =
		DB_PARAMS(db_text(row->server_name), db_text(row->media_id), db_int(row->user), db_int(clock_wall_ms()),
			  db_bool(row->authenticated), db_bytes(sha256_of(row)), db_int((int64_t)row->content.size),
			  db_text(row->content_type), db_text_or_null(row->file_name));
	CLEANUP(db_release) struct db *db = NULL;

	return (db_acquire(server->pool, &db, err) && db_exec(db, &INSERT_MEDIA, params, NULL, err)) ||
	       err_detail(err, "store an upload");
}

bool media_reserve(struct server *server, const struct media_row *row, int64_t max, struct err *err)
{
	int64_t now = clock_wall_ms(), inserted;
	struct db_params params =
		DB_PARAMS(db_text(row->server_name), db_text(row->media_id), db_int(row->user), db_int(now),
			  db_int(row->expires_ts), db_bool(row->authenticated), db_int(max));
	CLEANUP(db_release) struct db *db = NULL;

	if (!db_acquire(server->pool, &db, err) || !db_exec(db, &RESERVE_MEDIA, params, &inserted, err))
		return err_detail(err, "reserve a media ID");
	return inserted || err_limited(err, 60000); /* or as soon as one of them is uploaded */
}

bool media_fill(struct server *server, const struct media_row *row, bool *ret_filled, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct db_params params =
		DB_PARAMS(db_text(row->server_name), db_text(row->media_id), db_int(row->user), db_int(clock_wall_ms()),
			  db_bytes(sha256_of(row)), db_int((int64_t)row->content.size), db_text(row->content_type),
			  db_text_or_null(row->file_name));
	const struct journal_entry entry = {
		.kind = JOURNAL_MEDIA,
		.user = row->user,
		.data = media_entry_id(row->server_name, row->media_id, arena),
	};
	CLEANUP(db_release) struct db *db = NULL;
	int64_t updated;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !db_exec(db, &FILL_MEDIA, params, &updated, err))
		return err_detail(err, "fill a media ID");
	*ret_filled = updated == 1;
	return !*ret_filled || journal_append(server->journal, db, &entry, 1, NULL, err);
}
