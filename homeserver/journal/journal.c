#include "journal/journal_internal.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define IDS_AT_ONCE 1024
#define MAX_FOLLOWS 20 /* tries to read what others wrote between */

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
static bool extend_tail(struct journal *journal, const struct journal_entry *entries, size_t count)
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

bool journal_extend(struct journal *journal, const struct journal_entry *entries, size_t count)
{
	if (!extend_tail(journal, entries, count))
		return false;
	if (count)
		run_applied_hooks(journal);
	return true;
}

bool journal_apply(struct journal *journal, const struct journal_entry *entries, size_t count, struct err *err)
{
	bool ok = journal_extend(journal, entries, count);

	for (int i = 0; i < MAX_FOLLOWS && !ok; i++)
		ok = journal_follow(journal, err);
	return ok;
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
	journal_notify_others(journal);
	if (ret_position)
		*ret_position = last;
	return journal_apply(journal, applied, count, err);
}

static bool take_ids(struct journal *journal, int64_t count, int64_t *ret_first)
{
	LOCKED(&journal->ids_lock);

	if (journal->ids_end - journal->ids_next < count)
		return false;
	*ret_first = journal->ids_next;
	journal->ids_next += count;
	return true;
}

/* Others may have fetched meanwhile: then these stay unused. */
static bool fetch_ids(struct journal *journal, int64_t count, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	if (!db_acquire(journal->config.pool, &db, err) || !db_query(db, &SELECT_IDS, DB_NO_PARAMS, arena, &rows, err))
		return false;
	if (!db_next(rows))
		return err_internal(err, "no sequence of numbers");
	LOCKED(&journal->ids_lock);
	if (journal->ids_end - journal->ids_next < count) {
		journal->ids_next = db_get_int(rows, 0);
		journal->ids_end = journal->ids_next + IDS_AT_ONCE;
	}
	return true;
}

bool journal_next_ids(struct journal *journal, size_t count, int64_t *ret_first, struct err *err)
{
	assert(count <= IDS_AT_ONCE);
	while (!take_ids(journal, (int64_t)count, ret_first)) {
		if (!fetch_ids(journal, (int64_t)count, err))
			return false;
	}
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
	return journal_catch_up(journal, db, err);
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
	journal_wake_follower(journal);
	thread_join(journal->follower);
	free_journal(journal);
}
