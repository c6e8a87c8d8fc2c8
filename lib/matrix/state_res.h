/*
 * State resolution v1 (room version 1), v2 (2 to 11), v2.1 (12): rooms/v1.md, rooms/v2.md, rooms/v12.md. Pure: events
 * are known by number here (the caller's interning), fetched through an interface.
 */
#pragma once

#include "matrix/auth.h"

struct res_event {
	const struct pdu *pdu;
	int64_t nid;
	int64_t key;         /* the caller's number for its (type, state_key), as in res_entry */
	const int64_t *auth; /* its auth events' numbers, as many as pdu->auth_count less those unknown */
	size_t auth_count;
	int64_t auth_gen; /* longest path to the create event: falls strictly along auth edges */
	bool rejected;
};

struct res_source {
	/* Events by number, each valid until the resolution ends; may load many at once. false: err. */
	bool (*fetch)(void *context, const int64_t *nids, size_t count, const struct res_event **ret_events,
		      struct err *err);
	void *context;
};

/* One entry of a state: `key` is the caller's number for (type, state_key). */
struct res_entry {
	int64_t key, event;
};
struct res_state {
	const struct res_entry *entries; /* sorted by key */
	size_t count;
};

struct res_input {
	const struct room_version *version;
	const struct res_state *sets;
	size_t set_count;
	/* The state on which all sets agree: the number of its event for (type, state_key), or 0. */
	int64_t (*unconflicted)(void *context, struct str type, struct str state_key);
	/*
	 * Asked at most once, and only if events would be taken into the auth difference that stand in no set
	 * (superseded ones): sets ret_in[i] where nids[i] is in the auth chain of some unconflicted event, for such an
	 * event is in the auth chains of all sets. state_resolve() sees by itself those that conflicted events reach,
	 * or unconflicted ones of the same keys; what is left is rarely in any, but servers must agree on it. An event
	 * can only have events in its chain that were stored before it, so of the unconflicted events only those matter
	 * that are younger than the oldest of `nids`: where numbers grow as events are stored, those with a greater
	 * number. state_res_reach() does the rest. NULL: none is.
	 */
	bool (*in_unconflicted_chains)(void *context, const int64_t *nids, size_t count, bool *ret_in, struct err *err);
	void *context; /* of both */
	struct res_source source;
};

/*
 * Resolves `sets`: only conflicted keys need be given (keys on which all sets agree are the caller's to leave out),
 * with `unconflicted` the look-up for the rest. Writes what the resolved state has beside the unconflicted one, sorted
 * by key: entries of conflicted keys (absent where nothing won), and of keys that no set has but an auth chain (rare:
 * incomplete states). The cost follows the conflicted events and what lies between them in the auth graph, not the size
 * of the state.
 */
bool state_resolve(const struct res_input *input, struct arena *arena, struct res_entry **ret_entries,
		   size_t *ret_count, struct err *err);

/* Which of `nids` are among `from` or in their auth chains. */
bool state_res_reach(const struct res_source *source, const int64_t *from, size_t from_count, const int64_t *nids,
		     size_t count, bool *ret_reached, struct arena *arena, struct err *err);
