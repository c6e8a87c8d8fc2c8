#include "migrations/migrations.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "db/test_postgres.h"

/* What a release brings is tried on nothing, and again on what it made. */
static void an_empty_database_gets_all_once(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct test_postgres *postgres = test_postgres_start();
	struct str conninfo = test_postgres_database(postgres, arena);
	struct db_pool *pool = db_pool_new(&(struct db_pool_config){ .conninfo = conninfo, .size = 1 });
	struct err err = { 0 };
	struct db *db = NULL;
	size_t applied = 0;

	if (!db_acquire(pool, &db, &err) || !migrate(db, hearth_migrations, hearth_migration_count, &applied, &err))
		fail_msg("%s", err.detail);
	assert_int_equal(applied, hearth_migration_count);
	assert_true(migrate(db, hearth_migrations, hearth_migration_count, &applied, &err));
	assert_int_equal(applied, 0);
	db_release(db);
	db_pool_free(pool);
	test_postgres_stop(postgres);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_database_gets_all_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
