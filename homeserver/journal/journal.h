/*
 * The journal: every durable change that a sync can show, or that processes cache, gets a position in one order. Positions appear in
 * order and without gaps, in every process.
 *
 * There are two ways to write. A *write set* gathers rows and entries that a handler has decided on; one committer a process writes all
 * sets at hand as one transaction, in two flushes of libpq's pipeline (DESIGN "The journal"). Rare writes are plain transactions that end
 * with `journal_append`, which is their last statement and their commit. There is no third way.
 *
 * The journal knows no domain: they supply tables, guards, and what rebuilds a set whose guard has moved.
 *
 * Locks: `apply` is taken last of all, nothing is called under it but observers, and those neither wait nor query.
 */
#pragma once

#include "db/db.h"

enum journal_kind {
	JOURNAL_EVENT = 1,     /* room, user (sender), event, seq, roots; state events: key; members: target, membership; data: transaction ID of `device` */
	JOURNAL_STATE,         /* room, roots: the state changed without a new event */
	JOURNAL_RECEIPT,       /* room, user, target: the thread (receipts.h); private ones: membership = 1 */
	JOURNAL_ACCOUNT_DATA,  /* user, room or 0; data: type */
	JOURNAL_TO_DEVICE,     /* user, device */
	JOURNAL_DEVICE_LIST,   /* user whose devices or keys changed; target: who alone sees it */
	JOURNAL_ONE_TIME_KEYS, /* user, device whose counts changed */
	JOURNAL_FORGET,        /* room, user */
	JOURNAL_TOKEN,         /* user, device: tokens of it changed; device 0: all */
	JOURNAL_ACCOUNT,       /* user: flags of the account changed */
	JOURNAL_PROFILE,       /* user */
	JOURNAL_PUSH_RULES,    /* user */
	JOURNAL_ROOM,          /* room: what is cached of it beside its state (aliases, visibility) */
	JOURNAL_MEDIA,         /* user; data: the media ID that has got its content */
	JOURNAL_KIND_COUNT,
};

struct journal_entry {
	int64_t pos;
	enum journal_kind kind;
	nid_t room, user, event, device, key, target;
	int64_t seq;
	int64_t root_before, root_after;
	int64_t membership;
	struct str data; /* at most JOURNAL_MAX_DATA bytes */
};

#define JOURNAL_MAX_DATA 1024

/* A table that write sets add rows to: rows of all sets in a batch go in one statement. */
#define WRITE_MAX_COLUMNS 20
struct write_table {
	struct db_statement statement; /* takes one array a column: INSERT … SELECT … FROM unnest($1::bigint[], $2::text[], …) */
	int order;                     /* statements of a batch run by it; unique */
	size_t column_count;
	enum db_type columns[WRITE_MAX_COLUMNS]; /* DB_INT, DB_TEXT, DB_BYTES or DB_BOOL */
	size_t key_columns; /* > 0: of several rows that agree in that many first columns the last one stands (updates, upserts) */
};

struct journal;
struct write_set;

/*
 * A set lives in the arena of the one who waits for it. When its guard has moved (another process wrote, or a set before it failed), the committer clears it and calls
 * `rebuild`, in its own thread, while the one who made it waits: with `guard_row` standing on the guard's locked row, and `previous` the context of the set with the same
 * guard that is written before it in this batch (NULL: none; then the row is what counts). It fills the set anew, or returns false, which fails this set alone.
 */
typedef bool (*write_rebuild)(void *context, struct write_set *set, const struct db_rows *guard_row, void *previous, struct err *err);
struct write_guard {
	nid_t id;         /* of the guarded row; 0: no guard */
	int64_t expected; /* the token that the row must hold; tokens are unique, never used again */
	int64_t next;     /* the token that this set leaves in it */
};
struct write_set *write_set_new(struct arena *arena);
struct arena *write_set_arena(struct write_set *set);
void write_set_add(struct write_set *set, const struct write_table *table, struct db_params row); /* copies nothing but the row's params */
void write_set_entry(struct write_set *set, const struct journal_entry *entry);
void write_set_guard(struct write_set *set, struct write_guard guard);
void write_set_rebuild(struct write_set *set, write_rebuild rebuild, void *context);
/* A client's transaction: looked up in the first flush; when it is there already the set is dropped and `write_set_found` gives what stands. */
void write_set_transaction(struct write_set *set, nid_t device, nid_t scope, nid_t kind, struct str txn_id);
bool write_set_found(const struct write_set *set, struct str *ret_event_id);
void write_set_clear(struct write_set *set); /* rows and entries, before a rebuild */

struct journal_config {
	struct db_pool *pool;
	/* $1 bigint[]: SELECT id, token, … ORDER BY id FOR UPDATE SKIP LOCKED; and the same that waits. */
	const struct db_statement *lock_guards, *lock_guards_waiting;
	/* $1 bigint[] devices, $2 bigint[] scopes, $3 bigint[] kinds, $4 text[] ids: SELECT ordinality, event_id. */
	const struct db_statement *find_transactions;
	size_t tail_length; /* entries kept in memory */
};

/* Registers the process, ends another's sole lease, loads the tail, starts the threads. */
bool journal_open(const struct journal_config *config, struct journal **ret_journal, struct err *err);
/* When no more commits are under way: stops the threads, unregisters. */
void journal_close(struct journal *journal);
DEFINE_CLEANUP(struct journal *, journal_close)

/* Hands over; the order of calls is the order of commits. The set's arena is the committer's until the wait returns. */
void journal_submit(struct journal *journal, struct write_set *set);
/* Until it is on disk and applied in this process. 503: it cannot be told whether it is. */
bool journal_wait(struct journal *journal, struct write_set *set, struct err *err);
static inline UNUSED bool journal_commit(struct journal *journal, struct write_set *set, struct err *err)
{
	journal_submit(journal, set);
	return journal_wait(journal, set, err);
}

/* The last statement of a plain transaction, and its commit; then waits until it is applied here. *ret_position may be NULL. */
bool journal_append(struct journal *journal, struct db *db, const struct journal_entry *entries, size_t count, int64_t *ret_position, struct err *err);

/* Afterwards this process has applied all that was committed anywhere before the call. Free of cost for a process that is alone. */
bool journal_barrier(struct journal *journal, struct err *err);
/* For positions that another process gave out: afterwards `pos` is applied here. *ret_reached false: no process has got that far. */
bool journal_reach(struct journal *journal, int64_t pos, bool *ret_reached, struct err *err);
int64_t journal_position(struct journal *journal);
int64_t journal_tail_start(struct journal *journal); /* entries after this position are in memory */

/* Called in order for each entry, under the apply lock; registered before journal_open's threads start entries flowing: right after open. */
typedef void (*journal_observer)(void *context, const struct journal_entry *entry);
void journal_observe(struct journal *journal, journal_observer observer, void *context);
/* Called once after a run of entries was applied (wake-ups), outside of the lock. */
void journal_on_applied(struct journal *journal, void (*fn)(void *context, int64_t pos), void *context);

/* Walks the tail's entries with after < pos ≤ until. false: `after` lies before the tail (nothing was called). `fn` is quick and copies what it keeps. */
bool journal_scan(struct journal *journal, int64_t after, int64_t until, void (*fn)(void *context, const struct journal_entry *entry), void *context);

/* Unique numbers from a sequence with INCREMENT BY 1024: event, room, row and token numbers, handed out without a round trip. */
bool journal_next_ids(struct journal *journal, size_t count, int64_t *ret_first, struct err *err);

struct journal_stats {
	int64_t position;
	uint64_t batches, sets, rebuilds, splits, failures;
	size_t queued;
	bool sole;
	size_t processes;
	uint64_t batch_sizes[8]; /* 1, 2-3, 4-7, … sets */
};
struct journal_stats journal_stats(struct journal *journal);
