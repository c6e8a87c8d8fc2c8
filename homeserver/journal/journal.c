#include "journal/journal_internal.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define IDS_AT_ONCE 1024

static const struct db_statement SELECT_IDS = { "journal_ids", "SELECT nextval('nids')" };

const struct db_statement JOURNAL_APPEND = {
	"journal_append",
	"WITH head AS MATERIALIZED (SELECT journal_take($1, $2, $3) AS pos), written AS ("
	" INSERT INTO journal (pos, kind, room_nid, user_nid, event_nid, device_nid, key_nid, target_nid, seq, root_before, root_after, membership, data)"
	" SELECT head.pos - $3 + e.at, e.kind, e.room, e.usr, e.event, e.device, e.key, e.target, e.seq, e.before, e.after, e.membership, e.data"
	" FROM head, unnest($4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[],"
	" $12::bigint[], $13::bigint[], $14::bigint[], $15::text[])"
	" WITH ORDINALITY AS e (kind, room, usr, event, device, key, target, seq, before, after, membership, data, at))"
	" SELECT pos FROM head",
};

static struct db_param nullable_ints(struct arena *arena, const struct journal_entry *const *entries, size_t count, size_t offset)
{
	int64_t *values = ARENA_ARRAY(arena, count, int64_t);
	bool *nulls = ARENA_ARRAY(arena, count, bool);

	for (size_t i = 0; i < count; i++) {
		memcpy(&values[i], (const char *)entries[i] + offset, sizeof(values[i]));
		nulls[i] = values[i] == 0;
	}
	return (struct db_param){ .type = DB_INTS, .array = { values, nulls, count } };
}

void journal_append_params(struct journal *journal, int64_t batch, const struct journal_entry *const *entries, size_t count, struct arena *arena,
                           struct db_params *ret_params)
{
	struct db_param *params = ARENA_ARRAY(arena, 15, struct db_param);
	int64_t *kinds = ARENA_ARRAY(arena, count, int64_t);
	struct str *data = ARENA_ARRAY(arena, count, struct str);
	bool *no_data = ARENA_ARRAY(arena, count, bool);
	static const size_t offsets[] = {
		offsetof(struct journal_entry, room),       offsetof(struct journal_entry, user), offsetof(struct journal_entry, event),
		offsetof(struct journal_entry, device),     offsetof(struct journal_entry, key),  offsetof(struct journal_entry, target),
		offsetof(struct journal_entry, seq),        offsetof(struct journal_entry, root_before),
		offsetof(struct journal_entry, root_after), offsetof(struct journal_entry, membership),
	};

	for (size_t i = 0; i < count; i++) {
		kinds[i] = entries[i]->kind;
		data[i] = entries[i]->data;
		no_data[i] = data[i].len == 0;
	}
	params[0] = db_int(journal->process);
	params[1] = db_int(batch);
	params[2] = db_int((int64_t)count);
	params[3] = db_ints(kinds, count);
	for (size_t i = 0; i < ARRAY_LEN(offsets); i++)
		params[4 + i] = nullable_ints(arena, entries, count, offsets[i]);
	params[14] = (struct db_param){ .type = DB_TEXTS, .array = { data, no_data, count } };
	*ret_params = (struct db_params){ params, 15 };
}

bool journal_append_failed(const struct db *db, struct err *err)
{
	if (strcmp(db_sqlstate(db), "HF001") != 0)
		return false;
	err_status(err, 503, M_UNKNOWN, "The database is not available");
	err->retry_after_ms = 1000;
	return err_detail(err, "others gave this process up, since it had been silent");
}

/* --- the tail --- */

static void tail_put(struct journal *journal, const struct journal_entry *entry)
{
	struct journal_entry *place = &journal->tail[(size_t)entry->pos % journal->config.tail_length];

	free((void *)(uintptr_t)place->data.ptr);
	*place = *entry;
	place->data.ptr = entry->data.len ? x_strdup(entry->data) : NULL;
	journal->position = entry->pos;
	if (journal->position - journal->tail_start > (int64_t)journal->config.tail_length)
		journal->tail_start = journal->position - (int64_t)journal->config.tail_length;
	for (size_t i = 0; i < journal->observer_count; i++)
		journal->observers[i].fn(journal->observers[i].context, place);
}

/* Those that follow on directly. false: there is a gap before the first that is new. */
static bool tail_extend(struct journal *journal, const struct journal_entry *entries, size_t count)
{
	LOCKED(&journal->apply);

	for (size_t i = 0; i < count; i++) {
		if (entries[i].pos <= journal->position)
			continue;
		if (entries[i].pos != journal->position + 1)
			return false;
		tail_put(journal, &entries[i]);
	}
	return true;
}

/* Hooks are added while the follower runs already. */
static size_t copy_hooks(struct journal *journal, struct applied_hook *ret_hooks, int64_t *ret_pos)
{
	LOCKED(&journal->apply);

	memcpy(ret_hooks, journal->hooks, journal->hook_count * sizeof(*ret_hooks));
	*ret_pos = journal->position;
	return journal->hook_count;
}

static void run_applied_hooks(struct journal *journal)
{
	struct applied_hook hooks[MAX_OBSERVERS];
	int64_t pos;
	size_t count = copy_hooks(journal, hooks, &pos);

	for (size_t i = 0; i < count; i++)
		hooks[i].fn(hooks[i].context, pos);
}

void journal_apply(struct journal *journal, const struct journal_entry *entries, size_t count)
{
	struct err err = { 0 };

	if (count == 0)
		return;
	if (tail_extend(journal, entries, count))
		run_applied_hooks(journal);
	else
		while (!journal_follow(journal, &err) && !journal->follower_stops)
			; /* each try waits for a read of the database, which is bounded; what is committed must be applied before it is answered */
}

int64_t journal_position(struct journal *journal)
{
	LOCKED(&journal->apply);

	return journal->position;
}

int64_t journal_tail_start(struct journal *journal)
{
	LOCKED(&journal->apply);

	return journal->tail_start;
}

bool journal_scan(struct journal *journal, int64_t after, int64_t until, void (*fn)(void *context, const struct journal_entry *entry), void *context)
{
	LOCKED(&journal->apply);

	if (after < journal->tail_start)
		return false;
	until = MIN(until, journal->position);
	for (int64_t pos = after + 1; pos <= until; pos++)
		fn(context, &journal->tail[(size_t)pos % journal->config.tail_length]);
	return true;
}

void journal_observe(struct journal *journal, journal_observer observer, void *context)
{
	LOCKED(&journal->apply);

	assert(journal->observer_count < MAX_OBSERVERS);
	journal->observers[journal->observer_count++] = (struct observer){ observer, context };
}

void journal_on_applied(struct journal *journal, void (*fn)(void *context, int64_t pos), void *context)
{
	LOCKED(&journal->apply);

	assert(journal->hook_count < MAX_OBSERVERS);
	journal->hooks[journal->hook_count++] = (struct applied_hook){ fn, context };
}

/* --- following what other processes write --- */

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

/* Reads and applies all that is committed. */
static bool catch_up(struct journal *journal, struct db *db, struct err *err)
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
		if (count) {
			/* Positions have no gaps, so a page follows on what is here, or what is here has grown meanwhile. */
			tail_extend(journal, entries, count);
			run_applied_hooks(journal);
		}
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
	return catch_up(journal, *db, err);
}

/* What was committed while the register was being changed is read before this process relies on being alone. */
static bool renew(struct journal *journal, struct db *db, struct err *err)
{
	int64_t sole_until_ms;

	if (!process_renew(journal, db, &sole_until_ms, err) || (sole_until_ms && !catch_up(journal, db, err)))
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

static void wake_follower(struct journal *journal)
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
	wake_follower(journal);
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

/* --- writing --- */

void journal_submit(struct journal *journal, struct write_set *set)
{
	LOCKED(&journal->queue_lock);

	set->next = NULL;
	*journal->queue_end = set;
	journal->queue_end = &set->next;
	journal->queued++;
	cond_signal(&journal->queue_filled);
}

bool journal_wait(struct journal *journal, struct write_set *set, struct err *err)
{
	(void)journal;
	while (sem_wait(&set->done) != 0)
		;
	if (!set->ok)
		*err = set->err;
	return set->ok;
}

bool journal_append(struct journal *journal, struct db *db, const struct journal_entry *entries, size_t count, int64_t *ret_position, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const struct journal_entry **pointers = ARENA_ARRAY(arena, count, const struct journal_entry *);
	struct journal_entry *applied = ARENA_ARRAY(arena, count, struct journal_entry);
	struct db_params params;
	struct db_rows *rows;
	int64_t last;

	for (size_t i = 0; i < count; i++)
		pointers[i] = &entries[i];
	journal_append_params(journal, 0, pointers, count, arena, &params);
	if (!db_query(db, &JOURNAL_APPEND, params, arena, &rows, err))
		return journal_append_failed(db, err);
	last = db_next(rows) ? db_get_int(rows, 0) : 0;
	if (!db_commit(db, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		applied[i] = entries[i];
		applied[i].pos = last - (int64_t)count + (int64_t)i + 1;
	}
	journal_apply(journal, applied, count);
	journal_notify_others(journal);
	if (ret_position)
		*ret_position = last;
	return true;
}

bool journal_next_ids(struct journal *journal, size_t count, int64_t *ret_first, struct err *err)
{
	LOCKED(&journal->ids_lock);

	assert(count <= IDS_AT_ONCE);
	if (journal->ids_end - journal->ids_next < (int64_t)count) {
		CLEANUP(arena_free) struct arena *arena = arena_new();
		CLEANUP(db_release) struct db *db = NULL;
		struct db_rows *rows;

		if (!db_acquire(journal->config.pool, &db, err) || !db_query(db, &SELECT_IDS, DB_NO_PARAMS, arena, &rows, err))
			return false;
		if (!db_next(rows))
			return err_internal(err, "no sequence of numbers");
		journal->ids_next = db_get_int(rows, 0);
		journal->ids_end = journal->ids_next + IDS_AT_ONCE;
	}
	*ret_first = journal->ids_next;
	journal->ids_next += (int64_t)count;
	return true;
}

struct journal_stats journal_stats(struct journal *journal)
{
	struct journal_stats stats;

	{
		LOCKED(&journal->stats_lock);
		stats = journal->stats;
	}
	{
		LOCKED(&journal->queue_lock);
		stats.queued = journal->queued;
	}
	stats.position = journal_position(journal);
	stats.sole = journal_is_sole(journal);
	stats.processes = journal->processes;
	return stats;
}

/* --- life --- */

static const struct db_statement SELECT_HEAD = { "journal_select_head", "SELECT pos FROM journal_head" };

/* The tail starts empty, some way before the head, and is caught up. */
static bool load_tail(struct journal *journal, struct db *db, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct db_rows *rows;

	if (!db_query(db, &SELECT_HEAD, DB_NO_PARAMS, arena, &rows, err))
		return false;
	if (!db_next(rows))
		return err_internal(err, "journal_head has no row");
	journal->position = journal->tail_start = MAX(db_get_int(rows, 0) - (int64_t)journal->config.tail_length, 0);
	return catch_up(journal, db, err);
}

static void init_locks(struct journal *journal)
{
	mutex_init(&journal->apply);
	mutex_init(&journal->queue_lock);
	cond_init(&journal->queue_filled);
	mutex_init(&journal->follow_lock);
	cond_init(&journal->followed);
	mutex_init(&journal->notify_lock);
	cond_init(&journal->notify_wanted);
	mutex_init(&journal->ids_lock);
	mutex_init(&journal->stats_lock);
}

static void free_journal(struct journal *journal)
{
	for (size_t i = 0; i < journal->config.tail_length; i++)
		free((void *)(uintptr_t)journal->tail[i].data.ptr);
	free(journal->tail);
	close(journal->wake_fd);
	free(journal);
}

bool journal_open(const struct journal_config *config, struct journal **ret_journal, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct journal *journal = X_NEW(struct journal);

	journal->config = *config;
	journal->tail = x_calloc(config->tail_length, sizeof(*journal->tail));
	journal->queue_end = &journal->queue;
	journal->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	init_locks(journal);
	if (journal->wake_fd < 0 || !journal_next_ids(journal, 1, &journal->process, err) || !db_acquire(config->pool, &db, err) ||
	    !process_register(journal, db, err) || !load_tail(journal, db, err)) {
		free_journal(journal);
		return false;
	}
	journal->committer = thread_start("committer", committer_run, journal);
	journal->follower = thread_start("follower", follower_run, journal);
	journal->notifier = thread_start("notifier", notifier_run, journal);
	*ret_journal = journal;
	return true;
}

void journal_close(struct journal *journal)
{
	mutex_lock(&journal->queue_lock);
	journal->stopping = true;
	cond_signal(&journal->queue_filled);
	mutex_unlock(&journal->queue_lock);
	thread_join(journal->committer);

	mutex_lock(&journal->notify_lock);
	journal->notify_stops = true;
	cond_signal(&journal->notify_wanted);
	mutex_unlock(&journal->notify_lock);
	thread_join(journal->notifier);

	journal->follower_stops = true;
	wake_follower(journal);
	thread_join(journal->follower);
	free_journal(journal);
}
