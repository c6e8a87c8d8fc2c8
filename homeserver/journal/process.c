/*
 * The register of live processes. A process that finds itself alone is `sole`: until its lease runs out it need not look for others' writes. A new one therefore first
 * takes that away from the others and waits until they know or their lease has run out. Who was silent for longer than a lease is struck off
 * by the others, and may not write again before it has registered anew (journal_take checks).
 */
#include "journal/journal_internal.h"

#define LEASE_MS      5000 /* in the register */
#define SOLE_LEASE_MS 4000 /* what a process allows itself, on its own clock */
#define SILENT_MS     6000 /* who has not renewed its lease for as long is dead, or will find out that it is not alone */

static const struct db_statement REGISTER = {
	"process_register",
	"INSERT INTO processes (process_nid, lease_until, sole) VALUES ($1, clock_timestamp() + interval '5 s', false)"
	" ON CONFLICT (process_nid) DO UPDATE SET lease_until = excluded.lease_until, sole = false",
};
static const struct db_statement SELECT_OTHER_SOLE = {
	"process_other_sole",
	"SELECT (extract(epoch FROM lease_until) * 1000000)::bigint FROM processes"
	" WHERE process_nid <> $1 AND sole AND lease_until > clock_timestamp()",
};
/* A longer lease than any process takes was taken before the clock was set back. */
static const struct db_statement STRIKE_OFF_FUTURE = {
	"process_strike_off_future",
	"DELETE FROM processes WHERE process_nid <> $1 AND sole AND lease_until > clock_timestamp() + interval '5 s'",
};
/* Under the head's lock: a writer that was struck off finds out at its next journal_take, and none is between. */
static const struct db_statement LOCK_HEAD = { "process_lock_head", "SELECT pos FROM journal_head FOR UPDATE" };
static const struct db_statement STRIKE_OFF = {
	"process_strike_off",
	"DELETE FROM processes WHERE process_nid <> $1 AND lease_until < clock_timestamp()",
};
static const struct db_statement RENEW = {
	"process_renew",
	"UPDATE processes SET lease_until = clock_timestamp() + interval '5 s',"
	" sole = NOT EXISTS (SELECT 1 FROM processes o WHERE o.process_nid <> $1)"
	" WHERE process_nid = $1 RETURNING sole, (SELECT count(*) FROM processes)",
};
static const struct db_statement SELECT_OTHERS = {
	"process_others",
	"SELECT count(*) FILTER (WHERE lease_until < clock_timestamp()), count(*) FROM processes WHERE process_nid <> $1",
};
static const struct db_statement UNREGISTER = { "process_unregister", "DELETE FROM processes WHERE process_nid = $1" };

/* *ret_lease: what is written of the lease of another that is alone; 0: there is none. */
static bool find_sole(struct journal *journal, struct db *db, int64_t *ret_lease, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct db_rows *rows;

	if (!db_query(db, &SELECT_OTHER_SOLE, DB_PARAMS(db_int(journal->process)), arena, &rows, err))
		return false;
	*ret_lease = db_next(rows) ? db_get_int(rows, 0) : 0;
	return true;
}

/* Waits until no other one is alone. A lease that is not renewed ends, whatever the database's clock says. */
static bool await_no_sole(struct journal *journal, struct db *db, struct err *err)
{
	int64_t deadline = clock_mono_ms() + 2 * LEASE_MS, changed_at = clock_mono_ms(), last = 0, lease;

	while (clock_mono_ms() < deadline) {
		struct timespec pause = { .tv_nsec = 20 * 1000000 };

		if (!find_sole(journal, db, &lease, err))
			return false;
		if (!lease)
			return true;
		if (lease != last)
			changed_at = clock_mono_ms();
		else if (clock_mono_ms() - changed_at > SILENT_MS)
			return db_exec(db, &STRIKE_OFF_FUTURE, DB_PARAMS(db_int(journal->process)), NULL, err);
		last = lease;
		nanosleep(&pause, NULL);
	}
	return err_internal(err, "another process keeps the database to itself");
}

bool process_register(struct journal *journal, struct db *db, struct err *err)
{
	if (!db_begin(db, err) || !db_exec(db, &LOCK_HEAD, DB_NO_PARAMS, NULL, err) ||
	    !db_exec(db, &REGISTER, DB_PARAMS(db_int(journal->process)), NULL, err) || !db_commit(db, err))
		return false;
	return db_notify(db, "hearth_journal", STR(""), err) && await_no_sole(journal, db, err);
}

static bool renew_rows(struct journal *journal, struct db *db, struct arena *arena, struct db_rows **ret_rows, struct err *err)
{
	struct db_rows *others;
	bool alone;

	if (!db_query(db, &SELECT_OTHERS, DB_PARAMS(db_int(journal->process)), arena, &others, err) || !db_next(others))
		return false;
	alone = db_get_int(others, 0) == db_get_int(others, 1);
	if (db_get_int(others, 1))
		journal->sole_until_ms = 0; /* before the register says so to others */
	/* To become or stay alone, or to strike somebody off, takes the head's lock; a mere renewal beside living others does not. */
	if (alone || db_get_int(others, 0)) {
		if (!db_begin(db, err) || !db_exec(db, &LOCK_HEAD, DB_NO_PARAMS, NULL, err) ||
		    !db_exec(db, &STRIKE_OFF, DB_PARAMS(db_int(journal->process)), NULL, err) ||
		    !db_query(db, &RENEW, DB_PARAMS(db_int(journal->process)), arena, ret_rows, err))
			return false;
		return db_commit(db, err);
	}
	return db_query(db, &RENEW, DB_PARAMS(db_int(journal->process)), arena, ret_rows, err);
}

bool process_renew(struct journal *journal, struct db *db, int64_t *ret_sole_until_ms, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	int64_t before = clock_mono_ms();
	struct db_rows *rows = NULL;

	if (!renew_rows(journal, db, arena, &rows, err)) {
		db_rollback(db);
		return false;
	}
	if (!db_next(rows)) { /* struck off while we were silent: what we hold may be stale, which the barrier mends */
		journal->sole_until_ms = *ret_sole_until_ms = 0;
		return process_register(journal, db, err);
	}
	journal->processes = (size_t)db_get_int(rows, 1);
	*ret_sole_until_ms = db_get_bool(rows, 0) ? before + SOLE_LEASE_MS : 0;
	return true;
}

void process_unregister(struct journal *journal, struct db *db)
{
	struct err err = { 0 };

	if (!db_exec(db, &UNREGISTER, DB_PARAMS(db_int(journal->process)), NULL, &err))
		return; /* its lease runs out */
}
