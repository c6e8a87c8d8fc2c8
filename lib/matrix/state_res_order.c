/*
 * The two orders of state resolution v2. Specification: rooms/v2.md "Definitions".
 *
 * Reverse topological power ordering: an event comes after those of its auth_events that are to be ordered too. Among
 * events that may come next the first is the one whose sender has the greatest power level by the event's own
 * auth_events; then the earliest origin_server_ts; then the lowest event ID. As in Synapse, only what is linked by
 * auth_events within the set counts as before, not what is reached through events outside it.
 *
 * Mainline ordering: the mainline of power levels P is P, the power levels that P cites as auth event, and so on. An
 * event's position is that of the first power levels on it that are met going from the event along cited power levels;
 * those nearer to the room's start come first, and before all the events that meet none. Then the earliest
 * origin_server_ts, then the lowest event ID. The mainline is followed only as far down as events ask for: power levels
 * may have changed thousands of times.
 */
#include "matrix/state_res_internal.h"

/* Only power levels and join rules with an empty state_key have any power; the others are not meant, although the text
 * does not say so. */
static bool is_power_event(const struct res_event *event)
{
	const struct pdu *pdu = event->pdu;
	struct str membership;

	if (res_is(event, STR("m.room.power_levels"), STR("")) || res_is(event, STR("m.room.join_rules"), STR("")) ||
	    res_is(event, STR("m.room.create"), STR("")))
		return true;
	return str_eq(pdu->type, STR("m.room.member")) && !str_eq(pdu->sender, pdu->state_key) &&
	       slice_get(pdu->content, STR("membership"), &membership) &&
	       (slice_string_eq(membership, STR("leave")) || slice_string_eq(membership, STR("ban")));
}

/* An event of the set to be ordered. */
struct vertex {
	const struct res_event *event;
	int64_t sender_level;
	bool chosen;      /* a power event, or in the auth chain of one */
	size_t waits_for; /* chosen auth events that have no place yet */
	struct vertex **followers;
	size_t follower_count, follower_cap;
};

struct power_order {
	struct resolution *r;
	struct idmap by_nid;
	struct vertex *vertices;
	size_t count;
};

static struct vertex *vertex_of(const struct power_order *order, int64_t nid)
{
	return idmap_get(&order->by_nid, nid);
}

/* The power level of the event's sender, when looking at the event's auth_events. */
static int64_t level_of_sender(struct resolution *r, const struct res_event *event)
{
	const struct res_event *levels = res_auth_event(r, event, STR("m.room.power_levels"), STR(""));
	const struct res_event *create = r->input->version->privileged_creators
						 ? r->create
						 : res_auth_event(r, event, STR("m.room.create"), STR(""));

	return power_level_of(
		power_levels_of(r->input->version, create ? create->pdu : NULL, levels ? levels->pdu : NULL, r->arena),
		event->pdu->sender);
}

/* Chooses the power events and what of their auth chains is in the set. */
static void choose(struct power_order *order)
{
	struct vertex **open = ARENA_ARRAY(order->r->arena, order->count, struct vertex *);
	size_t open_count = 0;

	for (size_t i = 0; i < order->count; i++) {
		order->vertices[i].chosen = is_power_event(order->vertices[i].event);
		if (order->vertices[i].chosen)
			open[open_count++] = &order->vertices[i];
	}
	while (open_count) {
		const struct res_event *event = open[--open_count]->event;

		for (size_t a = 0; a < event->auth_count; a++) {
			struct vertex *auth = vertex_of(order, event->auth[a]);

			if (auth && !auth->chosen) {
				auth->chosen = true;
				open[open_count++] = auth;
			}
		}
	}
}

static void link_vertex(struct power_order *order, struct vertex *vertex)
{
	vertex->sender_level = level_of_sender(order->r, vertex->event);
	for (size_t a = 0; a < vertex->event->auth_count; a++) {
		struct vertex *auth = vertex_of(order, vertex->event->auth[a]);

		if (!auth)
			continue;
		vertex->waits_for++;
		*ARENA_PUSH(order->r->arena, auth->followers, auth->follower_count, auth->follower_cap) = vertex;
	}
}

static bool power_before(const void *a, const void *b)
{
	const struct vertex *x = a, *y = b;

	if (x->sender_level != y->sender_level)
		return x->sender_level > y->sender_level;
	if (x->event->pdu->origin_server_ts != y->event->pdu->origin_server_ts)
		return x->event->pdu->origin_server_ts < y->event->pdu->origin_server_ts;
	return str_cmp(x->event->pdu->event_id, y->event->pdu->event_id) < 0;
}

/* Kahn's algorithm: always the smallest of those that wait for nothing any more. */
static size_t sort_chosen(struct power_order *order, const struct res_event **ret_ordered)
{
	struct res_heap ready = { .before = power_before };
	size_t count = 0;

	for (size_t i = 0; i < order->count; i++) {
		if (order->vertices[i].chosen && !order->vertices[i].waits_for)
			res_heap_push(&ready, order->r->arena, &order->vertices[i]);
	}
	while (ready.count) {
		const struct vertex *next = res_heap_pop(&ready);

		ret_ordered[count++] = next->event;
		for (size_t i = 0; i < next->follower_count; i++) {
			if (--next->followers[i]->waits_for == 0)
				res_heap_push(&ready, order->r->arena, next->followers[i]);
		}
	}
	return count;
}

bool res_order_by_power(struct resolution *r, const struct res_event *const *full, size_t count,
			const struct res_event **ret_ordered, size_t *ret_ordered_count,
			const struct res_event **ret_others, size_t *ret_others_count)
{
	struct power_order order = { .r = r, .vertices = ARENA_ARRAY(r->arena, count, struct vertex), .count = count };

	for (size_t i = 0; i < count; i++) {
		order.vertices[i].event = full[i];
		idmap_put(&order.by_nid, full[i]->nid, &order.vertices[i]);
	}
	choose(&order);
	*ret_others_count = 0;
	for (size_t i = 0; i < count; i++) {
		if (order.vertices[i].chosen)
			link_vertex(&order, &order.vertices[i]);
		else
			ret_others[(*ret_others_count)++] = full[i];
	}
	*ret_ordered_count = sort_chosen(&order, ret_ordered);
	idmap_done(&order.by_nid);
	return !r->failed;
}

/* Positions on the mainline count from 1, at the power levels in force, upwards to the room's start. */
#define NOT_ON_MAINLINE INT64_MAX

struct mainline {
	struct resolution *r;
	struct idmap positions;       /* of power levels, on the mainline or not, as far as known */
	const struct res_event *next; /* of the mainline, without a position yet; NULL: it ends */
	int64_t next_position;
};

static int64_t *position_put(struct mainline *m, const struct res_event *levels, int64_t position)
{
	int64_t *kept = ARENA_NEW(m->r->arena, int64_t);

	*kept = position;
	idmap_put(&m->positions, levels->nid, kept);
	return kept;
}

static const struct res_event *cited_levels(struct mainline *m, const struct res_event *event)
{
	return res_auth_event(m->r, event, STR("m.room.power_levels"), STR(""));
}

/* Follows the mainline down to a generation: power levels of that one are on it only if they are then known to be. */
static void follow_mainline(struct mainline *m, int64_t auth_gen)
{
	while (m->next && m->next->auth_gen >= auth_gen) {
		position_put(m, m->next, m->next_position++);
		m->next = cited_levels(m, m->next);
	}
}

static int64_t mainline_position(struct mainline *m, const struct res_event *event)
{
	const struct res_event *first = cited_levels(m, event), *levels;
	const int64_t *known = NULL;
	int64_t position;

	for (levels = first; levels; levels = cited_levels(m, levels)) {
		follow_mainline(m, levels->auth_gen);
		known = idmap_get(&m->positions, levels->nid);
		if (known)
			break;
	}
	position = known ? *known : NOT_ON_MAINLINE;
	for (const struct res_event *seen = first; seen != levels; seen = cited_levels(m, seen))
		position_put(m, seen, position);
	return position;
}

struct placed {
	const struct res_event *event;
	int64_t position;
};

static int mainline_order(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;
	int64_t x_ts = x->event->pdu->origin_server_ts, y_ts = y->event->pdu->origin_server_ts;

	if (x->position != y->position)
		return x->position > y->position ? -1 : 1;
	if (x_ts != y_ts)
		return x_ts < y_ts ? -1 : 1;
	return str_cmp(x->event->pdu->event_id, y->event->pdu->event_id);
}

bool res_order_by_mainline(struct resolution *r, const struct res_event *power_levels, const struct res_event **events,
			   size_t count)
{
	struct mainline m = { .r = r, .next = power_levels, .next_position = 1 };
	struct placed *placed = ARENA_ARRAY(r->arena, count, struct placed);

	for (size_t i = 0; i < count; i++)
		placed[i] = (struct placed){ events[i], mainline_position(&m, events[i]) };
	if (count)
		qsort(placed, count, sizeof(*placed), mainline_order);
	for (size_t i = 0; i < count; i++)
		events[i] = placed[i].event;
	idmap_done(&m.positions);
	return !r->failed;
}
