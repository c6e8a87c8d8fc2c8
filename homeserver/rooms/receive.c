/*
 * The way of another server's event into a room (server-server-api "Checks performed on receipt of a PDU"): its auth events, the state before it and the current
 * state judge it, in this order; then the room's extremities and state move. Whatever the verdict, the event is kept.
 */
#include "interned/interned.h"
#include "matrix/identifiers.h"
#include "rooms/memberships.h"
#include "rooms/resolve.h"
#include "rooms/view_internal.h"

struct receiving {
	struct pdu pdu;
	enum verdict *verdict;
	nid_t sender, type, key, target; /* interned */
	nid_t prev_nids[EVENT_MAX_PREV], auth_nids[EVENT_MAX_AUTH];
};

/* Judging one event, on one head. */
struct reception {
	struct room_write *write;
	struct write_set *set;
	struct receiving *receiving;
	struct event event;
	enum membership membership;
	struct event *prevs, *auths;
};

/* --- 4: the auth events' own state --- */

static const struct pdu *get_of_auth(void *context, struct str type, struct str state_key)
{
	struct reception *reception = context;
	const struct pdu *pdu = &reception->receiving->pdu;
	struct arena *arena = reception->write->arena;

	for (size_t i = 0; i < pdu->auth_count; i++) {
		struct pdu *auth = ARENA_NEW(arena, struct pdu);

		event_pdu(pdu->version, &reception->auths[i], reception->write->room.room_id, arena, auth);
		if (auth->is_state && str_eq(auth->type, type) && str_eq(auth->state_key, state_key))
			return auth;
	}
	return NULL;
}

/* From version 12 the create event is no auth event: the room ID names it. */
static const struct pdu *get_of_auth_or_create(void *context, struct str type, struct str state_key)
{
	struct reception *reception = context;
	const struct pdu *found = get_of_auth(context, type, state_key);
	struct event create;
	struct pdu *pdu;
	struct err err;

	if (found || !reception->receiving->pdu.version->room_id_is_create_hash || !str_eq(type, STR("m.room.create")))
		return found;
	if (!room_state_event(reception->write->server, reception->write->room.nid, reception->write->after.state_root, type, STR(""),
	                      reception->write->arena, &create, &err) ||
	    !create.nid)
		return NULL;
	pdu = ARENA_NEW(reception->write->arena, struct pdu);
	event_pdu(reception->receiving->pdu.version, &create, reception->write->room.room_id, reception->write->arena, pdu);
	return pdu;
}

static bool allowed_by_auth_events(struct reception *reception, bool *ret_allowed, struct err *err)
{
	const struct pdu *pdu = &reception->receiving->pdu;
	const struct auth_state state = { get_of_auth_or_create, reception };
	struct arena *arena = reception->write->arena;
	const struct pdu **auths = ARENA_ARRAY(arena, pdu->auth_count, const struct pdu *);
	struct err why = { 0 };

	(void)err;
	*ret_allowed = true;
	for (size_t i = 0; i < pdu->auth_count; i++) {
		struct pdu *auth = ARENA_NEW(arena, struct pdu);

		*ret_allowed &= reception->auths[i].verdict != VERDICT_REJECTED && reception->auths[i].room == reception->write->room.nid;
		event_pdu(pdu->version, &reception->auths[i], reception->write->room.room_id, arena, auth);
		auths[i] = auth;
	}
	*ret_allowed = *ret_allowed && auth_check_selection(pdu, auths, pdu->auth_count, arena, &why) && auth_check(pdu, &state, arena, &why);
	return true;
}

static bool allowed_by_state(struct reception *reception, int64_t root, bool *ret_allowed, struct err *err)
{
	struct room_write *write = reception->write;
	struct state_view *view = state_view_new(write->server, &write->room, root, write->arena);
	struct err why = { 0 };

	*ret_allowed = auth_check(&reception->receiving->pdu, state_view_auth(view), write->arena, &why);
	return !state_view_failed(view, err);
}

/* 4, 5 and 6 of the checks on receipt. A rejected event counts for nothing, a soft-failed one only as somebody's prev event. */
static bool judge(struct reception *reception, struct err *err)
{
	bool allowed;

	reception->event.verdict = VERDICT_REJECTED;
	if (!allowed_by_auth_events(reception, &allowed, err))
		return false;
	if (!allowed)
		return true;
	if (!allowed_by_state(reception, reception->event.root_before, &allowed, err))
		return false;
	if (!allowed)
		return true;
	if (!allowed_by_state(reception, reception->write->after.state_root, &allowed, err))
		return false;
	reception->event.verdict = allowed ? VERDICT_ACCEPTED : VERDICT_SOFT_FAILED;
	return true;
}

/* --- states --- */

static bool find_state_before(struct reception *reception, struct err *err)
{
	const struct pdu *pdu = &reception->receiving->pdu;
	int64_t roots[EVENT_MAX_PREV];

	for (size_t i = 0; i < pdu->prev_count; i++)
		roots[i] = reception->prevs[i].root_after;
	return room_resolve(reception->write, reception->set, roots, pdu->prev_count, &reception->event.root_before, err);
}

static bool find_state_after(struct reception *reception, struct err *err)
{
	struct state_entry change = { reception->event.key, reception->event.nid, reception->membership };

	reception->event.root_after = reception->event.root_before;
	if (!reception->event.key || reception->event.verdict == VERDICT_REJECTED)
		return true;
	return room_write_state(reception->write, reception->set, reception->event.root_before, &change, 1, &reception->event.root_after, err);
}

static bool read_visibility(struct reception *reception, struct err *err)
{
	struct room_write *write = reception->write;
	struct str value = STR(""), content;
	struct event event;

	if (!room_state_event(write->server, write->room.nid, reception->event.root_before, STR("m.room.history_visibility"), STR(""), write->arena, &event,
	                      err))
		return false;
	reception->event.visibility = VISIBILITY_SHARED;
	if (event.nid && slice_get(event.json, STR("content"), &content) && slice_get_string(content, STR("history_visibility"), write->arena, &value))
		reception->event.visibility = visibility_parse(value);
	return true;
}

/* --- the head --- */

/* What the event came after is an end no more; it is one itself. A room with too many ends keeps the latest. */
static void move_extremities(struct reception *reception)
{
	struct room_head *head = &reception->write->after;
	const struct pdu *pdu = &reception->receiving->pdu;
	size_t kept = 0;

	for (size_t i = 0; i < head->extremity_count; i++) {
		bool passed = false;

		for (size_t p = 0; p < pdu->prev_count && !passed; p++)
			passed = reception->receiving->prev_nids[p] == head->extremities[i];
		if (!passed)
			head->extremities[kept++] = head->extremities[i];
	}
	if (kept == ROOM_MAX_EXTREMITIES) {
		memmove(head->extremities, head->extremities + 1, (kept - 1) * sizeof(*head->extremities));
		kept--;
	}
	head->extremities[kept++] = reception->event.nid;
	head->extremity_count = kept;
}

static bool resolve_current(struct reception *reception, int64_t *ret_root, struct err *err)
{
	struct room_write *write = reception->write;
	struct event *ends = ARENA_ARRAY(write->arena, write->after.extremity_count, struct event);
	int64_t roots[ROOM_MAX_EXTREMITIES];

	if (!events_load(write->server->events, write->after.extremities, write->after.extremity_count, write->arena, ends, err))
		return false;
	for (size_t i = 0; i < write->after.extremity_count; i++)
		roots[i] = ends[i].nid == reception->event.nid || !ends[i].nid ? reception->event.root_after : ends[i].root_after;
	return room_resolve(write, reception->set, roots, write->after.extremity_count, ret_root, err);
}

/* Before the entries of what else changes by it: a gap that begins here begins before the event. */
static void add_entry(struct reception *reception, int64_t root_after)
{
	const struct event *event = &reception->event;

	write_set_entry(reception->set, &(struct journal_entry){
						.kind = JOURNAL_EVENT,
						.room = event->room,
						.user = event->sender,
						.event = event->nid,
						.key = event->key,
						.target = reception->receiving->target,
						.seq = event->order.seq,
						.root_before = reception->write->after.state_root,
						.root_after = root_after,
						.membership = reception->membership,
					});
}

/* --- together --- */

static bool load_edges(struct reception *reception, struct err *err)
{
	const struct receiving *receiving = reception->receiving;
	struct room_write *write = reception->write;

	reception->prevs = ARENA_ARRAY(write->arena, receiving->pdu.prev_count, struct event);
	reception->auths = ARENA_ARRAY(write->arena, receiving->pdu.auth_count, struct event);
	if (!events_load(write->server->events, receiving->prev_nids, receiving->pdu.prev_count, write->arena, reception->prevs, err) ||
	    !events_load(write->server->events, receiving->auth_nids, receiving->pdu.auth_count, write->arena, reception->auths, err))
		return false;
	for (size_t i = 0; i < receiving->pdu.auth_count; i++)
		reception->event.auth_gen = MAX(reception->event.auth_gen, reception->auths[i].auth_gen + 1);
	return true;
}

/* An accepted redaction of an event by who may (rooms/v3.md "Handling redactions"): by power, or of the same server. */
static bool apply_redaction(struct reception *reception, int64_t root, struct err *err)
{
	struct room_write *write = reception->write;
	const struct pdu *pdu = &reception->receiving->pdu;
	struct state_view *view = state_view_new(write->server, &write->room, root, write->arena);
	const struct power_levels *levels;
	struct event target;
	struct str sender = STR("");
	bool may;

	if (!pdu->redacts.len || !event_find(write->server->events, pdu->redacts, write->arena, &target, err))
		return !pdu->redacts.len;
	if (!target.nid || target.room != write->room.nid)
		return true;
	levels = power_levels_read(write->room.version, state_view_auth(view), write->arena);
	if (state_view_failed(view, err))
		return false;
	slice_get_string(target.json, STR("sender"), write->arena, &sender);
	may = power_level_of(levels, pdu->sender) >= power_level_action(levels, STR("redact")) ||
	      str_eq(identifier_domain(sender), identifier_domain(pdu->sender));
	if (!may)
		return true;
	reception->receiving->target = target.nid;
	write_set_add(reception->set, &EVENT_REDACTED_TABLE, DB_PARAMS(db_int(target.nid), db_int(reception->event.nid)));
	return true;
}

static bool enter_room(struct reception *reception, struct err *err)
{
	struct room_write *write = reception->write;
	int64_t root;

	move_extremities(reception);
	write->after.depth = MAX(write->after.depth, reception->event.depth);
	write->after.last_activity = MAX(write->after.last_activity, reception->event.origin_server_ts);
	if (!resolve_current(reception, &root, err) || !apply_redaction(reception, root, err))
		return false;
	add_entry(reception, root);
	return room_write_current_state(write, reception->set, root, &reception->event, err) &&
	       room_write_adders(write, reception->set, &reception->event, &reception->receiving->pdu, reception->receiving->target,
	                         reception->membership, err);
}

static bool build(struct room_write *write, struct write_set *set, struct err *err)
{
	struct receiving *receiving = write->context;
	struct reception reception = { .write = write, .set = set, .receiving = receiving };
	struct event *event = &reception.event;

	*event = (struct event){
		.room = write->room.nid,
		.type = receiving->type,
		.key = receiving->key,
		.sender = receiving->sender,
		.order = { write->after.room_seq + 1, 0 },
		.origin_server_ts = receiving->pdu.origin_server_ts,
		.depth = MIN(receiving->pdu.depth, EVENT_MAX_DEPTH),
		.event_id = receiving->pdu.event_id,
		.json = receiving->pdu.json,
	};
	if (receiving->key >> 32)
		reception.membership = membership_of_content(receiving->pdu.content);
	if (!journal_next_ids(write->server->journal, 1, &event->nid, err) || !load_edges(&reception, err) || !find_state_before(&reception, err) ||
	    !judge(&reception, err) || !find_state_after(&reception, err) || !read_visibility(&reception, err))
		return false;
	event->head_before = write->after.state_root;
	write->after.room_seq = event->order.seq;
	event_add_rows(set, event, receiving->prev_nids, receiving->pdu.prev_count, receiving->auth_nids, receiving->pdu.auth_count);
	room_write_pin(write, event, (struct auth_edges){ receiving->auth_nids, receiving->pdu.auth_count });
	*receiving->verdict = event->verdict;
	return event->verdict != VERDICT_ACCEPTED || enter_room(&reception, err);
}

static bool find_edges(struct server *server, struct receiving *receiving, struct err *err)
{
	const struct pdu *pdu = &receiving->pdu;

	if (pdu->prev_count == 0 || pdu->prev_count > EVENT_MAX_PREV || pdu->auth_count > EVENT_MAX_AUTH)
		return err_set(err, M_BAD_JSON, "An event has 1 to %d prev events and at most %d auth events", EVENT_MAX_PREV, EVENT_MAX_AUTH);
	if (!events_find_nids(server->events, pdu->prev_events, pdu->prev_count, receiving->prev_nids, err) ||
	    !events_find_nids(server->events, pdu->auth_events, pdu->auth_count, receiving->auth_nids, err))
		return false;
	for (size_t i = 0; i < pdu->prev_count; i++) {
		if (!receiving->prev_nids[i])
			return err_set(err, M_NOT_FOUND, "A prev event is not known here");
	}
	for (size_t i = 0; i < pdu->auth_count; i++) {
		if (!receiving->auth_nids[i])
			return err_set(err, M_NOT_FOUND, "An auth event is not known here");
	}
	return true;
}

static bool intern(struct server *server, struct receiving *receiving, struct err *err)
{
	const struct pdu *pdu = &receiving->pdu;
	bool is_member = pdu->is_state && str_eq(pdu->type, STR("m.room.member"));

	return intern_user(server->interned, pdu->sender, &receiving->sender, err) && intern_type(server->interned, pdu->type, &receiving->type, err) &&
	       (!pdu->is_state || intern_key(server->interned, pdu->type, pdu->state_key, &receiving->key, err)) &&
	       (!is_member || intern_user(server->interned, pdu->state_key, &receiving->target, err));
}

bool room_receive(struct server *server, const struct room_info *room, struct str json, struct arena *arena, enum verdict *ret_verdict,
                  struct str *ret_event_id, struct err *err)
{
	struct receiving receiving = { .verdict = ret_verdict };
	struct room_write write = { .server = server, .room = *room, .arena = arena, .build = build, .context = &receiving };
	struct event known;

	if (!pdu_read(room->version, json, arena, &receiving.pdu, err))
		return false;
	if (!pdu_hash_matches(&receiving.pdu, arena) &&
	    !pdu_read(room->version, event_redact(room->version, receiving.pdu.json, arena), arena, &receiving.pdu, err))
		return false;
	*ret_event_id = receiving.pdu.event_id;
	if (!str_eq(receiving.pdu.room_id, room->room_id))
		return err_set(err, M_BAD_JSON, "The event is of another room");
	if (!event_find(server->events, receiving.pdu.event_id, arena, &known, err))
		return false;
	if (known.nid) {
		*ret_verdict = known.verdict;
		return true;
	}
	return find_edges(server, &receiving, err) && intern(server, &receiving, err) && room_write_run(&write, write_set_new(arena), err);
}
