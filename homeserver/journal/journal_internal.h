/* What the journal's files share; nobody else includes it. */
#pragma once

#include <semaphore.h>
#include <stdatomic.h>

#include "journal/journal.h"

struct write_row {
	struct write_row *next;
	const struct write_table *table;
	const struct db_param *values;
};

struct entry_node {
	struct entry_node *next;
	struct journal_entry entry;
};

struct write_set {
	struct arena *arena;
	struct write_row *rows, **rows_end;
	struct entry_node *entries, **entries_end;
	size_t entry_count;
	struct write_guard guard;
	write_rebuild rebuild;
	void *rebuild_context;
	struct {
		nid_t device, scope, kind;
		struct str id;
	} txn;
	struct str found_event_id; /* what stands for that transaction already */

	/* The committer's, from submit until `done` is posted. */
	struct write_set *next;
	unsigned put_off; /* times that another process held the guard */
	bool ok;
	struct err err;
	sem_t done;
};

struct observer {
	journal_observer fn;
	void *context;
};

struct applied_hook {
	void (*fn)(void *context, int64_t pos);
	void *context;
};

#define MAX_OBSERVERS 16

struct journal {
	struct journal_config config;
	int64_t process;

	struct mutex apply; /* of the tail and the observers */
	struct journal_entry *tail; /* a ring of tail_length entries; data on the heap */
	int64_t tail_start, position; /* the tail holds tail_start < pos ≤ position */
	struct observer observers[MAX_OBSERVERS];
	size_t observer_count;
	struct applied_hook hooks[MAX_OBSERVERS];
	size_t hook_count;

	struct mutex queue_lock; /* of the committer's queue */
	struct cond queue_filled;
	struct write_set *queue, **queue_end;
	size_t queued;
	bool stopping;
	pthread_t committer;

	struct mutex follow_lock; /* of the follower's tickets */
	struct cond followed;
	uint64_t follow_asked, follow_begun, follow_done; /* reads of the database: asked for, the newest one begun, the newest one done */
	bool follow_failed;
	int wake_fd;
	_Atomic bool follower_stops;
	pthread_t follower;

	struct mutex notify_lock;
	struct cond notify_wanted;
	bool notify_dirty, notify_stops;
	pthread_t notifier;

	_Atomic int64_t sole_until_ms; /* monotonic; the process is alone until then */
	_Atomic size_t processes;

	struct mutex ids_lock;
	int64_t ids_next, ids_end;

	struct mutex stats_lock;
	struct journal_stats stats;
};

/* Applies those entries that are new. false: there is a gap before the first of them. */
bool journal_extend(struct journal *journal, const struct journal_entry *entries, size_t count);
/* Reads and applies all that is committed. */
bool journal_catch_up(struct journal *journal, struct db *db, struct err *err);
/* Applies what this process has committed; where others' entries lie between, has the follower fetch all and waits for it. false: the database is lost. */
bool journal_apply(struct journal *journal, const struct journal_entry *entries, size_t count, struct err *err);
/* Asks the follower to read what was committed before now, and waits for it. */
bool journal_follow(struct journal *journal, struct err *err);
void journal_wake_follower(struct journal *journal);
void journal_notify_others(struct journal *journal);
bool journal_is_sole(struct journal *journal);

/* The statement that takes positions for entries, and its parameters; fails when this process is no longer registered. */
extern const struct db_statement JOURNAL_APPEND;
void journal_append_params(struct journal *journal, int64_t batch, const struct journal_entry *const *entries, size_t count, struct arena *arena,
                           struct db_params *ret_params);
/* After a failure: if it was for that, it passes. The follower registers again within a second. Always false. */
bool journal_append_failed(const struct db *db, struct err *err);

void *committer_run(void *journal);
void *follower_run(void *journal);
void *notifier_run(void *journal);

/* The register of processes: process.c. */
bool process_register(struct journal *journal, struct db *db, struct err *err);
/* *ret_sole_until_ms: until when this process is alone, if it first catches up once more; 0: it is not. */
bool process_renew(struct journal *journal, struct db *db, int64_t *ret_sole_until_ms, struct err *err);
void process_unregister(struct journal *journal, struct db *db);
