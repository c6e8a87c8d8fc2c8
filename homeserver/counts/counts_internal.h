/* What the files of this domain share; nobody else includes it. */
#pragma once

#include "counts/counts.h"
#include "userdata/ignored.h"

/* A thread of a room with something unread: orders in (read, until], and how many events of each class these are. */
struct unread_thread {
	nid_t room, thread;
	int64_t read, until;
	int64_t events[PUSH_CLASSES];
};
/* Sorted by room and thread. */
bool counts_load_threads(struct server *server, nid_t user, const struct counted_room *rooms, size_t count, struct arena *arena,
                         struct unread_thread **ret_threads, size_t *ret_count, struct err *err);

/* Takes redacted events and those of ignored users out of the threads' events. */
bool counts_load_gone(struct server *server, const struct ignored_users *ignored, struct unread_thread *threads, size_t count, struct arena *arena,
                      struct err *err);

/* An event that is not counted by its class alone. */
struct unread_event {
	size_t thread; /* which of the threads */
	nid_t event;
	enum push_class class;
	bool mention; /* a row of the user's own; hidden: one that they may not see */
	bool hidden;
};
/* The user's own rows; and of the thread's latest events those whose class is in classes[thread], own ones left out. Neither redacted nor of ignored users. */
bool counts_load_events(struct server *server, nid_t user, const struct ignored_users *ignored, const struct unread_thread *threads,
                        const int64_t *classes, size_t count, struct arena *arena, struct unread_event **ret_events, size_t *ret_count, struct err *err);

/* --- counts_kept.c: what was found, in memory --- */

/* Changes of what a count depends on; equal ones mean that nothing but new events of others has come. Asked for before the count is read. */
struct counts_versions {
	uint64_t user, room, both;
};
struct counts_versions counts_versions(struct counts *counts, nid_t user, nid_t room);

/* What was found for a room at a position, and the events that came since. */
struct kept_counts {
	int64_t pos;
	struct unread *unread; /* with room for one more for each new event */
	size_t count;
	nid_t *events;
	size_t event_count;
};
void counts_keep(struct counts *counts, nid_t user, const struct counts_versions *versions, int64_t pos, nid_t room, const struct unread *unread, size_t count);
/* ret_kept[i] of rooms[i]; pos 0: nothing, or nothing that holds, or too far back. */
void counts_find_kept(struct server *server, nid_t user, const struct counts_versions *versions, int64_t pos, const struct counted_room *rooms, size_t count,
                      struct arena *arena, struct kept_counts *ret_kept);
