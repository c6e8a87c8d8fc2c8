#include "db/test_postgres.h"

#include <errno.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOOT_TIMEOUT_MS 60000

struct test_postgres {
	char folder[64], data[80];
	char binaries[256];
	const struct passwd *user; /* NULL: ourselves */
	pid_t pid;
	unsigned databases;
};

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "test_postgres: %s failed: %s\n", #condition, strerror(errno));                \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

static int by_version(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

static void find_binaries(struct test_postgres *postgres)
{
	glob_t found;

	MUST(glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) == 0);
	qsort(found.gl_pathv, found.gl_pathc, sizeof(*found.gl_pathv), by_version);
	snprintf(postgres->binaries, sizeof(postgres->binaries), "%s", found.gl_pathv[found.gl_pathc - 1]);
	globfree(&found);
}

/* PostgreSQL refuses to run as root. The signal on our death is forgotten when the user changes, so it comes after. */
static void become_user(const struct passwd *user)
{
	if (user)
		MUST(initgroups(user->pw_name, user->pw_gid) == 0 && setgid(user->pw_gid) == 0 &&
		     setuid(user->pw_uid) == 0);
	MUST(prctl(PR_SET_PDEATHSIG, SIGQUIT) == 0);
}

static pid_t spawn(struct test_postgres *postgres, const char *program, char *argv[])
{
	char path[320];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s", postgres->binaries, program);
	fflush(NULL);
	pid = fork();
	MUST(pid >= 0);
	if (pid)
		return pid;
	become_user(postgres->user);
	MUST(chdir("/") == 0 && freopen("/dev/null", "r", stdin) && freopen("/dev/null", "w", stdout));
	if (!getenv("TEST_POSTGRES_VERBOSE"))
		MUST(freopen("/dev/null", "w", stderr));
	argv[0] = path; /* by which they find each other, without a PATH */
	execv(path, argv);
	_exit(127);
}

static void init_cluster(struct test_postgres *postgres)
{
	char *argv[] = { "initdb",     "-D",        postgres->data,      "-U", "hearth", "-A", "trust", "-E", "UTF8",
			 "--locale=C", "--no-sync", "--no-instructions", NULL };
	int status;

	MUST(waitpid(spawn(postgres, "initdb", argv), &status, 0) > 0);
	MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void test_postgres_boot(struct test_postgres *postgres)
{
	char *argv[] = { "postgres",
			 "-D",
			 postgres->data,
			 "-k",
			 postgres->folder,
			 "-c",
			 "listen_addresses=",
			 "-c",
			 "fsync=off",
			 "-c",
			 "full_page_writes=off",
			 "-c",
			 "shared_buffers=32MB",
			 "-c",
			 "max_connections=100",
			 NULL };
	int64_t deadline_ms = clock_mono_ms() + BOOT_TIMEOUT_MS;
	char conninfo[128];

	postgres->pid = spawn(postgres, "postgres", argv);
	snprintf(conninfo, sizeof(conninfo), "host=%s user=hearth dbname=postgres", postgres->folder);
	while (PQping(conninfo) != PQPING_OK) {
		MUST(clock_mono_ms() < deadline_ms);
		MUST(waitpid(postgres->pid, NULL, WNOHANG) == 0);
		usleep(20000);
	}
}

struct test_postgres *test_postgres_start(void)
{
	struct test_postgres *postgres = X_NEW(struct test_postgres);

	find_binaries(postgres);
	snprintf(postgres->folder, sizeof(postgres->folder), "/tmp/hearth-postgres-XXXXXX");
	MUST(mkdtemp(postgres->folder));
	snprintf(postgres->data, sizeof(postgres->data), "%s/data", postgres->folder);
	if (geteuid() == 0) {
		postgres->user = getpwnam("postgres");
		if (!postgres->user)
			postgres->user = getpwnam("nobody");
		MUST(postgres->user && chown(postgres->folder, postgres->user->pw_uid, postgres->user->pw_gid) == 0);
	}
	init_cluster(postgres);
	test_postgres_boot(postgres);
	return postgres;
}

void test_postgres_shutdown(struct test_postgres *postgres)
{
	if (postgres->pid <= 0)
		return;
	/* "Immediate": no checkpoint, recovery at the next start; unlike kill -9 it takes the children along at once.
	 */
	MUST(kill(postgres->pid, SIGQUIT) == 0);
	MUST(waitpid(postgres->pid, NULL, 0) == postgres->pid);
	postgres->pid = 0;
}

static int remove_entry(const char *path, const struct stat *info UNUSED, int type UNUSED, struct FTW *where UNUSED)
{
	return remove(path);
}

void test_postgres_stop(struct test_postgres *postgres)
{
	if (!postgres)
		return;
	test_postgres_shutdown(postgres);
	MUST(nftw(postgres->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
	free(postgres);
}

struct str test_postgres_database_with(struct test_postgres *postgres, const char *options, struct arena *arena)
{
	struct str name = str_printf(arena, "test_%u", ++postgres->databases);
	struct str admin = str_printf(arena, "host=%s user=hearth dbname=postgres", postgres->folder);
	PGconn *conn = PQconnectdb(admin.ptr);
	PGresult *result;

	result = PQexec(conn, str_printf(arena, "CREATE DATABASE %s TEMPLATE template0 %s", name.ptr, options).ptr);
	if (PQresultStatus(result) != PGRES_COMMAND_OK) {
		fprintf(stderr, "test_postgres: %s", PQerrorMessage(conn));
		abort();
	}
	PQclear(result);
	PQfinish(conn);
	return str_printf(arena, "host=%s user=hearth dbname=%s", postgres->folder, name.ptr);
}

struct str test_postgres_database(struct test_postgres *postgres, struct arena *arena)
{
	return test_postgres_database_with(postgres, "", arena);
}
