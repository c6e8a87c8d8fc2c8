/*
 * The committer: gathers the write sets at hand and writes them as one transaction in two flushes.
 *   1. BEGIN; lock the guards in order; look up client transactions.
 *   2. All rows, a statement a table; last the positions; COMMIT. The one global lock is held for the commit alone.
 * Between the two, sets whose guard has moved are built again, under the lock. A set that poisons its batch is found by halving.
 */
#include "journal/journal_internal.h"

#define MAX_BATCH       256
#define MAX_PUT_OFF     2
#define MAX_RERUNS      10
#define RECONNECT_TRIES 20
#define RETRY_MS        1000

static const struct db_statement SELECT_BATCH = {
	"journal_select_batch",
	"SELECT last_batch, last_pos FROM processes WHERE process_nid = $1",
};

struct batch {
	struct write_set **sets;
	size_t count;
};

/* The tokens of the guards as they stand while the batch is put together. */
struct guard_state {
	nid_t id;
	int64_t token;
	bool locked;
	size_t row;     /* of the lock's result */
	void *previous; /* the context of the set that was judged last */
};

struct work {
	struct journal *journal;
	struct db *db;
	struct arena *arena;
	int64_t batch_number;
	size_t queued; /* statements since the last flush */
};

static bool queue(struct work *work, const struct db_statement *statement, struct db_params params, struct err *err)
{
	work->queued++;
	return db_pipeline_add(work->db, statement, params, err);
}

static bool flush(struct work *work, struct db_rows ***ret_results, struct err *err)
{
	size_t failed;

	work->queued = 0;
	return db_pipeline_flush(work->db, work->arena, ret_results, &failed, err);
}

static void count(struct journal *journal, uint64_t *counter, uint64_t by)
{
	LOCKED(&journal->stats_lock);

	*counter += by;
}

static void finish(struct write_set *set, bool ok)
{
	set->ok = ok;
	sem_post(&set->done);
}

static void fail_all(struct batch batch, const struct err *err)
{
	for (size_t i = 0; i < batch.count; i++) {
		batch.sets[i]->err = *err;
		finish(batch.sets[i], false);
	}
}

static int compare_nids(const void *a, const void *b)
{
	nid_t x = *(const nid_t *)a, y = *(const nid_t *)b;

	return (x > y) - (x < y);
}

static size_t collect_guards(struct work *work, struct batch batch, nid_t **ret_ids)
{
	nid_t *ids = ARENA_ARRAY(work->arena, batch.count, nid_t);
	size_t count = 0, unique = 0;

	for (size_t i = 0; i < batch.count; i++) {
		if (batch.sets[i]->guard.id)
			ids[count++] = batch.sets[i]->guard.id;
	}
	if (count)
		qsort(ids, count, sizeof(*ids), compare_nids);
	for (size_t i = 0; i < count; i++) {
		if (unique == 0 || ids[unique - 1] != ids[i])
			ids[unique++] = ids[i];
	}
	*ret_ids = ids;
	return unique;
}

static bool add_transaction_lookup(struct work *work, struct batch batch, size_t *ret_count, struct err *err)
{
	int64_t *devices = ARENA_ARRAY(work->arena, batch.count, int64_t), *scopes = ARENA_ARRAY(work->arena, batch.count, int64_t);
	int64_t *kinds = ARENA_ARRAY(work->arena, batch.count, int64_t);
	struct str *ids = ARENA_ARRAY(work->arena, batch.count, struct str);
	size_t count = 0;

	for (size_t i = 0; i < batch.count; i++) {
		const struct write_set *set = batch.sets[i];

		if (!set->txn.id.len)
			continue;
		devices[count] = set->txn.device;
		scopes[count] = set->txn.scope;
		kinds[count] = set->txn.kind;
		ids[count++] = set->txn.id;
	}
	*ret_count = count;
	return count == 0 || queue(work, work->journal->config.find_transactions,
	                           DB_PARAMS(db_ints(devices, count), db_ints(scopes, count), db_ints(kinds, count), db_texts(ids, count)), err);
}

/* The n-th set that has a transaction. */
static struct write_set *transaction_set(struct batch batch, size_t n)
{
	for (size_t i = 0; i < batch.count; i++) {
		if (batch.sets[i]->txn.id.len && n-- == 0)
			return batch.sets[i];
	}
	return NULL;
}

static void take_found_transactions(struct batch batch, struct db_rows *rows)
{
	while (db_next(rows)) {
		struct write_set *set = transaction_set(batch, (size_t)db_get_int(rows, 0) - 1);

		if (set)
			set->found_event_id = str_dup(set->arena, db_get_str(rows, 1));
	}
}

static bool same_transaction(const struct write_set *a, const struct write_set *b)
{
	return a->txn.id.len && a->txn.device == b->txn.device && a->txn.scope == b->txn.scope && a->txn.kind == b->txn.kind &&
	       str_eq(a->txn.id, b->txn.id);
}

/* Two requests of one client transaction in a batch: the later one waits for the next batch, where it finds the first. */
static bool repeats_earlier(struct batch batch, size_t index)
{
	if (!batch.sets[index]->txn.id.len)
		return false;
	for (size_t i = 0; i < index; i++) {
		if (same_transaction(batch.sets[i], batch.sets[index]))
			return true;
	}
	return false;
}

static void put_back(struct journal *journal, struct write_set *set)
{
	LOCKED(&journal->queue_lock);

	set->next = journal->queue; /* in front: it came first */
	journal->queue = set;
	if (!set->next)
		journal->queue_end = &set->next;
	journal->queued++;
}

/* Lock and look up. The guards that were locked, with their tokens. */
static bool first_flush(struct work *work, struct batch batch, bool waiting, struct guard_state **ret_guards, size_t *ret_guard_count,
                        struct db_rows **ret_guard_rows, struct err *err)
{
	const struct journal_config *config = &work->journal->config;
	size_t guard_count, txn_count;
	struct guard_state *guards;
	struct db_rows **results;
	nid_t *ids;

	guard_count = collect_guards(work, batch, &ids);
	work->queued = 0;
	if (!queue(work, &DB_BEGIN, DB_NO_PARAMS, err))
		return false;
	if (guard_count && !queue(work, waiting ? config->lock_guards_waiting : config->lock_guards, DB_PARAMS(db_ints(ids, guard_count)), err))
		return false;
	if (!add_transaction_lookup(work, batch, &txn_count, err) || !flush(work, &results, err))
		return false;
	guards = ARENA_ARRAY(work->arena, guard_count, struct guard_state);
	for (size_t i = 0; i < guard_count; i++)
		guards[i].id = ids[i];
	*ret_guard_rows = guard_count ? results[1] : NULL;
	for (size_t row = 0; guard_count && db_next(results[1]); row++) {
		nid_t id = db_get_nid(results[1], 0), *at = bsearch(&id, ids, guard_count, sizeof(*ids), compare_nids);

		guards[at - ids] = (struct guard_state){ .id = id, .token = db_get_int(results[1], 1), .locked = true, .row = row };
	}
	if (txn_count)
		take_found_transactions(batch, results[guard_count ? 2 : 1]);
	*ret_guards = guards;
	*ret_guard_count = guard_count;
	return true;
}

static struct guard_state *find_guard(struct guard_state *guards, size_t count, nid_t id)
{
	for (size_t i = 0; i < count; i++) {
		if (guards[i].id == id)
			return &guards[i];
	}
	return NULL;
}

enum fate { WRITE_IT, ANSWER_FOUND, PUT_BACK, FAIL_IT };

static void rows_seek(struct db_rows *rows, size_t row)
{
	db_rewind(rows);
	for (size_t i = 0; i <= row; i++)
		db_next(rows);
}

/* What becomes of a set, now that the guards are locked. A moved guard has it built again, on what was locked or on the set before it. */
static enum fate judge(struct work *work, struct batch batch, size_t index, struct guard_state *guard, struct db_rows *guard_rows)
{
	struct write_set *set = batch.sets[index];

	if (set->found_event_id.len)
		return ANSWER_FOUND;
	if (guard && !guard->locked)
		return PUT_BACK;
	if (repeats_earlier(batch, index))
		return PUT_BACK;
	if (guard && guard->token != set->guard.expected) {
		rows_seek(guard_rows, guard->row);
		write_set_clear(set);
		count(work->journal, &work->journal->stats.rebuilds, 1);
		if (!set->rebuild || !set->rebuild(set->rebuild_context, set, guard_rows, guard->previous, &set->err)) {
			if (!set->err.status)
				err_internal(&set->err, "write set without a rebuild lost its guard %" PRId64, set->guard.id);
			return FAIL_IT;
		}
	}
	if (guard) {
		guard->token = set->guard.next;
		guard->previous = set->rebuild_context;
	}
	return WRITE_IT;
}

/* Rows of one table, over all sets of a batch, in order; of equal keys the last. */
struct table_rows {
	const struct write_table *table;
	const struct db_param **rows;
	size_t count, cap;
	struct map keys; /* key bytes → index + 1 */
};

static struct str row_key(struct arena *arena, const struct write_table *table, const struct db_param *row)
{
	CLEANUP(buf_done) struct buf buf = buf_init(64 * 1024);

	for (size_t i = 0; i < table->key_columns; i++) {
		if (row[i].type == DB_INT)
			buf_append(&buf, (struct str){ (const char *)&row[i].integer, sizeof(row[i].integer) });
		else {
			buf_append(&buf, (struct str){ (const char *)&row[i].text.len, sizeof(row[i].text.len) });
			buf_append(&buf, row[i].text);
		}
	}
	return str_dup(arena, buf_str(&buf));
}

static void table_rows_add(struct work *work, struct table_rows *table, const struct db_param *row)
{
	if (table->table->key_columns) {
		struct str key = row_key(work->arena, table->table, row);
		size_t at = (size_t)(uintptr_t)map_get(&table->keys, key);

		if (at) {
			table->rows[at - 1] = row;
			return;
		}
		map_put(&table->keys, key, (void *)(uintptr_t)(table->count + 1));
	}
	*ARENA_PUSH(work->arena, table->rows, table->count, table->cap) = row;
}

static struct db_param column_param(struct work *work, const struct table_rows *table, size_t column)
{
	enum db_type type = table->table->columns[column];
	bool *nulls = ARENA_ARRAY(work->arena, table->count, bool), *booleans = NULL;
	int64_t *integers = NULL;
	struct str *texts = NULL;
	struct db_param param = { .array = { .nulls = nulls, .count = table->count } };

	if (type == DB_INT)
		param = (struct db_param){ .type = DB_INTS, .array = { integers = ARENA_ARRAY(work->arena, table->count, int64_t), nulls, table->count } };
	else if (type == DB_BOOL)
		param = (struct db_param){ .type = DB_BOOLS, .array = { booleans = ARENA_ARRAY(work->arena, table->count, bool), nulls, table->count } };
	else
		param = (struct db_param){ .type = type == DB_BYTES ? DB_BYTES_ARRAY : DB_TEXTS,
			                   .array = { texts = ARENA_ARRAY(work->arena, table->count, struct str), nulls, table->count } };
	for (size_t i = 0; i < table->count; i++) {
		const struct db_param *value = &table->rows[i][column];

		nulls[i] = value->type == DB_NULL || value->is_null;
		if (nulls[i])
			continue;
		assert(value->type == type);
		if (integers)
			integers[i] = value->integer;
		else if (booleans)
			booleans[i] = value->boolean;
		else
			texts[i] = value->text;
	}
	return param;
}

static bool add_table_statement(struct work *work, const struct table_rows *table, struct err *err)
{
	struct db_param params[WRITE_MAX_COLUMNS];

	for (size_t i = 0; i < table->table->column_count; i++)
		params[i] = column_param(work, table, i);
	return queue(work, &table->table->statement, (struct db_params){ params, table->table->column_count }, err);
}

static int compare_tables(const void *a, const void *b)
{
	return ((const struct table_rows *)a)->table->order - ((const struct table_rows *)b)->table->order;
}

static bool add_tables(struct work *work, struct batch batch, struct err *err)
{
	struct table_rows *tables = NULL;
	size_t count = 0, cap = 0;
	bool ok = true;

	for (size_t i = 0; i < batch.count; i++) {
		for (const struct write_row *row = batch.sets[i]->rows; row; row = row->next) {
			struct table_rows *table = NULL;

			for (size_t t = 0; t < count && !table; t++)
				table = tables[t].table == row->table ? &tables[t] : NULL;
			if (!table) {
				table = ARENA_PUSH(work->arena, tables, count, cap);
				*table = (struct table_rows){ .table = row->table };
			}
			table_rows_add(work, table, row->values);
		}
	}
	if (count)
		qsort(tables, count, sizeof(*tables), compare_tables);
	for (size_t t = 0; t < count; t++) {
		ok = ok && add_table_statement(work, &tables[t], err);
		map_done(&tables[t].keys);
	}
	return ok;
}

static size_t collect_entries(struct work *work, struct batch batch, const struct journal_entry ***ret_entries)
{
	size_t count = 0, at = 0;

	for (size_t i = 0; i < batch.count; i++)
		count += batch.sets[i]->entry_count;
	*ret_entries = ARENA_ARRAY(work->arena, count, const struct journal_entry *);
	for (size_t i = 0; i < batch.count; i++) {
		for (const struct entry_node *node = batch.sets[i]->entries; node; node = node->next)
			(*ret_entries)[at++] = &node->entry;
	}
	return count;
}

/* All rows, the positions, COMMIT. *ret_last: the last position taken. */
static bool second_flush(struct work *work, struct batch batch, const struct journal_entry **entries, size_t entry_count, int64_t *ret_last,
                         struct err *err)
{
	struct db_params params;
	struct db_rows **results;
	size_t journal_at;

	journal_append_params(work->journal, work->batch_number, entries, entry_count, work->arena, &params);
	if (!add_tables(work, batch, err) || !queue(work, &JOURNAL_APPEND, params, err))
		return false;
	journal_at = work->queued - 1;
	if (!queue(work, &DB_COMMIT, DB_NO_PARAMS, err) || !flush(work, &results, err))
		return false;
	*ret_last = db_next(results[journal_at]) ? db_get_int(results[journal_at], 0) : 0;
	return true;
}

static void set_positions(struct batch batch, int64_t last, struct journal_entry *applied, size_t count)
{
	int64_t pos = last - (int64_t)count;
	size_t at = 0;

	for (size_t i = 0; i < batch.count; i++) {
		for (struct entry_node *node = batch.sets[i]->entries; node; node = node->next) {
			node->entry.pos = ++pos;
			applied[at++] = node->entry;
		}
	}
}

enum outcome { DONE, RERUN, SPLIT, FAILED, UNKNOWN, UNAPPLIED /* written, but what lies before it could not be read */ };

static enum outcome outcome_of(struct work *work)
{
	const char *state = db_sqlstate(work->db);

	if (db_is_broken(work->db))
		return UNKNOWN;
	if (!strncmp(state, "40", 2))
		return RERUN;
	if (!strncmp(state, "22", 2) || !strncmp(state, "23", 2))
		return SPLIT;
	return FAILED;
}

/* Sorts the batch into what is written now (left in it), answered, failed and put back. Returns the sets to put back, in order. */
static struct batch sort_out(struct work *work, struct batch *batch, struct guard_state *guards, size_t guard_count, struct db_rows *guard_rows)
{
	struct batch back = { ARENA_ARRAY(work->arena, batch->count, struct write_set *), 0 };
	enum fate *fates = ARENA_ARRAY(work->arena, batch->count, enum fate);
	size_t kept = 0;

	for (size_t i = 0; i < batch->count; i++)
		fates[i] = judge(work, *batch, i, find_guard(guards, guard_count, batch->sets[i]->guard.id), guard_rows);
	for (size_t i = 0; i < batch->count; i++) {
		struct write_set *set = batch->sets[i];

		if (fates[i] == WRITE_IT)
			batch->sets[kept++] = set;
		else if (fates[i] == PUT_BACK)
			back.sets[back.count++] = set;
		else
			finish(set, fates[i] == ANSWER_FOUND);
	}
	batch->count = kept;
	return back;
}

static enum outcome write_once(struct work *work, struct batch *batch, bool waiting, struct err *err)
{
	const struct journal_entry **entries;
	struct journal_entry *applied;
	struct guard_state *guards;
	struct db_rows *guard_rows;
	struct batch back;
	size_t guard_count, entry_count;
	int64_t last;

	if (!db_pipeline_begin(work->db, err) || !first_flush(work, *batch, waiting, &guards, &guard_count, &guard_rows, err))
		return outcome_of(work);
	back = sort_out(work, batch, guards, guard_count, guard_rows);
	for (size_t i = back.count; i-- > 0;) {
		back.sets[i]->put_off++;
		put_back(work->journal, back.sets[i]);
	}
	if (batch->count == 0) {
		db_rollback(work->db);
		return DONE;
	}
	entry_count = collect_entries(work, *batch, &entries);
	if (!second_flush(work, *batch, entries, entry_count, &last, err))
		return outcome_of(work);
	if (!db_pipeline_end(work->db, err))
		return UNKNOWN;
	applied = ARENA_ARRAY(work->arena, entry_count, struct journal_entry);
	set_positions(*batch, last, applied, entry_count);
	journal_notify_others(work->journal);
	return journal_apply(work->journal, applied, entry_count, err) ? DONE : UNAPPLIED;
}

/* After a lost connection: did the commit happen? The register of processes tells. */
static bool commit_happened(struct work *work, bool *ret_happened)
{
	struct db_rows *rows;
	struct err err = { 0 };

	for (int i = 0; i < RECONNECT_TRIES; i++) {
		struct timespec pause = { .tv_nsec = 250 * 1000000 };

		if (work->db)
			db_release(TAKE(work->db));
		if (db_acquire(work->journal->config.pool, &work->db, &err) &&
		    db_query(work->db, &SELECT_BATCH, DB_PARAMS(db_int(work->journal->process)), work->arena, &rows, &err)) {
			*ret_happened = db_next(rows) && db_get_int(rows, 0) == work->batch_number;
			return true;
		}
		nanosleep(&pause, NULL);
	}
	return false;
}

static void count_batch(struct journal *journal, size_t sets)
{
	size_t bucket = 0;
	LOCKED(&journal->stats_lock);

	for (size_t n = sets; n > 1 && bucket + 1 < ARRAY_LEN(journal->stats.batch_sizes); n >>= 1)
		bucket++;
	journal->stats.batch_sizes[bucket]++;
	journal->stats.batches++;
	journal->stats.sets += sets;
}

static void write_batch(struct work *work, struct batch batch, bool waiting);

static void write_halves(struct work *work, struct batch batch, bool waiting)
{
	size_t half = batch.count / 2;

	count(work->journal, &work->journal->stats.splits, 1);
	write_batch(work, (struct batch){ batch.sets, half }, waiting);
	write_batch(work, (struct batch){ batch.sets + half, batch.count - half }, waiting);
}

static void resolve_unknown(struct work *work, struct batch batch, struct err *err)
{
	bool happened = false;

	if (!commit_happened(work, &happened) || !happened) {
		if (err->status != 503) /* else it says why the connection was lost */
			err_status(err, 503, M_UNKNOWN, "The database is not available");
		err->retry_after_ms = RETRY_MS;
		fail_all(batch, err);
		return;
	}
	if (!journal_follow(work->journal, err)) { /* to be answered, it must have been applied here */
		fail_all(batch, err);
		return;
	}
	for (size_t i = 0; i < batch.count; i++)
		finish(batch.sets[i], true);
}

static void write_batch(struct work *work, struct batch batch, bool waiting)
{
	struct err err = { 0 };
	enum outcome outcome = RERUN;

	if (batch.count == 0)
		return;
	for (int i = 0; i < MAX_RERUNS && outcome == RERUN; i++) {
		if (!work->db && !db_acquire(work->journal->config.pool, &work->db, &err)) {
			outcome = FAILED;
			break;
		}
		work->batch_number++;
		outcome = write_once(work, &batch, waiting, &err);
		if (outcome == FAILED)
			journal_append_failed(work->db, &err);
		if (outcome != DONE && !db_is_broken(work->db))
			db_rollback(work->db);
	}
	if (outcome == DONE) {
		count_batch(work->journal, batch.count);
		for (size_t i = 0; i < batch.count; i++)
			finish(batch.sets[i], true);
	} else if (outcome == UNAPPLIED) {
		fail_all(batch, &err);
	} else if (outcome == UNKNOWN) {
		resolve_unknown(work, batch, &err);
	} else if (outcome == SPLIT && batch.count > 1) {
		write_halves(work, batch, waiting);
	} else {
		count(work->journal, &work->journal->stats.failures, batch.count);
		if (!err.status)
			err_internal(&err, "batch was rerun %d times", MAX_RERUNS);
		fail_all(batch, &err);
	}
}

/* Takes what is at hand, or waits for it. A set that was put off too often comes alone. */
static struct batch take_batch(struct journal *journal, struct write_set **sets, bool *ret_waiting)
{
	struct batch batch = { sets, 0 };
	LOCKED(&journal->queue_lock);

	while (!journal->queue && !journal->stopping)
		cond_wait(&journal->queue_filled, &journal->queue_lock);
	*ret_waiting = false;
	while (journal->queue && batch.count < MAX_BATCH && !*ret_waiting) {
		struct write_set *set = journal->queue;

		*ret_waiting = set->put_off >= MAX_PUT_OFF && set->guard.id;
		if (*ret_waiting && batch.count) {
			*ret_waiting = false;
			break;
		}
		journal->queue = set->next;
		set->next = NULL;
		batch.sets[batch.count++] = set;
		journal->queued--;
	}
	if (!journal->queue)
		journal->queue_end = &journal->queue;
	return batch;
}

void *committer_run(void *context)
{
	struct write_set *sets[MAX_BATCH];
	struct work work = { .journal = context, .arena = arena_new() };
	struct batch batch;
	bool waiting;

	work.batch_number = clock_wall_ms() * 1000; /* larger than any of an earlier life */
	while ((batch = take_batch(work.journal, sets, &waiting)).count) {
		write_batch(&work, batch, waiting);
		if (work.db && db_is_broken(work.db))
			db_release(TAKE(work.db));
		arena_reset(work.arena);
	}
	if (work.db)
		db_release(work.db);
	arena_free(work.arena);
	return NULL;
}
