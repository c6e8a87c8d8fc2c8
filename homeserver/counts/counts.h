/*
 * Unread counts (client-server-api "Receiving notifications", "Threading": "Unread counts"): of a room, in each thread and in the main timeline, how many
 * events notify the user by today's push rules, and how many of these are highlights.
 *
 * Each live event has a row with running totals of its thread, by class (lib/matrix/push_rules.h). A user's rules come to a mask over classes, so that
 *
 *   count = Σ mask × (totals now − totals at r) − redacted ones − those of ignored users ± the user's own rows
 *   r     = the latest of: the join, the unthreaded receipts, the thread's receipts, the user's own last event in the thread
 *
 * A user has own rows where an event mentions them, or where the room's history visibility hides it from them though they are in the room. Classes that the
 * rules don't treat alike (keywords, rules on senders or properties) are looked at event by event, the latest COUNTS_MAX_SINGLE unread ones of a thread
 * (fewer when many threads are asked for at once); those before count as their class does, which of a class that cannot be told is not at all.
 *
 * An event costs one row, a threaded one an upsert more, a mention of a user of ours another row, whatever the room's size; totals are made by the statement that
 * inserts, under the lock on the room's head that every write to a room holds. Measured (counts_cost_test.c): a message in a room of 10 members and in one of
 * 50,000 takes 10 statements, 4 rows and 2,168 bytes of WAL; without the counts it would be 9, 3 and 1,840. To read, with a million rows in 100 rooms of 50 threads
 * each: a room 1 ms, all 5,100 threads 140 ms.
 */
#pragma once

#include "base/cache.h"
#include "matrix/push_rules.h"
#include "rooms/adders.h"

#define COUNTS_MAIN_THREAD  (-1)
#define COUNTS_MAX_SINGLE   1000
#define COUNTS_MAX_TOGETHER 10000 /* of all threads; but ten of each are always looked at */
#define COUNTS_MAX_MENTIONS 256 /* users of ours that one event can notify by naming them */

struct counts;
struct counts *counts_new(struct server *server, size_t cache_bytes); /* observes the journal */
void counts_free(struct counts *counts);
struct cache_stats counts_cache_stats(struct counts *counts);

/* An event_adder. */
bool counts_add(struct write_set *set, const struct event_added *added, struct err *err);

/*
 * The thread that an event with this JSON is in ("Threading": that of what it relates to; relations are followed for three hops). What is not known here yet has none.
 */
bool counts_thread_of(struct server *server, nid_t room, struct str json, struct arena *arena, nid_t *ret_thread, struct err *err);

/* A room that the user is in, and its last order that counts. */
struct counted_room {
	nid_t room;
	int64_t until;
};
struct unread {
	nid_t room, thread; /* the thread's root, or COUNTS_MAIN_THREAD */
	int64_t notifications, highlights;
};
/*
 * Those threads that have any, sorted by room and thread, of all rooms together, as they are at the journal's position `pos` (and the rooms' `until` there). What was
 * found is kept in memory and moved on event by event, so that who follows a room asks the database only after reading or writing something there. Takes
 * connections of the pool.
 */
bool counts_read(struct server *server, nid_t user, struct str user_id, int64_t pos, const struct counted_room *rooms, size_t count, struct arena *arena,
                 struct unread **ret_unread, size_t *ret_count, struct err *err);
