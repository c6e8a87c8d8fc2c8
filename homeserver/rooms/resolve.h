/*
 * The state that several states of a room resolve to (lib/matrix/state_res.h), on stored events and state tries. Only what differs between the states is looked
 * at.
 */
#pragma once

#include "rooms/write.h"

/* Resolves `roots` to a new root whose rows join the write; one root, or equal ones, is itself. */
bool room_resolve(struct room_write *write, struct write_set *set, const int64_t *roots, size_t count, int64_t *ret_root, struct err *err);
