#include "privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static bool failed(struct err *err, const char *what, const char *name)
{
	return err_set(err, M_UNKNOWN, "%s %s: %s", what, name, strerror(errno));
}

static bool run_useradd(struct str home, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	char *const arguments[] = {
		"useradd",      "--system",
		"--user-group", "--no-create-home",
		"--home-dir",   str_cstr(arena, home),
		"--shell",      "/usr/sbin/nologin",
		SERVICE_USER,   NULL,
	};
	int status = 0;
	pid_t child;

	errno = posix_spawn(&child, "/usr/sbin/useradd", NULL, NULL, arguments, environ);
	if (errno)
		return failed(err, "Cannot run", "useradd");
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 || err_set(err, M_UNKNOWN, "useradd could not make the user " SERVICE_USER);
}

/* One after the other: of two that run at once, useradd's second would give the user another number. */
static bool make_user(struct str home, struct err *err)
{
	int turn = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	bool ok;

	if (turn < 0)
		return failed(err, "Cannot read", "/etc/passwd");
	ok = (flock(turn, LOCK_EX) == 0 || failed(err, "Cannot lock", "/etc/passwd")) && (getpwnam(SERVICE_USER) || run_useradd(home, err));
	close(turn);
	return ok;
}

static bool find_user(struct str home, struct passwd *ret_user, struct err *err)
{
	const struct passwd *user = getpwnam(SERVICE_USER);

	if (!user && !make_user(home, err))
		return false;
	if (!user && !(user = getpwnam(SERVICE_USER)))
		return err_set(err, M_UNKNOWN, "There is no user " SERVICE_USER);
	if (user->pw_uid == 0)
		return err_set(err, M_UNKNOWN, "The user " SERVICE_USER " must not be root");
	*ret_user = *user;
	return true;
}

bool privileges_give(const char *path, struct err *err)
{
	const struct passwd *user = geteuid() == 0 ? getpwnam(SERVICE_USER) : NULL;

	return !user || lchown(path, user->pw_uid, user->pw_gid) == 0 || failed(err, "Cannot give away", path);
}

bool privileges_make_folder(const char *path, mode_t mode, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	char *part = str_cstr(arena, str_of(path));

	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return failed(err, "Cannot make the folder", part);
		*slash = '/';
	}
	if (mkdir(path, mode) == 0)
		return privileges_give(path, err);
	return errno == EEXIST || failed(err, "Cannot make the folder", path);
}

static bool lies_in(struct str path, struct str folder)
{
	return path.len > folder.len && str_starts_with(path, folder) && path.ptr[folder.len] == '/' &&
	       str_find_char(str_from(path, folder.len + 1), '/') < 0;
}

/*
 * A folder that root owns was made by root, for us, and nobody else could put anything into it: its files that the
 * configuration names go with it. In one that already is the user's nothing is touched, since root must not follow what
 * that user may have laid there.
 */
static bool give_folder(const struct options *options, const struct config_strings *config_files,
			const struct passwd *user, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const char *folder = str_cstr(arena, options->data_directory);
	struct stat status;

	if (stat(folder, &status) < 0)
		return failed(err, "Data directory", folder);
	if (!S_ISDIR(status.st_mode) || (status.st_uid != 0 && status.st_uid != user->pw_uid))
		return err_set(err, M_UNKNOWN, "The data directory %s belongs to another user than " SERVICE_USER,
			       folder);
	if (status.st_uid == user->pw_uid)
		return true;
	if (status.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(err, M_UNKNOWN, "The data directory %s can be written to by everybody", folder);
	for (size_t i = 0; i < config_files->count + options->domain_count; i++) {
		struct str path = i < config_files->count ? config_files->items[i]
							  : options->domains[i - config_files->count].signing_key_path;

		if (lies_in(path, options->data_directory) &&
		    lchown(str_cstr(arena, path), user->pw_uid, user->pw_gid) < 0 && errno != ENOENT)
			return failed(err, "Cannot give away", str_cstr(arena, path));
	}
	return lchown(folder, user->pw_uid, user->pw_gid) == 0 || failed(err, "Cannot give away", folder);
}

/* The process stays one that the user may trace and dump, as if the user had started it. */
static bool become(const struct passwd *user, struct err *err)
{
	if (initgroups(SERVICE_USER, user->pw_gid) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
		return failed(err, "Cannot become", SERVICE_USER);
	assert(user->pw_dir);
	setenv("HOME", user->pw_dir, 1);
	setenv("USER", SERVICE_USER, 1);
	setenv("LOGNAME", SERVICE_USER, 1);
	return prctl(PR_SET_DUMPABLE, 1) == 0 || failed(err, "Cannot become", SERVICE_USER);
}

bool privileges_drop(const struct options *options, const struct config_strings *config_files, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const char *folder = str_cstr(arena, options->data_directory);
	struct passwd user = { 0 };

	if (!privileges_make_folder(folder, 0700, err))
		return false;
	if (geteuid() == 0 && (!find_user(options->data_directory, &user, err) ||
			       !give_folder(options, config_files, &user, err) || !become(&user, err)))
		return false;
	return chdir(folder) == 0 || failed(err, "Cannot use the data directory", folder);
}
