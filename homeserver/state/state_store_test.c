#include "state/state_store.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "db/test_postgres.h"
#include "migrations/migrations.h"

#define ROOM       3
#define OTHER_ROOM 4

static struct test_postgres *postgres;

struct fixture {
	struct arena *arena;
	struct db_pool *pool;
	struct db *db;
	struct state_store *store;
	struct state_source source;
	struct err err;
};

static int set_up(void **state)
{
	struct fixture *f = X_NEW(struct fixture);
	struct str conninfo;
	size_t applied;

	f->arena = arena_new();
	conninfo = test_postgres_database(postgres, f->arena);
	f->pool = db_pool_new(&(struct db_pool_config){ .conninfo = conninfo, .size = 2, .timeout_ms = 5000 });
	assert_true(db_acquire(f->pool, &f->db, &f->err));
	if (!migrate(f->db, hearth_migrations, hearth_migration_count, &applied, &f->err))
		fail_msg("%s", f->err.detail);
	f->store = state_store_new(f->pool, 1 << 20);
	f->source = state_store_source(f->store);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	state_store_free(f->store);
	db_release(f->db);
	db_pool_free(f->pool);
	arena_free(f->arena);
	free(f);
	return 0;
}

static void store_rows(struct fixture *f, nid_t room, const struct state_build *build)
{
	int64_t *rooms = ARENA_ARRAY(f->arena, build->row_count, int64_t),
		*ids = ARENA_ARRAY(f->arena, build->row_count, int64_t);
	struct str *data = ARENA_ARRAY(f->arena, build->row_count, struct str);
	int64_t stored;

	for (size_t i = 0; i < build->row_count; i++) {
		rooms[i] = room;
		ids[i] = build->rows[i].row_id;
		data[i] = build->rows[i].data;
	}
	assert_true(db_exec(f->db, &STATE_ROW_INSERT,
			    DB_PARAMS(db_ints(rooms, build->row_count), db_ints(ids, build->row_count),
				      db_bytes_array(data, build->row_count)),
			    &stored, &f->err));
	assert_int_equal(stored, build->row_count);
}

static struct state_build apply(struct fixture *f, int64_t root, const struct state_entry *changes, size_t count)
{
	struct state_build build;

	if (!state_apply(&f->source, ROOM, root, changes, count, STATE_AS_BEFORE, f->arena, &build, &f->err))
		fail_msg("%s", f->err.detail);
	return build;
}

/* A room of `count` members of a few servers, stored. */
static struct state_build build_room(struct fixture *f, size_t count)
{
	struct state_entry *entries = ARENA_ARRAY(f->arena, count, struct state_entry);
	struct state_build build;

	for (size_t i = 0; i < count; i++)
		entries[i] = (struct state_entry){ (nid_t)(i % 5) << 32 | (nid_t)(i + 1), (nid_t)i + 1,
						   i % 5 ? MEMBERSHIP_JOIN : MEMBERSHIP_NONE };
	build = apply(f, 0, entries, count);
	store_rows(f, ROOM, &build);
	return build;
}

static size_t load_count(struct fixture *f, const struct state_source *source, int64_t root)
{
	struct state_entry *entries;
	size_t count;

	if (!state_load(source, ROOM, root, f->arena, &entries, &count, &f->err))
		fail_msg("%s", f->err.detail);
	return count;
}

static void reads_what_was_stored(void **state)
{
	struct fixture *f = *state;
	struct state_build build = build_room(f, 3000);
	struct state_store_on on = { f->store, f->db };
	struct state_source source_on = state_store_source_on(&on);
	uint64_t statements;

	assert_true(build.row_count > 1);
	assert_int_equal(load_count(f, &source_on, build.root), 3000);
	statements = db_pool_stats(f->pool).statements;
	assert_int_equal(load_count(f, &f->source, build.root), 3000);
	assert_int_equal(db_pool_stats(f->pool).statements, statements); /* all from the cache */
}

static void says_what_row_is_missing(void **state)
{
	struct fixture *f = *state;
	struct state_build build = build_room(f, 10);
	struct state_info info;

	state_store_free(f->store);
	f->store = state_store_new(f->pool, 1 << 20);
	f->source = state_store_source(f->store);
	assert_false(state_info(&f->source, OTHER_ROOM, build.root, &info, &f->err));
	assert_int_equal(f->err.status, 500);
	assert_non_null(strstr(f->err.detail, "room 4 has no state row"));
}

static void builds_on_rows_that_are_not_stored_yet(void **state)
{
	static const struct state_entry first = { 1, 10, MEMBERSHIP_NONE }, second = { 2, 11, MEMBERSHIP_NONE };
	struct fixture *f = *state;
	struct state_build one = apply(f, 0, &first, 1), two;
	struct state_info info;

	assert_false(state_info(&f->source, ROOM, one.root, &info, &f->err));
	state_store_pin(f->store, &one);
	two = apply(f, one.root, &second, 1);
	state_store_pin(f->store, &two);
	assert_int_equal(two.info.count, 2);
	store_rows(f, ROOM, &one);
	state_store_unpin(f->store, &one, true);
	state_store_unpin(f->store, &two, false);
	assert_true(state_info(&f->source, ROOM, one.root, &info, &f->err));
	assert_false(state_info(&f->source, ROOM, two.root, &info, &f->err));
}

static void hands_out_row_ids_once(void **state)
{
	struct fixture *f = *state;
	CLEANUP(state_store_free) struct state_store *other = state_store_new(f->pool, 1 << 20);
	struct state_source sources[] = { f->source, state_store_source(other) };
	struct idmap seen = { 0 };

	for (size_t i = 0; i < 5000; i++) {
		const struct state_source *source = &sources[i % 2];
		int64_t id;

		assert_true(source->next_row_id(source->context, &id, &f->err));
		assert_true(id > 0);
		assert_null(idmap_get(&seen, id));
		idmap_put(&seen, id, f);
	}
	idmap_done(&seen);
}

struct worker {
	struct fixture *fixture;
	nid_t first_key;
	pthread_t thread;
	int64_t root;
	bool ok;
};

/* A room's life: each change is built on the one before, which is pinned, and not always stored yet. */
static void *change_and_read(void *context)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct worker *worker = context;
	const struct state_source *source = &worker->fixture->source;
	struct state_store *store = worker->fixture->store;
	struct state_build builds[200];
	struct err err = { 0 };

	worker->ok = true;
	for (size_t i = 0; i < ARRAY_LEN(builds) && worker->ok; i++) {
		struct state_entry change = { worker->first_key + (nid_t)(i % 90), (nid_t)i + 1, MEMBERSHIP_NONE }, got;

		worker->ok =
			state_apply(source, ROOM, worker->root, &change, 1, STATE_AS_BEFORE, arena, &builds[i], &err) &&
			builds[i].root != worker->root;
		state_store_pin(store, &builds[i]);
		worker->root = builds[i].root;
		worker->ok = worker->ok && state_get(source, ROOM, worker->root, &change.key, 1, &got, &err) &&
			     got.event == change.event;
	}
	for (size_t i = 0; i < ARRAY_LEN(builds) && worker->ok; i++)
		state_store_unpin(store, &builds[i], true);
	return NULL;
}

static void serves_threads(void **state)
{
	struct fixture *f = *state;
	struct worker workers[4];

	for (size_t i = 0; i < ARRAY_LEN(workers); i++) {
		workers[i] = (struct worker){ .fixture = f, .first_key = 1 + (nid_t)i * 1000 };
		workers[i].thread = thread_start("worker", change_and_read, &workers[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(workers); i++)
		thread_join(workers[i].thread);
	for (size_t i = 0; i < ARRAY_LEN(workers); i++) {
		assert_true(workers[i].ok);
		assert_int_equal(load_count(f, &f->source, workers[i].root), 90);
	}
}

static void count_problem(void *context, struct str problem UNUSED)
{
	++*(size_t *)context;
}

static size_t problems(struct fixture *f, const int64_t *roots, size_t count)
{
	size_t found = 0;
	struct state_check check = { count_problem, &found };

	if (!state_store_check(f->db, ROOM, roots, count, &check, &f->err))
		fail_msg("%s", f->err.detail);
	return found;
}

/* Flips a bit of the count, which stands behind the flags. */
static const struct db_statement MISCOUNT = {
	.name = "miscount",
	.sql = "UPDATE state_rows SET data = set_byte(data, 1, get_byte(data, 1) # 1) WHERE row_id = $1",
};
static const struct db_statement CUT = {
	.name = "cut",
	.sql = "UPDATE state_rows SET data = substr(data, 1, length(data) - 1) WHERE row_id = $1",
};
static const struct db_statement DELETE = { .name = "delete", .sql = "DELETE FROM state_rows WHERE row_id = $1" };

static void damage(struct fixture *f, const struct db_statement *statement, int64_t row_id)
{
	assert_true(db_exec(f->db, statement, DB_PARAMS(db_int(row_id)), NULL, &f->err));
}

static void the_check_finds_damage(void **state)
{
	struct fixture *f = *state;
	struct state_build build = build_room(f, 3000), next;
	struct state_entry change = { INT64_C(1) << 32 | 2, 5000, MEMBERSHIP_LEAVE };
	int64_t roots[3] = { build.root };

	for (size_t i = 1; i < ARRAY_LEN(roots); i++) {
		change.event++;
		next = apply(f, roots[i - 1], &change, 1);
		roots[i] = next.root;
		store_rows(f, ROOM, &next);
	}
	assert_int_equal(problems(f, roots, ARRAY_LEN(roots)), 0);
	damage(f, &MISCOUNT, roots[1]);
	assert_int_equal(problems(f, roots, ARRAY_LEN(roots)), 1);
	damage(f, &MISCOUNT, roots[1]);
	assert_int_equal(problems(f, roots, ARRAY_LEN(roots)), 0);
	damage(f, &CUT, roots[2]);
	assert_int_equal(problems(f, roots, 2), 1);                /* the row */
	assert_int_equal(problems(f, roots, ARRAY_LEN(roots)), 2); /* and the root */
	damage(f, &DELETE, build.rows[0].row_id);
	assert_true(problems(f, roots, ARRAY_LEN(roots)) > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_what_was_stored, set_up, tear_down),
		cmocka_unit_test_setup_teardown(says_what_row_is_missing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(builds_on_rows_that_are_not_stored_yet, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hands_out_row_ids_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(serves_threads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_check_finds_damage, set_up, tear_down),
	};
	int failed;

	postgres = test_postgres_start();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_postgres_stop(postgres);
	return failed;
}
