/* Uploads: chunks, limits, answers before and amid the body, clients that go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/test_client.h"

#define MAX_UPLOAD ((size_t)1024 * 1024)

static atomic_int errors;

static bool post_upload(struct request *req, struct err *err)
{
	uint64_t total = 0, sum = 0, announced = 0, limit;
	bool known = request_content_length(req, &announced);
	struct str chunk;
	int64_t stop_at;

	if (!query_int(req, "stop_at", 0, INT32_MAX, INT32_MAX, &stop_at, err))
		return false;
	limit = (uint64_t)stop_at;
	do {
		if (!request_read(req, &chunk, err)) {
			errors++;
			return false;
		}
		assert(chunk.len <= 65536);
		for (size_t i = 0; i < chunk.len; i++)
			sum = sum * 31 + (unsigned char)chunk.ptr[i];
		total += chunk.len;
		if (total > limit)
			return err_set(err, M_FORBIDDEN, "That is enough");
	} while (chunk.len > 0);
	return reply_json(req, 200,
			  json_pack("{s:I,s:I,s:I}", "total", (json_int_t)total, "sum", (json_int_t)sum, "announced",
				    known ? (json_int_t)announced : (json_int_t)-1));
}

static bool refuse(struct request *req UNUSED, struct err *err)
{
	return err_set(err, M_FORBIDDEN, "No");
}

static bool accept_unread(struct request *req, struct err *err UNUSED)
{
	return reply_empty(req);
}

static bool get_hello(struct request *req, struct err *err UNUSED)
{
	return reply_empty(req);
}

static const struct route routes[] = {
	{ HTTP_POST, "/upload", .handler = post_upload, .body = BODY_STREAM, .max_body = MAX_UPLOAD },
	{ HTTP_POST, "/refuse", .handler = refuse, .body = BODY_STREAM, .max_body = 100 * MAX_UPLOAD },
	{ HTTP_POST, "/unread", .handler = accept_unread, .body = BODY_STREAM },
	{ HTTP_POST, "/secret", .auth = AUTH_USER, .handler = post_upload, .body = BODY_STREAM,
	  .max_body = MAX_UPLOAD },
	{ HTTP_GET, "/hello", .handler = get_hello },
	{ 0 },
};

static struct test_server server;
static char bytes[2 * MAX_UPLOAD];

static int start(void **state UNUSED)
{
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)('a' + i * i % 23);
	test_server_run(&server, routes);
	return 0;
}

static int stop(void **state UNUSED)
{
	test_server_stop(&server);
	return 0;
}

static int64_t sum_of(size_t len)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = sum * 31 + (unsigned char)bytes[i];
	return (int64_t)sum;
}

static void assert_received(const struct test_reply *reply, size_t len, int64_t announced)
{
	assert_int_equal(reply->status, 200);
	assert_int_equal(json_integer_value(json_object_get(reply->json, "total")), len);
	assert_int_equal(json_integer_value(json_object_get(reply->json, "sum")), sum_of(len));
	assert_int_equal(json_integer_value(json_object_get(reply->json, "announced")), announced);
}

static void send_head(struct test_client *client, const char *target, size_t len, const char *headers)
{
	test_sendf(client, "POST %s HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n%s\r\n", target, len, headers);
}

static struct test_reply upload(struct test_client *client, const char *target, size_t len)
{
	send_head(client, target, len, "");
	test_send(client, (struct str){ bytes, len });
	return test_receive(client, false);
}

static void takes_uploads(void **state UNUSED)
{
	static const size_t lengths[] = { 0, 1, 65535, 65536, 65537, 131072, 1000000, MAX_UPLOAD };
	struct test_client client;

	test_connect(&client, &server, 0);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct test_reply reply = upload(&client, "/upload", lengths[i]);

		assert_received(&reply, lengths[i], (int64_t)lengths[i]);
	}
	assert_int_equal(test_ask(&client, "GET", "/hello", NULL, NULL).status, 200);
	test_close(&client);
}

static void takes_slow_and_chunked_uploads(void **state UNUSED)
{
	struct test_client client;
	struct test_reply reply;

	test_connect(&client, &server, 0);
	send_head(&client, "/upload", 100, "Expect: 100-continue\r\n");
	assert_int_equal(test_receive(&client, false).status, 100);
	for (size_t i = 0; i < 100; i++) {
		test_send(&client, (struct str){ bytes + i, 1 });
		usleep(200);
	}
	reply = test_receive(&client, false);
	assert_received(&reply, 100, 100);

	test_sendf(&client, "POST /upload HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (size_t at = 0; at < 200000; at += 50000) {
		test_sendf(&client, "%x\r\n", 50000);
		test_send(&client, (struct str){ bytes + at, 50000 });
		test_send(&client, STR("\r\n"));
	}
	test_send(&client, STR("0\r\n\r\n"));
	reply = test_receive(&client, false);
	assert_received(&reply, 200000, -1);
	test_close(&client);
}

static void bounds_uploads(void **state UNUSED)
{
	struct test_client client;
	struct test_reply reply;

	test_connect(&client, &server, 0);
	reply = upload(&client, "/upload", MAX_UPLOAD + 1); /* announced: refused by its head */
	test_assert_error(&reply, 413, "M_TOO_LARGE");

	test_sendf(&client, "POST /upload HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (size_t at = 0; at < 2 * MAX_UPLOAD; at += 65536) {
		test_send(&client, STR("10000\r\n"));
		test_send(&client, (struct str){ bytes + at, 65536 });
		test_send(&client, STR("\r\n"));
	}
	test_send(&client, STR("0\r\n\r\n"));
	reply = test_receive(&client, false);
	test_assert_error(&reply, 413, "M_TOO_LARGE");
	assert_int_equal(test_ask(&client, "GET", "/hello", NULL, NULL).status, 200);
	test_close(&client);
}

/* An answer without, or before the end of, the body: the connection is kept as long as the rest is small. */
static void answers_early(void **state UNUSED)
{
	struct test_client client;
	struct test_reply reply;

	test_connect(&client, &server, 0);
	reply = upload(&client, "/secret", 500000);
	test_assert_error(&reply, 401, "M_MISSING_TOKEN");
	reply = upload(&client, "/refuse", 500000);
	test_assert_error(&reply, 403, "M_FORBIDDEN");
	reply = upload(&client, "/refuse", 0);
	test_assert_error(&reply, 403, "M_FORBIDDEN");
	reply = upload(&client, "/unread", 1000);
	assert_int_equal(reply.status, 200);
	reply = upload(&client, "/upload?stop_at=100000", 500000);
	test_assert_error(&reply, 403, "M_FORBIDDEN");
	assert_int_equal(test_ask(&client, "GET", "/hello", NULL, NULL).status, 200);

	send_head(&client, "/secret", 500000, "Expect: 100-continue\r\n");
	reply = test_receive(&client, false);
	test_assert_error(&reply, 401, "M_MISSING_TOKEN");
	assert_true(test_at_end(&client));
	test_close(&client);

	test_connect(&client, &server, 0);
	send_head(&client, "/refuse", 50 * MAX_UPLOAD, "");
	reply = test_receive(&client, false);
	test_assert_error(&reply, 403, "M_FORBIDDEN");
	test_close(&client);
}

static void ends_with_the_client(void **state UNUSED)
{
	struct test_client client;
	int before = errors;

	for (int i = 0; i < 10; i++) {
		test_connect(&client, &server, 0);
		send_head(&client, "/upload", MAX_UPLOAD, "");
		test_send(&client, (struct str){ bytes, (size_t)i * 20000 });
		usleep(i % 2 ? 5000 : 0);
		test_close(&client);
	}
	for (int wait = 0; http_stats(server.http).connections > 0 && wait < 5000; wait++)
		usleep(1000);
	for (int wait = 0; errors < before + 10 && wait < 5000; wait++)
		usleep(1000);
	assert_int_equal(errors, before + 10);
	for (int wait = 0; http_stats(server.http).workers_busy > 0 && wait < 5000; wait++)
		usleep(1000); /* the last handler has said so and is about to return */
	assert_int_equal(http_stats(server.http).workers_busy, 0);
}

static void *stop_it(void *other)
{
	test_server_stop(other);
	return NULL;
}

static void ends_with_the_server(void **state UNUSED)
{
	struct test_server stopping;
	struct test_client client;
	pthread_t stopper;
	struct test_reply reply;

	test_server_run(&stopping, routes);
	test_connect(&client, &stopping, 0);
	send_head(&client, "/upload", 100000, "");
	test_send(&client, (struct str){ bytes, 70000 });
	for (int wait = 0; http_stats(stopping.http).workers_busy == 0 && wait < 5000; wait++)
		usleep(1000);
	stopper = thread_start("stopper", stop_it, &stopping);
	usleep(50000);
	test_send(&client, (struct str){ bytes, 30000 }); /* dropped; then the answer */
	reply = test_receive(&client, false);
	test_assert_error(&reply, 503, "M_UNKNOWN");
	assert_true(test_at_end(&client));
	thread_join(stopper);
	test_close(&client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_uploads),        cmocka_unit_test(takes_slow_and_chunked_uploads),
		cmocka_unit_test(bounds_uploads),       cmocka_unit_test(answers_early),
		cmocka_unit_test(ends_with_the_client), cmocka_unit_test(ends_with_the_server),
	};

	json_setup();
	return cmocka_run_group_tests(tests, start, stop);
}
