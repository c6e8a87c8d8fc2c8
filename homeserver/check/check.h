/*
 * Verifies the invariants of the schema: the journal without gaps and its roots chained; heads, events and their order; edges; the states and what stands flat beside
 * them; memberships; sessions. Reads only, a bounded page at a time; meant for a database at rest, for what is written meanwhile may look half done.
 */
#pragma once

#include "db/db.h"

struct check {
	void (*report)(void *context, struct str problem); /* in words */
	void *context;
};

/* *ret_problems: how many were found (of each kind at most CHECK_MOST are reported). false: it could not be run to its end. */
#define CHECK_MOST 20
bool check_database(struct db_pool *pool, const struct check *check, size_t *ret_problems, struct err *err);
