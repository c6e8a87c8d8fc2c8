/* The server as a whole: starting its parts, and stopping them in order. */
#include <gnutls/abstract.h>
#include <sys/sysinfo.h>

#include "http/internal.h"

#define DEFAULT_CONNECTIONS 10000
#define DEFAULT_WORKERS     16
#define DEFAULT_QUEUE       1000
#define DEFAULT_BODY        ((size_t)1024 * 1024)
#define IDLE_SECONDS        90
#define STOP_MS             10000
#define TLS_PRIORITIES      "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/*
 * libmicrohttpd's memory for a connection: the request's line and headers, and the answer's. It clears all of it
 * between two requests, so a connection that is kept occupies the whole, and a parked one is to have 12 kB at most.
 * Other servers take lines of 8 kB.
 */
#define CONNECTION_MEMORY ((size_t)10 * 1024)

static size_t identity(void *cls UNUSED, struct MHD_Connection *connection UNUSED, char *text)
{
	return strlen(text); /* escapes are decoded after the path is split */
}

static bool io_start(struct io_thread *io, bool tls, struct err *err)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET;

	if (tls)
		flags |= MHD_USE_TLS; /* without it, libmicrohttpd ignores the options that begin with HTTPS */
	io->daemon = MHD_start_daemon(flags, 0, NULL, NULL, exchange_step, NULL, MHD_OPTION_CONNECTION_LIMIT,
				      (unsigned)io->http->max_connections + 1, /* ours to keep */
				      MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
				      MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
				      MHD_OPTION_URI_LOG_CALLBACK, exchange_begin, NULL, MHD_OPTION_UNESCAPE_CALLBACK,
				      identity, NULL, MHD_OPTION_NOTIFY_COMPLETED, exchange_end, NULL,
				      MHD_OPTION_NOTIFY_CONNECTION, connection_notify, io, MHD_OPTION_HTTPS_PRIORITIES,
				      TLS_PRIORITIES, MHD_OPTION_HTTPS_CERT_CALLBACK, tls_retrieve, MHD_OPTION_END);
	return io->daemon || err_set(err, M_UNKNOWN, "cannot start an I/O thread");
}

static bool io_start_all(struct http *http, bool tls, struct io_thread **ret_io, struct err *err)
{
	struct io_thread *io = x_calloc(http->io_count, sizeof(*io));

	*ret_io = io;
	for (size_t i = 0; i < http->io_count; i++) {
		io[i].http = http;
		if (!io_start(&io[i], tls, err))
			return false;
	}
	return true;
}

static void io_stop_all(struct http *http, struct io_thread *io)
{
	for (size_t i = 0; io && i < http->io_count; i++) {
		if (io[i].daemon)
			MHD_stop_daemon(io[i].daemon);
	}
	free(io);
}

static bool has_listener(const struct http_config *config, bool tls)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		if (config->listeners[i].tls == tls)
			return true;
	}
	return false;
}

static bool open_listeners(struct http *http, const struct http_config *config, struct err *err)
{
	http->listeners = x_calloc(config->listener_count, sizeof(*http->listeners));
	http->listener_count = config->listener_count;
	for (size_t i = 0; i < config->listener_count; i++)
		http->listeners[i] = (struct listener){ .http = http, .fd = -1 };
	for (size_t i = 0; i < config->listener_count; i++) {
		if (!listener_open(&http->listeners[i], config, &config->listeners[i], err))
			return false;
	}
	return true;
}

static void start_pools(struct http *http, const struct http_config *config)
{
	static const char *const names[POOL_COUNT] = { "client", "federation", "remote", "upload" };
	size_t workers = config->workers ? config->workers : DEFAULT_WORKERS;
	size_t queue = config->queue_length ? config->queue_length : DEFAULT_QUEUE;

	for (enum route_pool pool = 0; pool < POOL_COUNT; pool++) {
		if (router_uses_pool(http->router, pool))
			http->pools[pool] = pool_new(names[pool], workers, queue);
	}
}

static bool start(struct http *http, const struct http_config *config, struct err *err)
{
	bool tls = has_listener(config, true);

	if (tls && !config->tls)
		return err_set(err, M_UNKNOWN, "a listener with TLS needs a certificate");
	http->tls = config->tls;
	http->aliases = config->aliases;
	http->alias_count = config->alias_count;
	if (!router_new(config->tables, config->max_body ? config->max_body : DEFAULT_BODY, &http->router, err) ||
	    !open_listeners(http, config, err))
		return false;
	http->lot = lot_new();
	start_pools(http, config);
	if ((has_listener(config, false) && !io_start_all(http, false, &http->io, err)) ||
	    (tls && !io_start_all(http, true, &http->tls_io, err)))
		return false;
	acceptor_start(http);
	return true;
}

/* Waits until every answer is out: an exchange lives until its last byte is with the kernel. */
static void wait_idle(struct http *http, int64_t deadline_ms)
{
	LOCKED(&http->lock);
	while (http->engaged > 0 && cond_wait_until(&http->idle, &http->lock, deadline_ms))
		;
}

static void stop_pools(struct http *http)
{
	for (enum route_pool pool = 0; pool < POOL_COUNT; pool++) {
		if (http->pools[pool])
			pool_stop(http->pools[pool]);
	}
}

static void http_free(struct http *http)
{
	for (enum route_pool pool = 0; pool < POOL_COUNT; pool++) {
		if (http->pools[pool])
			pool_free(http->pools[pool]);
	}
	for (size_t i = 0; i < http->listener_count; i++)
		listener_free(&http->listeners[i]);
	free(http->listeners);
	acceptor_free(http->acceptor);
	lot_free(http->lot);
	router_free(http->router);
	MHD_destroy_response(http->preflight);
	cond_done(&http->idle);
	mutex_done(&http->lock);
	free(http);
}

bool http_start(const struct http_config *config, struct http **ret_http, struct err *err)
{
	struct http *http = X_NEW(struct http);

	mutex_init(&http->lock);
	cond_init(&http->idle);
	http->server = config->server;
	http->hooks = config->hooks;
	http->max_connections = config->max_connections ? config->max_connections : DEFAULT_CONNECTIONS;
	http->io_count = (http->max_connections + CONNECTIONS_PER_THREAD - 1) / CONNECTIONS_PER_THREAD;
	http->cpus = (size_t)get_nprocs();
	http->preflight = preflight_response();
	if (!start(http, config, err)) {
		http_stop(http);
		return false;
	}
	*ret_http = http;
	return true;
}

void http_stop(struct http *http)
{
	http->stopping = true;
	if (http->acceptor)
		acceptor_stop(http->acceptor);
	for (size_t i = 0; i < http->listener_count; i++)
		listener_close(&http->listeners[i]);
	if (http->lot)
		lot_stop(http->lot);
	upload_stop_all(http);
	wait_idle(http, clock_mono_ms() + STOP_MS);
	stop_pools(http); /* no connection is suspended after this, as MHD_stop_daemon demands */
	io_stop_all(http, http->io);
	io_stop_all(http, http->tls_io);
	http_free(http);
}

uint16_t http_port(const struct http *http, size_t listener)
{
	assert(listener < http->listener_count);
	return http->listeners[listener].port;
}

struct http_stats http_stats(struct http *http)
{
	struct http_stats stats = { .connections = http->connections, .parked = lot_count(http->lot) };

	for (enum route_pool pool = 0; pool < POOL_COUNT; pool++) {
		if (http->pools[pool]) {
			struct pool_stats one = pool_stats(http->pools[pool]);

			stats.queued += one.queued;
			stats.workers_busy += one.busy;
		}
	}
	return stats;
}
