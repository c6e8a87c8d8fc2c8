/*
 * What hearth-load can do. Each mode runs until its time is over and prints one line of JSON; a request that was
 * answered by anything but 2xx is counted as an error, and the first one is shown on standard error.
 */
#ifndef HEARTH_LOAD_MODES_H
#define HEARTH_LOAD_MODES_H

#include "http.h"
#include "requests.h"
#include "samples.h"

struct options {
	size_t connections;
	double seconds; /* how long to measure */
	double warm_up; /* seconds before that, not counted */
	double rate;    /* requests a second over all connections; 0: as fast as answers come */
	uint64_t count; /* end after so many answers; 0: no limit */
};

struct tally {
	struct samples times;
	uint64_t errors, bytes;
};

/* Counts an answer that took `us`. */
void tally_add(struct tally *tally, const struct http_response *response, uint64_t us);

/* Prints the result, with `more` (JSON members with a comma before each, or "") at its end. */
void tally_print(struct tally *tally, double seconds, const char *more);

/* Each connection goes through its share of the requests (the i-th of c takes every c-th) over and over, one at a time.
 */
void mode_repeat(struct http_loop *loop, const struct request_list *requests, const struct options *options);

/*
 * The GET requests are syncs, each looped by a connection of its own from token to token; the others are sends whose
 * body holds "bench-{n}-" and whose turn comes at a fixed rate. Measured is the time from a send's turn to the end of
 * each sync answer that holds it.
 */
void mode_fan_out(struct http_loop *loop, const struct request_list *requests, const struct options *options);

/*
 * Sends every request on a connection of its own, and again when it is answered: polls that stay parked. Prints
 * {"sent": N} when all of them are out, and what was answered when SIGTERM comes or the time is over.
 */
void mode_park(struct http_loop *loop, const struct request_list *requests, const struct options *options);

#endif
