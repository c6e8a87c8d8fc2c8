/* The unread counts in a sync: unread_notifications and unread_thread_notifications of a joined room. */
#include "counts/counts.h"
#include "sync/sync_internal.h"

bool unread_load(struct sync *sync, struct err *err)
{
	struct counted_room *rooms = ARENA_ARRAY(sync->arena, sync->room_count, struct counted_room);
	size_t count = 0;

	for (size_t i = 0; i < sync->room_count; i++) {
		const struct room_gap *gap = gap_room(&sync->gap, sync->rooms[i].room);

		if (gap && sync->rooms[i].membership == MEMBERSHIP_JOIN)
			rooms[count++] = (struct counted_room){ sync->rooms[i].room, gap->seq_now };
	}
	return counts_read(sync->server, sync->user->nid, sync->user->user_id, sync->now.pos, rooms, count, sync->arena, &sync->unread, &sync->unread_count, err);
}

/* The first of a room's threads, or where it would be. */
static size_t first_of(const struct sync *sync, nid_t room)
{
	size_t low = 0, high = sync->unread_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (sync->unread[middle].room < room)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void write_counts(struct buf *out, int64_t notifications, int64_t highlights)
{
	buf_printf(out, "{\"notification_count\":%" PRId64 ",\"highlight_count\":%" PRId64 "}", notifications, highlights);
}

static bool write_threads(struct sync *sync, const struct unread *threads, size_t count, struct buf *out, struct err *err)
{
	struct event *roots = ARENA_ARRAY(sync->arena, count, struct event);
	nid_t *nids = ARENA_ARRAY(sync->arena, count, nid_t);
	bool first = true;

	for (size_t i = 0; i < count; i++)
		nids[i] = threads[i].thread;
	if (!events_load(sync->server->events, nids, count, sync->arena, roots, err))
		return false;
	BUF_LIT(out, ",\"unread_thread_notifications\":{");
	for (size_t i = 0; i < count; i++) {
		if (!roots[i].nid)
			continue;
		sync_comma(out, &first);
		slice_write_string(out, roots[i].event_id);
		buf_char(out, ':');
		write_counts(out, threads[i].notifications, threads[i].highlights);
	}
	BUF_LIT(out, "}");
	return true;
}

bool unread_write(struct sync *sync, nid_t room, struct buf *out, struct err *err)
{
	bool apart = sync->filter.timeline.unread_thread_notifications;
	int64_t notifications = 0, highlights = 0;
	size_t first = first_of(sync, room), end = first;

	for (; end < sync->unread_count && sync->unread[end].room == room; end++) {
		if (apart && sync->unread[end].thread != COUNTS_MAIN_THREAD)
			continue;
		notifications += sync->unread[end].notifications;
		highlights += sync->unread[end].highlights;
	}
	BUF_LIT(out, ",\"unread_notifications\":");
	write_counts(out, notifications, highlights);
	if (first < end && sync->unread[first].thread == COUNTS_MAIN_THREAD)
		first++; /* it sorts before all others */
	return !apart || first == end || write_threads(sync, sync->unread + first, end - first, out, err);
}
