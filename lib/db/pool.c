/* The pool: a list of idle connections, the latest used first, and the pause between attempts to connect while the
 * database is away. */
#include "internal.h"

#define DEFAULT_TIMEOUT_MS 30000
#define FIRST_PAUSE_MS     50
#define LAST_PAUSE_MS      2000
#define RETRY_MS           1000 /* what callers are told to wait at least */

struct db_pool {
	struct mutex mutex; /* all below but the atomic count */
	struct cond freed;
	char *conninfo;
	size_t size;
	int64_t timeout_ms;
	struct db *idle;
	size_t idle_count, open, waiting; /* open: in use, idle, or being connected */
	int64_t pause_ms, retry_at_ms;    /* pause_ms is 0 while all is well */
	bool trying;                      /* after a failure one thread at a time tries */
	uint64_t connects;
	_Atomic(uint64_t) statements;
};

struct db_pool *db_pool_new(const struct db_pool_config *config)
{
	struct db_pool *pool = X_NEW(struct db_pool);

	assert(config->size > 0);
	mutex_init(&pool->mutex);
	cond_init(&pool->freed);
	pool->conninfo = x_strdup(config->conninfo);
	pool->size = config->size;
	pool->timeout_ms = config->timeout_ms > 0 ? config->timeout_ms : DEFAULT_TIMEOUT_MS;
	return pool;
}

void db_pool_free(struct db_pool *pool)
{
	struct db *next;

	if (!pool)
		return;
	assert(pool->open == pool->idle_count);
	for (struct db *db = pool->idle; db; db = next) {
		next = db->next;
		connection_close(db);
	}
	mutex_done(&pool->mutex);
	cond_done(&pool->freed);
	free(pool->conninfo);
	free(pool);
}

struct db_pool_stats db_pool_stats(struct db_pool *pool)
{
	LOCKED(&pool->mutex);
	return (struct db_pool_stats){
		.size = pool->size,
		.idle = pool->idle_count,
		.in_use = pool->open - pool->idle_count,
		.waiting = pool->waiting,
		.connects = pool->connects,
		.statements = pool->statements,
	};
}

static bool is_pausing(const struct db_pool *pool)
{
	return pool->pause_ms && (pool->trying || clock_mono_ms() < pool->retry_at_ms);
}

/* An idle connection in *ret_db, or NULL: the caller may open one, its place is taken. */
static bool take_place(struct db_pool *pool, struct db **ret_db, struct err *err)
{
	int64_t deadline_ms = clock_mono_ms() + pool->timeout_ms;
	LOCKED(&pool->mutex);

	while (!pool->idle && pool->open == pool->size) {
		bool in_time;

		pool->waiting++;
		in_time = cond_wait_until(&pool->freed, &pool->mutex, deadline_ms);
		pool->waiting--;
		if (!in_time && !pool->idle && pool->open == pool->size)
			return unavailable(err, RETRY_MS, "all %zu connections to the database are busy", pool->size);
	}
	*ret_db = pool->idle;
	if (pool->idle) {
		pool->idle = pool->idle->next;
		pool->idle_count--;
		return true;
	}
	if (is_pausing(pool))
		return unavailable(err, MAX(pool->retry_at_ms - clock_mono_ms(), RETRY_MS),
				   "the database was away a moment ago");
	pool->trying = true;
	pool->open++;
	return true;
}

static void give_place_back(struct db_pool *pool)
{
	LOCKED(&pool->mutex);

	pool->open--;
	cond_broadcast(&pool->freed); /* while the database is away, all that wait shall hear it */
}

static void note_attempt(struct db_pool *pool, bool succeeded)
{
	LOCKED(&pool->mutex);

	pool->trying = false;
	pool->connects += succeeded;
	if (succeeded) {
		pool->pause_ms = 0;
	} else {
		pool->pause_ms = MIN(MAX(pool->pause_ms * 2, FIRST_PAUSE_MS), LAST_PAUSE_MS);
		pool->retry_at_ms = clock_mono_ms() + pool->pause_ms;
	}
}

static bool connect_in_place(struct db_pool *pool, struct db **ret_db, struct err *err)
{
	const struct connection_config config = { pool->conninfo, pool->timeout_ms, &pool->statements };
	bool connected = connection_open(&config, ret_db, err);

	note_attempt(pool, connected);
	if (!connected) {
		give_place_back(pool);
		return false;
	}
	(*ret_db)->pool = pool;
	return true;
}

bool db_acquire(struct db_pool *pool, struct db **ret_db, struct err *err)
{
	for (;;) {
		struct db *db = NULL;

		if (!take_place(pool, &db, err))
			return false;
		if (!db)
			return connect_in_place(pool, ret_db, err);
		if (connection_is_alive(db)) {
			db->next = NULL;
			*ret_db = db;
			return true;
		}
		connection_close(db);
		give_place_back(pool);
	}
}

/* Fit for the next one: no transaction, nothing on the way, nothing listened to. */
static bool is_clean(struct db *db)
{
	if (db->listening || db->in_pipeline)
		return false;
	db_rollback(db);
	return !db->broken && query_is_idle(db);
}

/* What broke one has broken the others, mostly, and they do not show it: who takes one would wait for it in vain, where
 * a new connection is refused soon. */
static void close_idle(struct db_pool *pool)
{
	struct db *idle, *next;

	{
		LOCKED(&pool->mutex);
		idle = TAKE(pool->idle);
		pool->idle_count = 0;
	}
	for (; idle; idle = next) {
		next = idle->next;
		connection_close(idle);
		give_place_back(pool);
	}
}

void db_release(struct db *db)
{
	struct db_pool *pool;
	bool clean;

	if (!db)
		return;
	pool = db->pool;
	clean = is_clean(db);
	if (db->broken)
		close_idle(pool);
	if (!clean) {
		connection_close(db);
		give_place_back(pool);
		return;
	}
	encoder_trim(&db->encoder);
	LOCKED(&pool->mutex);
	db->next = pool->idle;
	pool->idle = db;
	pool->idle_count++;
	cond_signal(&pool->freed);
}
