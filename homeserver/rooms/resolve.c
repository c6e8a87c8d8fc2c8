#include "rooms/resolve.h"

#include "interned/interned.h"
#include "matrix/state_res.h"

/* A resolution under way: the events it fetched, and the state that all sets agree on. */
struct resolving {
	struct room_write *write;
	struct idmap events; /* struct res_event by number */
	int64_t base;        /* a root of one of the sets */
	const nid_t *conflicted; /* keys, sorted */
	size_t conflicted_count;
	bool failed;
	struct err err;
};

static int compare_nids(const void *a, const void *b)
{
	nid_t x = *(const nid_t *)a, y = *(const nid_t *)b;

	return (x > y) - (x < y);
}

/* --- events --- */

static bool load_events(struct resolving *resolving, const nid_t *nids, size_t count, struct err *err)
{
	struct room_write *write = resolving->write;
	struct event *events = ARENA_ARRAY(write->arena, count, struct event);
	struct auth_edges *auth = ARENA_ARRAY(write->arena, count, struct auth_edges);

	if (!events_load(write->server->events, nids, count, write->arena, events, err) ||
	    !events_auth(write->server->events, nids, count, write->arena, auth, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		struct res_event *event = ARENA_NEW(write->arena, struct res_event);
		struct pdu *pdu = ARENA_NEW(write->arena, struct pdu);

		if (!events[i].nid)
			return err_internal(err, "event %" PRId64 " of an auth chain is missing", nids[i]);
		event_pdu(write->room.version, &events[i], write->room.room_id, write->arena, pdu);
		*event = (struct res_event){ .pdu = pdu, .nid = events[i].nid, .key = events[i].key, .auth_gen = events[i].auth_gen,
			                     .rejected = events[i].verdict == VERDICT_REJECTED, .auth = auth[i].nids, .auth_count = auth[i].count };
		idmap_put(&resolving->events, events[i].nid, event);
	}
	return true;
}

static bool fetch(void *context, const int64_t *nids, size_t count, const struct res_event **ret_events, struct err *err)
{
	struct resolving *resolving = context;
	nid_t *missing = ARENA_ARRAY(resolving->write->arena, count, nid_t);
	size_t missing_count = 0;

	for (size_t i = 0; i < count; i++) {
		if (!idmap_get(&resolving->events, nids[i]))
			missing[missing_count++] = nids[i];
	}
	if (missing_count && !load_events(resolving, missing, missing_count, err))
		return false;
	for (size_t i = 0; i < count; i++)
		ret_events[i] = idmap_get(&resolving->events, nids[i]);
	return true;
}

/* --- states --- */

static int64_t unconflicted(void *context, struct str type, struct str state_key)
{
	struct resolving *resolving = context;
	struct room_write *write = resolving->write;
	struct state_source source = state_store_source(write->server->states);
	struct state_entry entry = { 0 };
	nid_t key;

	if (resolving->failed)
		return 0;
	if (!find_key(write->server->interned, type, state_key, &key, &resolving->err)) {
		resolving->failed = true;
		return 0;
	}
	if (!key || !resolving->base ||
	    (resolving->conflicted_count && bsearch(&key, resolving->conflicted, resolving->conflicted_count, sizeof(key), compare_nids)))
		return 0;
	if (!state_get(&source, write->room.nid, resolving->base, &key, 1, &entry, &resolving->err))
		resolving->failed = true;
	return resolving->failed ? 0 : entry.event;
}

/* Whether events are in the chains of what all sets agree on. */
static bool in_unconflicted_chains(void *context, const int64_t *nids, size_t count, bool *ret_in, struct err *err)
{
	struct resolving *resolving = context;
	struct room_write *write = resolving->write;
	struct state_source source = state_store_source(write->server->states);
	struct res_source events = { fetch, resolving };
	struct state_entry *entries;
	size_t entry_count, kept = 0;
	int64_t *from;

	if (!state_load(&source, write->room.nid, resolving->base, write->arena, &entries, &entry_count, err))
		return false;
	from = ARENA_ARRAY(write->arena, entry_count, int64_t);
	for (size_t i = 0; i < entry_count; i++) {
		if (!bsearch(&entries[i].key, resolving->conflicted, resolving->conflicted_count, sizeof(entries[i].key), compare_nids))
			from[kept++] = entries[i].event;
	}
	return state_res_reach(&events, from, kept, nids, count, ret_in, write->arena, err);
}

/* The keys on which the sets do not all agree, sorted. */
static bool find_conflicted(struct resolving *resolving, const int64_t *roots, size_t count, struct err *err)
{
	struct room_write *write = resolving->write;
	struct state_source source = state_store_source(write->server->states);
	nid_t *keys = NULL;
	size_t key_count = 0, cap = 0, unique = 0;

	for (size_t i = 1; i < count; i++) {
		struct state_delta *deltas;
		size_t delta_count;

		if (!state_diff(&source, write->room.nid, roots[0], roots[i], write->arena, &deltas, &delta_count, err))
			return false;
		for (size_t d = 0; d < delta_count; d++)
			*ARENA_PUSH(write->arena, keys, key_count, cap) = deltas[d].key;
	}
	if (key_count)
		qsort(keys, key_count, sizeof(*keys), compare_nids);
	for (size_t i = 0; i < key_count; i++) {
		if (unique == 0 || keys[unique - 1] != keys[i])
			keys[unique++] = keys[i];
	}
	resolving->conflicted = keys;
	resolving->conflicted_count = unique;
	return true;
}

static bool read_set(struct resolving *resolving, int64_t root, struct res_state *ret_set, struct err *err)
{
	struct room_write *write = resolving->write;
	struct state_source source = state_store_source(write->server->states);
	struct state_entry *found = ARENA_ARRAY(write->arena, resolving->conflicted_count, struct state_entry);
	struct res_entry *entries = ARENA_ARRAY(write->arena, resolving->conflicted_count, struct res_entry);
	size_t count = 0;

	if (root && !state_get(&source, write->room.nid, root, resolving->conflicted, resolving->conflicted_count, found, err))
		return false;
	for (size_t i = 0; root && i < resolving->conflicted_count; i++) {
		if (found[i].event)
			entries[count++] = (struct res_entry){ resolving->conflicted[i], found[i].event };
	}
	*ret_set = (struct res_state){ entries, count };
	return true;
}

/* From the base to what was resolved: conflicted keys that nothing won go, the others are set. */
static bool apply_resolved(struct resolving *resolving, struct write_set *set, const struct res_entry *entries, size_t count, int64_t *ret_root,
                           struct err *err)
{
	struct room_write *write = resolving->write;
	struct state_entry *changes = ARENA_ARRAY(write->arena, resolving->conflicted_count + count, struct state_entry);
	struct event *events = ARENA_ARRAY(write->arena, count, struct event);
	nid_t *nids = ARENA_ARRAY(write->arena, count, nid_t);
	size_t change_count = 0;

	for (size_t i = 0; i < resolving->conflicted_count; i++)
		changes[change_count++] = (struct state_entry){ .key = resolving->conflicted[i] };
	for (size_t i = 0; i < count; i++)
		nids[i] = entries[i].event;
	if (!events_load(write->server->events, nids, count, write->arena, events, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		struct str content;
		enum membership membership = MEMBERSHIP_NONE;

		if (entries[i].key >> 32 && slice_get(events[i].json, STR("content"), &content))
			membership = membership_of_content(content);
		changes[change_count++] = (struct state_entry){ entries[i].key, entries[i].event, membership };
	}
	return room_write_state(write, set, resolving->base, changes, change_count, ret_root, err);
}

static bool all_equal(const int64_t *roots, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		if (roots[i] != roots[0])
			return false;
	}
	return true;
}

static bool resolve(struct resolving *resolving, struct write_set *set, const int64_t *roots, size_t count, int64_t *ret_root, struct err *err)
{
	struct room_write *write = resolving->write;
	struct res_state *sets = ARENA_ARRAY(write->arena, count, struct res_state);
	struct res_entry *entries;
	size_t entry_count;

	if (!find_conflicted(resolving, roots, count, err))
		return false;
	if (resolving->conflicted_count == 0) {
		*ret_root = roots[0];
		return true;
	}
	for (size_t i = 0; i < count; i++) {
		if (!read_set(resolving, roots[i], &sets[i], err))
			return false;
	}
	if (!state_resolve(&(struct res_input){ .version = write->room.version, .sets = sets, .set_count = count, .unconflicted = unconflicted,
	                                        .in_unconflicted_chains = in_unconflicted_chains, .context = resolving,
	                                        .source = { fetch, resolving } },
	                   write->arena, &entries, &entry_count, err))
		return false;
	if (resolving->failed) {
		*err = resolving->err;
		return false;
	}
	return apply_resolved(resolving, set, entries, entry_count, ret_root, err);
}

bool room_resolve(struct room_write *write, struct write_set *set, const int64_t *roots, size_t count, int64_t *ret_root, struct err *err)
{
	struct resolving resolving = { .write = write };
	bool ok;

	assert(count > 0);
	resolving.base = roots[0];
	if (all_equal(roots, count)) {
		*ret_root = roots[0];
		return true;
	}
	ok = resolve(&resolving, set, roots, count, ret_root, err);
	idmap_done(&resolving.events);
	return ok || err_detail(err, "resolve %zu states of room %" PRId64, count, write->room.nid);
}
