/*
 * Migrations: numbered SQL files embedded into the program, each run once, in order, in a transaction of its own under an advisory lock,
 * and recorded in `schema_migrations(number, name, sha256, applied_at)`. A file whose first line is `-- no transaction` runs outside of one.
 */
#pragma once

#include "db/db.h"

struct migration {
	int number;
	const char *name; /* "0001_interned.sql" */
	struct str sql;
};

/* Brings the database up to date. M_UNKNOWN 500: one failed (detail), a recorded one was edited, or the database is newer than this program by a
 * contracting migration. Any number of processes may call it at once. */
bool migrate(struct db *db, const struct migration *migrations, size_t count, size_t *ret_applied, struct err *err);
