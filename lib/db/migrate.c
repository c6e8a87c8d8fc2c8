#include "db/migrate.h"

#include <sodium.h>
#include <unistd.h>

/* Another process may be building an index over a large table. */
#define LOCK_WAIT_MS  (INT64_C(30) * 60 * 1000)
#define LOCK_PAUSE_US (100 * 1000)

/* An advisory lock is a number in the database: "hearth" in ASCII. */
#define LOCK "114784635876456"

/* Waiting inside pg_advisory_lock would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for those: ask again and
 * again instead. */
static const struct db_statement TRY_LOCK = { "migrate_lock", "SELECT pg_try_advisory_lock(" LOCK ")" };
static const struct db_statement UNLOCK = { "migrate_unlock", "SELECT pg_advisory_unlock(" LOCK ")" };

static const struct db_statement CREATE_TABLE = {
	.name = "migrate_create",
	.sql = "CREATE TABLE IF NOT EXISTS schema_migrations (number bigint PRIMARY KEY, name text NOT NULL,"
	       " sha256 bytea NOT NULL CHECK (length(sha256) = 32), requires bigint NOT NULL DEFAULT 0,"
	       " applied_at timestamptz NOT NULL DEFAULT now())",
};
static const struct db_statement SELECT_TABLE = { "migrate_table", "SELECT to_regclass('schema_migrations') IS NOT NULL" };
static const struct db_statement SELECT_RECORDED = {
	.name = "migrate_recorded",
	.sql = "SELECT number, name, sha256, requires FROM schema_migrations ORDER BY number",
};
static const struct db_statement INSERT_RECORD = {
	.name = "migrate_record",
	.sql = "INSERT INTO schema_migrations (number, name, sha256, requires) VALUES ($1, $2, $3, $4)",
};

static const struct db_statement SELECT_TIMEOUT = { "migrate_timeout", "SELECT current_setting('statement_timeout')" };
static const struct db_statement SET_TIMEOUT = { "migrate_set_timeout",
						 "SELECT set_config('statement_timeout', $1, false)" };

struct directives {
	bool no_transaction;
	int64_t requires;
};

/* Of the comments that open the file. */
static struct directives directives_of(struct str sql)
{
	static const struct str requires = STR_INIT("-- requires ");
	struct directives found = { 0 };
	struct str line;

	while (str_split(&sql, '\n', &line)) {
		line = str_trim(line);
		if (!str_starts_with(line, STR("--")))
			break;
		if (str_eq(line, STR("-- no transaction")))
			found.no_transaction = true;
		else if (str_starts_with(line, requires) &&
			 !str_to_int64(str_from(line, requires.len), &found.requires))
			abort(); /* a mistake of ours, in a file that is part of the program */
	}
	return found;
}

static struct str sha256(struct str text, struct arena *arena)
{
	uint8_t *digest = arena_alloc(arena, crypto_hash_sha256_BYTES);

	crypto_hash_sha256(digest, (const uint8_t *)text.ptr, text.len);
	return (struct str){ (const char *)digest, crypto_hash_sha256_BYTES };
}

static const struct migration *find(const struct migration *migrations, size_t count, int64_t number)
{
	for (size_t i = 0; i < count; i++) {
		if (migrations[i].number == number)
			return &migrations[i];
	}
	return NULL;
}

/* Compares what is recorded with what we know, and tells which of ours are `ret_applied`, and whether others are. */
static bool compare(struct db *db, const struct migration *migrations, size_t count, struct arena *arena,
		    bool *ret_applied, bool *ret_others, struct err *err)
{
	int64_t newest = count ? migrations[count - 1].number : 0;
	struct db_rows *rows;

	*ret_others = false;
	if (!db_query(db, &SELECT_RECORDED, DB_NO_PARAMS, arena, &rows, err))
		return false;
	while (db_next(rows)) {
		const struct migration *known = find(migrations, count, db_get_int(rows, 0));

		if (db_get_int(rows, 3) > newest)
			return err_internal(err,
					    "the database requires a newer program: one that knows migration %" PRId64,
					    db_get_int(rows, 3));
		if (!known) {
			*ret_others = true;
			continue;
		}
		if (!str_eq(db_get_str(rows, 2), sha256(known->sql, arena)))
			return err_internal(err, "migration %s was edited after it had been applied", known->name);
		ret_applied[known - migrations] = true;
	}
	return true;
}

static bool record(struct db *db, const struct migration *migration, int64_t requires, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();

	return db_exec(db, &INSERT_RECORD,
		       DB_PARAMS(db_int(migration->number), db_text(str_of(migration->name)),
				 db_bytes(sha256(migration->sql, arena)), db_int(requires)),
		       NULL, err);
}

/* Statement by statement: several in one text would be one transaction. */
static bool run_singly(struct db *db, struct str sql, struct err *err)
{
	struct str rest = sql, line;
	const char *start = sql.ptr;

	while (str_split(&rest, '\n', &line)) {
		const char *end = line.ptr + line.len;

		if (!str_ends_with(str_trim(line), STR(";")) && rest.ptr)
			continue;
		if (!db_exec_script(db, (struct str){ start, (size_t)(end - start) }, err))
			return false;
		start = end;
	}
	return true;
}

static bool apply(struct db *db, const struct migration *migration, struct err *err)
{
	struct directives directives = directives_of(migration->sql);

	if (directives.no_transaction)
		return run_singly(db, migration->sql, err) && record(db, migration, directives.requires, err);
	return db_begin(db, err) && db_exec_script(db, migration->sql, err) &&
	       record(db, migration, directives.requires, err) && db_commit(db, err);
}

static bool apply_missing(struct db *db, const struct migration *migrations, size_t count, size_t *ret_applied,
			  struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	bool *applied = ARENA_ARRAY(arena, count, bool), others;
	size_t done = 0;

	if (!db_exec(db, &CREATE_TABLE, DB_NO_PARAMS, NULL, err) ||
	    !compare(db, migrations, count, arena, applied, &others, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (applied[i])
			continue;
		if (!apply(db, &migrations[i], err)) {
			db_rollback(db);
			return err_detail(err, "migration %s", migrations[i].name);
		}
		done++;
	}
	*ret_applied = done;
	return true;
}

static bool lock(struct db *db, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	int64_t deadline_ms = clock_mono_ms() + LOCK_WAIT_MS;
	struct db_rows *rows;

	for (;;) {
		if (!db_query(db, &TRY_LOCK, DB_NO_PARAMS, arena, &rows, err))
			return false;
		if (db_next(rows) && db_get_bool(rows, 0))
			return true;
		if (clock_mono_ms() > deadline_ms)
			return err_internal(err, "another process has been migrating the database for too long");
		arena_reset(arena);
		usleep(LOCK_PAUSE_US);
	}
}

/* A migration takes the time it takes: no statement timeout meanwhile. */
static bool migrate_locked(struct db *db, const struct migration *migrations, size_t count, size_t *ret_applied,
			   struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct db_rows *rows;
	struct err ignored;
	bool ok;

	if (!db_query(db, &SELECT_TIMEOUT, DB_NO_PARAMS, arena, &rows, err) || !db_next(rows) ||
	    !db_exec(db, &SET_TIMEOUT, DB_PARAMS(db_text(STR("0"))), NULL, err))
		return false;
	ok = apply_missing(db, migrations, count, ret_applied, err);
	if (!db_exec(db, &SET_TIMEOUT, DB_PARAMS(db_text(db_get_str(rows, 0))), NULL, ok ? err : &ignored))
		return false;
	return ok;
}

bool migrate(struct db *db, const struct migration *migrations, size_t count, size_t *ret_applied, struct err *err)
{
	struct err ignored;
	bool ok;

	for (size_t i = 1; i < count; i++)
		assert(migrations[i - 1].number < migrations[i].number);
	if (!lock(db, err))
		return false;
	ok = migrate_locked(db, migrations, count, ret_applied, err);
	if (!db_exec(db, &UNLOCK, DB_NO_PARAMS, NULL, ok ? err : &ignored))
		return false;
	return ok;
}

bool migrate_check(struct db *db, const struct migration *migrations, size_t count, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	bool *applied = ARENA_ARRAY(arena, count, bool), others;
	struct db_rows *rows;

	if (!db_query(db, &SELECT_TABLE, DB_NO_PARAMS, arena, &rows, err))
		return false;
	if (!db_next(rows) || !db_get_bool(rows, 0))
		return err_status(err, 500, M_UNKNOWN, "The database is empty: nothing has been set up in it");
	if (!compare(db, migrations, count, arena, applied, &others, err))
		return false;
	if (others)
		return err_status(err, 500, M_UNKNOWN, "The database is of a newer program: use that one");
	for (size_t i = 0; i < count; i++) {
		if (!applied[i])
			return err_status(err, 500, M_UNKNOWN, "The database is of an older program: migrate it first");
	}
	return true;
}
