/*
 * Statements, transactions, pipelines. A connection is always in libpq's pipeline mode and a lone statement is a
 * pipeline of one: so its preparation and a pending BEGIN travel with it, and there is one way to send and one way to
 * read.
 */
#include "internal.h"

const struct db_statement DB_BEGIN = { "db_begin", "BEGIN ISOLATION LEVEL READ COMMITTED" };
const struct db_statement DB_COMMIT = { "db_commit", "COMMIT" };
const struct db_statement DB_ROLLBACK = { "db_rollback", "ROLLBACK" };

#define NONE SIZE_MAX

const char *db_sqlstate(const struct db *db)
{
	return db->sqlstate;
}

const char *db_constraint(const struct db *db)
{
	return db->constraint;
}

static bool in_class(const struct db *db, const char *class)
{
	return strncmp(db->sqlstate, class, strlen(class)) == 0;
}

/* The server's plan is older than a migration that another process made (0A000), or somebody discarded it (26000). */
static bool is_stale_plan(const struct db *db)
{
	return in_class(db, "0A000") || in_class(db, "26000");
}

bool db_should_retry(const struct db *db)
{
	return !db->broken && (in_class(db, "40") || is_stale_plan(db));
}

bool db_is_broken(const struct db *db)
{
	return db->broken;
}

bool query_is_idle(const struct db *db)
{
	return db->queue_count == 0 && PQtransactionStatus(db->conn) == PQTRANS_IDLE;
}

static void keep_field(const PGresult *result, int code, char *to, size_t size)
{
	const char *value = PQresultErrorField(result, code);

	snprintf(to, size, "%s", value ? value : "");
}

bool query_raise(struct db *db, const char *name, const PGresult *result, struct err *err)
{
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	keep_field(result, PG_DIAG_SQLSTATE, db->sqlstate, sizeof(db->sqlstate));
	keep_field(result, PG_DIAG_CONSTRAINT_NAME, db->constraint, sizeof(db->constraint));
	if (!text)
		text = PQresultErrorMessage(result);
	/* Operator intervention, and a server that became a standby: nothing is wrong with the statement. */
	if (in_class(db, "57P") || in_class(db, "25006")) {
		db->broken = true;
		return unavailable(err, 1000, "%s: %s", name, text);
	}
	/* Insufficient resources: its disk is full, or its memory. */
	if (in_class(db, "53"))
		return unavailable(err, 1000, "%s: %s", name, text);
	/* PostgreSQL's text holds no NUL, which JSON and percent-encoding let a client write: nothing stored can have it. */
	if (in_class(db, "22021"))
		return err_set(err, M_INVALID_PARAM, "A text holds what cannot be stored, such as a NUL");
	return err_internal(err, "%s: %s (%s)", name, text, db->sqlstate);
}

/* What the server has prepared fits when no parameter is of another type; one that was NULL so far has none yet. */
static bool fits(const struct prepared *prepared, struct db_params params)
{
	assert(prepared->count == params.count);
	for (size_t i = 0; i < params.count; i++) {
		enum db_type type = params.items[i].type;

		if (type == DB_NULL || type == prepared->types[i])
			continue;
		assert(prepared->types[i] == DB_NULL); /* else the program calls one statement with different types */
		return false;
	}
	return true;
}

static struct prepared *prepared_new(struct db *db, const struct db_statement *statement, struct db_params params,
				     struct prepared *replaced)
{
	struct prepared *prepared = X_NEW(struct prepared);
	char name[64];

	assert(strlen(statement->name) < 60);
	if (replaced)
		snprintf(name, sizeof(name), "%u", ++db->generation);
	else
		snprintf(name, sizeof(name), "%s", statement->name);
	prepared->statement = statement;
	prepared->replaced = replaced;
	prepared->name = x_strdup(str_of(name));
	prepared->count = params.count;
	prepared->types = x_calloc(params.count, sizeof(*prepared->types));
	for (size_t i = 0; i < params.count; i++) {
		prepared->types[i] = params.items[i].type;
		if (replaced && prepared->types[i] == DB_NULL)
			prepared->types[i] = replaced->types[i];
	}
	idmap_put(&db->prepared, (int64_t)(uintptr_t)statement, prepared);
	return prepared;
}

static struct prepared *prepared_get(struct db *db, const struct db_statement *statement, struct db_params params)
{
	struct prepared *prepared = idmap_get(&db->prepared, (int64_t)(uintptr_t)statement);

	if (prepared && !prepared->stale && fits(prepared, params))
		return prepared;
	return prepared_new(db, statement, params, prepared);
}

static bool send_preparation(struct db *db, const struct prepared *prepared)
{
	for (size_t i = 0; i < prepared->count; i++)
		db->encoder.types[i] = param_oid(prepared->types[i]);
	return PQsendPrepare(db->conn, prepared->name, prepared->statement->sql, (int)prepared->count,
			     db->encoder.types);
}

static struct queued *queue_push(struct db *db)
{
	if (db->queue_count == db->queue_cap) {
		db->queue_cap = MAX((size_t)16, db->queue_cap * 2);
		db->queue = x_realloc(db->queue, db->queue_cap * sizeof(*db->queue));
	}
	db->queue[db->queue_count] = (struct queued){ 0 };
	return &db->queue[db->queue_count++];
}

static bool add(struct db *db, const struct db_statement *statement, struct db_params params, struct err *err)
{
	const struct encoder *encoder = &db->encoder;
	struct prepared *prepared;
	struct queued *queued;

	if (db->broken)
		return connection_lost(db, err);
	if (!params_encode(&db->encoder, params, err))
		return err_detail(err, "%s", statement->name);
	prepared = prepared_get(db, statement, params);
	queued = queue_push(db);
	queued->prepared = prepared;
	queued->prepares = !prepared->ready && !prepared->queued;
	if (queued->prepares && !send_preparation(db, prepared))
		return connection_lost(db, err);
	prepared->queued = true;
	if (!PQsendQueryPrepared(db->conn, prepared->name, (int)params.count, encoder->values, encoder->lengths,
				 encoder->formats, 1))
		return connection_lost(db, err);
	(*db->statements)++;
	return true;
}

/* The one result of a statement and the NULL after it. */
static bool take_result(struct db *db, PGresult **ret_result, struct err *err)
{
	int64_t deadline_ms = connection_deadline(db);
	PGresult *end;

	if (!connection_next(db, deadline_ms, ret_result, err))
		return false;
	if (!connection_next(db, deadline_ms, &end, err))
		return false;
	assert(*ret_result && !end); /* COPY and lists of statements are none of ours */
	return true;
}

static bool is_success(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* A COMMIT of a transaction in which a statement failed rolls back, and PostgreSQL calls that a success. */
static bool is_lost_commit(const struct queued *queued)
{
	return queued->prepared && queued->prepared->statement == &DB_COMMIT &&
	       strcmp(PQcmdStatus(queued->result), "COMMIT") != 0;
}

/* What the server says to a preparation. false: the connection is lost. The first failure is raised and kept in
 * *failed. */
static bool collect_preparation(struct db *db, size_t i, size_t *failed, struct err *err)
{
	struct prepared *prepared = db->queue[i].prepared;
	PGresult *result = NULL;

	if (!take_result(db, &result, err)) {
		PQclear(result);
		return false;
	}
	prepared->ready = is_success(result);
	if (!prepared->ready && *failed == NONE) {
		*failed = i;
		query_raise(db, prepared->statement->name, result, err);
	}
	PQclear(result);
	return true;
}

/* The same of the i-th in the queue; its result is kept there. */
static bool collect_one(struct db *db, size_t i, size_t *failed, struct err *err)
{
	struct queued *queued = &db->queue[i];
	struct prepared *prepared = queued->prepared;

	if (prepared && queued->prepares && !collect_preparation(db, i, failed, err))
		return false;
	if (!take_result(db, &queued->result, err))
		return false;
	if (*failed != NONE)
		return true;
	if (!is_success(queued->result)) {
		*failed = i;
		query_raise(db, prepared ? prepared->statement->name : "LISTEN", queued->result, err);
		if (prepared && !queued->prepares)
			prepared->stale = is_stale_plan(db);
	} else if (is_lost_commit(queued)) {
		*failed = i;
		err_internal(err, "COMMIT of a transaction that had failed");
	}
	return true;
}

/*
 * The sync point behind the queue. A server that shuts down may say so here, between two messages of ours; whether what
 * it confirmed before is committed, where it was no transaction of its own, cannot be told.
 */
static bool collect_sync(struct db *db, struct err *err)
{
	PGresult *result = NULL;
	bool synced;

	if (!connection_next(db, connection_deadline(db), &result, err))
		return false;
	synced = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
	if (!synced) {
		query_raise(db, "sync", result, err);
		db->broken = true;
	}
	PQclear(result);
	return synced;
}

static bool collect(struct db *db, size_t *failed, struct err *err)
{
	for (size_t i = 0; i < db->queue_count; i++) {
		if (!collect_one(db, i, failed, err)) {
			*failed = NONE;
			return false;
		}
	}
	if (!collect_sync(db, err)) {
		*failed = NONE;
		return false;
	}
	return *failed == NONE;
}

static void queue_clear(struct db *db)
{
	for (size_t i = 0; i < db->queue_count; i++) {
		struct queued *queued = &db->queue[i];

		PQclear(queued->result);
		/* Skipped after a failure: not prepared. Its name is free. */
		if (queued->prepared)
			queued->prepared->queued = false;
	}
	db->queue_count = 0;
}

/* Sends the queue and reads all its results into it; the caller takes them and clears it. */
static bool run(struct db *db, size_t *ret_failed, struct err *err)
{
	*ret_failed = NONE;
	db->sqlstate[0] = 0;
	db->constraint[0] = 0;
	if (db->broken || !PQpipelineSync(db->conn))
		return connection_lost(db, err);
	return collect(db, ret_failed, err);
}

/* Runs a lone statement, and what is queued before it: the result is the queue's last. */
static bool run_one(struct db *db, const struct db_statement *statement, struct db_params params, struct err *err)
{
	bool retried = false;
	size_t failed;

	assert(!db->in_pipeline);
	for (;;) {
		bool alone = query_is_idle(db);

		if (!add(db, statement, params, err))
			return false;
		if (run(db, &failed, err))
			return true;
		queue_clear(db);
		if (!alone || retried || db->broken || !is_stale_plan(db))
			return false;
		retried = true;
	}
}

static PGresult *take_last(struct db *db)
{
	return TAKE(db->queue[db->queue_count - 1].result);
}

bool db_query(struct db *db, const struct db_statement *statement, struct db_params params, struct arena *arena,
	      struct db_rows **ret_rows, struct err *err)
{
	if (!run_one(db, statement, params, err))
		return false;
	*ret_rows = rows_new(arena, take_last(db));
	queue_clear(db);
	return true;
}

bool db_exec(struct db *db, const struct db_statement *statement, struct db_params params, int64_t *ret_affected,
	     struct err *err)
{
	if (!run_one(db, statement, params, err))
		return false;
	if (ret_affected)
		*ret_affected = result_affected(db->queue[db->queue_count - 1].result);
	queue_clear(db);
	return true;
}

bool query_text(struct db *db, const char *sql, struct err *err)
{
	size_t failed;
	bool ok;

	if (db->broken)
		return connection_lost(db, err);
	queue_push(db);
	if (!PQsendQueryParams(db->conn, sql, 0, NULL, NULL, NULL, NULL, 1))
		return connection_lost(db, err);
	ok = run(db, &failed, err);
	queue_clear(db);
	return ok;
}

static bool run_pending(struct db *db, struct err *err)
{
	size_t failed;
	bool ok;

	if (db->queue_count == 0)
		return true;
	ok = run(db, &failed, err);
	queue_clear(db);
	return ok;
}

/* Reads all results; the first failure is raised. */
static bool collect_script(struct db *db, struct err *err)
{
	bool failed = false;
	PGresult *result;

	for (;;) {
		if (!connection_next(db, INT64_MAX, &result, err))
			return false;
		if (!result)
			return !failed;
		assert(PQresultStatus(result) < PGRES_COPY_OUT || PQresultStatus(result) > PGRES_COPY_IN);
		if (!failed && PQresultStatus(result) == PGRES_FATAL_ERROR) {
			failed = true;
			query_raise(db, "script", result, err);
		}
		PQclear(result);
	}
}

bool db_exec_script(struct db *db, struct str sql, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	bool ok;

	assert(!db->in_pipeline);
	if (!run_pending(db, err))
		return false;
	db->sqlstate[0] = 0;
	db->constraint[0] = 0;
	/* Several statements in one text: only the simple protocol takes them, and it excludes the pipeline mode. */
	if (db->broken || !PQexitPipelineMode(db->conn) || !PQsendQuery(db->conn, str_cstr(arena, sql)))
		return connection_lost(db, err);
	ok = collect_script(db, err);
	if (!db->broken && !PQenterPipelineMode(db->conn))
		return connection_lost(db, err);
	return ok;
}

bool db_begin(struct db *db, struct err *err)
{
	assert(!db->in_pipeline && (db->broken || query_is_idle(db)));
	return add(db, &DB_BEGIN, DB_NO_PARAMS, err);
}

bool db_commit(struct db *db, struct err *err)
{
	return db_exec(db, &DB_COMMIT, DB_NO_PARAMS, NULL, err);
}

void db_rollback(struct db *db)
{
	struct err err;

	if (db->in_pipeline) {
		queue_clear(db);
		db->in_pipeline = false;
	}
	if (!db->broken && !query_is_idle(db) && !db_exec(db, &DB_ROLLBACK, DB_NO_PARAMS, NULL, &err))
		db->broken = true;
}

bool db_pipeline_begin(struct db *db, struct err *err)
{
	assert(!db->in_pipeline);
	if (!run_pending(db, err))
		return false;
	db->in_pipeline = true;
	return true;
}

bool db_pipeline_add(struct db *db, const struct db_statement *statement, struct db_params params, struct err *err)
{
	assert(db->in_pipeline);
	return add(db, statement, params, err);
}

size_t db_pipeline_count(const struct db *db)
{
	return db->queue_count;
}

/* After a failure the transaction is of no more use; what the failure was is kept. */
static void abandon(struct db *db)
{
	char sqlstate[sizeof(db->sqlstate)], constraint[sizeof(db->constraint)];

	memcpy(sqlstate, db->sqlstate, sizeof(sqlstate));
	memcpy(constraint, db->constraint, sizeof(constraint));
	db->in_pipeline = false;
	db_rollback(db);
	db->in_pipeline = true;
	memcpy(db->sqlstate, sqlstate, sizeof(sqlstate));
	memcpy(db->constraint, constraint, sizeof(constraint));
}

bool db_pipeline_flush(struct db *db, struct arena *arena, struct db_rows ***ret_rows, size_t *ret_failed,
		       struct err *err)
{
	size_t failed;

	assert(db->in_pipeline);
	if (!run(db, &failed, err)) {
		queue_clear(db);
		abandon(db);
		if (ret_failed)
			*ret_failed = failed;
		return false;
	}
	if (ret_rows) {
		*ret_rows = ARENA_ARRAY(arena, db->queue_count, struct db_rows *);
		for (size_t i = 0; i < db->queue_count; i++)
			(*ret_rows)[i] = rows_new(arena, TAKE(db->queue[i].result));
	}
	queue_clear(db);
	return true;
}

bool db_pipeline_end(struct db *db, struct err *err)
{
	assert(db->in_pipeline && (db->broken || db->queue_count == 0));
	db->in_pipeline = false;
	return db->broken ? connection_lost(db, err) : true;
}
