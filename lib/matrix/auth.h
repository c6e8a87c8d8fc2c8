/*
 * Event authorization: rooms/vN.md "Authorization rules", server-server-api "Checks performed on receipt of a PDU".
 * Pure functions of the event and of a look-up into a state.
 */
#pragma once

#include "matrix/event.h"

/*
 * A state to judge by. `get` returns the event of (type, state_key), or NULL when the state has none; what it returns
 * stays valid while the check runs. In version 12 rooms the create event is found through the same look-up (the caller
 * takes it from the room ID).
 */
struct auth_state {
	const struct pdu *(*get)(void *context, struct str type, struct str state_key);
	void *context;
};

/* The (type, state_key) pairs that an event's auth_events are to be chosen from: server-server-api "Auth events
 * selection". */
struct auth_key {
	struct str type, state_key;
};
size_t auth_keys_for(const struct room_version *version, struct str type, bool is_state, struct str state_key,
		     struct str sender, struct str content, struct arena *arena, struct auth_key **ret_keys);

/*
 * The rules that depend on a state, in order: M_FORBIDDEN with words that say which one fails, M_BAD_JSON where nobody
 * may send such an event (a second create event, power levels out of form). `state` is the one
 * before the event, the current one, or the one that its auth_events make. The event has passed pdu_read and its
 * signatures are checked, also the one of the user's server that `join_authorised_via_users_server` names. Look-ups are
 * for the keys of auth_keys_for() and the create event only.
 */
bool auth_check(const struct pdu *event, const struct auth_state *state, struct arena *arena, struct err *err);
/*
 * The rule on auth_events: no duplicates, none that the selection does not ask for, all of the same room, the create
 * event among them (up to version 11). That none was rejected is the caller's to see, and in version 12 that the create
 * event which the room ID stands for was accepted.
 */
bool auth_check_selection(const struct pdu *event, const struct pdu *const *auth_events, size_t count,
			  struct arena *arena, struct err *err);

/* Power levels as the rules read them, for who asks outside the rules (membership pages, push's notification levels,
 * redactions). */
struct power_levels; /* parsed, in an arena */
struct power_levels *power_levels_read(const struct room_version *version, const struct auth_state *state,
				       struct arena *arena);
int64_t power_level_of(const struct power_levels *levels, struct str user_id); /* creators of version 12: INT64_MAX */
int64_t power_level_needed(const struct power_levels *levels, struct str type, bool is_state);
/* name: a level of the event's content such as "ban", "kick", "redact", "invite"; or "notifications.room" and its like
 * (50 when absent) */
int64_t power_level_action(const struct power_levels *levels, struct str name);
