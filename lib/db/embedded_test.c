/* Whole processes on one data folder: each is this program again, started with the folder as its argument. */
#include "db/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster.h"
#include "db/db.h"

#define WAIT_MS 120000

/* The server process: prints its connection string, or what is wrong, and leaves when its input ends. */
static int serve(const char *data)
{
	const struct embedded_config config = { .data_directory = str_of(data) };
	struct embedded_postgres *postgres;
	struct err err = { 0 };
	char c;

	if (!embedded_start(&config, &postgres, &err)) {
		printf("error: %s\n", err.detail);
		return 1;
	}
	printf("%.*s\n", STR_ARG(embedded_conninfo(postgres)));
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	embedded_stop(postgres);
	return 0;
}

struct process {
	pid_t pid;
	int in, out;
	char line[1024];
};

static struct process start(const char *data)
{
	struct process process = { 0 };
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	process.pid = fork();
	assert_true(process.pid >= 0);
	if (process.pid == 0) {
		if (dup2(in[0], STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0)
			_exit(127);
		execl("/proc/self/exe", "embedded_test", data, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	process.in = in[1];
	process.out = out[0];
	return process;
}

/* The line that it prints when it is up, or failed. */
static const char *await_line(struct process *process)
{
	size_t len = 0;

	while (len + 1 < sizeof(process->line) && read(process->out, process->line + len, 1) == 1 &&
	       process->line[len] != '\n')
		len++;
	process->line[len] = 0;
	return process->line;
}

/* Ends it, politely with signal 0: then it must have gone well, or have said why not. */
static void end(struct process *process, int signal)
{
	int status;

	if (signal)
		assert_int_equal(kill(process->pid, signal), 0);
	close(process->in);
	assert_int_equal(waitpid(process->pid, &status, 0), process->pid);
	close(process->out);
	if (!signal)
		assert_int_equal(status, str_starts_with(str_of(process->line), STR("error:")) ? 1 << 8 : 0);
}

struct fixture {
	struct arena *arena;
	char data[256];
	struct cluster cluster; /* as far as cluster_pid() needs it */
};

static int remove_entry(const char *path, const struct stat *info UNUSED, int type UNUSED, struct FTW *where UNUSED)
{
	return remove(path);
}

static int set_up(void **state)
{
	struct fixture *f = X_NEW(struct fixture);

	f->arena = arena_new();
	snprintf(f->data, sizeof(f->data), "/tmp/hearth-embedded-XXXXXX");
	assert_ptr_equal(mkdtemp(f->data), f->data);
	f->cluster.folder = str_printf(f->arena, "%s/postgresql/15", f->data).ptr;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	pid_t pid = cluster_pid(&f->cluster);

	if (pid)
		kill(pid, SIGQUIT); /* a test that failed left it */
	nftw(f->data, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	arena_free(f->arena);
	free(f);
	return 0;
}

static struct db_pool *connect_to(const char *conninfo)
{
	return db_pool_new(&(struct db_pool_config){ .conninfo = str_of(conninfo), .size = 1, .timeout_ms = 10000 });
}

static const struct db_statement COUNT = { "count_t", "SELECT count(*) FROM t" };

/* -1: it cannot be reached. */
static int64_t count_rows(const char *conninfo)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(db_pool_free) struct db_pool *pool = connect_to(conninfo);
	CLEANUP(db_release) struct db *db = NULL;
	struct err err = { 0 };
	struct db_rows *rows;

	if (!db_acquire(pool, &db, &err) || !db_query(db, &COUNT, DB_NO_PARAMS, arena, &rows, &err))
		return -1;
	assert_true(db_next(rows));
	return db_get_int(rows, 0);
}

static void fill(const char *conninfo, const char *sql)
{
	CLEANUP(db_pool_free) struct db_pool *pool = connect_to(conninfo);
	CLEANUP(db_release) struct db *db = NULL;
	struct err err = { 0 };

	if (!db_acquire(pool, &db, &err) || !db_exec_script(db, str_of(sql), &err))
		fail_msg("%s", err.detail);
}

static void the_last_one_out_stops_it(void **state)
{
	struct fixture *f = *state;
	struct process a, b;
	struct stat info;
	pid_t server;

	a = start(f->data); /* both at once: one of them makes the cluster, the other waits */
	b = start(f->data);
	assert_true(str_starts_with(str_of(await_line(&a)), STR("host=")));
	assert_string_equal(await_line(&b), a.line);
	assert_int_equal(stat(str_printf(f->arena, "%s/postgresql", f->data).ptr, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0700);
	server = cluster_pid(&f->cluster);
	assert_true(server > 0);
	fill(a.line, "CREATE TABLE t (v bigint); INSERT INTO t VALUES (1), (2)");
	end(&a, 0);
	assert_int_equal(cluster_pid(&f->cluster), server);
	assert_int_equal(count_rows(b.line), 2);
	end(&b, 0);
	assert_int_equal(cluster_pid(&f->cluster), 0);

	a = start(f->data);
	await_line(&a);
	assert_int_equal(count_rows(a.line), 2);
	end(&a, 0);
	assert_int_equal(cluster_pid(&f->cluster), 0);
}

static void an_orphan_is_adopted(void **state)
{
	struct fixture *f = *state;
	struct process a = start(f->data), b;
	pid_t server;

	await_line(&a);
	fill(a.line, "CREATE TABLE t (v bigint)");
	server = cluster_pid(&f->cluster);
	end(&a, SIGKILL);
	assert_int_equal(cluster_pid(&f->cluster), server);
	assert_int_equal(count_rows(a.line), 0);

	b = start(f->data);
	await_line(&b);
	assert_int_equal(cluster_pid(&f->cluster), server);
	end(&b, 0);
	assert_int_equal(cluster_pid(&f->cluster), 0);
}

static void a_server_that_dies_is_started_again(void **state)
{
	struct fixture *f = *state;
	struct process a = start(f->data), b = start(f->data);
	int64_t deadline_ms = clock_mono_ms() + WAIT_MS;
	pid_t server;

	await_line(&a);
	await_line(&b);
	fill(a.line, "CREATE TABLE t (v bigint); INSERT INTO t VALUES (1)");
	server = cluster_pid(&f->cluster);
	assert_int_equal(kill(server, SIGKILL), 0);
	while (count_rows(a.line) != 1) {
		assert_true(clock_mono_ms() < deadline_ms);
		usleep(100000);
	}
	assert_int_not_equal(cluster_pid(&f->cluster), server);
	end(&b, SIGKILL);
	end(&a, 0);
	assert_int_equal(cluster_pid(&f->cluster), 0);
}

static void what_a_crash_leaves_is_no_hindrance(void **state)
{
	struct fixture *f = *state;
	struct process a = start(f->data);
	FILE *pid_file;

	usleep(300000); /* in the midst of initdb, mostly */
	end(&a, SIGKILL);
	a = start(f->data);
	await_line(&a);
	fill(a.line, "CREATE TABLE t (v bigint)");
	end(&a, 0);

	/* The machine went down; the number of the server belongs to another process of the same user now. */
	pid_file = fopen(str_printf(f->arena, "%s/postmaster.pid", f->cluster.folder).ptr, "w");
	fprintf(pid_file, "%d\n%s\n1700000000\n5432\n%s/postgresql\n\n\nready\n", (int)getpid(), f->cluster.folder,
		f->data);
	fclose(pid_file);
	assert_int_equal(cluster_pid(&f->cluster), 0);
	a = start(f->data);
	assert_true(str_starts_with(str_of(await_line(&a)), STR("host=")));
	assert_int_equal(count_rows(a.line), 0);
	end(&a, 0);
}

/* As in a container that shares the folder with another one: there are other process ids. */
static void a_server_that_cannot_be_seen_is_joined(void **state)
{
	struct fixture *f = *state;
	const char *name = str_printf(f->arena, "%s/postmaster.pid", f->cluster.folder).ptr;
	const char *aside = str_printf(f->arena, "%s/postgresql/aside", f->data).ptr;
	struct process a = start(f->data), b;
	FILE *pid_file;

	await_line(&a);
	fill(a.line, "CREATE TABLE t (v bigint); INSERT INTO t VALUES (1)");
	assert_int_equal(rename(name, aside), 0);
	pid_file = fopen(name, "w");
	fprintf(pid_file, "%d\n", (int)getpid());
	fclose(pid_file);
	assert_int_equal(cluster_pid(&f->cluster), 0);
	b = start(f->data);
	assert_string_equal(await_line(&b), a.line);
	assert_int_equal(count_rows(b.line), 1);
	end(&b, 0);
	assert_int_equal(count_rows(a.line), 1);
	assert_int_equal(rename(aside, name), 0);
	end(&a, 0);
	assert_int_equal(cluster_pid(&f->cluster), 0);
}

static void a_long_path_keeps_its_socket_elsewhere(void **state)
{
	struct fixture *f = *state;
	struct process a, b;
	struct str host;

	for (int i = 0; i < 3; i++) {
		size_t len = strlen(f->data);

		snprintf(f->data + len, sizeof(f->data) - len, "/a-rather-long-name-of-a-folder-to-have");
		assert_int_equal(mkdir(f->data, 0700), 0);
	}
	a = start(f->data);
	assert_true(str_starts_with(str_of(await_line(&a)), STR("host='/tmp/hearth-")));
	fill(a.line, "CREATE TABLE t (v bigint)");
	b = start(f->data);
	assert_string_equal(await_line(&b), a.line);
	end(&a, 0);
	assert_int_equal(count_rows(b.line), 0);
	end(&b, 0);
	host = str_sub(str_of(a.line), strlen("host='"), strlen("/tmp/hearth-XXXXXX"));
	assert_int_equal(access(str_cstr(f->arena, host), F_OK), -1);
	f->data[strlen("/tmp/hearth-embedded-XXXXXX")] = 0;
}

static void faults_name_the_path(void **state)
{
	struct fixture *f = *state;
	const char *base = str_printf(f->arena, "%s/postgresql", f->data).ptr;
	struct process a;
	FILE *file;

	a = start("/nonexistent");
	assert_string_equal(await_line(&a), "error: /nonexistent: No such file or directory");
	end(&a, 0);

	assert_int_equal(mkdir(base, 0755), 0);
	assert_int_equal(mkdir(str_printf(f->arena, "%s/99", base).ptr, 0755), 0);
	a = start(f->data);
	assert_non_null(
		strstr(await_line(&a), "/postgresql/99 is of PostgreSQL 99, but the newest that is installed is"));
	end(&a, 0);
	assert_int_equal(rmdir(str_printf(f->arena, "%s/99", base).ptr), 0);

	assert_int_equal(mkdir(str_printf(f->arena, "%s/9", base).ptr, 0755), 0);
	a = start(f->data);
	assert_non_null(strstr(await_line(&a), "/postgresql/9 is of PostgreSQL 9, whose programs are not installed"));
	end(&a, 0);
	assert_int_equal(rmdir(str_printf(f->arena, "%s/9", base).ptr), 0);

	a = start(f->data);
	assert_true(str_starts_with(str_of(await_line(&a)), STR("host=")));
	end(&a, 0);
	file = fopen(str_printf(f->arena, "%s/postgresql.conf", f->cluster.folder).ptr, "a");
	fputs("max_connections = many\n", file);
	fclose(file);
	a = start(f->data);
	assert_non_null(strstr(await_line(&a), "does not start"));
	if (!strstr(a.line, "postgresql.conf\" contains errors"))
		fail_msg("%s", a.line);
	end(&a, 0);
}

/* What a newer version does with an older cluster, tried with one version under two names. */
static void a_cluster_is_copied_whole(void **state)
{
	struct fixture *f = *state;
	struct process a = start(f->data);
	const char *base = str_printf(f->arena, "%s/postgresql", f->data).ptr;
	const struct cluster from = { "/usr/lib/postgresql/15/bin", f->cluster.folder, base, base, 5432 };
	const struct cluster to = { from.programs, str_printf(f->arena, "%s/16", base).ptr, base, base, 5432 };
	struct err err = { 0 };

	await_line(&a);
	fill(a.line, "CREATE TABLE t (v bigint UNIQUE, b bytea, s text);"
		     "INSERT INTO t SELECT i, decode('00ff', 'hex'), E'a\\n' || i FROM generate_series(1, 1000) i");
	end(&a, 0);
	if (!cluster_copy(&from, &to, &err))
		fail_msg("%s", err.detail);
	assert_true(cluster_exists(&to) && cluster_exists(&from));
	assert_int_equal(cluster_pid(&to), 0);
	assert_int_equal(cluster_pid(&from), 0);
	assert_true(cluster_start(&to, &err));
	assert_int_equal(count_rows(cluster_conninfo(&to, f->arena).ptr), 1000);
	assert_true(cluster_stop(&to, &err));
}

/* PostgreSQL refuses to run as root. */
static void drop_root(void)
{
	const struct passwd *user = getpwnam("postgres");

	if (geteuid() != 0)
		return;
	if (chdir("/root") != 0) /* where the user that we become may not read */
		abort();
	if (!user)
		user = getpwnam("nobody");
	if (!user || initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
	    setuid(user->pw_uid) != 0)
		abort();
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(the_last_one_out_stops_it),
		CASE(an_orphan_is_adopted),
		CASE(a_server_that_dies_is_started_again),
		CASE(what_a_crash_leaves_is_no_hindrance),
		CASE(a_server_that_cannot_be_seen_is_joined),
		CASE(a_long_path_keeps_its_socket_elsewhere),
		CASE(faults_name_the_path),
		CASE(a_cluster_is_copied_whole),
	};

	if (argc == 2)
		return serve(argv[1]);
	drop_root();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
