/* What happened between two positions of the journal, as far as one user is concerned. */
#include "sync/sync_internal.h"

static const struct db_statement SELECT_ENTRIES = {
	"sync_gap_entries",
	"SELECT kind, room_nid, user_nid, device_nid, target_nid, key_nid, membership, event_nid, data FROM ("
	"SELECT * FROM journal WHERE room_nid = ANY($3) AND pos > $1 AND pos <= $2 AND kind NOT IN (1, 2)"
	" UNION ALL SELECT * FROM journal WHERE room_nid IS NULL AND user_nid = $4 AND pos > $1 AND pos <= $2 AND kind <> 6) AS entries ORDER BY pos",
};
static const struct db_statement SELECT_DEVICE_LISTS = {
	"sync_gap_device_lists",
	"SELECT DISTINCT user_nid FROM journal WHERE kind = 6 AND pos > $1 AND pos <= $2 AND (target_nid IS NULL OR target_nid = $3)",
};
static const struct db_statement SELECT_MEMBERS_CHANGED = {
	"sync_gap_members",
	"SELECT DISTINCT room_nid, target_nid = $4 FROM journal WHERE pos > $1 AND pos <= $2 AND room_nid = ANY($3) AND kind = 1"
	" AND target_nid IS NOT NULL AND key_nid IS NOT NULL",
};
static const struct db_statement SELECT_DEPARTURES = {
	"sync_gap_departures",
	"SELECT DISTINCT room_nid, target_nid FROM journal WHERE pos > $1 AND pos <= $2 AND room_nid = ANY($3) AND kind = 1"
	" AND target_nid IS NOT NULL AND key_nid IS NOT NULL AND membership IN (3, 4)",
};

struct room_gap *gap_room(struct gap *gap, nid_t room)
{
	return idmap_get(&gap->rooms, room);
}

void gap_done(struct gap *gap)
{
	idmap_done(&gap->rooms);
}

struct room_gap *gap_touch(struct gap *gap, nid_t room)
{
	struct room_gap *found = gap_room(gap, room);

	if (!found) {
		found = ARENA_NEW(gap->arena, struct room_gap);
		found->room = room;
		idmap_put(&gap->rooms, room, found);
		*ARENA_PUSH(gap->arena, gap->list, gap->count, gap->cap) = found;
	}
	return found;
}

static void add_event(struct gap *gap, const struct journal_entry *entry)
{
	struct room_gap *room = gap_touch(gap, entry->room);

	if (!room->events) {
		room->events = room->fresh_known = true;
		room->seq_before = entry->kind == JOURNAL_EVENT ? entry->seq - 1 : entry->seq;
		room->root_before = entry->root_before;
	}
	if (entry->kind == JOURNAL_EVENT && room->fresh_known) {
		if (room->fresh_count == GAP_MAX_FRESH)
			room->fresh_known = false;
		else
			*ARENA_PUSH(gap->arena, room->fresh, room->fresh_count, room->fresh_cap) = entry->event;
	}
	room->seq_now = MAX(entry->seq, room->seq_now);
	room->root_now = entry->root_after;
	if (entry->key && entry->target) {
		room->members = true;
		room->own_membership |= entry->target == gap->user;
		if (entry->membership == MEMBERSHIP_LEAVE || entry->membership == MEMBERSHIP_BAN)
			*ARENA_PUSH(gap->arena, gap->departures, gap->departure_count, gap->departure_cap) =
				(struct departure){ entry->room, entry->target };
	}
}

static void add_account_data(struct gap *gap, nid_t room, struct str type)
{
	for (size_t i = 0; i < gap->account_data_count; i++) {
		if (gap->account_data[i].room == room && str_eq(gap->account_data[i].type, type))
			return;
	}
	*ARENA_PUSH(gap->arena, gap->account_data, gap->account_data_count, gap->account_data_cap) =
		(struct account_datum){ room, str_dup(gap->arena, type), STR("") };
	if (room)
		gap_touch(gap, room)->account_data = true;
}

static void add_receipt(struct gap *gap, const struct journal_entry *entry)
{
	gap_touch(gap, entry->room)->receipts = true;
	*ARENA_PUSH(gap->arena, gap->receipts, gap->receipt_count, gap->receipt_cap) =
		(struct moved_receipt){ entry->user, entry->room, entry->target, entry->membership == 1 };
}

static void add_other(struct gap *gap, const struct journal_entry *entry)
{
	bool mine = entry->user == gap->user, my_device = mine && (!entry->device || entry->device == gap->device);

	switch (entry->kind) {
	case JOURNAL_RECEIPT:
		/* membership = 1: a private receipt, its user's alone */
		if (mine || entry->membership != 1)
			add_receipt(gap, entry);
		break;
	case JOURNAL_ACCOUNT_DATA:
		if (mine)
			add_account_data(gap, entry->room, entry->data);
		break;
	case JOURNAL_PUSH_RULES:
		gap->push_rules |= mine;
		break;
	case JOURNAL_TO_DEVICE:
		gap->to_device |= my_device;
		break;
	case JOURNAL_ONE_TIME_KEYS:
		gap->one_time_keys |= my_device;
		break;
	case JOURNAL_DEVICE_LIST:
		/* target: the only one who can see the change */
		if (entry->target && entry->target != gap->user)
			break;
		*ARENA_PUSH(gap->arena, gap->device_lists, gap->device_list_count, gap->device_list_cap) = entry->user;
		break;
	default:
		break;
	}
}

static int compare_rooms(const void *a, const void *b)
{
	nid_t x = ((const struct user_room *)a)->room, y = ((const struct user_room *)b)->room;

	return (x > y) - (x < y);
}

static bool is_joined(const struct gap *gap, nid_t room)
{
	struct user_room key = { .room = room }, *found;

	found = gap->mine_count ? bsearch(&key, gap->mine, gap->mine_count, sizeof(key), compare_rooms) : NULL;
	return found && found->membership == MEMBERSHIP_JOIN;
}

/* Of all rooms: which of them are the user's is seen later. But for receipts, which may be many. */
static void collect(void *context, const struct journal_entry *entry)
{
	if (entry->kind == JOURNAL_EVENT || entry->kind == JOURNAL_STATE)
		add_event(context, entry);
	else if (entry->kind != JOURNAL_RECEIPT || is_joined(context, entry->room))
		add_other(context, entry);
}

static void add_devices(struct gap *gap, struct db_rows *lists, struct db_rows *departures)
{
	while (db_next(lists))
		*ARENA_PUSH(gap->arena, gap->device_lists, gap->device_list_count, gap->device_list_cap) = db_get_nid(lists, 0);
	while (db_next(departures))
		*ARENA_PUSH(gap->arena, gap->departures, gap->departure_count, gap->departure_cap) =
			(struct departure){ db_get_nid(departures, 0), db_get_nid(departures, 1) };
}

static bool read_others(struct sync *sync, const nid_t *rooms, struct err *err)
{
	struct db_param since = db_int(sync->since.pos), now = db_int(sync->now.pos);
	struct db_params params = DB_PARAMS(db_int(sync->since.pos), db_int(sync->now.pos), db_ints(rooms, sync->room_count), db_int(sync->user->nid));
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows, *members, *lists, *departures;

	if (!db_acquire(sync->server->pool, &db, err) || !db_query(db, &SELECT_ENTRIES, params, sync->arena, &rows, err) ||
	    !db_query(db, &SELECT_MEMBERS_CHANGED, params, sync->arena, &members, err) ||
	    !db_query(db, &SELECT_DEVICE_LISTS, DB_PARAMS(since, now, db_int(sync->user->nid)), sync->arena, &lists, err) ||
	    !db_query(db, &SELECT_DEPARTURES, DB_PARAMS(since, now, db_ints(rooms, sync->room_count)), sync->arena, &departures, err))
		return err_detail(err, "read a gap");
	add_devices(&sync->gap, lists, departures);
	while (db_next(rows))
		add_other(&sync->gap, &(struct journal_entry){
					      .kind = (enum journal_kind)db_get_int(rows, 0),
					      .room = db_get_nid(rows, 1),
					      .user = db_get_nid(rows, 2),
					      .device = db_get_nid(rows, 3),
					      .target = db_get_nid(rows, 4),
					      .key = db_get_nid(rows, 5),
					      .membership = db_get_int(rows, 6),
					      .event = db_get_nid(rows, 7),
					      .data = db_get_str(rows, 8),
				      });
	while (db_next(members)) {
		struct room_gap *room = gap_touch(&sync->gap, db_get_nid(members, 0));

		room->members = true;
		room->own_membership |= db_get_bool(members, 1);
	}
	return true;
}

/* The token is older than the tail: where the user's rooms stood then and stand now, and what else there was. */
static bool read_database(struct sync *sync, struct err *err)
{
	struct room_point *then = ARENA_ARRAY(sync->arena, sync->room_count, struct room_point);
	struct room_point *now = ARENA_ARRAY(sync->arena, sync->room_count, struct room_point);
	nid_t *rooms = ARENA_ARRAY(sync->arena, sync->room_count, nid_t);

	for (size_t i = 0; i < sync->room_count; i++)
		rooms[i] = sync->rooms[i].room;
	if (!room_points_at(sync->server, rooms, sync->room_count, sync->since.pos, sync->arena, then, err) ||
	    !room_points_at(sync->server, rooms, sync->room_count, sync->now.pos, sync->arena, now, err))
		return false;
	for (size_t i = 0; i < sync->room_count; i++) {
		struct room_gap *room;

		if (then[i].seq == now[i].seq && then[i].root == now[i].root)
			continue;
		room = gap_touch(&sync->gap, rooms[i]);
		room->events = true;
		room->seq_before = then[i].seq;
		room->root_before = then[i].root;
		room->seq_now = now[i].seq;
		room->root_now = now[i].root;
	}
	return read_others(sync, rooms, err);
}

/* Everything that the user is in, from nothing. */
static bool read_initial(struct sync *sync, struct err *err)
{
	struct room_point *now = ARENA_ARRAY(sync->arena, sync->room_count, struct room_point);
	nid_t *rooms = ARENA_ARRAY(sync->arena, sync->room_count, nid_t);

	for (size_t i = 0; i < sync->room_count; i++)
		rooms[i] = sync->rooms[i].room;
	if (!room_points_at(sync->server, rooms, sync->room_count, sync->now.pos, sync->arena, now, err))
		return false;
	for (size_t i = 0; i < sync->room_count; i++) {
		struct room_gap *room = gap_touch(&sync->gap, rooms[i]);

		*room = (struct room_gap){ .room = rooms[i], .seq_now = now[i].seq, .root_now = now[i].root, .events = true, .members = true,
			                   .receipts = true, .account_data = true, .own_membership = true };
	}
	sync->gap.push_rules = sync->gap.to_device = sync->gap.one_time_keys = true;
	return true;
}

bool gap_read(struct sync *sync, struct err *err)
{
	sync->gap = (struct gap){
		.arena = sync->arena,
		.user = sync->user->nid,
		.device = sync->user->device,
		.mine = sync->rooms,
		.mine_count = sync->room_count,
	};
	if (sync->initial)
		return read_initial(sync, err);
	if (journal_scan(sync->server->journal, sync->since.pos, sync->now.pos, collect, &sync->gap))
		return true;
	return read_database(sync, err);
}
