/* The account_data sections of a sync: everything at first and in rooms newly joined, afterwards what changed. */
#include "push/push.h"
#include "sync/sync_internal.h"

static const struct db_statement SELECT_ALL = {
	"account_data_all",
	"SELECT room_nid, type, content FROM shown_account_data WHERE user_nid = $1 ORDER BY room_nid, type",
};
static const struct db_statement SELECT_CHANGED = {
	"account_data_changed",
	"SELECT d.room_nid, d.type, d.content FROM unnest($2::bigint[], $3::text[]) AS c (room, type)"
	" JOIN shown_account_data d ON d.user_nid = $1 AND d.room_nid = c.room AND d.type = c.type"
	" UNION SELECT room_nid, type, content FROM shown_account_data WHERE user_nid = $1 AND room_nid = ANY($4)"
	" ORDER BY room_nid, type",
};

static size_t newly_joined_rooms(const struct sync *sync, nid_t *rooms)
{
	size_t count = 0;

	for (size_t i = 0; i < sync->gap.count; i++) {
		if (sync->gap.list[i]->newly_joined)
			rooms[count++] = sync->gap.list[i]->room;
	}
	return count;
}

static bool query(struct sync *sync, struct db_rows **ret_rows, struct err *err)
{
	const struct gap *gap = &sync->gap;
	size_t changed = gap->account_data_count, joined;
	nid_t *new_rooms = ARENA_ARRAY(sync->arena, gap->count, nid_t);
	nid_t *rooms = ARENA_ARRAY(sync->arena, changed, nid_t);
	struct str *types = ARENA_ARRAY(sync->arena, changed, struct str);
	CLEANUP(db_release) struct db *db = NULL;

	*ret_rows = NULL;
	joined = newly_joined_rooms(sync, new_rooms);
	for (size_t i = 0; i < changed; i++) {
		rooms[i] = gap->account_data[i].room;
		types[i] = gap->account_data[i].type;
	}
	if (!sync->initial && !changed && !joined)
		return true;
	if (!db_acquire(sync->server->pool, &db, err))
		return false;
	if (sync->initial)
		return db_query(db, &SELECT_ALL, DB_PARAMS(db_int(sync->user->nid)), sync->arena, ret_rows, err);
	return db_query(db, &SELECT_CHANGED,
			DB_PARAMS(db_int(sync->user->nid), db_ints(rooms, changed), db_texts(types, changed),
				  db_ints(new_rooms, joined)),
			sync->arena, ret_rows, err);
}

bool account_data_load(struct sync *sync, struct err *err)
{
	struct db_rows *rows;
	size_t count = 0;

	if (!query(sync, &rows, err))
		return err_detail(err, "account data for a sync");
	if (!rows)
		return true;
	sync->account_data = ARENA_ARRAY(sync->arena, db_row_count(rows), struct account_datum);
	while (db_next(rows))
		sync->account_data[count++] =
			(struct account_datum){ db_get_nid(rows, 0), db_get_str(rows, 1), db_get_str(rows, 2) };
	sync->account_data_count = count;
	return true;
}

/* The first of a room's, or where it would be. */
static size_t first_of(const struct sync *sync, nid_t room)
{
	size_t low = 0, high = sync->account_data_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (sync->account_data[middle].room < room)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A comma, or what stands before the first event. */
static void begin_event(struct buf *out, bool *first)
{
	buf_append(out, *first ? STR(",\"account_data\":{\"events\":[") : STR(","));
	*first = false;
}

static void write_events(const struct sync *sync, nid_t room, const struct event_filter *filter, struct buf *out,
			 bool *first)
{
	for (size_t i = first_of(sync, room); i < sync->account_data_count && sync->account_data[i].room == room; i++) {
		if (!event_filter_wants_type(filter, sync->account_data[i].type))
			continue;
		begin_event(out, first);
		BUF_LIT(out, "{\"type\":");
		slice_write_string(out, sync->account_data[i].type);
		BUF_LIT(out, ",\"content\":");
		buf_append(out, sync->account_data[i].content);
		buf_char(out, '}');
	}
}

bool account_data_write_global(struct sync *sync, struct err *err)
{
	const struct event_filter *filter = &sync->filter.account_data;
	struct buf *out = sync->out;
	bool first = true;

	write_events(sync, 0, filter, out, &first);
	if (sync->gap.push_rules && event_filter_wants_type(filter, STR("m.push_rules"))) {
		begin_event(out, &first);
		if (!push_rules_write_event(sync->server, sync->user->nid, sync->user->user_id, sync->arena, out, err))
			return false;
	}
	if (!first)
		BUF_LIT(out, "]}");
	sync->news |= !first;
	return true;
}

bool account_data_write_room(const struct sync *sync, const struct room_info *room, struct buf *out)
{
	const struct event_filter *filter = &sync->filter.room_account_data;
	bool first = true;

	if (event_filter_wants_room(filter, room->room_id))
		write_events(sync, room->nid, filter, out, &first);
	if (!first)
		BUF_LIT(out, "]}");
	return !first;
}
