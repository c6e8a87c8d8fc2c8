#include "interned/interned.h"

#include "base/cache.h"

/* A kind's texts by number and numbers by text. A state key's text is its type, NUL, its state key. */
struct kind {
	struct db_statement insert, find, load;
};

enum kinds { SERVER, USER, TYPE, KEY, KIND_COUNT };

static const struct kind kinds[KIND_COUNT] = {
	[SERVER] = {
		{ "server_insert", "INSERT INTO servers (server_name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING server_nid" },
		{ "server_find", "SELECT server_nid FROM servers WHERE server_name = $1" },
		{ "server_load", "SELECT server_nid, server_name FROM servers WHERE server_nid = ANY($1)" },
	},
	[USER] = {
		{ "user_insert", "INSERT INTO users (user_id, server_nid) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING user_nid" },
		{ "user_find", "SELECT user_nid FROM users WHERE user_id = $1" },
		{ "user_load", "SELECT user_nid, user_id FROM users WHERE user_nid = ANY($1)" },
	},
	[TYPE] = {
		{ "type_insert", "INSERT INTO event_types (type) VALUES ($1) ON CONFLICT DO NOTHING RETURNING type_nid" },
		{ "type_find", "SELECT type_nid FROM event_types WHERE type = $1" },
		{ "type_load", "SELECT type_nid, type FROM event_types WHERE type_nid = ANY($1)" },
	},
	[KEY] = {
		{ "key_insert", "INSERT INTO state_keys (type, state_key, key_nid) VALUES ($1, $2, $3 << 32 | nextval('state_key_numbers'))"
		                " ON CONFLICT DO NOTHING RETURNING key_nid" },
		{ "key_find", "SELECT key_nid FROM state_keys WHERE type = $1 AND state_key = $2" },
		{ "key_load", "SELECT key_nid, type, state_key FROM state_keys WHERE key_nid = ANY($1)" },
	},
};

struct interned {
	struct db_pool *pool;
	struct cache *by_text[KIND_COUNT], *by_nid[KIND_COUNT];
};

struct interned *interned_new(struct db_pool *pool, size_t cache_bytes)
{
	struct interned *interned = X_NEW(struct interned);

	interned->pool = pool;
	for (size_t i = 0; i < KIND_COUNT; i++) {
		interned->by_text[i] = cache_new(cache_bytes / KIND_COUNT / 2);
		interned->by_nid[i] = cache_new(cache_bytes / KIND_COUNT / 2);
	}
	return interned;
}

void interned_free(struct interned *interned)
{
	if (!interned)
		return;
	for (size_t i = 0; i < KIND_COUNT; i++) {
		cache_free(interned->by_text[i]);
		cache_free(interned->by_nid[i]);
	}
	free(interned);
}

struct cache_stats interned_cache_stats(struct interned *interned)
{
	struct cache_stats sum = { 0 };

	for (size_t i = 0; i < KIND_COUNT; i++)
		sum = cache_stats_sum(sum, cache_stats_sum(cache_stats(interned->by_text[i]), cache_stats(interned->by_nid[i])));
	return sum;
}

static void remember(struct interned *interned, enum kinds kind, struct str text, nid_t nid, struct arena *arena)
{
	char *value = arena_alloc(arena, sizeof(nid) + text.len);

	memcpy(value, &nid, sizeof(nid));
	if (text.len)
		memcpy(value + sizeof(nid), text.ptr, text.len);
	cache_put(interned->by_text[kind], (int64_t)str_hash(text), (struct str){ value, sizeof(nid) + text.len });
	cache_put(interned->by_nid[kind], nid, text);
}

/* The hash is a key that others may share: the text is compared. */
static bool recall(struct interned *interned, enum kinds kind, struct str text, nid_t *ret_nid, struct arena *arena)
{
	struct str value;

	if (!cache_get(interned->by_text[kind], (int64_t)str_hash(text), arena, &value) || !str_eq(str_from(value, sizeof(*ret_nid)), text))
		return false;
	memcpy(ret_nid, value.ptr, sizeof(*ret_nid));
	return true;
}

static bool run(struct interned *interned, const struct db_statement *statement, struct db_params params, struct arena *arena, nid_t *ret_nid,
                struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	if (!db_acquire(interned->pool, &db, err) || !db_query(db, statement, params, arena, &rows, err))
		return false;
	*ret_nid = db_next(rows) ? db_get_nid(rows, 0) : 0;
	return true;
}

static bool find(struct interned *interned, enum kinds kind, struct str text, struct db_params params, struct arena *arena, nid_t *ret_nid,
                 struct err *err)
{
	if (recall(interned, kind, text, ret_nid, arena))
		return true;
	if (!run(interned, &kinds[kind].find, params, arena, ret_nid, err))
		return err_detail(err, "%s", kinds[kind].find.name);
	if (*ret_nid)
		remember(interned, kind, text, *ret_nid, arena);
	return true;
}

static bool insert(struct interned *interned, enum kinds kind, struct str text, struct db_params find_params, struct db_params insert_params,
                   struct arena *arena, nid_t *ret_nid, struct err *err)
{
	if (!run(interned, &kinds[kind].insert, insert_params, arena, ret_nid, err))
		return err_detail(err, "%s", kinds[kind].insert.name);
	if (*ret_nid)
		remember(interned, kind, text, *ret_nid, arena);
	else if (!find(interned, kind, text, find_params, arena, ret_nid, err)) /* another was faster */
		return false;
	return *ret_nid != 0 || err_internal(err, "%s: neither inserted nor found", kinds[kind].insert.name);
}

static struct str server_name_of(struct str user_id)
{
	ptrdiff_t colon = str_find_char(user_id, ':');

	return colon < 0 ? (struct str){ "", 0 } : str_from(user_id, (size_t)colon + 1);
}

static bool intern_server(struct interned *interned, struct str server_name, struct arena *arena, nid_t *ret_nid, struct err *err)
{
	struct db_params params = DB_PARAMS(db_text(server_name));

	if (!find(interned, SERVER, server_name, params, arena, ret_nid, err))
		return false;
	return *ret_nid || insert(interned, SERVER, server_name, params, params, arena, ret_nid, err);
}

bool find_user(struct interned *interned, struct str user_id, nid_t *ret_nid, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();

	return find(interned, USER, user_id, DB_PARAMS(db_text(user_id)), arena, ret_nid, err);
}

bool intern_user(struct interned *interned, struct str user_id, nid_t *ret_nid, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	nid_t server;

	if (!find(interned, USER, user_id, DB_PARAMS(db_text(user_id)), arena, ret_nid, err))
		return false;
	if (*ret_nid)
		return true;
	return intern_server(interned, server_name_of(user_id), arena, &server, err) &&
	       insert(interned, USER, user_id, DB_PARAMS(db_text(user_id)), DB_PARAMS(db_text(user_id), db_int(server)), arena, ret_nid, err);
}

bool find_type(struct interned *interned, struct str type, nid_t *ret_nid, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();

	return find(interned, TYPE, type, DB_PARAMS(db_text(type)), arena, ret_nid, err);
}

bool intern_type(struct interned *interned, struct str type, nid_t *ret_nid, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();

	if (!find(interned, TYPE, type, DB_PARAMS(db_text(type)), arena, ret_nid, err))
		return false;
	return *ret_nid || insert(interned, TYPE, type, DB_PARAMS(db_text(type)), DB_PARAMS(db_text(type)), arena, ret_nid, err);
}

static struct str key_text(struct arena *arena, struct str type, struct str state_key)
{
	char *text = arena_alloc(arena, type.len + 1 + state_key.len);

	if (type.len)
		memcpy(text, type.ptr, type.len);
	if (state_key.len)
		memcpy(text + type.len + 1, state_key.ptr, state_key.len);
	return (struct str){ text, type.len + 1 + state_key.len };
}

bool find_key(struct interned *interned, struct str type, struct str state_key, nid_t *ret_nid, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();

	return find(interned, KEY, key_text(arena, type, state_key), DB_PARAMS(db_text(type), db_text(state_key)), arena, ret_nid, err);
}

bool intern_key(struct interned *interned, struct str type, struct str state_key, nid_t *ret_nid, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str text = key_text(arena, type, state_key);
	nid_t server = 0;

	if (!find(interned, KEY, text, DB_PARAMS(db_text(type), db_text(state_key)), arena, ret_nid, err))
		return false;
	if (*ret_nid)
		return true;
	if (str_eq(type, STR("m.room.member")) && !intern_server(interned, server_name_of(state_key), arena, &server, err))
		return false;
	return insert(interned, KEY, text, DB_PARAMS(db_text(type), db_text(state_key)), DB_PARAMS(db_text(type), db_text(state_key), db_int(server)),
	              arena, ret_nid, err);
}

/* Of these numbers, what the cache lacks. */
static bool load(struct interned *interned, enum kinds kind, const nid_t *nids, size_t count, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(db_release) struct db *db = NULL;
	nid_t *missing = ARENA_ARRAY(arena, count, nid_t);
	struct db_rows *rows;
	size_t missing_count = 0;
	struct str text;

	for (size_t i = 0; i < count; i++) {
		if (!cache_get(interned->by_nid[kind], nids[i], arena, &text))
			missing[missing_count++] = nids[i];
	}
	if (missing_count == 0)
		return true;
	if (!db_acquire(interned->pool, &db, err) || !db_query(db, &kinds[kind].load, DB_PARAMS(db_ints(missing, missing_count)), arena, &rows, err))
		return err_detail(err, "%s", kinds[kind].load.name);
	while (db_next(rows)) {
		text = kind == KEY ? key_text(arena, db_get_str(rows, 1), db_get_str(rows, 2)) : db_get_str(rows, 1);
		remember(interned, kind, text, db_get_nid(rows, 0), arena);
	}
	return true;
}

static bool text_of(struct interned *interned, enum kinds kind, nid_t nid, struct arena *arena, struct str *ret_text, struct err *err)
{
	for (int i = 0; i < 3; i++) { /* what was loaded may have been evicted already, once in a blue moon */
		if (cache_get(interned->by_nid[kind], nid, arena, ret_text))
			return true;
		if (!load(interned, kind, &nid, 1, err))
			return false;
	}
	return err_internal(err, "%s: there is no %" PRId64, kinds[kind].load.name, nid);
}

bool user_id_of(struct interned *interned, nid_t nid, struct arena *arena, struct str *ret_user_id, struct err *err)
{
	return text_of(interned, USER, nid, arena, ret_user_id, err);
}

bool type_of(struct interned *interned, nid_t nid, struct arena *arena, struct str *ret_type, struct err *err)
{
	return text_of(interned, TYPE, nid, arena, ret_type, err);
}

bool key_of(struct interned *interned, nid_t nid, struct arena *arena, struct str *ret_type, struct str *ret_state_key, struct err *err)
{
	struct str text;

	if (!text_of(interned, KEY, nid, arena, &text, err))
		return false;
	*ret_type = str_sub(text, 0, (size_t)str_find_char(text, 0));
	*ret_state_key = str_from(text, ret_type->len + 1);
	return true;
}

bool load_keys(struct interned *interned, const nid_t *nids, size_t count, struct err *err)
{
	return load(interned, KEY, nids, count, err);
}

bool load_users(struct interned *interned, const nid_t *nids, size_t count, struct err *err)
{
	return load(interned, USER, nids, count, err);
}
