#include "base/map.h"

/* Open addressing with linear probing; removal moves later entries back, so that there are no tombstones. At most 3/4 full. */

static size_t home(uint64_t hash, size_t cap)
{
	return (size_t)hash & (cap - 1);
}

static size_t map_place(const struct map *map, struct str key, uint64_t hash)
{
	size_t i = home(hash, map->cap);

	while (map->entries[i].value && !(map->entries[i].hash == hash && str_eq(map->entries[i].key, key)))
		i = (i + 1) & (map->cap - 1);
	return i;
}

static void map_grow(struct map *map)
{
	struct map old = *map;

	map->cap = old.cap ? old.cap * 2 : 8;
	map->entries = x_calloc(map->cap, sizeof(*map->entries));
	for (size_t i = 0; i < old.cap; i++) {
		if (old.entries[i].value)
			map->entries[map_place(map, old.entries[i].key, old.entries[i].hash)] = old.entries[i];
	}
	free(old.entries);
}

void map_done(struct map *map)
{
	free(map->entries);
	*map = (struct map){ 0 };
}

void *map_get(const struct map *map, struct str key)
{
	return map->count ? map->entries[map_place(map, key, str_hash(key))].value : NULL;
}

void map_put(struct map *map, struct str key, void *value)
{
	uint64_t hash = str_hash(key);
	size_t i;

	assert(value);
	if (map->count * 4 >= map->cap * 3)
		map_grow(map);
	i = map_place(map, key, hash);
	map->count += !map->entries[i].value;
	map->entries[i] = (struct map_entry){ key, hash, value };
}

void *map_remove(struct map *map, struct str key)
{
	size_t hole, mask = map->cap - 1;
	void *value;

	if (!map->count)
		return NULL;
	hole = map_place(map, key, str_hash(key));
	value = map->entries[hole].value;
	if (!value)
		return NULL;
	for (size_t i = (hole + 1) & mask; map->entries[i].value; i = (i + 1) & mask) {
		if (((i - home(map->entries[i].hash, map->cap)) & mask) >= ((i - hole) & mask)) {
			map->entries[hole] = map->entries[i];
			hole = i;
		}
	}
	map->entries[hole] = (struct map_entry){ 0 };
	map->count--;
	return value;
}

void *map_next(const struct map *map, size_t *at)
{
	while (*at < map->cap) {
		void *value = map->entries[(*at)++].value;

		if (value)
			return value;
	}
	return NULL;
}

uint64_t id_hash(int64_t id)
{
	uint64_t x = (uint64_t)id;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static size_t idmap_place(const struct idmap *map, int64_t key)
{
	size_t i = home(id_hash(key), map->cap);

	while (map->entries[i].value && map->entries[i].key != key)
		i = (i + 1) & (map->cap - 1);
	return i;
}

static void idmap_grow(struct idmap *map)
{
	struct idmap old = *map;

	map->cap = old.cap ? old.cap * 2 : 8;
	map->entries = x_calloc(map->cap, sizeof(*map->entries));
	for (size_t i = 0; i < old.cap; i++) {
		if (old.entries[i].value)
			map->entries[idmap_place(map, old.entries[i].key)] = old.entries[i];
	}
	free(old.entries);
}

void idmap_done(struct idmap *map)
{
	free(map->entries);
	*map = (struct idmap){ 0 };
}

void *idmap_get(const struct idmap *map, int64_t key)
{
	return map->count ? map->entries[idmap_place(map, key)].value : NULL;
}

void idmap_put(struct idmap *map, int64_t key, void *value)
{
	size_t i;

	assert(value);
	if (map->count * 4 >= map->cap * 3)
		idmap_grow(map);
	i = idmap_place(map, key);
	map->count += !map->entries[i].value;
	map->entries[i] = (struct idmap_entry){ key, value };
}

void *idmap_remove(struct idmap *map, int64_t key)
{
	size_t hole, mask = map->cap - 1;
	void *value;

	if (!map->count)
		return NULL;
	hole = idmap_place(map, key);
	value = map->entries[hole].value;
	if (!value)
		return NULL;
	for (size_t i = (hole + 1) & mask; map->entries[i].value; i = (i + 1) & mask) {
		if (((i - home(id_hash(map->entries[i].key), map->cap)) & mask) >= ((i - hole) & mask)) {
			map->entries[hole] = map->entries[i];
			hole = i;
		}
	}
	map->entries[hole] = (struct idmap_entry){ 0 };
	map->count--;
	return value;
}

void *idmap_next(const struct idmap *map, size_t *at, int64_t *ret_key)
{
	while (*at < map->cap) {
		const struct idmap_entry *entry = &map->entries[(*at)++];

		if (entry->value) {
			if (ret_key)
				*ret_key = entry->key;
			return entry->value;
		}
	}
	return NULL;
}
