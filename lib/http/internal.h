/*
 * The server's inside. A request is an `exchange` from its request line until its answer is sent or its connection
 * ends. It belongs to one thread at a time: to its connection's I/O thread; once the connection is suspended and it is
 * queued, to a worker; while parked, to the lot; after MHD_resume_connection, to the I/O thread again. An upload is the
 * exception: its I/O thread fills a chunk while its worker waits for it, under the upload's lock.
 *
 * Order of locks: lot before pool; server before upload.
 */
#pragma once

#include <gnutls/abstract.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "http/http.h"

#define MAX_PATH_PARAMS 8

/* ---- routes: route.c ---- */

struct compiled_route {
	const struct route *route;
	uint32_t resource; /* the bit of its name */
	enum route_body body;
	enum route_pool pool;
	size_t max_body;
	size_t param_count;
	struct str param_names[MAX_PATH_PARAMS];
	struct compiled_route *next; /* at the same node of the tree */
};

struct router;

enum match_result { MATCH_NONE, MATCH_METHOD, MATCH_FOUND };

struct match {
	const struct compiled_route *route;
	unsigned methods; /* that the path has, for Allow */
	size_t param_count;
	struct str params[MAX_PATH_PARAMS]; /* before decoding */
};

/* Fails on an ill-formed path, two rows for one endpoint, or too many resources. */
bool router_new(const struct route *const *tables, size_t max_body, struct router **ret_router, struct err *err);
void router_free(struct router *router);
/* The bits of a listener's resource names; unknown names have none. NULL: all. */
uint32_t router_resources(const struct router *router, const char *const *names);
bool router_uses_pool(const struct router *router, enum route_pool pool);
/* `path` is uri_split's, and has been checked by uri_valid. */
enum match_result router_match(const struct router *router, enum http_method method, struct str path,
			       uint32_t resources, struct match *ret_match);

/* ---- addresses: uri.c ---- */

struct query_item {
	struct str name, value;
};

/* Every % begins a well-formed escape, and what it stands for is UTF-8 without NUL. In a query + is a space. */
bool uri_valid(struct str text);
/* Decodes into `out`, which has room for text.len bytes; returns the length. `text` is valid. */
size_t uri_decode(struct str text, bool query, char *out);
/* A target may be absolute ("http://host/path?query"). *ret_path begins with a slash, or is empty without one. */
void uri_split(struct str target, struct str *ret_path, struct str *ret_query);
/* M_INVALID_PARAM: not valid. */
bool uri_parse_query(struct str query, struct arena *arena, struct query_item **ret_items, size_t *ret_count,
		     struct err *err);

/* ---- exchanges ---- */

enum stage {
	STAGE_HEADERS, /* the headers are in, nothing is decided */
	STAGE_BODY,    /* the body is being collected */
	STAGE_DRAIN,   /* the answer is ready; the body is read and dropped first, so that the connection can be kept */
	STAGE_UPLOAD_HEADERS, /* a worker has the headers, the body waits */
	STAGE_UPLOAD,         /* a worker pulls the body */
	STAGE_WORKER,         /* suspended: queued, running or parked */
	STAGE_ANSWERED,       /* the answer is ready */
	STAGE_ABANDON,        /* the client has gone: close */
};

struct parked {
	struct park park;
	enum { PARKED_NOT, PARKED_ENTERING, PARKED_IN, PARKED_WOKEN } state; /* this and what follows: the lot's lock */
	bool pending, watched;
	enum wake_cause cause;
	int fd;
	size_t heap_at;
};

struct upload;
struct pool;
struct listener;

struct exchange {
	struct exchange *next; /* in its pool's queue */
	struct MHD_Connection *connection;
	struct listener *listener;
	const struct compiled_route *route;
	struct pool *pool;
	uint64_t serial;
	int64_t started_us;
	enum stage stage;
	enum http_method method; /* 0: one that no route can have */
	struct str method_name;  /* libmicrohttpd's memory */
	struct str path, query;  /* views into `target` */
	struct {
		uint16_t at, len; /* in `target` */
	} params[MAX_PATH_PARAMS];
	uint64_t announced; /* Content-Length */
	bool has_length, has_body, expects_continue, engaged;
	char *body;
	size_t body_len, body_cap;
	uint64_t drained;
	struct upload *upload;
	struct parked parked;
	struct MHD_Response *response;
	unsigned status;
	char target[];
};

/* A worker's view of an exchange; handlers see its request. */
struct call {
	struct request req; /* first */
	struct exchange *ex;
	struct query_item *query;
	size_t query_count;
	struct header_line *headers; /* of the answer */
	bool parked, last;           /* last: it may not park again */
	uint64_t bytes;
	char address[64], id[24];
};

static inline UNUSED struct call *call_of(struct request *req)
{
	return (struct call *)req;
}

/* ---- request.c ---- */

/* `arena` may be NULL where no handler is going to run. */
void call_init(struct call *call, struct exchange *ex, struct arena *arena);
/* A worker's turn with an exchange that was queued, and with one that was parked. */
void call_run(struct exchange *ex, struct arena *arena);
void call_resume(struct exchange *ex, struct arena *arena);

/* ---- reply.c ---- */

struct MHD_Response *preflight_response(void);
bool err_stopping(struct err *err); /* 503 */

/* ---- upload.c ---- */

struct upload *upload_new(struct http *http);
void upload_free(struct http *http, struct upload *upload);
void upload_stop_all(struct http *http); /* the server is stopping: workers wait for no more bytes */
/* The I/O thread's side. */
bool upload_answered(struct exchange *ex);
bool upload_data(struct exchange *ex, const char *data, size_t *size); /* false: the worker has answered */
bool upload_end(struct exchange *ex);                                  /* true: it has */
bool upload_closed(struct exchange *ex);                               /* false: the worker frees the exchange */
/* The worker's: its answer is ready. The exchange is no longer ours. */
void upload_answer(struct exchange *ex);

/* ---- pools of workers: pool.c ---- */

struct pool_stats {
	size_t queued, busy;
};

struct pool *pool_new(const char *name, size_t workers, size_t queue_length);
/* A place in the queue, before the connection is suspended. false: full, or stopping. */
bool pool_reserve(struct pool *pool);
void pool_push(struct pool *pool, struct exchange *ex); /* into the reserved place; cannot fail */
/* Parked until now, a chain by `next`; cannot fail. */
void pool_push_woken(struct pool *pool, struct exchange *first);
struct pool_stats pool_stats(struct pool *pool);
/* Finishes what is queued, then ends the threads. */
void pool_stop(struct pool *pool);
void pool_free(struct pool *pool);

/* ---- parked requests: lot.c ---- */

struct lot;

struct lot *lot_new(void);
/* Begins to park: from now on request_wake counts. */
void lot_enter(struct exchange *ex, const struct park *park);
/* The worker is done with the exchange: it waits now, or is queued again at once if it was woken meanwhile. */
void lot_settle(struct lot *lot, struct exchange *ex);
/* The worker has it again: no hang-up will be reported, and its descriptor may be reused. */
enum wake_cause lot_leave(struct lot *lot, struct exchange *ex);
size_t lot_count(struct lot *lot);
void lot_stop(struct lot *lot); /* wakes all; who parks from now on is woken at once */
void lot_free(struct lot *lot);

/* ---- certificates: tls.c ---- */

int tls_retrieve(gnutls_session_t session, const gnutls_datum_t *ca_names, int ca_count,
		 const gnutls_pk_algorithm_t *algorithms, int algorithm_count, gnutls_pcert_st **ret_chain,
		 unsigned *ret_len, gnutls_privkey_t *ret_key);

/* ---- listeners and connections: listener.c ---- */

struct listener {
	struct http *http;
	int fd; /* -1: closed */
	uint16_t port;
	bool tls, x_forwarded;
	char *request_id_header; /* NULL: none */
	char *unix_path;         /* NULL: none */
	uint32_t resources;
};

/* What libmicrohttpd keeps as a connection's address. */
struct peer {
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	} address;
	struct listener *listener;
};

const struct peer *connection_peer(struct MHD_Connection *connection);
void connection_notify(void *cls, struct MHD_Connection *connection, void **context,
		       enum MHD_ConnectionNotificationCode code);

bool listener_open(struct listener *listener, const struct http_config *all, const struct http_listener *config,
		   struct err *err);
void listener_close(struct listener *listener);
void listener_free(struct listener *listener);

struct acceptor;

void acceptor_start(struct http *http);
void acceptor_stop(struct acceptor *acceptor);
void acceptor_free(struct acceptor *acceptor);

/* ---- the server: server.c ---- */

/*
 * libmicrohttpd walks all suspended connections of a thread whenever one of them resumes: 1 ms at 9,500 of them,
 * nothing to be seen at 500.
 */
#define CONNECTIONS_PER_THREAD 500

/* One libmicrohttpd daemon with one thread. */
struct io_thread {
	struct http *http;
	struct MHD_Daemon *daemon;
	_Atomic size_t connections;
};

struct http {
	struct server *server;
	struct http_hooks hooks;
	struct router *router;
	const struct http_alias *aliases;
	size_t alias_count;
	struct listener *listeners;
	size_t listener_count;
	struct io_thread *io, *tls_io; /* NULL: no such listener */
	size_t io_count;               /* of each */
	size_t cpus;
	struct pool *pools[POOL_COUNT]; /* NULL: no such route */
	struct lot *lot;
	struct tls *tls; /* NULL: no such listener */
	struct MHD_Response *preflight;
	struct acceptor *acceptor;
	size_t max_connections;
	_Atomic size_t connections, body_bytes;
	_Atomic size_t engaged; /* exchanges that are being answered */
	_Atomic uint64_t serial;
	_Atomic bool stopping;
	struct mutex lock; /* guards what follows */
	struct cond idle;  /* none is engaged */
	struct upload *uploads;
};

/* libmicrohttpd's callbacks: exchange.c. */
void *exchange_begin(void *cls, const char *target, struct MHD_Connection *connection);
enum MHD_Result exchange_step(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
			      const char *version, const char *data, size_t *size, void **context);
void exchange_end(void *cls, struct MHD_Connection *connection, void **context, enum MHD_RequestTerminationCode why);

struct http *exchange_http(const struct exchange *ex);
void exchange_free(struct exchange *ex);
void drop_body(struct exchange *ex);
