/*
 * Parked polls by what wakes them: the user, and the rooms they are in. A poll looks, finds nothing, and is filed; what was applied between its look and its
 * filing wakes it at once, so that nothing is missed. Thread-safe.
 */
#pragma once

#include "server.h"

struct waiters;
struct waiters *waiters_new(struct server *server); /* observes the journal */
void waiters_free(struct waiters *waiters);

struct waiter {
	struct parked *parked; /* set by the filing; NULL while it is not parked */
	nid_t user, device;
	const nid_t *rooms;  /* sorted, the waiter's until it is taken out */
	size_t room_count;
	int64_t looked_at, looked_at_ephemeral; /* the positions when it looked */
	uint64_t age;        /* of the filing, for "ten a device" */
	struct waiter *next_of_user, *previous_of_user;
	bool filed, woken;
	bool ended; /* it was the device's oldest of too many: it answers, with news or without */
};

/* Files it (park.on_parked) and takes it out (park.on_resumed). An eleventh parked poll of a device ends the oldest. */
void waiter_file(struct waiters *waiters, struct waiter *waiter, struct parked *parked);
/* After the filing: wakes it when the journal, or who types, has moved since it looked. */
void waiter_check(struct waiters *waiters, struct waiter *waiter);
void waiter_take_out(struct waiters *waiters, struct waiter *waiter);
/* Typing or presence moved. */
void waiters_wake_room(struct waiters *waiters, nid_t room);
