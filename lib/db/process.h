/* Runs other programs: PostgreSQL's own. Any thread may. */
#pragma once

#include <sys/types.h>

#include "base/base.h"

/*
 * Starts argv[0] (an absolute path) in a session of its own and in the folder /, with all signals as at login, without
 * our descriptors, and without what in the environment speaks to PostgreSQL's programs (PG…) or of locales. A
 * descriptor of -1 is /dev/null. Returns its process id, or -1 with errno.
 */
pid_t process_start(const char *const argv[], int in_fd, int out_fd, int err_fd);
/* Waits for it: its exit status, or 128 + the signal that ended it. */
int process_wait(pid_t pid);

/* Runs it to its end, its output in a file that begins anew. false: the last line of that is in the error's detail. */
bool process_run(const char *const argv[], const char *output_path, struct err *err);

/* The last line of a file that is not empty, at most 300 bytes of it; empty when there is none. */
struct str file_last_line(const char *path, struct arena *arena);
