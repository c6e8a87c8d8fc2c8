/*
 * A throw-away PostgreSQL for tests: a fresh cluster in a temporary folder on a Unix socket, without flushing to disk.
 * It dies with the test program. Started as root it runs as `postgres` or `nobody`. What goes wrong here aborts the
 * test with a message.
 */
#pragma once

#include "base/base.h"

struct test_postgres;

struct test_postgres *
test_postgres_start(void); /* by the main thread: the server dies with the thread that started it */
void test_postgres_stop(struct test_postgres *postgres);
/* What a crash or an operator does: all connections die, and after a while it is back. */
void test_postgres_shutdown(struct test_postgres *postgres); /* no clean end: as kill -9 */
void test_postgres_boot(struct test_postgres *postgres);     /* waits until it takes connections */

/* Creates an empty database, UTF-8 with locale C. The connection string lives as long as the arena. */
struct str test_postgres_database(struct test_postgres *postgres, struct arena *arena);
/* The same with what else CREATE DATABASE is to say. */
struct str test_postgres_database_with(struct test_postgres *postgres, const char *options, struct arena *arena);
