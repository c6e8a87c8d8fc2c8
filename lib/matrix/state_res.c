/*
 * State resolution: what versions 2 and 2.1 of it do, and what they share with version 1. Specification: rooms/v2.md
 * and rooms/v12.md "State resolution".
 *
 * The unconflicted state is what all sets agree on; all other events of the sets are the conflicted state set. To
 * resolve:
 *
 *  1. From the full conflicted set (state_res_walk.c) take the power events and what of their auth chains is in it, in
 * reverse topological power ordering (state_res_order.c).
 *  2. Apply the iterative auth checks to them, starting from the unconflicted state (v2) or from nothing (v2.1).
 *  3. Put the remaining events in the mainline ordering based on the power levels that are then in force.
 *  4. Apply the iterative auth checks to them, starting from the result of 2.
 *  5. The unconflicted state goes over the result.
 *
 * Iterative auth checks: an event enters the state if the auth rules allow it there; a state that the rules want and
 * that is not there is taken from the event's auth_events, unless rejected. An event that was rejected does not enter:
 * the text would let it in if it now passes, but Synapse never lets it, so that is what the rooms' other servers have.
 */
#include "matrix/state_res_internal.h"

static bool heap_before(const struct res_heap *heap, size_t i, size_t j)
{
	return heap->before(heap->items[i], heap->items[j]);
}

static void heap_swap(struct res_heap *heap, size_t i, size_t j)
{
	void *item = heap->items[i];

	heap->items[i] = heap->items[j];
	heap->items[j] = item;
}

void res_heap_push(struct res_heap *heap, struct arena *arena, void *item)
{
	size_t at = heap->count;

	*ARENA_PUSH(arena, heap->items, heap->count, heap->cap) = item;
	for (; at && heap_before(heap, at, (at - 1) / 2); at = (at - 1) / 2)
		heap_swap(heap, at, (at - 1) / 2);
}

void *res_heap_pop(struct res_heap *heap)
{
	void *first = heap->items[0];
	size_t at = 0;

	heap->items[0] = heap->items[--heap->count];
	for (;;) {
		size_t best = at;

		for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < heap->count; child++) {
			if (heap_before(heap, child, best))
				best = child;
		}
		if (best == at)
			return first;
		heap_swap(heap, at, best);
		at = best;
	}
}

static int nid_order(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* The numbers of those that are not there yet, each once. */
static size_t find_missing(const struct resolution *r, const int64_t *nids, size_t count, int64_t *ret_missing)
{
	size_t missing = 0, once = 0;

	for (size_t i = 0; i < count; i++) {
		if (!idmap_get(&r->events, nids[i]))
			ret_missing[missing++] = nids[i];
	}
	if (missing)
		qsort(ret_missing, missing, sizeof(*ret_missing), nid_order);
	for (size_t i = 0; i < missing; i++) {
		if (!once || ret_missing[i] != ret_missing[once - 1])
			ret_missing[once++] = ret_missing[i];
	}
	return once;
}

bool res_fetch(struct resolution *r, const int64_t *nids, size_t count)
{
	const struct res_source *source = &r->input->source;
	int64_t *missing = ARENA_ARRAY(r->arena, count, int64_t);
	size_t missing_count = find_missing(r, nids, count, missing);
	const struct res_event **events;

	if (!missing_count)
		return true;
	events = ARENA_ARRAY(r->arena, missing_count, const struct res_event *);
	if (!source->fetch(source->context, missing, missing_count, events, r->err)) {
		r->failed = true;
		return false;
	}
	for (size_t i = 0; i < missing_count; i++) {
		assert(events[i]);
		idmap_put(&r->events, missing[i], (void *)events[i]);
	}
	return true;
}

const struct res_event *res_get(struct resolution *r, int64_t nid)
{
	const struct res_event *event = idmap_get(&r->events, nid);

	if (!event && res_fetch(r, &nid, 1))
		event = idmap_get(&r->events, nid);
	return event;
}

/* (type, state_key) as one string: the length of the type keeps "a" + "bc" and "ab" + "c" apart. */
static struct str joined_key(struct arena *arena, struct str type, struct str state_key)
{
	size_t len = sizeof(type.len) + type.len + state_key.len;
	char *key = arena_alloc(arena, len);

	memcpy(key, &type.len, sizeof(type.len));
	if (type.len)
		memcpy(key + sizeof(type.len), type.ptr, type.len);
	if (state_key.len)
		memcpy(key + sizeof(type.len) + type.len, state_key.ptr, state_key.len);
	return (struct str){ key, len };
}

const struct res_event *res_map_get(struct resolution *r, const struct res_map *map, struct str type,
				    struct str state_key)
{
	return map->map.count ? map_get(&map->map, joined_key(r->arena, type, state_key)) : NULL;
}

void res_map_put(struct resolution *r, struct res_map *map, const struct res_event *event)
{
	map_put(&map->map, joined_key(r->arena, event->pdu->type, event->pdu->state_key), (void *)event);
}

int64_t res_unconflicted(struct resolution *r, struct str type, struct str state_key)
{
	const struct res_event *agreed = res_map_get(r, &r->agreed, type, state_key);

	return agreed ? agreed->nid : r->input->unconflicted(r->input->context, type, state_key);
}

const struct res_event *res_unconflicted_event(struct resolution *r, struct str type, struct str state_key)
{
	int64_t nid = res_unconflicted(r, type, state_key);

	return nid ? res_get(r, nid) : NULL;
}

bool res_is(const struct res_event *event, struct str type, struct str state_key)
{
	const struct pdu *pdu = event->pdu;

	return pdu->is_state && str_eq(pdu->type, type) && str_eq(pdu->state_key, state_key);
}

const struct res_event *res_auth_event(struct resolution *r, const struct res_event *event, struct str type,
				       struct str state_key)
{
	for (size_t i = 0; i < event->auth_count; i++) {
		const struct res_event *auth = res_get(r, event->auth[i]);

		if (auth && res_is(auth, type, state_key))
			return auth;
	}
	return NULL;
}

/* The state in which the iterative auth checks see one event. */
struct view {
	struct resolution *r;
	const struct res_event *event;
};

static const struct pdu *view_get(void *context, struct str type, struct str state_key)
{
	const struct view *view = context;
	struct resolution *r = view->r;
	const struct res_event *found = res_map_get(r, &r->result, type, state_key);

	if ((!found || found->rejected) && r->input->version->state_resolution == STATE_RES_V2)
		found = res_unconflicted_event(r, type, state_key);
	if (!found || found->rejected)
		found = res_auth_event(r, view->event, type, state_key);
	if (!found && r->input->version->privileged_creators && str_eq(type, STR("m.room.create")))
		found = res_unconflicted_event(r, type,
					       state_key); /* in no event's auth_events: the room ID implies it */
	return found && !found->rejected ? found->pdu : NULL;
}

static bool iterate_auth_checks(struct resolution *r, const struct res_event *const *events, size_t count)
{
	CLEANUP(arena_free) struct arena *scratch = arena_new();

	for (size_t i = 0; i < count; i++) {
		struct view view = { r, events[i] };
		const struct auth_state state = { view_get, &view };
		struct err refused = { 0 };
		bool allowed = !events[i]->rejected && auth_check(events[i]->pdu, &state, scratch, &refused);

		if (r->failed)
			return false;
		if (allowed)
			res_map_put(r, &r->result, events[i]);
		arena_reset(scratch);
	}
	return true;
}

/* Fetches at once what the auth checks will ask for: the events' auth events and, in v2, the unconflicted state that
 * they need. */
static bool fetch_for_checks(struct resolution *r, const struct res_event *const *events, size_t count)
{
	int64_t *wanted = NULL;
	size_t wanted_count = 0, cap = 0;

	for (size_t i = 0; i < count; i++) {
		const struct pdu *pdu = events[i]->pdu;
		struct auth_key *keys;
		size_t key_count = 0;

		for (size_t a = 0; a < events[i]->auth_count; a++)
			*ARENA_PUSH(r->arena, wanted, wanted_count, cap) = events[i]->auth[a];
		if (r->input->version->state_resolution == STATE_RES_V2)
			key_count = auth_keys_for(pdu->version, pdu->type, pdu->is_state, pdu->state_key, pdu->sender,
						  pdu->content, r->arena, &keys);
		for (size_t k = 0; k < key_count; k++) {
			int64_t nid = res_unconflicted(r, keys[k].type, keys[k].state_key);

			if (nid)
				*ARENA_PUSH(r->arena, wanted, wanted_count, cap) = nid;
		}
	}
	return res_fetch(r, wanted, wanted_count);
}

/* The power levels in force after step 2. */
static const struct res_event *power_levels_in_force(struct resolution *r)
{
	const struct res_event *levels = res_map_get(r, &r->result, STR("m.room.power_levels"), STR(""));

	if (!levels && r->input->version->state_resolution == STATE_RES_V2)
		levels = res_unconflicted_event(r, STR("m.room.power_levels"), STR(""));
	return levels;
}

static bool resolve_v2(struct resolution *r, const struct res_event *const *conflicted, size_t count)
{
	const struct res_event **full, **ordered, **others, *levels;
	size_t full_count, ordered_count, others_count;

	if (!res_full_conflicted_set(r, conflicted, count, &full, &full_count) ||
	    !fetch_for_checks(r, full, full_count))
		return false;
	ordered = ARENA_ARRAY(r->arena, full_count, const struct res_event *);
	others = ARENA_ARRAY(r->arena, full_count, const struct res_event *);
	if (!res_order_by_power(r, full, full_count, ordered, &ordered_count, others, &others_count) ||
	    !iterate_auth_checks(r, ordered, ordered_count))
		return false;
	levels = power_levels_in_force(r);
	return !r->failed && res_order_by_mainline(r, levels, others, others_count) &&
	       iterate_auth_checks(r, others, others_count);
}

static int entry_order(const void *a, const void *b)
{
	const struct res_entry *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->event > y->event) - (x->event < y->event);
}

/* All entries of all sets, by key. */
static struct res_entry *entries_of(const struct res_input *input, struct arena *arena, size_t *ret_count)
{
	struct res_entry *entries;
	size_t count = 0;

	for (size_t i = 0; i < input->set_count; i++)
		count += input->sets[i].count;
	entries = ARENA_ARRAY(arena, count, struct res_entry);
	*ret_count = 0;
	for (size_t i = 0; i < input->set_count; i++) {
		for (size_t j = 0; j < input->sets[i].count; j++)
			entries[(*ret_count)++] = input->sets[i].entries[j];
	}
	if (count)
		qsort(entries, count, sizeof(*entries), entry_order);
	return entries;
}

static bool fetch_entries(struct resolution *r, const struct res_entry *entries, size_t count)
{
	int64_t *nids = ARENA_ARRAY(r->arena, count, int64_t);

	for (size_t i = 0; i < count; i++)
		nids[i] = entries[i].event;
	return res_fetch(r, nids, count);
}

/*
 * Parts the entries by key into what the sets agree on and groups in conflict. A key that some sets lack is in
 * conflict, unless in v1, where the sets that have it must differ.
 */
static size_t find_conflicts(struct resolution *r, const struct res_entry *entries, size_t count,
			     struct res_group **ret_groups)
{
	bool v1 = r->input->version->state_resolution == STATE_RES_V1;
	struct res_group *groups = ARENA_ARRAY(r->arena, count, struct res_group);
	size_t group_count = 0;

	for (size_t i = 0, end; i < count; i = end) {
		struct res_group *group = &groups[group_count];

		for (end = i; end < count && entries[end].key == entries[i].key; end++)
			;
		*group = (struct res_group){ ARENA_ARRAY(r->arena, end - i, const struct res_event *), 0 };
		for (size_t j = i; j < end; j++) {
			if (j == i || entries[j].event != entries[j - 1].event)
				group->events[group->count++] = res_get(r, entries[j].event);
		}
		if (group->count == 1 && (v1 || end - i == r->input->set_count))
			res_map_put(r, &r->agreed, group->events[0]);
		else
			group_count++;
	}
	*ret_groups = groups;
	return group_count;
}

static const struct res_event **conflicted_events(struct resolution *r, const struct res_group *groups,
						  size_t group_count, size_t *ret_count)
{
	const struct res_event **events = NULL;
	size_t count = 0, cap = 0;

	for (size_t i = 0; i < group_count; i++) {
		for (size_t j = 0; j < groups[i].count; j++)
			*ARENA_PUSH(r->arena, events, count, cap) = groups[i].events[j];
	}
	*ret_count = count;
	return events;
}

static const struct res_event *find_create(struct resolution *r, const struct res_event *const *conflicted,
					   size_t count)
{
	const struct res_event *create = res_unconflicted_event(r, STR("m.room.create"), STR(""));

	for (size_t i = 0; !create && i < count; i++) {
		if (res_is(conflicted[i], STR("m.room.create"), STR("")))
			create = conflicted[i];
	}
	return create;
}

/* 5, and what the sets were given with although they agree on it. */
static size_t write_entries(struct resolution *r, struct res_entry **ret_entries)
{
	struct res_entry *entries = NULL;
	const struct res_event *event;
	size_t count = 0, cap = 0;

	for (size_t at = 0; (event = map_next(&r->result.map, &at));) {
		if (!res_unconflicted(r, event->pdu->type, event->pdu->state_key))
			*ARENA_PUSH(r->arena, entries, count, cap) = (struct res_entry){ event->key, event->nid };
	}
	for (size_t at = 0; (event = map_next(&r->agreed.map, &at));)
		*ARENA_PUSH(r->arena, entries, count, cap) = (struct res_entry){ event->key, event->nid };
	if (count)
		qsort(entries, count, sizeof(*entries), entry_order);
	*ret_entries = entries;
	return count;
}

static bool resolve(struct resolution *r)
{
	const struct res_event **conflicted;
	struct res_entry *entries;
	struct res_group *groups;
	size_t entry_count, group_count, count;

	entries = entries_of(r->input, r->arena, &entry_count);
	if (!fetch_entries(r, entries, entry_count))
		return false;
	group_count = find_conflicts(r, entries, entry_count, &groups);
	if (!group_count)
		return true;
	if (r->input->version->state_resolution == STATE_RES_V1)
		return res_resolve_v1(r, groups, group_count);
	conflicted = conflicted_events(r, groups, group_count, &count);
	r->create = find_create(r, conflicted, count);
	return !r->failed && resolve_v2(r, conflicted, count);
}

bool state_resolve(const struct res_input *input, struct arena *arena, struct res_entry **ret_entries,
		   size_t *ret_count, struct err *err)
{
	struct resolution r = { .input = input, .arena = arena, .err = err };
	bool ok = resolve(&r);

	if (ok)
		*ret_count = write_entries(&r, ret_entries);
	idmap_done(&r.events);
	map_done(&r.agreed.map);
	map_done(&r.result.map);
	return ok;
}
