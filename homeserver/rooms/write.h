/*
 * A write to a room: built on the room's head, handed over within the room's turn, built again when the journal finds that the head has moved. What is built
 * (own events, another server's) is the caller's: a function that may be called several times, always on a clean set.
 */
#pragma once

#include "journal/journal.h"
#include "rooms/adders.h"
#include "rooms/room_internal.h"
#include "state/state_store.h"

struct room_write {
	struct server *server;
	struct room_info room;
	struct arena *arena;
	/* Fills the set on write->after, which begins as the head to build on, and moves it. */
	bool (*build)(struct room_write *write, struct write_set *set, struct err *err);
	void *context;

	struct room_head after; /* what it leaves; the next write builds on it */
	struct room *memory;    /* NULL: a room that is being made */
	struct state_build **builds; /* pinned until the commit's outcome is known; so are the events */
	size_t build_count, build_cap;
	nid_t *events;
	size_t event_count, event_cap;
};

/* On the head in memory, by turn; then waits for the commit. `set` is new, with its transaction if it has one. */
bool room_write_run(struct room_write *write, struct write_set *set, struct err *err);
/* For a room that has no head yet. */
bool room_write_first(struct room_write *write, struct write_set *set, struct err *err);

/* An event of this write, for what is built on it. */
void room_write_pin(struct room_write *write, const struct event *event, struct auth_edges auth);
/* The state that follows from `root` by changes: its rows go into the set, and stay readable until the commit. */
bool room_write_state(struct room_write *write, struct write_set *set, int64_t root, const struct state_entry *changes, size_t count, int64_t *ret_root,
                      struct err *err);
/*
 * Moves the room's current state from write->after.state_root to `root`: rows of current_state and of memberships for all that differs. Members that changed
 * other than by `event` itself get a journal entry of their own.
 */
bool room_write_current_state(struct room_write *write, struct write_set *set, int64_t root, const struct event *event, struct err *err);
/* The rows of other domains for an accepted event, once the head has moved. */
bool room_write_adders(struct room_write *write, struct write_set *set, const struct event *event, const struct pdu *pdu, nid_t target,
                       enum membership membership, struct err *err);
