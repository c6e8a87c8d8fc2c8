/* Parked requests: woken, timed out, hung up, stopped; wake-ups that come early, often, or at the same moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/test_client.h"

/*
 * An application in small: a counter, and those who wait for it to move, filed under a lock as the header asks for.
 * Waiters hold one reference to the board each, so that a missing free_state is seen.
 */
struct waiter {
	struct waiter *next;
	struct parked *parked;
	int64_t seen;
	int resumed;
	bool stubborn; /* parks again whatever the cause */
};

static struct {
	struct mutex lock;
	struct waiter *waiters;
	int64_t news;
	atomic_int states, parked, resumed, causes[4];
} board;

static int64_t news(void)
{
	LOCKED(&board.lock);
	return board.news;
}

static void file(struct parked *parked, void *state)
{
	struct waiter *waiter = state;
	bool missed;

	mutex_lock(&board.lock);
	waiter->parked = parked;
	waiter->next = board.waiters;
	board.waiters = waiter;
	missed = board.news > waiter->seen;
	mutex_unlock(&board.lock);
	board.parked++;
	if (missed)
		request_wake(parked);
}

static void unfile(struct parked *parked UNUSED, void *state)
{
	struct waiter **at = &board.waiters;

	LOCKED(&board.lock);
	while (*at && *at != state)
		at = &(*at)->next;
	assert(*at); /* filed before */
	*at = (*at)->next;
}

static void tell(int times)
{
	LOCKED(&board.lock);
	board.news++;
	for (int i = 0; i < times; i++) {
		for (struct waiter *waiter = board.waiters; waiter; waiter = waiter->next)
			request_wake(waiter->parked);
	}
}

static void free_waiter(void *state)
{
	board.states--;
	free(state);
}

static bool resume(struct request *req, void *state, enum wake_cause cause, struct err *err);

static bool park(struct request *req, struct waiter *waiter, int64_t wait_ms)
{
	return request_park(req, &(struct park){
					 .state = waiter,
					 .resume = resume,
					 .free_state = free_waiter,
					 .on_parked = file,
					 .on_resumed = unfile,
					 .deadline_ms = clock_mono_ms() + wait_ms,
				 });
}

static bool resume(struct request *req, void *state, enum wake_cause cause, struct err *err UNUSED)
{
	static const char *const names[] = { "event", "deadline", "hangup", "stopping" };
	struct waiter *waiter = state;

	waiter->resumed++;
	board.resumed++;
	board.causes[cause]++;
	if (waiter->stubborn || (cause == WAKE_EVENT && news() <= waiter->seen))
		return park(req, waiter, 5000);
	if (cause == WAKE_HANGUP)
		return true;
	return reply_json(req, 200,
			  json_pack("{s:s,s:i,s:o,s:o}", "cause", names[cause], "resumed", waiter->resumed, "room",
				    json_new_str(path_param(req, "room")), "q", json_new_str(query_param(req, "q"))));
}

static bool get_wait(struct request *req, struct err *err)
{
	struct waiter *waiter;
	int64_t wait_ms, since;
	bool stubborn;

	if (!query_int(req, "timeout", 0, 60000, 10000, &wait_ms, err) ||
	    !query_int(req, "since", 0, INT64_MAX, news(), &since, err) ||
	    !query_bool(req, "stubborn", false, &stubborn, err))
		return false;
	waiter = X_NEW(struct waiter);
	waiter->seen = since;
	waiter->stubborn = stubborn;
	board.states++;
	return park(req, waiter, wait_ms);
}

static bool get_hello(struct request *req, struct err *err UNUSED)
{
	return reply_empty(req);
}

static const struct route routes[] = {
	{ HTTP_GET, "/wait/{room}", .handler = get_wait },
	{ HTTP_POST, "/wait/{room}", .handler = get_wait },
	{ HTTP_GET, "/hello", .handler = get_hello },
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

static int clean(void **state UNUSED)
{
	for (int wait = 0; board.states > 0 && wait < 5000; wait++)
		usleep(1000);
	assert_int_equal(board.states, 0); /* each was freed, once */
	assert_null(board.waiters);
	assert_int_equal(http_stats(server.http).parked, 0);
	return 0;
}

static void wait_parked(const struct test_server *where, size_t count)
{
	for (int wait = 0; http_stats(where->http).parked != count && wait < 10000; wait++)
		usleep(1000);
	assert_int_equal(http_stats(where->http).parked, count);
}

static void assert_cause(const struct test_reply *reply, const char *cause)
{
	assert_int_equal(reply->status, 200);
	assert_string_equal(json_string_value(json_object_get(reply->json, "cause")), cause);
}

static void resumes_on_news(void **state UNUSED)
{
	struct test_client client;
	struct test_reply reply;

	test_connect(&client, &server, 0);
	for (int i = 0; i < 3; i++) {
		test_sendf(&client, "POST /wait/!a%%2Fb?q=x+y HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}");
		wait_parked(&server, 1);
		tell(3);
		reply = test_receive(&client, false);
		assert_cause(&reply, "event");
		assert_string_equal(json_string_value(json_object_get(reply.json, "room")), "!a/b");
		assert_string_equal(json_string_value(json_object_get(reply.json, "q")), "x y");
		assert_int_equal(json_integer_value(json_object_get(reply.json, "resumed")), 1);
	}
	test_close(&client);
}

static void resumes_at_the_deadline(void **state UNUSED)
{
	static const int timeouts[] = { 300, 100, 200, 0 };
	struct test_client clients[ARRAY_LEN(timeouts)];
	int64_t began = clock_mono_ms();

	for (size_t i = 0; i < ARRAY_LEN(timeouts); i++) {
		test_connect(&clients[i], &server, 0);
		test_sendf(&clients[i], "GET /wait/r?timeout=%d HTTP/1.1\r\nHost: t\r\n\r\n", timeouts[i]);
	}
	for (size_t i = ARRAY_LEN(timeouts); i-- > 0;) {
		struct test_reply reply = test_receive(&clients[i], false);

		assert_cause(&reply, "deadline");
		assert_true(clock_mono_ms() - began >= timeouts[i]);
		test_close(&clients[i]);
	}
	assert_true(clock_mono_ms() - began < 2000);
}

/* The news came before the request was filed: it is woken while it still enters. */
static void misses_no_early_wake(void **state UNUSED)
{
	struct test_client client;

	test_connect(&client, &server, 0);
	tell(0);
	for (int i = 0; i < 100; i++) {
		struct test_reply reply = test_ask(&client, "GET", "/wait/r?since=0", NULL, NULL);

		assert_cause(&reply, "event");
	}
	test_close(&client);
}

/* Wakes without news: parked again under the same state. */
static void parks_again(void **state UNUSED)
{
	struct test_client client;
	struct test_reply reply;

	test_connect(&client, &server, 0);
	test_sendf(&client, "GET /wait/r?since=1000000 HTTP/1.1\r\nHost: t\r\n\r\n");
	for (int i = 1; i <= 20; i++) {
		int before = board.resumed;

		wait_parked(&server, 1);
		tell(1);
		for (int wait = 0; board.resumed == before && wait < 5000; wait++)
			usleep(1000);
	}
	wait_parked(&server, 1);
	mutex_lock(&board.lock);
	board.news = 1000000;
	mutex_unlock(&board.lock);
	tell(1);
	reply = test_receive(&client, false);
	assert_cause(&reply, "event");
	assert_int_equal(json_integer_value(json_object_get(reply.json, "resumed")), 21);
	test_close(&client);
}

static void notices_hang_ups(void **state UNUSED)
{
	struct test_client clients[10];
	int before = board.causes[WAKE_HANGUP];

	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		test_connect(&clients[i], &server, 0);
		test_sendf(&clients[i], "GET /wait/r?stubborn=%s HTTP/1.1\r\nHost: t\r\n\r\n",
			   i % 2 ? "true" : "false");
	}
	wait_parked(&server, ARRAY_LEN(clients));
	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		struct linger reset = { .l_onoff = i % 3 == 0 }; /* some by RST */

		setsockopt(clients[i].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		test_close(&clients[i]);
	}
	wait_parked(&server, 0);
	for (int wait = 0; http_stats(server.http).connections > 0 && wait < 5000; wait++)
		usleep(1000);
	assert_int_equal(http_stats(server.http).connections, 0);
	assert_int_equal(board.causes[WAKE_HANGUP], before + 10);
}

static void keeps_what_was_sent_ahead(void **state UNUSED)
{
	struct test_client client;
	struct test_reply reply;

	test_connect(&client, &server, 0);
	test_sendf(&client, "GET /wait/r HTTP/1.1\r\nHost: t\r\n\r\nGET /hello HTTP/1.1\r\nHost: t\r\n\r\n");
	wait_parked(&server, 1);
	test_sendf(&client, "GET /wait/r?timeout=1 HTTP/1.1\r\nHost: t\r\n\r\n");
	usleep(20000);
	assert_int_equal(http_stats(server.http).parked, 1);
	tell(1);
	reply = test_receive(&client, false);
	assert_cause(&reply, "event");
	reply = test_receive(&client, false);
	assert_true(str_eq(reply.body, STR("{}")));
	reply = test_receive(&client, false);
	assert_cause(&reply, "deadline");
	test_close(&client);
}

static void answers_all_when_it_stops(void **state UNUSED)
{
	struct test_server stopping;
	struct test_client clients[20];

	test_server_run(&stopping, routes);
	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		test_connect(&clients[i], &stopping, 0);
		test_sendf(&clients[i], "GET /wait/r?stubborn=%s HTTP/1.1\r\nHost: t\r\n\r\n",
			   i == 0 ? "true" : "false");
	}
	wait_parked(&stopping, ARRAY_LEN(clients));
	test_server_stop(&stopping);
	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		struct test_reply reply = test_receive(&clients[i], false);

		if (i == 0)
			test_assert_error(&reply, 503, "M_UNKNOWN");
		else
			assert_cause(&reply, "stopping");
		assert_true(test_at_end(&clients[i]));
		test_close(&clients[i]);
	}
}

/* ---- many at once ---- */

#define CLIENTS 8
#define ROUNDS  200

static atomic_bool telling;

static void *tell_on(void *context UNUSED)
{
	while (telling) {
		tell(2);
		usleep(300);
	}
	return NULL;
}

/* Some wait for news, some time out at about the same moment, some hang up. */
static void *wait_on(void *context)
{
	const size_t *number = context;
	struct test_client client;

	test_connect(&client, &server, 0);
	for (int i = 0; i < ROUNDS; i++) {
		test_sendf(&client, "GET /wait/r?timeout=%d HTTP/1.1\r\nHost: t\r\n\r\n", i % 4);
		if (*number % 4 == 0 && i % 8 == 0) {
			test_close(&client);
			test_connect(&client, &server, 0);
		} else {
			struct test_reply reply = test_receive(&client, false);

			assert(reply.status == 200);
		}
	}
	test_close(&client);
	return NULL;
}

static void survives_a_crowd(void **state UNUSED)
{
	pthread_t threads[CLIENTS], teller;
	size_t numbers[CLIENTS];

	telling = true;
	teller = thread_start("teller", tell_on, NULL);
	for (size_t i = 0; i < CLIENTS; i++) {
		numbers[i] = i;
		threads[i] = thread_start("client", wait_on, &numbers[i]);
	}
	for (size_t i = 0; i < CLIENTS; i++)
		thread_join(threads[i]);
	telling = false;
	thread_join(teller);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(resumes_on_news, clean),
		cmocka_unit_test_teardown(resumes_at_the_deadline, clean),
		cmocka_unit_test_teardown(misses_no_early_wake, clean),
		cmocka_unit_test_teardown(parks_again, clean),
		cmocka_unit_test_teardown(notices_hang_ups, clean),
		cmocka_unit_test_teardown(keeps_what_was_sent_ahead, clean),
		cmocka_unit_test_teardown(answers_all_when_it_stops, clean),
		cmocka_unit_test_teardown(survives_a_crowd, clean),
	};

	json_setup();
	mutex_init(&board.lock);
	return cmocka_run_group_tests(tests, start, stop);
}
