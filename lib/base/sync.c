#include "base/sync.h"

#include <errno.h>
#include <signal.h>

static void must(int error)
{
	if (error)
		abort();
}

void mutex_init(struct mutex *mutex)
{
	must(pthread_mutex_init(&mutex->lock, NULL));
	mutex->holder = 0;
}

void mutex_done(struct mutex *mutex)
{
	must(pthread_mutex_destroy(&mutex->lock));
}

struct mutex *mutex_lock(struct mutex *mutex)
{
	must(pthread_mutex_lock(&mutex->lock));
	mutex->holder = (uintptr_t)pthread_self();
	return mutex;
}

void mutex_unlock(struct mutex *mutex)
{
	assert(mutex_held(mutex));
	mutex->holder = 0;
	must(pthread_mutex_unlock(&mutex->lock));
}

bool mutex_held(const struct mutex *mutex)
{
	return mutex->holder == (uintptr_t)pthread_self();
}

void cond_init(struct cond *cond)
{
	pthread_condattr_t attr;

	must(pthread_condattr_init(&attr));
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	must(pthread_cond_init(&cond->cond, &attr));
	must(pthread_condattr_destroy(&attr));
}

void cond_done(struct cond *cond)
{
	must(pthread_cond_destroy(&cond->cond));
}

void cond_wait(struct cond *cond, struct mutex *mutex)
{
	mutex->holder = 0;
	must(pthread_cond_wait(&cond->cond, &mutex->lock));
	mutex->holder = (uintptr_t)pthread_self();
}

bool cond_wait_until(struct cond *cond, struct mutex *mutex, int64_t deadline_ms)
{
	struct timespec until = { .tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000 };
	int error;

	mutex->holder = 0;
	error = pthread_cond_timedwait(&cond->cond, &mutex->lock, &until);
	mutex->holder = (uintptr_t)pthread_self();
	if (error && error != ETIMEDOUT)
		abort();
	return error == 0;
}

void cond_signal(struct cond *cond)
{
	must(pthread_cond_signal(&cond->cond));
}

void cond_broadcast(struct cond *cond)
{
	must(pthread_cond_broadcast(&cond->cond));
}

pthread_t thread_start(const char *name, void *(*run)(void *context), void *context)
{
	sigset_t all, before;
	pthread_t thread;

	sigfillset(&all);
	must(pthread_sigmask(SIG_BLOCK, &all, &before));
	must(pthread_create(&thread, NULL, run, context));
	must(pthread_sigmask(SIG_SETMASK, &before, NULL));
	pthread_setname_np(thread, name);
	return thread;
}

void thread_join(pthread_t thread)
{
	must(pthread_join(thread, NULL));
}
