/*
 * From the configuration to an open server, for all commands that work on the database: the options, the user, the log,
 * the embedded PostgreSQL, the signing keys. Opened once a process, by its first thread.
 */
#pragma once

#include "db/db.h"
#include "db/embedded.h"
#include "options.h"
#include "server.h"

struct deployment {
	struct arena *arena;
	struct config_strings files;
	struct options *options;
	struct tls *tls;                    /* NULL: no listener needs it */
	struct embedded_postgres *postgres; /* NULL: an external database */
	struct domain *domains;
	struct server_setup setup;
	struct server *server;
};

/*
 * Reads the files (absolute paths), as root becomes the user `hearth`, and reads them again as that user. What is wrong
 * with them goes to standard error; err then says that there was something.
 */
bool deployment_read(struct deployment *deployment, struct config_strings files, struct err *err);
/*
 * For a process that is going to take connections: with these listeners in the place of the configuration's, if there
 * are any. Reads the certificate and its key before it becomes `hearth`, since only root may read them where a
 * certificate authority's client keeps them.
 */
bool deployment_read_to_serve(struct deployment *deployment, struct config_strings files,
			      const struct http_listener *listeners, size_t count, struct err *err);
/* Starts or joins the database; fills `setup`. */
bool deployment_connect(struct deployment *deployment, struct err *err);
/* Opens the server, which migrates the database. */
bool deployment_open(struct deployment *deployment, struct err *err);
/* Closes what was opened, in the opposite order. */
void deployment_close(struct deployment *deployment);
static inline UNUSED void deployment_close_cleanup(struct deployment *deployment)
{
	deployment_close(deployment);
}
