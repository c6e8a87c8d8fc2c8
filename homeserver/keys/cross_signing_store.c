#include "journal/journal.h"
#include "keys/keys_internal.h"
#include "matrix/base64.h"

static const struct db_statement SELECT_KEYS = {
	"cross_signing_select",
	"SELECT usage, public_key, json FROM cross_signing_keys WHERE user_nid = $1",
};
static const struct db_statement SELECT_DEVICE_KEYS = {
	"cross_signing_select_device",
	"SELECT k.json FROM devices d JOIN device_keys k USING (device_nid) WHERE d.user_nid = $1 AND d.device_id = $2",
};
/* Changes of one user's keys go one after the other. */
static const struct db_statement LOCK_USER = { "cross_signing_lock",
					       "SELECT 1 FROM accounts WHERE user_nid = $1 FOR NO KEY UPDATE" };
static const struct db_statement SELECT_SAME_DEVICE = {
	"cross_signing_same_device",
	"SELECT 1 FROM devices WHERE user_nid = $1 AND device_id = ANY($2)",
};
static const struct db_statement DELETE_OLD_SIGNATURES = {
	"cross_signing_delete_signatures",
	"DELETE FROM key_signatures s"
	" USING cross_signing_keys c, unnest($2::bigint[], $3::text[]) AS n (usage, public_key)"
	" WHERE c.user_nid = $1 AND c.usage = n.usage AND c.public_key <> n.public_key AND s.user_nid = $1"
	" AND s.target = c.public_key",
};
static const struct db_statement UPSERT_KEYS = {
	"cross_signing_upsert",
	"INSERT INTO cross_signing_keys (user_nid, usage, public_key, json)"
	" SELECT $1, usage, public_key, json"
	" FROM unnest($2::bigint[], $3::text[], $4::text[]) AS n (usage, public_key, json)"
	" ON CONFLICT (user_nid, usage) DO UPDATE SET public_key = excluded.public_key, json = excluded.json",
};
static const struct db_statement UPSERT_SIGNATURES = {
	"signatures_upsert",
	"INSERT INTO key_signatures (user_nid, target, signer_nid, signer_key, signature, device_nid)"
	" SELECT n.usr, n.target, $1, n.signer_key, n.signature, d.device_nid"
	" FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::boolean[]) AS n (usr, target,"
	" signer_key, signature, of_device)"
	" LEFT JOIN devices d ON n.of_device AND d.user_nid = n.usr AND d.device_id = n.target"
	" WHERE NOT n.of_device OR d.device_nid IS NOT NULL"
	" ON CONFLICT (user_nid, target, signer_nid, signer_key) DO UPDATE SET signature = excluded.signature"
	" WHERE key_signatures.signature <> excluded.signature RETURNING user_nid",
};

static bool load(struct db *db, nid_t user, struct arena *arena, struct cross_keys *ret_keys, struct err *err)
{
	struct db_rows *rows;

	*ret_keys = (struct cross_keys){ 0 };
	if (!db_query(db, &SELECT_KEYS, DB_PARAMS(db_int(user)), arena, &rows, err))
		return false;
	while (db_next(rows)) {
		struct cross_key *key = &ret_keys->of[db_get_int(rows, 0)];

		key->public_key = db_get_str(rows, 1);
		key->json = db_get_str(rows, 2);
		if (!base64_decode_exactly(key->public_key, key->bytes, sizeof(key->bytes)))
			return err_internal(err, "a cross-signing key of user %" PRId64 " is none", user);
	}
	return true;
}

bool cross_keys_load(struct server *server, nid_t user, struct arena *arena, struct cross_keys *ret_keys,
		     struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;

	return (db_acquire(server->pool, &db, err) && load(db, user, arena, ret_keys, err)) ||
	       err_detail(err, "load cross-signing keys");
}

bool device_keys_load(struct server *server, nid_t user, struct str device_id, struct arena *arena,
		      struct str *ret_json, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_DEVICE_KEYS, DB_PARAMS(db_int(user), db_text(device_id)), arena, &rows, err))
		return err_detail(err, "load a device's keys");
	*ret_json = db_next(rows) ? db_get_str(rows, 0) : STR("");
	return true;
}

bool cross_signing_check_device_id(struct server *server, nid_t user, struct str device_id, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct cross_keys keys = { 0 };

	if (!cross_keys_load(server, user, arena, &keys, err))
		return false;
	for (size_t i = 0; i < KEY_USAGE_COUNT; i++) {
		if (keys.of[i].public_key.len && str_eq(keys.of[i].public_key, device_id))
			return err_set(err, M_FORBIDDEN, "A key of the user is called so");
	}
	return true;
}

/* Nobody else has replaced them since the request was found to be in order. */
static bool require_unchanged(struct db *db, nid_t user, const struct cross_keys *known, struct arena *arena,
			      struct err *err)
{
	struct cross_keys now;
	struct db_rows *rows;

	if (!db_query(db, &LOCK_USER, DB_PARAMS(db_int(user)), arena, &rows, err) || !load(db, user, arena, &now, err))
		return false;
	for (size_t i = 0; i < KEY_USAGE_COUNT; i++) {
		if (!str_eq(now.of[i].public_key, known->of[i].public_key))
			return err_status(err, 409, M_UNKNOWN, "Another device has just changed the keys");
	}
	return true;
}

bool cross_keys_replace(struct server *server, nid_t user, const struct cross_keys *known,
			const struct cross_keys *keys, struct arena *arena, struct err *err)
{
	const struct journal_entry entry = { .kind = JOURNAL_DEVICE_LIST, .user = user };
	struct str publics[KEY_USAGE_COUNT], jsons[KEY_USAGE_COUNT];
	CLEANUP(db_release) struct db *db = NULL;
	int64_t usages[KEY_USAGE_COUNT];
	struct db_rows *rows;
	size_t count = 0;

	for (size_t i = 0; i < KEY_USAGE_COUNT; i++) {
		if (!keys->of[i].public_key.len)
			continue;
		usages[count] = (int64_t)i;
		publics[count] = keys->of[i].public_key;
		jsons[count++] = keys->of[i].json;
	}
	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !require_unchanged(db, user, known, arena, err) ||
	    !db_query(db, &SELECT_SAME_DEVICE, DB_PARAMS(db_int(user), db_texts(publics, count)), arena, &rows, err))
		return err_detail(err, "replace cross-signing keys");
	if (db_next(rows))
		return err_set(err, M_FORBIDDEN, "A device is called as this key is");
	return (db_exec(db, &DELETE_OLD_SIGNATURES,
			DB_PARAMS(db_int(user), db_ints(usages, count), db_texts(publics, count)), NULL, err) &&
		db_exec(db, &UPSERT_KEYS,
			DB_PARAMS(db_int(user), db_ints(usages, count), db_texts(publics, count),
				  db_texts(jsons, count)),
			NULL, err) &&
		journal_append(server->journal, db, &entry, 1, NULL, err)) ||
	       err_detail(err, "replace cross-signing keys");
}

/* What the signer says of another user's key is the signer's alone to see. */
static void add_announcement(struct journal_entry *entries, size_t *count, nid_t user, nid_t signer)
{
	for (size_t i = 0; i < *count; i++) {
		if (entries[i].user == user)
			return;
	}
	entries[(*count)++] = (struct journal_entry){ .kind = JOURNAL_DEVICE_LIST,
						      .user = user,
						      .target = user == signer ? 0 : signer };
}

bool signatures_add(struct server *server, nid_t signer, const struct new_signature *signatures, size_t count,
		    struct arena *arena, struct err *err)
{
	struct str *targets = ARENA_ARRAY(arena, count, struct str), *keys = ARENA_ARRAY(arena, count, struct str);
	struct str *texts = ARENA_ARRAY(arena, count, struct str);
	nid_t *users = ARENA_ARRAY(arena, count, nid_t);
	bool *of_device = ARENA_ARRAY(arena, count, bool);
	struct journal_entry *entries = ARENA_ARRAY(arena, count, struct journal_entry);
	CLEANUP(db_release) struct db *db = NULL;
	size_t entry_count = 0;
	struct db_rows *rows;

	if (count == 0)
		return true;
	for (size_t i = 0; i < count; i++) {
		users[i] = signatures[i].user;
		targets[i] = signatures[i].target;
		keys[i] = signatures[i].signer_key;
		texts[i] = signatures[i].signature;
		of_device[i] = signatures[i].of_device;
	}
	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !db_query(db, &LOCK_USER, DB_PARAMS(db_int(signer)), arena, &rows, err) ||
	    !db_query(db, &UPSERT_SIGNATURES,
		      DB_PARAMS(db_int(signer), db_ints(users, count), db_texts(targets, count), db_texts(keys, count),
				db_texts(texts, count), db_bools(of_device, count)),
		      arena, &rows, err))
		return err_detail(err, "add signatures");
	while (db_next(rows))
		add_announcement(entries, &entry_count, db_get_nid(rows, 0), signer);
	return !entry_count || journal_append(server->journal, db, entries, entry_count, NULL, err) ||
	       err_detail(err, "add signatures");
}
