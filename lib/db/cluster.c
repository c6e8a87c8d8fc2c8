#include "cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <libpq-fe.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "process.h"

#define USER             "hearth" /* owner of everything in the cluster, and the name of the database */
#define START_TIMEOUT_MS (INT64_C(10) * 60 * 1000) /* recovery after a crash reads up to max_wal_size twice */
#define START_TIMEOUT_S  "600"
#define STOP_TIMEOUT_S   "120"
#define START_ATTEMPTS   10
#define PING_TIMEOUT_S   "5"
#define PAUSE_US         (200 * 1000)

static const char *path(struct arena *arena, const char *folder, const char *name)
{
	return str_printf(arena, "%s/%s", folder, name).ptr;
}

bool cluster_programs_version(const char *programs, const char *base, int *ret_version, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const char *output = path(arena, base, "version.log");
	const char *argv[] = { path(arena, programs, "postgres"), "--version", NULL };
	struct str rest, word;
	int64_t version = 0;

	/* "postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)" */
	if (!process_run(argv, output, err))
		return false;
	rest = file_last_line(output, arena);
	unlink(output);
	for (int i = 0; i < 3 && str_split(&rest, ' ', &word); i++)
		;
	word = str_sub(word, 0, strspn(word.ptr, "0123456789"));
	if (!str_to_int64(word, &version) || version < 15 || version > 1000)
		return err_internal(err, "%s is PostgreSQL %.*s, 15 is needed", argv[0], STR_ARG(word));
	*ret_version = (int)version;
	return true;
}

bool cluster_exists(const struct cluster *cluster)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();

	return access(path(arena, cluster->folder, "PG_VERSION"), F_OK) == 0;
}

/* Creating. */

static int remove_entry(const char *entry, const struct stat *info UNUSED, int type UNUSED, struct FTW *where UNUSED)
{
	remove(entry);
	return 0;
}

static void remove_leftovers(const struct cluster *cluster, struct arena *arena)
{
	glob_t found;

	if (glob(path(arena, cluster->base, "new-*"), GLOB_NOSORT, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		nftw(found.gl_pathv[i], remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	globfree(&found);
}

static bool sync_folder(const char *folder, struct err *err)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (!ok)
		err_internal(err, "%s: %s", folder, strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool rename_folder(const char *from, const struct cluster *cluster, struct err *err)
{
	if (rename(from, cluster->folder) != 0)
		return err_internal(err, "%s: %s", cluster->folder, strerror(errno));
	return sync_folder(cluster->base, err);
}

/* Our settings are a file of their own, written anew at each start; what an operator puts after the line that includes
 * it stands. */
static bool include_settings(const char *folder, struct arena *arena, struct err *err)
{
	const char *name = path(arena, folder, "postgresql.conf");
	FILE *file = fopen(name, "ae");
	bool ok = file && fputs("\ninclude 'hearth.conf'\n# Settings of your own go below.\n", file) >= 0;

	if (file && fclose(file) != 0)
		ok = false;
	return ok || err_internal(err, "%s: %s", name, strerror(errno));
}

/* initdb in a folder that nobody else knows: should we be killed now, it may go on for a moment beside the next
 * attempt. */
static bool init_folder(const struct cluster *cluster, char *folder, struct arena *arena, struct err *err)
{
	const char *argv[] = { path(arena, cluster->programs, "initdb"),
			       "-D",
			       folder,
			       "-U",
			       USER,
			       "-A",
			       "trust",
			       "-E",
			       "UTF8",
			       "--locale=C",
			       "--no-instructions",
			       NULL };

	if (!mkdtemp(folder))
		return err_internal(err, "%s: %s", folder, strerror(errno));
	return process_run(argv, path(arena, cluster->base, "initdb.log"), err) && include_settings(folder, arena, err);
}

bool cluster_create(const struct cluster *cluster, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	char *folder = str_cstr(arena, str_of(path(arena, cluster->base, "new-XXXXXX")));

	remove_leftovers(cluster, arena);
	return init_folder(cluster, folder, arena, err) && rename_folder(folder, cluster, err);
}

/* Running. */

static void put_setting(FILE *file, const char *name, const char *value)
{
	fprintf(file, "%s = '", name);
	for (; *value; value++) {
		if (*value == '\'' || *value == '\\')
			fputc(*value, file);
		fputc(*value, file);
	}
	fputs("'\n", file);
}

/*
 * For a small machine shared with us. The log keeps a week; no statements and no values stand in it, they may hold
 * secrets. What is not here is PostgreSQL's default: fsync and synchronous_commit are on.
 */
static bool write_settings(const struct cluster *cluster, struct arena *arena, struct err *err)
{
	static const char *const settings[][2] = {
		{ "listen_addresses", "" },
		{ "unix_socket_permissions", "0700" },
		{ "max_connections", "100" },
		{ "shared_buffers", "128MB" },
		{ "wal_compression", "on" },
		{ "jit", "off" },
		{ "log_destination", "stderr" },
		{ "logging_collector", "on" },
		{ "log_filename", "postgresql-%a.log" },
		{ "log_truncate_on_rotation", "on" },
		{ "log_rotation_age", "1d" },
		{ "log_rotation_size", "0" },
		{ "log_file_mode", "0600" },
		{ "log_min_error_statement", "panic" },
		{ "log_error_verbosity", "terse" },
		{ "log_checkpoints", "off" },
		{ "log_timezone", "UTC" },
		{ "timezone", "UTC" },
		{ "lc_messages", "C" },
	};
	const char *name = path(arena, cluster->folder, "hearth.conf");
	FILE *file = fopen(name, "we");
	bool ok;

	if (!file)
		return err_internal(err, "%s: %s", name, strerror(errno));
	fputs("# Written anew at each start. Settings of your own go into postgresql.conf.\n", file);
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		put_setting(file, settings[i][0], settings[i][1]);
	put_setting(file, "unix_socket_directories", cluster->socket_folder);
	put_setting(file, "log_directory", path(arena, cluster->base, "log"));
	put_setting(file, "port", str_printf(arena, "%d", cluster->port).ptr);
	ok = !ferror(file);
	if (fclose(file) != 0)
		ok = false;
	return ok || err_internal(err, "%s: %s", name, strerror(errno));
}

/* What stands in a line of postmaster.pid, counted from 1. */
static struct str pid_file_line(const struct cluster *cluster, int number, struct arena *arena)
{
	char *bytes = arena_alloc(arena, 1024);
	int fd = open(path(arena, cluster->folder, "postmaster.pid"), O_RDONLY | O_CLOEXEC);
	struct str rest, line = { 0 };
	ssize_t len;

	if (fd < 0)
		return line;
	len = read(fd, bytes, 1024);
	close(fd);
	rest = (struct str){ bytes, (size_t)MAX(len, 0) };
	for (int i = 0; i < number; i++) {
		if (!str_split(&rest, '\n', &line))
			return (struct str){ 0 };
	}
	return str_trim(line);
}

/* A server's working folder is its cluster. Where there is no /proc we have to believe. */
static bool works_in(pid_t pid, const struct cluster *cluster, struct arena *arena)
{
	struct stat theirs, ours;

	if (stat("/proc/self/cwd", &ours) != 0)
		return true;
	return stat(str_printf(arena, "/proc/%d/cwd", (int)pid).ptr, &theirs) == 0 &&
	       stat(cluster->folder, &ours) == 0 && theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

pid_t cluster_pid(const struct cluster *cluster)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	int64_t pid;

	if (!str_to_int64(pid_file_line(cluster, 1, arena), &pid) || pid <= 1 || pid > INT32_MAX)
		return 0;
	if (kill((pid_t)pid, 0) != 0 || !works_in((pid_t)pid, cluster, arena))
		return 0;
	return (pid_t)pid;
}

/*
 * A killed server leaves its postmaster.pid behind, and a number in it that may be another process by now: after a
 * restart of a container, quite surely. PostgreSQL would not start then. That no orphaned backend is at work it finds
 * out by its shared memory, not by this file.
 */
static void remove_stale_pid_file(const struct cluster *cluster, struct arena *arena)
{
	if (cluster_pid(cluster) == 0)
		unlink(path(arena, cluster->folder, "postmaster.pid"));
}

static bool is_newer(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* The last line of the log that was written last: the one that catches the first words, or the one that PostgreSQL
 * keeps. */
static struct str last_words(const struct cluster *cluster, struct arena *arena)
{
	const char *newest = path(arena, cluster->base, "start.log");
	struct timespec latest = { 0 };
	struct stat info;
	glob_t found;

	if (stat(newest, &info) == 0)
		latest = info.st_mtim;
	if (glob(path(arena, cluster->base, "log/*.log"), GLOB_NOSORT, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			if (stat(found.gl_pathv[i], &info) != 0 || !is_newer(&info.st_mtim, &latest))
				continue;
			latest = info.st_mtim;
			newest = str_cstr(arena, str_of(found.gl_pathv[i]));
		}
		globfree(&found);
	}
	return str_printf(arena, "%s says: %.*s", newest, STR_ARG(file_last_line(newest, arena)));
}

static bool pg_ctl_start(const struct cluster *cluster, struct arena *arena, struct err *err)
{
	const char *log = path(arena, cluster->base, "start.log");
	const char *argv[] = { path(arena, cluster->programs, "pg_ctl"),
			       "start",
			       "-D",
			       cluster->folder,
			       "-l",
			       log,
			       "-w",
			       "-s",
			       "-t",
			       START_TIMEOUT_S,
			       NULL };

	unlink(log);
	remove_stale_pid_file(cluster, arena);
	if (!write_settings(cluster, arena, err))
		return false;
	return process_run(argv, path(arena, cluster->base, "pg_ctl.log"), err);
}

static struct str conninfo_of(const struct cluster *cluster, const char *database, struct arena *arena)
{
	struct str quoted = str_printf(arena, "host='");

	for (const char *c = cluster->socket_folder; *c; c++)
		quoted = str_printf(arena, "%.*s%s%c", STR_ARG(quoted), *c == '\'' || *c == '\\' ? "\\" : "", *c);
	return str_printf(arena, "%.*s' port=%d user=" USER " dbname=%s", STR_ARG(quoted), cluster->port, database);
}

struct str cluster_conninfo(const struct cluster *cluster, struct arena *arena)
{
	return conninfo_of(cluster, USER, arena);
}

/* Somebody holds the socket, even if too busy to take connections. */
static bool has_listener(const struct cluster *cluster)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int len = snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.%d", cluster->socket_folder,
			   cluster->port);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool has = fd >= 0 && len < (int)sizeof(address.sun_path) &&
		   (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN);

	if (fd >= 0)
		close(fd);
	return has;
}

/* Where two containers share the folder, the process of the one is not seen in the other, and neither would PostgreSQL
 * see it: two servers would write into one cluster. But its socket is there for both. */
bool cluster_runs(const struct cluster *cluster)
{
	return cluster_pid(cluster) || has_listener(cluster);
}

/* false: none runs. A server that does is waited for until it takes connections; whoever still cannot connect then is
 * told why. */
static bool join_server(const struct cluster *cluster, struct arena *arena)
{
	struct str conninfo = conninfo_of(cluster, "postgres", arena);
	const char *patient = str_printf(arena, "%.*s connect_timeout=" PING_TIMEOUT_S, STR_ARG(conninfo)).ptr;
	int64_t deadline_ms = clock_mono_ms() + START_TIMEOUT_MS;
	struct err ignored;

	while (cluster_runs(cluster)) {
		if (PQping(patient) == PQPING_OK || clock_mono_ms() > deadline_ms)
			return true;
		/* Somebody asked it to stop, politely: it waits until all connections end, and takes none. */
		if (str_eq(pid_file_line(cluster, 8, arena), STR("stopping")))
			cluster_stop(cluster, &ignored);
		usleep(PAUSE_US);
	}
	return false;
}

/*
 * Several attempts: orphaned backends of a killed server take a moment to notice, until then PostgreSQL refuses to
 * start; and a pg_ctl whose caller was killed may be starting it just now.
 */
static bool start_server(const struct cluster *cluster, struct arena *arena, struct err *err)
{
	for (int i = 1; !join_server(cluster, arena) && !pg_ctl_start(cluster, arena, err); i++) {
		if (i == START_ATTEMPTS)
			return err_detail(err, "PostgreSQL in %s does not start: %.*s", cluster->folder,
					  STR_ARG(last_words(cluster, arena)));
		usleep(PAUSE_US);
	}
	return true;
}

static bool create_database(const struct cluster *cluster, struct arena *arena, struct err *err)
{
	PGconn *conn = PQconnectdb(conninfo_of(cluster, "postgres", arena).ptr);
	PGresult *found = PQexec(conn, "SELECT FROM pg_database WHERE datname = '" USER "'"), *made = NULL;
	bool ok = PQresultStatus(found) == PGRES_TUPLES_OK;

	if (ok && PQntuples(found) == 0) {
		made = PQexec(conn, "CREATE DATABASE " USER " TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
		ok = PQresultStatus(made) == PGRES_COMMAND_OK;
	}
	if (!ok)
		err_internal(err, "PostgreSQL in %s: %s", cluster->folder, PQerrorMessage(conn));
	PQclear(found);
	PQclear(made);
	PQfinish(conn);
	return ok;
}

bool cluster_start(const struct cluster *cluster, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();

	return start_server(cluster, arena, err) && create_database(cluster, arena, err);
}

bool cluster_stop(const struct cluster *cluster, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const char *argv[] = { path(arena, cluster->programs, "pg_ctl"),
			       "stop",
			       "-D",
			       cluster->folder,
			       "-m",
			       "fast",
			       "-w",
			       "-s",
			       "-t",
			       STOP_TIMEOUT_S,
			       NULL };

	if (cluster_pid(cluster) == 0)
		return true;
	return process_run(argv, path(arena, cluster->base, "pg_ctl.log"), err) || cluster_pid(cluster) == 0;
}

/* Copying, which is how a cluster gets to a newer version. */

/* pg_dump | psql. Both programs are the newer ones, as PostgreSQL's documentation asks. */
static bool pipe_dump(const struct cluster *from, const struct cluster *to, int log, struct arena *arena,
		      struct err *err)
{
	const char *dump[] = { path(arena, to->programs, "pg_dump"), "-d", cluster_conninfo(from, arena).ptr, NULL };
	const char *restore[] = {
		path(arena, to->programs, "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-d",
		cluster_conninfo(to, arena).ptr,   NULL
	};
	int ends[2], dumped = -1, restored = -1;
	pid_t dumper, restorer;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return err_internal(err, "pipe: %s", strerror(errno));
	dumper = process_start(dump, -1, ends[1], log);
	restorer = process_start(restore, ends[0], -1, log);
	close(ends[0]);
	close(ends[1]);
	if (dumper > 0)
		dumped = process_wait(dumper);
	if (restorer > 0)
		restored = process_wait(restorer);
	if (dumped != 0 || restored != 0)
		return err_internal(err, "%s ended with %d, %s with %d", dump[0], dumped, restore[0], restored);
	return true;
}

static bool analyze(const struct cluster *cluster, struct arena *arena, struct err *err)
{
	const char *argv[] = { path(arena, cluster->programs, "vacuumdb"), "-q", "--analyze-only", "-d",
			       cluster_conninfo(cluster, arena).ptr,       NULL };

	return process_run(argv, path(arena, cluster->base, "analyze.log"), err);
}

static bool transfer(const struct cluster *from, const struct cluster *to, struct arena *arena, struct err *err)
{
	const char *name = path(arena, to->base, "copy.log");
	int log = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok;

	if (log < 0)
		return err_internal(err, "%s: %s", name, strerror(errno));
	ok = pipe_dump(from, to, log, arena, err);
	close(log);
	if (!ok)
		return err_detail(err, "%.*s", STR_ARG(file_last_line(name, arena)));
	return analyze(to, arena, err);
}

bool cluster_copy(const struct cluster *from, const struct cluster *to, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	char *folder = str_cstr(arena, str_of(path(arena, to->base, "new-XXXXXX")));
	const struct cluster made = { to->programs, folder, to->base, to->socket_folder, from->port + 1 };
	struct err ignored;
	bool ok;

	remove_leftovers(to, arena);
	if (!init_folder(&made, folder, arena, err))
		return false;
	ok = cluster_start(from, err) && cluster_start(&made, err) && transfer(from, &made, arena, err);
	/* What is renamed must be whole on disk: a clean stop sees to that. */
	if (!cluster_stop(&made, ok ? err : &ignored) || !cluster_stop(from, ok ? err : &ignored))
		return false;
	return ok && rename_folder(folder, to, err);
}
