/* Counts in memory. */
#include <stdatomic.h>

#include "base/cache.h"
#include "counts/counts_internal.h"
#include "journal/journal.h"

#define MAX_DISTANCE 5000 /* entries of the journal that are walked for what came since */
#define MAX_EVENTS   100  /* of a room */
#define SLOTS        8192

struct counts {
	struct cache *kept;             /* by user and room */
	_Atomic uint64_t slots[SLOTS]; /* changes, by hashes: two that share one are found changed together */
};

/* What is in the cache, before its threads. */
struct kept_header {
	nid_t user, room;
	struct counts_versions versions;
	int64_t pos;
};

static int64_t key_of_pair(nid_t user, nid_t room)
{
	return (int64_t)id_hash((int64_t)id_hash(user) ^ room);
}

static _Atomic uint64_t *slot(struct counts *counts, int64_t key)
{
	return &counts->slots[id_hash(key) % SLOTS];
}

/* A message of others moves nothing here: kept counts are moved on by it. */
static void observe(void *context, const struct journal_entry *entry)
{
	struct counts *counts = context;

	switch (entry->kind) {
	case JOURNAL_EVENT:
		++*slot(counts, key_of_pair(entry->user, entry->room));
		if (entry->target && entry->key)
			++*slot(counts, key_of_pair(entry->target, entry->room));
		else if (entry->target)
			++*slot(counts, entry->room); /* a redaction */
		break;
	case JOURNAL_STATE:
		if (entry->target)
			++*slot(counts, key_of_pair(entry->target, entry->room));
		break;
	case JOURNAL_RECEIPT:
		++*slot(counts, key_of_pair(entry->user, entry->room));
		break;
	case JOURNAL_PUSH_RULES:
		++*slot(counts, entry->user);
		break;
	case JOURNAL_ACCOUNT_DATA:
		if (!entry->room) /* whom they ignore, for one */
			++*slot(counts, entry->user);
		break;
	default:
		break;
	}
}

struct counts *counts_new(struct server *server, size_t cache_bytes)
{
	struct counts *counts = X_NEW(struct counts);

	counts->kept = cache_new(cache_bytes);
	journal_observe(server->journal, observe, counts);
	return counts;
}

void counts_free(struct counts *counts)
{
	if (!counts)
		return;
	cache_free(counts->kept);
	free(counts);
}

struct cache_stats counts_cache_stats(struct counts *counts)
{
	return cache_stats(counts->kept);
}

struct counts_versions counts_versions(struct counts *counts, nid_t user, nid_t room)
{
	return (struct counts_versions){ *slot(counts, user), *slot(counts, room), *slot(counts, key_of_pair(user, room)) };
}

static bool same_versions(const struct counts_versions *a, const struct counts_versions *b)
{
	return a->user == b->user && a->room == b->room && a->both == b->both;
}

void counts_keep(struct counts *counts, nid_t user, const struct counts_versions *versions, int64_t pos, nid_t room, const struct unread *unread, size_t count)
{
	const struct kept_header header = { user, room, *versions, pos };
	CLEANUP(buf_done) struct buf bytes = buf_init(1 << 20);

	buf_append(&bytes, (struct str){ (const char *)&header, sizeof(header) });
	if (count)
		buf_append(&bytes, (struct str){ (const char *)unread, count * sizeof(*unread) });
	if (buf_ok(&bytes))
		cache_put(counts->kept, key_of_pair(user, room), buf_str(&bytes));
}

static bool find(struct counts *counts, nid_t user, nid_t room, const struct counts_versions *versions, int64_t pos, struct arena *arena,
                 struct kept_counts *ret_kept)
{
	struct kept_header header;
	struct str bytes;

	if (!cache_get(counts->kept, key_of_pair(user, room), arena, &bytes))
		return false;
	memcpy(&header, bytes.ptr, sizeof(header));
	if (header.user != user || header.room != room || !same_versions(&header.versions, versions) || header.pos > pos || pos - header.pos > MAX_DISTANCE)
		return false;
	bytes = str_from(bytes, sizeof(header));
	ret_kept->pos = header.pos;
	ret_kept->count = bytes.len / sizeof(struct unread);
	ret_kept->unread = ARENA_ARRAY(arena, ret_kept->count + MAX_EVENTS, struct unread);
	if (bytes.len)
		memcpy(ret_kept->unread, bytes.ptr, bytes.len);
	return true;
}

/* The entries since, for the rooms of which something is kept. */
struct walk {
	struct arena *arena;
	nid_t user;
	struct idmap rooms; /* struct kept_counts */
};

static void collect(void *context, const struct journal_entry *entry)
{
	struct walk *walk = context;
	struct kept_counts *kept = entry->kind == JOURNAL_EVENT ? idmap_get(&walk->rooms, entry->room) : NULL;

	if (!kept || entry->pos <= kept->pos || kept->event_count > MAX_EVENTS)
		return;
	if (entry->user == walk->user) { /* reads what was before it; the versions may have been asked for after it */
		kept->event_count = MAX_EVENTS + 1;
		return;
	}
	if (!kept->events)
		kept->events = ARENA_ARRAY(walk->arena, MAX_EVENTS + 1, nid_t);
	kept->events[kept->event_count++] = entry->event;
}

void counts_find_kept(struct server *server, nid_t user, const struct counts_versions *versions, int64_t pos, const struct counted_room *rooms, size_t count,
                      struct arena *arena, struct kept_counts *ret_kept)
{
	struct walk walk = { .arena = arena, .user = user };
	int64_t oldest = pos;
	bool complete;

	for (size_t i = 0; i < count; i++) {
		ret_kept[i] = (struct kept_counts){ 0 };
		if (!find(server->counts, user, rooms[i].room, &versions[i], pos, arena, &ret_kept[i]))
			continue;
		oldest = MIN(oldest, ret_kept[i].pos);
		idmap_put(&walk.rooms, rooms[i].room, &ret_kept[i]);
	}
	complete = oldest == pos || journal_scan(server->journal, oldest, pos, collect, &walk);
	for (size_t i = 0; i < count; i++) {
		if (!complete || ret_kept[i].event_count > MAX_EVENTS)
			ret_kept[i].pos = 0;
	}
	idmap_done(&walk.rooms);
}
