/*
 * Migrations: numbered SQL files embedded into the program, each run once, in order, in a transaction of its own under
 * an advisory lock, and recorded in `schema_migrations(number, name, sha256, requires, applied_at)`. Directives stand
 * in a file's first lines:
 *
 *   -- no transaction   runs outside of one (CREATE INDEX CONCURRENTLY). Its statements are run one by one, a `;` at
 * the end of a line ends one; as it may stop half-way, it must be fit to run again (DROP INDEX IF EXISTS first).
 *   -- requires 12      takes away what programs that do not know migration 12 still use: these refuse the database
 * from then on. Without it, a program tolerates migrations that it does not know: the next release may run beside it.
 */
#pragma once

#include "db/db.h"

struct migration {
	int number;
	const char *name; /* "0001_interned.sql" */
	struct str sql;
};

/*
 * Brings the database up to date; `migrations` are in the order of their numbers. M_UNKNOWN 500: one failed (detail), a
 * recorded one was edited, or the database requires a newer program. Any number of processes may call it at once: one
 * works, the others wait for it.
 */
bool migrate(struct db *db, const struct migration *migrations, size_t count, size_t *ret_applied, struct err *err);
/* Changes nothing. M_UNKNOWN 500: the database has other migrations than these; the message says which way, for who types commands. */
bool migrate_check(struct db *db, const struct migration *migrations, size_t count, struct err *err);
