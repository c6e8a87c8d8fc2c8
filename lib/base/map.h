/*
 * Hash tables in memory, not locked. `struct map` is keyed by strings, `struct idmap` by 64-bit numbers; values are pointers that the
 * table does not own, keys of a map are views into memory that must outlive the entry (mostly the value itself).
 */
#pragma once

#include "base/str.h"

struct map_entry {
	struct str key;
	uint64_t hash;
	void *value; /* NULL: a free place */
};

struct map {
	struct map_entry *entries;
	size_t count, cap;
};

void map_done(struct map *map); /* An all-zero map is an empty one. */
void *map_get(const struct map *map, struct str key);
void map_put(struct map *map, struct str key, void *value); /* replaces; value is not NULL */
void *map_remove(struct map *map, struct str key);          /* the value, or NULL */
/* for (size_t at = 0; (v = map_next(&map, &at));): any order; nothing may be added or removed meanwhile. */
void *map_next(const struct map *map, size_t *at);

struct idmap_entry {
	int64_t key;
	void *value;
};

struct idmap {
	struct idmap_entry *entries;
	size_t count, cap;
};

void idmap_done(struct idmap *map);
void *idmap_get(const struct idmap *map, int64_t key);
void idmap_put(struct idmap *map, int64_t key, void *value);
void *idmap_remove(struct idmap *map, int64_t key);
void *idmap_next(const struct idmap *map, size_t *at, int64_t *ret_key); /* ret_key may be NULL */

uint64_t id_hash(int64_t id); /* a fixed mixing of the bits, the same in every process */
