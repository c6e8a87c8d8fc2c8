#include "events/events_internal.h"

struct packed {
	struct event event;
	size_t event_id_len, txn_id_len, json_len;
};

struct pinned {
	size_t len, auth_count;
	nid_t auth[]; /* and the packed bytes after them */
};

#define COLUMNS                                                                                                        \
	"e.event_nid, e.room_nid, e.type_nid, e.key_nid, e.sender_nid, e.room_seq, e.sub, e.auth_gen, e.origin_server_ts, e.depth," \
	" s.root_before, s.root_after, s.verdict, s.visibility, s.redacted_by, e.txn_device, e.txn_id, e.event_id, e.json," \
	" coalesce(s.head_before, s.root_before)"
#define TABLES " FROM events e JOIN event_state s USING (event_nid)"

static const struct db_statement SELECT_BY_NID = { "events_by_nid", "SELECT " COLUMNS TABLES " WHERE e.event_nid = ANY($1)" };
static const struct db_statement SELECT_AUTH = { "events_auth", "SELECT event_nid, auth_nids FROM events WHERE event_nid = ANY($1)" };
static const struct db_statement SELECT_NIDS = {
	"events_find_nids",
	"SELECT event_id, event_nid FROM events WHERE event_id = ANY($1)",
};

const struct write_table EVENT_TABLE = {
	.statement = { "event_insert",
	               "INSERT INTO events (event_nid, room_nid, event_id, room_seq, sub, type_nid, key_nid, sender_nid, origin_server_ts, depth, auth_gen,"
	               " prev_nids, auth_nids, txn_device, txn_id, json)"
	               " SELECT nid, room, id, seq, sub, type, key, sender, ts, depth, gen, prev::bigint[], auth::bigint[], device, txn, json"
	               " FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],"
	               " $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::text[], $14::bigint[], $15::text[], $16::text[])"
	               " AS e (nid, room, id, seq, sub, type, key, sender, ts, depth, gen, prev, auth, device, txn, json)" },
	.order = 20,
	.column_count = 16,
	.columns = { DB_INT, DB_INT, DB_TEXT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_TEXT, DB_TEXT, DB_INT, DB_TEXT, DB_TEXT },
};

const struct write_table EVENT_STATE_TABLE = {
	.statement = { "event_state_insert",
	               "INSERT INTO event_state (event_nid, room_nid, root_before, root_after, verdict, visibility, head_before)"
	               " SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])" },
	.order = 21,
	.column_count = 7,
	.columns = { DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT },
};

/* The first redaction stands. */
const struct write_table EVENT_REDACTED_TABLE = {
	.statement = { "event_redacted",
	               "UPDATE event_state s SET redacted_by = r.redaction FROM unnest($1::bigint[], $2::bigint[]) AS r (target, redaction)"
	               " WHERE s.event_nid = r.target AND s.redacted_by IS NULL" },
	.order = 22,
	.column_count = 2,
	.columns = { DB_INT, DB_INT },
	.key_columns = 1,
};

void events_unpin(struct events *events, nid_t nid)
{
	LOCKED(&events->lock);

	free(idmap_remove(&events->pinned, nid));
}

static void observe(void *context, const struct journal_entry *entry)
{
	struct events *events = context;

	/* It is on disk: from now on it may be redacted, of which a pinned copy would not learn. */
	if (entry->kind == JOURNAL_EVENT)
		events_unpin(events, entry->event);
	/* An event that is no member's carries in `target` the event it redacts. */
	if (entry->kind == JOURNAL_EVENT && entry->target && !entry->key) {
		events->changes++;
		cache_remove(events->cache, entry->target);
	}
}

struct events *events_new(struct db_pool *pool, struct journal *journal, size_t cache_bytes)
{
	struct events *events = X_NEW(struct events);

	events->pool = pool;
	events->cache = cache_new(cache_bytes / 8 * 7);
	events->ids = cache_new(cache_bytes / 8);
	mutex_init(&events->lock);
	journal_observe(journal, observe, events);
	return events;
}

void events_free(struct events *events)
{
	struct pinned *pinned;

	if (!events)
		return;
	for (size_t at = 0; (pinned = idmap_next(&events->pinned, &at, NULL));)
		free(pinned);
	idmap_done(&events->pinned);
	mutex_done(&events->lock);
	cache_free(events->cache);
	cache_free(events->ids);
	free(events);
}

struct cache_stats events_cache_stats(struct events *events)
{
	return cache_stats_sum(cache_stats(events->cache), cache_stats(events->ids));
}

static void remember_id(struct events *events, struct str event_id, nid_t nid, struct arena *arena)
{
	char *value = arena_alloc(arena, sizeof(nid) + event_id.len);

	memcpy(value, &nid, sizeof(nid));
	memcpy(value + sizeof(nid), event_id.ptr, event_id.len);
	cache_put(events->ids, (int64_t)str_hash(event_id), (struct str){ value, sizeof(nid) + event_id.len });
}

static struct str pack(const struct event *event, struct arena *arena)
{
	struct packed packed = { *event, event->event_id.len, event->txn_id.len, event->json.len };
	size_t len = sizeof(packed) + packed.event_id_len + packed.txn_id_len + packed.json_len;
	char *bytes = arena_alloc(arena, len), *at = bytes + sizeof(packed);

	memcpy(bytes, &packed, sizeof(packed));
	memcpy(at, event->event_id.ptr, packed.event_id_len);
	at += packed.event_id_len;
	if (packed.txn_id_len)
		memcpy(at, event->txn_id.ptr, packed.txn_id_len);
	memcpy(at + packed.txn_id_len, event->json.ptr, packed.json_len);
	return (struct str){ bytes, len };
}

static struct event unpack(struct str bytes)
{
	struct packed packed;
	struct event event;

	memcpy(&packed, bytes.ptr, sizeof(packed));
	event = packed.event;
	bytes = str_from(bytes, sizeof(packed));
	event.event_id = str_sub(bytes, 0, packed.event_id_len);
	event.txn_id = str_sub(bytes, packed.event_id_len, packed.txn_id_len);
	event.json = str_from(bytes, packed.event_id_len + packed.txn_id_len);
	return event;
}

static void remember_in(struct events *events, const struct event *event, struct arena *arena)
{
	cache_put(events->cache, event->nid, pack(event, arena));
	remember_id(events, event->event_id, event->nid, arena);
}

void events_pin(struct events *events, const struct event *event, struct auth_edges auth)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str bytes = pack(event, arena);
	struct pinned *pinned = x_malloc(sizeof(*pinned) + auth.count * sizeof(nid_t) + bytes.len);

	pinned->len = bytes.len;
	pinned->auth_count = auth.count;
	if (auth.count)
		memcpy(pinned->auth, auth.nids, auth.count * sizeof(nid_t));
	memcpy(pinned->auth + auth.count, bytes.ptr, bytes.len);
	cache_put(events->cache, event->nid, bytes);
	remember_id(events, event->event_id, event->nid, arena);
	LOCKED(&events->lock);
	free(idmap_remove(&events->pinned, event->nid));
	idmap_put(&events->pinned, event->nid, pinned);
}

static bool find_pinned(struct events *events, nid_t nid, struct arena *arena, struct str *ret_bytes)
{
	const struct pinned *pinned;
	LOCKED(&events->lock);

	pinned = idmap_get(&events->pinned, nid);
	if (pinned)
		*ret_bytes = str_dup(arena, (struct str){ (const char *)(pinned->auth + pinned->auth_count), pinned->len });
	return pinned;
}

static bool recall(struct events *events, nid_t nid, struct arena *arena, struct event *ret_event)
{
	struct str bytes;

	if (!cache_get(events->cache, nid, arena, &bytes) && !find_pinned(events, nid, arena, &bytes))
		return false;
	*ret_event = unpack(bytes);
	return true;
}

static struct event event_of(const struct db_rows *rows)
{
	return (struct event){
		.nid = db_get_nid(rows, 0),
		.room = db_get_nid(rows, 1),
		.type = db_get_nid(rows, 2),
		.key = db_get_nid(rows, 3),
		.sender = db_get_nid(rows, 4),
		.order = { db_get_int(rows, 5), db_get_int(rows, 6) },
		.auth_gen = db_get_int(rows, 7),
		.origin_server_ts = db_get_int(rows, 8),
		.depth = db_get_int(rows, 9),
		.root_before = db_get_int(rows, 10),
		.root_after = db_get_int(rows, 11),
		.verdict = (enum verdict)db_get_int(rows, 12),
		.visibility = (enum visibility)db_get_int(rows, 13),
		.redacted_by = db_get_nid(rows, 14),
		.txn_device = db_get_nid(rows, 15),
		.txn_id = db_get_str(rows, 16),
		.event_id = db_get_str(rows, 17),
		.json = db_get_str(rows, 18),
		.head_before = db_get_int(rows, 19),
	};
}

static bool load_missing(struct events *events, const nid_t *nids, size_t count, struct arena *arena, struct event *ret_events, const nid_t *missing,
                         size_t missing_count, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	uint64_t changes = events->changes;
	struct db_rows *rows;

	if (!db_acquire(events->pool, &db, err) || !db_query(db, &SELECT_BY_NID, DB_PARAMS(db_ints(missing, missing_count)), arena, &rows, err))
		return err_detail(err, "load %zu events", missing_count);
	while (db_next(rows)) {
		struct event event = event_of(rows);

		if (changes == events->changes)
			remember_in(events, &event, arena);
		for (size_t i = 0; i < count; i++) {
			if (nids[i] == event.nid)
				ret_events[i] = event;
		}
	}
	return true;
}

bool events_load(struct events *events, const nid_t *nids, size_t count, struct arena *arena, struct event *ret_events, struct err *err)
{
	nid_t *missing = NULL;
	size_t missing_count = 0, cap = 0;

	for (size_t i = 0; i < count; i++) {
		ret_events[i] = (struct event){ 0 };
		if (nids[i] && !recall(events, nids[i], arena, &ret_events[i]))
			*ARENA_PUSH(arena, missing, missing_count, cap) = nids[i];
	}
	return missing_count == 0 || load_missing(events, nids, count, arena, ret_events, missing, missing_count, err);
}

bool event_load(struct events *events, nid_t nid, struct arena *arena, struct event *ret_event, struct err *err)
{
	return events_load(events, &nid, 1, arena, ret_event, err);
}

static bool recall_id(struct events *events, struct str event_id, nid_t *ret_nid, struct arena *arena)
{
	struct str value;

	if (!cache_get(events->ids, (int64_t)str_hash(event_id), arena, &value) || !str_eq(str_from(value, sizeof(*ret_nid)), event_id))
		return false;
	memcpy(ret_nid, value.ptr, sizeof(*ret_nid));
	return true;
}

bool events_find_nids(struct events *events, const struct str *event_ids, size_t count, nid_t *ret_nids, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(db_release) struct db *db = NULL;
	struct str *missing = ARENA_ARRAY(arena, count, struct str);
	size_t missing_count = 0;
	struct db_rows *rows;

	for (size_t i = 0; i < count; i++) {
		ret_nids[i] = 0;
		if (!recall_id(events, event_ids[i], &ret_nids[i], arena))
			missing[missing_count++] = event_ids[i];
	}
	if (missing_count == 0)
		return true;
	if (!db_acquire(events->pool, &db, err) || !db_query(db, &SELECT_NIDS, DB_PARAMS(db_texts(missing, missing_count)), arena, &rows, err))
		return err_detail(err, "find %zu events", missing_count);
	while (db_next(rows)) {
		struct str event_id = db_get_str(rows, 0);

		remember_id(events, event_id, db_get_nid(rows, 1), arena);
		for (size_t i = 0; i < count; i++) {
			if (str_eq(event_ids[i], event_id))
				ret_nids[i] = db_get_nid(rows, 1);
		}
	}
	return true;
}

bool event_find(struct events *events, struct str event_id, struct arena *arena, struct event *ret_event, struct err *err)
{
	nid_t nid;

	*ret_event = (struct event){ 0 };
	if (!events_find_nids(events, &event_id, 1, &nid, err))
		return false;
	return nid == 0 || event_load(events, nid, arena, ret_event, err);
}

static bool pinned_auth(struct events *events, nid_t nid, struct arena *arena, struct auth_edges *ret_edges)
{
	const struct pinned *pinned;
	nid_t *nids;
	LOCKED(&events->lock);

	pinned = idmap_get(&events->pinned, nid);
	if (!pinned)
		return false;
	nids = ARENA_ARRAY(arena, pinned->auth_count, nid_t);
	if (pinned->auth_count)
		memcpy(nids, pinned->auth, pinned->auth_count * sizeof(nid_t));
	*ret_edges = (struct auth_edges){ nids, pinned->auth_count };
	return true;
}

bool events_auth(struct events *events, const nid_t *nids, size_t count, struct arena *arena, struct auth_edges *ret_edges, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	nid_t *far = ARENA_ARRAY(arena, count, nid_t);
	struct idmap places = { 0 };
	struct db_rows *rows;
	size_t far_count = 0;
	bool ok = true;

	for (size_t i = 0; i < count; i++) {
		ret_edges[i] = (struct auth_edges){ 0 };
		if (pinned_auth(events, nids[i], arena, &ret_edges[i]))
			continue;
		idmap_put(&places, nids[i], &ret_edges[i]);
		far[far_count++] = nids[i];
	}
	if (far_count)
		ok = db_acquire(events->pool, &db, err) && db_query(db, &SELECT_AUTH, DB_PARAMS(db_ints(far, far_count)), arena, &rows, err);
	while (ok && far_count && db_next(rows)) {
		struct auth_edges *edges = idmap_get(&places, db_get_nid(rows, 0));
		int64_t *found;

		edges->count = db_get_ints(rows, 1, arena, &found);
		edges->nids = found;
	}
	idmap_done(&places);
	return ok || err_detail(err, "auth events of %zu events", count);
}

/* PostgreSQL's text form of a bigint[]: arrays of arrays do not go through unnest. */
static struct str array_text(struct arena *arena, const nid_t *nids, size_t count)
{
	CLEANUP(buf_done) struct buf buf = buf_init(1 << 20);

	buf_char(&buf, '{');
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_char(&buf, ',');
		buf_int(&buf, nids[i]);
	}
	buf_char(&buf, '}');
	return str_dup(arena, buf_str(&buf));
}

void event_add_rows(struct write_set *set, const struct event *event, const nid_t *prev_nids, size_t prev_count, const nid_t *auth_nids,
                    size_t auth_count)
{
	struct arena *arena = write_set_arena(set);

	write_set_add(set, &EVENT_TABLE,
	              DB_PARAMS(db_int(event->nid), db_int(event->room), db_text(event->event_id), db_int(event->order.seq), db_int(event->order.sub),
	                        db_int(event->type), db_int_or_null(event->key), db_int(event->sender), db_int(event->origin_server_ts),
	                        db_int(event->depth), db_int(event->auth_gen), db_text(array_text(arena, prev_nids, prev_count)),
	                        db_text(array_text(arena, auth_nids, auth_count)), db_int_or_null(event->txn_device), db_text_or_null(event->txn_id),
	                        db_text(event->json)));
	write_set_add(set, &EVENT_STATE_TABLE,
	              DB_PARAMS(db_int(event->nid), db_int(event->room), db_int(event->root_before), db_int(event->root_after), db_int(event->verdict),
	                        db_int(event->visibility), db_int_or_null(event->head_before == event->root_before ? 0 : event->head_before)));
}
