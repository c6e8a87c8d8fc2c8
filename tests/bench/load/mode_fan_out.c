#include "modes.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SENDERS = 32, /* connections that sends take turns on */
	TOKEN_ROOM = 1024,
};
#define SETTLE_US 1000000   /* between the last listener's first answer and the first send */
#define START_US  120000000 /* for the listeners' initial syncs */
#define GRACE_US  15000000  /* for what is still to arrive after the last send */

static const char MARK[] = "bench-";

struct listener {
	struct run *run;
	const struct request_template *request;
	char since[TOKEN_ROOM]; /* "&since=…", or "" before the first answer */
	bool *seen;             /* which sends have arrived */
};

struct sender {
	struct run *run;
	struct http_conn *conn;
	bool busy;
};

struct run {
	struct http_loop *loop;
	const struct options *options;
	struct listener *listeners;
	struct sender senders[SENDERS];
	size_t listener_count, ready;
	const struct request_template *send;
	uint64_t *turn_us; /* of each send */
	uint64_t to_send, sent, acknowledged;
	struct tally tally;
	char *text;
	size_t room;
};

static void listen_on(struct listener *listener, struct http_conn *conn)
{
	struct run *run = listener->run;
	size_t len = request_format(listener->request, http_loop_host(run->loop), 0, listener->since, &run->text,
				    &run->room);

	http_send(conn, run->text, len);
}

/* Sync tokens are opaque: what is not plain is percent-encoded. */
static bool take_token(struct listener *listener, const struct http_response *response)
{
	static const char KEY[] = "\"next_batch\"";
	const char *at = memmem(response->body, response->body_len, KEY, sizeof(KEY) - 1);
	size_t len;

	if (!at)
		return false;
	at += sizeof(KEY) - 1;
	at += strspn(at, " :");
	if (*at++ != '"')
		return false;
	len = (size_t)snprintf(listener->since, TOKEN_ROOM, "&since=");
	for (; *at && *at != '"'; at++) {
		if (len + 4 > TOKEN_ROOM)
			return false;
		len += (size_t)snprintf(listener->since + len, TOKEN_ROOM - len,
					isalnum((unsigned char)*at) || strchr("-._~", *at) ? "%c" : "%%%02X",
					(unsigned char)*at);
	}
	return true;
}

/* Sends that overtake each other arrive in any order, and an event may repeat its content (unsigned, bundled). */
static void take_arrivals(struct listener *listener, const struct http_response *response, uint64_t now_us)
{
	struct run *run = listener->run;
	const char *at = response->body, *end = response->body + response->body_len;

	while ((at = memmem(at, (size_t)(end - at), MARK, sizeof(MARK) - 1))) {
		char *behind;
		uint64_t n;

		at += sizeof(MARK) - 1;
		n = strtoull(at, &behind, 10);
		if (behind == at || *behind != '-' || n >= run->sent || listener->seen[n])
			continue;
		listener->seen[n] = true;
		samples_add(&run->tally.times, now_us - run->turn_us[n]);
	}
}

static void listener_answered(struct http_conn *conn, void *owner, const struct http_response *response)
{
	struct listener *listener = owner;
	struct run *run = listener->run;
	uint64_t now_us = clock_us();
	bool first = !listener->since[0];

	if (response->status != 200 || !take_token(listener, response)) {
		if (response->status == 200)
			fprintf(stderr, "hearth-load: a sync answer without next_batch\n");
		tally_add(&run->tally, response, 0);
		return;
	}
	run->tally.bytes += response->body_len;
	if (first)
		run->ready++;
	else
		take_arrivals(listener, response, now_us);
	listen_on(listener, conn);
}

static void sender_answered(struct http_conn *conn, void *owner, const struct http_response *response)
{
	struct sender *sender = owner;

	(void)conn;
	sender->busy = false;
	if (response->status / 100 == 2)
		sender->run->acknowledged++;
	else
		tally_add(&sender->run->tally, response, 0);
}

static void send_one(struct run *run)
{
	for (size_t i = 0; i < SENDERS; i++) {
		struct sender *sender = &run->senders[i];
		size_t len;

		if (sender->busy)
			continue;
		sender->busy = true;
		len = request_format(run->send, http_loop_host(run->loop), run->sent++, "", &run->text, &run->room);
		http_send(sender->conn, run->text, len);
		return;
	}
}

static void split(struct run *run, const struct request_list *requests)
{
	run->to_send = (uint64_t)(run->options->seconds * run->options->rate);
	run->turn_us = calloc(run->to_send + 1, sizeof(*run->turn_us));
	run->listeners = calloc(requests->count, sizeof(*run->listeners));
	if (!run->turn_us || !run->listeners)
		abort();
	for (size_t i = 0; i < requests->count; i++) {
		const struct request_template *request = &requests->items[i];

		if (strcmp(request->method, "GET") == 0) {
			bool *seen = calloc(run->to_send + 1, sizeof(*seen));
			if (!seen)
				abort();
			run->listeners[run->listener_count++] =
				(struct listener){ .run = run, .request = request, .seen = seen };
		} else {
			run->send = request;
		}
	}
}

static void wait_until(struct run *run, uint64_t until_us)
{
	while (clock_us() < until_us)
		http_loop_step(run->loop, until_us);
}

static void start_listeners(struct run *run)
{
	uint64_t give_up_us = clock_us() + START_US;

	for (size_t i = 0; i < run->listener_count; i++)
		listen_on(&run->listeners[i], http_conn_new(run->loop, listener_answered, &run->listeners[i]));
	while (run->ready < run->listener_count && run->tally.errors == 0 && clock_us() < give_up_us)
		http_loop_step(run->loop, give_up_us);
	wait_until(run, clock_us() + SETTLE_US);
}

static void send_all(struct run *run)
{
	uint64_t start_us = clock_us();

	for (uint64_t n = 0; n < run->to_send; n++)
		run->turn_us[n] = start_us + (uint64_t)((double)n * 1e6 / run->options->rate);
	while (run->sent < run->to_send) {
		uint64_t turn_us = run->turn_us[run->sent], sent = run->sent;

		wait_until(run, turn_us);
		send_one(run);
		if (run->sent == sent) /* all senders busy: an answer has to come first */
			http_loop_step(run->loop, clock_us() + 10000);
		if (clock_us() > turn_us + GRACE_US)
			break;
	}
}

void mode_fan_out(struct http_loop *loop, const struct request_list *requests, const struct options *options)
{
	struct run run = { .loop = loop, .options = options };
	uint64_t expected, give_up_us;
	char more[120];

	split(&run, requests);
	if (!run.send || run.listener_count == 0 || options->rate <= 0) {
		fprintf(stderr, "hearth-load: fan-out wants GET requests, another one, and a rate\n");
		exit(2);
	}
	for (size_t i = 0; i < SENDERS; i++) {
		run.senders[i] = (struct sender){ .run = &run };
		run.senders[i].conn = http_conn_new(loop, sender_answered, &run.senders[i]);
	}
	start_listeners(&run);
	if (run.ready == run.listener_count)
		send_all(&run);
	expected = run.sent * run.listener_count;
	give_up_us = clock_us() + GRACE_US;
	while (run.tally.times.count < expected && run.tally.errors == 0 && clock_us() < give_up_us)
		http_loop_step(loop, give_up_us);
	snprintf(more, sizeof(more), ", \"sent\": %" PRIu64 ", \"acknowledged\": %" PRIu64 ", \"expected\": %" PRIu64,
		 run.sent, run.acknowledged, expected);
	tally_print(&run.tally, options->seconds, more);
	samples_done(&run.tally.times);
	for (size_t i = 0; i < run.listener_count; i++)
		free(run.listeners[i].seen);
	free(run.listeners);
	free(run.turn_us);
	free(run.text);
}
