/* What is unread, from the database. */
#include "counts/counts_internal.h"
#include "interned/interned.h"
#include "matrix/slice.h"


/* An order (n, -k) lies before the live event (n, 0). */
#define LATEST_RECEIPT(thread)                                                                                                              \
	"coalesce((SELECT max(r.room_seq - (r.sub < 0)::int) FROM receipts r WHERE r.user_nid = $1 AND r.room_nid = b.room AND r.type IN (1, 2)" \
	" AND r.thread_nid = " thread "), 0)"

/* Only threads whose last event lies after what is read everywhere are visited. MATERIALIZED: where a thread is read up to is worked out once. */
static const struct db_statement SELECT_THREADS = {
	"counts_threads",
	"WITH b AS MATERIALIZED (SELECT b.room, b.until, greatest(m.joined_seq, " LATEST_RECEIPT("0") ") AS read"
	"  FROM unnest($2::bigint[], $3::bigint[]) AS b (room, until) JOIN room_memberships m ON m.user_nid = $1 AND m.room_nid = b.room),"
	" t AS MATERIALIZED (SELECT b.room, x.thread, b.until, greatest(b.read, " LATEST_RECEIPT("x.thread") ","
	"  coalesce((SELECT c.room_seq FROM counted c WHERE c.sender_nid = $1 AND c.room_nid = b.room AND c.thread_nid = x.thread AND c.room_seq <= b.until"
	"   ORDER BY c.room_seq DESC LIMIT 1), 0)) AS read"
	"  FROM b CROSS JOIN LATERAL (SELECT -1::bigint AS thread UNION ALL SELECT thread_nid FROM counted_threads WHERE room_nid = b.room AND last_seq > b.read) x)"
	" SELECT t.room, t.thread, t.read, t.until, head.totals::bigint[], seen.totals::bigint[] FROM t"
	" JOIN LATERAL (SELECT c.room_seq, c.totals FROM counted c WHERE c.room_nid = t.room AND c.thread_nid = t.thread AND c.room_seq <= t.until"
	"  ORDER BY c.room_seq DESC LIMIT 1) head ON head.room_seq > t.read"
	" LEFT JOIN LATERAL (SELECT c.totals FROM counted c WHERE c.room_nid = t.room AND c.thread_nid = t.thread AND c.room_seq <= t.read"
	"  ORDER BY c.room_seq DESC LIMIT 1) seen ON true"
	" ORDER BY t.room, t.thread",
};

#define THREADS "unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS t (room, thread, read, until, at)"
#define UNREAD(table) table ".room_nid = t.room AND " table ".thread_nid = t.thread AND " table ".room_seq > t.read AND " table ".room_seq <= t.until"
static const struct db_statement SELECT_REDACTED = {
	"counts_redacted",
	"SELECT t.at - 1, c.class, count(*) FROM " THREADS " JOIN counted c ON " UNREAD("c") " AND c.redacted AND c.sender_nid <> ALL($5) GROUP BY 1, 2",
};
/* OFFSET 0: sender by sender, by the index that has them. */
static const struct db_statement SELECT_IGNORED = {
	"counts_ignored",
	"SELECT t.at - 1, g.class, count(*) FROM " THREADS " CROSS JOIN unnest($5::bigint[]) AS i (sender) CROSS JOIN LATERAL"
	" (SELECT c.class FROM counted c WHERE c.sender_nid = i.sender AND " UNREAD("c") " OFFSET 0) g GROUP BY 1, 2",
};
static const struct db_statement SELECT_OWN = {
	"counts_own",
	"SELECT t.at - 1, o.event_nid, o.class, o.hidden FROM " THREADS " CROSS JOIN LATERAL"
	" (SELECT o.event_nid, o.class, o.hidden FROM counted_own o WHERE o.user_nid = $5 AND " UNREAD("o") " AND o.sender_nid <> ALL($6)"
	"  ORDER BY o.room_seq DESC LIMIT $7) o",
};
static const struct db_statement SELECT_SINGLE = {
	"counts_single",
	"SELECT t.at - 1, s.event_nid, s.class FROM " THREADS " JOIN unnest($8::bigint[]) WITH ORDINALITY AS k (classes, at) USING (at) CROSS JOIN LATERAL"
	" (SELECT c.event_nid, c.class, c.sender_nid, c.redacted, c.room_seq FROM counted c WHERE " UNREAD("c") " ORDER BY c.room_seq DESC LIMIT $7) s"
	" WHERE k.classes <> 0 AND k.classes & (1::bigint << s.class) <> 0 AND NOT s.redacted AND s.sender_nid <> ALL($6)"
	" AND NOT EXISTS (SELECT 1 FROM counted_own o WHERE o.user_nid = $5 AND o.room_nid = t.room AND o.thread_nid = t.thread AND o.room_seq = s.room_seq)",
};

static void count_events(const struct db_rows *rows, struct arena *arena, int64_t events[PUSH_CLASSES])
{
	int64_t *now, *seen;
	size_t now_count = db_get_ints(rows, 4, arena, &now), seen_count = db_is_null(rows, 5) ? 0 : db_get_ints(rows, 5, arena, &seen);

	for (size_t i = 0; i < PUSH_CLASSES; i++)
		events[i] = (i < now_count ? now[i] : 0) - (i < seen_count ? seen[i] : 0);
}

bool counts_load_threads(struct server *server, nid_t user, const struct counted_room *rooms, size_t count, struct arena *arena,
                         struct unread_thread **ret_threads, size_t *ret_count, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	int64_t *nids = ARENA_ARRAY(arena, count, int64_t), *untils = ARENA_ARRAY(arena, count, int64_t);
	struct unread_thread *threads;
	struct db_rows *rows;

	for (size_t i = 0; i < count; i++) {
		nids[i] = rooms[i].room;
		untils[i] = rooms[i].until;
	}
	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_THREADS, DB_PARAMS(db_int(user), db_ints(nids, count), db_ints(untils, count)), arena, &rows, err))
		return err_detail(err, "what user %" PRId64 " has not read", user);
	threads = ARENA_ARRAY(arena, db_row_count(rows), struct unread_thread);
	for (*ret_count = 0; db_next(rows); ++*ret_count) {
		struct unread_thread *thread = &threads[*ret_count];

		*thread = (struct unread_thread){ db_get_nid(rows, 0), db_get_nid(rows, 1), db_get_int(rows, 2), db_get_int(rows, 3), { 0 } };
		count_events(rows, arena, thread->events);
	}
	*ret_threads = threads;
	return true;
}

/* The threads as parameters $1 to $4. */
struct thread_params {
	int64_t *rooms, *threads, *reads, *untils;
	size_t count;
};

static struct thread_params params_of(const struct unread_thread *threads, size_t count, struct arena *arena)
{
	struct thread_params params = {
		ARENA_ARRAY(arena, count, int64_t), ARENA_ARRAY(arena, count, int64_t), ARENA_ARRAY(arena, count, int64_t), ARENA_ARRAY(arena, count, int64_t), count,
	};

	for (size_t i = 0; i < count; i++) {
		params.rooms[i] = threads[i].room;
		params.threads[i] = threads[i].thread;
		params.reads[i] = threads[i].read;
		params.untils[i] = threads[i].until;
	}
	return params;
}

#define THREAD_PARAMS(p) db_ints((p).rooms, (p).count), db_ints((p).threads, (p).count), db_ints((p).reads, (p).count), db_ints((p).untils, (p).count)

static enum push_class class_of(const struct db_rows *rows, int column)
{
	int64_t class = db_get_int(rows, column);

	return class >= 0 && class < PUSH_CLASSES ? (enum push_class)class : PUSH_OTHER;
}

static bool take_out(struct db *db, const struct db_statement *statement, struct db_params params, struct unread_thread *threads, struct arena *arena,
                     struct err *err)
{
	struct db_rows *rows;

	if (!db_query(db, statement, params, arena, &rows, err))
		return false;
	while (db_next(rows))
		threads[db_get_int(rows, 0)].events[class_of(rows, 1)] -= db_get_int(rows, 2);
	return true;
}

bool counts_load_gone(struct server *server, const struct ignored_users *ignored, struct unread_thread *threads, size_t count, struct arena *arena,
                      struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct thread_params p = params_of(threads, count, arena);
	struct db_params params = DB_PARAMS(THREAD_PARAMS(p), db_ints(ignored->users, ignored->count));

	return db_acquire(server->pool, &db, err) && take_out(db, &SELECT_REDACTED, params, threads, arena, err) &&
	       (!ignored->count || take_out(db, &SELECT_IGNORED, params, threads, arena, err));
}

static int64_t single_limit(size_t threads)
{
	return MIN(COUNTS_MAX_SINGLE, MAX(10, COUNTS_MAX_TOGETHER / (int64_t)threads));
}

bool counts_load_events(struct server *server, nid_t user, const struct ignored_users *ignored, const struct unread_thread *threads,
                        const int64_t *classes, size_t count, struct arena *arena, struct unread_event **ret_events, size_t *ret_count, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct thread_params p = params_of(threads, count, arena);
	struct db_rows *own, *single = NULL;
	int64_t any = 0;

	for (size_t i = 0; i < count; i++)
		any |= classes[i];
	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_OWN, DB_PARAMS(THREAD_PARAMS(p), db_int(user), db_ints(ignored->users, ignored->count), db_int(COUNTS_MAX_SINGLE)), arena, &own, err))
		return false;
	if (any && !db_query(db, &SELECT_SINGLE,
	                     DB_PARAMS(THREAD_PARAMS(p), db_int(user), db_ints(ignored->users, ignored->count), db_int(single_limit(count)), db_ints(classes, count)), arena,
	                     &single, err))
		return false;
	*ret_events = ARENA_ARRAY(arena, db_row_count(own) + (single ? db_row_count(single) : 0), struct unread_event);
	for (*ret_count = 0; db_next(own); ++*ret_count)
		(*ret_events)[*ret_count] =
			(struct unread_event){ (size_t)db_get_int(own, 0), db_get_nid(own, 1), class_of(own, 2), true, db_get_bool(own, 3) };
	for (; single && db_next(single); ++*ret_count)
		(*ret_events)[*ret_count] = (struct unread_event){ (size_t)db_get_int(single, 0), db_get_nid(single, 1), class_of(single, 2), false, false };
	return true;
}
