#include "journal/journal.h"
#include "keys/keys_internal.h"

/* Uploads of one device go one after the other; and the device is still there. */
static const struct db_statement LOCK_DEVICE = { "keys_lock_device",
						 "SELECT 1 FROM devices WHERE device_nid = $1 FOR NO KEY UPDATE" };
static const struct db_statement UPSERT_DEVICE_KEYS = {
	"keys_upsert_device",
	"INSERT INTO device_keys (device_nid, user_nid, json) VALUES ($1, $2, $3) ON CONFLICT (device_nid)"
	" DO UPDATE SET json = excluded.json WHERE device_keys.json <> excluded.json",
};
/* They were given on the keys that were there before. */
static const struct db_statement DELETE_DEVICE_SIGNATURES = { "keys_delete_device_signatures",
							      "DELETE FROM key_signatures WHERE device_nid = $1" };
/* One that was claimed is not there again, but for another one of the same ID, as of a client that began anew. */
static const struct db_statement INSERT_ONE_TIME = {
	"keys_insert_one_time",
	"INSERT INTO one_time_keys (device_nid, algorithm, key_id, json) SELECT $1, algorithm, key_id, json"
	" FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS k (algorithm, key_id, json, at)"
	" ORDER BY at ON CONFLICT (device_nid, algorithm, key_id) DO UPDATE SET json = excluded.json, claimed = false,"
	" age = DEFAULT WHERE one_time_keys.claimed AND one_time_keys.json <> excluded.json",
};
static const struct db_statement SELECT_CLASH = {
	"keys_select_clash",
	"SELECT o.algorithm, o.key_id"
	" FROM unnest($2::text[], $3::text[], $4::text[]) AS k (algorithm, key_id, json)"
	" JOIN one_time_keys o ON o.device_nid = $1 AND o.algorithm = k.algorithm AND o.key_id = k.key_id"
	" WHERE o.json <> k.json LIMIT 1",
};
static const struct db_statement COUNT_ONE_TIME = { "keys_count_one_time",
						    "SELECT count(*) FROM one_time_keys WHERE device_nid = $1"
						    " AND NOT claimed" };
#define CLAIMED_KEPT 500 /* of a device */
static const struct db_statement DELETE_CLAIMED = {
	"keys_delete_claimed",
	"DELETE FROM one_time_keys WHERE device_nid = $1 AND claimed AND age <= (SELECT age FROM one_time_keys"
	" WHERE device_nid = $1 AND claimed ORDER BY age DESC OFFSET $2 LIMIT 1)",
};
/* One that is uploaded again stays as used as it was. */
static const struct db_statement UPSERT_FALLBACK = {
	"keys_upsert_fallback",
	"INSERT INTO fallback_keys (device_nid, algorithm, key_id, json, used)"
	" SELECT $1, algorithm, key_id, json, false"
	" FROM unnest($2::text[], $3::text[], $4::text[]) AS k (algorithm, key_id, json)"
	" ON CONFLICT (device_nid, algorithm) DO UPDATE"
	" SET key_id = excluded.key_id, json = excluded.json, used = false"
	" WHERE (fallback_keys.key_id, fallback_keys.json) <> (excluded.key_id, excluded.json)",
};

/* What an upload has changed. */
struct outcome {
	bool device_keys, counts;
};

struct columns {
	struct db_param algorithms, key_ids, jsons;
};

static struct columns columns_of(const struct named_key *keys, size_t count, struct arena *arena)
{
	struct str *algorithms = ARENA_ARRAY(arena, count, struct str),
		   *key_ids = ARENA_ARRAY(arena, count, struct str);
	struct str *jsons = ARENA_ARRAY(arena, count, struct str);

	for (size_t i = 0; i < count; i++) {
		algorithms[i] = keys[i].algorithm;
		key_ids[i] = keys[i].key_id;
		jsons[i] = keys[i].json;
	}
	return (struct columns){ db_texts(algorithms, count), db_texts(key_ids, count), db_texts(jsons, count) };
}

static bool write_device_keys(struct db *db, const struct user *user, struct str json, struct outcome *outcome,
			      struct err *err)
{
	int64_t changed = 0;

	if (!json.len)
		return true;
	if (!db_exec(db, &UPSERT_DEVICE_KEYS, DB_PARAMS(db_int(user->device), db_int(user->nid), db_text(json)),
		     &changed, err))
		return false;
	outcome->device_keys = changed > 0;
	return !changed || db_exec(db, &DELETE_DEVICE_SIGNATURES, DB_PARAMS(db_int(user->device)), NULL, err);
}

/* The first words of the message are what clients know this case by. */
static bool refuse_clash(struct db *db, nid_t device, const struct columns *columns, struct arena *arena,
			 struct err *err)
{
	struct db_rows *rows;

	if (!db_query(db, &SELECT_CLASH,
		      DB_PARAMS(db_int(device), columns->algorithms, columns->key_ids, columns->jsons), arena, &rows,
		      err))
		return false;
	if (!db_next(rows))
		return true;
	return err_set(err, M_INVALID_PARAM, "One time key %.*s:%.*s already exists and is another one",
		       STR_ARG(db_get_str(rows, 0)), STR_ARG(db_get_str(rows, 1)));
}

static bool check_number(struct db *db, nid_t device, struct arena *arena, struct err *err)
{
	struct db_rows *rows;

	if (!db_query(db, &COUNT_ONE_TIME, DB_PARAMS(db_int(device)), arena, &rows, err))
		return false;
	if (db_next(rows) && db_get_int(rows, 0) > KEYS_MAX_OF_DEVICE)
		return err_set(err, M_TOO_LARGE, "A device has %d one-time keys at most", KEYS_MAX_OF_DEVICE);
	return true;
}

static bool write_one_time(struct db *db, nid_t device, const struct key_upload *upload, struct arena *arena,
			   struct outcome *outcome, struct err *err)
{
	struct columns columns = columns_of(upload->one_time, upload->one_time_count, arena);
	int64_t inserted;

	if (!upload->one_time_count)
		return true;
	if (!db_exec(db, &INSERT_ONE_TIME,
		     DB_PARAMS(db_int(device), columns.algorithms, columns.key_ids, columns.jsons), &inserted, err))
		return false;
	outcome->counts |= inserted > 0;
	return (inserted == (int64_t)upload->one_time_count || refuse_clash(db, device, &columns, arena, err)) &&
	       (!inserted || (check_number(db, device, arena, err) &&
			      db_exec(db, &DELETE_CLAIMED, DB_PARAMS(db_int(device), db_int(CLAIMED_KEPT)), NULL, err)));
}

static bool write_fallback(struct db *db, nid_t device, const struct key_upload *upload, struct arena *arena,
			   struct outcome *outcome, struct err *err)
{
	struct columns columns = columns_of(upload->fallback, upload->fallback_count, arena);
	int64_t changed;

	if (!upload->fallback_count)
		return true;
	if (!db_exec(db, &UPSERT_FALLBACK,
		     DB_PARAMS(db_int(device), columns.algorithms, columns.key_ids, columns.jsons), &changed, err))
		return false;
	outcome->counts |= changed > 0;
	return true;
}

bool keys_upload(struct server *server, const struct user *user, const struct key_upload *upload, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(db_release) struct db *db = NULL;
	struct outcome outcome = { 0 };
	struct journal_entry entries[2];
	struct db_rows *rows;
	size_t count = 0;

	if (!upload->device_keys.len && !upload->one_time_count && !upload->fallback_count)
		return true;
	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !db_query(db, &LOCK_DEVICE, DB_PARAMS(db_int(user->device)), arena, &rows, err))
		return err_detail(err, "upload keys");
	if (!db_next(rows))
		return err_set(err, M_UNKNOWN_TOKEN, "This device is gone");
	if (!write_device_keys(db, user, upload->device_keys, &outcome, err) ||
	    !write_one_time(db, user->device, upload, arena, &outcome, err) ||
	    !write_fallback(db, user->device, upload, arena, &outcome, err))
		return err_detail(err, "upload keys");
	if (outcome.device_keys)
		entries[count++] = (struct journal_entry){ .kind = JOURNAL_DEVICE_LIST, .user = user->nid };
	if (outcome.counts)
		entries[count++] = (struct journal_entry){ .kind = JOURNAL_ONE_TIME_KEYS,
							   .user = user->nid,
							   .device = user->device };
	return !count || journal_append(server->journal, db, entries, count, NULL, err) ||
	       err_detail(err, "upload keys");
}
