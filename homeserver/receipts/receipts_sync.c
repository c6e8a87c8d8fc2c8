/*
 * m.receipt in a sync: in rooms that are new to the client the newest receipts of the others and all of one's own,
 * afterwards those that moved. The rows are read, not the journal's entries, so that what is shown is never behind what
 * was shown before.
 */
#include "receipts/receipts.h"
#include "sync/sync_internal.h"

#define COLUMNS "r.room_nid, e.event_id, r.type, u.user_id, t.event_id, r.thread_nid, r.ts"
#define JOINS                                                                                                          \
	" JOIN events e USING (event_nid) JOIN users u ON u.user_nid = r.user_nid"                                     \
	" LEFT JOIN events t ON t.event_nid = r.thread_nid"
/* The content has one place for an event, a type and a user: what does not fit goes into a further event. */
#define COPY                                                                                                           \
	"row_number() OVER (PARTITION BY r.room_nid, r.event_nid, r.type, r.user_nid ORDER BY r.thread_nid) AS copy"
#define ORDER " ORDER BY r.room_nid, copy, r.event_nid, r.type, r.user_nid"
#define ROW   "user_nid, room_nid, type, thread_nid, event_nid, ts"

/* $1: the reader. $2: rooms. $3: how many of the others' */
static const struct db_statement SELECT_OF_ROOMS = {
	"receipts_of_rooms",
	"SELECT " COLUMNS ", " COPY " FROM unnest($2::bigint[]) AS w (room) CROSS JOIN LATERAL ("
	"(SELECT " ROW " FROM receipts WHERE room_nid = w.room AND type = 1 ORDER BY room_seq DESC, sub DESC LIMIT $3)"
	" UNION SELECT " ROW
	" FROM receipts WHERE user_nid = $1 AND room_nid = w.room AND type IN (1, 2)) AS r" JOINS ORDER,
};
static const struct db_statement SELECT_MOVED = {
	"receipts_moved",
	"SELECT " COLUMNS ", " COPY
	" FROM (SELECT DISTINCT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])"
	" AS w (usr, room, type, thread)) AS w JOIN receipts r"
	" ON r.user_nid = w.usr AND r.room_nid = w.room AND r.type = w.type AND r.thread_nid = w.thread" JOINS ORDER,
};

#define MAX_OF_OTHERS 1000

static bool is_new(const struct sync *sync, const struct room_gap *gap)
{
	return sync->initial || gap->newly_joined;
}

static bool query_new_rooms(struct sync *sync, struct db_rows **ret_rows, struct err *err)
{
	nid_t *rooms = ARENA_ARRAY(sync->arena, sync->room_count, nid_t);
	CLEANUP(db_release) struct db *db = NULL;
	size_t count = 0;

	*ret_rows = NULL;
	for (size_t i = 0; i < sync->room_count; i++) {
		const struct room_gap *gap = gap_room(&sync->gap, sync->rooms[i].room);

		if (sync->rooms[i].membership == MEMBERSHIP_JOIN && gap && is_new(sync, gap))
			rooms[count++] = sync->rooms[i].room;
	}
	if (!count)
		return true;
	return db_acquire(sync->server->pool, &db, err) &&
	       db_query(db, &SELECT_OF_ROOMS,
			DB_PARAMS(db_int(sync->user->nid), db_ints(rooms, count), db_int(MAX_OF_OTHERS)), sync->arena,
			ret_rows, err);
}

static bool query_moved(struct sync *sync, struct db_rows **ret_rows, struct err *err)
{
	size_t count = sync->gap.receipt_count;
	int64_t *columns[4];
	CLEANUP(db_release) struct db *db = NULL;

	*ret_rows = NULL;
	if (!count)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		columns[i] = ARENA_ARRAY(sync->arena, count, int64_t);
	for (size_t i = 0; i < count; i++) {
		const struct moved_receipt *moved = &sync->gap.receipts[i];

		columns[0][i] = moved->user;
		columns[1][i] = moved->room;
		columns[2][i] = moved->is_private ? RECEIPT_PRIVATE : RECEIPT_READ;
		columns[3][i] = moved->thread;
	}
	return db_acquire(sync->server->pool, &db, err) &&
	       db_query(db, &SELECT_MOVED,
			DB_PARAMS(db_ints(columns[0], count), db_ints(columns[1], count), db_ints(columns[2], count),
				  db_ints(columns[3], count)),
			sync->arena, ret_rows, err);
}

static struct shown_receipt *read_rows(struct sync *sync, struct db_rows *rows, size_t *ret_count)
{
	struct shown_receipt *list;
	size_t count = 0;

	*ret_count = 0;
	if (!rows)
		return NULL;
	list = ARENA_ARRAY(sync->arena, db_row_count(rows), struct shown_receipt);
	while (db_next(rows)) {
		list[count++] = (struct shown_receipt){
			.room = db_get_nid(rows, 0),
			.event_id = db_get_str(rows, 1),
			.is_private = db_get_int(rows, 2) == RECEIPT_PRIVATE,
			.user_id = db_get_str(rows, 3),
			.thread_id = db_get_nid(rows, 5) == RECEIPT_MAIN ? STR("main") : db_get_str(rows, 4),
			.ts = db_get_int(rows, 6),
			.copy = db_get_int(rows, 7),
		};
	}
	*ret_count = count;
	return list;
}

bool receipts_load(struct sync *sync, struct err *err)
{
	struct db_rows *new_rooms, *moved;

	if (!event_filter_wants_type(&sync->filter.ephemeral, STR("m.receipt")))
		return true;
	if (!query_new_rooms(sync, &new_rooms, err) || !query_moved(sync, &moved, err))
		return err_detail(err, "receipts for a sync");
	sync->receipts_of_new_rooms.items = read_rows(sync, new_rooms, &sync->receipts_of_new_rooms.count);
	sync->receipts_moved.items = read_rows(sync, moved, &sync->receipts_moved.count);
	return true;
}

static void write_receipt(struct buf *out, const struct shown_receipt *receipt)
{
	slice_write_string(out, receipt->user_id);
	buf_printf(out, ":{\"ts\":%" PRId64, receipt->ts);
	if (receipt->thread_id.len) {
		BUF_LIT(out, ",\"thread_id\":");
		slice_write_string(out, receipt->thread_id);
	}
	buf_char(out, '}');
}

static void write_name(struct buf *out, const struct shown_receipt *receipt, bool same_event)
{
	if (!same_event) {
		slice_write_string(out, receipt->event_id);
		BUF_LIT(out, ":{");
	}
	buf_printf(out, "\"%s\":{", receipt->is_private ? "m.read.private" : "m.read");
}

/* One event's content: {event: {type: {user: receipt}}}, from rows that are sorted so. */
static void write_content(struct buf *out, const struct shown_receipt *receipts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		bool same_event = i && str_eq(receipts[i].event_id, receipts[i - 1].event_id);
		bool same_type = same_event && receipts[i].is_private == receipts[i - 1].is_private;

		if (i)
			buf_append(out, same_type ? STR(",") : same_event ? STR("},") : STR("}},"));
		if (!same_type)
			write_name(out, &receipts[i], same_event);
		write_receipt(out, &receipts[i]);
	}
	BUF_LIT(out, "}}");
}

void receipts_write(const struct sync *sync, const struct room_gap *gap, struct ephemeral *ephemeral)
{
	const struct shown_receipts *from = is_new(sync, gap) ? &sync->receipts_of_new_rooms : &sync->receipts_moved;
	size_t first = 0, end;

	if (!gap->receipts && !gap->newly_joined)
		return;
	while (first < from->count && from->items[first].room < gap->room)
		first++;
	for (; first < from->count && from->items[first].room == gap->room; first = end) {
		for (end = first; end < from->count && from->items[end].room == gap->room &&
				  from->items[end].copy == from->items[first].copy;)
			end++;
		ephemeral_begin(ephemeral, "m.receipt");
		buf_char(ephemeral->out, '{');
		write_content(ephemeral->out, &from->items[first], end - first);
		BUF_LIT(ephemeral->out, "}}");
	}
}
