/* What the parts of state resolution share. */
#pragma once

#include "matrix/power_levels.h"
#include "matrix/state_res.h"

/* A state by (type, state_key). All zero is an empty one. */
struct res_map {
	struct map map;
};

/* One resolution while it runs. */
struct resolution {
	const struct res_input *input;
	struct arena *arena;
	struct err *err;
	bool failed;                    /* a fetch failed inside a look-up: err says how */
	struct idmap events;            /* all events fetched so far */
	const struct res_event *create; /* of the room; in version 12 no event cites it. NULL: no set has one */
	struct res_map agreed;          /* keys among those given on which the sets agree */
	struct res_map result;          /* what is resolved so far, over the unconflicted state */
};

/* The events that the sets have for one key; the auth rules of v1 judge such a group at a time. */
struct res_group {
	const struct res_event **events; /* at least one, none twice */
	size_t count;
};

/* Fetches what is not there yet, in one call. */
bool res_fetch(struct resolution *r, const int64_t *nids, size_t count);
/* An event, from those fetched or singly. NULL: the fetch failed. */
const struct res_event *res_get(struct resolution *r, int64_t nid);

const struct res_event *res_map_get(struct resolution *r, const struct res_map *map, struct str type,
				    struct str state_key);
void res_map_put(struct resolution *r, struct res_map *map, const struct res_event *event);

/* The number of the event that all sets have for (type, state_key), or 0; and the event, or NULL. */
int64_t res_unconflicted(struct resolution *r, struct str type, struct str state_key);
const struct res_event *res_unconflicted_event(struct resolution *r, struct str type, struct str state_key);

/* The auth event of (type, state_key) that `event` cites, or NULL. */
const struct res_event *res_auth_event(struct resolution *r, const struct res_event *event, struct str type,
				       struct str state_key);
bool res_is(const struct res_event *event, struct str type, struct str state_key);

/* state_res_walk.c: the full conflicted set of v2 or v2.1: `conflicted`, the auth difference, the conflicted state
 * subgraph. */
bool res_full_conflicted_set(struct resolution *r, const struct res_event *const *conflicted, size_t count,
			     const struct res_event ***ret_events, size_t *ret_count);

/*
 * state_res_order.c. The reverse topological power ordering of the power events in `full` with those of their auth
 * chains that are in `full` too; then the others, in no order. Both lists are as long as `full` at most.
 */
bool res_order_by_power(struct resolution *r, const struct res_event *const *full, size_t count,
			const struct res_event **ret_ordered, size_t *ret_ordered_count,
			const struct res_event **ret_others, size_t *ret_others_count);
/* Sorts by the mainline ordering based on `power_levels` (NULL: the resolved state has none). */
bool res_order_by_mainline(struct resolution *r, const struct res_event *power_levels, const struct res_event **events,
			   size_t count);

/* state_res_v1.c: resolves into r->result. */
bool res_resolve_v1(struct resolution *r, const struct res_group *groups, size_t count);

/* A binary heap of pointers; `before(a, b)`: a comes out before b. */
struct res_heap {
	void **items;
	size_t count, cap;
	bool (*before)(const void *a, const void *b);
};
void res_heap_push(struct res_heap *heap, struct arena *arena, void *item);
void *res_heap_pop(struct res_heap *heap); /* not empty */
