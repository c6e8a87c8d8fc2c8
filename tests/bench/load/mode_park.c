#include "modes.h"

#include <signal.h>
#include <stdlib.h>

enum { CONNECTING_AT_ONCE = 32 };
#define LOOK_US 100000 /* how often to look whether it is time to end */

struct park {
	struct http_loop *loop;
	struct poll *polls;
	struct tally tally;
	char *text;
	size_t room;
};

struct poll {
	struct park *park;
	const struct request_template *request;
	uint64_t started_us;
};

static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

static void poll_send(struct poll *poll, struct http_conn *conn)
{
	struct park *park = poll->park;
	size_t len = request_format(poll->request, http_loop_host(park->loop), 0, "", &park->text, &park->room);

	poll->started_us = clock_us();
	http_send(conn, park->text, len);
}

static void poll_answered(struct http_conn *conn, void *owner, const struct http_response *response)
{
	struct poll *poll = owner;

	tally_add(&poll->park->tally, response, clock_us() - poll->started_us);
	if (response->status == 200)
		poll_send(poll, conn);
}

void mode_park(struct http_loop *loop, const struct request_list *requests, const struct options *options)
{
	struct park park = { .loop = loop };
	uint64_t start_us = clock_us(), end_us = start_us + (uint64_t)(options->seconds * 1e6);

	park.polls = calloc(requests->count, sizeof(*park.polls));
	if (!park.polls)
		abort();
	signal(SIGTERM, stop);
	for (size_t i = 0; i < requests->count && !stopped; i++) {
		park.polls[i] = (struct poll){ .park = &park, .request = &requests->items[i] };
		poll_send(&park.polls[i], http_conn_new(loop, poll_answered, &park.polls[i]));
		while (http_loop_connecting(loop) >= CONNECTING_AT_ONCE && !stopped)
			http_loop_step(loop, clock_us() + LOOK_US);
	}
	while (http_loop_connecting(loop) > 0 && !stopped)
		http_loop_step(loop, clock_us() + LOOK_US);
	printf("{\"sent\": %zu}\n", requests->count);
	fflush(stdout);
	while (!stopped && clock_us() < end_us)
		http_loop_step(loop, clock_us() + LOOK_US);
	tally_print(&park.tally, (double)(clock_us() - start_us) / 1e6, "");
	samples_done(&park.tally.times);
	free(park.polls);
	free(park.text);
}
