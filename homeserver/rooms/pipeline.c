/*
 * The way of an event of ours into a room. A draft becomes, on the room's head: prev events, auth events, the signed PDU, the verdict of the auth rules, the
 * state after it, and the rows of a write set.
 */
#include <sodium.h>

#include "interned/interned.h"
#include "journal/journal.h"
#include "matrix/canonical.h"
#include "rooms/memberships.h"
#include "rooms/view_internal.h"
#include "rooms/write.h"

#define MAX_DEPTH ((INT64_C(1) << 53) - 1)

/* What a request sends; lives in the arena of the worker that waits. */
struct sending {
	const struct sender *sender;
	const struct domain *domain;
	const struct event_draft *drafts;
	size_t count;
	const struct room_creation *creation; /* NULL: the room is there */
	struct str *event_ids;
};

/* What one event takes to be built. */
struct step {
	struct room_write *write;
	const struct sending *sending;
	struct write_set *set;
	struct room_head *head; /* write->after */
	const struct event_draft *draft;
	struct state_view *view;
	struct auth_key *auth_keys;
	size_t auth_count;
	struct event event;
	struct pdu pdu;
	nid_t auth_nids[EVENT_MAX_AUTH + 1];
	nid_t target; /* the member, or the event that is redacted */
	enum membership membership;
};

enum membership membership_of_content(struct str content)
{
	static const struct {
		struct str name;
		enum membership membership;
	} names[] = {
		{ STR_INIT("join"), MEMBERSHIP_JOIN },   { STR_INIT("leave"), MEMBERSHIP_LEAVE }, { STR_INIT("invite"), MEMBERSHIP_INVITE },
		{ STR_INIT("ban"), MEMBERSHIP_BAN },     { STR_INIT("knock"), MEMBERSHIP_KNOCK },
	};
	struct str value;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (slice_get(content, STR("membership"), &value) && slice_string_eq(value, names[i].name))
			return names[i].membership;
	}
	return MEMBERSHIP_NONE;
}

/* Everything of the state that building the event asks for, in one descent of the trie. */
static bool load_state(struct step *step, struct err *err)
{
	const struct event_draft *draft = step->draft;
	struct arena *arena = step->write->arena;
	struct auth_key *keys;
	size_t count;

	step->view = state_view_new(step->write->server, &step->write->room, step->head->state_root, arena);
	step->auth_count = auth_keys_for(step->write->room.version, draft->type, draft->is_state, draft->state_key, step->sending->sender->user_id,
	                                 draft->content, arena, &step->auth_keys);
	keys = ARENA_ARRAY(arena, step->auth_count + 3, struct auth_key);
	if (step->auth_count)
		memcpy(keys, step->auth_keys, step->auth_count * sizeof(*keys));
	count = step->auth_count;
	keys[count++] = (struct auth_key){ STR("m.room.create"), STR("") };
	keys[count++] = (struct auth_key){ STR("m.room.history_visibility"), STR("") };
	if (draft->is_state)
		keys[count++] = (struct auth_key){ draft->type, draft->state_key };
	return state_view_load(step->view, keys, count, err);
}

static bool visibility_before(struct step *step, enum visibility *ret_visibility, struct err *err)
{
	const struct event *event;
	struct str value = STR(""), content;

	if (!state_view_event(step->view, STR("m.room.history_visibility"), STR(""), &event, err))
		return false;
	*ret_visibility = VISIBILITY_SHARED;
	if (event->nid && slice_get(event->json, STR("content"), &content) &&
	    slice_get_string(content, STR("history_visibility"), step->write->arena, &value))
		*ret_visibility = visibility_parse(value);
	return true;
}

static bool choose_auth_events(struct step *step, struct str *ids, size_t *ret_count, int64_t *ret_auth_gen, struct err *err)
{
	const struct event *event;
	size_t count = 0;

	*ret_auth_gen = 0;
	for (size_t i = 0; i < step->auth_count && count < EVENT_MAX_AUTH; i++) {
		if (!state_view_event(step->view, step->auth_keys[i].type, step->auth_keys[i].state_key, &event, err))
			return false;
		if (!event->nid)
			continue;
		step->auth_nids[count] = event->nid;
		ids[count++] = event->event_id;
		*ret_auth_gen = MAX(*ret_auth_gen, event->auth_gen + 1);
	}
	*ret_count = count;
	return true;
}

/* In versions 1 and 2 events are referred to by ID and hash. */
static bool add_reference_hashes(struct step *step, const struct event *prevs, size_t auth_count, struct str *prev_hashes, struct str *auth_hashes,
                                 struct err *err)
{
	struct room_write *write = step->write;
	struct event *auths = ARENA_ARRAY(write->arena, auth_count, struct event);

	if (!events_load(write->server->events, step->auth_nids, auth_count, write->arena, auths, err))
		return false;
	for (size_t i = 0; i < step->head->extremity_count; i++)
		prev_hashes[i] = event_reference_hash(write->room.version, prevs[i].json, write->arena);
	for (size_t i = 0; i < auth_count; i++)
		auth_hashes[i] = event_reference_hash(write->room.version, auths[i].json, write->arena);
	return true;
}

static bool build_pdu(struct step *step, struct err *err)
{
	struct room_write *write = step->write;
	struct arena *arena = write->arena;
	struct event *prevs = ARENA_ARRAY(arena, step->head->extremity_count, struct event);
	struct str prev_ids[ROOM_MAX_EXTREMITIES], auth_ids[EVENT_MAX_AUTH], prev_hashes[ROOM_MAX_EXTREMITIES], auth_hashes[EVENT_MAX_AUTH];
	struct event_fields fields = {
		.room_id = write->room.room_id,
		.type = step->draft->type,
		.sender = step->sending->sender->user_id,
		.is_state = step->draft->is_state,
		.state_key = step->draft->state_key,
		.content = step->draft->content,
		.redacts = step->draft->redacts,
		.depth = MIN(step->head->depth + 1, MAX_DEPTH),
		.origin_server_ts = step->draft->origin_server_ts ? step->draft->origin_server_ts : clock_wall_ms(),
		.prev_events = prev_ids,
		.auth_events = auth_ids,
		.prev_count = step->head->extremity_count,
	};

	if (!events_load(write->server->events, step->head->extremities, step->head->extremity_count, arena, prevs, err))
		return false;
	for (size_t i = 0; i < step->head->extremity_count; i++)
		prev_ids[i] = prevs[i].event_id;
	if (!choose_auth_events(step, auth_ids, &fields.auth_count, &step->event.auth_gen, err))
		return false;
	if (write->room.version->event_id_format == EVENT_ID_GIVEN) {
		if (!add_reference_hashes(step, prevs, fields.auth_count, prev_hashes, auth_hashes, err))
			return false;
		fields.prev_hashes = prev_hashes;
		fields.auth_hashes = auth_hashes;
	}
	if (!event_build(write->room.version, &fields, step->sending->domain->name, step->sending->domain->key, random_string(arena, 18), arena, &step->pdu, err))
		return false;
	if (!write->room.room_id.len)
		write->room.room_id = step->pdu.room_id; /* version 12: the room is named by its create event */
	return true;
}

static bool authorise(struct step *step, struct err *err)
{
	bool allowed = auth_check(&step->pdu, state_view_auth(step->view), step->write->arena, err);
	struct err failed;

	if (state_view_failed(step->view, &failed)) {
		*err = failed;
		return false;
	}
	return allowed;
}

static bool is_create(const struct event *event, struct arena *arena)
{
	struct str type;

	return event->key && slice_get_string(event->json, STR("type"), arena, &type) && str_eq(type, STR("m.room.create"));
}

/*
 * A redaction takes effect when its sender may redact others' events, or is of the same server as the redacted one's (rooms/v3.md "Handling redactions"). For a
 * local sender both are known before it is sent: only one's own events without the power (client-server-api "Redactions").
 */
static bool check_redaction(struct step *step, struct err *err)
{
	struct room_write *write = step->write;
	const struct power_levels *levels;
	struct event target;

	if (!str_eq(step->draft->type, STR("m.room.redaction")) || step->draft->is_state || !step->draft->redacts.len)
		return true;
	if (!event_find(write->server->events, step->draft->redacts, write->arena, &target, err))
		return false;
	if (!target.nid || target.room != write->room.nid)
		return err_set(err, M_NOT_FOUND, "There is no such event in this room");
	if (is_create(&target, write->arena))
		return err_set(err, M_FORBIDDEN, "What makes a room cannot be redacted");
	levels = power_levels_read(write->room.version, state_view_auth(step->view), write->arena);
	if (target.sender != step->sending->sender->nid && power_level_of(levels, step->sending->sender->user_id) < power_level_action(levels, STR("redact")))
		return err_set(err, M_FORBIDDEN, "You may not redact this event");
	step->target = target.nid;
	write_set_add(step->set, &EVENT_REDACTED_TABLE, DB_PARAMS(db_int(target.nid), db_int(step->event.nid)));
	return true;
}

static bool apply_state(struct step *step, struct err *err)
{
	struct state_entry change = { .key = step->event.key, .event = step->event.nid, .membership = step->membership };
	int64_t root;

	step->event.root_before = step->event.root_after = step->event.head_before = step->head->state_root;
	if (!step->draft->is_state)
		return true;
	if (!room_write_state(step->write, step->set, step->head->state_root, &change, 1, &root, err) ||
	    !room_write_current_state(step->write, step->set, root, &step->event, err))
		return false;
	step->event.root_after = root;
	return true;
}

static bool read_membership(struct step *step, struct err *err)
{
	if (!step->draft->is_state || !str_eq(step->draft->type, STR("m.room.member")))
		return true;
	step->membership = membership_of_content(step->pdu.content);
	return intern_user(step->write->server->interned, step->draft->state_key, &step->target, err);
}

static void add_entry(struct step *step)
{
	const struct event *event = &step->event;

	write_set_entry(step->set, &(struct journal_entry){
					   .kind = JOURNAL_EVENT,
					   .room = event->room,
					   .user = event->sender,
					   .event = event->nid,
					   .device = event->txn_device,
					   .key = event->key,
					   .target = step->target,
					   .seq = event->order.seq,
					   .root_before = event->root_before,
					   .root_after = event->root_after,
					   .membership = step->membership,
					   .data = event->txn_id,
				   });
}

static void advance(struct step *step)
{
	struct room_head *head = step->head;

	head->room_seq = step->event.order.seq;
	head->depth = step->event.depth;
	head->last_activity = step->event.origin_server_ts;
	head->extremities[0] = step->event.nid;
	head->extremity_count = 1;
}

static bool number_event(struct step *step, struct err *err)
{
	struct room_write *write = step->write;
	struct event *event = &step->event;

	event->room = write->room.nid;
	event->sender = step->sending->sender->nid;
	event->order.seq = step->head->room_seq + 1;
	event->txn_device = step->draft->txn_id.len ? step->sending->sender->device : 0;
	event->txn_id = event->txn_device ? step->draft->txn_id : STR("");
	if (!journal_next_ids(write->server->journal, 1, &event->nid, err) || !intern_type(write->server->interned, step->draft->type, &event->type, err))
		return false;
	return !step->draft->is_state || intern_key(write->server->interned, step->draft->type, step->draft->state_key, &event->key, err);
}

/* The state says already what the draft would: *ret_event_id is that event's. */
static bool is_same_state(struct step *step, struct str *ret_event_id, struct err *err)
{
	struct arena *arena = step->write->arena;
	const struct event *before;
	struct str content, wanted;

	if (!step->draft->is_state || !step->draft->skip_if_same)
		return false;
	if (!state_view_event(step->view, step->draft->type, step->draft->state_key, &before, err) || !before->nid ||
	    before->sender != step->sending->sender->nid || !slice_get(before->json, STR("content"), &content) ||
	    !canonical_json(step->draft->content, arena, &wanted, err))
		return false;
	if (!str_eq(content, wanted))
		return false;
	*ret_event_id = before->event_id;
	return true;
}

static bool build_event(struct room_write *write, struct write_set *set, const struct sending *sending, const struct event_draft *draft,
                        struct str *ret_event_id, struct err *err)
{
	struct step step = { .write = write, .sending = sending, .set = set, .head = &write->after, .draft = draft };
	nid_t prevs[ROOM_MAX_EXTREMITIES];
	size_t prev_count = write->after.extremity_count;

	memcpy(prevs, write->after.extremities, sizeof(prevs));
	if (!load_state(&step, err))
		return false;
	if (is_same_state(&step, ret_event_id, err))
		return true;
	if (!number_event(&step, err) || !build_pdu(&step, err) || !authorise(&step, err) || !check_redaction(&step, err) ||
	    !read_membership(&step, err))
		return false;
	step.event.event_id = step.pdu.event_id;
	step.event.json = step.pdu.json;
	step.event.depth = step.pdu.depth;
	step.event.origin_server_ts = step.pdu.origin_server_ts;
	if (!apply_state(&step, err) || !visibility_before(&step, &step.event.visibility, err))
		return false;
	event_add_rows(set, &step.event, prevs, prev_count, step.auth_nids, step.pdu.auth_count);
	room_write_pin(write, &step.event, (struct auth_edges){ step.auth_nids, step.pdu.auth_count });
	add_entry(&step);
	advance(&step);
	if (!room_write_adders(write, set, &step.event, &step.pdu, step.target, step.membership, err))
		return false;
	*ret_event_id = step.event.event_id;
	return true;
}

/* All drafts, one on the other. */
static bool build_drafts(struct room_write *write, struct write_set *set, struct err *err)
{
	const struct sending *sending = write->context;
	const struct room_creation *creation = sending->creation;

	for (size_t i = 0; i < sending->count; i++) {
		if (!build_event(write, set, sending, &sending->drafts[i], &sending->event_ids[i], err))
			return false;
	}
	if (!creation)
		return true;
	write_set_add(set, &ROOM_TABLE,
	              DB_PARAMS(db_int(write->room.nid), db_text(write->room.room_id), db_text(write->room.version->name), db_int(sending->sender->nid),
	                        db_int(clock_wall_ms())));
	return !creation->add_rows || creation->add_rows(creation->context, set, write->room.nid, err);
}

static bool add_transaction(struct server *server, const struct sending *sending, nid_t room, struct write_set *set, struct err *err)
{
	nid_t type;

	if (!sending->drafts[0].txn_id.len || !sending->sender->device)
		return true;
	assert(sending->count == 1);
	if (!intern_type(server->interned, sending->drafts[0].type, &type, err))
		return false;
	write_set_transaction(set, sending->sender->device, room, type, sending->drafts[0].txn_id);
	return true;
}

bool room_find_sent(struct server *server, nid_t room, nid_t device, struct str type, struct str txn_id, struct arena *arena, struct str *ret_event_id,
                    struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;
	nid_t type_nid;

	if (!find_type(server->interned, type, &type_nid, err) || !db_acquire(server->pool, &db, err) ||
	    !db_query(db, &ROOM_FIND_TRANSACTIONS, DB_PARAMS(db_ints(&device, 1), db_ints(&room, 1), db_ints(&type_nid, 1), db_texts(&txn_id, 1)), arena,
	              &rows, err))
		return false;
	*ret_event_id = db_next(rows) ? db_get_str(rows, 1) : STR("");
	return true;
}

static struct sending sending_of(struct server *server, const struct sender *sender, const struct event_draft *drafts, size_t count, struct arena *arena)
{
	return (struct sending){
		.sender = sender,
		.domain = server_domain_of_user(server, sender->user_id),
		.drafts = drafts,
		.count = count,
		.event_ids = ARENA_ARRAY(arena, count, struct str),
	};
}

bool room_send(struct server *server, const struct room_info *room, const struct sender *sender, const struct event_draft *drafts, size_t count,
               struct arena *arena, struct str *ret_event_ids, struct err *err)
{
	struct sending sending = sending_of(server, sender, drafts, count, arena);
	struct room_write write = { .server = server, .room = *room, .arena = arena, .build = build_drafts, .context = &sending };
	struct write_set *set = write_set_new(arena);

	if (!add_transaction(server, &sending, room->nid, set, err) || !room_write_run(&write, set, err))
		return false;
	write_set_found(set, &sending.event_ids[0]); /* the client sent this before: the event that it got then */
	memcpy(ret_event_ids, sending.event_ids, count * sizeof(*ret_event_ids));
	return true;
}

/* From version 12 a room is named by its create event: one that a user makes twice in a millisecond is made a little later. */
static bool create_once(struct server *server, const struct sender *sender, const struct room_creation *creation, int64_t later_ms, struct arena *arena,
                        struct room_info *ret_room, bool *ret_taken, struct err *err)
{
	struct event_draft *drafts = ARENA_ARRAY(arena, creation->count, struct event_draft);
	struct sending sending = sending_of(server, sender, drafts, creation->count, arena);
	struct room_write write = {
		.server = server,
		.room = { .room_id = creation->room_id, .version = creation->version },
		.arena = arena,
		.build = build_drafts,
		.context = &sending,
	};
	struct room_info taken;
	struct err ignored;

	memcpy(drafts, creation->drafts, creation->count * sizeof(*drafts));
	if (later_ms)
		drafts[0].origin_server_ts = clock_wall_ms() + later_ms;
	sending.creation = creation;
	*ret_taken = false;
	if (!journal_next_ids(server->journal, 1, &write.room.nid, err))
		return false;
	if (!room_write_first(&write, write_set_new(arena), err)) {
		*ret_taken = creation->version->room_id_is_create_hash && write.room.room_id.len &&
		             room_find(server->rooms, write.room.room_id, arena, &taken, &ignored) && taken.nid;
		return false;
	}
	room_remember_info(server->rooms, &write.room);
	*ret_room = write.room;
	return true;
}

bool room_create(struct server *server, const struct sender *sender, const struct room_creation *creation, struct arena *arena,
                 struct room_info *ret_room, struct err *err)
{
	bool taken = true;

	for (int64_t later_ms = 0; later_ms < 100 && taken; later_ms += 1 + randombytes_uniform(10)) {
		if (create_once(server, sender, creation, later_ms, arena, ret_room, &taken, err))
			return true;
	}
	return false;
}
