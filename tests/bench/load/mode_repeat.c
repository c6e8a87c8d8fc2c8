#include "modes.h"

#include <stdlib.h>

struct worker {
	struct run *run;
	struct http_conn *conn;
	size_t next; /* request */
	bool busy;
	uint64_t started_us;
};

struct run {
	struct http_loop *loop;
	const struct request_list *requests;
	const struct options *options;
	struct worker *workers;
	struct tally tally;
	uint64_t counted_from_us, end_us, last_us;
	uint64_t sent;
	double due_us, interval_us; /* with a rate: the turn of the next request */
	char *text;
	size_t room;
};

static void worker_send(struct worker *worker, uint64_t started_us)
{
	struct run *run = worker->run;
	const struct request_template *request = &run->requests->items[worker->next];
	size_t len = request_format(request, http_loop_host(run->loop), run->sent++, "", &run->text, &run->room);

	worker->next = (worker->next + run->options->connections) % run->requests->count;
	worker->busy = true;
	worker->started_us = started_us;
	http_send(worker->conn, run->text, len);
}

static bool over(const struct run *run, uint64_t now_us)
{
	return now_us >= run->end_us || (run->options->count && run->sent >= run->options->count);
}

static void answered(struct http_conn *conn, void *owner, const struct http_response *response)
{
	struct worker *worker = owner;
	struct run *run = worker->run;
	uint64_t now_us = clock_us();

	(void)conn;
	worker->busy = false;
	if (worker->started_us >= run->counted_from_us && now_us <= run->end_us) {
		tally_add(&run->tally, response, now_us - worker->started_us);
		run->last_us = now_us;
	}
	/* Not at once after a failure: a server that is gone would be asked in endless recursion. */
	if (run->interval_us == 0 && response->status != 0 && !over(run, now_us))
		worker_send(worker, now_us);
}

/* With a rate: gives each request whose turn has come to a free connection. One that has to wait is timed from its
 * turn. */
static void send_due(struct run *run, uint64_t now_us)
{
	for (size_t i = 0; i < run->options->connections && run->due_us <= (double)now_us && !over(run, now_us); i++) {
		if (run->workers[i].busy)
			continue;
		worker_send(&run->workers[i], (uint64_t)run->due_us);
		run->due_us += run->interval_us;
	}
}

static bool any_busy(const struct run *run)
{
	for (size_t i = 0; i < run->options->connections; i++) {
		if (run->workers[i].busy)
			return true;
	}
	return false;
}

static uint64_t next_turn(const struct run *run, uint64_t now_us)
{
	uint64_t due_us = (uint64_t)run->due_us;

	if (run->interval_us == 0 ||
	    due_us <= now_us) /* due and not sent: all connections are busy, and an answer will come */
		return run->end_us;
	return due_us < run->end_us ? due_us : run->end_us;
}

void mode_repeat(struct http_loop *loop, const struct request_list *requests, const struct options *options)
{
	uint64_t start_us = clock_us(), now_us;
	struct run run = { .loop = loop, .requests = requests, .options = options };

	run.workers = calloc(options->connections, sizeof(*run.workers));
	if (!run.workers)
		abort();
	run.counted_from_us = start_us + (uint64_t)(options->warm_up * 1e6);
	run.end_us = run.counted_from_us + (uint64_t)(options->seconds * 1e6);
	run.interval_us = options->rate > 0 ? 1e6 / options->rate : 0;
	run.due_us = (double)start_us;
	for (size_t i = 0; i < options->connections; i++) {
		run.workers[i] = (struct worker){ .run = &run, .next = i % requests->count };
		run.workers[i].conn = http_conn_new(loop, answered, &run.workers[i]);
		if (run.interval_us == 0 && !over(&run, start_us))
			worker_send(&run.workers[i], start_us);
	}
	while ((now_us = clock_us()) < run.end_us && (!over(&run, now_us) || any_busy(&run))) {
		if (run.interval_us > 0)
			send_due(&run, now_us);
		else if (!any_busy(&run))
			break; /* every connection failed */
		http_loop_step(loop, next_turn(&run, now_us));
	}
	/* With a count the time ends with the last answer. */
	if (now_us > run.end_us || (options->count && run.last_us))
		now_us = options->count && run.last_us ? run.last_us : run.end_us;
	tally_print(&run.tally, (double)(now_us - run.counted_from_us) / 1e6, "");
	samples_done(&run.tally.times);
	free(run.workers);
	free(run.text);
}
