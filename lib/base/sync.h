/* Locks that know their holder, condition variables on the monotonic clock, threads that abort rather than fail to start. */
#pragma once

#include <pthread.h>

#include "base/attributes.h"

struct mutex {
	pthread_mutex_t lock;
	_Atomic(uintptr_t) holder; /* 0: nobody */
};

struct cond {
	pthread_cond_t cond;
};

void mutex_init(struct mutex *mutex);
void mutex_done(struct mutex *mutex);
struct mutex *mutex_lock(struct mutex *mutex); /* returns it */
void mutex_unlock(struct mutex *mutex);
bool mutex_held(const struct mutex *mutex); /* by this thread: for assert */

/* `LOCKED(&mutex);` holds it until the end of the scope. */
static inline UNUSED void mutex_unlock_cleanup(struct mutex **mutex)
{
	mutex_unlock(*mutex);
}
#define LOCKED_NAME2(line) locked_##line
#define LOCKED_NAME(line)  LOCKED_NAME2(line)
#define LOCKED(m) struct mutex *LOCKED_NAME(__LINE__) __attribute__((cleanup(mutex_unlock_cleanup), unused)) = mutex_lock(m)

void cond_init(struct cond *cond);
void cond_done(struct cond *cond);
void cond_wait(struct cond *cond, struct mutex *mutex);
/* Until the monotonic clock (clock_mono_ms) shows `deadline_ms`. false: it does. */
bool cond_wait_until(struct cond *cond, struct mutex *mutex, int64_t deadline_ms);
void cond_signal(struct cond *cond);
void cond_broadcast(struct cond *cond);

/* `name` is seen in debuggers and `top`: 15 bytes at most. All signals are blocked in it. */
pthread_t thread_start(const char *name, void *(*run)(void *context), void *context);
void thread_join(pthread_t thread);
