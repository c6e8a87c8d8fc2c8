/* A server that is started as root becomes the system user `hearth`. */
#pragma once

#include <sys/types.h>

#include "options.h"

#define SERVICE_USER "hearth"

/*
 * As root: makes the user where there is none, gives it the data directory of a new deployment, and becomes it for
 * good. As anybody else: makes the data directory where there is none. The working directory is then the data
 * directory. Before other threads. The error's message is for the operator.
 */
bool privileges_drop(const struct options *options, const struct config_strings *config_files, struct err *err);

/* Makes a folder, and those above it, for anybody to enter. As root it belongs to the user `hearth`, if there is one.
 */
bool privileges_make_folder(const char *path, mode_t mode, struct err *err);
/* As root: gives a file that we have just made to the user `hearth`, if there is one. */
bool privileges_give(const char *path, struct err *err);
