/* One connection: opening it, checking what we connected to, waiting for results with a deadline. */
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>

#define CONNECT_TIMEOUT_MS 5000
#define GRACE_MS           2000 /* the server ends a statement at its timeout; we wait this much longer before we give it up */
#define TLS_POLL_MS        100 /* decrypted bytes may wait inside the TLS library, where poll does not see them */
#define RETRY_MS           1000
#define OLDEST_SERVER      150000

/* A process that stands still inside a transaction holds rows that all others need: the server ends it. */
#define IDLE_IN_TRANSACTION "10s"

/* The server notices a vanished client, we a vanished server, within some 20 seconds. The connection string may say
 * otherwise. */
static const char *const keywords[] = { "fallback_application_name", "tcp_user_timeout",
					"keepalives_idle",           "keepalives_interval",
					"keepalives_count",          "dbname",
					"client_encoding",           NULL };

/*
 * Plans follow the indexes, not the statistics: a young table has none, and a plan that was made then would stay. So none is made anew for other parameters
 * either, which costs as much as it takes to run most statements. What reads whole tables sets these back
 * (DB_PLAN_FREELY).
 */
static const struct db_statement SETUP = {
	.name = "db_setup",
	.sql = "SELECT set_config('statement_timeout', $1, false),"
	       " set_config('idle_in_transaction_session_timeout', '" IDLE_IN_TRANSACTION "', false),"
	       " set_config('tcp_user_timeout', '10s', false), set_config('jit', 'off', false),"
	       " set_config('synchronous_commit', CASE s WHEN 'off' THEN 'on' ELSE s END, false),"
	       " pg_encoding_to_char(d.encoding)::text, d.datcollate::text, d.datctype::text,"
	       " d.datlocprovider = 'i', pg_is_in_recovery(), d.datname::text,"
	       " (SELECT count(set_config(name, 'off', false)) FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_sort',"
	       " 'enable_hashjoin', 'enable_mergejoin']) AS name), set_config('plan_cache_mode', 'force_generic_plan', false)"
	       " FROM pg_database d, current_setting('synchronous_commit') s WHERE d.datname = current_database()",
};

const struct db_statement DB_PLAN_FREELY = {
	.name = "db_plan_freely",
	.sql = "SELECT set_config(name, 'on', false), set_config('plan_cache_mode', 'auto', false)"
	       " FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_sort', 'enable_hashjoin', 'enable_mergejoin']) AS name",
};

bool unavailable(struct err *err, int64_t retry_after_ms, const char *fmt, ...)
{
	char detail[400];
	va_list args;
	size_t len;

	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	for (len = strlen(detail); len && detail[len - 1] == '\n'; len--)
		detail[len - 1] = 0;
	err_status(err, 503, M_UNKNOWN, "The database is not available");
	err->retry_after_ms = retry_after_ms;
	return err_detail(err, "%s", detail);
}

bool connection_lost(struct db *db, struct err *err)
{
	db->broken = true;
	db->sqlstate[0] = 0;
	return unavailable(err, RETRY_MS, "connection to the database lost: %s", PQerrorMessage(db->conn));
}

static bool timed_out(struct db *db, struct err *err)
{
	db->broken = true;
	db->sqlstate[0] = 0;
	return unavailable(err, RETRY_MS, "the database does not answer");
}

int64_t connection_deadline(const struct db *db)
{
	return clock_mono_ms() + db->timeout_ms + GRACE_MS;
}

/* false: the deadline has come. */
static bool wait_socket(PGconn *conn, short events, int64_t deadline_ms, short *ret_events)
{
	struct pollfd fd = { .fd = PQsocket(conn), .events = events };
	int64_t left = deadline_ms - clock_mono_ms();
	int ready;

	if (left <= 0)
		return false;
	if (PQsslInUse(conn))
		left = MIN(left, TLS_POLL_MS);
	ready = poll(&fd, 1, (int)MIN(left, INT32_MAX));
	assert(ready >= 0 || errno == EINTR);
	if (ready <= 0)
		fd.revents = 0;
	*ret_events = fd.revents;
	return true;
}

/* Until a result can be had without waiting. Sends what is left to send meanwhile: the server may answer before it has
 * read everything. */
static bool wait_result(struct db *db, int64_t deadline_ms, struct err *err)
{
	short ready;
	int left;

	for (;;) {
		left = PQflush(db->conn);
		if (left < 0)
			return connection_lost(db, err);
		if (!PQisBusy(db->conn))
			return true;
		if (!wait_socket(db->conn, left ? POLLIN | POLLOUT : POLLIN, deadline_ms, &ready))
			return timed_out(db, err);
		if ((ready & ~POLLOUT || PQsslInUse(db->conn)) && !PQconsumeInput(db->conn))
			return connection_lost(db, err);
	}
}

bool connection_next(struct db *db, int64_t deadline_ms, PGresult **ret_result, struct err *err)
{
	PGresult *result;

	if (!wait_result(db, deadline_ms, err))
		return false;
	result = PQgetResult(db->conn);
	if (PQstatus(db->conn) == CONNECTION_BAD) {
		PQclear(result);
		return connection_lost(db, err);
	}
	*ret_result = result;
	return true;
}

bool connection_is_alive(struct db *db)
{
	/* An idle connection has nothing to read, or a notice and the end of the stream, or some harmless message. */
	for (int i = 0; i < 4; i++) {
		struct pollfd fd = { .fd = PQsocket(db->conn), .events = POLLIN };

		if (PQstatus(db->conn) != CONNECTION_OK)
			return false;
		if (poll(&fd, 1, 0) == 0)
			return true;
		if (!PQconsumeInput(db->conn))
			return false;
		PQisBusy(db->conn); /* parses it */
	}
	return false;
}

bool db_conninfo_valid(struct str conninfo)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	PQconninfoOption *parsed = PQconninfoParse(str_cstr(arena, conninfo), NULL);

	PQconninfoFree(parsed);
	return parsed != NULL;
}

static void ignore_notice(void *context UNUSED, const PGresult *notice UNUSED)
{
}

/* libpq would resolve a host name while we wait, all else happens step by step. */
static bool establish(PGconn *conn, int64_t deadline_ms, struct err *err)
{
	PostgresPollingStatusType step = PGRES_POLLING_WRITING;
	short ready;

	while (step != PGRES_POLLING_OK) {
		if (step == PGRES_POLLING_FAILED || PQstatus(conn) == CONNECTION_BAD)
			return unavailable(err, RETRY_MS, "%s", PQerrorMessage(conn));
		if (!wait_socket(conn, step == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms, &ready))
			return unavailable(err, RETRY_MS, "the database does not answer");
		if (ready)
			step = PQconnectPoll(conn);
	}
	return true;
}

static bool is_c_locale(struct str locale)
{
	return str_eq(locale, STR("C")) || str_eq(locale, STR("POSIX"));
}

/* Order and comparison of text must be those of bytes, on every server of a deployment and after every upgrade of its C
 * library. */
static bool check_database(const struct db_rows *rows, struct err *err)
{
	struct str name = db_get_str(rows, 10), encoding = db_get_str(rows, 5);

	if (!str_eq(encoding, STR("UTF8")))
		return err_internal(err, "the database %.*s has the encoding %.*s, it must be created with UTF8",
				    STR_ARG(name), STR_ARG(encoding));
	if (db_get_bool(rows, 8) || !is_c_locale(db_get_str(rows, 6)) || !is_c_locale(db_get_str(rows, 7)))
		return err_internal(err,
				    "the database %.*s has the collation %.*s, it must be created with the locale C: "
				    "CREATE DATABASE … ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0",
				    STR_ARG(name), STR_ARG(db_get_str(rows, 6)));
	if (db_get_bool(rows, 9))
		return unavailable(err, RETRY_MS, "the database %.*s is a standby, it can only be read", STR_ARG(name));
	return true;
}

static bool set_up(struct db *db, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	int version = PQserverVersion(db->conn);
	struct db_rows *rows;

	if (version < OLDEST_SERVER)
		return err_internal(err, "PostgreSQL %d is too old, %d is needed", version / 10000,
				    OLDEST_SERVER / 10000);
	if (!PQenterPipelineMode(db->conn) || PQsetnonblocking(db->conn, 1) != 0)
		return connection_lost(db, err);
	if (!db_query(db, &SETUP, DB_PARAMS(db_text(str_printf(arena, "%" PRId64 "ms", db->timeout_ms))), arena, &rows,
		      err))
		return false;
	if (!db_next(rows))
		return err_internal(err, "the database knows itself not");
	return check_database(rows, err);
}

bool connection_open(const struct connection_config *config, struct db **ret_db, struct err *err)
{
	const char *values[] = { "hearth", "10000", "10", "5", "3", config->conninfo, "UTF8", NULL };
	struct db *db = X_NEW(struct db);
	int64_t timeout_ms = MIN(config->timeout_ms, CONNECT_TIMEOUT_MS);

	_Static_assert(ARRAY_LEN(keywords) == ARRAY_LEN(values), "a value for each keyword");
	db->timeout_ms = config->timeout_ms;
	db->statements = config->statements;
	db->conn = PQconnectStartParams(keywords, values, 1);
	if (!db->conn)
		abort();
	PQsetNoticeReceiver(db->conn, ignore_notice, NULL);
	if (!establish(db->conn, clock_mono_ms() + timeout_ms, err) || !set_up(db, err)) {
		connection_close(db);
		return false;
	}
	*ret_db = db;
	return true;
}

static void prepared_free(struct prepared *prepared)
{
	for (struct prepared *before; prepared; prepared = before) {
		before = prepared->replaced;
		free(prepared->name);
		free(prepared->types);
		free(prepared);
	}
}

void connection_close(struct db *db)
{
	struct prepared *prepared;

	for (size_t i = 0; i < db->queue_count; i++)
		PQclear(db->queue[i].result);
	for (size_t at = 0; (prepared = idmap_next(&db->prepared, &at, NULL));)
		prepared_free(prepared);
	idmap_done(&db->prepared);
	encoder_done(&db->encoder);
	free(db->queue);
	PQfinish(db->conn);
	free(db);
}
