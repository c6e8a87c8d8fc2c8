#include "db/db.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "db/migrate.h"
#include "db/test_postgres.h"

static struct test_postgres *postgres;

struct fixture {
	struct arena *arena;
	struct str conninfo;
	struct db_pool *pool;
};

static int set_up(void **state)
{
	struct fixture *f = X_NEW(struct fixture);

	f->arena = arena_new();
	f->conninfo = test_postgres_database(postgres, f->arena);
	f->pool = db_pool_new(&(struct db_pool_config){ .conninfo = f->conninfo, .size = 4, .timeout_ms = 2000 });
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (db_pool_stats(f->pool).in_use == 0) /* a test that failed may have left some */
		db_pool_free(f->pool);
	arena_free(f->arena);
	free(f);
	return 0;
}

static struct db *acquire(struct fixture *f)
{
	struct err err = { 0 };
	struct db *db = NULL;

	if (!db_acquire(f->pool, &db, &err))
		fail_msg("%d %s (%s)", err.status, err.message, err.detail);
	return db;
}

/* Shows the error of what had to succeed. */
#define OK(call)                                                                                                       \
	do {                                                                                                           \
		struct err err = { 0 };                                                                                \
		if (!(call))                                                                                           \
			fail_msg("%s: %d %s (%s)", #call, err.status, err.message, err.detail);                        \
	} while (0)
#define FAILS(call, with_status, with_sqlstate)                                                                        \
	do {                                                                                                           \
		struct err err = { 0 };                                                                                \
		assert_false(call);                                                                                    \
		assert_int_equal(err.status, with_status);                                                             \
		assert_string_equal(db_sqlstate(db), with_sqlstate);                                                   \
	} while (0)

static void assert_str(struct str got, struct str expected)
{
	if (!str_eq(got, expected))
		fail_msg("\"%.*s\" is not \"%.*s\"", STR_ARG(got), STR_ARG(expected));
}

static void values_travel_both_ways(void **state)
{
	static const struct db_statement ECHO = {
		.name = "echo",
		.sql = "SELECT $1, $2, $3, $4, $5, $1::smallint, $1::int, NULL::bigint, NULL::text",
	};
	struct fixture *f = *state;
	CLEANUP(db_release) struct db *db = acquire(f);
	static const struct {
		int64_t integer;
		bool boolean;
		double number;
		struct str text, bytes;
	} cases[] = {
		{ 0, false, 0, STR_INIT(""), STR_INIT("") },
		{ -32768, true, -1.5, STR_INIT("日本語"), STR_INIT("a\0b\xff") },
		{ 32767, true, 1e300, STR_INIT("'; DROP TABLE x; --"), STR_INIT("\\x41") },
	};
	struct db_rows *rows;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OK(db_query(db, &ECHO,
			    DB_PARAMS(db_int(cases[i].integer), db_bool(cases[i].boolean), db_double(cases[i].number),
				      db_text(cases[i].text), db_bytes(cases[i].bytes)),
			    f->arena, &rows, &err));
		assert_int_equal(db_row_count(rows), 1);
		assert_true(db_next(rows));
		assert_int_equal(db_get_int(rows, 0), cases[i].integer);
		assert_int_equal(db_get_bool(rows, 1), cases[i].boolean);
		assert_true(db_get_double(rows, 2) == cases[i].number);
		assert_str(db_get_str(rows, 3), cases[i].text);
		assert_str(db_get_str(rows, 4), cases[i].bytes);
		assert_int_equal(db_get_int(rows, 5), cases[i].integer);
		assert_int_equal(db_get_int(rows, 6), cases[i].integer);
		assert_true(db_is_null(rows, 7) && db_get_int(rows, 7) == 0);
		assert_true(db_is_null(rows, 8) && db_get_str(rows, 8).len == 0);
		assert_false(db_next(rows));
	}
}

static void arrays_travel_both_ways(void **state)
{
	static const struct db_statement ECHO = { "echo_arrays", "SELECT $1, $2, $3, $4::text, array_length($1, 1)" };
	static const int64_t ints[] = { 1, INT64_MIN, 3 };
	static const struct str texts[] = { STR_INIT("a"), STR_INIT(""), STR_INIT("ü\"{},") };
	static const struct str blobs[] = { STR_INIT("\0"), STR_INIT("\xff\xfe"), STR_INIT("x") };
	static const bool bools[] = { true, false, true }, nulls[] = { false, true, false };
	struct fixture *f = *state;
	CLEANUP(db_release) struct db *db = acquire(f);
	struct db_rows *rows;
	struct str *got_strs;
	int64_t *got_ints;

	OK(db_query(db, &ECHO,
		    DB_PARAMS(db_ints(ints, 3), db_texts(texts, 3), db_bytes_array(blobs, 3), db_bools(bools, 3)),
		    f->arena, &rows, &err));
	assert_true(db_next(rows));
	assert_int_equal(db_get_ints(rows, 0, f->arena, &got_ints), 3);
	assert_memory_equal(got_ints, ints, sizeof(ints));
	assert_int_equal(db_get_strs(rows, 1, f->arena, &got_strs), 3);
	for (size_t i = 0; i < 3; i++)
		assert_str(got_strs[i], texts[i]);
	assert_int_equal(db_get_strs(rows, 2, f->arena, &got_strs), 3);
	for (size_t i = 0; i < 3; i++)
		assert_str(got_strs[i], blobs[i]);
	assert_str(db_get_str(rows, 3), STR("{t,f,t}"));

	OK(db_query(db, &ECHO,
		    DB_PARAMS(db_with_nulls(db_ints(ints, 3), nulls), db_with_nulls(db_texts(texts, 3), nulls),
			      db_bytes_array(NULL, 0), db_with_nulls(db_bools(bools, 3), nulls)),
		    f->arena, &rows, &err));
	assert_true(db_next(rows));
	assert_int_equal(db_get_ints(rows, 0, f->arena, &got_ints), 3);
	assert_true(got_ints[0] == 1 && got_ints[1] == 0 && got_ints[2] == 3);
	assert_int_equal(db_get_strs(rows, 1, f->arena, &got_strs), 3);
	assert_str(got_strs[2], texts[2]);
	assert_int_equal(db_get_strs(rows, 2, f->arena, &got_strs), 0);
	assert_str(db_get_str(rows, 3), STR("{t,NULL,t}"));
}

static void a_type_may_become_known_after_null(void **state)
{
	static const struct db_statement INSERT = { "insert_small", "INSERT INTO t (small, body) VALUES ($1, $2)" };
	static const struct db_statement SUM = { "sum_small",
						 "SELECT sum(small)::bigint, string_agg(body, ',') FROM t" };
	struct fixture *f = *state;
	CLEANUP(db_release) struct db *db = acquire(f);
	struct db_rows *rows;

	OK(db_exec_script(db, STR("CREATE TABLE t (small smallint, body text)"), &err));
	OK(db_exec(db, &INSERT, DB_PARAMS(db_null(), db_null()), NULL, &err));
	OK(db_exec(db, &INSERT, DB_PARAMS(db_int(7), db_null()), NULL, &err));
	OK(db_exec(db, &INSERT, DB_PARAMS(db_null(), db_text(STR("a"))), NULL, &err));
	OK(db_exec(db, &INSERT, DB_PARAMS(db_int_or_null(0), db_text_or_null(STR(""))), NULL, &err));
	OK(db_exec(db, &INSERT, DB_PARAMS(db_int_or_null(1), db_text_or_null(STR("b"))), NULL, &err));
	OK(db_query(db, &SUM, DB_NO_PARAMS, f->arena, &rows, &err));
	assert_true(db_next(rows));
	assert_int_equal(db_get_int(rows, 0), 8);
	assert_str(db_get_str(rows, 1), STR("a,b"));
}

static const struct db_statement INSERT_N = { "insert_n", "INSERT INTO n (v) VALUES ($1)" };
static const struct db_statement COUNT_N = { "count_n", "SELECT count(*) FROM n" };

static int64_t count_n(struct fixture *f, struct db *db)
{
	struct db_rows *rows;

	OK(db_query(db, &COUNT_N, DB_NO_PARAMS, f->arena, &rows, &err));
	assert_true(db_next(rows));
	return db_get_int(rows, 0);
}

static void a_transaction_is_all_or_nothing(void **state)
{
	struct fixture *f = *state;
	struct db *db = acquire(f), *first = db;

	OK(db_exec_script(db, STR("CREATE TABLE n (v bigint UNIQUE)"), &err));
	OK(db_begin(db, &err));
	OK(db_exec(db, &INSERT_N, DB_PARAMS(db_int(1)), NULL, &err));
	OK(db_commit(db, &err));

	OK(db_begin(db, &err));
	OK(db_exec(db, &INSERT_N, DB_PARAMS(db_int(2)), NULL, &err));
	db_rollback(db);
	assert_int_equal(count_n(f, db), 1);

	OK(db_begin(db, &err)); /* nothing happens in it */
	OK(db_commit(db, &err));
	OK(db_begin(db, &err));
	db_rollback(db);

	OK(db_begin(db, &err)); /* a commit that cannot be one says so */
	FAILS(db_exec(db, &INSERT_N, DB_PARAMS(db_int(1)), NULL, &err), 500, "23505");
	assert_string_equal(db_constraint(db), "n_v_key");
	assert_false(db_should_retry(db));
	FAILS(db_commit(db, &err), 500, "");
	assert_false(db_is_broken(db));

	OK(db_begin(db, &err)); /* left open */
	OK(db_exec(db, &INSERT_N, DB_PARAMS(db_int(3)), NULL, &err));
	db_release(db);
	db = acquire(f);
	assert_ptr_equal(db, first);
	assert_int_equal(count_n(f, db), 1);
	db_release(db);
}

static void a_pipeline_tells_which_statement_failed(void **state)
{
	struct fixture *f = *state;
	CLEANUP(db_release) struct db *db = acquire(f);
	struct db_rows **rows;
	size_t failed = 0;

	OK(db_exec_script(db, STR("CREATE TABLE n (v bigint UNIQUE)"), &err));
	OK(db_pipeline_begin(db, &err));
	for (int round = 0; round < 3; round++) {
		OK(db_pipeline_add(db, &DB_BEGIN, DB_NO_PARAMS, &err));
		OK(db_pipeline_add(db, &INSERT_N, DB_PARAMS(db_int(100 + round)), &err));
		OK(db_pipeline_add(db, &COUNT_N, DB_NO_PARAMS, &err));
		OK(db_pipeline_flush(db, f->arena, &rows, NULL, &err));
		assert_int_equal(db_affected(rows[1]), 1);
		assert_true(db_next(rows[2]));
		assert_int_equal(db_get_int(rows[2], 0), 2 * round + 1);
		OK(db_pipeline_add(db, &INSERT_N, DB_PARAMS(db_int(round)), &err));
		if (round == 1) {
			OK(db_pipeline_add(db, &INSERT_N, DB_PARAMS(db_int(0)), &err)); /* it is there */
			OK(db_pipeline_add(db, &INSERT_N, DB_PARAMS(db_int(50)), &err));
			OK(db_pipeline_add(db, &DB_COMMIT, DB_NO_PARAMS, &err));
			FAILS(db_pipeline_flush(db, f->arena, &rows, &failed, &err), 500, "23505");
			assert_int_equal(failed, 1);
			round++; /* 101 is gone with it */
			OK(db_pipeline_add(db, &COUNT_N, DB_NO_PARAMS, &err));
			OK(db_pipeline_flush(db, f->arena, &rows, NULL, &err));
			assert_true(db_next(rows[0]));
			assert_int_equal(db_get_int(rows[0], 0), 2);
		} else {
			OK(db_pipeline_add(db, &DB_COMMIT, DB_NO_PARAMS, &err));
			OK(db_pipeline_flush(db, f->arena, &rows, NULL, &err));
		}
	}
	OK(db_pipeline_end(db, &err));
	assert_int_equal(count_n(f, db), 2);
}

static void a_large_pipeline_passes(void **state)
{
	static const struct db_statement INSERT = {
		.name = "insert_large",
		.sql = "INSERT INTO large (id, body) SELECT * FROM unnest($1::bigint[], $2::text[]) RETURNING id, body",
	};
	enum { ROWS = 500, STATEMENTS = 100 };
	struct fixture *f = *state;
	CLEANUP(db_release) struct db *db = acquire(f);
	int64_t *ids = ARENA_ARRAY(f->arena, ROWS, int64_t);
	struct str *bodies = ARENA_ARRAY(f->arena, ROWS, struct str);
	struct db_rows **rows;

	/* 50 MB in both directions at once: who only writes before he reads never ends. */
	OK(db_exec_script(db, STR("CREATE UNLOGGED TABLE large (id bigint, body text)"), &err));
	OK(db_pipeline_begin(db, &err));
	for (int64_t i = 0; i < STATEMENTS; i++) {
		for (int64_t j = 0; j < ROWS; j++) {
			ids[j] = i * ROWS + j;
			bodies[j] = str_printf(f->arena, "%01000" PRId64, ids[j]);
		}
		assert_int_equal(db_pipeline_count(db), i);
		OK(db_pipeline_add(db, &INSERT, DB_PARAMS(db_ints(ids, ROWS), db_texts(bodies, ROWS)), &err));
	}
	OK(db_pipeline_flush(db, f->arena, &rows, NULL, &err));
	for (int64_t i = 0; i < STATEMENTS; i++) {
		assert_int_equal(db_row_count(rows[i]), ROWS);
		assert_true(db_next(rows[i]));
		assert_int_equal(db_get_int(rows[i], 0), i * ROWS);
		assert_str(db_get_str(rows[i], 1), str_printf(f->arena, "%01000" PRId64, i * ROWS));
	}
	OK(db_pipeline_end(db, &err));
}

static void an_abandoned_pipeline_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct db *db = acquire(f);

	OK(db_exec_script(db, STR("CREATE TABLE n (v bigint UNIQUE)"), &err));
	OK(db_pipeline_begin(db, &err));
	OK(db_pipeline_add(db, &INSERT_N, DB_PARAMS(db_int(1)), &err));
	db_release(db);
	db = acquire(f);
	assert_int_equal(count_n(f, db), 0);
	db_release(db);
	assert_int_equal(db_pool_stats(f->pool).connects, 2);
}

static const struct db_statement BACKEND_PID = { "backend_pid", "SELECT pg_backend_pid()" };
static const struct db_statement TERMINATE = { "terminate", "SELECT pg_terminate_backend($1::int, 5000)" };

static int64_t backend_pid(struct fixture *f, struct db *db)
{
	struct db_rows *rows;

	OK(db_query(db, &BACKEND_PID, DB_NO_PARAMS, f->arena, &rows, &err));
	assert_true(db_next(rows));
	return db_get_int(rows, 0);
}

static void a_lost_connection_is_told_and_replaced(void **state)
{
	struct fixture *f = *state;
	struct db *db = acquire(f), *killer = acquire(f);
	struct db_rows **rows;
	size_t failed = 0;

	OK(db_exec_script(db, STR("CREATE TABLE n (v bigint UNIQUE)"), &err));
	/* In a transaction. */
	OK(db_begin(db, &err));
	OK(db_exec(db, &INSERT_N, DB_PARAMS(db_int(1)), NULL, &err));
	OK(db_exec(killer, &TERMINATE, DB_PARAMS(db_int(backend_pid(f, db))), NULL, &err));
	FAILS(db_exec(db, &INSERT_N, DB_PARAMS(db_int(2)), NULL, &err), 503, "");
	assert_true(db_is_broken(db));
	assert_false(db_should_retry(db));
	FAILS(db_commit(db, &err), 503, "");
	FAILS(db_begin(db, &err), 503, "");
	FAILS(db_exec_script(db, STR("SELECT 1"), &err), 503, "");
	db_rollback(db);
	db_release(db);

	/* In a pipeline. */
	db = acquire(f);
	assert_int_equal(count_n(f, db), 0);
	OK(db_pipeline_begin(db, &err));
	OK(db_pipeline_add(db, &BACKEND_PID, DB_NO_PARAMS, &err));
	OK(db_pipeline_flush(db, f->arena, &rows, NULL, &err));
	assert_true(db_next(rows[0]));
	OK(db_exec(killer, &TERMINATE, DB_PARAMS(db_int(db_get_int(rows[0], 0))), NULL, &err));
	OK(db_pipeline_add(db, &INSERT_N, DB_PARAMS(db_int(1)), &err));
	FAILS(db_pipeline_flush(db, f->arena, &rows, &failed, &err), 503, "");
	assert_true(failed == SIZE_MAX);
	FAILS(db_pipeline_add(db, &INSERT_N, DB_PARAMS(db_int(1)), &err), 503, "");
	FAILS(db_pipeline_end(db, &err), 503, "");
	db_release(db);

	/* While idle: nobody notices. */
	db = acquire(f);
	OK(db_exec(killer, &TERMINATE, DB_PARAMS(db_int(backend_pid(f, db))), NULL, &err));
	db_release(db);
	db = acquire(f);
	assert_int_equal(count_n(f, db), 0);
	db_release(db);
	db_release(killer);
}

/* Where the answer to the sync point should stand: a check that is made there, or a server that shuts down just then. */
static void an_error_at_the_end_gives_the_connection_up(void **state)
{
	static const struct db_statement insert = { "insert_late", "INSERT INTO late (v) VALUES ($1)" };
	struct fixture *f = *state;
	struct db *db = acquire(f);

	OK(db_exec_script(db, STR("CREATE TABLE late (v bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)"), &err));
	OK(db_exec(db, &insert, DB_PARAMS(db_int(1)), NULL, &err));
	FAILS(db_exec(db, &insert, DB_PARAMS(db_int(1)), NULL, &err), 500, "23505");
	assert_true(db_is_broken(db));
	db_release(db);
	db = acquire(f);
	OK(db_exec(db, &insert, DB_PARAMS(db_int(2)), NULL, &err));
	db_release(db);
}

static void while_the_server_is_away_the_answer_is_quick(void **state)
{
	struct fixture *f = *state;
	struct db *db = acquire(f);
	int64_t start_ms, deadline_ms;
	struct err fault = { 0 };

	db_release(db);
	test_postgres_shutdown(postgres);
	start_ms = clock_mono_ms();
	for (int i = 0; i < 1000; i++) {
		assert_false(db_acquire(f->pool, &db, &fault));
		assert_int_equal(fault.status, 503);
		assert_true(fault.retry_after_ms > 0);
	}
	assert_true(clock_mono_ms() - start_ms < 2000);
	test_postgres_boot(postgres);
	deadline_ms = clock_mono_ms() + 10000;
	while (!db_acquire(f->pool, &db, &fault)) {
		assert_true(clock_mono_ms() < deadline_ms);
		usleep(50000);
	}
	assert_true(backend_pid(f, db) > 0);
	db_release(db);
}

static void a_server_that_stands_still_is_given_up(void **state)
{
	static const struct db_statement SLEEP = { "sleep", "SELECT pg_sleep(10)" };
	struct fixture *f = *state;
	const struct db_pool_config config = { .conninfo = f->conninfo, .size = 1, .timeout_ms = 200 };
	CLEANUP(db_pool_free) struct db_pool *pool = db_pool_new(&config);
	struct db *db, *second;
	struct err fault = { 0 };
	int64_t start_ms;
	pid_t pid;

	OK(db_acquire(pool, &db, &err));
	assert_false(db_acquire(pool, &second, &fault));
	assert_int_equal(fault.status, 503);
	start_ms = clock_mono_ms();
	FAILS(db_exec(db, &SLEEP, DB_NO_PARAMS, NULL, &err), 500, "57014");
	assert_true(clock_mono_ms() - start_ms < 2000);
	assert_false(db_is_broken(db));
	pid = (pid_t)backend_pid(f, db);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	FAILS(db_exec(db, &SLEEP, DB_NO_PARAMS, NULL, &err), 503, "");
	assert_true(clock_mono_ms() - start_ms < 8000);
	assert_int_equal(kill(pid, SIGCONT), 0);
	db_release(db);
}

/* Else each of them would be waited for in its turn. */
static void where_one_is_lost_the_others_are_given_up(void **state)
{
	struct fixture *f = *state;
	const struct db_pool_config config = { .conninfo = f->conninfo, .size = 3, .timeout_ms = 200 };
	CLEANUP(db_pool_free) struct db_pool *pool = db_pool_new(&config);
	struct db *db, *second, *third;
	pid_t pid;

	OK(db_acquire(pool, &db, &err));
	OK(db_acquire(pool, &second, &err));
	OK(db_acquire(pool, &third, &err));
	db_release(second);
	db_release(third);
	assert_int_equal(db_pool_stats(pool).idle, 2);
	pid = (pid_t)backend_pid(f, db);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	FAILS(db_exec(db, &INSERT_N, DB_PARAMS(db_int(1)), NULL, &err), 503, "");
	assert_int_equal(kill(pid, SIGCONT), 0);
	db_release(db);
	assert_int_equal(db_pool_stats(pool).idle, 0);
	OK(db_acquire(pool, &db, &err));
	db_release(db);
}

static void *hold_for_a_while(void *context)
{
	struct fixture *f = context;

	for (int i = 0; i < 50; i++) {
		CLEANUP(db_release) struct db *db = NULL;
		struct err err = { 0 };

		if (!db_acquire(f->pool, &db, &err)) {
			fprintf(stderr, "%s\n", err.detail);
			abort();
		}
		if (!db_exec(db, &BACKEND_PID, DB_NO_PARAMS, NULL, &err)) {
			fprintf(stderr, "%s\n", err.detail);
			abort();
		}
	}
	return NULL;
}

static void a_waiter_gets_what_is_released(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[12];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		threads[i] = thread_start("hold", hold_for_a_while, f);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		thread_join(threads[i]);
	assert_true(db_pool_stats(f->pool).connects <= 4);
	assert_int_equal(db_pool_stats(f->pool).in_use, 0);
}

static void a_stale_plan_is_made_anew(void **state)
{
	static const struct db_statement SELECT = { "select_v", "SELECT * FROM n" };
	struct fixture *f = *state;
	struct db *db = acquire(f), *other = acquire(f);
	struct db_rows **results, *rows;

	OK(db_exec_script(other, STR("CREATE TABLE n (v bigint)"), &err));
	OK(db_query(db, &SELECT, DB_NO_PARAMS, f->arena, &rows, &err));
	OK(db_exec_script(other, STR("ALTER TABLE n ALTER v TYPE text; INSERT INTO n VALUES ('a')"), &err));
	OK(db_query(db, &SELECT, DB_NO_PARAMS, f->arena, &rows, &err));
	assert_true(db_next(rows));
	assert_str(db_get_str(rows, 0), STR("a"));

	/* In a transaction or a pipeline it is the caller who tries again. */
	OK(db_exec_script(other, STR("ALTER TABLE n ALTER v TYPE bytea USING v::bytea"), &err));
	OK(db_begin(db, &err));
	OK(db_exec(db, &BACKEND_PID, DB_NO_PARAMS, NULL, &err));
	FAILS(db_query(db, &SELECT, DB_NO_PARAMS, f->arena, &rows, &err), 500, "0A000");
	assert_true(db_should_retry(db));
	db_rollback(db);
	OK(db_query(db, &SELECT, DB_NO_PARAMS, f->arena, &rows, &err));

	OK(db_exec_script(other, STR("ALTER TABLE n ALTER v TYPE text USING encode(v, 'hex')"), &err));
	OK(db_pipeline_begin(db, &err));
	OK(db_pipeline_add(db, &SELECT, DB_NO_PARAMS, &err));
	FAILS(db_pipeline_flush(db, f->arena, &results, NULL, &err), 500, "0A000");
	assert_true(db_should_retry(db));
	OK(db_pipeline_add(db, &SELECT, DB_NO_PARAMS, &err));
	OK(db_pipeline_flush(db, f->arena, &results, NULL, &err));
	OK(db_pipeline_end(db, &err));

	OK(db_exec_script(db, STR("DEALLOCATE ALL"), &err));
	OK(db_query(db, &SELECT, DB_NO_PARAMS, f->arena, &rows, &err));
	db_release(db);
	db_release(other);
}

static void notifications_wake(void **state)
{
	struct fixture *f = *state;
	CLEANUP(db_release) struct db *db = acquire(f);
	CLEANUP(db_release) struct db *other = acquire(f);
	int64_t start_ms = clock_mono_ms();
	int wake[2];
	bool got;

	OK(db_listen(db, "Journal \"1\"", &err));
	OK(db_wait_notify(db, start_ms + 100, -1, &got, &err));
	assert_false(got);
	assert_true(clock_mono_ms() - start_ms >= 100);

	OK(db_notify(other, "Journal \"1\"", STR("7"), &err));
	OK(db_notify(other, "something else", STR("7"), &err));
	OK(db_wait_notify(db, clock_mono_ms() + 5000, -1, &got, &err));
	assert_true(got);

	OK(db_notify(other, "Journal \"1\"", STR("8"), &err));
	assert_true(backend_pid(f, db) > 0); /* comes with the answer */
	OK(db_wait_notify(db, clock_mono_ms() + 5000, -1, &got, &err));
	assert_true(got);
	OK(db_wait_notify(db, clock_mono_ms(), -1, &got, &err));
	assert_false(got);

	assert_int_equal(pipe(wake), 0);
	assert_int_equal(write(wake[1], "x", 1), 1);
	OK(db_wait_notify(db, clock_mono_ms() + 60000, wake[0], &got, &err));
	assert_false(got);
	OK(db_exec(other, &TERMINATE, DB_PARAMS(db_int(backend_pid(f, db))), NULL, &err));
	close(wake[0]);
	close(wake[1]);
	FAILS(db_wait_notify(db, clock_mono_ms() + 60000, -1, &got, &err), 503, "");
}

static void a_listening_connection_is_not_lent_again(void **state)
{
	struct fixture *f = *state;
	struct db *db = acquire(f);

	OK(db_listen(db, "journal", &err));
	db_release(db);
	assert_int_equal(db_pool_stats(f->pool).idle, 0);
}

static void databases_that_would_sort_otherwise_are_refused(void **state)
{
	static const struct {
		const char *options, *detail;
	} cases[] = {
		{ "ENCODING 'LATIN1' LOCALE 'C'", "has the encoding LATIN1, it must be created with UTF8" },
		{ "LOCALE 'C.UTF-8'", "has the collation C.UTF-8, it must be created with the locale C" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str conninfo = test_postgres_database_with(postgres, cases[i].options, f->arena);
		const struct db_pool_config config = { .conninfo = conninfo, .size = 1 };
		CLEANUP(db_pool_free) struct db_pool *pool = db_pool_new(&config);
		struct err err = { 0 };
		struct db *db;

		assert_false(db_acquire(pool, &db, &err));
		assert_int_equal(err.status, 500);
		assert_non_null(strstr(err.detail, cases[i].detail));
	}
}

static void bad_values_are_refused_by_the_server(void **state)
{
	static const struct db_statement ECHO = { "echo_text", "SELECT $1::text" };
	struct fixture *f = *state;
	CLEANUP(db_release) struct db *db = acquire(f);

	FAILS(db_exec(db, &ECHO, DB_PARAMS(db_text(STR("a\0b"))), NULL, &err), 400, "22021");
	FAILS(db_exec(db, &ECHO, DB_PARAMS(db_text(STR("\xff"))), NULL, &err), 400, "22021");
	FAILS(db_exec_script(db, STR("SELECT 1; SELECT 1/0; SELECT 2"), &err), 500, "22012");
	OK(db_exec(db, &ECHO, DB_PARAMS(db_text(STR("fine"))), NULL, &err));
}

/* A full disk, no memory: it passes, and the connection is still good. */
static void what_the_server_runs_out_of_is_told(void **state)
{
	struct fixture *f = *state;
	struct db *db = acquire(f);
	struct err fault = { 0 };

	assert_false(db_exec_script(db, STR("DO $$ BEGIN RAISE disk_full; END $$"), &fault));
	assert_int_equal(fault.status, 503);
	assert_true(fault.retry_after_ms > 0);
	assert_string_equal(db_sqlstate(db), "53100");
	assert_false(db_is_broken(db));
	db_release(db);
}

static void migrations_run_once(void **state)
{
	static const struct migration all[] = {
		{ 1, "0001_a.sql", STR_INIT("-- A table.\nCREATE TABLE a (id bigint);\nINSERT INTO a VALUES (1);\n") },
		{ 3, "0003_b.sql",
		  STR_INIT("-- no transaction\nDROP INDEX IF EXISTS a_id;\nCREATE INDEX CONCURRENTLY a_id\n\tON a "
			   "(id);\n") },
		{ 4, "0004_c.sql", STR_INIT("-- requires 3\nINSERT INTO a VALUES (2);") },
	};
	struct migration changed[2] = { all[0], all[1] };
	struct fixture *f = *state;
	CLEANUP(db_release) struct db *db = acquire(f);
	size_t applied;

	OK(migrate(db, all, 0, &applied, &err));
	assert_int_equal(applied, 0);
	OK(migrate(db, all, 2, &applied, &err));
	assert_int_equal(applied, 2);
	OK(migrate(db, all, 3, &applied, &err));
	assert_int_equal(applied, 1);
	OK(migrate(db, all, 3, &applied, &err));
	assert_int_equal(applied, 0);
	OK(migrate(db, all, 2, &applied, &err)); /* the release before runs beside it */
	FAILS(migrate(db, all, 1, &applied, &err), 500, "");
	changed[1].sql = STR("-- no transaction\n;");
	FAILS(migrate(db, changed, 2, &applied, &err), 500, "");
}

static void a_database_is_checked_against_the_migrations(void **state)
{
	static const struct migration all[] = {
		{ 1, "0001_a.sql", STR_INIT("CREATE TABLE a (id bigint);") },
		{ 2, "0002_b.sql", STR_INIT("CREATE TABLE b (id bigint);") },
	};
	struct fixture *f = *state;
	CLEANUP(db_release) struct db *db = acquire(f);
	size_t applied;

	FAILS(migrate_check(db, all, 1, &err), 500, ""); /* empty */
	OK(migrate(db, all, 1, &applied, &err));
	OK(migrate_check(db, all, 1, &err));
	FAILS(migrate_check(db, all, 2, &err), 500, ""); /* older */
	OK(migrate(db, all, 2, &applied, &err));
	OK(migrate_check(db, all, 2, &err));
	FAILS(migrate_check(db, all, 1, &err), 500, ""); /* newer */
}

struct migration_run {
	struct fixture *f;
	size_t applied;
};

static void *run_migrations(void *context)
{
	static const struct migration all[] = {
		{ 1, "0001_a.sql", STR_INIT("SELECT pg_sleep(0.3); CREATE TABLE a (id bigint);") },
		{ 2, "0002_b.sql", STR_INIT("-- no transaction\nCREATE INDEX CONCURRENTLY a_id ON a (id);") },
		{ 3, "0003_c.sql", STR_INIT("INSERT INTO a VALUES (1)") },
	};
	struct migration_run *run = context;
	struct err err = { 0 };
	struct db *db;

	if (!db_acquire(run->f->pool, &db, &err) || !migrate(db, all, ARRAY_LEN(all), &run->applied, &err)) {
		fprintf(stderr, "%s\n", err.detail);
		abort();
	}
	db_release(db);
	return NULL;
}

static void migrations_run_once_among_many(void **state)
{
	struct fixture *f = *state;
	struct migration_run runs[4] = { { f, 0 }, { f, 0 }, { f, 0 }, { f, 0 } };
	pthread_t threads[ARRAY_LEN(runs)];
	size_t applied = 0;

	for (size_t i = 0; i < ARRAY_LEN(runs); i++)
		threads[i] = thread_start("migrate", run_migrations, &runs[i]);
	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		thread_join(threads[i]);
		applied += runs[i].applied;
	}
	assert_int_equal(applied, 3);
}

static void a_migration_that_fails_leaves_nothing(void **state)
{
	static const struct migration bad[] = {
		{ 1, "0001_a.sql", STR_INIT("CREATE TABLE a (id bigint);") },
		{ 2, "0002_b.sql", STR_INIT("CREATE TABLE b (id bigint); SELECT 1/0;") },
	};
	static const struct migration good[] = {
		{ 1, "0001_a.sql", STR_INIT("CREATE TABLE a (id bigint);") },
		{ 2, "0002_b.sql", STR_INIT("CREATE TABLE b (id bigint); SELECT pg_sleep(0.4);") },
	};
	static const struct db_statement SLEEP = { "sleep", "SELECT pg_sleep(0.4)" };
	struct fixture *f = *state;
	const struct db_pool_config config = { .conninfo = f->conninfo, .size = 1, .timeout_ms = 200 };
	CLEANUP(db_pool_free) struct db_pool *pool = db_pool_new(&config);
	CLEANUP(db_release) struct db *db = NULL;
	struct err fault = { 0 };
	size_t applied;

	OK(db_acquire(pool, &db, &err));
	assert_false(migrate(db, bad, 2, &applied, &fault));
	assert_string_equal(fault.detail, "migration 0002_b.sql: script: division by zero (22012)");
	OK(migrate(db, good, 2, &applied, &err)); /* takes longer than a statement may */
	assert_int_equal(applied, 1);
	FAILS(db_exec(db, &SLEEP, DB_NO_PARAMS, NULL, &err), 500, "57014");
}

static int start_server(void **state UNUSED)
{
	postgres = test_postgres_start();
	return 0;
}

static int stop_server(void **state UNUSED)
{
	test_postgres_stop(postgres);
	return 0;
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(values_travel_both_ways),
		CASE(arrays_travel_both_ways),
		CASE(a_type_may_become_known_after_null),
		CASE(a_transaction_is_all_or_nothing),
		CASE(a_pipeline_tells_which_statement_failed),
		CASE(a_large_pipeline_passes),
		CASE(an_abandoned_pipeline_leaves_nothing),
		CASE(a_lost_connection_is_told_and_replaced),
		CASE(an_error_at_the_end_gives_the_connection_up),
		CASE(while_the_server_is_away_the_answer_is_quick),
		CASE(a_server_that_stands_still_is_given_up),
		CASE(where_one_is_lost_the_others_are_given_up),
		CASE(a_waiter_gets_what_is_released),
		CASE(a_stale_plan_is_made_anew),
		CASE(notifications_wake),
		CASE(a_listening_connection_is_not_lent_again),
		CASE(databases_that_would_sort_otherwise_are_refused),
		CASE(bad_values_are_refused_by_the_server),
		CASE(what_the_server_runs_out_of_is_told),
		CASE(migrations_run_once),
		CASE(a_database_is_checked_against_the_migrations),
		CASE(migrations_run_once_among_many),
		CASE(a_migration_that_fails_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
