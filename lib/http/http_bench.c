/*
 * Measures the HTTP layer alone.
 *   http_bench serve PORT             GET /hello, POST /echo, GET /wait; until standard input ends
 *   http_bench park PORT PID COUNT    parks COUNT connections at the server with that process id, after a first request
 *                                     on each; prints the server's memory for each, and how long other requests take
 */
#include <arpa/inet.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/http.h"

/* ---- the server ---- */

static bool get_hello(struct request *req, struct err *err UNUSED)
{
	return reply_field(req, "hello", STR("world"));
}

static bool post_echo(struct request *req, struct err *err UNUSED)
{
	return reply_json(req, 200, json_incref(req->body));
}

static bool resume(struct request *req, void *state UNUSED, enum wake_cause cause UNUSED, struct err *err UNUSED)
{
	return reply_empty(req);
}

static bool get_wait(struct request *req, struct err *err UNUSED)
{
	return request_park(req, &(struct park){ .resume = resume, .deadline_ms = clock_mono_ms() + 600000 });
}

static const struct route routes[] = {
	{ HTTP_GET, "/hello", .handler = get_hello },
	{ HTTP_POST, "/echo", .handler = post_echo },
	{ HTTP_GET, "/wait", .handler = get_wait },
	{ 0 },
};

static int serve(uint16_t port)
{
	const struct http_listener listener = { .address = STR("127.0.0.1"), .port = port };
	const struct http_config config = {
		.tables = (const struct route *const[]){ routes, NULL },
		.listeners = &listener,
		.listener_count = 1,
		.max_connections = 12000,
		.workers = 8,
	};
	struct http *http;
	struct err err = { 0 };
	char rest[64];

	json_setup();
	if (!http_start(&config, &http, &err)) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	while (read(STDIN_FILENO, rest, sizeof(rest)) > 0)
		;
	http_stop(http);
	return 0;
}

/* ---- the crowd ---- */

static int connect_to(uint16_t port)
{
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_port = htons(port),
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		fprintf(stderr, "connect: %s\n", strerror(errno));
		exit(1);
	}
	return fd;
}

static void send_request(int fd, const char *path)
{
	char text[1024];
	int len = snprintf(
		text, sizeof(text),
		"GET %s HTTP/1.1\r\nHost: localhost:8008\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) bench\r\n"
		"Accept: application/json\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate\r\n"
		"Authorization: Bearer syt_YWxpY2U_abcdefghijklmnopqrstuvwx_012345\r\n\r\n",
		path);

	if (send(fd, text, (size_t)len, 0) != len)
		exit(1);
}

static void receive(int fd)
{
	char text[4096];

	if (recv(fd, text, sizeof(text), 0) <= 0)
		exit(1);
}

static int64_t number_in(const char *path, const char *key)
{
	FILE *file = fopen(path, "r");
	char line[256];
	int64_t value = -1;

	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, strlen(key)) == 0)
			value = strtoll(line + strlen(key), NULL, 10);
	}
	if (file)
		fclose(file);
	return value;
}

static int64_t resident_kb(int64_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%" PRId64 "/status", pid);
	return number_in(path, "VmRSS:");
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void measure_latency(uint16_t port, const char *when)
{
	enum { ROUNDS = 5000 };
	static int64_t took_us[ROUNDS];
	int fd = connect_to(port);

	for (int i = 0; i < ROUNDS; i++) {
		int64_t began_us = clock_mono_us();

		send_request(fd, "/hello");
		receive(fd);
		took_us[i] = clock_mono_us() - began_us;
	}
	close(fd);
	qsort(took_us, ROUNDS, sizeof(took_us[0]), compare);
	printf("%s: p50 %" PRId64 " us, p99 %" PRId64 " us\n", when, took_us[ROUNDS / 2], took_us[ROUNDS * 99 / 100]);
}

static int park(uint16_t port, int64_t pid, size_t count)
{
	int *fds = x_calloc(count, sizeof(*fds));
	int64_t before_kb, after_kb;

	if (count == 0)
		return 2;
	measure_latency(port, "none parked");
	before_kb = resident_kb(pid);
	for (size_t i = 0; i < count; i++) {
		fds[i] = connect_to(port);
		send_request(fds[i], "/hello");
		receive(fds[i]);
		send_request(fds[i], "/wait");
	}
	sleep(1);
	after_kb = resident_kb(pid);
	printf("%zu parked: %" PRId64 " bytes each (%" PRId64 " kB, before %" PRId64 " kB)\n", count,
	       (after_kb - before_kb) * 1024 / (int64_t)count, after_kb, before_kb);
	measure_latency(port, "all parked");
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	sleep(1);
	measure_latency(port, "all gone");
	free(fds);
	return 0;
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve((uint16_t)strtoul(argv[2], NULL, 10));
	if (argc == 5 && strcmp(argv[1], "park") == 0)
		return park((uint16_t)strtoul(argv[2], NULL, 10), strtoll(argv[3], NULL, 10),
			    strtoul(argv[4], NULL, 10));
	fprintf(stderr, "usage: http_bench serve PORT | park PORT PID COUNT\n");
	return 2;
}
