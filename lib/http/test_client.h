/* For tests: a server on loopback with given routes, and a raw client that sends what it is told, right or wrong. */
#pragma once

#include "http/http.h"

struct test_server {
	struct http_config config; /* filled in by test_server_init; change it before the start */
	struct http_listener listeners[4];
	const struct route *tables[3];
	struct http *http;
};

/* One plain listener on 127.0.0.1 for `routes`. */
void test_server_init(struct test_server *server, const struct route *routes);
void test_server_start(struct test_server *server);
void test_server_stop(struct test_server *server);
/* Init and start. */
void test_server_run(struct test_server *server, const struct route *routes);

struct test_reply {
	int status; /* 0: the connection ended before a whole answer */
	struct str head, body;
	json_t *json; /* of the body, when it is JSON; else NULL */
};

struct tls_session;

struct test_client {
	int fd;
	struct arena *arena;
	char *bytes; /* received, not yet read */
	size_t len, cap;
	struct tls_session *tls;
};

void test_connect(struct test_client *client, const struct test_server *server, size_t listener);
void test_close(struct test_client *client);
void test_send(struct test_client *client, struct str bytes);
void test_sendf(struct test_client *client, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Reads one answer. HEAD and 204, 304 have no body. */
struct test_reply test_receive(struct test_client *client, bool head);
/* Sends a request and reads its answer. `headers` are "Name: value\r\n" lines; a body's length is added. */
struct test_reply test_ask(struct test_client *client, const char *method, const char *target, const char *headers,
			   const char *body);
/* The same on a connection of its own. */
struct test_reply test_once(const struct test_server *server, struct arena *arena, const char *method,
			    const char *target, const char *headers, const char *body);
struct str test_header(const struct test_reply *reply, const char *name); /* absent: NULL pointer */
bool test_at_end(struct test_client *client);                             /* the server has closed */
unsigned test_peer_serial(struct test_client *client);                    /* of the server's certificate */
void test_assert_error(const struct test_reply *reply, int status, const char *errcode);
