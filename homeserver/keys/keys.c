#include "keys/keys.h"

#include <stdatomic.h>

#include "base/cache.h"
#include "journal/journal.h"

/*
 * Every sync tells the counts, and hardly one finds them changed: they are kept, as the two texts with a line feed
 * between, which JSON without white space doesn't have.
 */
struct keys {
	struct cache *counts;     /* by device */
	_Atomic uint64_t changes; /* seen in the journal: what was read before the last one is not cached */
};

static const struct db_statement SELECT_COUNTS = {
	"keys_count",
	"SELECT false, algorithm, count(*) FROM one_time_keys WHERE device_nid = $1 AND NOT claimed GROUP BY algorithm"
	" UNION ALL SELECT true, algorithm, 0 FROM fallback_keys WHERE device_nid = $1 AND NOT used"
	" ORDER BY 1, 2",
};

static void forget_device(void *context, const struct journal_entry *entry)
{
	struct keys *keys = context;

	if (entry->kind != JOURNAL_ONE_TIME_KEYS)
		return;
	keys->changes++;
	cache_remove(keys->counts, entry->device);
}

struct keys *keys_new(struct server *server, size_t cache_bytes)
{
	struct keys *keys = X_NEW(struct keys);

	keys->counts = cache_new(cache_bytes);
	journal_observe(server->journal, forget_device, keys);
	return keys;
}

void keys_free(struct keys *keys)
{
	if (!keys)
		return;
	cache_free(keys->counts);
	free(keys);
}

struct cache_stats keys_cache_stats(struct keys *keys)
{
	return cache_stats(keys->counts);
}

/* There is always a count for signed_curve25519: some clients take an object without it for no news. */
static struct str counts_text(struct db_rows *rows, struct arena *arena)
{
	json_t *counts = json_pack("{s:i}", "signed_curve25519", 0), *types = json_array();
	CLEANUP(buf_done) struct buf text = buf_init(1 << 20);

	while (db_next(rows)) {
		struct str algorithm = db_get_str(rows, 1);

		if (db_get_bool(rows, 0))
			json_array_append_new(types, json_new_str(algorithm));
		else
			json_object_setn_new(counts, algorithm.ptr, algorithm.len, json_integer(db_get_int(rows, 2)));
	}
	json_write(&text, counts);
	buf_char(&text, '\n');
	json_write(&text, types);
	json_decref(counts);
	json_decref(types);
	return str_dup(arena, buf_str(&text));
}

static bool load_counts(struct server *server, nid_t device, struct arena *arena, struct str *ret_text, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	uint64_t changes = server->keys->changes;
	struct db_rows *rows;

	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_COUNTS, DB_PARAMS(db_int(device)), arena, &rows, err))
		return err_detail(err, "count the keys of device %" PRId64, device);
	*ret_text = counts_text(rows, arena);
	cache_put_unless_changed(server->keys->counts, device, *ret_text, &server->keys->changes, changes);
	return true;
}

bool key_counts_get(struct server *server, nid_t device, struct arena *arena, struct key_counts *ret_counts,
		    struct err *err)
{
	struct str text;

	if (!cache_get(server->keys->counts, device, arena, &text) && !load_counts(server, device, arena, &text, err))
		return false;
	str_split(&text, '\n', &ret_counts->one_time);
	ret_counts->unused_fallback = text;
	return true;
}
