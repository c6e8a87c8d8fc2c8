#include "rooms/write.h"

#include "interned/interned.h"
#include "rooms/memberships.h"

static const struct write_table STATE_ROW_TABLE = {
	.statement = { "state_row_insert_set",
	               "INSERT INTO state_rows (room_nid, row_id, data) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])" },
	.order = 15,
	.column_count = 3,
	.columns = { DB_INT, DB_INT, DB_BYTES },
};

static const struct write_table CURRENT_STATE_GONE_TABLE = {
	.statement = { "current_state_delete",
	               "DELETE FROM current_state c USING unnest($1::bigint[], $2::bigint[]) AS g (room, key)"
	               " WHERE c.room_nid = g.room AND c.key_nid = g.key" },
	.order = 31,
	.column_count = 2,
	.columns = { DB_INT, DB_INT },
	.key_columns = 2,
};

static void unpin(struct room_write *write, bool stored)
{
	for (size_t i = 0; i < write->build_count; i++)
		state_store_unpin(write->server->states, write->builds[i], stored);
	for (size_t i = 0; i < write->event_count; i++)
		events_unpin(write->server->events, write->events[i]);
	write->build_count = write->event_count = 0;
}

void room_write_pin(struct room_write *write, const struct event *event, struct auth_edges auth)
{
	events_pin(write->server->events, event, auth);
	*ARENA_PUSH(write->arena, write->events, write->event_count, write->event_cap) = event->nid;
}

bool room_write_state(struct room_write *write, struct write_set *set, int64_t root, const struct state_entry *changes, size_t count, int64_t *ret_root,
                      struct err *err)
{
	struct state_source source = state_store_source(write->server->states);
	struct state_build *build = ARENA_NEW(write->arena, struct state_build);

	if (!state_apply(&source, write->room.nid, root, changes, count, STATE_AS_BEFORE, write->arena, build, err))
		return false;
	state_store_pin(write->server->states, build);
	*ARENA_PUSH(write->arena, write->builds, write->build_count, write->build_cap) = build;
	for (size_t i = 0; i < build->row_count; i++)
		write_set_add(set, &STATE_ROW_TABLE,
		              DB_PARAMS(db_int(write->room.nid), db_int(build->rows[i].row_id), db_bytes(build->rows[i].data)));
	*ret_root = build->root;
	return true;
}

/* --- the current state --- */

/* `root`: of the state in which it is so. */
static bool add_member(struct room_write *write, struct write_set *set, const struct state_delta *delta, int64_t root, const struct event *cause,
                       struct err *err)
{
	struct str type, user_id;
	struct event member = { 0 };
	nid_t user;

	if (!key_of(write->server->interned, delta->key, write->arena, &type, &user_id, err) || !intern_user(write->server->interned, user_id, &user, err))
		return false;
	if (delta->after == cause->nid)
		member = *cause;
	else if (!event_load(write->server->events, delta->after, write->arena, &member, err))
		return false;
	write_set_add(set, &MEMBERSHIP_TABLE,
	              DB_PARAMS(db_int(user), db_int(write->room.nid), db_int(delta->after ? delta->membership_after : MEMBERSHIP_LEAVE),
	                        db_int(member.nid), db_int(cause->order.seq), db_int(member.sender)));
	if (delta->membership_before == MEMBERSHIP_JOIN && delta->membership_after != MEMBERSHIP_JOIN)
		write_set_add(set, &STAY_END_TABLE, DB_PARAMS(db_int(user), db_int(write->room.nid), db_int(cause->order.seq), db_int(root)));
	if (delta->after != cause->nid)
		write_set_entry(set, &(struct journal_entry){ .kind = JOURNAL_STATE,
			                                      .room = write->room.nid,
			                                      .user = cause->sender,
			                                      .event = member.nid,
			                                      .key = delta->key,
			                                      .target = user,
			                                      .seq = cause->order.seq,
			                                      .root_before = root,
			                                      .root_after = root,
			                                      .membership = delta->membership_after });
	return true;
}

bool room_write_current_state(struct room_write *write, struct write_set *set, int64_t root, const struct event *event, struct err *err)
{
	struct state_source source = state_store_source(write->server->states);
	struct state_delta *deltas;
	size_t count;

	if (root == write->after.state_root)
		return true;
	if (!state_diff(&source, write->room.nid, write->after.state_root, root, write->arena, &deltas, &count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (deltas[i].after)
			write_set_add(set, &CURRENT_STATE_TABLE,
			              DB_PARAMS(db_int(write->room.nid), db_int(deltas[i].key), db_int(deltas[i].after)));
		else
			write_set_add(set, &CURRENT_STATE_GONE_TABLE, DB_PARAMS(db_int(write->room.nid), db_int(deltas[i].key)));
		if (deltas[i].key >> 32 && !add_member(write, set, &deltas[i], root, event, err))
			return false;
	}
	write->after.state_root = root;
	return true;
}

bool room_write_adders(struct room_write *write, struct write_set *set, const struct event *event, const struct pdu *pdu, nid_t target,
                       enum membership membership, struct err *err)
{
	const struct event_added added = { write->server, &write->room, event, pdu, &write->after, target, membership, write->arena };

	for (const event_adder *add = event_adders; *add; add++) {
		if (!(*add)(set, &added, err))
			return false;
	}
	return true;
}

/* --- the guard --- */

static bool build_on(struct room_write *write, struct write_set *set, const struct room_head *head, struct err *err)
{
	struct write_guard guard = { .id = write->room.nid, .expected = head->token };
	int64_t token;

	unpin(write, false);
	write->after = *head;
	if (!journal_next_ids(write->server->journal, 1, &token, err) || !write->build(write, set, err))
		return false;
	write->after.token = guard.next = token;
	room_add_head_row(set, write->room.nid, &write->after);
	if (head->token)
		write_set_guard(set, guard);
	return true;
}

/* The committer's: under the head's lock, on what was locked, or on the write that stands before this one in the batch. */
static bool rebuild(void *context, struct write_set *set, const struct db_rows *guard_row, void *previous, struct err *err)
{
	struct room_write *write = context;
	struct room_head head = previous ? ((struct room_write *)previous)->after : room_head_of(guard_row, write->arena);
	bool ok;

	mutex_lock(&write->memory->turn);
	ok = build_on(write, set, &head, err);
	/* Who comes next builds on this; what was built on the old head meanwhile is built again in its turn. */
	write->memory->head = ok ? write->after : head;
	write->memory->seq = write->memory->head.room_seq;
	write->memory->stale = false;
	mutex_unlock(&write->memory->turn);
	return ok;
}

/* Builds on the head in memory and hands over, within the room's turn. */
static bool take_turn(struct room_write *write, struct write_set *set, struct err *err)
{
	struct rooms *rooms = write->server->rooms;

	if (!room_acquire(rooms, write->room.nid, &write->memory, err))
		return false;
	if (!build_on(write, set, &write->memory->head, err)) {
		room_release(write->memory);
		room_put(rooms, write->memory);
		return false;
	}
	write->memory->head = write->after;
	write->memory->seq = write->after.room_seq;
	write->memory->in_flight++;
	journal_submit(write->server->journal, set);
	room_release(write->memory);
	return true;
}

bool room_write_run(struct room_write *write, struct write_set *set, struct err *err)
{
	bool ok;

	write_set_rebuild(set, rebuild, write);
	if (!take_turn(write, set, err)) {
		unpin(write, false);
		return false;
	}
	ok = journal_wait(write->server->journal, set, err);
	unpin(write, ok);
	write->memory->in_flight--;
	room_put(write->server->rooms, write->memory);
	return ok;
}

bool room_write_first(struct room_write *write, struct write_set *set, struct err *err)
{
	bool ok = build_on(write, set, &(struct room_head){ 0 }, err) && journal_commit(write->server->journal, set, err);

	unpin(write, ok);
	return ok;
}
