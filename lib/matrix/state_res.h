/*
 * State resolution v1 (room version 1), v2 (2 to 11), v2.1 (12): rooms/v1.md, rooms/v2.md, rooms/v12.md. Pure: events are known by number
 * here (the caller's interning), fetched through an interface.
 */
#pragma once

#include "matrix/auth.h"

struct res_event {
	const struct pdu *pdu;
	int64_t nid;
	const int64_t *auth; /* its auth events' numbers, as many as pdu->auth_count less those unknown */
	size_t auth_count;
	int64_t auth_gen;  /* longest path to the create event: falls strictly along auth edges */
	bool rejected;
};

struct res_source {
	/* Events by number, each valid until the resolution ends; may load many at once. false: err. */
	bool (*fetch)(void *context, const int64_t *nids, size_t count, const struct res_event **ret_events, struct err *err);
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

/*
 * Resolves `sets`: only conflicted keys need be given (keys on which all sets agree are the caller's to leave out), with `unconflicted` the look-up
 * for the rest, by (type, state_key): returns an event number or 0. Writes the entries of the conflicted keys only (absent where nothing won).
 */
struct res_input {
	const struct room_version *version;
	const struct res_state *sets;
	size_t set_count;
	int64_t (*unconflicted)(void *context, struct str type, struct str state_key);
	void *context;
	struct res_source source;
};
bool state_resolve(const struct res_input *input, struct arena *arena, struct res_entry **ret_entries, size_t *ret_count, struct err *err);
