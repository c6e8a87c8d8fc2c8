#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAIL 300

extern char **environ;

static bool is_inherited(struct str variable)
{
	return !str_starts_with(variable, STR("PG")) && !str_starts_with(variable, STR("LC_")) &&
	       !str_starts_with(variable, STR("LANG"));
}

static char **environment(struct arena *arena)
{
	size_t count = 0, kept = 0;
	char **variables;

	while (environ[count])
		count++;
	variables = ARENA_ARRAY(arena, count + 2, char *);
	for (size_t i = 0; i < count; i++) {
		if (is_inherited(str_of(environ[i])))
			variables[kept++] = environ[i];
	}
	variables[kept] = str_cstr(arena, STR("LC_ALL=C"));
	return variables;
}

/* Our threads block all signals and the process ignores some; a program that starts wants neither. */
static void set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(attributes);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setsigdefault(attributes, &all);
	posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
}

static void add_descriptor(posix_spawn_file_actions_t *actions, int fd, int as, int flags)
{
	if (fd < 0)
		posix_spawn_file_actions_addopen(actions, as, "/dev/null", flags, 0);
	else
		posix_spawn_file_actions_adddup2(actions, fd, as);
}

pid_t process_start(const char *const argv[], int in_fd, int out_fd, int err_fd)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	pid_t pid;
	int error;

	set_attributes(&attributes);
	posix_spawn_file_actions_init(&actions);
	add_descriptor(&actions, in_fd, STDIN_FILENO, O_RDONLY);
	add_descriptor(&actions, out_fd, STDOUT_FILENO, O_WRONLY);
	add_descriptor(&actions, err_fd, STDERR_FILENO, O_WRONLY);
	/* PostgreSQL's programs refuse to run where they may not read, as in root's home. */
	posix_spawn_file_actions_addchdir_np(&actions, "/");
	posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	error = posix_spawn(&pid, argv[0], &actions, &attributes, (char *const *)argv, environment(arena));
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (error) {
		errno = error;
		return -1;
	}
	return pid;
}

int process_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return 128;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool process_run(const char *const argv[], const char *output_path, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	int output = open(output_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), status;
	pid_t pid;

	if (output < 0)
		return err_internal(err, "%s: %s", output_path, strerror(errno));
	pid = process_start(argv, -1, output, output);
	if (pid < 0) {
		close(output);
		return err_internal(err, "%s: %s", argv[0], strerror(errno));
	}
	status = process_wait(pid);
	close(output);
	if (status != 0)
		return err_internal(err, "%s ended with %d: %.*s", argv[0], status,
				    STR_ARG(file_last_line(output_path, arena)));
	return true;
}

struct str file_last_line(const char *path, struct arena *arena)
{
	char *tail = arena_alloc(arena, TAIL);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct str rest, line, last = { 0 };
	struct stat info;
	ssize_t len = 0;

	if (fd < 0)
		return last;
	if (fstat(fd, &info) == 0)
		len = pread(fd, tail, TAIL, MAX(info.st_size - TAIL, 0));
	close(fd);
	rest = (struct str){ tail, (size_t)MAX(len, 0) };
	while (str_split(&rest, '\n', &line)) {
		if (str_trim(line).len)
			last = str_trim(line);
	}
	return last;
}
