#include "db/embedded.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cluster.h"

#define PORT            5432
#define SOCKET_NAME     "/.s.PGSQL.5432"
#define LOCK_TIMEOUT_MS (INT64_C(15) * 60 * 1000) /* the other one may be in recovery */
#define LOCK_PAUSE_US   (50 * 1000)
#define LOOK_MS         1000 /* where the kernel cannot tell us of a death */
#define FIRST_PAUSE_MS  1000
#define LAST_PAUSE_MS   30000

struct embedded_postgres {
	struct arena *arena;
	const char *base; /* DATA/postgresql */
	struct cluster cluster;
	struct str conninfo;
	int users_lock, start_lock;
	int stop; /* readable: the watcher shall end */
	pthread_t watcher;
};

/* Folders and locks. */

static bool check_path(const char *data, struct err *err)
{
	/* pg_ctl hands paths to a shell, the socket's is part of a list, and we look for files by patterns. */
	size_t bad = strcspn(data, "\"$`\\\n,*?[");

	if (data[bad])
		return err_internal(err, "%s: PostgreSQL cannot live in a folder with %c in its path", data, data[bad]);
	return true;
}

/* The absolute path of what must be there. */
static bool resolve(struct arena *arena, struct str path, const char **ret_path, struct err *err)
{
	char *absolute = realpath(str_cstr(arena, path), NULL);

	if (!absolute)
		return err_internal(err, "%.*s: %s", STR_ARG(path), strerror(errno));
	*ret_path = str_cstr(arena, str_of(absolute));
	free(absolute);
	return true;
}

static bool open_base(struct embedded_postgres *postgres, struct str data_directory, struct err *err)
{
	const char *data = NULL;
	struct stat info;

	if (!resolve(postgres->arena, data_directory, &data, err))
		return false;
	postgres->base = str_printf(postgres->arena, "%s/postgresql", data).ptr;
	if (!check_path(postgres->base, err))
		return false;
	if (mkdir(postgres->base, 0700) != 0 && errno != EEXIST)
		return err_internal(err, "%s: %s", postgres->base, strerror(errno));
	if (stat(postgres->base, &info) != 0 || !S_ISDIR(info.st_mode))
		return err_internal(err, "%s is not a folder", postgres->base);
	if (info.st_uid != geteuid())
		return err_internal(err, "%s belongs to user %u, but this is user %u", postgres->base,
				    (unsigned)info.st_uid, (unsigned)geteuid());
	if ((info.st_mode & 0777) != 0700 && chmod(postgres->base, 0700) != 0)
		return err_internal(err, "%s: %s", postgres->base, strerror(errno));
	return true;
}

static bool open_lock(struct embedded_postgres *postgres, const char *name, int *ret_fd, struct err *err)
{
	const char *path = str_printf(postgres->arena, "%s/%s", postgres->base, name).ptr;

	*ret_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return *ret_fd >= 0 || err_internal(err, "%s: %s", path, strerror(errno));
}

static bool try_lock(int fd, int how)
{
	int result;

	do
		result = flock(fd, how | LOCK_NB);
	while (result != 0 && errno == EINTR);
	return result == 0;
}

static bool begin_start(struct embedded_postgres *postgres, struct err *err)
{
	int64_t deadline_ms = clock_mono_ms() + LOCK_TIMEOUT_MS;

	while (!try_lock(postgres->start_lock, LOCK_EX)) {
		if (clock_mono_ms() > deadline_ms)
			return err_internal(err, "another process has been holding %s/start.lock for too long",
					    postgres->base);
		usleep(LOCK_PAUSE_US);
	}
	return true;
}

static void end_start(struct embedded_postgres *postgres)
{
	flock(postgres->start_lock, LOCK_UN);
}

/* The socket. */

static bool is_ours(const char *folder)
{
	struct stat info;

	return lstat(folder, &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid() &&
	       (info.st_mode & 0777) == 0700;
}

static const char *socket_link(const struct embedded_postgres *postgres)
{
	return str_printf(postgres->arena, "%s/socket", postgres->base).ptr;
}

/* The path of a Unix socket has 107 bytes at most: where ours is longer the socket lives in a private folder that
 * `socket` points to. */
static bool choose_socket_folder(struct embedded_postgres *postgres, const char **ret_folder, struct err *err)
{
	const size_t longest = sizeof(((struct sockaddr_un *)0)->sun_path) - sizeof(SOCKET_NAME);
	const char *link = socket_link(postgres);
	char *folder = arena_alloc(postgres->arena, longest + 1);

	if (strlen(postgres->base) <= longest) {
		*ret_folder = postgres->base;
		return true;
	}
	*ret_folder = folder;
	if (readlink(link, folder, longest) > 0 && is_ours(folder))
		return true;
	memcpy(folder, "/tmp/hearth-XXXXXX", sizeof("/tmp/hearth-XXXXXX"));
	if (!mkdtemp(folder))
		return err_internal(err, "%s: %s", folder, strerror(errno));
	unlink(link);
	return symlink(folder, link) == 0 || err_internal(err, "%s: %s", link, strerror(errno));
}

static void remove_socket_folder(const struct embedded_postgres *postgres)
{
	if (strcmp(postgres->cluster.socket_folder, postgres->base) == 0)
		return;
	rmdir(postgres->cluster.socket_folder);
	unlink(socket_link(postgres));
}

/* Which programs and which cluster. */

static int by_version(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

static bool find_programs(struct embedded_postgres *postgres, struct str configured, const char **ret_programs,
			  struct err *err)
{
	static const char suffix[] = "/initdb";
	glob_t found;

	if (configured.len)
		return resolve(postgres->arena, configured, ret_programs, err);
	if (glob("/usr/lib/postgresql/*/bin/initdb", GLOB_NOSORT, NULL, &found) != 0)
		return err_internal(err, "PostgreSQL is not installed: there is no /usr/lib/postgresql/*/bin/initdb "
					 "(Debian: apt install postgresql)");
	qsort(found.gl_pathv, found.gl_pathc, sizeof(*found.gl_pathv), by_version);
	*ret_programs = str_dup(postgres->arena, str_sub(str_of(found.gl_pathv[found.gl_pathc - 1]), 0,
							 strlen(found.gl_pathv[found.gl_pathc - 1]) - strlen(suffix)))
				.ptr;
	globfree(&found);
	return true;
}

static struct cluster cluster_of(const struct embedded_postgres *postgres, int version, const char *programs,
				 const char *socket_folder)
{
	const char *folder = str_printf(postgres->arena, "%s/%d", postgres->base, version).ptr;

	return (struct cluster){ programs, folder, postgres->base, socket_folder, PORT };
}

/* The newest cluster that is there; 0: none. */
static int newest_cluster(const struct embedded_postgres *postgres)
{
	DIR *folder = opendir(postgres->base);
	struct dirent *entry;
	int64_t newest = 0, version;

	while (folder && (entry = readdir(folder))) {
		if (str_to_int64(str_of(entry->d_name), &version) && version > newest && version < 1000)
			newest = version;
	}
	if (folder)
		closedir(folder);
	return (int)newest;
}

/* The programs of an older version, where Debian puts them; NULL when they are not installed. */
static const char *programs_of(const struct embedded_postgres *postgres, int version)
{
	const char *programs = str_printf(postgres->arena, "/usr/lib/postgresql/%d/bin", version).ptr;

	return access(str_printf(postgres->arena, "%s/postgres", programs).ptr, X_OK) == 0 ? programs : NULL;
}

/* Dumps `old` into `cluster`, its successor; unless other processes use it: then it is theirs and ours for now. */
static bool take_over(struct embedded_postgres *postgres, struct cluster old, struct cluster *cluster, int version,
		      struct err *err)
{
	bool runs = cluster_pid(&old) != 0;

	old.programs = programs_of(postgres, version);
	if (!old.programs && !runs)
		return err_internal(err,
				    "%s is of PostgreSQL %d, whose programs are not installed: install them (Debian: "
				    "postgresql-%d), and it is taken over by the newer version",
				    old.folder, version, version);
	if (!old.programs)
		old.programs = cluster->programs; /* enough to stop it */
	if (!try_lock(postgres->users_lock, LOCK_EX)) {
		*cluster = old;
		return true;
	}
	if (!cluster_copy(&old, cluster, err))
		return err_detail(err, "%s cannot be taken over by a newer version", old.folder);
	rename(old.folder,
	       str_printf(postgres->arena, "%s.old", old.folder).ptr); /* if not, the newest counts anyway */
	return true;
}

static bool choose_cluster(struct embedded_postgres *postgres, struct str binary_directory, struct err *err)
{
	int newest = newest_cluster(postgres), version;
	const char *programs = NULL, *socket_folder = NULL;

	if (!find_programs(postgres, binary_directory, &programs, err) ||
	    !cluster_programs_version(programs, postgres->base, &version, err) ||
	    !choose_socket_folder(postgres, &socket_folder, err))
		return false;
	if (newest > version)
		return err_internal(err, "%s/%d is of PostgreSQL %d, but the newest that is installed is %d",
				    postgres->base, newest, newest, version);
	postgres->cluster = cluster_of(postgres, version, programs, socket_folder);
	if (newest == 0)
		return cluster_create(&postgres->cluster, err);
	if (newest < version)
		return take_over(postgres, cluster_of(postgres, newest, NULL, socket_folder), &postgres->cluster,
				 newest, err);
	return true;
}

/* The watcher: starts the server again when it dies under us. */

static bool wait_readable(int a, int b, int timeout_ms)
{
	struct pollfd fds[] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };

	return poll(fds, ARRAY_LEN(fds), timeout_ms) > 0 && fds[0].revents;
}

/* Until the server is gone, as far as that can be seen. true: it is us who shall end. */
static bool wait_for_death(struct embedded_postgres *postgres)
{
	pid_t pid = cluster_pid(&postgres->cluster);
	int process = pid ? pidfd_open(pid, 0) : -1;
	bool stop = wait_readable(postgres->stop, process, process < 0 ? LOOK_MS : -1);

	if (process >= 0)
		close(process);
	return stop;
}

static bool start_again(struct embedded_postgres *postgres)
{
	struct err ignored; /* PostgreSQL's log has the reason, the pool says that there is no database */
	bool ok;

	if (!begin_start(postgres, &ignored))
		return false;
	ok = cluster_start(&postgres->cluster, &ignored);
	end_start(postgres);
	return ok;
}

static void *watch(void *context)
{
	struct embedded_postgres *postgres = context;
	int pause_ms = FIRST_PAUSE_MS;

	while (!wait_for_death(postgres)) {
		if (cluster_runs(&postgres->cluster) || start_again(postgres)) {
			pause_ms = FIRST_PAUSE_MS;
			continue;
		}
		if (wait_readable(postgres->stop, -1, pause_ms))
			break;
		pause_ms = MIN(pause_ms * 2, LAST_PAUSE_MS);
	}
	return NULL;
}

/* Starting and leaving. */

static bool join(struct embedded_postgres *postgres, const struct embedded_config *config, struct err *err)
{
	bool ok;

	if (!begin_start(postgres, err))
		return false;
	ok = choose_cluster(postgres, config->binary_directory, err);
	/* Nobody waits for this one long: whoever holds it exclusively holds start.lock as well. */
	ok = ok && (try_lock(postgres->users_lock, LOCK_SH) || err_internal(err, "users.lock: %s", strerror(errno)));
	ok = ok && cluster_start(&postgres->cluster, err);
	end_start(postgres);
	return ok;
}

static void free_postgres(struct embedded_postgres *postgres)
{
	/* Closing gives up the locks. */
	if (postgres->users_lock >= 0)
		close(postgres->users_lock);
	if (postgres->start_lock >= 0)
		close(postgres->start_lock);
	if (postgres->stop >= 0)
		close(postgres->stop);
	arena_free(postgres->arena);
	free(postgres);
}

bool embedded_start(const struct embedded_config *config, struct embedded_postgres **ret_postgres, struct err *err)
{
	struct embedded_postgres *postgres;

	if (geteuid() == 0)
		return err_internal(err, "PostgreSQL refuses to run as root: start the server as another user");
	postgres = X_NEW(struct embedded_postgres);
	postgres->arena = arena_new();
	postgres->users_lock = postgres->start_lock = -1;
	postgres->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (postgres->stop < 0)
		abort();
	if (!open_base(postgres, config->data_directory, err) ||
	    !open_lock(postgres, "start.lock", &postgres->start_lock, err) ||
	    !open_lock(postgres, "users.lock", &postgres->users_lock, err) || !join(postgres, config, err)) {
		free_postgres(postgres);
		return false;
	}
	postgres->conninfo = cluster_conninfo(&postgres->cluster, postgres->arena);
	postgres->watcher = thread_start("postgres-watch", watch, postgres);
	*ret_postgres = postgres;
	return true;
}

struct str embedded_conninfo(const struct embedded_postgres *postgres)
{
	return postgres->conninfo;
}

void embedded_stop(struct embedded_postgres *postgres)
{
	struct err ignored;

	if (!postgres)
		return;
	eventfd_write(postgres->stop, 1);
	thread_join(postgres->watcher);
	if (begin_start(postgres, &ignored) && try_lock(postgres->users_lock, LOCK_EX)) {
		cluster_stop(&postgres->cluster, &ignored);
		remove_socket_folder(postgres);
	}
	free_postgres(postgres);
}
