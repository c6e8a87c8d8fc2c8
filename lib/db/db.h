/*
 * PostgreSQL: a pool of connections, prepared statements, transactions, and the pipeline mode that the journal's
 * committer uses. Parameters and results travel in binary. All waits are non-blocking libpq with a deadline, so that a
 * lost server is noticed.
 *
 * A `struct db` is a connection lent by the pool: it belongs to one thread until it goes back. Statements are prepared
 * on a connection when it first runs them, on the way: that costs no round trip. Rows are views that live as long as
 * the arena. Absence is an answer (no rows), not an error.
 *
 * Errors: 503 M_UNKNOWN with retry_after_ms when there is no database to talk to, 500 else; db_sqlstate(db) tells the
 * class.
 */
#pragma once

#include "base/base.h"

typedef int64_t nid_t; /* an interned identifier */

struct db_statement {
	const char *name; /* unique in the program, less than 60 bytes */
	const char *sql;  /* one statement */
};

enum db_type { DB_INT, DB_BOOL, DB_TEXT, DB_BYTES, DB_DOUBLE, DB_INTS, DB_TEXTS, DB_BYTES_ARRAY, DB_BOOLS, DB_NULL };

/*
 * One parameter: bigint, boolean, text, bytea, double precision, bigint[], text[], bytea[], boolean[], or NULL of a
 * type that the server infers. The server takes it for exactly that type; where it wants another the SQL casts:
 * `$1::int`, `$2::jsonb`. A parameter of a statement has the same type at each use, or is NULL.
 */
struct db_param {
	enum db_type type;
	bool is_null;
	union {
		int64_t integer;
		bool boolean;
		double number;
		struct str text;
		struct {
			const void *items; /* int64_t, struct str or bool */
			const bool *nulls; /* NULL: none is null */
			size_t count;
		} array;
	};
};

struct db_params {
	const struct db_param *items;
	size_t count;
};

/* DB_PARAMS(db_int(room), db_text(user_id), db_ints(nids, count)) */
#define DB_PARAMS(...)                                                                                                 \
	((struct db_params){ (const struct db_param[]){ __VA_ARGS__ },                                                 \
			     sizeof((const struct db_param[]){ __VA_ARGS__ }) / sizeof(struct db_param) })
#define DB_NO_PARAMS ((struct db_params){ NULL, 0 })

static inline UNUSED struct db_param db_int(int64_t v)
{
	return (struct db_param){ .type = DB_INT, .integer = v };
}

static inline UNUSED struct db_param db_bool(bool v)
{
	return (struct db_param){ .type = DB_BOOL, .boolean = v };
}

static inline UNUSED struct db_param db_double(double v)
{
	return (struct db_param){ .type = DB_DOUBLE, .number = v };
}

static inline UNUSED struct db_param db_text(struct str v)
{
	return (struct db_param){ .type = DB_TEXT, .text = v };
}

static inline UNUSED struct db_param db_bytes(struct str v)
{
	return (struct db_param){ .type = DB_BYTES, .text = v };
}

static inline UNUSED struct db_param db_null(void)
{
	return (struct db_param){ .type = DB_NULL, .is_null = true };
}

/* 0 and the empty string as NULL. */
static inline UNUSED struct db_param db_int_or_null(int64_t v)
{
	return (struct db_param){ .type = DB_INT, .is_null = v == 0, .integer = v };
}

static inline UNUSED struct db_param db_text_or_null(struct str v)
{
	return (struct db_param){ .type = DB_TEXT, .is_null = v.len == 0, .text = v };
}

static inline UNUSED struct db_param db_ints(const int64_t *v, size_t n)
{
	return (struct db_param){ .type = DB_INTS, .array = { v, NULL, n } };
}

static inline UNUSED struct db_param db_texts(const struct str *v, size_t n)
{
	return (struct db_param){ .type = DB_TEXTS, .array = { v, NULL, n } };
}

static inline UNUSED struct db_param db_bytes_array(const struct str *v, size_t n)
{
	return (struct db_param){ .type = DB_BYTES_ARRAY, .array = { v, NULL, n } };
}

static inline UNUSED struct db_param db_bools(const bool *v, size_t n)
{
	return (struct db_param){ .type = DB_BOOLS, .array = { v, NULL, n } };
}

/* The array with its i-th item NULL where nulls[i]: db_with_nulls(db_ints(nids, n), absent) */
static inline UNUSED struct db_param db_with_nulls(struct db_param array, const bool *nulls)
{
	array.array.nulls = nulls;
	return array;
}

/* Whether libpq can read it; not whether there is a database. What libpq would say about it may quote a password. */
bool db_conninfo_valid(struct str conninfo);

struct db_pool_config {
	struct str conninfo; /* libpq connection string */
	size_t size;         /* connections at most */
	int64_t timeout_ms;  /* of a statement, and of waiting for a free connection; 0: 30 seconds */
};
struct db_pool;
/* Does not connect yet. Any thread may use the pool. */
struct db_pool *db_pool_new(const struct db_pool_config *config);
void db_pool_free(struct db_pool *pool); /* when all connections are back */
DEFINE_CLEANUP(struct db_pool *, db_pool_free)
struct db_pool_stats {
	size_t size, idle, in_use, waiting;
	uint64_t connects, statements;
};
struct db_pool_stats db_pool_stats(struct db_pool *pool);

struct db;
/*
 * Waits for a free connection, connects when there is none. 503 when the database is away or all stay busy: while it is
 * away one caller at a time tries to connect, ever less often, and the others hear it at once. 500: the database is
 * none that we can use (the detail says why).
 */
bool db_acquire(struct db_pool *pool, struct db **ret_db, struct err *err);
/* Connections plan for look-ups by index. For those that read whole tables: until the connection is closed. */
extern const struct db_statement DB_PLAN_FREELY;
void db_release(struct db *db); /* rolls back what is open; a broken or listening connection is closed */
DEFINE_CLEANUP(struct db *, db_release)

/* A result. */
struct db_rows;
bool db_query(struct db *db, const struct db_statement *statement, struct db_params params, struct arena *arena,
	      struct db_rows **ret_rows, struct err *err);
/* Without result rows; *ret_affected may be NULL. */
bool db_exec(struct db *db, const struct db_statement *statement, struct db_params params, int64_t *ret_affected,
	     struct err *err);
/* Text of our own, several statements, no parameters: migrations and tests only. Waits as long as the server takes. */
bool db_exec_script(struct db *db, struct str sql, struct err *err);

/* A column of another type than asked for is our mistake (assert): the SQL casts, as in `sum(n)::bigint`. */
bool db_next(struct db_rows *rows);   /* to the next row; starts before the first */
void db_rewind(struct db_rows *rows); /* before the first again */
size_t db_row_count(const struct db_rows *rows);
int64_t db_affected(const struct db_rows *rows); /* rows inserted, updated, deleted or selected */
bool db_is_null(const struct db_rows *rows, int column);
int64_t db_get_int(const struct db_rows *rows, int column); /* int2, int4, int8; NULL reads as 0 */
static inline UNUSED nid_t db_get_nid(const struct db_rows *rows, int column)
{
	return db_get_int(rows, column);
}
bool db_get_bool(const struct db_rows *rows, int column);
double db_get_double(const struct db_rows *rows, int column);
struct str db_get_str(const struct db_rows *rows, int column); /* text, json or bytea; NULL reads as empty */
/* bigint[], text[] or bytea[] of one dimension; a NULL item reads as 0 or empty. The strings are views as above. */
size_t db_get_ints(const struct db_rows *rows, int column, struct arena *arena, int64_t **ret_items);
size_t db_get_strs(const struct db_rows *rows, int column, struct arena *arena, struct str **ret_items);

/*
 * A plain transaction (READ COMMITTED), short: no network, no waiting inside. Leaving the scope without commit rolls
 * back (db_release does). BEGIN travels with the first statement. db_commit is false too when there was nothing left to
 * commit, after a statement that failed.
 */
bool db_begin(struct db *db, struct err *err);
bool db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db); /* leaves pipeline mode first, also after a failed flush */
/* After a failure: the five characters of SQLSTATE, or "" when the fault was not the database's (connection lost). */
const char *db_sqlstate(const struct db *db);
const char *db_constraint(const struct db *db); /* the name of the one that was violated (SQLSTATE class 23), or "" */
bool db_should_retry(const struct db *db); /* the same statements may succeed when the whole transaction is run again */
bool db_is_broken(const struct db *db);    /* the connection is gone; whether a commit happened is unknown */

/*
 * Pipeline: statements are queued, then flushed together in one round trip. Between begin and end only these are
 * allowed. After the first failing statement the rest up to the flush is skipped by the server, and the transaction is
 * rolled back. Statements outside of BEGIN and COMMIT are one transaction up to the flush.
 *
 *   db_pipeline_begin(db, err); db_pipeline_add(db, &DB_BEGIN, DB_NO_PARAMS, err); db_pipeline_add(db, &S, params,
 * err); … db_pipeline_flush(db, arena, &rows, &failed, err); db_pipeline_end(db, err)
 */
extern const struct db_statement DB_BEGIN, DB_COMMIT, DB_ROLLBACK;
bool db_pipeline_begin(struct db *db, struct err *err);
/* Queues; parameters are copied, at once and only once more. */
bool db_pipeline_add(struct db *db, const struct db_statement *statement, struct db_params params, struct err *err);
size_t db_pipeline_count(const struct db *db); /* queued since the last flush: the index that the next one gets */
/*
 * Sends all that is queued with a sync point, waits for all results: (*ret_rows)[i] of the i-th statement added since
 * the last flush (ret_rows may be NULL). false: the index of the statement that failed in *ret_failed, SIZE_MAX when
 * none did but the connection. The pipeline goes on.
 */
bool db_pipeline_flush(struct db *db, struct arena *arena, struct db_rows ***ret_rows, size_t *ret_failed,
		       struct err *err);
bool db_pipeline_end(struct db *db, struct err *err); /* nothing may be queued */

/* LISTEN/NOTIFY on a connection kept for it. A notification that comes while a statement runs is kept for the next
 * wait. */
bool db_listen(struct db *db, const char *channel, struct err *err);
bool db_notify(struct db *db, const char *channel, struct str payload, struct err *err);
/*
 * Waits until `deadline_ms` (monotonic) or until `wake_fd` (-1: none) becomes readable, which it leaves so. true with
 * *ret_got: something was notified; what stands in the payloads is not told, nor how often. false: the connection is
 * lost, listen on another and look yourself.
 */
bool db_wait_notify(struct db *db, int64_t deadline_ms, int wake_fd, bool *ret_got, struct err *err);
