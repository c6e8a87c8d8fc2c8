/* Pages of a room. They are read as numbers: the events behind them are seldom far. */
#include "events/events_internal.h"

/* $7: whether events that are shown to nobody count, too. */
#define COUNTS "($7 OR (SELECT s.verdict FROM event_state s WHERE s.event_nid = events.event_nid) = 0)"

static const struct db_statement SELECT_FORWARDS = {
	"events_page_forwards",
	"SELECT event_nid, room_seq, sub FROM events WHERE room_nid = $1 AND (room_seq, sub) > ($2, $3) AND (room_seq, sub) <= ($4, $5) AND " COUNTS
	" ORDER BY room_seq, sub LIMIT $6",
};
static const struct db_statement SELECT_BACKWARDS = {
	"events_page_backwards",
	"SELECT event_nid, room_seq, sub FROM events WHERE room_nid = $1 AND (room_seq, sub) < ($2, $3) AND (room_seq, sub) >= ($4, $5) AND " COUNTS
	" ORDER BY room_seq DESC, sub DESC LIMIT $6",
};
static const struct db_statement SELECT_NEWEST = {
	"events_newest",
	"SELECT r.at, e.event_nid FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS r (room, seq, at)"
	" CROSS JOIN LATERAL (SELECT event_nid FROM events WHERE room_nid = r.room AND room_seq <= r.seq ORDER BY room_seq DESC, sub DESC LIMIT $3) AS e",
};

struct page_part {
	struct event_page page; /* what is left of it */
	bool all;               /* with the events that are shown to nobody */
	nid_t *nids;
	size_t count;
};

static bool read_nids(struct events *events, nid_t room, struct page_part *part, struct arena *arena, struct err *err)
{
	struct event_page *page = &part->page;
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	if (!db_acquire(events->pool, &db, err) ||
	    !db_query(db, page->backwards ? &SELECT_BACKWARDS : &SELECT_FORWARDS,
	              DB_PARAMS(db_int(room), db_int(page->from.seq), db_int(page->from.sub), db_int(page->to.seq), db_int(page->to.sub), db_int(page->limit),
	                        db_bool(part->all)),
	              arena, &rows, err))
		return err_detail(err, "page of room %" PRId64, room);
	part->nids = ARENA_ARRAY(arena, db_row_count(rows), nid_t);
	for (part->count = 0; db_next(rows); part->count++) {
		part->nids[part->count] = db_get_nid(rows, 0);
		page->from = (struct event_order){ db_get_int(rows, 1), db_get_int(rows, 2) };
	}
	return true;
}

/* Appends the accepted events of the part. */
static bool read_part(struct events *events, nid_t room, struct page_part *part, struct event *list, size_t *count, struct arena *arena, struct err *err)
{
	struct event *found = list + *count;

	if (!read_nids(events, room, part, arena, err) || !events_load(events, part->nids, part->count, arena, found, err))
		return false;
	for (size_t i = 0; i < part->count; i++) {
		if (found[i].nid && found[i].verdict == VERDICT_ACCEPTED)
			list[(*count)++] = found[i];
	}
	return true;
}

/* Events that are shown to nobody are mostly few, so verdicts are asked for only where a page is short of its limit for their sake. */
bool events_page(struct events *events, nid_t room, const struct event_page *page, struct arena *arena, struct event **ret_events, size_t *ret_count,
                 struct err *err)
{
	struct page_part part = { .page = *page, .all = true };

	*ret_events = ARENA_ARRAY(arena, (size_t)page->limit, struct event);
	*ret_count = 0;
	if (!read_part(events, room, &part, *ret_events, ret_count, arena, err))
		return false;
	if ((int64_t)part.count < page->limit || (int64_t)*ret_count == page->limit)
		return true;
	part.page.limit = page->limit - (int64_t)*ret_count;
	part.all = false;
	return read_part(events, room, &part, *ret_events, ret_count, arena, err);
}

/* Of one room, as events_newest has it. */
static bool read_newest(struct events *events, struct event_newest *newest, int64_t limit, struct arena *arena, struct err *err)
{
	const struct event_page page = {
		.from = { newest->seq, INT32_MAX }, .to = EVENT_ORDER_START, .backwards = true, .limit = limit,
	};

	return events_page(events, newest->room, &page, arena, &newest->events, &newest->count, err);
}

static bool all_accepted(const struct event_newest *newest)
{
	for (size_t i = 0; i < newest->count; i++) {
		if (newest->events[i].verdict != VERDICT_ACCEPTED)
			return false;
	}
	return true;
}

static bool newest_nids(struct events *events, struct event_newest *rooms, size_t count, int64_t limit, struct arena *arena, nid_t **ret_nids,
                        size_t *ret_count, struct err *err)
{
	int64_t *nids = ARENA_ARRAY(arena, count, int64_t), *seqs = ARENA_ARRAY(arena, count, int64_t);
	const struct event_newest *last = rooms;
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;
	nid_t *list;

	for (size_t i = 0; i < count; i++) {
		nids[i] = rooms[i].room;
		seqs[i] = rooms[i].seq;
		rooms[i].count = 0;
	}
	if (!db_acquire(events->pool, &db, err) ||
	    !db_query(db, &SELECT_NEWEST, DB_PARAMS(db_ints(nids, count), db_ints(seqs, count), db_int(limit)), arena, &rows, err))
		return err_detail(err, "newest events of %zu rooms", count);
	list = ARENA_ARRAY(arena, db_row_count(rows), nid_t);
	for (*ret_count = 0; db_next(rows); ++*ret_count) {
		struct event_newest *room = &rooms[db_get_int(rows, 0) - 1];

		assert(room >= last); /* room by room, in their order */
		last = room;
		room->count++;
		list[*ret_count] = db_get_nid(rows, 1);
	}
	*ret_nids = list;
	return true;
}

bool events_newest(struct events *events, struct event_newest *rooms, size_t count, int64_t limit, struct arena *arena, struct err *err)
{
	struct event *list;
	size_t found = 0;
	nid_t *nids = NULL;

	if (!newest_nids(events, rooms, count, limit, arena, &nids, &found, err))
		return false;
	list = ARENA_ARRAY(arena, found, struct event);
	if (!events_load(events, nids, found, arena, list, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		size_t of_room = rooms[i].count;

		rooms[i].events = list;
		if (!all_accepted(&rooms[i]) && !read_newest(events, &rooms[i], limit, arena, err))
			return false;
		list += of_room;
	}
	return true;
}
