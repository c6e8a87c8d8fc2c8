/*
 * The private PostgreSQL of a server without a database in its configuration: a cluster in `DATA/postgresql` (initdb
 * once, UTF-8, locale C), reached by a Unix socket only, detached from the process that started it, shared by all
 * server processes on the data folder: each holds a shared file lock, and the last one out stops it. One that outlived
 * a killed server is adopted; one that died is started again, as long as a process uses it.
 *
 * DATA/postgresql belongs to our user alone (0700), which is all the authentication there is:
 *   15/          the cluster, named by its major version      users.lock   shared lock of each process that uses it
 *   log/         PostgreSQL's log of the last seven days      start.lock   exclusive lock of the one that starts or
 * stops it
 *   *.log        output of the last initdb, start and so on   socket       where the socket is, when the path here is
 * too long for one: in /tmp
 *
 * Our settings are in 15/hearth.conf, written anew at each start; an operator's go to the end of 15/postgresql.conf.
 * When the programs are of a newer major version, the first process dumps the old cluster into a new one; the old
 * programs must be there for that, unless its server still runs. `15.old` stays until somebody deletes it; settings are
 * not taken over.
 *
 * Under systemd the unit needs KillMode=process, or stopping one server process takes PostgreSQL away from the others.
 * A child process made by fork without exec holds the lock as well: exec.
 */
#pragma once

#include "base/base.h"

struct embedded_postgres;

struct embedded_config {
	struct str data_directory;   /* Hearth's data folder; must be owned by the user that runs us */
	struct str binary_directory; /* of initdb and postgres; empty: the newest under /usr/lib/postgresql */
};

/*
 * Starts or joins it and waits until it takes connections, also through the recovery after a crash. The detail of the
 * error says what is wrong with what path. 500 as root: PostgreSQL refuses to run as root.
 */
bool embedded_start(const struct embedded_config *config, struct embedded_postgres **ret_postgres, struct err *err);
struct str embedded_conninfo(const struct embedded_postgres *postgres); /* lives as long as it */
/* Leaves: the last process out stops the cluster (fast shutdown) and waits for it. */
void embedded_stop(struct embedded_postgres *postgres);
DEFINE_CLEANUP(struct embedded_postgres *, embedded_stop)
