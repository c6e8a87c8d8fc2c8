/* Listeners of all kinds: TLS and the reload of its certificate, IPv6, Unix sockets, several at once. */
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/test_client.h"

static char folder[] = "/tmp/http_listener_XXXXXX";
static char certificate_path[64], key_path[64], other_key_path[64], socket_path[64];

static bool get_address(struct request *req, struct err *err UNUSED)
{
	return reply_field(req, "address", req->remote_address);
}

static bool post_upload(struct request *req, struct err *err)
{
	struct str chunk;
	size_t total = 0;

	do {
		if (!request_read(req, &chunk, err))
			return false;
		total += chunk.len;
	} while (chunk.len > 0);
	return reply_json(req, 200, json_integer((json_int_t)total));
}

static bool resume(struct request *req, void *state UNUSED, enum wake_cause cause, struct err *err UNUSED)
{
	return reply_json(req, 200, json_integer(cause));
}

static bool get_wait(struct request *req, struct err *err UNUSED)
{
	return request_park(req, &(struct park){ .resume = resume, .deadline_ms = clock_mono_ms() + 50 });
}

static const struct route routes[] = {
	{ HTTP_GET, "/address", .handler = get_address },
	{ HTTP_GET, "/wait", .handler = get_wait },
	{ HTTP_POST, "/upload", .handler = post_upload, .body = BODY_STREAM },
	{ 0 },
};

/* ---- certificates for a moment ---- */

static void save(const char *path, const gnutls_datum_t *pem)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(pem->data, 1, pem->size, file), pem->size);
	fclose(file);
}

static gnutls_x509_privkey_t make_key(const char *path)
{
	gnutls_x509_privkey_t key;
	gnutls_datum_t pem;

	assert_int_equal(gnutls_x509_privkey_init(&key), 0);
	assert_int_equal(
		gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
		0);
	assert_int_equal(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem), 0);
	save(path, &pem);
	gnutls_free(pem.data);
	return key;
}

static void make_certificate(unsigned char serial)
{
	gnutls_x509_privkey_t key = make_key(key_path);
	gnutls_x509_crt_t certificate;
	gnutls_datum_t pem;

	assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
	gnutls_x509_crt_set_version(certificate, 3);
	gnutls_x509_crt_set_serial(certificate, &serial, 1);
	gnutls_x509_crt_set_activation_time(certificate, time(NULL) - 3600);
	gnutls_x509_crt_set_expiration_time(certificate, time(NULL) + 3600);
	gnutls_x509_crt_set_dn(certificate, "CN=localhost", NULL);
	assert_int_equal(gnutls_x509_crt_set_key(certificate, key), 0);
	assert_int_equal(gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0), 0);
	assert_int_equal(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &pem), 0);
	save(certificate_path, &pem);
	gnutls_free(pem.data);
	gnutls_x509_crt_deinit(certificate);
	gnutls_x509_privkey_deinit(key);
}

static int start(void **state UNUSED)
{
	assert_non_null(mkdtemp(folder));
	snprintf(certificate_path, sizeof(certificate_path), "%s/tls.crt", folder);
	snprintf(key_path, sizeof(key_path), "%s/tls.key", folder);
	snprintf(other_key_path, sizeof(other_key_path), "%s/other.key", folder);
	snprintf(socket_path, sizeof(socket_path), "%s/socket", folder);
	return 0;
}

static int stop(void **state UNUSED)
{
	unlink(certificate_path);
	unlink(key_path);
	unlink(other_key_path);
	return rmdir(folder);
}

/* ---- the tests ---- */

static struct tls *load_certificate(void)
{
	struct tls *tls;
	struct err err;

	assert_true(tls_new(str_of(certificate_path), str_of(key_path), &tls, &err));
	return tls;
}

static void start_with_tls(struct test_server *server)
{
	test_server_init(server, routes);
	server->listeners[0].tls = true;
	server->config.tls = load_certificate();
	test_server_start(server);
}

static void stop_with_tls(struct test_server *server)
{
	test_server_stop(server);
	tls_free(server->config.tls);
}

static void speaks_tls(void **state UNUSED)
{
	static char bytes[300000];
	struct test_server server;
	struct test_client client;
	struct test_reply reply;

	make_certificate(1);
	start_with_tls(&server);
	test_connect(&client, &server, 0);
	for (int i = 0; i < 3; i++) {
		reply = test_ask(&client, "GET", "/address", NULL, NULL);
		assert_true(str_eq(reply.body, STR("{\"address\":\"127.0.0.1\"}")));
	}
	reply = test_ask(&client, "GET", "/wait", NULL, NULL);
	assert_int_equal(json_integer_value(reply.json), WAKE_DEADLINE);
	test_sendf(&client, "POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n", sizeof(bytes));
	test_send(&client, (struct str){ bytes, sizeof(bytes) });
	reply = test_receive(&client, false);
	assert_int_equal(json_integer_value(reply.json), sizeof(bytes));
	test_close(&client);
	stop_with_tls(&server);
}

static void reloads_certificates(void **state UNUSED)
{
	struct test_server server;
	struct test_client before, after;
	struct err err;

	make_certificate(1);
	start_with_tls(&server);
	test_connect(&before, &server, 0);
	assert_int_equal(test_peer_serial(&before), 1);

	make_certificate(2);
	assert_true(tls_reload(server.config.tls, &err));
	test_connect(&after, &server, 0);
	assert_int_equal(test_peer_serial(&after), 2);
	test_close(&after);
	assert_int_equal(test_ask(&before, "GET", "/address", NULL, NULL).status, 200);

	gnutls_x509_privkey_deinit(make_key(other_key_path));
	assert_int_equal(rename(other_key_path, key_path), 0);
	assert_false(tls_reload(server.config.tls, &err)); /* another certificate's key */
	assert_non_null(strstr(err.message, "not the key"));
	unlink(certificate_path);
	assert_false(tls_reload(server.config.tls, &err));
	assert_non_null(strstr(err.message, certificate_path));
	test_connect(&after, &server, 0);
	assert_int_equal(test_peer_serial(&after), 2);
	test_close(&after);
	test_close(&before);
	stop_with_tls(&server);
}

static bool can_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool connected;

	memcpy(address.sun_path, path, strlen(path));
	connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return connected;
}

/* What a killed server leaves: a socket's name without a listener. */
static void leave_stale_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, socket_path, strlen(socket_path));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

static void listens_on_unix_sockets(void **state UNUSED)
{
	const char *forwarded = "X-Forwarded-For: 192.0.2.7\r\n";
	struct test_server server, second;
	struct test_client client;
	struct test_reply reply;
	struct stat info;
	struct err err;

	leave_stale_socket();
	test_server_init(&server, routes);
	server.listeners[0] =
		(struct http_listener){ .address = str_of(socket_path), .mode = 0640, .x_forwarded = true };
	test_server_start(&server);
	assert_int_equal(stat(socket_path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0640);
	test_connect(&client, &server, 0);
	reply = test_ask(&client, "GET", "/address", NULL, NULL);
	assert_true(str_eq(reply.body, STR("{\"address\":\"unix\"}")));
	reply = test_ask(&client, "GET", "/address", forwarded, NULL);
	assert_true(str_eq(reply.body, STR("{\"address\":\"192.0.2.7\"}")));
	reply = test_ask(&client, "GET", "/wait", NULL, NULL);
	assert_int_equal(json_integer_value(reply.json), WAKE_DEADLINE);
	test_close(&client);

	test_server_init(&second, routes); /* a living server's socket is not taken */
	second.listeners[0] = server.listeners[0];
	second.config.listeners = second.listeners;
	second.config.tables = second.tables;
	assert_false(http_start(&second.config, &second.http, &err));
	assert_true(can_connect(socket_path));
	test_server_stop(&server);
	assert_int_not_equal(stat(socket_path, &info), 0);
}

static void takes_no_file_for_a_socket(void **state UNUSED)
{
	const gnutls_datum_t bytes = { (unsigned char *)"precious", 8 };
	struct test_server server;
	struct stat info;
	struct err err;

	save(socket_path, &bytes);
	test_server_init(&server, routes);
	server.listeners[0] = (struct http_listener){ .address = str_of(socket_path), .mode = 0640 };
	server.config.listeners = server.listeners;
	server.config.tables = server.tables;
	assert_false(http_start(&server.config, &server.http, &err));
	assert_int_equal(stat(socket_path, &info), 0);
	assert_int_equal(info.st_size, 8);
	assert_int_equal(unlink(socket_path), 0);
}

static void listens_on_several(void **state UNUSED)
{
	static const char *const addresses[] = { "127.0.0.1", "::1", "127.0.0.1", "" };
	struct test_server server;
	struct test_client client;

	make_certificate(3);
	test_server_init(&server, routes);
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++)
		server.listeners[i] = (struct http_listener){ .address = str_of(addresses[i]), .tls = i == 2 };
	server.listeners[3] = (struct http_listener){ .address = str_of(socket_path), .mode = 0600 };
	server.config.listener_count = ARRAY_LEN(addresses);
	server.config.tls = load_certificate();
	test_server_start(&server);
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		struct test_reply reply;

		test_connect(&client, &server, i);
		reply = test_ask(&client, "GET", "/address", NULL, NULL);
		assert_string_equal(json_string_value(json_object_get(reply.json, "address")),
				    i == 3 ? "unix" : addresses[i]);
		test_close(&client);
	}
	stop_with_tls(&server);
}

/* "::" with and without an IPv4 listener on the same port. */
static void listens_everywhere(void **state UNUSED)
{
	struct test_server server;
	struct test_client client;
	struct test_reply reply;
	uint16_t port;

	test_server_init(&server, routes);
	server.listeners[0].address = STR("::");
	test_server_start(&server);
	port = http_port(server.http, 0);
	server.listeners[0].address = STR("127.0.0.1"); /* for the client */
	test_connect(&client, &server, 0);
	reply = test_ask(&client, "GET", "/address", NULL, NULL);
	assert_true(str_eq(reply.body, STR("{\"address\":\"127.0.0.1\"}")));
	test_close(&client);
	test_server_stop(&server);

	test_server_init(&server, routes);
	server.config.listener_count = 2;
	server.listeners[0] = (struct http_listener){ .address = STR("::"), .port = port };
	server.listeners[1] = (struct http_listener){ .address = STR("0.0.0.0"), .port = port };
	test_server_start(&server);
	for (size_t i = 0; i < 2; i++) {
		test_connect(&client, &server, i);
		assert_int_equal(test_ask(&client, "GET", "/address", NULL, NULL).status, 200);
		test_close(&client);
	}
	test_server_stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(speaks_tls),
		cmocka_unit_test(reloads_certificates),
		cmocka_unit_test(listens_on_unix_sockets),
		cmocka_unit_test(takes_no_file_for_a_socket),
		cmocka_unit_test(listens_on_several),
		cmocka_unit_test(listens_everywhere),
	};

	json_setup();
	return cmocka_run_group_tests(tests, start, stop);
}
