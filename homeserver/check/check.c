#include "check/check.h"

#include "state/state_store.h"

#define ROOMS_AT_ONCE 500

/* Each gives a line of text for every breach of one invariant. */
static const struct db_statement breaches[] = {
	{ "check_journal_gaps",
	  "SELECT format('journal: positions %s to %s are missing', before + 1, pos - 1) FROM"
	  " (SELECT pos, lag(pos, 1, 0::bigint) OVER (ORDER BY pos) AS before FROM journal) j WHERE pos <> before + 1 LIMIT 20" },
	{ "check_journal_head",
	  "SELECT format('journal: the head says %s, the last position is %s', h.pos, j.last) FROM journal_head h,"
	  " (SELECT coalesce(max(pos), 0) AS last FROM journal) j WHERE h.pos <> j.last" },
	{ "check_journal_roots",
	  "SELECT format('room %s: the state before position %s is %s, but the state after the one before it %s', room_nid, pos, root_before, before) FROM"
	  " (SELECT room_nid, pos, coalesce(root_before, 0) AS root_before,"
	  "   lag(coalesce(root_after, 0), 1, 0::bigint) OVER (PARTITION BY room_nid ORDER BY pos) AS before FROM journal WHERE kind IN (1, 2)) j"
	  " WHERE root_before <> before LIMIT 20" },
	{ "check_journal_events",
	  "SELECT format('journal: position %s tells of event %s, which is not there', j.pos, j.event_nid) FROM journal j"
	  " LEFT JOIN events e ON e.event_nid = j.event_nid AND e.room_nid = j.room_nid AND e.room_seq = j.seq"
	  " WHERE j.kind = 1 AND e.event_nid IS NULL LIMIT 20" },
	{ "check_events_told",
	  "SELECT format('event %s was accepted, but the journal does not tell of it', s.event_nid) FROM event_state s"
	  " LEFT JOIN journal j ON j.kind = 1 AND j.room_nid = s.room_nid AND j.event_nid = s.event_nid"
	  " WHERE s.verdict = 0 AND j.pos IS NULL LIMIT 20" },
	{ "check_head_roots",
	  "SELECT format('room %s: the head''s state is %s, the journal''s %s', h.room_nid, h.state_root, j.root_after) FROM room_heads h"
	  " JOIN (SELECT DISTINCT ON (room_nid) room_nid, coalesce(root_after, 0) AS root_after FROM journal WHERE kind IN (1, 2)"
	  "   ORDER BY room_nid, pos DESC) j USING (room_nid) WHERE h.state_root <> j.root_after LIMIT 20" },
	{ "check_rooms_have_heads",
	  "SELECT format('room %s has no head', r.room_nid) FROM rooms r LEFT JOIN room_heads h USING (room_nid) WHERE h.room_nid IS NULL LIMIT 20" },
	{ "check_order",
	  "SELECT format('room %s: the head is at %s, with %s events up to %s', h.room_nid, h.room_seq, e.count, e.last) FROM room_heads h"
	  " LEFT JOIN (SELECT room_nid, count(*) AS count, max(room_seq) AS last FROM events WHERE sub = 0 GROUP BY room_nid) e USING (room_nid)"
	  " WHERE h.room_seq <> coalesce(e.last, 0) OR h.room_seq <> coalesce(e.count, 0) LIMIT 20" },
	{ "check_event_states",
	  "SELECT format('event %s has no state', e.event_nid) FROM events e LEFT JOIN event_state s"
	  " ON s.event_nid = e.event_nid AND s.room_nid = e.room_nid WHERE s.event_nid IS NULL LIMIT 20" },
	{ "check_states_have_events",
	  "SELECT format('event %s is not there, but its state is', s.event_nid) FROM event_state s LEFT JOIN events e USING (event_nid)"
	  " WHERE e.event_nid IS NULL LIMIT 20" },
	{ "check_edges",
	  "SELECT format('event %s refers to %s, which is not there', x.event_nid, x.other) FROM"
	  " (SELECT event_nid, room_nid, unnest(prev_nids || auth_nids) AS other FROM events) x"
	  " LEFT JOIN events e ON e.event_nid = x.other AND e.room_nid = x.room_nid WHERE e.event_nid IS NULL LIMIT 20" },
	{ "check_auth_generations",
	  "SELECT format('event %s has generation %s, an auth event of it %s', x.event_nid, x.auth_gen, a.auth_gen) FROM"
	  " (SELECT event_nid, auth_gen, unnest(auth_nids) AS other FROM events) x JOIN events a ON a.event_nid = x.other"
	  " WHERE a.auth_gen >= x.auth_gen LIMIT 20" },
	{ "check_extremities",
	  "SELECT format('room %s: extremity %s is no accepted event of it', h.room_nid, h.end) FROM"
	  " (SELECT room_nid, unnest(extremities) AS end FROM room_heads) h LEFT JOIN event_state s ON s.event_nid = h.end AND s.room_nid = h.room_nid"
	  " WHERE s.verdict IS DISTINCT FROM 0 LIMIT 20" },
	{ "check_extremities_are_ends",
	  "SELECT format('room %s: extremity %s has a successor, %s', h.room_nid, h.end, e.event_nid) FROM"
	  " (SELECT room_nid, unnest(extremities) AS end FROM room_heads) h JOIN (SELECT event_nid, room_nid, unnest(prev_nids) AS prev FROM events) e"
	  " ON e.room_nid = h.room_nid AND e.prev = h.end JOIN event_state s ON s.event_nid = e.event_nid AND s.verdict = 0 LIMIT 20" },
	{ "check_memberships",
	  "SELECT format('room %s, user %s: the state has event %s, the memberships %s', c.room_nid, u.user_nid, c.event_nid, m.event_nid)"
	  " FROM current_state c JOIN state_keys k ON k.key_nid = c.key_nid AND k.type = 'm.room.member' JOIN users u ON u.user_id = k.state_key"
	  " LEFT JOIN room_memberships m ON m.room_nid = c.room_nid AND m.user_nid = u.user_nid"
	  " WHERE m.event_nid IS DISTINCT FROM c.event_nid LIMIT 20" },
	{ "check_membership_values",
	  "SELECT format('room %s, user %s: membership %s is not what event %s says', m.room_nid, m.user_nid, m.membership, m.event_nid)"
	  " FROM room_memberships m JOIN events e USING (event_nid)"
	  " WHERE m.membership IS DISTINCT FROM array_position(ARRAY['invite', 'join', 'leave', 'ban', 'knock'],"
	  " substring(e.json FROM '\"membership\":\"([a-z]+)\"')) LIMIT 20" },
	{ "check_redactions",
	  "SELECT format('event %s is redacted by %s, which is no event of its room', s.event_nid, s.redacted_by) FROM event_state s"
	  " LEFT JOIN events e ON e.event_nid = s.redacted_by AND e.room_nid = s.room_nid WHERE s.redacted_by IS NOT NULL AND e.event_nid IS NULL LIMIT 20" },
	{ "check_tokens",
	  "SELECT format('access token %s is of user %s, its device of %s', t.token_nid, t.user_nid, d.user_nid) FROM access_tokens t"
	  " JOIN devices d USING (device_nid) WHERE d.user_nid <> t.user_nid LIMIT 20" },
	{ "check_media",
	  "SELECT format('media %s/%s: its content is named by %s bytes, and no hash', server_name, media_id, octet_length(sha256)) FROM media"
	  " WHERE octet_length(sha256) <> 32 LIMIT 20" },
	{ "check_relations",
	  "SELECT format('relation of event %s, which is not there', r.event_nid) FROM event_relations r LEFT JOIN events e USING (event_nid)"
	  " WHERE e.event_nid IS NULL LIMIT 20" },
};

struct checking {
	const struct check *check;
	struct db *db;
	size_t problems;
};

static void problem(struct checking *checking, struct str text)
{
	checking->problems++;
	checking->check->report(checking->check->context, text);
}

static bool run_statements(struct checking *checking, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(breaches); i++) {
		CLEANUP(arena_free) struct arena *arena = arena_new();
		struct db_rows *rows;

		if (!db_query(checking->db, &breaches[i], DB_NO_PARAMS, arena, &rows, err))
			return err_detail(err, "%s", breaches[i].name);
		while (db_next(rows))
			problem(checking, db_get_str(rows, 0));
	}
	return true;
}

/* --- the states of rooms --- */

static const struct db_statement SELECT_ROOMS = {
	"check_rooms",
	"SELECT room_nid, state_root FROM room_heads WHERE room_nid > $1 ORDER BY room_nid LIMIT $2",
};
static const struct db_statement SELECT_ROOTS = {
	"check_roots",
	"SELECT root FROM (SELECT root_after AS root, min(pos) AS at FROM journal WHERE room_nid = $1 AND kind IN (1, 2) AND root_after IS NOT NULL"
	" GROUP BY root_after) r ORDER BY at",
};
static const struct db_statement SELECT_CURRENT = { "check_current", "SELECT key_nid, event_nid FROM current_state WHERE room_nid = $1" };

static void report_state(void *context, struct str text)
{
	problem(context, text);
}

static bool check_roots(struct checking *checking, nid_t room, struct arena *arena, struct err *err)
{
	const struct state_check check = { report_state, checking };
	struct db_rows *rows;
	int64_t *roots;
	size_t count = 0;

	if (!db_query(checking->db, &SELECT_ROOTS, DB_PARAMS(db_int(room)), arena, &rows, err))
		return false;
	roots = ARENA_ARRAY(arena, db_row_count(rows), int64_t);
	while (db_next(rows))
		roots[count++] = db_get_int(rows, 0);
	return state_store_check(checking->db, room, roots, count, &check, err);
}

/* The flat table and the trie say the same. */
static bool check_current(struct checking *checking, struct state_store *store, nid_t room, int64_t root, struct arena *arena, struct err *err)
{
	struct state_store_on on = { store, checking->db };
	struct state_source source = state_store_source_on(&on);
	struct state_entry *entries;
	struct idmap flat = { 0 };
	struct db_rows *rows;
	size_t count;

	if (!state_load(&source, room, root, arena, &entries, &count, err) ||
	    !db_query(checking->db, &SELECT_CURRENT, DB_PARAMS(db_int(room)), arena, &rows, err))
		return false;
	while (db_next(rows))
		idmap_put(&flat, db_get_nid(rows, 0), (void *)(uintptr_t)db_get_nid(rows, 1));
	if (flat.count != count)
		problem(checking, str_printf(arena, "room %" PRId64 ": current_state has %zu entries, the state %zu", room, flat.count, count));
	for (size_t i = 0; i < count; i++) {
		nid_t event = (nid_t)(uintptr_t)idmap_get(&flat, entries[i].key);

		if (event != entries[i].event)
			problem(checking, str_printf(arena, "room %" PRId64 ", key %" PRId64 ": current_state has event %" PRId64 ", the state %" PRId64, room,
			                             entries[i].key, event, entries[i].event));
	}
	idmap_done(&flat);
	return true;
}

static bool check_rooms(struct checking *checking, struct state_store *store, struct err *err)
{
	nid_t last = 0;
	size_t count;

	do {
		CLEANUP(arena_free) struct arena *arena = arena_new();
		struct db_rows *rows;

		if (!db_query(checking->db, &SELECT_ROOMS, DB_PARAMS(db_int(last), db_int(ROOMS_AT_ONCE)), arena, &rows, err))
			return false;
		count = db_row_count(rows);
		while (db_next(rows)) {
			CLEANUP(arena_free) struct arena *of_room = arena_new();

			last = db_get_nid(rows, 0);
			if (!check_roots(checking, last, of_room, err) ||
			    !check_current(checking, store, last, db_get_int(rows, 1), of_room, err))
				return err_detail(err, "room %" PRId64, last);
		}
	} while (count == ROOMS_AT_ONCE);
	return true;
}

bool check_database(struct db_pool *pool, const struct check *check, size_t *ret_problems, struct err *err)
{
	CLEANUP(state_store_free) struct state_store *store = state_store_new(pool, (size_t)16 << 20);
	CLEANUP(db_release) struct db *db = NULL;
	struct checking checking = { .check = check };

	if (!db_acquire(pool, &db, err))
		return false;
	checking.db = db;
	if (!db_exec(db, &DB_PLAN_FREELY, DB_NO_PARAMS, NULL, err) || !run_statements(&checking, err) || !check_rooms(&checking, store, err))
		return false;
	*ret_problems = checking.problems;
	return true;
}
