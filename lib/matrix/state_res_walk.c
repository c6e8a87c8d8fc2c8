/*
 * The full conflicted set. Specification: rooms/v2.md and rooms/v12.md "Definitions".
 *
 * Auth difference: the events that are in the auth chains of some sets but not of all. A set's auth chain here includes
 * the set's own events, as in Synapse: the text leaves them out, which would make a difference for events that are both
 * state and auth event.
 *
 * It is found by a walk down the auth graph from the conflicted events. Each event carries a mask of the sets that
 * reach it. First the conflicted events pass their masks on, then what they reach does so in the order of falling
 * auth_gen, so that a mask is mostly complete when it is passed on; an event whose mask grows later is visited again.
 * An event of the unconflicted state is reached by all sets, and so is all below it: such an event is only followed as
 * long as one of a lower generation could turn out to be below it, and the walk ends when nothing is left that
 * could be in the difference. An unconflicted event is noticed when the walk meets it or an older event of its key:
 * then it joins the walk. Unconflicted events that the walk has no sign of may still have one of the found events in
 * their chains: the caller is asked, see res_input.in_unconflicted_chains.
 *
 * Conflicted state subgraph (v2.1): the events on paths between two conflicted ones. All that the walk reaches from
 * conflicted events is an ancestor of one; it goes on down to the lowest conflicted event, and then the descendants of
 * one are marked, going up.
 */
#include "matrix/state_res_internal.h"

struct node {
	const struct res_event *event;
	uint64_t *sets;        /* the sets that reach it */
	bool full;             /* they all do */
	bool conflicted;       /* it is in the conflicted state set */
	bool below_conflicted; /* it is conflicted or in the auth chain of a conflicted one */
	bool above_conflicted; /* it is conflicted or has a conflicted one in its auth chain */
	bool met;              /* something reaches it */
	bool queued;
};

struct walk {
	struct resolution *r;
	size_t words; /* of a mask */
	struct idmap nodes;
	struct node **all;
	size_t count, cap;
	struct res_heap queue; /* to be visited */
	/* Events that are in the difference as far as is known: not conflicted, and not reached by all sets. */
	size_t partial, partial_queued;
	int64_t lowest_partial;    /* the lowest auth_gen of those that were visited */
	int64_t lowest_conflicted; /* and of the conflicted events */
};

static bool before(const void *a, const void *b)
{
	const struct node *x = a, *y = b;

	if (x->conflicted != y->conflicted)
		return x->conflicted;
	return x->event->auth_gen > y->event->auth_gen;
}

static void mask_set(uint64_t *mask, size_t bit)
{
	mask[bit / 64] |= (uint64_t)1 << (bit % 64);
}

/* What one event hands on to another, or a set to its events. */
struct reach {
	const uint64_t *sets; /* NULL: all */
	bool below_conflicted;
};

static bool mask_full(const uint64_t *mask, size_t bits)
{
	for (size_t i = 0; i < bits / 64; i++) {
		if (mask[i] != UINT64_MAX)
			return false;
	}
	return bits % 64 == 0 || mask[bits / 64] == ((uint64_t)1 << (bits % 64)) - 1;
}

static bool is_partial(const struct node *node)
{
	return !node->full && !node->conflicted;
}

/* true: the node learned something new. */
static bool add_reach(struct walk *w, struct node *node, struct reach reach)
{
	bool news = reach.below_conflicted && !node->below_conflicted;

	node->below_conflicted = node->below_conflicted || reach.below_conflicted;
	if (node->full)
		return news;
	for (size_t i = 0; reach.sets && i < w->words; i++) {
		news = news || (reach.sets[i] & ~node->sets[i]);
		node->sets[i] |= reach.sets[i];
	}
	node->full = !reach.sets || mask_full(node->sets, w->r->input->set_count);
	return news || node->full;
}

/* Adds to what reaches a node, which is to be visited if that is more than before. */
static void reach_node(struct walk *w, struct node *node, struct reach reach)
{
	bool was_partial = node->met && is_partial(node), news = add_reach(w, node, reach), partial = is_partial(node);

	node->met = true;
	w->partial += (size_t)partial - (size_t)was_partial;
	if (node->queued)
		w->partial_queued += (size_t)partial - (size_t)was_partial;
	if (node->queued || !news)
		return;
	node->queued = true;
	w->partial_queued += partial;
	res_heap_push(&w->queue, w->r->arena, node);
}

static struct node *node_add(struct walk *w, const struct res_event *event)
{
	struct node *node = ARENA_NEW(w->r->arena, struct node);

	node->event = event;
	node->sets = ARENA_ARRAY(w->r->arena, w->words, uint64_t);
	idmap_put(&w->nodes, event->nid, node);
	*ARENA_PUSH(w->r->arena, w->all, w->count, w->cap) = node;
	return node;
}

/* The node of an event that has been fetched. A new one brings the unconflicted event of its key along. */
static struct node *node_of(struct walk *w, const struct res_event *event)
{
	const struct reach from_all = { 0 };
	const struct res_event *current;
	struct node *node = idmap_get(&w->nodes, event->nid);

	if (node)
		return node;
	node = node_add(w, event);
	current = res_unconflicted_event(w->r, event->pdu->type, event->pdu->state_key);
	if (!current)
		return node;
	if (current->nid != event->nid) {
		struct node *other = idmap_get(&w->nodes, current->nid);

		reach_node(w, other ? other : node_add(w, current), from_all);
	} else {
		reach_node(w, node, from_all);
	}
	return node;
}

/* It, or what is below it, may be in the difference or between two conflicted events. */
static bool is_candidate(const struct walk *w, const struct node *node)
{
	return node->conflicted || !node->full ||
	       (w->r->input->version->state_resolution == STATE_RES_V2_1 && node->below_conflicted &&
		node->event->auth_gen > w->lowest_conflicted);
}

/* Or it may take an event out of the difference. */
static bool wants_visit(const struct walk *w, const struct node *node)
{
	return is_candidate(w, node) || w->partial_queued || (w->partial && node->event->auth_gen > w->lowest_partial);
}

/* Fetches the auth events of all candidates that wait for their visit, so that a level of the graph costs one fetch. */
static bool fetch_below(struct walk *w, const struct node *first)
{
	int64_t *nids = NULL;
	size_t count = 0, cap = 0;
	bool missing = false;

	for (size_t i = 0; i < first->event->auth_count; i++)
		missing = missing || !idmap_get(&w->r->events, first->event->auth[i]);
	if (!missing)
		return true;
	for (size_t i = 0; i <= w->queue.count; i++) {
		const struct node *node = i < w->queue.count ? w->queue.items[i] : first;

		if (node != first && !is_candidate(w, node))
			continue;
		for (size_t a = 0; a < node->event->auth_count; a++)
			*ARENA_PUSH(w->r->arena, nids, count, cap) = node->event->auth[a];
	}
	return res_fetch(w->r, nids, count);
}

static bool visit(struct walk *w, const struct node *node)
{
	const struct reach reach = { node->full ? NULL : node->sets, node->below_conflicted };

	if (!fetch_below(w, node))
		return false;
	for (size_t i = 0; i < node->event->auth_count; i++)
		reach_node(w, node_of(w, res_get(w->r, node->event->auth[i])), reach);
	return !w->r->failed;
}

static bool walk_down(struct walk *w)
{
	while (w->queue.count) {
		struct node *node = res_heap_pop(&w->queue);
		bool wanted = wants_visit(w, node);

		node->queued = false;
		if (is_partial(node)) {
			w->partial_queued--;
			w->lowest_partial = MIN(w->lowest_partial, node->event->auth_gen);
		}
		if (wanted && !visit(w, node))
			return false;
	}
	return true;
}

/* The conflicted events are where the walk starts, each with the sets that it is in. */
static void start(struct walk *w, const struct res_event *const *conflicted, size_t count)
{
	const struct res_input *input = w->r->input;

	for (size_t i = 0; i < count; i++) {
		node_of(w, conflicted[i])->conflicted = true;
		w->lowest_conflicted = MIN(w->lowest_conflicted, conflicted[i]->auth_gen);
	}
	for (size_t s = 0; s < input->set_count; s++) {
		uint64_t *mask = ARENA_ARRAY(w->r->arena, w->words, uint64_t);

		mask_set(mask, s);
		for (size_t i = 0; i < input->sets[s].count; i++) {
			struct node *node = idmap_get(&w->nodes, input->sets[s].entries[i].event);

			if (node && node->conflicted)
				reach_node(w, node, (struct reach){ mask, true });
		}
	}
}

static int by_rising_gen(const void *a, const void *b)
{
	int64_t x = (*(struct node *const *)a)->event->auth_gen, y = (*(struct node *const *)b)->event->auth_gen;

	return (x > y) - (x < y);
}

/* Going up: what has a conflicted event in its auth chain. */
static void mark_above_conflicted(struct walk *w)
{
	assert(w->count); /* the conflicted events */
	qsort(w->all, w->count, sizeof(struct node *), by_rising_gen);
	for (size_t i = 0; i < w->count; i++) {
		struct node *node = w->all[i];

		node->above_conflicted = node->conflicted;
		for (size_t a = 0; !node->above_conflicted && a < node->event->auth_count; a++) {
			const struct node *below = idmap_get(&w->nodes, node->event->auth[a]);

			node->above_conflicted = below && below->above_conflicted;
		}
	}
}

/* Takes superseded events out of the difference that some unconflicted event has in its auth chain. */
static bool ask_for_unconflicted_chains(struct walk *w)
{
	const struct res_input *input = w->r->input;
	int64_t *nids = ARENA_ARRAY(w->r->arena, w->count, int64_t);
	bool *in = ARENA_ARRAY(w->r->arena, w->count, bool);
	size_t count = 0;

	for (size_t i = 0; i < w->count; i++) {
		if (!w->all[i]->full && !w->all[i]->conflicted)
			nids[count++] = w->all[i]->event->nid;
	}
	if (!count || !input->in_unconflicted_chains)
		return true;
	if (!input->in_unconflicted_chains(input->context, nids, count, in, w->r->err))
		return false;
	for (size_t i = 0; i < count; i++)
		((struct node *)idmap_get(&w->nodes, nids[i]))->full = in[i];
	return true;
}

static bool find_set(struct walk *w, const struct res_event *const *conflicted, size_t count,
		     const struct res_event ***ret_events, size_t *ret_count)
{
	bool subgraph = w->r->input->version->state_resolution == STATE_RES_V2_1;

	start(w, conflicted, count);
	if (w->r->failed || !walk_down(w) || !ask_for_unconflicted_chains(w))
		return false;
	if (subgraph)
		mark_above_conflicted(w);
	*ret_events = ARENA_ARRAY(w->r->arena, w->count, const struct res_event *);
	*ret_count = 0;
	for (size_t i = 0; i < w->count; i++) {
		const struct node *node = w->all[i];

		if (node->conflicted || !node->full || (subgraph && node->below_conflicted && node->above_conflicted))
			(*ret_events)[(*ret_count)++] = node->event;
	}
	return true;
}

bool res_full_conflicted_set(struct resolution *r, const struct res_event *const *conflicted, size_t count,
			     const struct res_event ***ret_events, size_t *ret_count)
{
	struct walk w = { .r = r, .words = (r->input->set_count + 63) / 64 };
	bool ok;

	w.queue.before = before;
	w.lowest_partial = w.lowest_conflicted = INT64_MAX;
	ok = find_set(&w, conflicted, count, ret_events, ret_count);
	idmap_done(&w.nodes);
	return ok;
}

/* A level of the graph below some events: those not met before that can have what is looked for below them. */
struct level {
	const struct res_event **events;
	size_t count, cap;
};

static bool level_make(struct resolution *r, struct idmap *met, const int64_t *nids, size_t count, int64_t lowest_gen,
		       struct level *ret_level)
{
	struct level level = { 0 };

	if (!res_fetch(r, nids, count))
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct res_event *event = res_get(r, nids[i]);

		if (idmap_get(met, nids[i]))
			continue;
		idmap_put(met, nids[i], (void *)event);
		if (event->auth_gen > lowest_gen)
			*ARENA_PUSH(r->arena, level.events, level.count, level.cap) = event;
	}
	*ret_level = level;
	return true;
}

static bool level_below(struct resolution *r, struct idmap *met, int64_t lowest_gen, struct level *level)
{
	int64_t *nids = NULL;
	size_t count = 0, cap = 0;

	for (size_t i = 0; i < level->count; i++) {
		for (size_t a = 0; a < level->events[i]->auth_count; a++)
			*ARENA_PUSH(r->arena, nids, count, cap) = level->events[i]->auth[a];
	}
	return level_make(r, met, nids, count, lowest_gen, level);
}

static bool meet_all_below(struct resolution *r, struct idmap *met, const int64_t *from, size_t from_count,
			   const int64_t *nids, size_t count)
{
	int64_t lowest_gen = INT64_MAX;
	struct level level;

	if (!res_fetch(r, nids, count))
		return false;
	for (size_t i = 0; i < count; i++)
		lowest_gen = MIN(lowest_gen, res_get(r, nids[i])->auth_gen);
	if (!level_make(r, met, from, from_count, lowest_gen, &level))
		return false;
	while (level.count) {
		if (!level_below(r, met, lowest_gen, &level))
			return false;
	}
	return true;
}

bool state_res_reach(const struct res_source *source, const int64_t *from, size_t from_count, const int64_t *nids,
		     size_t count, bool *ret_reached, struct arena *arena, struct err *err)
{
	const struct res_input input = { .source = *source };
	struct resolution r = { .input = &input, .arena = arena, .err = err };
	struct idmap met = { 0 };
	bool ok = meet_all_below(&r, &met, from, from_count, nids, count);

	for (size_t i = 0; ok && i < count; i++)
		ret_reached[i] = idmap_get(&met, nids[i]) != NULL;
	idmap_done(&met);
	idmap_done(&r.events);
	return ok;
}
