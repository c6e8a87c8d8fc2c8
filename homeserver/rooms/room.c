/* Rooms in memory: what never changes, and heads with their turns. */
#include "base/cache.h"
#include "rooms/room_internal.h"

#define HEAD_COLUMNS "room_nid, token, room_seq, depth, state_root, extremities, last_activity"

const struct db_statement ROOM_LOCK_HEADS = {
	"room_lock_heads",
	"SELECT " HEAD_COLUMNS " FROM room_heads WHERE room_nid = ANY($1) ORDER BY room_nid FOR UPDATE SKIP LOCKED",
};
const struct db_statement ROOM_LOCK_HEADS_WAITING = {
	"room_lock_heads_waiting",
	"SELECT " HEAD_COLUMNS " FROM room_heads WHERE room_nid = ANY($1) ORDER BY room_nid FOR UPDATE",
};
const struct db_statement ROOM_FIND_TRANSACTIONS = {
	"room_find_transactions",
	"SELECT q.at, e.event_id FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) WITH ORDINALITY AS q (device, room, type, txn, at)"
	" JOIN events e ON e.txn_device = q.device AND e.txn_id = q.txn AND e.room_nid = q.room AND e.type_nid = q.type",
};
static const struct db_statement SELECT_HEAD = { "room_head_select", "SELECT " HEAD_COLUMNS " FROM room_heads WHERE room_nid = $1" };
static const struct db_statement SELECT_BY_ID = { "room_by_id", "SELECT room_nid, room_id, version FROM rooms WHERE room_id = $1" };
static const struct db_statement SELECT_BY_NID = { "room_by_nid", "SELECT room_nid, room_id, version FROM rooms WHERE room_nid = $1" };
static const struct db_statement SELECT_BY_NIDS = {
	"rooms_by_nid",
	"SELECT room_nid, room_id, version FROM rooms WHERE room_nid = ANY($1)",
};

const struct write_table ROOM_TABLE = {
	.statement = { "room_insert",
	               "INSERT INTO rooms (room_nid, room_id, version, creator_nid, created_ts)"
	               " SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])" },
	.order = 10,
	.column_count = 5,
	.columns = { DB_INT, DB_TEXT, DB_TEXT, DB_INT, DB_INT },
};

const struct write_table ROOM_HEAD_TABLE = {
	.statement = { "room_head_upsert",
	               "INSERT INTO room_heads (" HEAD_COLUMNS ")"
	               " SELECT room, token, seq, depth, root, extremities::bigint[], activity"
	               " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[])"
	               " AS h (room, token, seq, depth, root, extremities, activity)"
	               " ON CONFLICT (room_nid) DO UPDATE SET token = excluded.token, room_seq = excluded.room_seq, depth = excluded.depth,"
	               " state_root = excluded.state_root, extremities = excluded.extremities, last_activity = excluded.last_activity" },
	.order = 50,
	.column_count = 7,
	.columns = { DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_TEXT, DB_INT },
	.key_columns = 1,
};

const struct write_table CURRENT_STATE_TABLE = {
	.statement = { "current_state_upsert",
	               "INSERT INTO current_state (room_nid, key_nid, event_nid) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])"
	               " ON CONFLICT (room_nid, key_nid) DO UPDATE SET event_nid = excluded.event_nid" },
	.order = 30,
	.column_count = 3,
	.columns = { DB_INT, DB_INT, DB_INT },
	.key_columns = 2,
};

void room_add_head_row(struct write_set *set, nid_t room, const struct room_head *head)
{
	struct arena *arena = write_set_arena(set);
	CLEANUP(buf_done) struct buf extremities = buf_init(4096);

	buf_char(&extremities, '{');
	for (size_t i = 0; i < head->extremity_count; i++) {
		if (i)
			buf_char(&extremities, ',');
		buf_int(&extremities, head->extremities[i]);
	}
	buf_char(&extremities, '}');
	write_set_add(set, &ROOM_HEAD_TABLE,
	              DB_PARAMS(db_int(room), db_int(head->token), db_int(head->room_seq), db_int(head->depth), db_int(head->state_root),
	                        db_text(str_dup(arena, buf_str(&extremities))), db_int(head->last_activity)));
}

struct room_head room_head_of(const struct db_rows *rows, struct arena *arena)
{
	struct room_head head = {
		.token = db_get_int(rows, 1),
		.room_seq = db_get_int(rows, 2),
		.depth = db_get_int(rows, 3),
		.state_root = db_get_int(rows, 4),
		.last_activity = db_get_int(rows, 6),
	};
	int64_t *extremities;
	size_t count = db_get_ints(rows, 5, arena, &extremities);

	head.extremity_count = MIN(count, (size_t)ROOM_MAX_EXTREMITIES);
	memcpy(head.extremities, extremities, head.extremity_count * sizeof(nid_t));
	return head;
}

static struct str root_bytes(const int64_t *root)
{
	return (struct str){ (const char *)root, sizeof(*root) };
}

/* Another process's event: the head in memory is behind. Our own are in it already. */
static void observe(void *context, const struct journal_entry *entry)
{
	struct rooms *rooms = context;
	struct room *room;

	if (entry->kind != JOURNAL_EVENT && entry->kind != JOURNAL_STATE)
		return;
	rooms->changes++;
	cache_put(rooms->roots, entry->room, root_bytes(&entry->root_after));
	LOCKED(&rooms->lock);
	room = idmap_get(&rooms->rooms, entry->room);
	if (room && (entry->seq > room->seq || entry->kind == JOURNAL_STATE))
		room->stale = true;
}

struct rooms *rooms_new(struct server *server, size_t cache_bytes)
{
	struct rooms *rooms = X_NEW(struct rooms);

	rooms->server = server;
	rooms->infos = cache_new(cache_bytes / 8 * 3);
	rooms->infos_by_nid = cache_new(cache_bytes / 8 * 3);
	rooms->roots = cache_new(cache_bytes / 4);
	rooms->max_rooms = 10000;
	mutex_init(&rooms->lock);
	journal_observe(server->journal, observe, rooms);
	return rooms;
}

static void room_destroy(struct room *room)
{
	mutex_done(&room->turn);
	free(room);
}

void rooms_free(struct rooms *rooms)
{
	size_t at = 0;
	struct room *room;

	if (!rooms)
		return;
	while ((room = idmap_next(&rooms->rooms, &at, NULL)))
		room_destroy(room);
	idmap_done(&rooms->rooms);
	mutex_done(&rooms->lock);
	cache_free(rooms->infos);
	cache_free(rooms->infos_by_nid);
	cache_free(rooms->roots);
	free(rooms);
}

struct cache_stats rooms_cache_stats(struct rooms *rooms)
{
	return cache_stats_sum(cache_stats_sum(cache_stats(rooms->infos), cache_stats(rooms->infos_by_nid)), cache_stats(rooms->roots));
}

/* --- what never changes --- */

void room_remember_info(struct rooms *rooms, const struct room_info *info)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str text = str_printf(arena, "%d %" PRId64 " %.*s", info->version->number, info->nid, STR_ARG(info->room_id));

	cache_put(rooms->infos, (int64_t)str_hash(info->room_id), text);
	cache_put(rooms->infos_by_nid, info->nid, text);
}

static bool parse_info(struct str text, struct room_info *ret_room)
{
	struct str version, nid;

	return str_split(&text, ' ', &version) && str_split(&text, ' ', &nid) && str_to_int64(nid, &ret_room->nid) &&
	       (ret_room->version = room_version_find(version)) && (ret_room->room_id = text, true);
}

static bool load_info(struct rooms *rooms, const struct db_statement *statement, struct db_params params, struct arena *arena, struct room_info *ret_room,
                      struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	*ret_room = (struct room_info){ 0 };
	if (!db_acquire(rooms->server->pool, &db, err) || !db_query(db, statement, params, arena, &rows, err))
		return err_detail(err, "look up a room");
	if (!db_next(rows))
		return true;
	*ret_room = (struct room_info){ db_get_nid(rows, 0), db_get_str(rows, 1), room_version_find(db_get_str(rows, 2)) };
	if (!ret_room->version)
		return err_internal(err, "room %" PRId64 " has an unknown version", ret_room->nid);
	room_remember_info(rooms, ret_room);
	return true;
}

bool room_find(struct rooms *rooms, struct str room_id, struct arena *arena, struct room_info *ret_room, struct err *err)
{
	struct str text;

	if (cache_get(rooms->infos, (int64_t)str_hash(room_id), arena, &text) && parse_info(text, ret_room) && str_eq(ret_room->room_id, room_id))
		return true;
	return load_info(rooms, &SELECT_BY_ID, DB_PARAMS(db_text(room_id)), arena, ret_room, err);
}

bool room_of_nid(struct rooms *rooms, nid_t nid, struct arena *arena, struct room_info *ret_room, struct err *err)
{
	struct str text;

	if (cache_get(rooms->infos_by_nid, nid, arena, &text) && parse_info(text, ret_room))
		return true;
	return load_info(rooms, &SELECT_BY_NID, DB_PARAMS(db_int(nid)), arena, ret_room, err);
}

bool rooms_fetch(struct rooms *rooms, const nid_t *nids, size_t count, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	int64_t *missing = ARENA_ARRAY(arena, count, int64_t);
	CLEANUP(db_release) struct db *db = NULL;
	size_t missing_count = 0;
	struct db_rows *rows;
	struct str text;

	for (size_t i = 0; i < count; i++) {
		if (!cache_get(rooms->infos_by_nid, nids[i], arena, &text))
			missing[missing_count++] = nids[i];
	}
	if (missing_count == 0)
		return true;
	if (!db_acquire(rooms->server->pool, &db, err) || !db_query(db, &SELECT_BY_NIDS, DB_PARAMS(db_ints(missing, missing_count)), arena, &rows, err))
		return err_detail(err, "look up %zu rooms", missing_count);
	while (db_next(rows)) {
		struct room_info info = { db_get_nid(rows, 0), db_get_str(rows, 1), room_version_find(db_get_str(rows, 2)) };

		if (info.version)
			room_remember_info(rooms, &info);
	}
	return true;
}

bool room_require(struct rooms *rooms, struct str room_id, struct arena *arena, struct room_info *ret_room, struct err *err)
{
	if (!room_find(rooms, room_id, arena, ret_room, err))
		return false;
	if (!ret_room->nid)
		return err_set(err, M_FORBIDDEN, "You are not in this room"); /* strangers do not learn which rooms there are */
	return true;
}

/* --- heads --- */

static bool load_head(struct rooms *rooms, nid_t nid, struct room_head *ret_head, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	if (!db_acquire(rooms->server->pool, &db, err) || !db_query(db, &SELECT_HEAD, DB_PARAMS(db_int(nid)), arena, &rows, err))
		return err_detail(err, "head of room %" PRId64, nid);
	if (!db_next(rows))
		return err_internal(err, "room %" PRId64 " has no head", nid);
	*ret_head = room_head_of(rows, arena);
	return true;
}

bool room_state_root(struct rooms *rooms, nid_t nid, int64_t *ret_root, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	uint64_t changes = rooms->changes;
	struct room_head head;
	struct str bytes;

	if (cache_get(rooms->roots, nid, arena, &bytes)) {
		memcpy(ret_root, bytes.ptr, sizeof(*ret_root));
		return true;
	}
	if (!load_head(rooms, nid, &head, err))
		return false;
	cache_put_unless_changed(rooms->roots, nid, root_bytes(&head.state_root), &rooms->changes, changes);
	*ret_root = head.state_root;
	return true;
}

/* Makes place among the rooms in memory, under the lock. */
static void evict_idle(struct rooms *rooms)
{
	int64_t victims[64];
	size_t count = 0, at = 0;
	struct room *room;
	int64_t nid;

	while (count < ARRAY_LEN(victims) && (room = idmap_next(&rooms->rooms, &at, &nid))) {
		if (room->refs == 0 && room->in_flight == 0)
			victims[count++] = nid;
	}
	for (size_t i = 0; i < count; i++)
		room_destroy(idmap_remove(&rooms->rooms, victims[i]));
}

static struct room *get_room(struct rooms *rooms, nid_t nid)
{
	struct room *room;
	LOCKED(&rooms->lock);

	room = idmap_get(&rooms->rooms, nid);
	if (!room) {
		if (rooms->rooms.count >= rooms->max_rooms)
			evict_idle(rooms);
		room = X_NEW(struct room);
		room->nid = nid;
		mutex_init(&room->turn);
		idmap_put(&rooms->rooms, nid, room);
	}
	room->refs++;
	return room;
}

void room_put(struct rooms *rooms, struct room *room)
{
	LOCKED(&rooms->lock);

	room->refs--;
}

void room_release(struct room *room)
{
	mutex_unlock(&room->turn);
}

bool room_acquire(struct rooms *rooms, nid_t nid, struct room **ret_room, struct err *err)
{
	struct room *room = get_room(rooms, nid);

	mutex_lock(&room->turn);
	/* While sets of ours are under way the database is behind us; if another process wrote, the committer has them built again. */
	if (!room->loaded || (room->stale && room->in_flight == 0)) {
		room->stale = false;
		if (!load_head(rooms, nid, &room->head, err)) {
			room_release(room);
			room_put(rooms, room);
			return false;
		}
		room->seq = room->head.room_seq;
		room->loaded = true;
	}
	*ret_room = room;
	return true;
}
