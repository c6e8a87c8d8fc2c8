/*
 * Following what other processes write: one thread reads the journal when it is notified, when somebody asks, and once a second; it keeps this process
 * in the register, too. Another thread notifies the others.
 */
#include "journal/journal_internal.h"

#include <unistd.h>

static const struct db_statement SELECT_NEW = {
	"journal_select_new",
	"SELECT pos, kind, room_nid, user_nid, event_nid, device_nid, key_nid, target_nid, seq, root_before, root_after, membership, data"
	" FROM journal WHERE pos > $1 ORDER BY pos LIMIT $2",
};

static struct journal_entry entry_of(const struct db_rows *rows)
{
	return (struct journal_entry){
		.pos = db_get_int(rows, 0),
		.kind = (enum journal_kind)db_get_int(rows, 1),
		.room = db_get_nid(rows, 2),
		.user = db_get_nid(rows, 3),
		.event = db_get_nid(rows, 4),
		.device = db_get_nid(rows, 5),
		.key = db_get_nid(rows, 6),
		.target = db_get_nid(rows, 7),
		.seq = db_get_int(rows, 8),
		.root_before = db_get_int(rows, 9),
		.root_after = db_get_int(rows, 10),
		.membership = db_get_int(rows, 11),
		.data = db_get_str(rows, 12),
	};
}

bool journal_catch_up(struct journal *journal, struct db *db, struct err *err)
{
	const size_t page = 1000;
	size_t count;

	do {
		CLEANUP(arena_free) struct arena *arena = arena_new();
		struct journal_entry *entries = ARENA_ARRAY(arena, page, struct journal_entry);
		struct db_rows *rows;

		if (!db_query(db, &SELECT_NEW, DB_PARAMS(db_int(journal_position(journal)), db_int((int64_t)page)), arena, &rows, err))
			return false;
		for (count = 0; db_next(rows); count++)
			entries[count] = entry_of(rows);
		/* Positions have no gaps, so a page follows on what is here, or what is here has grown meanwhile. */
		if (!journal_extend(journal, entries, count))
			return err_internal(err, "the journal has a gap after %" PRId64, journal_position(journal));
	} while (count == page);
	return true;
}

static void follower_begin(struct journal *journal, uint64_t *ret_ticket)
{
	LOCKED(&journal->follow_lock);

	*ret_ticket = journal->follow_begun = journal->follow_asked;
}

static void follower_end(struct journal *journal, uint64_t ticket, bool ok)
{
	LOCKED(&journal->follow_lock);

	journal->follow_done = ticket;
	journal->follow_failed = !ok;
	cond_broadcast(&journal->followed);
}

static bool follower_round(struct journal *journal, struct db **db, struct err *err)
{
	if (!*db) {
		if (!db_acquire(journal->config.pool, db, err))
			return false;
		if (!db_listen(*db, "hearth_journal", err))
			return false;
	}
	return journal_catch_up(journal, *db, err);
}

/* What was committed while the register was being changed is read before this process relies on being alone. */
static bool renew(struct journal *journal, struct db *db, struct err *err)
{
	int64_t sole_until_ms;

	if (!process_renew(journal, db, &sole_until_ms, err) || (sole_until_ms && !journal_catch_up(journal, db, err)))
		return false;
	journal->sole_until_ms = sole_until_ms;
	return true;
}

void *follower_run(void *context)
{
	struct journal *journal = context;
	struct db *db = NULL;
	int64_t renew_at = 0;
	bool got = false; /* a notification: perhaps of a process that starts */

	while (!journal->follower_stops) {
		struct err err = { 0 };
		uint64_t ticket, drained;
		bool ok;

		follower_begin(journal, &ticket);
		ok = follower_round(journal, &db, &err);
		follower_end(journal, ticket, ok);
		if (ok && ((got && journal_is_sole(journal)) || clock_mono_ms() >= renew_at)) {
			ok = renew(journal, db, &err);
			renew_at = clock_mono_ms() + 1000;
		}
		if (!ok && db)
			db_release(TAKE(db));
		if (db) {
			got = false;
			ok = db_wait_notify(db, clock_mono_ms() + 1000, journal->wake_fd, &got, &err);
			if (!ok)
				db_release(TAKE(db));
		} else {
			struct timespec pause = { .tv_nsec = 100 * 1000000 };

			nanosleep(&pause, NULL);
		}
		if (read(journal->wake_fd, &drained, sizeof(drained)) < 0)
			continue; /* nobody had asked */
	}
	follower_end(journal, UINT64_MAX, false);
	if (db) {
		process_unregister(journal, db);
		db_release(db);
	}
	return NULL;
}

void journal_wake_follower(struct journal *journal)
{
	uint64_t one = 1;

	if (write(journal->wake_fd, &one, sizeof(one)) < 0)
		return; /* it is full: the follower has been woken already */
}

bool journal_follow(struct journal *journal, struct err *err)
{
	uint64_t ticket;
	LOCKED(&journal->follow_lock);

	/* A round that has begun may have read before our change: only one that begins after now counts; all who wait at that moment share it. */
	ticket = journal->follow_asked == journal->follow_begun ? ++journal->follow_asked : journal->follow_asked;
	journal_wake_follower(journal);
	while (journal->follow_done < ticket)
		cond_wait(&journal->followed, &journal->follow_lock);
	if (journal->follow_failed) {
		err_status(err, 503, M_UNKNOWN, "The database is not available");
		err->retry_after_ms = 1000;
		return false;
	}
	return true;
}

bool journal_is_sole(struct journal *journal)
{
	return clock_mono_ms() < journal->sole_until_ms;
}

bool journal_barrier(struct journal *journal, struct err *err)
{
	return journal_is_sole(journal) || journal_follow(journal, err);
}

bool journal_reach(struct journal *journal, int64_t pos, bool *ret_reached, struct err *err)
{
	*ret_reached = journal_position(journal) >= pos;
	if (*ret_reached)
		return true;
	if (!journal_barrier(journal, err))
		return false;
	*ret_reached = journal_position(journal) >= pos;
	return true;
}

void journal_notify_others(struct journal *journal)
{
	if (journal_is_sole(journal))
		return;
	LOCKED(&journal->notify_lock);

	journal->notify_dirty = true;
	cond_signal(&journal->notify_wanted);
}

/* Outside of any commit: inside, NOTIFY takes a lock across the cluster. Notifications that come while one is under way become one. */
void *notifier_run(void *context)
{
	struct journal *journal = context;

	mutex_lock(&journal->notify_lock);
	while (!journal->notify_stops) {
		struct db *db = NULL;
		struct err err = { 0 };

		if (!journal->notify_dirty) {
			cond_wait(&journal->notify_wanted, &journal->notify_lock);
			continue;
		}
		journal->notify_dirty = false;
		mutex_unlock(&journal->notify_lock);
		if (db_acquire(journal->config.pool, &db, &err)) {
			if (!db_notify(db, "hearth_journal", STR(""), &err))
				err_detail(&err, "the others poll"); /* once a second, as a safety net */
			db_release(db);
		}
		mutex_lock(&journal->notify_lock);
	}
	mutex_unlock(&journal->notify_lock);
	return NULL;
}
