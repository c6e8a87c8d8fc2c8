/*
 * Where the rows of the state tries live: the table state_rows, with a cache of their bytes for the process. Rows never
 * change, so the cache needs no upkeep. Any number of threads may use a store.
 *
 * Row numbers rise in what one process writes, not across processes, which take them in blocks: a row may refer to one
 * with a greater number.
 *
 * A root may be built upon before its rows are committed: what was handed to the journal is pinned until the commit's
 * outcome is known.
 *
 *   struct state_source source = state_store_source(store);
 *   state_apply(&source, room, root, &change, 1, STATE_AS_BEFORE, arena, &build, err);
 *   state_store_pin(store, &build);        its rows go into the write set, for STATE_ROW_INSERT
 *   ok = journal_commit(…);
 *   state_store_unpin(store, &build, ok);
 */
#pragma once

#include "base/cache.h"
#include "state/state_trie.h"

struct state_store;

/* The pool outlives the store. */
struct state_store *state_store_new(struct db_pool *pool, size_t cache_bytes);
void state_store_free(struct state_store *store);
struct cache_stats state_store_cache_stats(struct state_store *store);
DEFINE_CLEANUP(struct state_store *, state_store_free)

/* Takes a connection of the pool for each fetch of rows that are neither pinned nor cached, and when its row numbers
 * run out. */
struct state_source state_store_source(struct state_store *store);

/* The same over a connection that the caller holds already: who holds one must not wait for another. `on` outlives the
 * source. */
struct state_store_on {
	struct state_store *store;
	struct db *db;
};
struct state_source state_store_source_on(struct state_store_on *on);

/* Has the newest rows of these roots' tries in the cache afterwards, which is all of a small room's, in one query for those whose root is not there. */
bool state_store_fetch(struct state_store *store, const nid_t *rooms, const int64_t *roots, size_t count, struct err *err);

/* Makes the rows of a build readable before they are stored: copies them. */
void state_store_pin(struct state_store *store, const struct state_build *build);
/* Afterwards they are read from the database (or the cache, if they were stored). */
void state_store_unpin(struct state_store *store, const struct state_build *build, bool stored);

/* Arrays room_nid, row_id, data, one element a row. */
extern const struct db_statement STATE_ROW_INSERT;

/*
 * Checks the rows of a room and `roots`, in the order in which they followed each other: every row decodes, every
 * reference has its node, every root's count and hash agree with its entries. Each problem is reported in words. false:
 * the check could not be run to its end.
 */
struct state_check {
	void (*report)(void *context, struct str problem);
	void *context;
};
bool state_store_check(struct db *db, nid_t room, const int64_t *roots, size_t count, const struct state_check *check,
		       struct err *err);
