/*
 * A client of HTTP/1.1 for measuring: non-blocking sockets on one epoll instance, connections that are kept open, one
 * request at a time on each. Cheap enough that a server can be saturated from the same machine. It trusts the server
 * that it measures as to sizes up to HTTP_MAX_RESPONSE, understands content lengths and chunks, and nothing else.
 *
 * One thread only. Times are microseconds of the monotonic clock.
 */
#ifndef HEARTH_LOAD_HTTP_H
#define HEARTH_LOAD_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_MAX_RESPONSE ((size_t)256 << 20)

struct http_loop;
struct http_conn;

struct http_response {
	int status;       /* 0: the connection failed or broke, and the body says how */
	const char *body; /* valid during the call only; NUL-terminated */
	size_t body_len;
};

/* Called once for each request that was sent. It may send the connection's next request. */
typedef void http_done_fn(struct http_conn *conn, void *owner, const struct http_response *response);

uint64_t clock_us(void);

/* `address` is HOST:PORT, with an address or a name as host. Ends the program if that names no server. */
struct http_loop *http_loop_new(const char *address);
void http_loop_free(struct http_loop *loop);              /* Closes its connections too. */
const char *http_loop_host(const struct http_loop *loop); /* for the Host header */

/* Belongs to the loop. It connects when the first request is sent, and again when the server had closed it. */
struct http_conn *http_conn_new(struct http_loop *loop, http_done_fn *done, void *owner);

/* Sends a whole request: line, headers and body. There must be none under way on this connection. */
void http_send(struct http_conn *conn, const char *bytes, size_t len);

size_t http_loop_connecting(const struct http_loop *loop); /* connections not yet established */

/* Waits for what happens until `until_us` at the latest, and handles it. Returns after each batch. */
void http_loop_step(struct http_loop *loop, uint64_t until_us);

#endif
