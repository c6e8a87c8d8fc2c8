#include "base/cache.h"

#include "base/map.h"
#include "base/sync.h"

#define SHARDS 16

struct entry {
	struct entry *prev, *next; /* the ring, in which the hand goes round */
	int64_t key;
	size_t len;
	bool used; /* since the hand passed */
	char bytes[];
};

struct shard {
	struct mutex lock; /* of all below */
	struct idmap map;
	struct entry *hand;
	struct cache_stats stats;
};

struct cache {
	size_t max_shard_bytes;
	struct shard shards[SHARDS];
};

struct cache *cache_new(size_t max_bytes)
{
	struct cache *cache = X_NEW(struct cache);

	cache->max_shard_bytes = max_bytes / SHARDS;
	for (size_t i = 0; i < SHARDS; i++)
		mutex_init(&cache->shards[i].lock);
	return cache;
}

static void unlink_entry(struct shard *shard, struct entry *entry)
{
	if (entry->next == entry) {
		shard->hand = NULL;
	} else {
		entry->prev->next = entry->next;
		entry->next->prev = entry->prev;
		if (shard->hand == entry)
			shard->hand = entry->next;
	}
	idmap_remove(&shard->map, entry->key);
	shard->stats.bytes -= entry->len + sizeof(*entry);
	shard->stats.entries--;
	free(entry);
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *shard = &cache->shards[i];

		while (shard->hand)
			unlink_entry(shard, shard->hand);
		idmap_done(&shard->map);
		mutex_done(&shard->lock);
	}
	free(cache);
}

static struct shard *shard_of(struct cache *cache, int64_t key)
{
	return &cache->shards[id_hash(key) >> 32 & (SHARDS - 1)];
}

bool cache_get(struct cache *cache, int64_t key, struct arena *arena, struct str *ret_value)
{
	struct shard *shard = shard_of(cache, key);
	struct entry *entry;
	LOCKED(&shard->lock);

	entry = idmap_get(&shard->map, key);
	if (!entry) {
		shard->stats.misses++;
		return false;
	}
	shard->stats.hits++;
	entry->used = true;
	*ret_value = str_dup(arena, (struct str){ entry->bytes, entry->len });
	return true;
}

static void evict_one(struct shard *shard)
{
	while (shard->hand->used) {
		shard->hand->used = false;
		shard->hand = shard->hand->next;
	}
	shard->stats.evictions++;
	unlink_entry(shard, shard->hand);
}

static void link_entry(struct shard *shard, struct entry *entry)
{
	if (!shard->hand) {
		entry->prev = entry->next = shard->hand = entry;
		return;
	}
	entry->next = shard->hand; /* behind the hand: it is the last that the hand comes to */
	entry->prev = shard->hand->prev;
	entry->prev->next = entry->next->prev = entry;
}

void cache_put(struct cache *cache, int64_t key, struct str value)
{
	struct shard *shard = shard_of(cache, key);
	size_t size = value.len + sizeof(struct entry);
	struct entry *entry;
	LOCKED(&shard->lock);

	entry = idmap_get(&shard->map, key);
	if (entry)
		unlink_entry(shard, entry);
	if (size > cache->max_shard_bytes / 4)
		return;
	while (shard->hand && shard->stats.bytes + size > cache->max_shard_bytes)
		evict_one(shard);
	entry = x_malloc(size);
	*entry = (struct entry){ .key = key, .len = value.len };
	if (value.len)
		memcpy(entry->bytes, value.ptr, value.len);
	link_entry(shard, entry);
	idmap_put(&shard->map, key, entry);
	shard->stats.bytes += size;
	shard->stats.entries++;
}

void cache_remove(struct cache *cache, int64_t key)
{
	struct shard *shard = shard_of(cache, key);
	struct entry *entry;
	LOCKED(&shard->lock);

	entry = idmap_get(&shard->map, key);
	if (entry)
		unlink_entry(shard, entry);
}

struct cache_stats cache_stats(struct cache *cache)
{
	struct cache_stats sum = { 0 };

	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *shard = &cache->shards[i];
		LOCKED(&shard->lock);

		sum.hits += shard->stats.hits;
		sum.misses += shard->stats.misses;
		sum.evictions += shard->stats.evictions;
		sum.entries += shard->stats.entries;
		sum.bytes += shard->stats.bytes;
	}
	return sum;
}

struct cache_stats cache_stats_sum(struct cache_stats a, struct cache_stats b)
{
	return (struct cache_stats){
		.hits = a.hits + b.hits,
		.misses = a.misses + b.misses,
		.evictions = a.evictions + b.evictions,
		.entries = a.entries + b.entries,
		.bytes = a.bytes + b.bytes,
	};
}
