#include "requests.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "hearth-load: %s\n", what);
	exit(2);
}

static struct request_template template_parse(char *line)
{
	struct request_template request = { .line = line };
	char *rest = line;

	rest[strcspn(rest, "\n")] = '\0';
	request.method = strsep(&rest, "\t");
	request.target = strsep(&rest, "\t");
	request.token = strsep(&rest, "\t");
	request.body = rest;
	if (!request.body)
		fail("a request line wants METHOD, TARGET, TOKEN and BODY, separated by tabs");
	return request;
}

struct request_list requests_read(FILE *in)
{
	struct request_list list = { 0 };
	char *line = NULL;
	size_t room = 0;

	while (getline(&line, &room, in) > 0) {
		list.items = realloc(list.items, (list.count + 1) * sizeof(*list.items));
		if (!list.items)
			fail("no memory");
		list.items[list.count++] = template_parse(line);
		line = NULL;
		room = 0;
	}
	free(line);
	if (list.count == 0)
		fail("no requests on standard input");
	return list;
}

void requests_done(struct request_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].line);
	free(list->items);
	*list = (struct request_list){ 0 };
}

/* Writes bytes at `to + at`, if there is a `to`, and returns where the next ones go. */
static size_t put(char *to, size_t at, const char *bytes, size_t len)
{
	if (to)
		memcpy(to + at, bytes, len);
	return at + len;
}

/* Length of `text` with the number in place; writes it if `to` is given. */
static size_t fill_in(const char *text, const char *number, char *to)
{
	size_t len = 0;

	for (const char *mark; (mark = strstr(text, "{n}")); text = mark + 3) {
		len = put(to, len, text, (size_t)(mark - text));
		len = put(to, len, number, strlen(number));
	}
	return put(to, len, text, strlen(text));
}

size_t request_format(const struct request_template *request, const char *host, uint64_t n, const char *target_more,
		      char **text, size_t *room)
{
	char number[24];
	size_t body_len, need, len;
	bool anonymous = strcmp(request->token, "-") == 0, empty = strcmp(request->method, "GET") == 0;
	int head;

	snprintf(number, sizeof(number), "%" PRIu64, n);
	body_len = fill_in(request->body, number, NULL);
	need = fill_in(request->target, number, NULL) + strlen(target_more) + strlen(request->token) + strlen(host) +
	       body_len + 200;
	if (need > *room) {
		*room = need * 2;
		*text = realloc(*text, *room);
		if (!*text)
			fail("no memory");
	}
	head = snprintf(*text, *room, "%s ", request->method);
	len = (size_t)head;
	len += fill_in(request->target, number, *text + len);
	head = snprintf(*text + len, *room - len, "%s HTTP/1.1\r\nHost: %s\r\n%s%s%s", target_more, host,
			anonymous ? "" : "Authorization: Bearer ", anonymous ? "" : request->token,
			anonymous ? "" : "\r\n");
	len += (size_t)head;
	if (!empty) {
		head = snprintf(*text + len, *room - len, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
				body_len);
		len += (size_t)head;
	}
	len = put(*text, len, "\r\n", 2);
	if (!empty)
		len += fill_in(request->body, number, *text + len);
	return len;
}
