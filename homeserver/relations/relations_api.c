/* client-server-api "Relationships API", "Threads": what relates to an event, and the threads of a room. */
#include "interned/interned.h"
#include "relations/relations.h"
#include "sync/sync.h"

#define MAX_ANSWER    ((size_t)256 << 20)
#define DEFAULT_LIMIT 50
#define MAX_LIMIT     100
#define MAX_DEPTH     3 /* of recursion, as the specification recommends */

/* Descends from the event by relations, at most MAX_DEPTH levels with `recurse`. */
static const struct db_statement SELECT_RELATIONS_BACKWARDS = {
	"relations_page_backwards",
	"WITH RECURSIVE related (event_nid, event_id, depth) AS ("
	" SELECT NULL::bigint, $2::text, 0"
	" UNION SELECT r.event_nid, e.event_id, d.depth + 1 FROM related d JOIN event_relations r ON r.room_nid = $1 AND r.target_id = d.event_id"
	" JOIN events e ON e.event_nid = r.event_nid WHERE d.depth < $3)"
	" SELECT DISTINCT r.event_nid, r.room_seq, r.sub, d.depth FROM related d JOIN event_relations r USING (event_nid)"
	" JOIN event_state s USING (event_nid)"
	" WHERE s.redacted_by IS NULL AND s.verdict = 0 AND ($4 = '' OR r.rel_type = $4) AND ($5 = 0 OR r.type_nid = $5)"
	" AND (r.room_seq, r.sub) < ($6, $7) AND (r.room_seq, r.sub) > ($8, $9) ORDER BY r.room_seq DESC, r.sub DESC LIMIT $10",
};
static const struct db_statement SELECT_RELATIONS_FORWARDS = {
	"relations_page_forwards",
	"WITH RECURSIVE related (event_nid, event_id, depth) AS ("
	" SELECT NULL::bigint, $2::text, 0"
	" UNION SELECT r.event_nid, e.event_id, d.depth + 1 FROM related d JOIN event_relations r ON r.room_nid = $1 AND r.target_id = d.event_id"
	" JOIN events e ON e.event_nid = r.event_nid WHERE d.depth < $3)"
	" SELECT DISTINCT r.event_nid, r.room_seq, r.sub, d.depth FROM related d JOIN event_relations r USING (event_nid)"
	" JOIN event_state s USING (event_nid)"
	" WHERE s.redacted_by IS NULL AND s.verdict = 0 AND ($4 = '' OR r.rel_type = $4) AND ($5 = 0 OR r.type_nid = $5)"
	" AND (r.room_seq, r.sub) > ($6, $7) AND (r.room_seq, r.sub) < ($8, $9) ORDER BY r.room_seq, r.sub LIMIT $10",
};

struct listing {
	struct request *req;
	struct room_info room;
	struct reader reader;
	struct event *events; /* that may be seen, in order */
	size_t count;
	struct event_order last; /* looked at */
	bool end;
};

static bool open_room(struct listing *listing, struct err *err)
{
	struct request *req = listing->req;
	struct event_order until;
	int64_t root;

	return room_require(req->server->rooms, path_param(req, "roomId"), req->arena, &listing->room, err) &&
	       reader_of(req->server, req->user, listing->room.nid, req->arena, &listing->reader, err) &&
	       visibility_require_room(req->server, &listing->room, &listing->reader, req->arena, &root, &until, err);
}

/* The event whose relations are asked for must be there for the reader. */
static bool require_event(struct listing *listing, struct str event_id, struct err *err)
{
	struct request *req = listing->req;
	struct event event;
	bool visible = false;

	if (!event_find(req->server->events, event_id, req->arena, &event, err))
		return false;
	if (event.nid && event.room == listing->room.nid && event.verdict == VERDICT_ACCEPTED &&
	    !visibility_filter(req->server, &listing->room, &listing->reader, &event, 1, req->arena, &visible, err))
		return false;
	if (!visible)
		return err_set(err, M_NOT_FOUND, "There is no such event here for you");
	return true;
}

static bool read_place(struct listing *listing, const char *param, struct event_order empty, struct event_order *ret_order, struct err *err)
{
	struct str text = query_param(listing->req, param);
	struct sync_token token;
	struct room_point point;

	*ret_order = empty;
	if (!text.len || order_token_parse(text, ret_order))
		return true;
	if (!sync_token_parse(text, &token))
		return err_set(err, M_INVALID_PARAM, "%s is no token of this server", param);
	if (!room_points_at(listing->req->server, &listing->room.nid, 1, token.pos, listing->req->arena, &point, err))
		return false;
	*ret_order = (struct event_order){ point.seq + 1, INT32_MIN };
	return true;
}

/* Of a page of numbers, the events that may be seen. */
static bool take_rows(struct listing *listing, struct db_rows *rows, int64_t limit, struct err *err)
{
	struct request *req = listing->req;
	size_t found = db_row_count(rows), kept = 0;
	nid_t *nids = ARENA_ARRAY(req->arena, found, nid_t);
	bool *visible = ARENA_ARRAY(req->arena, found, bool);

	for (size_t i = 0; db_next(rows); i++) {
		nids[i] = db_get_nid(rows, 0);
		listing->last = (struct event_order){ db_get_int(rows, 1), db_get_int(rows, 2) };
	}
	listing->end = (int64_t)found < limit;
	listing->events = ARENA_ARRAY(req->arena, found, struct event);
	if (!events_load(req->server->events, nids, found, req->arena, listing->events, err) ||
	    !visibility_filter(req->server, &listing->room, &listing->reader, listing->events, found, req->arena, visible, err))
		return false;
	for (size_t i = 0; i < found; i++) {
		if (visible[i])
			listing->events[kept++] = listing->events[i];
	}
	listing->count = kept;
	return true;
}

struct relations_query {
	struct str event_id, rel_type;
	nid_t type; /* 0: any; -1: a type that no event has */
	bool backwards, recurse;
	int64_t limit;
	struct event_order from, to;
};

static bool read_query(struct listing *listing, struct relations_query *query, struct err *err)
{
	struct request *req = listing->req;
	struct str dir = query_param(req, "dir");

	query->event_id = path_param(req, "eventId");
	query->backwards = !str_eq(dir, STR("f"));
	if (dir.len && query->backwards && !str_eq(dir, STR("b")))
		return err_set(err, M_INVALID_PARAM, "dir is b or f");
	return query_int(req, "limit", 1, INT64_MAX, DEFAULT_LIMIT, &query->limit, err) &&
	       query_bool(req, "recurse", false, &query->recurse, err) &&
	       read_place(listing, "from", query->backwards ? EVENT_ORDER_END : EVENT_ORDER_START, &query->from, err) &&
	       read_place(listing, "to", query->backwards ? EVENT_ORDER_START : EVENT_ORDER_END, &query->to, err);
}

static bool find_relations(struct listing *listing, const struct relations_query *query, struct err *err)
{
	struct request *req = listing->req;
	CLEANUP(db_release) struct db *db = NULL;
	int64_t limit = MIN(query->limit, MAX_LIMIT);
	struct db_rows *rows;

	if (!db_acquire(req->server->pool, &db, err) ||
	    !db_query(db, query->backwards ? &SELECT_RELATIONS_BACKWARDS : &SELECT_RELATIONS_FORWARDS,
	              DB_PARAMS(db_int(listing->room.nid), db_text(query->event_id), db_int(query->recurse ? MAX_DEPTH : 1),
	                        db_text(query->rel_type.len ? query->rel_type : STR("")), db_int(query->type), db_int(query->from.seq),
	                        db_int(query->from.sub), db_int(query->to.seq), db_int(query->to.sub), db_int(limit)),
	              req->arena, &rows, err))
		return err_detail(err, "relations of an event");
	db_release(TAKE(db));
	return take_rows(listing, rows, limit, err);
}

static bool write_chunk(struct listing *listing, struct buf *out, struct err *err)
{
	const struct event_view view = {
		.server = listing->req->server, .room = &listing->room, .reader = &listing->reader, .device = listing->req->user->device,
	};

	BUF_LIT(out, "{\"chunk\":[");
	if (!event_view_write(&view, out, listing->events, listing->count, listing->req->arena, err))
		return false;
	BUF_LIT(out, "]");
	if (!listing->end)
		buf_printf(out, ",\"next_batch\":\"t%" PRId64 "_%" PRId64 "\"", listing->last.seq, listing->last.sub);
	return true;
}

static bool answer_relations(struct request *req, struct str rel_type, struct str type, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(MAX_ANSWER);
	struct listing listing = { .req = req };
	struct relations_query query = { .rel_type = rel_type };
	struct str from = query_param(req, "from");

	if (!open_room(&listing, err) || !read_query(&listing, &query, err) || !require_event(&listing, query.event_id, err))
		return false;
	if (type.len) {
		if (!find_type(req->server->interned, type, &query.type, err))
			return false;
		query.type = query.type ? query.type : -1;
	}
	if (!find_relations(&listing, &query, err) || !write_chunk(&listing, &out, err))
		return false;
	if (from.len) {
		BUF_LIT(&out, ",\"prev_batch\":");
		slice_write_string(&out, from);
	}
	if (query.recurse)
		buf_printf(&out, ",\"recursion_depth\":%d", MAX_DEPTH);
	BUF_LIT(&out, "}");
	return reply_buf(req, 200, "application/json", &out);
}

static bool get_relations(struct request *req, struct err *err)
{
	return answer_relations(req, STR(""), STR(""), err);
}

static bool get_relations_of_kind(struct request *req, struct err *err)
{
	return answer_relations(req, path_param(req, "relType"), STR(""), err);
}

static bool get_relations_of_type(struct request *req, struct err *err)
{
	return answer_relations(req, path_param(req, "relType"), path_param(req, "eventType"), err);
}

/* --- threads --- */

/* The roots of threads, the one with the latest reply first. Pages follow that reply's order. */
static const struct db_statement SELECT_THREADS = {
	"relations_threads",
	"SELECT e.event_nid, t.seq, t.sub FROM ("
	" SELECT r.target_id, max(r.room_seq) AS seq, 0 AS sub, bool_or(r.sender_nid = $2) AS mine FROM event_relations r"
	" JOIN event_state s USING (event_nid) WHERE r.room_nid = $1 AND r.rel_type = 'm.thread' AND s.redacted_by IS NULL AND s.verdict = 0"
	" GROUP BY r.target_id) t JOIN events e ON e.event_id = t.target_id AND e.room_nid = $1"
	" WHERE t.seq < $3 AND (NOT $4 OR t.mine OR e.sender_nid = $2) ORDER BY t.seq DESC LIMIT $5",
};

static bool get_threads(struct request *req, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(MAX_ANSWER);
	CLEANUP(db_release) struct db *db = NULL;
	struct str include = query_param(req, "include");
	struct listing listing = { .req = req };
	struct event_order from;
	struct db_rows *rows;
	int64_t limit;
	bool mine = str_eq(include, STR("participated"));

	if (include.len && !mine && !str_eq(include, STR("all")))
		return err_set(err, M_INVALID_PARAM, "include is all or participated");
	if (!open_room(&listing, err) || !query_int(req, "limit", 1, INT64_MAX, DEFAULT_LIMIT, &limit, err) ||
	    !read_place(&listing, "from", EVENT_ORDER_END, &from, err))
		return false;
	limit = MIN(limit, MAX_LIMIT);
	if (!db_acquire(req->server->pool, &db, err) ||
	    !db_query(db, &SELECT_THREADS,
	              DB_PARAMS(db_int(listing.room.nid), db_int(req->user->nid), db_int(from.seq), db_bool(mine), db_int(limit)), req->arena, &rows, err))
		return err_detail(err, "threads of a room");
	db_release(TAKE(db));
	if (!take_rows(&listing, rows, limit, err) || !write_chunk(&listing, &out, err))
		return false;
	BUF_LIT(&out, "}");
	return reply_buf(req, 200, "application/json", &out);
}

const struct route relations_routes[] = {
	{ HTTP_GET, "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}", AUTH_USER, LIMIT_NONE, get_relations, .flags = ROUTE_GUEST },
	{ HTTP_GET, "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}", AUTH_USER, LIMIT_NONE, get_relations_of_kind, .flags = ROUTE_GUEST },
	{ HTTP_GET, "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}", AUTH_USER, LIMIT_NONE, get_relations_of_type,
	  .flags = ROUTE_GUEST },
	{ HTTP_GET, "/_matrix/client/v1/rooms/{roomId}/threads", AUTH_USER, LIMIT_NONE, get_threads, .flags = ROUTE_GUEST },
	{ 0 },
};
