/* What bounds the server, and how it starts and stops: resources, faulty configurations, full queues, connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/test_client.h"

static bool get_hello(struct request *req, struct err *err UNUSED)
{
	return reply_field(req, "hello", STR("world"));
}

static bool echo(struct request *req, struct err *err UNUSED)
{
	return reply_json(req, 200, json_incref(req->body));
}

static atomic_int slow_entered;
static atomic_bool slow_may_end;

static bool get_slow(struct request *req, struct err *err UNUSED)
{
	slow_entered++;
	while (!slow_may_end)
		usleep(1000);
	return reply_empty(req);
}

static const struct route routes[] = {
	{ HTTP_GET, "/hello", .handler = get_hello },
	{ HTTP_POST, "/echo", .handler = echo },
	{ HTTP_GET, "/slow", .handler = get_slow },
	{ HTTP_GET, "/federation", .handler = get_hello, .resource = "federation", .pool = POOL_FEDERATION },
	{ 0 },
};

static struct test_server server;

static int start(void **state UNUSED)
{
	test_server_run(&server, routes);
	return 0;
}

static int stop(void **state UNUSED)
{
	test_server_stop(&server);
	return 0;
}

/* ---- listeners ---- */

static void filters_resources(void **state UNUSED)
{
	static const char *const client_only[] = { "client", "media", NULL };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct test_server filtered;
	struct test_reply reply;

	reply = test_once(&server, arena, "GET", "/federation", NULL, NULL);
	assert_int_equal(reply.status, 200);
	test_server_init(&filtered, routes);
	filtered.listeners[0].resources = client_only;
	test_server_start(&filtered);
	reply = test_once(&filtered, arena, "GET", "/federation", NULL, NULL);
	test_assert_error(&reply, 404, "M_UNRECOGNIZED");
	reply = test_once(&filtered, arena, "POST", "/federation", NULL, NULL);
	test_assert_error(&reply, 404, "M_UNRECOGNIZED");
	reply = test_once(&filtered, arena, "GET", "/hello", NULL, NULL);
	assert_int_equal(reply.status, 200);
	test_server_stop(&filtered);
}

static bool start_fails(struct test_server *bad, const char *because)
{
	struct err err = { 0 };

	bad->config.listeners = bad->listeners;
	bad->config.tables = bad->tables;
	return !http_start(&bad->config, &bad->http, &err) && strstr(err.message, because);
}

static void refuses_bad_configurations(void **state UNUSED)
{
	static const struct route twice[] = { { HTTP_GET, "/a/{b}", .handler = get_hello },
					      { HTTP_GET, "/a/{c}/", .handler = get_hello },
					      { 0 } };
	static const struct route rest_inside[] = { { HTTP_GET, "/a/{b+}/c", .handler = get_hello }, { 0 } };
	struct test_server bad;

	test_server_init(&bad, twice);
	assert_true(start_fails(&bad, "two"));
	test_server_init(&bad, rest_inside);
	assert_true(start_fails(&bad, "last segment"));
	test_server_init(&bad, routes);
	bad.listeners[0].address = STR("not.an.address");
	assert_true(start_fails(&bad, "not an IP address"));
	test_server_init(&bad, routes);
	bad.listeners[0].port = http_port(server.http, 0);
	assert_true(start_fails(&bad, "in use"));
	test_server_init(&bad, routes);
	bad.listeners[0].tls = true;
	assert_true(start_fails(&bad, ""));
}

/* ---- load ---- */

static void answers_when_the_queue_is_full(void **state UNUSED)
{
	struct test_server small;
	struct test_client clients[8];
	int limited = 0;

	test_server_init(&small, routes);
	small.config.workers = 1;
	small.config.queue_length = 2;
	test_server_start(&small);
	slow_may_end = false;
	slow_entered = 0;
	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		test_connect(&clients[i], &small, 0);
		test_sendf(&clients[i], "GET /slow HTTP/1.1\r\nHost: t\r\n\r\n");
		for (int wait = 0; i == 0 && slow_entered == 0 && wait < 5000; wait++)
			usleep(1000);
	}
	for (int wait = 0; http_stats(small.http).queued < 2 && wait < 5000; wait++)
		usleep(1000);
	assert_int_equal(http_stats(small.http).workers_busy, 1);
	usleep(50000);
	slow_may_end = true;
	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		struct test_reply reply = test_receive(&clients[i], false);

		if (reply.status != 200) {
			test_assert_error(&reply, 429, "M_LIMIT_EXCEEDED");
			assert_non_null(test_header(&reply, "Retry-After").ptr);
			limited++;
		}
		test_close(&clients[i]);
	}
	assert_int_equal(limited, 5);
	test_server_stop(&small);
}

static void waits_at_the_limit_of_connections(void **state UNUSED)
{
	struct test_server small;
	struct test_client first, second, third;
	struct test_reply reply;

	test_server_init(&small, routes);
	small.config.max_connections = 2;
	test_server_start(&small);
	test_connect(&first, &small, 0);
	test_connect(&second, &small, 0);
	assert_int_equal(test_ask(&first, "GET", "/hello", NULL, NULL).status, 200);
	assert_int_equal(test_ask(&second, "GET", "/hello", NULL, NULL).status, 200);
	test_connect(&third, &small, 0); /* in the kernel's queue */
	test_sendf(&third, "GET /hello HTTP/1.1\r\nHost: t\r\n\r\n");
	usleep(50000);
	assert_int_equal(http_stats(small.http).connections, 2);
	test_close(&first);
	reply = test_receive(&third, false);
	assert_int_equal(reply.status, 200);
	test_close(&second);
	test_close(&third);
	test_server_stop(&small);
}

/* What is running when the server stops is answered, and says that the connection ends. */
static void stops_gracefully(void **state UNUSED)
{
	struct test_server stopping;
	struct test_client client, idle, half;
	struct test_reply reply;
	int64_t began_ms;

	test_server_run(&stopping, routes);
	test_connect(&half, &stopping, 0); /* nothing waits for the rest of this one */
	test_sendf(&half, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n[");
	slow_may_end = true;
	test_connect(&idle, &stopping, 0);
	assert_int_equal(test_ask(&idle, "GET", "/hello", NULL, NULL).status, 200);
	test_connect(&client, &stopping, 0);
	test_sendf(&client, "GET /slow HTTP/1.1\r\nHost: t\r\n\r\n");
	reply = test_receive(&client, false);
	assert_int_equal(reply.status, 200);
	began_ms = clock_mono_ms();
	test_server_stop(&stopping);
	assert_true(clock_mono_ms() - began_ms < 5000);
	assert_true(test_at_end(&client));
	assert_true(test_at_end(&idle));
	assert_true(test_at_end(&half));
	test_close(&half);
	test_close(&client);
	test_close(&idle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filters_resources),
		cmocka_unit_test(refuses_bad_configurations),
		cmocka_unit_test(answers_when_the_queue_is_full),
		cmocka_unit_test(waits_at_the_limit_of_connections),
		cmocka_unit_test(stops_gracefully),
	};

	json_setup();
	return cmocka_run_group_tests(tests, start, stop);
}
