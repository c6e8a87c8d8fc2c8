/*
 * The HTTP server: libmicrohttpd's epoll threads move bytes, workers run handlers as plain blocking code, long polls are parked. What the endpoints are
 * comes in as tables of routes; what the application is (authentication, limits by user) as hooks. See DESIGN "Threads", clients.md 1a for the rules
 * that every answer follows (CORS, 404 and 405 as M_UNRECOGNIZED, errors as {errcode, error}).
 *
 * A request, its arena and its json_t's belong to one thread at a time.
 */
#pragma once

#include "base/base.h"
#include "json/json.h"

struct server; /* the application's; passed through */
struct user;   /* who calls: set by the authenticate hook, in the request's arena */
struct http;

enum http_method { HTTP_GET = 1, HTTP_PUT = 2, HTTP_POST = 4, HTTP_DELETE = 8, HTTP_OPTIONS = 16, HTTP_HEAD = 32, HTTP_PATCH = 64 };
enum route_auth {
	AUTH_NONE,
	AUTH_OPTIONAL,  /* a token may be given; a bad one is an error */
	AUTH_USER,      /* any account's access token, not locked; guests only with ROUTE_GUEST */
	AUTH_ADMIN,     /* a server admin's */
	AUTH_SERVER,    /* X-Matrix */
};
/* What a route's body is. JSON: read whole, up to max_body, parsed before the handler. STREAM: the handler gets it in chunks (uploads). */
enum route_body { BODY_NONE, BODY_JSON, BODY_STREAM };
/* Rate-limit classes: names of the rc_ options; the limit hook decides. */
enum route_limit { LIMIT_NONE, LIMIT_MESSAGE, LIMIT_REGISTRATION, LIMIT_TOKEN_VALIDITY, LIMIT_LOGIN, LIMIT_JOIN, LIMIT_INVITE, LIMIT_ROOM_CREATION, LIMIT_MEDIA_CREATE, LIMIT_USER_DIRECTORY, LIMIT_REPORT, LIMIT_COUNT };
enum route_flags {
	ROUTE_GUEST = 1,      /* guests may call it */
	ROUTE_DEACTIVATED = 2,/* soft-logged-out or locked sessions may call it (logout) */
	ROUTE_NO_CORS = 4,
	ROUTE_UNLISTED = 8,   /* not of the specification's list: health, unstable aliases */
};

struct request;
typedef bool (*route_handler)(struct request *req, struct err *err);

/* A row an endpoint; a table ends with an all-zero row. `path` has {name} segments; a last segment {name+} takes the rest with its slashes. */
struct route {
	enum http_method method;
	const char *path;
	enum route_auth auth;
	enum route_limit limit;
	route_handler handler;
	enum route_body body; /* by default JSON for PUT and POST (an empty body reads as {}), none for GET and DELETE */
	unsigned flags;
	size_t max_body;      /* bytes; 0: the default, 1 MiB (http_config.max_body) */
	const char *resource; /* listener resource that serves it; NULL: "client" */
};

struct request {
	struct http *http;
	struct server *server;
	const struct user *user;   /* NULL without */
	const struct route *route;
	struct arena *arena;
	struct str method, path;   /* as sent, path before decoding */
	struct str body_text;      /* exact bytes of a JSON body */
	json_t *body;              /* parsed; an object or another value: the field table judges */
	struct str remote_address; /* the client's, X-Forwarded-For honoured where the listener trusts it */
	struct str request_id;
	struct str token;          /* access token as sent (header, or the query's access_token); empty: none */
	int64_t started_us;
};

/* Percent-decoded path parameter, query parameter (first of that name; absent: NULL pointer), all values of a query parameter, header. */
struct str path_param(struct request *req, const char *name);
struct str query_param(struct request *req, const char *name);
size_t query_params(struct request *req, const char *name, struct str **ret_values);
struct str header(struct request *req, const char *name);
/* M_INVALID_PARAM when present and no number, or out of range. */
bool query_int(struct request *req, const char *name, int64_t min, int64_t max, int64_t absent, int64_t *ret_value, struct err *err);
bool query_bool(struct request *req, const char *name, bool absent, bool *ret_value, struct err *err);

/* Answers; each returns true. One answer a request. */
bool reply_json(struct request *req, int status, json_t *json);                 /* steals json */
bool reply_empty(struct request *req);                                          /* 200 {} */
bool reply_field(struct request *req, const char *name, struct str value);     /* 200 {"name":"value"} */
bool reply_text(struct request *req, int status, struct str content_type, struct str text); /* copied */
bool reply_buf(struct request *req, int status, const char *content_type, struct buf *buf); /* takes the buffer's memory */
bool reply_file(struct request *req, int fd, uint64_t size);                    /* takes fd; Range (one range) and If-None-Match with an ETag header set before are handled; 200, 206, 304, 416 */
bool reply_error(struct request *req, const struct err *err);
void reply_header(struct request *req, const char *name, struct str value);     /* before the answer */

/*
 * Parking: a handler that has nothing to say yet hands over `state` (heap) and returns true. The request's arena, body and thread go; the connection stays,
 * suspended. request_wake (from any thread, any number of times) or the deadline has a worker run `resume`, once, with a fresh arena: it answers or parks again.
 * When the client hangs up or the server stops with `drain`, `resume` runs too, with the cause. `free_state` is called once, after the last resume.
 */
enum wake_cause { WAKE_EVENT, WAKE_DEADLINE, WAKE_HANGUP, WAKE_STOPPING };
struct parked;
struct park {
	void *state;
	bool (*resume)(struct request *req, void *state, enum wake_cause cause, struct err *err);
	void (*free_state)(void *state);
	/* Called with the handle under which the request can be woken, before it can be resumed; and when it no longer can. The application files it under its wake keys. */
	void (*on_parked)(struct parked *parked, void *state);
	void (*on_resumed)(struct parked *parked, void *state);
	int64_t deadline_ms; /* monotonic */
};
bool request_park(struct request *req, const struct park *park);
void request_wake(struct parked *parked);

/* Uploads (BODY_STREAM): the handler runs when the headers are in, and pulls. *ret_chunk is empty at the end of the body; M_TOO_LARGE beyond max_body; chunks ≤ 64 kB. */
bool request_read(struct request *req, struct str *ret_chunk, struct err *err);
bool request_content_length(struct request *req, uint64_t *ret_length); /* false: not announced */

struct http_hooks {
	/* Sets req->user for a token (already found in header or query). */
	bool (*authenticate)(struct request *req, struct err *err);
	bool (*rate_limit)(struct request *req, struct err *err);
	/* After each answer: access log and metrics are the application's. */
	void (*finished)(const struct request *req, int status, uint64_t bytes);
	/* A fault worth a log line (5xx). */
	void (*failed)(const struct request *req, const struct err *err);
};

struct http_listener {
	struct str address; /* IPv4, IPv6 literal, or a path of a Unix socket (starts with /) */
	uint16_t port;
	unsigned mode;      /* of a Unix socket */
	bool tls, x_forwarded;
	struct str request_id_header; /* empty: none */
	const char *const *resources; /* NULL-terminated names */
};

struct http_config {
	struct server *server;
	struct http_hooks hooks;
	const struct route *const *tables; /* NULL-terminated */
	const struct http_listener *listeners;
	size_t listener_count;
	struct str tls_certificate_path, tls_private_key_path;
	size_t max_connections, workers, queue_length, max_body;
};

bool http_start(const struct http_config *config, struct http **ret_http, struct err *err);
bool http_reload_certificates(struct http *http, struct err *err);
/* Graceful: no new connections, parked requests resumed with WAKE_STOPPING, queue drained, then stopped. */
void http_stop(struct http *http);
struct http_stats {
	size_t connections, parked, queued, workers_busy;
};
struct http_stats http_stats(struct http *http);
