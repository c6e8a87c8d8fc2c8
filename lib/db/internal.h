/* What the files of this folder share: a connection and its queue of statements. */
#pragma once

#include <libpq-fe.h>

#include "db/db.h"

/* A statement as this connection's server knows it. The types are those of its first use; NULL has none until a value
 * comes. */
struct prepared {
	const struct db_statement *statement;
	struct prepared *replaced; /* what it took the place of: its name is not used again */
	char *name;                /* on the server */
	enum db_type *types;
	size_t count;
	bool ready;  /* the server has confirmed it */
	bool queued; /* on its way to the server */
	bool stale;  /* must be replaced */
};

struct queued {
	struct prepared *prepared;
	bool prepares;    /* the server answers the preparation first */
	PGresult *result; /* of the run */
};

/* Room for the parameters of one statement, reused. */
struct encoder {
	const char **values;
	int *lengths, *formats;
	Oid *types;
	size_t cap;
	char *bytes; /* what is not a view of the caller's bytes: numbers and arrays */
	size_t bytes_cap;
};

struct db {
	struct db_pool *pool;
	struct db *next; /* in the pool's list of idle ones */
	PGconn *conn;
	int64_t timeout_ms;
	struct idmap prepared; /* by the statement's address */
	unsigned generation;   /* how many statements had to be prepared anew */
	struct queued *queue;  /* in the order sent */
	size_t queue_count, queue_cap;
	struct encoder encoder;
	_Atomic(uint64_t) *statements; /* the pool's count */
	char sqlstate[6], constraint[64];
	bool broken, listening, in_pipeline;
};

/* connection.c */
struct connection_config {
	const char *conninfo;
	int64_t timeout_ms;
	_Atomic(uint64_t) *statements;
};
bool connection_open(const struct connection_config *config, struct db **ret_db, struct err *err);
void connection_close(struct db *db);
bool connection_is_alive(struct db *db); /* looks at the socket of an idle one, without waiting */
/* Marks the connection as lost, or as in a state that we cannot trust, and raises 503. */
bool connection_lost(struct db *db, struct err *err);
int64_t connection_deadline(const struct db *db);
/* The next result, NULL between two statements. false: the connection is lost. */
bool connection_next(struct db *db, int64_t deadline_ms, PGresult **ret_result, struct err *err);

/* query.c */
bool query_is_idle(const struct db *db); /* no transaction, nothing queued */
/* The error that a result carries. 503 where the server says that it is going away, else 500. */
bool query_text(struct db *db, const char *sql, struct err *err); /* not prepared, without parameters */
bool query_raise(struct db *db, const char *statement_name, const PGresult *result, struct err *err);

/* params.c */
Oid param_oid(enum db_type type);
bool params_encode(struct encoder *encoder, struct db_params params, struct err *err);
void encoder_trim(struct encoder *encoder); /* gives a large buffer back */
void encoder_done(struct encoder *encoder);

/* rows.c */
struct db_rows *rows_new(struct arena *arena, PGresult *result); /* the result is the arena's from now on */
int64_t result_affected(PGresult *result);

/* 503 with a detail: there is no database to talk to. */
bool unavailable(struct err *err, int64_t retry_after_ms, const char *fmt, ...) PRINTF_LIKE(3, 4);
