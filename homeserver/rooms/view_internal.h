/* More of state_view, for the pipeline. */
#pragma once

#include "matrix/auth.h"
#include "rooms/rooms.h"

/* Loads several keys at once, which the look-ups then find. */
bool state_view_load(struct state_view *view, const struct auth_key *keys, size_t count, struct err *err);
/* The stored event; nid 0: the state has none. Valid as long as the view's arena. */
bool state_view_event(struct state_view *view, struct str type, struct str state_key, const struct event **ret_event, struct err *err);
