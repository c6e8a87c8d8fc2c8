/*
 * The lot where requests are parked: a heap of deadlines, and an epoll that watches their sockets for a hang-up, which
 * libmicrohttpd does not notice while a connection is suspended. One thread keeps both.
 *
 * A request enters (request_park), settles (its worker is done with it), is woken once, and leaves when a worker has it
 * again. A wake-up between entering and settling is remembered. A socket is watched under a serial number, so that an
 * event that was fetched before the request left finds nobody; it leaves the epoll before its connection is resumed, as
 * from then on the descriptor may be closed and reused.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "http/internal.h"

#define EVENTS      64
#define WAKE_SERIAL 0 /* the eventfd's; exchanges count from 1 */

struct slot {
	int64_t deadline_ms;
	struct exchange *ex;
};

struct lot {
	struct mutex lock; /* guards what follows, and `parked` of the exchanges inside */
	struct slot *heap;
	size_t count, cap;
	struct idmap watched; /* by serial number */
	int64_t sleeping_until_ms;
	bool stopping, ending;
	int epoll, wake;
	pthread_t thread;
};

static struct exchange *exchange_of(struct parked *parked)
{
	return (struct exchange *)((char *)parked - offsetof(struct exchange, parked));
}

/* ---- the heap: the next deadline first ---- */

static void heap_set(struct lot *lot, size_t at, struct slot slot)
{
	lot->heap[at] = slot;
	slot.ex->parked.heap_at = at;
}

static void heap_up(struct lot *lot, size_t at)
{
	struct slot slot = lot->heap[at];

	for (; at > 0 && lot->heap[(at - 1) / 2].deadline_ms > slot.deadline_ms; at = (at - 1) / 2)
		heap_set(lot, at, lot->heap[(at - 1) / 2]);
	heap_set(lot, at, slot);
}

static void heap_down(struct lot *lot, size_t at)
{
	struct slot slot = lot->heap[at];

	for (size_t child; (child = 2 * at + 1) < lot->count; at = child) {
		if (child + 1 < lot->count && lot->heap[child + 1].deadline_ms < lot->heap[child].deadline_ms)
			child++;
		if (lot->heap[child].deadline_ms >= slot.deadline_ms)
			break;
		heap_set(lot, at, lot->heap[child]);
	}
	heap_set(lot, at, slot);
}

static void heap_add(struct lot *lot, struct exchange *ex)
{
	if (lot->count == lot->cap) {
		lot->cap = lot->cap ? lot->cap * 2 : 64;
		lot->heap = x_realloc(lot->heap, lot->cap * sizeof(*lot->heap));
	}
	lot->heap[lot->count] = (struct slot){ ex->parked.park.deadline_ms, ex };
	heap_up(lot, lot->count++);
}

static void heap_remove(struct lot *lot, struct exchange *ex)
{
	size_t at = ex->parked.heap_at;
	struct slot last = lot->heap[--lot->count];

	if (last.ex == ex)
		return;
	heap_set(lot, at, last);
	heap_up(lot, at);
	heap_down(lot, last.ex->parked.heap_at);
}

/* ---- waking ---- */

static void take_out(struct lot *lot, struct exchange *ex, enum wake_cause cause)
{
	assert(mutex_held(&lot->lock));
	heap_remove(lot, ex);
	idmap_remove(&lot->watched, (int64_t)ex->serial);
	ex->parked.state = PARKED_WOKEN;
	ex->parked.cause = cause;
	ex->next = NULL;
}

static void wake(struct lot *lot, struct exchange *ex, enum wake_cause cause)
{
	take_out(lot, ex, cause);
	pool_push_woken(ex->pool, ex);
}

/* A chain of exchanges of one pool. */
struct chain {
	struct exchange *first, *last;
};

static void chain_add(struct chain *chain, struct exchange *ex)
{
	if (chain->first && chain->first->pool != ex->pool) {
		pool_push_woken(chain->first->pool, chain->first);
		chain->first = NULL;
	}
	if (chain->first)
		chain->last->next = ex;
	else
		chain->first = ex;
	chain->last = ex;
}

void request_wake_all(struct parked *const *parked, size_t count)
{
	struct lot *lot = count ? exchange_http(exchange_of(parked[0]))->lot : NULL;
	struct chain chain = { 0 };

	if (!lot)
		return;
	LOCKED(&lot->lock);
	for (size_t i = 0; i < count; i++) {
		struct exchange *ex = exchange_of(parked[i]);

		if (parked[i]->state == PARKED_ENTERING) {
			parked[i]->pending = true;
		} else if (parked[i]->state == PARKED_IN) {
			take_out(lot, ex, WAKE_EVENT);
			chain_add(&chain, ex);
		}
	}
	if (chain.first)
		pool_push_woken(chain.first->pool, chain.first);
}

void request_wake(struct parked *parked)
{
	request_wake_all(&parked, 1);
}

/* ---- the lot's thread ---- */

static void nudge(struct lot *lot)
{
	uint64_t one = 1;
	ssize_t written = write(lot->wake, &one, sizeof(one));

	(void)written; /* it can only fail when the counter is full: then it wakes anyway */
}

static void handle_event(struct lot *lot, uint64_t serial)
{
	struct exchange *ex;
	uint64_t count;

	if (serial == WAKE_SERIAL) {
		ssize_t got = read(lot->wake, &count, sizeof(count));

		(void)got;
		return;
	}
	LOCKED(&lot->lock);
	ex = idmap_get(&lot->watched, (int64_t)serial);
	if (ex)
		wake(lot, ex, WAKE_HANGUP);
}

/* Wakes some of those whose time has come. *ret_wait_ms: until the next one's; false: the lot ends. */
static bool expire(struct lot *lot, int *ret_wait_ms)
{
	int64_t now_ms = clock_mono_ms();

	LOCKED(&lot->lock);
	for (int i = 0; i < EVENTS && lot->count > 0 && lot->heap[0].deadline_ms <= now_ms; i++)
		wake(lot, lot->heap[0].ex, WAKE_DEADLINE);
	lot->sleeping_until_ms = lot->count ? lot->heap[0].deadline_ms : INT64_MAX;
	*ret_wait_ms = lot->count ? (int)MIN(MAX(lot->sleeping_until_ms - now_ms, 0), 60000) : -1;
	return !lot->ending;
}

static void *keep(void *context)
{
	struct lot *lot = context;
	struct epoll_event events[EVENTS];
	int wait_ms, count;

	while (expire(lot, &wait_ms)) {
		count = epoll_wait(lot->epoll, events, EVENTS, wait_ms);
		assert(count >= 0 || errno == EINTR);
		for (int i = 0; i < count; i++)
			handle_event(lot, events[i].data.u64);
	}
	return NULL;
}

/* ---- in and out ---- */

struct lot *lot_new(void)
{
	struct lot *lot = X_NEW(struct lot);
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = WAKE_SERIAL };

	mutex_init(&lot->lock);
	lot->epoll = epoll_create1(EPOLL_CLOEXEC);
	lot->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (lot->epoll < 0 || lot->wake < 0 || epoll_ctl(lot->epoll, EPOLL_CTL_ADD, lot->wake, &event) < 0)
		abort();
	lot->thread = thread_start("parked", keep, lot);
	return lot;
}

void lot_enter(struct exchange *ex, const struct park *park)
{
	ex->parked = (struct parked){ .park = *park, .state = PARKED_ENTERING };
	if (park->on_parked)
		park->on_parked(&ex->parked, park->state);
}

/* Should it fail (a limit of the kernel's), the deadline still comes. */
static void watch(struct lot *lot, struct exchange *ex)
{
	struct epoll_event event = { .events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = ex->serial };

	ex->parked.fd = MHD_get_connection_info(ex->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	ex->parked.watched = epoll_ctl(lot->epoll, EPOLL_CTL_ADD, ex->parked.fd, &event) == 0;
}

void lot_settle(struct lot *lot, struct exchange *ex)
{
	struct parked *parked = &ex->parked;

	LOCKED(&lot->lock);
	if (parked->pending || lot->stopping) {
		parked->state = PARKED_WOKEN;
		parked->cause = lot->stopping ? WAKE_STOPPING : WAKE_EVENT;
		ex->next = NULL;
		pool_push_woken(ex->pool, ex);
		return;
	}
	parked->state = PARKED_IN;
	heap_add(lot, ex);
	idmap_put(&lot->watched, (int64_t)ex->serial, ex);
	watch(lot, ex);
	if (parked->park.deadline_ms < lot->sleeping_until_ms) {
		lot->sleeping_until_ms = parked->park.deadline_ms;
		nudge(lot);
	}
}

enum wake_cause lot_leave(struct lot *lot, struct exchange *ex)
{
	struct parked *parked = &ex->parked;
	enum wake_cause cause;

	if (parked->watched && epoll_ctl(lot->epoll, EPOLL_CTL_DEL, parked->fd, NULL) < 0)
		abort();
	if (parked->park.on_resumed)
		parked->park.on_resumed(parked, parked->park.state);
	LOCKED(&lot->lock);
	cause = parked->cause;
	parked->state = PARKED_NOT;
	return cause;
}

size_t lot_count(struct lot *lot)
{
	LOCKED(&lot->lock);
	return lot->count;
}

void lot_stop(struct lot *lot)
{
	LOCKED(&lot->lock);
	lot->stopping = true;
	while (lot->count > 0)
		wake(lot, lot->heap[lot->count - 1].ex, WAKE_STOPPING);
}

void lot_free(struct lot *lot)
{
	if (!lot)
		return;
	mutex_lock(&lot->lock);
	assert(lot->count == 0);
	lot->ending = true;
	mutex_unlock(&lot->lock);
	nudge(lot);
	thread_join(lot->thread);
	close(lot->epoll);
	close(lot->wake);
	idmap_done(&lot->watched);
	free(lot->heap);
	mutex_done(&lot->lock);
	free(lot);
}
