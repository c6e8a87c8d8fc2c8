/*
 * Room state as a persistent hash trie: a map from state key to the event that holds it, of which every change makes a
 * new root while the old roots stay as they were. A change rewrites the path to its leaf only; all else is shared
 * between snapshots and forks of a room.
 *
 * Keys are interned pairs of type and state key: `server_nid << 32 | n` for m.room.member (server_nid ≥ 1: the server
 * of the member), `n` alone for all others; 1 ≤ n < 2^32, unique. A key's place is a function of its number: two levels
 * by the hash of the server, the rest by the hash of the key, so that the members of one server are one subtree.
 * Fan-out 16, at most 64 entries in a leaf.
 *
 * The nodes that a change makes are packed into one row of at most STATE_ROW_MAX bytes (several for a big build); rows
 * never change. A root is the id of the row whose node 0 it is; 0 is the empty state. Roots mean something within their
 * room only. A root knows the number of its entries, how many are joined, whether the state is partial (faster joins),
 * and a 128-bit hash of the set of its entries.
 *
 * Measured (state_bench.c; PostgreSQL 15 and the bench on two shared cores; rooms of 50,000 members who came one by
 * one):
 *
 *                                   one server           2,000 servers
 *   a change: row                   270 bytes            320 bytes         always one row
 *             disk, with index      360 bytes            420 bytes
 *             WAL                   470 bytes            520 bytes         the first after a checkpoint: 8 to 14 kB
 *             to build              8 µs                 8 µs              whole room at once: 20 ms, 400 kB
 *   load: database, cache           8.5, 2.5 ms          9.4, 2.7 ms       100,000 members: 11 and 22 ms
 *   get one: database, cache        55, 1.3 µs           the same
 *   diff over 1,000 changes         4.3, 1.2 ms          5.3, 1.5 ms
 *
 * Other shapes, row and load from the database: fan-out and leaf
 *
 *   16, 16                          270 bytes, 12 ms     262 bytes, 25 ms
 *   32, 32                          345 bytes, 36 ms     390 bytes, 26 ms
 *   32, 64                          556 bytes, 3 ms      432 bytes, 15 ms  100,000 members: 60 and 39 ms
 *   64, 64                          550 bytes, 11 ms     573 bytes, 19 ms
 *
 * The wider the fan-out, the further the leaves fall apart at the sizes where they all split at once. At 32, 64 a row
 * for every two nodes cost 1.4 to 1.6 times the WAL; rows with random numbers, as hashes of their content would be,
 * were twice as long, as references no longer shrink, with 1.7 times the WAL, and 3.7 times after a checkpoint.
 *
 * Pure: rows come from a source, new ones go to the caller. Nothing here is shared, so any number of threads may call
 * it, if their source allows. Lookups walk the packed bytes. All functions return false with a 500 in err when the
 * source fails or a row is damaged.
 */
#pragma once

#include "db/db.h"

/* Four rows fill a page of PostgreSQL, and none is moved out of line (from 2,032 bytes on, with headers). */
#define STATE_ROW_MAX 1984

enum membership {
	MEMBERSHIP_NONE,
	MEMBERSHIP_INVITE,
	MEMBERSHIP_JOIN,
	MEMBERSHIP_LEAVE,
	MEMBERSHIP_BAN,
	MEMBERSHIP_KNOCK,
};

struct state_entry {
	nid_t key;
	nid_t event;                /* 0: the state has no such key; in a change: it goes */
	enum membership membership; /* what the event says; MEMBERSHIP_NONE for other types than m.room.member */
};

/* Where rows come from. Each callback is called by the thread that called the trie. */
struct state_source {
	/* The bytes of rows of `room`, whose ids rise without doubles: ret_data[i] is that of row_ids[i], as long as
	 * the arena. false: one is missing. */
	bool (*rows)(void *context, nid_t room, const int64_t *row_ids, size_t count, struct arena *arena,
		     struct str *ret_data, struct err *err);
	/* An id that no row of any room ever had, below 2^57. Only state_apply asks; may be NULL for who only reads. */
	bool (*next_row_id)(void *context, int64_t *ret_row_id, struct err *err);
	void *context;
};

struct state_hash {
	uint64_t low, high;
};

struct state_info {
	uint64_t count;         /* entries */
	uint64_t joined;        /* of these, members with membership join */
	struct state_hash hash; /* of the set of (key, event): equal states have equal ones, by whatever history */
	bool partial;
};
bool state_info(const struct state_source *source, nid_t room, int64_t root, struct state_info *ret_info,
		struct err *err);
/* The same entries, whatever the roots and their partial marks. Reads two rows at most. */
bool state_equal(const struct state_source *source, nid_t room, int64_t a, int64_t b, bool *ret_equal, struct err *err);

/* Looks up keys, all in one descent: ret_entries[i] is that of keys[i], with event 0 where there is none (on failure,
 * anything). */
bool state_get(const struct state_source *source, nid_t room, int64_t root, const nid_t *keys, size_t count,
	       struct state_entry *ret_entries, struct err *err);
/* All entries, in no meaningful order. */
bool state_load(const struct state_source *source, nid_t room, int64_t root, struct arena *arena,
		struct state_entry **ret_entries, size_t *ret_count, struct err *err);
/* The members of one server; of server 0: all entries that are not members. Reads their subtree only. */
bool state_load_server(const struct state_source *source, nid_t room, int64_t root, nid_t server, struct arena *arena,
		       struct state_entry **ret_entries, size_t *ret_count, struct err *err);

/* What differs between two roots of a room, by key; equal subtrees are not even read. */
struct state_delta {
	nid_t key;
	nid_t before, after; /* events; 0: none */
	enum membership membership_before, membership_after;
};
bool state_diff(const struct state_source *source, nid_t room, int64_t before, int64_t after, struct arena *arena,
		struct state_delta **ret_deltas, size_t *ret_count, struct err *err);

enum state_mark { STATE_AS_BEFORE, STATE_PARTIAL, STATE_COMPLETE };

struct state_row_data {
	int64_t row_id;
	struct str data;
};
struct state_build {
	int64_t root;
	struct state_info info;
	const struct state_row_data *rows; /* to be stored before, or with, whatever mentions the root */
	size_t row_count;                  /* 0 when the root is the old one, or 0 */
};
/*
 * Makes the root that follows from `root` by `changes` (of several for one key the last stands), and marks it. Changes
 * that change nothing give back the same root. root 0 with all entries builds a whole state.
 */
bool state_apply(const struct state_source *source, nid_t room, int64_t root, const struct state_entry *changes,
		 size_t count, enum state_mark mark, struct arena *arena, struct state_build *ret_build,
		 struct err *err);

/*
 * For checks of the database: everything under `root`, of which nothing under `known` is read again (0: nothing is
 * known). *ret_fault is NULL, or says in words what is wrong: an entry in the wrong place, or a count or hash that
 * disagrees with the entries. `known` must be sound itself.
 */
bool state_verify(const struct state_source *source, nid_t room, int64_t known, int64_t root, const char **ret_fault,
		  struct err *err);
