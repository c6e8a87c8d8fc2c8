/*
 * A room's summary (client-server-api "Syncing", RoomSummary): counts of members, and the heroes that a room without a
 * name is named after. Counted in one query for all rooms of an answer; kept until the journal tells of another
 * membership.
 */
#include <stdatomic.h>

#include "base/cache.h"
#include "interned/interned.h"
#include "state/state_store.h"
#include "sync/sync_internal.h"

#define CANDIDATES (SUMMARY_HEROES + 1) /* the reader may be one of them */

struct summaries {
	struct cache *cache; /* struct counted by room */
	_Atomic uint64_t changes;
};

struct counted {
	int64_t joined, invited;
	bool has_candidates;          /* they are counted only where a name is wanting */
	size_t candidate_count, here; /* the first of them are here, the others were */
	nid_t candidates[CANDIDATES];
};

/* A room whose summary is wanted. */
struct wanted {
	struct room_gap *gap;
	bool nameless, counted;
	struct counted count;
};

static const struct db_statement SELECT_COUNTS = {
	"summary_counts",
	"SELECT r.at, c.joined, c.invited, h.users, h.here FROM unnest($1::bigint[], $2::boolean[])"
	" WITH ORDINALITY AS r (room, nameless, at) CROSS JOIN LATERAL ("
	"SELECT count(*) FILTER (WHERE membership = 2) AS joined, count(*) FILTER (WHERE membership = 1) AS invited"
	" FROM room_memberships WHERE room_nid = r.room AND membership IN (1, 2)) AS c LEFT JOIN LATERAL ("
	"SELECT array_agg(user_nid ORDER BY membership > 2, room_seq) AS users,"
	" count(*) FILTER (WHERE membership <= 2) AS here"
	" FROM (SELECT user_nid, membership, room_seq FROM room_memberships"
	" WHERE r.nameless AND room_nid = r.room AND membership <= 4"
	" ORDER BY membership > 2, room_seq LIMIT 6) AS first) AS h ON true",
};

static void observe(void *context, const struct journal_entry *entry)
{
	struct summaries *summaries = context;

	if (entry->kind != JOURNAL_STATE && (entry->kind != JOURNAL_EVENT || !entry->key || !entry->target))
		return;
	summaries->changes++;
	cache_remove(summaries->cache, entry->room);
}

struct summaries *summaries_new(struct server *server, size_t cache_bytes)
{
	struct summaries *summaries = X_NEW(struct summaries);

	summaries->cache = cache_new(cache_bytes);
	journal_observe(server->journal, observe, summaries);
	return summaries;
}

void summaries_free(struct summaries *summaries)
{
	if (!summaries)
		return;
	cache_free(summaries->cache);
	free(summaries);
}

struct cache_stats summaries_cache_stats(struct summaries *summaries)
{
	return cache_stats(summaries->cache);
}

/* A summary may have changed whenever the state has: then the client gets all of it. */
static struct wanted *find_wanted(struct sync *sync, size_t *ret_count)
{
	struct wanted *list = ARENA_ARRAY(sync->arena, sync->room_count, struct wanted);

	*ret_count = 0;
	for (size_t i = 0; i < sync->room_count; i++) {
		struct room_gap *gap = gap_room(&sync->gap, sync->rooms[i].room);

		if (sync->rooms[i].membership == MEMBERSHIP_JOIN && gap &&
		    (sync->initial || sync->full_state || gap->newly_joined || gap->root_before != gap->root_now))
			list[(*ret_count)++].gap = gap;
	}
	return list;
}

#define NAME_KEYS 2

static bool find_name_keys(struct sync *sync, nid_t *keys, struct err *err)
{
	return intern_key(sync->server->interned, STR("m.room.name"), STR(""), &keys[0], err) &&
	       intern_key(sync->server->interned, STR("m.room.canonical_alias"), STR(""), &keys[1], err);
}

static bool says_name(const struct event *event)
{
	struct str value;

	return event->nid && ((slice_path(event->json, &value, STR("content"), STR("name")) ||
			       slice_path(event->json, &value, STR("content"), STR("alias"))) &&
			      slice_type(value) == SLICE_STRING && !slice_string_eq(value, STR("")));
}

/* Which rooms have neither a name nor a canonical alias. */
static bool find_nameless(struct sync *sync, struct wanted *wanted, size_t count, struct err *err)
{
	struct state_source source = state_store_source(sync->server->states);
	nid_t keys[NAME_KEYS], *nids = ARENA_ARRAY(sync->arena, count * NAME_KEYS, nid_t);
	struct event *events = ARENA_ARRAY(sync->arena, count * NAME_KEYS, struct event);

	if (!find_name_keys(sync, keys, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < NAME_KEYS; k++) {
			struct state_entry entry = { 0 };

			if (keys[k] && wanted[i].gap->root_now &&
			    !state_get(&source, wanted[i].gap->room, wanted[i].gap->root_now, &keys[k], 1, &entry, err))
				return false;
			nids[i * NAME_KEYS + k] = entry.event;
		}
	}
	if (!events_load(sync->server->events, nids, count * NAME_KEYS, sync->arena, events, err))
		return false;
	for (size_t i = 0; i < count; i++)
		wanted[i].nameless = !says_name(&events[i * NAME_KEYS]) && !says_name(&events[i * NAME_KEYS + 1]);
	return true;
}

static void recall(struct sync *sync, struct wanted *wanted)
{
	struct str bytes;

	if (!cache_get(sync->server->summaries->cache, wanted->gap->room, sync->arena, &bytes))
		return;
	memcpy(&wanted->count, bytes.ptr, sizeof(wanted->count));
	wanted->counted = wanted->count.has_candidates || !wanted->nameless;
}

static struct counted read_count(const struct db_rows *rows, struct arena *arena)
{
	struct counted count = {
		.joined = db_get_int(rows, 1),
		.invited = db_get_int(rows, 2),
		.here = (size_t)db_get_int(rows, 4),
	};
	int64_t *users;

	if (!db_is_null(rows, 3))
		count.candidate_count = MIN(db_get_ints(rows, 3, arena, &users), (size_t)CANDIDATES);
	if (count.candidate_count)
		memcpy(count.candidates, users, count.candidate_count * sizeof(nid_t));
	return count;
}

/* Those that are not in memory. */
static bool count_members(struct sync *sync, struct wanted *wanted, size_t count, struct err *err)
{
	struct summaries *summaries = sync->server->summaries;
	struct wanted **missing = ARENA_ARRAY(sync->arena, count, struct wanted *);
	nid_t *rooms = ARENA_ARRAY(sync->arena, count, nid_t);
	bool *nameless = ARENA_ARRAY(sync->arena, count, bool);
	uint64_t changes = summaries->changes;
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		recall(sync, &wanted[i]);
		if (wanted[i].counted)
			continue;
		missing[n] = &wanted[i];
		rooms[n] = wanted[i].gap->room;
		nameless[n++] = wanted[i].nameless;
	}
	if (!n)
		return true;
	if (!db_acquire(sync->server->pool, &db, err) ||
	    !db_query(db, &SELECT_COUNTS, DB_PARAMS(db_ints(rooms, n), db_bools(nameless, n)), sync->arena, &rows, err))
		return err_detail(err, "summaries of %zu rooms", n);
	while (db_next(rows)) {
		struct wanted *found = missing[db_get_int(rows, 0) - 1];

		found->count = read_count(rows, sync->arena);
		found->count.has_candidates = found->nameless;
		cache_put_unless_changed(summaries->cache, found->gap->room,
					 (struct str){ (const char *)&found->count, sizeof(found->count) },
					 &summaries->changes, changes);
	}
	return true;
}

/* "When no joined or invited members are available, this should consist of the banned and left users", never of the
 * reader. */
static void choose_heroes(const struct sync *sync, const struct counted *count, struct room_summary *summary)
{
	for (size_t i = 0; i < count->candidate_count && summary->hero_count < SUMMARY_HEROES; i++) {
		if (i == count->here && summary->hero_count)
			break;
		if (count->candidates[i] != sync->user->nid)
			summary->heroes[summary->hero_count++] = count->candidates[i];
	}
}

static bool name_heroes(struct sync *sync, struct wanted *wanted, size_t count, struct err *err)
{
	nid_t *users = ARENA_ARRAY(sync->arena, count * SUMMARY_HEROES, nid_t);
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		const struct room_summary *summary = wanted[i].gap->summary;

		for (size_t h = 0; h < summary->hero_count; h++)
			users[n++] = summary->heroes[h];
	}
	if (!load_users(sync->server->interned, users, n, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		struct room_summary *summary = wanted[i].gap->summary;

		for (size_t h = 0; h < summary->hero_count; h++) {
			if (!user_id_of(sync->server->interned, summary->heroes[h], sync->arena, &summary->hero_ids[h],
					err))
				return false;
		}
	}
	return true;
}

bool summaries_load(struct sync *sync, struct err *err)
{
	struct wanted *wanted;
	size_t count;

	wanted = find_wanted(sync, &count);
	if (!count)
		return true;
	if (!find_nameless(sync, wanted, count, err) || !count_members(sync, wanted, count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		struct room_summary *summary = wanted[i].gap->summary = ARENA_NEW(sync->arena, struct room_summary);

		summary->joined = wanted[i].count.joined;
		summary->invited = wanted[i].count.invited;
		summary->nameless = wanted[i].nameless;
		if (summary->nameless)
			choose_heroes(sync, &wanted[i].count, summary);
	}
	return name_heroes(sync, wanted, count, err);
}

void summary_write(const struct room_summary *summary, struct buf *out)
{
	bool first = true;

	if (!summary)
		return;
	buf_printf(out, ",\"summary\":{\"m.joined_member_count\":%" PRId64 ",\"m.invited_member_count\":%" PRId64,
		   summary->joined, summary->invited);
	if (summary->nameless) {
		BUF_LIT(out, ",\"m.heroes\":[");
		for (size_t i = 0; i < summary->hero_count; i++) {
			sync_comma(out, &first);
			slice_write_string(out, summary->hero_ids[i]);
		}
		buf_char(out, ']');
	}
	buf_char(out, '}');
}
