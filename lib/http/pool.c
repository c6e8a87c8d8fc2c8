/*
 * Workers with a bounded queue. What was parked is queued apart and unbounded (there are no more of them than
 * connections), and the two queues are served in turn: a wave of wake-ups does not hold up new requests. Nor do more
 * workers run for it than the processors can use: they would but push each other aside.
 */
#include <unistd.h>

#include "http/internal.h"

struct queue {
	struct exchange *first, **end;
	size_t length;
};

struct pool {
	struct mutex lock; /* guards what follows */
	struct cond work;
	struct queue fresh, woken;
	size_t reserved; /* places of `fresh` in use, or soon to be */
	size_t queue_length, busy, busy_woken, max_woken;
	bool woken_next, stopping;
	size_t thread_count;
	pthread_t threads[];
};

static void queue_init(struct queue *queue)
{
	*queue = (struct queue){ .end = &queue->first };
}

static void queue_push(struct queue *queue, struct exchange *ex)
{
	ex->next = NULL;
	*queue->end = ex;
	queue->end = &ex->next;
	queue->length++;
}

static struct exchange *queue_pop(struct queue *queue)
{
	struct exchange *ex = queue->first;

	if (!ex)
		return NULL;
	queue->first = ex->next;
	if (!queue->first)
		queue->end = &queue->first;
	queue->length--;
	return ex;
}

static bool may_take_woken(const struct pool *pool)
{
	return pool->woken.length && pool->busy_woken < pool->max_woken && (pool->woken_next || !pool->fresh.length);
}

/* Waits for work; NULL: the pool stops, and nothing is left but what others are about to take. */
static struct exchange *take(struct pool *pool, bool *ret_woken)
{
	struct exchange *ex;

	LOCKED(&pool->lock);
	for (;;) {
		*ret_woken = may_take_woken(pool);
		ex = queue_pop(*ret_woken ? &pool->woken : &pool->fresh);
		if (ex)
			break;
		if (pool->stopping && pool->reserved == 0)
			return NULL;
		cond_wait(&pool->work, &pool->lock);
	}
	pool->woken_next = !*ret_woken;
	if (!*ret_woken && --pool->reserved == 0 && pool->stopping)
		cond_broadcast(&pool->work); /* that was the last: the others may end */
	pool->busy++;
	pool->busy_woken += *ret_woken;
	return ex;
}

static void done(struct pool *pool, bool woken)
{
	LOCKED(&pool->lock);
	pool->busy--;
	pool->busy_woken -= woken;
}

static void *work(void *context)
{
	struct pool *pool = context;
	struct arena *arena = arena_new();
	struct exchange *ex;
	bool woken;

	while ((ex = take(pool, &woken))) {
		if (woken)
			call_resume(ex, arena);
		else
			call_run(ex, arena);
		done(pool, woken);
	}
	arena_free(arena);
	return NULL;
}

struct pool *pool_new(const char *name, size_t workers, size_t queue_length)
{
	struct pool *pool = x_calloc(1, sizeof(*pool) + workers * sizeof(pool->threads[0]));

	mutex_init(&pool->lock);
	cond_init(&pool->work);
	queue_init(&pool->fresh);
	queue_init(&pool->woken);
	pool->queue_length = queue_length;
	pool->max_woken = MIN(workers, 2 * (size_t)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1));
	pool->thread_count = workers;
	for (size_t i = 0; i < workers; i++)
		pool->threads[i] = thread_start(name, work, pool);
	return pool;
}

bool pool_reserve(struct pool *pool)
{
	LOCKED(&pool->lock);
	if (pool->stopping || pool->reserved >= pool->queue_length)
		return false;
	pool->reserved++;
	return true;
}

void pool_push(struct pool *pool, struct exchange *ex)
{
	LOCKED(&pool->lock);
	queue_push(&pool->fresh, ex);
	cond_signal(&pool->work);
}

void pool_push_woken(struct pool *pool, struct exchange *first)
{
	LOCKED(&pool->lock);
	for (struct exchange *ex = first, *next; ex; ex = next) {
		next = ex->next;
		queue_push(&pool->woken, ex);
		if (pool->busy_woken + pool->woken.length <= pool->max_woken)
			cond_signal(&pool->work); /* else who is busy with one takes the next */
	}
}

struct pool_stats pool_stats(struct pool *pool)
{
	LOCKED(&pool->lock);
	return (struct pool_stats){ pool->reserved + pool->woken.length, pool->busy };
}

void pool_stop(struct pool *pool)
{
	mutex_lock(&pool->lock);
	pool->stopping = true;
	cond_broadcast(&pool->work);
	mutex_unlock(&pool->lock);
	for (size_t i = 0; i < pool->thread_count; i++)
		thread_join(pool->threads[i]);
}

void pool_free(struct pool *pool)
{
	cond_done(&pool->work);
	mutex_done(&pool->lock);
	free(pool);
}
