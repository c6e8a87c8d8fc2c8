/* What an account's first sync needs of all its rooms, in a query a kind instead of some a room. */
#include "relations/relations.h"
#include "state/state_store.h"
#include "sync/sync_internal.h"

#define ROOMS_AT_ONCE 500

static bool fetch_pages(struct sync *sync, struct first_page *pages, size_t count, struct err *err)
{
	struct event_newest *newest = ARENA_ARRAY(sync->arena, count, struct event_newest);

	for (size_t i = 0; i < count; i++)
		newest[i] = (struct event_newest){ .room = pages[i].room, .seq = pages[i].seq };
	if (!events_newest(sync->server->events, newest, count, sync_timeline_limit(sync) + 1, sync->arena, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		pages[i].events = newest[i].events;
		pages[i].count = newest[i].count;
	}
	return true;
}

static bool find_related(struct sync *sync, struct first_page *pages, size_t count, struct err *err)
{
	size_t total = 0, at = 0;
	struct str *ids;
	nid_t *rooms;
	bool *related;

	for (size_t i = 0; i < count; i++)
		total += pages[i].count;
	ids = ARENA_ARRAY(sync->arena, total, struct str);
	rooms = ARENA_ARRAY(sync->arena, total, nid_t);
	related = ARENA_ARRAY(sync->arena, total, bool);
	for (size_t i = 0; i < count; i++) {
		for (size_t e = 0; e < pages[i].count; e++, at++) {
			ids[at] = pages[i].events[e].event_id;
			rooms[at] = pages[i].room;
		}
	}
	if (!relations_find(sync->server, rooms, ids, total, sync->arena, related, err))
		return false;
	for (size_t i = 0, e = 0; i < count; e += pages[i].count, i++) {
		for (size_t j = 0; j < pages[i].count; j++)
			pages[i].related |= related[e + j];
	}
	return true;
}

bool sync_fetch_first(struct sync *sync, struct err *err)
{
	struct first_page *pages;
	int64_t *roots;
	nid_t *rooms;
	size_t count = 0;

	if (!sync->initial)
		return true;
	pages = ARENA_ARRAY(sync->arena, sync->room_count, struct first_page);
	rooms = ARENA_ARRAY(sync->arena, sync->room_count, nid_t);
	roots = ARENA_ARRAY(sync->arena, sync->room_count, int64_t);
	for (size_t i = 0; i < sync->room_count; i++) {
		const struct room_gap *gap = gap_room(&sync->gap, sync->rooms[i].room);

		if (sync->rooms[i].membership != MEMBERSHIP_JOIN || !gap)
			continue;
		pages[count] = (struct first_page){ .room = gap->room, .seq = gap->seq_now };
		rooms[count] = gap->room;
		roots[count++] = gap->root_now;
	}
	for (size_t i = 0; i < count; i += ROOMS_AT_ONCE) {
		size_t n = MIN(count - i, (size_t)ROOMS_AT_ONCE);

		if (!rooms_fetch(sync->server->rooms, rooms + i, n, err) || !state_store_fetch(sync->server->states, rooms + i, roots + i, n, err) ||
		    !fetch_pages(sync, pages + i, n, err) || !find_related(sync, pages + i, n, err))
			return err_detail(err, "a first sync of %zu rooms", count);
	}
	sync->first = pages;
	sync->first_count = count;
	return true;
}

static int compare_rooms(const void *a, const void *b)
{
	nid_t x = ((const struct first_page *)a)->room, y = ((const struct first_page *)b)->room;

	return (x > y) - (x < y);
}

const struct first_page *first_page_find(const struct sync *sync, nid_t room, const struct event_page *page)
{
	struct first_page key = { .room = room }, *found;

	found = sync->first_count ? bsearch(&key, sync->first, sync->first_count, sizeof(key), compare_rooms) : NULL;
	return found && page->from.seq == found->seq + 1 && page->from.sub == INT32_MIN ? found : NULL;
}
