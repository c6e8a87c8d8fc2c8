#include "observe.h"

#include "accounts/accounts.h"
#include "counts/counts.h"
#include "events/events.h"
#include "interned/interned.h"
#include "journal/journal.h"
#include "keys/keys.h"
#include "log/log.h"
#include "push/push.h"
#include "rooms/memberships.h"
#include "rooms/rooms.h"
#include "routes.h"
#include "state/state_store.h"
#include "sync/sync.h"
#include "to_device/to_device.h"
#include "userdata/ignored.h"
#include "userdata/userdata.h"

#define PAGE_MAX ((size_t)16 << 20)

/* What is answered; the last place is for all others. */
static const int statuses[] = { 200, 201, 202, 204, 206, 304, 400, 401, 403, 404,
				405, 409, 413, 416, 429, 500, 502, 503, 504 };
static const char *const status_names[] = { "200", "201", "202", "204", "206", "304", "400", "401", "403", "404",
					    "405", "409", "413", "416", "429", "500", "502", "503", "504", "other" };
static_assert(ARRAY_LEN(status_names) == ARRAY_LEN(statuses) + 1, "a name for each status, and for the others");

static const char *const connection_states[] = { "idle", "in_use" };
static const char *const batch_sizes[] = { "1", "2", "4", "8", "16", "32", "64", "128" };

struct server_metrics {
	struct server *server;
	struct metrics *registry;
	const char **endpoints; /* the paths of all routes; the first is for requests that none matched */
	size_t endpoint_count;
	struct idmap places; /* route → its path in endpoints */
	struct metric *requests, *durations, *bytes;
};

/* Log */

static struct str user_of(const struct request *req)
{
	return req->user ? req->user->user_id : STR("");
}

static struct str room_of(const struct request *req)
{
	bool names_room = req->route && req->arena && strstr(req->route->path, "{roomId}");

	return names_room ? path_param((struct request *)req, "roomId") : STR("");
}

void observe_begin(const struct request *req)
{
	log_context(req->request_id, user_of(req), room_of(req));
}

/* Being overloaded, or without a database, is a state that passes; the rest is a fault of ours. */
void observe_failed(const struct request *req, const struct err *err)
{
	observe_begin(req);
	log_with(err->status == 503 ? LOG_WARNING : LOG_ERROR,
		 LOG_FIELDS(LOG_STR("method", req->method),
			    LOG_STR("endpoint", str_of(req->route ? req->route->path : "")),
			    LOG_INT("status", err->status), LOG_STR("detail", str_of(err->detail))),
		 "%s", err->message);
	log_context_clear();
}

static void log_request(const struct request *req, int status, uint64_t bytes, int64_t duration_us)
{
	observe_begin(req);
	log_with(LOG_DEBUG,
		 LOG_FIELDS(LOG_STR("method", req->method),
			    LOG_STR("endpoint", str_of(req->route ? req->route->path : "")),
			    LOG_STR("address", req->remote_address), LOG_INT("status", status),
			    LOG_INT("bytes", (int64_t)bytes), LOG_INT("duration_us", duration_us)),
		 "answered");
	log_context_clear();
}

/* Metrics */

static size_t status_place(int status)
{
	size_t place = 0;

	while (place < ARRAY_LEN(statuses) && statuses[place] != status)
		place++;
	return place;
}

static size_t endpoint_place(const struct server_metrics *metrics, const struct route *route)
{
	const char **endpoint = route ? idmap_get(&metrics->places, (int64_t)(intptr_t)route) : NULL;

	return endpoint ? (size_t)(endpoint - metrics->endpoints) : 0;
}

void observe_finished(const struct request *req, int status, uint64_t bytes)
{
	const struct server_metrics *metrics = req->server->metrics;
	int64_t duration_us = clock_mono_us() - req->started_us;
	size_t endpoint = endpoint_place(metrics, req->route);

	metric_add(metrics->requests, metric_cell(metrics->requests, endpoint, status_place(status), 0), 1);
	metric_observe(metrics->durations, metric_cell(metrics->durations, endpoint, 0, 0), duration_us);
	metric_add(metrics->bytes, 0, (int64_t)bytes);
	if (log_enabled(LOG_DEBUG))
		log_request(req, status, bytes, duration_us);
}

static double sample_pool(void *context, size_t cell)
{
	struct server_metrics *metrics = context;
	struct db_pool_stats stats = db_pool_stats(metrics->server->pool);

	return (double)(cell == 0 ? stats.idle : stats.in_use);
}

static double sample_pool_waiting(void *context, size_t cell UNUSED)
{
	return (double)db_pool_stats(((struct server_metrics *)context)->server->pool).waiting;
}

static double sample_pool_connects(void *context, size_t cell UNUSED)
{
	return (double)db_pool_stats(((struct server_metrics *)context)->server->pool).connects;
}

static double sample_pool_statements(void *context, size_t cell UNUSED)
{
	return (double)db_pool_stats(((struct server_metrics *)context)->server->pool).statements;
}

enum cache_name {
	CACHE_INTERNED,
	CACHE_STATE,
	CACHE_EVENTS,
	CACHE_ROOMS,
	CACHE_MEMBERSHIPS,
	CACHE_ACCOUNTS,
	CACHE_FILTERS,
	CACHE_IGNORED,
	CACHE_COUNTS,
	CACHE_PUSH,
	CACHE_KEYS,
	CACHE_TO_DEVICE,
	CACHE_SUMMARIES,
};

static const char *const cache_names[] = {
	[CACHE_INTERNED] = "interned",
	[CACHE_STATE] = "state",
	[CACHE_EVENTS] = "events",
	[CACHE_ROOMS] = "rooms",
	[CACHE_MEMBERSHIPS] = "memberships",
	[CACHE_ACCOUNTS] = "accounts",
	[CACHE_FILTERS] = "filters",
	[CACHE_IGNORED] = "ignored_users",
	[CACHE_COUNTS] = "counts",
	[CACHE_PUSH] = "push",
	[CACHE_KEYS] = "keys",
	[CACHE_TO_DEVICE] = "to_device",
	[CACHE_SUMMARIES] = "summaries",
};

static struct cache_stats cache_now(void *context, size_t cell)
{
	struct server *server = ((struct server_metrics *)context)->server;

	switch ((enum cache_name)cell) {
	case CACHE_INTERNED:
		return interned_cache_stats(server->interned);
	case CACHE_STATE:
		return state_store_cache_stats(server->states);
	case CACHE_EVENTS:
		return events_cache_stats(server->events);
	case CACHE_ROOMS:
		return rooms_cache_stats(server->rooms);
	case CACHE_MEMBERSHIPS:
		return memberships_cache_stats(server->memberships);
	case CACHE_ACCOUNTS:
		return accounts_cache_stats(server->accounts);
	case CACHE_FILTERS:
		return filters_cache_stats(server->filters);
	case CACHE_IGNORED:
		return ignored_cache_stats(server->ignored);
	case CACHE_COUNTS:
		return counts_cache_stats(server->counts);
	case CACHE_PUSH:
		return push_cache_stats(server->push);
	case CACHE_KEYS:
		return keys_cache_stats(server->keys);
	case CACHE_TO_DEVICE:
		return to_device_cache_stats(server->to_device);
	case CACHE_SUMMARIES:
		return summaries_cache_stats(server->summaries);
	}
	return (struct cache_stats){ 0 };
}

static double sample_cache_bytes(void *context, size_t cell)
{
	return (double)cache_now(context, cell).bytes;
}

static double sample_cache_entries(void *context, size_t cell)
{
	return (double)cache_now(context, cell).entries;
}

static double sample_cache_hits(void *context, size_t cell)
{
	return (double)cache_now(context, cell).hits;
}

static double sample_cache_misses(void *context, size_t cell)
{
	return (double)cache_now(context, cell).misses;
}

static double sample_cache_evictions(void *context, size_t cell)
{
	return (double)cache_now(context, cell).evictions;
}

static struct http_stats http_now(void *context)
{
	struct server *server = ((struct server_metrics *)context)->server;

	return server->http ? http_stats(server->http) : (struct http_stats){ 0 };
}

static double sample_connections(void *context, size_t cell UNUSED)
{
	return (double)http_now(context).connections;
}

static double sample_parked(void *context, size_t cell UNUSED)
{
	return (double)http_now(context).parked;
}

static double sample_queued(void *context, size_t cell UNUSED)
{
	return (double)http_now(context).queued;
}

static double sample_workers_busy(void *context, size_t cell UNUSED)
{
	return (double)http_now(context).workers_busy;
}

static struct journal_stats journal_now(void *context)
{
	return journal_stats(((struct server_metrics *)context)->server->journal);
}

static double sample_position(void *context, size_t cell UNUSED)
{
	return (double)journal_now(context).position;
}

static double sample_processes(void *context, size_t cell UNUSED)
{
	return (double)journal_now(context).processes;
}

static double sample_journal_queued(void *context, size_t cell UNUSED)
{
	return (double)journal_now(context).queued;
}

static double sample_batches(void *context, size_t cell)
{
	return (double)journal_now(context).batch_sizes[cell];
}

static double sample_sets(void *context, size_t cell UNUSED)
{
	return (double)journal_now(context).sets;
}

static double sample_rebuilds(void *context, size_t cell UNUSED)
{
	return (double)journal_now(context).rebuilds;
}

static double sample_failures(void *context, size_t cell UNUSED)
{
	return (double)journal_now(context).failures;
}

static double sample_build(void *context UNUSED, size_t cell UNUSED)
{
	return 1;
}

static void list_endpoints(struct server_metrics *metrics)
{
	size_t count = 1;

	for (const struct route *const *table = server_routes; *table; table++) {
		for (const struct route *route = *table; route->path; route++)
			count++;
	}
	metrics->endpoints = x_calloc(count, sizeof(*metrics->endpoints));
	metrics->endpoints[0] = "none";
	metrics->endpoint_count = 1;
	for (const struct route *const *table = server_routes; *table; table++) {
		for (const struct route *route = *table; route->path; route++) {
			CLEANUP(arena_free) struct arena *arena = arena_new();
			struct str name = str_printf(arena, "%s %s", route_method_name(route->method), route->path);

			idmap_put(&metrics->places, (int64_t)(intptr_t)route,
				  &metrics->endpoints[metrics->endpoint_count]);
			metrics->endpoints[metrics->endpoint_count++] = x_strdup(name);
		}
	}
}

static void register_requests(struct server_metrics *metrics)
{
	const struct metric_label endpoint = { "endpoint", metrics->endpoints, metrics->endpoint_count };
	const struct metric_label status = { "status", status_names, ARRAY_LEN(status_names) };

	metrics->requests = metrics_counter(metrics->registry, "hearth_http_requests_total", "Requests answered.",
					    (const struct metric_label[]){ endpoint, status, { 0 } });
	metrics->durations = metrics_histogram(metrics->registry, "hearth_http_request_duration_seconds",
					       "From the request line to the answer, waiting of long polls included.",
					       (const struct metric_label[]){ endpoint, { 0 } }, &METRIC_LATENCY);
	metrics->bytes =
		metrics_counter(metrics->registry, "hearth_http_sent_bytes_total", "Bytes of answers' bodies.", NULL);
}

static void register_samples(struct server_metrics *metrics)
{
	static const char *const versions[] = { HEARTH_VERSION };
	static const struct metric_label version[] = { { "version", versions, 1 }, { 0 } };
	static const struct metric_label state[] = { { "state", connection_states, ARRAY_LEN(connection_states) },
						     { 0 } };
	static const struct metric_label sets[] = { { "sets_from", batch_sizes, ARRAY_LEN(batch_sizes) }, { 0 } };
	static const struct metric_label cache[] = { { "cache", cache_names, ARRAY_LEN(cache_names) }, { 0 } };
	static const struct {
		enum metric_kind kind;
		const char *name, *help;
		const struct metric_label *labels;
		double (*sample)(void *context, size_t cell);
	} samples[] = {
		{ METRIC_GAUGE, "hearth_build_info", "1; the label tells the version.", version, sample_build },
		{ METRIC_GAUGE, "hearth_http_connections", "Open client connections.", NULL, sample_connections },
		{ METRIC_GAUGE, "hearth_http_parked", "Requests that wait for something to happen.", NULL,
		  sample_parked },
		{ METRIC_GAUGE, "hearth_http_queued", "Requests that wait for a worker.", NULL, sample_queued },
		{ METRIC_GAUGE, "hearth_http_workers_busy", "Workers that run a request.", NULL, sample_workers_busy },
		{ METRIC_GAUGE, "hearth_database_connections", "Connections to the database.", state, sample_pool },
		{ METRIC_GAUGE, "hearth_database_waiting", "Threads that wait for one.", NULL, sample_pool_waiting },
		{ METRIC_COUNTER, "hearth_database_connects_total", "Connections made.", NULL, sample_pool_connects },
		{ METRIC_COUNTER, "hearth_database_statements_total", "Statements sent.", NULL,
		  sample_pool_statements },
		{ METRIC_GAUGE, "hearth_journal_position", "The last position that is applied here.", NULL,
		  sample_position },
		{ METRIC_GAUGE, "hearth_journal_processes", "Server processes on the database.", NULL,
		  sample_processes },
		{ METRIC_GAUGE, "hearth_journal_queued", "Write sets that wait for the committer.", NULL,
		  sample_journal_queued },
		{ METRIC_COUNTER, "hearth_journal_batches_total", "Commits, by their number of write sets.", sets,
		  sample_batches },
		{ METRIC_COUNTER, "hearth_journal_sets_total", "Write sets committed.", NULL, sample_sets },
		{ METRIC_COUNTER, "hearth_journal_rebuilds_total", "Write sets built again.", NULL, sample_rebuilds },
		{ METRIC_GAUGE, "hearth_cache_bytes", "Memory that a cache holds.", cache, sample_cache_bytes },
		{ METRIC_GAUGE, "hearth_cache_entries", "What it holds, in number.", cache, sample_cache_entries },
		{ METRIC_COUNTER, "hearth_cache_hits_total", "Look-ups that found it.", cache, sample_cache_hits },
		{ METRIC_COUNTER, "hearth_cache_misses_total", "Look-ups that did not.", cache, sample_cache_misses },
		{ METRIC_COUNTER, "hearth_cache_evictions_total", "What had to go for something else.", cache,
		  sample_cache_evictions },
		{ METRIC_COUNTER, "hearth_journal_failures_total", "Write sets that failed.", NULL, sample_failures },
	};

	for (size_t i = 0; i < ARRAY_LEN(samples); i++)
		metrics_sampled(metrics->registry, samples[i].kind, samples[i].name, samples[i].help, samples[i].labels,
				samples[i].sample, metrics);
}

void observe_start(struct server *server)
{
	struct server_metrics *metrics = X_NEW(struct server_metrics);

	metrics->server = server;
	metrics->registry = metrics_new();
	list_endpoints(metrics);
	register_requests(metrics);
	register_samples(metrics);
	metrics_process(metrics->registry);
	server->metrics = metrics;
}

void observe_stop(struct server *server)
{
	struct server_metrics *metrics = server->metrics;

	metrics_free(metrics->registry);
	for (size_t i = 1; i < metrics->endpoint_count; i++)
		free((void *)metrics->endpoints[i]);
	free(metrics->endpoints);
	idmap_done(&metrics->places);
	free(metrics);
	server->metrics = NULL;
}

static bool get_metrics(struct request *req, struct err *err)
{
	struct buf page = buf_init(PAGE_MAX);

	metrics_write(req->server->metrics->registry, &page);
	if (!buf_ok(&page)) {
		buf_done(&page);
		return err_internal(err, "the page of metrics is too large");
	}
	return reply_buf(req, 200, METRICS_CONTENT_TYPE, &page);
}

/* That it answers is the answer. */
static bool get_health(struct request *req, struct err *err UNUSED)
{
	return reply_text(req, 200, STR("text/plain; charset=utf-8"), STR("OK"));
}

const struct route observe_routes[] = {
	{ HTTP_GET, "/health", AUTH_NONE, LIMIT_NONE, get_health, .flags = ROUTE_UNLISTED, .resource = "health" },
	{ HTTP_GET, "/metrics", AUTH_NONE, LIMIT_NONE, get_metrics, .flags = ROUTE_UNLISTED | ROUTE_NO_CORS,
	  .resource = "metrics" },
	{ HTTP_GET, "/_synapse/metrics", AUTH_NONE, LIMIT_NONE, get_metrics, .flags = ROUTE_UNLISTED | ROUTE_NO_CORS,
	  .resource = "metrics" },
	{ 0 },
};
