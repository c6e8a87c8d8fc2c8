/*
 * The private PostgreSQL of a server without a database in its configuration: a cluster in `DATA/postgresql` (initdb
 * once, UTF-8, locale C), reached by a Unix socket only, detached from the process that started it, shared by all
 * server processes on the data folder: each holds a shared file lock, and the last one out stops it. One that outlived
 * a killed server is adopted. A newer major version of PostgreSQL takes the cluster over by dump and restore.
 */
#pragma once

#include "base/base.h"

struct embedded_postgres;

struct embedded_config {
	struct str data_directory;   /* Hearth's data folder; must be owned by the user that runs us */
	struct str binary_directory; /* of initdb and postgres; empty: the newest under /usr/lib/postgresql */
};

/* Starts or joins it and waits until it takes connections. The detail of the error says what is wrong with what path.
 */
bool embedded_start(const struct embedded_config *config, struct embedded_postgres **ret_postgres, struct err *err);
struct str embedded_conninfo(const struct embedded_postgres *postgres); /* lives as long as it */
/* Leaves: the last process out stops the cluster (fast shutdown) and waits for it. */
void embedded_stop(struct embedded_postgres *postgres);
DEFINE_CLEANUP(struct embedded_postgres *, embedded_stop)
