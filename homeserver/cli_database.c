/* migrate, check-database. */
#include "check/check.h"
#include "cli.h"
#include "db/migrate.h"
#include "deployment.h"
#include "media/media.h"

extern const struct migration hearth_migrations[];
extern const size_t hearth_migration_count;

/* The options that both have; false: *ret_status says how it ended. */
static bool read_arguments(const struct command *command, int argc, char **argv, struct arena *arena,
			   struct config_strings *files, int *ret_status)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (option == 'c') {
			cli_add_config(files, optarg, arena);
			continue;
		}
		if (option == 'h')
			cli_print_usage(stdout, command);
		*ret_status = option == 'h' ? CLI_DONE : cli_misused(command);
		return false;
	}
	if (optind < argc) {
		*ret_status = cli_misused(command);
		return false;
	}
	cli_default_config(files, arena);
	return true;
}

static bool migrate_database(const struct deployment *deployment, size_t *ret_applied, struct err *err)
{
	CLEANUP(db_pool_free) struct db_pool *pool = db_pool_new(&deployment->setup.database);
	CLEANUP(db_release) struct db *db = NULL;

	return db_acquire(pool, &db, err) && migrate(db, hearth_migrations, hearth_migration_count, ret_applied, err);
}

int cli_migrate(const struct command *command, int argc, char **argv)
{
	CLEANUP(deployment_close) struct deployment deployment = { 0 };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct config_strings files = { 0 };
	struct err err = { 0 };
	size_t applied;
	int status;

	if (!read_arguments(command, argc, argv, arena, &files, &status))
		return status;
	if (!deployment_read(&deployment, files, &err) || !deployment_connect(&deployment, &err) ||
	    !migrate_database(&deployment, &applied, &err))
		return cli_error(&err);
	printf("%zu migrations applied, %zu in all\n", applied, hearth_migration_count);
	return CLI_DONE;
}

static bool check_schema(struct db_pool *pool, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;

	return db_acquire(pool, &db, err) && migrate_check(db, hearth_migrations, hearth_migration_count, err);
}

static bool check_deployment(const struct deployment *deployment, const struct check *check, size_t *ret_problems, struct err *err)
{
	CLEANUP(db_pool_free) struct db_pool *pool = db_pool_new(&deployment->setup.database);
	size_t rows, files;

	if (!check_schema(pool, err) || !check_database(pool, check, &rows, err) ||
	    !media_check(pool, deployment->options->media_store_path, check, &files, err))
		return false;
	*ret_problems = rows + files;
	return true;
}

static void print_problem(void *context, struct str problem)
{
	fprintf(context, "%.*s\n", STR_ARG(problem));
}

int cli_check_database(const struct command *command, int argc, char **argv)
{
	CLEANUP(deployment_close) struct deployment deployment = { 0 };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const struct check check = { print_problem, stdout };
	struct config_strings files = { 0 };
	struct err err = { 0 };
	size_t problems = 0;
	int status;

	if (!read_arguments(command, argc, argv, arena, &files, &status))
		return status;
	if (!deployment_read(&deployment, files, &err) || !deployment_connect(&deployment, &err) ||
	    !check_deployment(&deployment, &check, &problems, &err))
		return cli_error(&err);
	if (problems)
		printf("%zu problems\n", problems);
	else
		printf("No problems\n");
	return problems ? CLI_FAILED : CLI_DONE;
}
