/*
 * The HTTP server: libmicrohttpd's epoll threads move bytes, workers run handlers as plain blocking code, long polls
 * are parked. What the endpoints are comes in as tables of routes; what the application is (authentication, limits by
 * user) as hooks. Every answer follows the client-server API: CORS headers ("Web Browser Clients"), errors as objects
 * ("Standard error response"), M_UNRECOGNIZED with 404 for an unknown path and with 405 for another method.
 *
 * A request goes: headers in → route, method and announced length checked → body collected → a worker of the route's
 * pool: query, authentication, rate limit, body as JSON, handler → answer. A full queue is answered at once.
 *
 * A request, its arena and its json_t's belong to one thread at a time; the functions below are for the handler that
 * has it, except request_wake, http_stats and tls_reload, which any thread may call.
 */
#pragma once

#include "base/base.h"
#include "json/json.h"

struct server; /* the application's; passed through */
struct user;   /* who calls: set by the authenticate hook, in the request's arena */
struct http;

enum http_method {
	HTTP_GET = 1, /* serves HEAD as well */
	HTTP_PUT = 2,
	HTTP_POST = 4,
	HTTP_DELETE = 8,
	HTTP_OPTIONS = 16, /* answered by the library, for any path: no row needs it */
	HTTP_HEAD = 32,
	HTTP_PATCH = 64,
};

enum route_auth {
	AUTH_NONE,
	AUTH_OPTIONAL, /* a token may be given; a bad one is an error */
	AUTH_USER,     /* any account's access token, not locked; guests only with ROUTE_GUEST */
	AUTH_ADMIN,    /* a server admin's */
	AUTH_SERVER,   /* X-Matrix */
};

/*
 * What a route's body is. JSON: read whole, up to max_body, parsed before the handler, whatever its Content-Type says;
 * an empty body reads as {}. TEXT: read whole, not parsed. STREAM: the handler gets it in chunks (uploads). NONE: what
 * comes is read and ignored.
 */
enum route_body {
	BODY_DEFAULT, /* JSON for PUT, POST and PATCH, none for GET and DELETE */
	BODY_NONE,
	BODY_JSON,
	BODY_TEXT,
	BODY_STREAM,
};

/* Rate-limit classes: names of the rc_ options; the limit hook decides. */
enum route_limit {
	LIMIT_NONE,
	LIMIT_MESSAGE,
	LIMIT_REGISTRATION,
	LIMIT_TOKEN_VALIDITY,
	LIMIT_LOGIN,
	LIMIT_JOIN,
	LIMIT_INVITE,
	LIMIT_ROOM_CREATION,
	LIMIT_MEDIA_CREATE,
	LIMIT_USER_DIRECTORY,
	LIMIT_REPORT,
	LIMIT_COUNT,
};

enum route_flags {
	ROUTE_GUEST = 1,       /* guests may call it */
	ROUTE_DEACTIVATED = 2, /* soft-logged-out or locked sessions may call it (logout) */
	ROUTE_NO_CORS = 4,
	ROUTE_UNLISTED = 8, /* not of the specification's list: health, unstable aliases */
};

/*
 * Which workers run a route, so that one kind of work cannot hold up another. Each pool has its own bounded queue; only
 * pools that some route uses have threads.
 */
enum route_pool {
	POOL_CLIENT, /* its BODY_STREAM routes run in POOL_UPLOAD: their workers wait for the client's bytes */
	POOL_FEDERATION,
	POOL_REMOTE, /* waits on other servers */
	POOL_UPLOAD,
	POOL_COUNT,
};

struct request;
typedef bool (*route_handler)(struct request *req, struct err *err);

/*
 * A row an endpoint; a table ends with an all-zero row. `path` has {name} segments (which match anything but the empty
 * segment); a last segment {name+} takes the rest with its slashes. Literal segments go before {name}. One slash at the
 * end is ignored, here and in requests. A handler returns true after one answer or one request_park, or false with *err
 * raised.
 */
struct route { /* NOLINT(clang-analyzer-optin.performance.Padding): the order is a row's */
	enum http_method method;
	const char *path;
	enum route_auth auth;
	enum route_limit limit;
	route_handler handler;
	enum route_body body;
	unsigned flags;
	size_t max_body;      /* bytes; 0: the default, http_config.max_body */
	const char *resource; /* listener resource that serves it; NULL: "client" */
	enum route_pool pool;
};

struct request {
	struct http *http;
	struct server *server;
	const struct user *user;   /* NULL without; when a parked request is resumed, the park's */
	const struct route *route; /* NULL only in the `finished` hook: none matched */
	struct arena *arena;       /* NULL only in the `finished` hook: answered without a worker */
	struct str method, path;   /* as sent, path before decoding */
	struct str body_text;      /* exact bytes of a JSON or TEXT body */
	json_t *body;              /* parsed; an object or another value: the field table judges */
	struct str remote_address; /* X-Forwarded-For's where the listener trusts it, else the socket's, or "unix" */
	struct str request_id;     /* of the listener's header, else our own */
	struct str token;          /* access token as sent (header, or the query's access_token); empty: none */
	int64_t started_us;        /* clock_mono_us when the request line had come */
};

/*
 * Percent-decoded, valid UTF-8 without NUL: path parameter (the name must be of the route's path), query parameter
 * (first of that name; absent: NULL pointer), all values of a query parameter. A header as sent (absent: NULL pointer).
 */
struct str path_param(struct request *req, const char *name);
struct str query_param(struct request *req, const char *name);
size_t query_params(struct request *req, const char *name, struct str **ret_values);
struct str header(struct request *req, const char *name);
/* M_INVALID_PARAM when present and no number, or out of range; no "true" or "false". */
MUST_USE bool query_int(struct request *req, const char *name, int64_t min, int64_t max, int64_t absent,
			int64_t *ret_value, struct err *err);
MUST_USE bool query_bool(struct request *req, const char *name, bool absent, bool *ret_value, struct err *err);

/* Answers; each returns true. One answer a request. */
bool reply_json(struct request *req, int status, json_t *json);                             /* steals json */
bool reply_empty(struct request *req);                                                      /* 200 {} */
bool reply_field(struct request *req, const char *name, struct str value);                  /* 200 {"name":"value"} */
bool reply_text(struct request *req, int status, struct str content_type, struct str text); /* copied */
/* Takes the buffer's memory. */
bool reply_buf(struct request *req, int status, const char *content_type, struct buf *buf);
/*
 * Takes fd, a file of `size` bytes. Answers 200, or 206 and 416 to a Range of one range, or 304 when If-None-Match
 * holds the ETag that reply_header set before. Content-Type is reply_header's too.
 */
bool reply_file(struct request *req, int fd, uint64_t size);
bool reply_error(struct request *req, const struct err *err);
/* Before the answer. A value with control characters is left out. */
void reply_header(struct request *req, const char *name, struct str value);

/*
 * Parking: a handler that has nothing to say yet hands over `state` (heap), returns true, and touches neither the
 * request nor the state again. The request's arena, body and thread go; the connection stays, suspended. request_wake
 * (from any thread, any number of times) or the deadline has a worker run `resume`, once, with a fresh arena: it
 * answers or parks again (with the same or another state). When the client hangs up or the server stops, `resume` runs
 * too, with the cause, for the last time: request_park then returns false, and the library answers 503. What is
 * answered to a hang-up is dropped, and it need not be answered.
 *
 * The handle lives from on_parked until on_resumed returns. The application files it under its wake keys in the one and
 * takes it off in the other, both under its own lock; it may hold that lock when it calls request_wake. To miss nothing
 * it looks for news once more after filing, and wakes the handle itself (also from within on_parked) if there are any.
 */
enum wake_cause { WAKE_EVENT, WAKE_DEADLINE, WAKE_HANGUP, WAKE_STOPPING };
struct parked;
struct park {
	void *state;
	bool (*resume)(struct request *req, void *state, enum wake_cause cause, struct err *err);
	void (*free_state)(void *state); /* called once, after the last resume; may be NULL */
	/* Called in request_park; and in the worker that resumes, just before `resume`. Both may be NULL. */
	void (*on_parked)(struct parked *parked, void *state);
	void (*on_resumed)(struct parked *parked, void *state);
	int64_t deadline_ms; /* monotonic */
	const struct user *user; /* who calls, as the request that is resumed has it: in the state; may be NULL */
};
bool request_park(struct request *req, const struct park *park);
void request_wake(struct parked *parked);
void request_wake_all(struct parked *const *parked, size_t count); /* of one server; cheaper than one by one */

/*
 * Uploads (BODY_STREAM): the handler runs when the headers are in, and pulls. *ret_chunk is empty at the end of the
 * body, and is good until the next call. M_TOO_LARGE beyond max_body; chunks are ≤ 64 kB. A client that needs more than
 * a minute for a chunk, or hangs up, is an error; so is the server's stop.
 */
MUST_USE bool request_read(struct request *req, struct str *ret_chunk, struct err *err);
bool request_content_length(struct request *req, uint64_t *ret_length); /* false: not announced */

struct http_hooks {
	/*
	 * Sets req->user. Called for AUTH_USER and AUTH_ADMIN (a missing token was answered with M_MISSING_TOKEN
	 * before), for AUTH_OPTIONAL when there is a token, and for AUTH_SERVER.
	 */
	bool (*authenticate)(struct request *req, struct err *err);
	/*
	 * In the worker, once it is known who calls, and again each time before a parked request is resumed: the
	 * context of log lines is set here.
	 */
	void (*begin)(const struct request *req);
	/* Called for routes with a class, after authenticate. */
	bool (*rate_limit)(struct request *req, struct err *err);
	/*
	 * With each answer, before it is sent: access log and metrics are the application's. Answers that need no
	 * worker (404, 405, 413, 429, OPTIONS) come from an I/O thread: it must not block.
	 */
	void (*finished)(const struct request *req, int status, uint64_t bytes);
	/* A fault worth a log line (5xx). */
	void (*failed)(const struct request *req, const struct err *err);
}; /* any of them may be NULL */

/*
 * A server's certificate with its chain, and its key, from two PEM files. They are read when it is made, which may be
 * before the process gives up the rights to do so. The error's message names the file.
 */
struct tls;
MUST_USE bool tls_new(struct str certificate_path, struct str key_path, struct tls **ret_tls, struct err *err);
/* Reads the files again, for new connections. On failure the old certificate stays. */
MUST_USE bool tls_reload(struct tls *tls, struct err *err);
void tls_free(struct tls *tls); /* NULL is fine. */

struct http_listener {
	struct str address; /* IPv4, IPv6 literal, or a path of a Unix socket (starts with /) */
	uint16_t port;      /* 0: any free one, see http_port */
	unsigned mode;      /* of a Unix socket */
	bool tls, x_forwarded;
	struct str request_id_header; /* empty: none */
	const char *const *resources; /* NULL-terminated names; NULL: all */
};

/* What it points to is copied, except the routes, which live as long as the server. */
/* Paths that begin with `name` are taken as if they began with `meant`, which is as long. */
struct http_alias {
	struct str name, meant;
};

struct http_config {
	struct server *server;
	struct http_hooks hooks;
	const struct route *const *tables; /* NULL-terminated */
	const struct http_alias *aliases;  /* outlive the server */
	size_t alias_count;
	const struct http_listener *listeners;
	size_t listener_count;
	struct tls *tls; /* of listeners with TLS; outlives the server */
	/*
	 * 0: 10,000 connections, 16 workers a pool, 1,000 requests queued a pool, bodies of 1 MiB. Connections beyond
	 * the limit wait in the kernel's queue. The process needs two descriptors for each 500 beside one for each of
	 * them; raising its limit is the application's business.
	 */
	size_t max_connections, workers, queue_length, max_body;
};

/* The error's message is for the operator: which listener, which file, which route. */
MUST_USE bool http_start(const struct http_config *config, struct http **ret_http, struct err *err);
uint16_t http_port(const struct http *http, size_t listener); /* in the order of the configuration; 0: a Unix socket */
/*
 * Graceful: no new connections, parked requests resumed with WAKE_STOPPING, what is queued or running finished, answers
 * sent (for ten seconds at most), then stopped and freed. Requests that come meanwhile on open connections are answered
 * with 503.
 */
void http_stop(struct http *http);

struct http_stats {
	size_t connections, parked, queued, workers_busy;
};
struct http_stats http_stats(struct http *http);
