#include "http/test_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct tls_session {
	gnutls_session_t session;
	gnutls_certificate_credentials_t credentials;
};

void test_server_init(struct test_server *server, const struct route *routes)
{
	*server = (struct test_server){
		.listeners = { { .address = STR("127.0.0.1") } },
		.tables = { routes },
		.config = { .listener_count = 1, .max_connections = 200, .workers = 4 },
	};
}

void test_server_start(struct test_server *server)
{
	struct err err = { 0 };

	server->config.listeners = server->listeners;
	server->config.tables = server->tables;
	if (!http_start(&server->config, &server->http, &err))
		fail_msg("%s", err.message);
}

void test_server_run(struct test_server *server, const struct route *routes)
{
	test_server_init(server, routes);
	test_server_start(server);
}

void test_server_stop(struct test_server *server)
{
	http_stop(server->http);
	server->http = NULL;
}

static int connect_unix(struct str path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(path.len < sizeof(address.sun_path));
	memcpy(address.sun_path, path.ptr, path.len);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int connect_port(uint16_t port, bool ipv6)
{
	struct sockaddr_in6 address6 = { .sin6_family = AF_INET6,
					 .sin6_port = htons(port),
					 .sin6_addr = in6addr_loopback };
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (ipv6)
		assert_int_equal(connect(fd, (struct sockaddr *)&address6, sizeof(address6)), 0);
	else
		assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void start_tls(struct test_client *client)
{
	struct tls_session *tls = ARENA_NEW(client->arena, struct tls_session);

	assert_int_equal(gnutls_init(&tls->session, GNUTLS_CLIENT), 0);
	assert_int_equal(gnutls_certificate_allocate_credentials(&tls->credentials), 0);
	gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->credentials);
	gnutls_set_default_priority(tls->session);
	gnutls_transport_set_int(tls->session, client->fd);
	assert_int_equal(gnutls_handshake(tls->session), 0);
	client->tls = tls;
}

unsigned test_peer_serial(struct test_client *client)
{
	unsigned char serial[32] = { 0 };
	size_t len = sizeof(serial);
	unsigned count = 0;
	const gnutls_datum_t *chain = gnutls_certificate_get_peers(client->tls->session, &count);
	gnutls_x509_crt_t certificate;

	assert_int_equal(count, 1);
	assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
	assert_int_equal(gnutls_x509_crt_import(certificate, chain, GNUTLS_X509_FMT_DER), 0);
	assert_int_equal(gnutls_x509_crt_get_serial(certificate, serial, &len), 0);
	gnutls_x509_crt_deinit(certificate);
	return serial[0];
}

void test_connect(struct test_client *client, const struct test_server *server, size_t listener)
{
	const struct http_listener *where = &server->listeners[listener];
	struct timeval limit = { .tv_sec = 20 };

	*client = (struct test_client){ .arena = arena_new() };
	if (str_starts_with(where->address, STR("/")))
		client->fd = connect_unix(where->address);
	else
		client->fd = connect_port(http_port(server->http, listener), str_find_char(where->address, ':') >= 0);
	setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (where->tls)
		start_tls(client);
}

void test_close(struct test_client *client)
{
	if (client->tls) {
		gnutls_deinit(client->tls->session);
		gnutls_certificate_free_credentials(client->tls->credentials);
	}
	close(client->fd);
	free(client->bytes);
	arena_free(client->arena);
}

void test_send(struct test_client *client, struct str bytes)
{
	while (bytes.len > 0) {
		ssize_t sent = client->tls ? gnutls_record_send(client->tls->session, bytes.ptr, bytes.len)
					   : send(client->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

		if (sent <= 0)
			return; /* the server has closed: its answer, if any, tells */
		bytes = str_from(bytes, (size_t)sent);
	}
}

void test_sendf(struct test_client *client, const char *fmt, ...)
{
	char text[8192];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	assert_in_range(len, 0, sizeof(text) - 1);
	test_send(client, (struct str){ text, (size_t)len });
}

/* false: the end, or an error. */
static bool receive_more(struct test_client *client)
{
	ssize_t got;

	if (client->cap - client->len < 65536) {
		client->cap = client->cap * 2 + 131072;
		client->bytes = x_realloc(client->bytes, client->cap);
	}
	got = client->tls
		      ? gnutls_record_recv(client->tls->session, client->bytes + client->len, client->cap - client->len)
		      : recv(client->fd, client->bytes + client->len, client->cap - client->len, 0);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		fail_msg("no answer");
	if (got <= 0)
		return false;
	client->len += (size_t)got;
	return true;
}

static struct str take(struct test_client *client, size_t len)
{
	struct str taken = str_dup(client->arena, (struct str){ client->bytes, len });

	memmove(client->bytes, client->bytes + len, client->len - len);
	client->len -= len;
	return taken;
}

struct str test_header(const struct test_reply *reply, const char *name)
{
	struct str rest = reply->head, line, wanted = str_of(name);

	while (str_split(&rest, '\n', &line)) {
		if (line.len > wanted.len && line.ptr[wanted.len] == ':' &&
		    str_eq_ascii_nocase(str_sub(line, 0, wanted.len), wanted))
			return str_trim(str_from(line, wanted.len + 1));
	}
	return (struct str){ 0 };
}

static void read_body(struct test_client *client, struct test_reply *reply)
{
	int64_t length = 0;
	struct err err;

	assert_true(str_to_int64(test_header(reply, "Content-Length"), &length));
	while (client->len < (size_t)length && receive_more(client))
		;
	if (client->len < (size_t)length) {
		reply->status = 0;
		return;
	}
	reply->body = take(client, (size_t)length);
	if (str_eq(test_header(reply, "Content-Type"), STR("application/json")))
		assert_true(json_parse(reply->body, client->arena, &reply->json, &err));
}

struct test_reply test_receive(struct test_client *client, bool head)
{
	struct test_reply reply = { 0 };
	ptrdiff_t end;
	int64_t status = 0;

	while ((end = str_find((struct str){ client->bytes, client->len }, STR("\r\n\r\n"))) < 0) {
		if (!receive_more(client))
			return reply;
	}
	reply.head = take(client, (size_t)end + 4);
	assert_true(str_starts_with(reply.head, STR("HTTP/1.1 ")));
	assert_true(str_to_int64(str_sub(reply.head, 9, 3), &status));
	reply.status = (int)status;
	if (!head && status >= 200 && status != 204 && status != 304)
		read_body(client, &reply);
	return reply;
}

struct test_reply test_ask(struct test_client *client, const char *method, const char *target, const char *headers,
			   const char *body)
{
	test_sendf(client, "%s %s HTTP/1.1\r\nHost: test\r\n%s", method, target, headers ? headers : "");
	if (body)
		test_sendf(client, "Content-Length: %zu\r\n", strlen(body));
	test_send(client, STR("\r\n"));
	test_send(client, str_of(body));
	return test_receive(client, strcmp(method, "HEAD") == 0);
}

struct test_reply test_once(const struct test_server *server, struct arena *arena, const char *method,
			    const char *target, const char *headers, const char *body)
{
	struct test_client client;
	struct test_reply reply;

	test_connect(&client, server, 0);
	reply = test_ask(&client, method, target, headers, body);
	reply.head = str_dup(arena, reply.head);
	reply.body = str_dup(arena, reply.body);
	if (reply.json) {
		struct err err;

		assert_true(json_parse(reply.body, arena, &reply.json, &err));
	}
	test_close(&client);
	return reply;
}

bool test_at_end(struct test_client *client)
{
	while (client->len == 0) {
		if (!receive_more(client))
			return true;
	}
	return false;
}

void test_assert_error(const struct test_reply *reply, int status, const char *errcode)
{
	assert_int_equal(reply->status, status);
	assert_non_null(reply->json);
	assert_string_equal(json_string_value(json_object_get(reply->json, "errcode")), errcode);
	assert_true(json_is_string(json_object_get(reply->json, "error")));
	assert_string_equal(test_header(reply, "Access-Control-Allow-Origin").ptr ? "*" : "", "*");
}
