#include "relations/relations.h"

#include "interned/interned.h"

static const struct write_table RELATION_TABLE = {
	.statement = { "relation_insert",
	               "INSERT INTO event_relations (event_nid, room_nid, target_id, rel_type, type_nid, sender_nid, key, room_seq, sub)"
	               " SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[], $9::bigint[])" },
	.order = 70,
	.column_count = 9,
	.columns = { DB_INT, DB_INT, DB_TEXT, DB_TEXT, DB_INT, DB_INT, DB_TEXT, DB_INT, DB_INT },
};

/* Of relates_to: what it says, in bounds that an index can hold. */
struct relation {
	struct str target_id, rel_type, key;
};

#define MAX_TEXT 1024

static bool fits(struct str text)
{
	return text.len && text.len <= MAX_TEXT && !memchr(text.ptr, 0, text.len);
}

static bool read_relation(struct str content, struct arena *arena, struct relation *ret_relation)
{
	struct relation relation = { 0 };
	struct str relates_to;

	if (!slice_get(content, STR("m.relates_to"), &relates_to) || !slice_get_string(relates_to, STR("rel_type"), arena, &relation.rel_type) ||
	    !slice_get_string(relates_to, STR("event_id"), arena, &relation.target_id) || !fits(relation.rel_type) || !fits(relation.target_id))
		return false;
	slice_get_string(relates_to, STR("key"), arena, &relation.key);
	if (!fits(relation.key))
		relation.key = STR("");
	*ret_relation = relation;
	return true;
}

/* An edit says what is new; of an encrypted one only its readers see that. */
static bool is_empty_edit(const struct pdu *pdu, const struct relation *relation)
{
	struct str new_content;

	return str_eq(relation->rel_type, STR("m.replace")) && !str_eq(pdu->type, STR("m.room.encrypted")) &&
	       !(slice_get(pdu->content, STR("m.new_content"), &new_content) && slice_type(new_content) == SLICE_OBJECT);
}

bool relations_add(struct write_set *set, const struct event_added *added, struct err *err UNUSED)
{
	const struct event *event = added->event;
	struct relation relation;

	if (event->key || !read_relation(added->pdu->content, added->arena, &relation) || is_empty_edit(added->pdu, &relation))
		return true;
	write_set_add(set, &RELATION_TABLE,
	              DB_PARAMS(db_int(event->nid), db_int(event->room), db_text(relation.target_id), db_text(relation.rel_type), db_int(event->type),
	                        db_int(event->sender), db_text_or_null(relation.key), db_int(event->order.seq), db_int(event->order.sub)));
	return true;
}

/* --- annotations --- */

static const struct db_statement SELECT_ANNOTATION = {
	"relation_annotation",
	"SELECT 1 FROM event_relations r JOIN event_state s USING (event_nid) WHERE r.room_nid = $1 AND r.target_id = $2 AND r.rel_type = 'm.annotation'"
	" AND r.sender_nid = $3 AND r.key = $4 AND r.type_nid = $5 AND s.redacted_by IS NULL LIMIT 1",
};

/* A thread does not begin at an event that relates to another (modules/threading.md). */
static bool check_thread_root(struct server *server, nid_t room, struct str root_id, struct arena *arena, struct err *err)
{
	struct event root;
	struct str rel_type;

	if (!event_find(server->events, root_id, arena, &root, err))
		return false;
	if (root.nid && root.room == room && slice_path(root.json, &rel_type, STR("content"), STR("m.relates_to"), STR("rel_type")))
		return err_status(err, 400, M_UNKNOWN, "A thread cannot begin at an event that relates to another");
	return true;
}

bool relations_check(struct server *server, nid_t room, nid_t sender, struct str type, struct str content, struct arena *arena, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct relation relation;
	struct db_rows *rows;
	nid_t type_nid;

	if (!read_relation(content, arena, &relation))
		return true;
	if (str_eq(relation.rel_type, STR("m.thread")))
		return check_thread_root(server, room, relation.target_id, arena, err);
	if (!str_eq(relation.rel_type, STR("m.annotation")) || !relation.key.len)
		return true;
	if (!find_type(server->interned, type, &type_nid, err) || !db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_ANNOTATION,
	              DB_PARAMS(db_int(room), db_text(relation.target_id), db_int(sender), db_text(relation.key), db_int(type_nid)), arena, &rows, err))
		return false;
	if (db_next(rows))
		return err_set(err, M_DUPLICATE_ANNOTATION, "You have annotated this event with the same key already");
	return true;
}

/* --- bundles --- */

/*
 * Of each target: its latest valid edit, its thread's summary, its references, as far as the reader was there. Target by target along the index, whatever the
 * statistics say; most have none.
 */
static const struct db_statement SELECT_BUNDLES = {
	"relation_bundles",
	"SELECT t.at, b.* FROM unnest($1::text[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS t (id, sender, type, at) CROSS JOIN LATERAL ("
	" SELECT r.rel_type,"
	"  (array_agg(r.event_nid ORDER BY r.ts DESC, r.event_id DESC) FILTER (WHERE r.rel_type = 'm.replace' AND r.sender_nid = t.sender"
	"   AND r.type_nid = t.type))[1],"
	"  count(*) FILTER (WHERE NOT r.sender_nid = ANY($6::bigint[])), bool_or(r.sender_nid = $5),"
	"  (array_agg(r.event_nid ORDER BY r.room_seq DESC, r.sub DESC) FILTER (WHERE r.rel_type = 'm.thread' AND NOT r.sender_nid = ANY($6::bigint[])))[1],"
	"  (array_agg(r.event_id ORDER BY r.room_seq, r.sub) FILTER (WHERE r.rel_type = 'm.reference'))[1:100]"
	" FROM (SELECT r.*, e.origin_server_ts AS ts, e.event_id FROM event_relations r CROSS JOIN LATERAL"
	"   (SELECT e.origin_server_ts, e.event_id FROM events e WHERE e.event_nid = r.event_nid OFFSET 0) e"
	"   CROSS JOIN LATERAL (SELECT 1 FROM event_state s WHERE s.event_nid = r.event_nid AND s.redacted_by IS NULL AND s.verdict = 0 OFFSET 0) s"
	"  WHERE r.room_nid = $4 AND r.target_id = t.id AND r.rel_type IN ('m.replace', 'm.thread', 'm.reference') AND r.room_seq < $7) r"
	" GROUP BY r.rel_type) b",
};

struct bundle {
	nid_t replacement, latest;
	int64_t thread_count;
	bool participated;
	struct str *references;
	size_t reference_count;
};

static const struct db_statement SELECT_RELATED = {
	"relation_related",
	"SELECT t.at FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS t (room, id, at) WHERE EXISTS (SELECT 1 FROM event_relations r"
	" WHERE r.room_nid = t.room AND r.target_id = t.id AND r.rel_type IN ('m.replace', 'm.thread', 'm.reference') OFFSET 0)",
};

bool relations_find(struct server *server, const nid_t *rooms, const struct str *event_ids, size_t count, struct arena *arena, bool *ret_related,
                    struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	memset(ret_related, 0, count * sizeof(*ret_related));
	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_RELATED, DB_PARAMS(db_ints(rooms, count), db_texts(event_ids, count)), arena, &rows, err))
		return err_detail(err, "relations of %zu events", count);
	while (db_next(rows))
		ret_related[db_get_int(rows, 0) - 1] = true;
	return true;
}

/* Nearly all events have no relations: those that have are found by the index alone. */
static bool any_related(const struct event_view *view, const struct str *ids, size_t count, struct arena *arena, bool *ret_any, struct err *err)
{
	nid_t *rooms = ARENA_ARRAY(arena, count, nid_t);
	bool *related = ARENA_ARRAY(arena, count, bool);

	for (size_t i = 0; i < count; i++)
		rooms[i] = view->room->nid;
	if (!relations_find(view->server, rooms, ids, count, arena, related, err))
		return false;
	*ret_any = false;
	for (size_t i = 0; i < count; i++)
		*ret_any |= related[i];
	return true;
}

/* Relations from there on came after the reader had left. */
static int64_t end_of_reader(const struct reader *reader)
{
	return reader->now.membership != MEMBERSHIP_JOIN && reader->now.left_seq ? reader->now.left_seq : INT64_MAX;
}

static bool find_bundles(const struct event_view *view, const struct event *events, size_t count, struct arena *arena, struct bundle *bundles,
                         bool *ret_any, struct err *err)
{
	struct str *ids = ARENA_ARRAY(arena, count, struct str);
	int64_t *senders = ARENA_ARRAY(arena, count, int64_t), *types = ARENA_ARRAY(arena, count, int64_t);
	CLEANUP(db_release) struct db *db = NULL;
	const struct ignored_users *ignored = &view->reader->ignored;
	struct db_rows *rows;

	for (size_t i = 0; i < count; i++) {
		ids[i] = events[i].event_id;
		senders[i] = events[i].sender;
		types[i] = events[i].type;
	}
	if (!any_related(view, ids, count, arena, ret_any, err))
		return false;
	if (!*ret_any)
		return true;
	if (!db_acquire(view->server->pool, &db, err) ||
	    !db_query(db, &SELECT_BUNDLES,
	              DB_PARAMS(db_texts(ids, count), db_ints(senders, count), db_ints(types, count), db_int(view->room->nid), db_int(view->reader->user),
	                        db_ints(ignored->users, ignored->count), db_int(end_of_reader(view->reader))),
	              arena, &rows, err))
		return err_detail(err, "relations of %zu events", count);
	while (db_next(rows)) {
		struct bundle *bundle = &bundles[db_get_int(rows, 0) - 1];
		struct str rel_type = db_get_str(rows, 1);

		if (str_eq(rel_type, STR("m.replace"))) {
			bundle->replacement = db_get_nid(rows, 2);
		} else if (str_eq(rel_type, STR("m.thread"))) {
			bundle->thread_count = db_get_int(rows, 3);
			bundle->participated = db_get_bool(rows, 4);
			bundle->latest = db_get_nid(rows, 5);
		} else {
			bundle->reference_count = db_get_strs(rows, 6, arena, &bundle->references);
		}
	}
	return true;
}

/* What the reader may not see of a room is not bundled either. */
static bool hide_unseen(const struct event_view *view, struct bundle *bundles, size_t count, struct arena *arena, struct err *err)
{
	struct event *events = ARENA_ARRAY(arena, 2 * count, struct event);
	nid_t *nids = ARENA_ARRAY(arena, 2 * count, nid_t);
	bool *visible = ARENA_ARRAY(arena, 2 * count, bool);

	for (size_t i = 0; i < count; i++) {
		nids[2 * i] = bundles[i].replacement;
		nids[2 * i + 1] = bundles[i].latest;
	}
	if (!events_load(view->server->events, nids, 2 * count, arena, events, err) ||
	    !visibility_filter(view->server, view->room, view->reader, events, 2 * count, arena, visible, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!visible[2 * i])
			bundles[i].replacement = 0;
		if (!visible[2 * i + 1])
			bundles[i].thread_count = 0;
	}
	return true;
}

static bool write_event(const struct event_view *view, nid_t nid, bool bundled, struct buf *out, struct arena *arena, struct err *err)
{
	struct event_view plain = *view;
	struct event event;

	plain.without_relations = !bundled;
	return event_load(view->server->events, nid, arena, &event, err) && event_view_write(&plain, out, &event, 1, arena, err);
}

static void member(struct buf *out, bool *first, const char *name)
{
	buf_printf(out, "%s\"%s\":", *first ? "" : ",", name);
	*first = false;
}

static bool write_thread(const struct event_view *view, const struct event *root, const struct bundle *bundle, struct buf *out, struct arena *arena,
                         struct err *err)
{
	BUF_LIT(out, "{\"latest_event\":");
	if (!write_event(view, bundle->latest, true, out, arena, err))
		return false;
	buf_printf(out, ",\"count\":%" PRId64 ",\"current_user_participated\":%s}", bundle->thread_count,
	           bundle->participated || root->sender == view->reader->user ? "true" : "false");
	return true;
}

/* An edit is not edited itself. */
static bool is_edit(const struct event *event)
{
	struct str rel_type;

	return slice_path(event->json, &rel_type, STR("content"), STR("m.relates_to"), STR("rel_type")) && slice_string_eq(rel_type, STR("m.replace"));
}

static bool write_bundle(const struct event_view *view, const struct event *event, const struct bundle *bundle, struct arena *arena,
                         struct str *ret_json, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init((size_t)1 << 20);
	bool first = true;

	buf_char(&out, '{');
	if (bundle->replacement && !event->redacted_by && !is_edit(event)) {
		member(&out, &first, "m.replace");
		if (!write_event(view, bundle->replacement, false, &out, arena, err))
			return false;
	}
	if (bundle->thread_count) {
		member(&out, &first, "m.thread");
		if (!write_thread(view, event, bundle, &out, arena, err))
			return false;
	}
	if (bundle->reference_count && !event->redacted_by) {
		member(&out, &first, "m.reference");
		BUF_LIT(&out, "{\"chunk\":[");
		for (size_t i = 0; i < bundle->reference_count; i++) {
			buf_printf(&out, "%s{\"event_id\":", i ? "," : "");
			slice_write_string(&out, bundle->references[i]);
			buf_char(&out, '}');
		}
		BUF_LIT(&out, "]}");
	}
	buf_char(&out, '}');
	*ret_json = first ? STR("") : str_dup(arena, buf_str(&out));
	return true;
}

bool relations_bundle(const struct event_view *view, const struct event *events, size_t count, struct arena *arena, struct str *ret_bundles,
                      struct err *err)
{
	struct bundle *bundles = ARENA_ARRAY(arena, count, struct bundle);
	bool any = false;

	if (count == 0)
		return true;
	if (!find_bundles(view, events, count, arena, bundles, &any, err) || (any && !hide_unseen(view, bundles, count, arena, err)))
		return false;
	for (size_t i = 0; i < count && any; i++) {
		if (!events[i].key && !write_bundle(view, &events[i], &bundles[i], arena, &ret_bundles[i], err))
			return false;
	}
	return true;
}
