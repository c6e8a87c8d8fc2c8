/* A PostgreSQL cluster of our own: a folder, and the programs that fit its version. Under embedded.h, whose locks guard
 * all of this. */
#pragma once

#include <sys/types.h>

#include "base/base.h"

struct cluster {
	const char *programs;      /* the folder of initdb, pg_ctl, postgres … */
	const char *folder;        /* the cluster's own */
	const char *base;          /* the folder of that: logs and temporary things */
	const char *socket_folder; /* private to our user */
	int port;                  /* part of the socket's name, no more */
};

/* The major version of the programs in a folder. */
bool cluster_programs_version(const char *programs, const char *base, int *ret_version, struct err *err);

/* Makes the cluster. What is left of earlier attempts that were interrupted goes; whenever this one is, nothing is
 * there at `folder`. */
bool cluster_create(const struct cluster *cluster, struct err *err);
bool cluster_exists(const struct cluster *cluster);

/* The process id of its server; 0 when none runs, or in another container. */
pid_t cluster_pid(const struct cluster *cluster);
/* Whether it can be seen to run, or holds its socket. */
bool cluster_runs(const struct cluster *cluster);
/* Sees to it that the server runs, takes connections and has the database `hearth`. One that starts or stops just now
 * is waited for. */
bool cluster_start(const struct cluster *cluster, struct err *err);
bool cluster_stop(const struct cluster *cluster, struct err *err);

/* Makes `to`, which does not exist, with all that is in `from`, which keeps it. Neither runs afterwards. */
bool cluster_copy(const struct cluster *from, const struct cluster *to, struct err *err);

struct str cluster_conninfo(const struct cluster *cluster, struct arena *arena);
