/* What the counts add to the commit of an event. */
#include "counts/counts_internal.h"

#include "interned/interned.h"
#include "journal/journal.h"
#include "state/state_store.h"

#define MAX_HOPS 3

/* The totals before come from the thread's last row; of several new rows of a thread in one batch each counts those before it. */
#define TOTAL(at, class) "coalesce(b.totals[" #at "], 0) + count(*) FILTER (WHERE n.class = " #class ") OVER w"
static const struct write_table COUNTED_TABLE = {
	.statement = { "counted_insert",
	               "INSERT INTO counted (room_nid, thread_nid, room_seq, event_nid, sender_nid, class, totals)"
	               " SELECT n.room, n.thread, n.seq, n.event, n.sender, n.class, ARRAY[" TOTAL(1, 0) ", " TOTAL(2, 1) ", " TOTAL(3, 2) ", " TOTAL(4, 3) ", "
	               TOTAL(5, 4) ", " TOTAL(6, 5) ", " TOTAL(7, 6) ", " TOTAL(8, 7) ", " TOTAL(9, 8) "]::integer[]"
	               " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS n (room, thread, seq, event, sender, class)"
	               " LEFT JOIN LATERAL (SELECT totals FROM counted c WHERE c.room_nid = n.room AND c.thread_nid = n.thread ORDER BY c.room_seq DESC LIMIT 1) b"
	               " ON true WINDOW w AS (PARTITION BY n.room, n.thread ORDER BY n.seq)" },
	.order = 80,
	.column_count = 6,
	.columns = { DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT },
};
static_assert(PUSH_CLASSES == 9, "the totals of COUNTED_TABLE");

static const struct write_table THREAD_TABLE = {
	.statement = { "counted_thread_upsert",
	               "INSERT INTO counted_threads (room_nid, thread_nid, last_seq) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])"
	               " ON CONFLICT (room_nid, thread_nid) DO UPDATE SET last_seq = excluded.last_seq" },
	.order = 81,
	.column_count = 3,
	.columns = { DB_INT, DB_INT, DB_INT },
	.key_columns = 2,
};

static const struct write_table OWN_TABLE = {
	.statement = { "counted_own_insert",
	               "INSERT INTO counted_own (user_nid, room_nid, thread_nid, room_seq, event_nid, sender_nid, class, hidden)"
	               " SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::boolean[])" },
	.order = 82,
	.column_count = 8,
	.columns = { DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_BOOL },
	.key_columns = 4,
};

/* An event that came before its parent is in the main timeline, though its relations say otherwise by now. */
static const struct write_table REDACTED_TABLE = {
	.statement = { "counted_redact",
	               "UPDATE counted c SET redacted = true FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS g (room, seq, thread)"
	               " WHERE c.room_nid = g.room AND c.room_seq = g.seq AND c.thread_nid IN (-1, g.thread)" },
	.order = 83,
	.column_count = 3,
	.columns = { DB_INT, DB_INT, DB_INT },
	.key_columns = 2,
};
static const struct write_table OWN_REDACTED_TABLE = {
	.statement = { "counted_own_redact",
	               "DELETE FROM counted_own o USING unnest($1::bigint[]) AS g (event) WHERE o.event_nid = g.event" },
	.order = 84,
	.column_count = 1,
	.columns = { DB_INT },
	.key_columns = 1,
};

/* An event that is counted. */
struct counting {
	struct write_set *set;
	const struct event_added *added;
	nid_t thread;
	enum push_class class;
};

bool counts_thread_of(struct server *server, nid_t room, struct str json, struct arena *arena, nid_t *ret_thread, struct err *err)
{
	for (int hop = 0; hop <= MAX_HOPS; hop++) {
		struct str relation, type, target;
		struct event related;
		bool threaded;

		if (!slice_path(json, &relation, STR("content"), STR("m.relates_to")) || !slice_get(relation, STR("rel_type"), &type) ||
		    !slice_get_string(relation, STR("event_id"), arena, &target))
			break;
		threaded = slice_string_eq(type, STR("m.thread"));
		if (hop == MAX_HOPS && !threaded)
			break;
		if (!event_find(server->events, target, arena, &related, err))
			return false;
		if (!related.nid || related.room != room)
			break;
		if (threaded) {
			*ret_thread = related.nid;
			return true;
		}
		json = related.json;
	}
	*ret_thread = COUNTS_MAIN_THREAD;
	return true;
}

static bool mentions_room(struct str content)
{
	struct str value;
	bool room;

	return slice_path(content, &value, STR("m.mentions"), STR("room")) && slice_bool(value, &room) && room;
}

static bool find_class(const struct event_added *added, enum push_class *ret_class, struct err *err)
{
	const struct event *event = added->event;
	struct state_source source = state_store_source(added->server->states);
	struct push_event push = push_event(event->json, added->room->room_id, added->pdu->sender, 0, NULL, added->arena);
	struct state_info info = { 0 };

	if (event->root_before && !state_info(&source, event->room, event->root_before, &info, err))
		return false;
	push.member_count = info.joined;
	if (mentions_room(added->pdu->content)) { /* it depends on whether the sender may */
		struct state_view *view = state_view_new(added->server, added->room, event->root_before, added->arena);

		push.levels = power_levels_read(added->room->version, state_view_auth(view), added->arena);
		if (state_view_failed(view, err))
			return false;
	}
	*ret_class = push_class_of(&push);
	return true;
}

static void add_own_row(const struct counting *counting, nid_t user, bool hidden)
{
	const struct event *event = counting->added->event;

	write_set_add(counting->set, &OWN_TABLE,
	              DB_PARAMS(db_int(user), db_int(event->room), db_int(counting->thread), db_int(event->order.seq), db_int(event->nid),
	                        db_int(event->sender), db_int(counting->class), db_bool(hidden)));
}

/* Of the mentioned those that are users of ours, others than the sender, and in the room. */
static bool add_mentions(const struct counting *counting, struct err *err)
{
	const struct event_added *added = counting->added;
	struct server *server = added->server;
	struct state_source source = state_store_source(server->states);
	struct state_entry members[COUNTS_MAX_MENTIONS];
	nid_t keys[COUNTS_MAX_MENTIONS], users[COUNTS_MAX_MENTIONS];
	struct slice_iter mentioned;
	struct str list, item, user_id;
	size_t count = 0;

	if (!slice_path(added->pdu->content, &list, STR("m.mentions"), STR("user_ids")) || slice_type(list) != SLICE_ARRAY)
		return true;
	mentioned = slice_iter(list);
	while (count < COUNTS_MAX_MENTIONS && slice_item(&mentioned, &item)) {
		if (!slice_string(item, added->arena, &user_id) || !server_domain_of_user(server, user_id))
			continue;
		if (!find_key(server->interned, STR("m.room.member"), user_id, &keys[count], err) ||
		    (keys[count] && !find_user(server->interned, user_id, &users[count], err)))
			return false;
		count += keys[count] && users[count] && users[count] != added->event->sender;
	}
	if (count && !state_get(&source, added->event->room, added->event->root_before, keys, count, members, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (members[i].event && members[i].membership == MEMBERSHIP_JOIN)
			add_own_row(counting, users[i], false);
	}
	return true;
}

static bool hides(enum visibility visibility, enum membership before)
{
	return before != MEMBERSHIP_JOIN && (visibility == VISIBILITY_JOINED || (visibility == VISIBILITY_INVITED && before != MEMBERSHIP_INVITE));
}

/*
 * An event from a fork that some who are in the room now had not come into: history visibility ("Room History Visibility") may hide it from them. In a line of events
 * the state before one is that of all who are there, and nobody is concerned.
 */
static bool add_hidden(const struct counting *counting, struct err *err)
{
	const struct event_added *added = counting->added;
	const struct event *event = added->event;
	struct state_source source = state_store_source(added->server->states);
	struct state_delta *deltas;
	size_t count;

	if ((event->visibility != VISIBILITY_JOINED && event->visibility != VISIBILITY_INVITED) || event->root_after == added->head->state_root)
		return true;
	if (!state_diff(&source, event->room, event->root_before, added->head->state_root, added->arena, &deltas, &count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		struct str type, user_id;
		nid_t user;

		if (!(deltas[i].key >> 32) || deltas[i].membership_after != MEMBERSHIP_JOIN || !hides(event->visibility, deltas[i].membership_before))
			continue;
		if (!key_of(added->server->interned, deltas[i].key, added->arena, &type, &user_id, err))
			return false;
		if (!server_domain_of_user(added->server, user_id))
			continue;
		if (!intern_user(added->server->interned, user_id, &user, err))
			return false;
		add_own_row(counting, user, true); /* in place of a mention */
	}
	return true;
}

static bool add_redaction(struct write_set *set, const struct event_added *added, struct err *err)
{
	struct event target;
	nid_t thread;

	if (added->event->key || !added->target)
		return true;
	if (!event_load(added->server->events, added->target, added->arena, &target, err))
		return false;
	if (!target.nid || target.order.sub != 0)
		return true;
	if (!counts_thread_of(added->server, target.room, target.json, added->arena, &thread, err))
		return false;
	write_set_add(set, &REDACTED_TABLE, DB_PARAMS(db_int(target.room), db_int(target.order.seq), db_int(thread)));
	write_set_add(set, &OWN_REDACTED_TABLE, DB_PARAMS(db_int(target.nid)));
	return true;
}

bool counts_add(struct write_set *set, const struct event_added *added, struct err *err)
{
	struct counting counting = { .set = set, .added = added };
	const struct event *event = added->event;

	if (!counts_thread_of(added->server, event->room, event->json, added->arena, &counting.thread, err) || !find_class(added, &counting.class, err))
		return false;
	write_set_add(set, &COUNTED_TABLE,
	              DB_PARAMS(db_int(event->room), db_int(counting.thread), db_int(event->order.seq), db_int(event->nid), db_int(event->sender),
	                        db_int(counting.class)));
	if (counting.thread != COUNTS_MAIN_THREAD)
		write_set_add(set, &THREAD_TABLE, DB_PARAMS(db_int(event->room), db_int(counting.thread), db_int(event->order.seq)));
	return add_mentions(&counting, err) && add_hidden(&counting, err) && add_redaction(set, added, err);
}
