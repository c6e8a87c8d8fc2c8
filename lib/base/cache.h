/*
 * A cache of immutable bytes, bounded by their sum, safe for any number of threads. Values are copied in and out: nobody holds a
 * pointer into it. Eviction is by second chance. Keys are numbers; `str_hash` makes one of a string where a clash cannot matter,
 * otherwise the value begins with the key and the caller compares.
 */
#pragma once

#include "base/str.h"

struct cache;

struct cache_stats {
	uint64_t hits, misses, evictions;
	size_t entries, bytes;
};

struct cache *cache_new(size_t max_bytes) RETURNS_NONNULL;
void cache_free(struct cache *cache);

bool cache_get(struct cache *cache, int64_t key, struct arena *arena, struct str *ret_value);
void cache_put(struct cache *cache, int64_t key, struct str value); /* what is larger than a 64th of the whole is not kept */
void cache_remove(struct cache *cache, int64_t key);
/*
 * For what can change: whoever changes it counts `*changes` up, then removes the key. Keeps the value unless the count
 * has moved from `seen`, where it stood before the value was read; also when it moves just now.
 */
static inline UNUSED void cache_put_unless_changed(struct cache *cache, int64_t key, struct str value,
						   _Atomic uint64_t *changes, uint64_t seen)
{
	if (*changes != seen)
		return;
	cache_put(cache, key, value);
	if (*changes != seen)
		cache_remove(cache, key);
}

struct cache_stats cache_stats(struct cache *cache);
struct cache_stats cache_stats_sum(struct cache_stats a, struct cache_stats b);
