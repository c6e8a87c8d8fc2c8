/*
 * State resolution of version 1 rooms. Specification: rooms/v1.md "State resolution"; where the text is vague, as
 * Synapse does it.
 *
 * Start with the union of the states without what is in conflict. Then, key by key: power levels, join rules, members.
 * Of the events in conflict for such a key, by rising depth and falling SHA-1 of the event ID, the first enters; each
 * further one replaces it if the auth rules allow it, and the first that they don't allow ends it. All keys of one kind
 * are resolved before any of them enters the state. For every other key take the event of the greatest depth and lowest
 * SHA-1 that the auth rules allow, or, if they allow none, the last.
 */
#include "matrix/state_res_internal.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

struct candidate {
	const struct res_event *event;
	uint8_t sha1[20];
};

/* By falling depth, then by rising hash. */
static int candidate_order(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->event->pdu->depth != y->event->pdu->depth)
		return x->event->pdu->depth > y->event->pdu->depth ? -1 : 1;
	return memcmp(x->sha1, y->sha1, sizeof(x->sha1));
}

static struct candidate *candidates_of(const struct res_group *group, struct arena *arena)
{
	struct candidate *candidates = ARENA_ARRAY(arena, group->count, struct candidate);

	for (size_t i = 0; i < group->count; i++) {
		struct str id = group->events[i]->pdu->event_id;
		int failed = gnutls_hash_fast(GNUTLS_DIG_SHA1, id.ptr, id.len, candidates[i].sha1);

		assert(!failed);
		candidates[i].event = group->events[i];
	}
	qsort(candidates, group->count, sizeof(*candidates), candidate_order);
	return candidates;
}

/* The state so far, with `own` in the place that the group is about. */
struct view {
	struct resolution *r;
	const struct res_event *own; /* NULL: none */
};

static const struct pdu *view_get(void *context, struct str type, struct str state_key)
{
	const struct view *view = context;
	const struct res_event *found;

	if (view->own && res_is(view->own, type, state_key))
		return view->own->pdu;
	found = res_map_get(view->r, &view->r->result, type, state_key);
	if (!found)
		found = res_unconflicted_event(view->r, type, state_key);
	return found ? found->pdu : NULL;
}

static bool allowed(struct resolution *r, const struct res_event *event, const struct res_event *own)
{
	struct view view = { r, own };
	const struct auth_state state = { view_get, &view };
	struct err refused = { 0 };

	return auth_check(event->pdu, &state, r->arena, &refused) && !r->failed;
}

static const struct res_event *resolve_auth_group(struct resolution *r, const struct res_group *group)
{
	const struct candidate *candidates = candidates_of(group, r->arena);
	const struct res_event *best = candidates[group->count - 1].event;

	for (size_t i = group->count - 1; i-- > 0;) {
		if (!allowed(r, candidates[i].event, best))
			break;
		best = candidates[i].event;
	}
	return best;
}

static const struct res_event *resolve_other_group(struct resolution *r, const struct res_group *group)
{
	const struct candidate *candidates = candidates_of(group, r->arena);

	for (size_t i = 0; i < group->count; i++) {
		if (allowed(r, candidates[i].event, NULL))
			return candidates[i].event;
	}
	return candidates[group->count - 1].event;
}

enum stage { STAGE_POWER_LEVELS, STAGE_JOIN_RULES, STAGE_MEMBERS, STAGE_OTHERS, STAGES };

static enum stage stage_of(const struct res_group *group)
{
	const struct pdu *pdu = group->events[0]->pdu;

	if (res_is(group->events[0], STR("m.room.power_levels"), STR("")))
		return STAGE_POWER_LEVELS;
	if (str_eq(pdu->type, STR("m.room.join_rules")))
		return STAGE_JOIN_RULES;
	return str_eq(pdu->type, STR("m.room.member")) ? STAGE_MEMBERS : STAGE_OTHERS;
}

bool res_resolve_v1(struct resolution *r, const struct res_group *groups, size_t count)
{
	const struct res_event **winners = ARENA_ARRAY(r->arena, count, const struct res_event *);

	for (enum stage stage = STAGE_POWER_LEVELS; stage < STAGES; stage++) {
		size_t winner_count = 0;

		for (size_t i = 0; i < count; i++) {
			if (stage_of(&groups[i]) != stage)
				continue;
			winners[winner_count++] = stage == STAGE_OTHERS ? resolve_other_group(r, &groups[i])
									: resolve_auth_group(r, &groups[i]);
		}
		for (size_t i = 0; i < winner_count; i++)
			res_map_put(r, &r->result, winners[i]);
	}
	return !r->failed;
}
