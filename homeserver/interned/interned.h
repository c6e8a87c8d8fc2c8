/*
 * Interned identifiers: users, event types and state keys by number, as the tables and the state trie want them. Immutable, so cached
 * anywhere and written outside of the journal. Thread-safe.
 *
 * `intern_…` makes what is missing, `find_…` gives 0 for it. Texts are checked (length, grammar) by the caller.
 */
#pragma once

#include "base/cache.h"
#include "db/db.h"

struct interned;

struct interned *interned_new(struct db_pool *pool, size_t cache_bytes);
void interned_free(struct interned *interned);
struct cache_stats interned_cache_stats(struct interned *interned);

bool intern_user(struct interned *interned, struct str user_id, nid_t *ret_nid, struct err *err);
bool find_user(struct interned *interned, struct str user_id, nid_t *ret_nid, struct err *err);
bool user_id_of(struct interned *interned, nid_t nid, struct arena *arena, struct str *ret_user_id, struct err *err);

bool intern_type(struct interned *interned, struct str type, nid_t *ret_nid, struct err *err);
bool find_type(struct interned *interned, struct str type, nid_t *ret_nid, struct err *err);
bool type_of(struct interned *interned, nid_t nid, struct arena *arena, struct str *ret_type, struct err *err);

/* A number of m.room.member keys has the number of the member's server in its upper half (state/state_trie.h). */
bool intern_key(struct interned *interned, struct str type, struct str state_key, nid_t *ret_nid, struct err *err);
bool find_key(struct interned *interned, struct str type, struct str state_key, nid_t *ret_nid, struct err *err);
bool key_of(struct interned *interned, nid_t nid, struct arena *arena, struct str *ret_type, struct str *ret_state_key, struct err *err);
/* The cache holds them after it: one query for many. */
bool load_keys(struct interned *interned, const nid_t *nids, size_t count, struct err *err);
bool load_users(struct interned *interned, const nid_t *nids, size_t count, struct err *err);
