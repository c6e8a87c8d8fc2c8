#include "state/state_store.h"

#include "base/cache.h"

#define ID_BLOCK 1024 /* the sequence's INCREMENT */

struct pinned {
	size_t len;
	char bytes[];
};

struct state_store {
	struct db_pool *pool;
	struct cache *cache; /* row id → bytes: ids are unique over all rooms */
	struct mutex lock;   /* of all below; nothing else is locked under it */
	struct idmap pinned; /* row id → struct pinned */
	int64_t next_id, end_id;
};

struct state_store *state_store_new(struct db_pool *pool, size_t cache_bytes)
{
	struct state_store *store = X_NEW(struct state_store);

	store->pool = pool;
	store->cache = cache_new(cache_bytes);
	mutex_init(&store->lock);
	return store;
}

void state_store_free(struct state_store *store)
{
	struct pinned *pinned;

	if (!store)
		return;
	for (size_t at = 0; (pinned = idmap_next(&store->pinned, &at, NULL));)
		free(pinned);
	idmap_done(&store->pinned);
	mutex_done(&store->lock);
	cache_free(store->cache);
	free(store);
}

struct cache_stats state_store_cache_stats(struct state_store *store)
{
	return cache_stats(store->cache);
}

/* Pinned rows */

void state_store_pin(struct state_store *store, const struct state_build *build)
{
	LOCKED(&store->lock);

	for (size_t i = 0; i < build->row_count; i++) {
		struct str data = build->rows[i].data;
		struct pinned *pinned = x_malloc(sizeof(*pinned) + data.len);

		pinned->len = data.len;
		memcpy(pinned->bytes, data.ptr, data.len);
		assert(!idmap_get(&store->pinned, build->rows[i].row_id));
		idmap_put(&store->pinned, build->rows[i].row_id, pinned);
	}
}

void state_store_unpin(struct state_store *store, const struct state_build *build, bool stored)
{
	for (size_t i = 0; i < build->row_count && stored; i++)
		cache_put(store->cache, build->rows[i].row_id, build->rows[i].data);
	LOCKED(&store->lock);
	for (size_t i = 0; i < build->row_count; i++)
		free(idmap_remove(&store->pinned, build->rows[i].row_id));
}

static bool find_pinned(struct state_store *store, int64_t row_id, struct arena *arena, struct str *ret_data)
{
	const struct pinned *pinned;
	LOCKED(&store->lock);

	pinned = idmap_get(&store->pinned, row_id);
	if (pinned)
		*ret_data = str_dup(arena, (struct str){ pinned->bytes, pinned->len });
	return pinned;
}

/* Fetching */

static const struct db_statement SELECT_ROWS = {
	.name = "state_rows_select",
	.sql = "SELECT row_id, data FROM state_rows WHERE room_nid = $1 AND row_id = ANY($2)",
};

static int compare_ids(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

	return (left > right) - (left < right);
}

/* ret_data[i] stays as it is where the database has no such row. */
static bool select_rows(struct db *db, nid_t room, const int64_t *row_ids, size_t count, struct arena *arena,
			struct str *ret_data, struct err *err)
{
	struct db_rows *rows;

	if (!db_query(db, &SELECT_ROWS, DB_PARAMS(db_int(room), db_ints(row_ids, count)), arena, &rows, err))
		return false;
	while (db_next(rows)) {
		int64_t id = db_get_int(rows, 0);
		const int64_t *place = bsearch(&id, row_ids, count, sizeof(id), compare_ids);

		assert(place);
		ret_data[place - row_ids] = db_get_str(rows, 1);
	}
	return true;
}

static bool select_rows_on(struct state_store *store, struct db *db, nid_t room, const int64_t *row_ids, size_t count,
			   struct arena *arena, struct str *ret_data, struct err *err)
{
	CLEANUP(db_release) struct db *own = NULL;

	if (db)
		return select_rows(db, room, row_ids, count, arena, ret_data, err);
	return db_acquire(store->pool, &own, err) && select_rows(own, room, row_ids, count, arena, ret_data, err);
}

/* The rows that are neither pinned nor cached: their places in `row_ids`. */
static size_t find_near(struct state_store *store, const int64_t *row_ids, size_t count, struct arena *arena,
			struct str *ret_data, size_t *ret_missing)
{
	size_t missing = 0;

	for (size_t i = 0; i < count; i++) {
		if (!cache_get(store->cache, row_ids[i], arena, &ret_data[i]) &&
		    !find_pinned(store, row_ids[i], arena, &ret_data[i]))
			ret_missing[missing++] = i;
	}
	return missing;
}

static bool fetch(struct state_store *store, struct db *db, nid_t room, const int64_t *row_ids, size_t count,
		  struct arena *arena, struct str *ret_data, struct err *err)
{
	size_t *places = ARENA_ARRAY(arena, count, size_t),
	       missing = find_near(store, row_ids, count, arena, ret_data, places);
	int64_t *ids = ARENA_ARRAY(arena, missing, int64_t);
	struct str *data = ARENA_ARRAY(arena, missing, struct str);

	for (size_t i = 0; i < missing; i++)
		ids[i] = row_ids[places[i]];
	if (missing && !select_rows_on(store, db, room, ids, missing, arena, data, err))
		return false;
	for (size_t i = 0; i < missing; i++) {
		if (!data[i].len)
			return err_internal(err, "room %" PRId64 " has no state row %" PRId64, room, ids[i]);
		cache_put(store->cache, ids[i], data[i]);
		ret_data[places[i]] = data[i];
	}
	return true;
}

#define ROWS_AHEAD 64

static const struct db_statement SELECT_NEWEST = {
	.name = "state_rows_newest",
	.sql = "SELECT n.row_id, n.data FROM unnest($1::bigint[], $2::bigint[]) AS r (room, root) CROSS JOIN LATERAL ("
	       "SELECT row_id, data FROM state_rows WHERE room_nid = r.room AND row_id <= r.root ORDER BY row_id DESC LIMIT $3) AS n",
};

bool state_store_fetch(struct state_store *store, const nid_t *rooms, const int64_t *roots, size_t count, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	int64_t *far_rooms = ARENA_ARRAY(arena, count, int64_t), *far_roots = ARENA_ARRAY(arena, count, int64_t);
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;
	struct str data;
	size_t far = 0;

	for (size_t i = 0; i < count; i++) {
		if (!roots[i] || cache_get(store->cache, roots[i], arena, &data))
			continue;
		far_rooms[far] = rooms[i];
		far_roots[far++] = roots[i];
	}
	if (far == 0)
		return true;
	if (!db_acquire(store->pool, &db, err) ||
	    !db_query(db, &SELECT_NEWEST, DB_PARAMS(db_ints(far_rooms, far), db_ints(far_roots, far), db_int(ROWS_AHEAD)), arena, &rows, err))
		return err_detail(err, "states of %zu rooms", far);
	while (db_next(rows))
		cache_put(store->cache, db_get_int(rows, 0), db_get_str(rows, 1));
	return true;
}

/* Row numbers */

static const struct db_statement SELECT_IDS = { .name = "state_row_ids", .sql = "SELECT nextval('state_row_ids')" };

static bool select_ids(struct db *db, int64_t *ret_first, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct db_rows *rows;

	if (!db_query(db, &SELECT_IDS, DB_NO_PARAMS, arena, &rows, err))
		return false;
	db_next(rows);
	*ret_first = db_get_int(rows, 0);
	return true;
}

static bool select_ids_on(struct state_store *store, struct db *db, int64_t *ret_first, struct err *err)
{
	CLEANUP(db_release) struct db *own = NULL;

	if (db)
		return select_ids(db, ret_first, err);
	return db_acquire(store->pool, &own, err) && select_ids(own, ret_first, err);
}

static bool take_id(struct state_store *store, int64_t *ret_row_id)
{
	LOCKED(&store->lock);

	if (store->next_id == store->end_id)
		return false;
	*ret_row_id = store->next_id++;
	return true;
}

/* Several threads may find the block used up at once: the last one's new block stays, the rest of the others' is never
 * used. */
static bool next_id(struct state_store *store, struct db *db, int64_t *ret_row_id, struct err *err)
{
	int64_t first;

	if (take_id(store, ret_row_id))
		return true;
	if (!select_ids_on(store, db, &first, err))
		return false;
	LOCKED(&store->lock);
	store->next_id = first + 1;
	store->end_id = first + ID_BLOCK;
	*ret_row_id = first;
	return true;
}

/* Sources */

static bool pool_rows(void *context, nid_t room, const int64_t *row_ids, size_t count, struct arena *arena,
		      struct str *ret_data, struct err *err)
{
	return fetch(context, NULL, room, row_ids, count, arena, ret_data, err);
}

static bool pool_next_row_id(void *context, int64_t *ret_row_id, struct err *err)
{
	return next_id(context, NULL, ret_row_id, err);
}

struct state_source state_store_source(struct state_store *store)
{
	return (struct state_source){ pool_rows, pool_next_row_id, store };
}

static bool on_rows(void *context, nid_t room, const int64_t *row_ids, size_t count, struct arena *arena,
		    struct str *ret_data, struct err *err)
{
	struct state_store_on *on = context;

	return fetch(on->store, on->db, room, row_ids, count, arena, ret_data, err);
}

static bool on_next_row_id(void *context, int64_t *ret_row_id, struct err *err)
{
	struct state_store_on *on = context;

	return next_id(on->store, on->db, ret_row_id, err);
}

struct state_source state_store_source_on(struct state_store_on *on)
{
	return (struct state_source){ on_rows, on_next_row_id, on };
}

const struct db_statement STATE_ROW_INSERT = {
	.name = "state_row_insert",
	.sql = "INSERT INTO state_rows (room_nid, row_id, data)"
	       " SELECT room_nid, row_id, data FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS new (room_nid, "
	       "row_id, data)",
};
