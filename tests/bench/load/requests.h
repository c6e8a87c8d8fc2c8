/*
 * The requests to make, as the driver writes them to standard input: a line each, with the fields METHOD, TARGET, TOKEN
 * ("-" for none) and BODY (to the end of the line, may be empty) separated by tabs. "{n}" in target or body becomes a
 * number that no other request of this run has.
 */
#ifndef HEARTH_LOAD_REQUESTS_H
#define HEARTH_LOAD_REQUESTS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct request_template {
	char *method, *target, *token, *body; /* parts of `line` */
	char *line;
};

struct request_list {
	struct request_template *items;
	size_t count;
};

/* Ends the program at a malformed line, or if there is none. */
struct request_list requests_read(FILE *in);
void requests_done(struct request_list *list);

/* Writes the whole HTTP request, with `n` for "{n}" and `target_more` (may be "") behind the target. Returns its
 * length;
 * `*text` grows as needed and is the caller's to free. */
size_t request_format(const struct request_template *request, const char *host, uint64_t n, const char *target_more,
		      char **text, size_t *room);

#endif
