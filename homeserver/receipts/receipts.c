#include "receipts/receipts.h"

#include "journal/journal.h"
#include "matrix/identifiers.h"
#include "matrix/slice.h"

#define MAX_HOPS 3

static const struct db_statement SELECT_OWN = {
	"receipts_own",
	"SELECT r.type, r.thread_nid, r.room_seq, r.sub FROM unnest($3::bigint[], $4::bigint[]) AS w (type, thread)"
	" JOIN receipts r ON r.user_nid = $1 AND r.room_nid = $2 AND r.type = w.type AND r.thread_nid = w.thread",
};

/* Of several in a batch the one farthest ahead, in one order of rows for all processes. */
static const struct write_table RECEIPT_TABLE = {
	.statement = { "receipt_upsert",
		       "INSERT INTO receipts AS r (user_nid, room_nid, type, thread_nid, event_nid, room_seq, sub, ts)"
		       " SELECT DISTINCT ON (usr, room, type, thread) usr, room, type, thread, event, seq, sub, ts"
		       " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],"
		       " $6::bigint[], $7::bigint[], $8::bigint[])"
		       " AS w (usr, room, type, thread, event, seq, sub, ts)"
		       " ORDER BY usr, room, type, thread, seq DESC, sub DESC"
		       " ON CONFLICT (user_nid, room_nid, type, thread_nid) DO UPDATE SET event_nid = "
		       "excluded.event_nid,"
		       " room_seq = excluded.room_seq, sub = excluded.sub, ts = excluded.ts"
		       " WHERE (r.room_seq, r.sub) < (excluded.room_seq, excluded.sub)" },
	.order = 80,
	.column_count = 8,
	.columns = { DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT },
};

/* What stands of these; order 0,0 where there is none. */
static bool select_own(struct server *server, nid_t user, nid_t room, const struct receipt *receipts, size_t count,
		       struct arena *arena, struct event_order *ret_orders, struct err *err)
{
	int64_t *types = ARENA_ARRAY(arena, count, int64_t), *threads = ARENA_ARRAY(arena, count, int64_t);
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	for (size_t i = 0; i < count; i++) {
		types[i] = receipts[i].type;
		threads[i] = receipts[i].thread;
		ret_orders[i] = EVENT_ORDER_START;
	}
	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_OWN,
		      DB_PARAMS(db_int(user), db_int(room), db_ints(types, count), db_ints(threads, count)), arena,
		      &rows, err))
		return err_detail(err, "receipts of user %" PRId64, user);
	while (db_next(rows)) {
		for (size_t i = 0; i < count; i++) {
			if (types[i] == db_get_int(rows, 0) && threads[i] == db_get_int(rows, 1))
				ret_orders[i] = (struct event_order){ db_get_int(rows, 2), db_get_int(rows, 3) };
		}
	}
	return true;
}

static void add(struct write_set *set, nid_t user, nid_t room, const struct receipt *receipt)
{
	struct journal_entry entry = { .kind = JOURNAL_RECEIPT, .room = room, .user = user };

	write_set_add(set, &RECEIPT_TABLE,
		      DB_PARAMS(db_int(user), db_int(room), db_int(receipt->type), db_int(receipt->thread),
				db_int(receipt->event), db_int(receipt->order.seq), db_int(receipt->order.sub),
				db_int(clock_wall_ms())));
	if (receipt->type == RECEIPT_FULLY_READ) {
		entry.kind = JOURNAL_ACCOUNT_DATA;
		entry.data = STR("m.fully_read");
	} else {
		entry.target = receipt->thread;
		entry.membership = receipt->type == RECEIPT_PRIVATE;
	}
	write_set_entry(set, &entry);
}

bool receipts_set(struct server *server, nid_t user, nid_t room, const struct receipt *receipts, size_t count,
		  struct arena *arena, struct err *err)
{
	struct event_order *before = ARENA_ARRAY(arena, count, struct event_order);
	struct write_set *set = write_set_new(arena);
	bool news = false;

	if (!select_own(server, user, room, receipts, count, arena, before, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (event_order_cmp(receipts[i].order, before[i]) <= 0)
			continue;
		add(set, user, room, &receipts[i]);
		news = true;
	}
	return !news || journal_commit(server->journal, set, err);
}

bool receipt_fits_thread(struct server *server, const struct event *event, const struct event *root,
			 struct arena *arena, bool *ret_fits, struct err *err)
{
	struct event at = *event;

	*ret_fits = event->nid == root->nid;
	for (int hop = 0; hop < MAX_HOPS && !*ret_fits; hop++) {
		struct str relation, type, parent = STR("");

		if (!slice_path(at.json, &relation, STR("content"), STR("m.relates_to")) ||
		    !slice_get_string(relation, STR("event_id"), arena, &parent) || !event_id_valid(parent))
			return true;
		if (slice_get(relation, STR("rel_type"), &type) && slice_string_eq(type, STR("m.thread"))) {
			*ret_fits = str_eq(parent, root->event_id);
			return true;
		}
		if (!event_find(server->events, parent, arena, &at, err))
			return false;
		if (!at.nid || at.room != root->room)
			return true;
		*ret_fits = at.nid == root->nid;
	}
	return true;
}
