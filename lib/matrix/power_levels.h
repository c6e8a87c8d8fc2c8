/*
 * What the auth rules need of power levels beyond auth.h: the rule for a new m.room.power_levels event. Internal to the
 * auth rules and state resolution.
 */
#pragma once

#include "matrix/auth.h"

/* The user is a creator in the sense of version 12 rooms: the sender of the create event or one of its
 * additional_creators. */
bool power_levels_is_creator(const struct pdu *create, struct str user_id);

/* As power_levels_read, of the two events themselves. `event` may be NULL: the room has none. `create` too: nobody is a
 * creator. */
struct power_levels *power_levels_of(const struct room_version *version, const struct pdu *create,
				     const struct pdu *event, struct arena *arena);

/* The rule "If type is m.room.power_levels" (10 in versions 1 to 5 and 12, 9 in between); `current` is what the state
 * has. */
bool power_levels_check_change(const struct power_levels *current, const struct pdu *event, struct arena *arena,
			       struct err *err);
