#include "http.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
	EVENTS_A_STEP = 256,
	READ_SIZE = 64 * 1024,
	KEPT_BUFFER = 1 << 20, /* A larger one is freed after its response. */
};

struct bytes {
	char *ptr;
	size_t len, room;
};

/* Where the reading of a response stands. */
enum part { PART_HEAD, PART_LENGTH, PART_CHUNKS };

struct http_conn {
	struct http_loop *loop;
	struct http_conn *next; /* in the loop's list of all */
	http_done_fn *done;
	void *owner;
	int fd; /* -1: closed */
	bool connecting, waiting, want_write, keep;
	struct bytes out, in;
	size_t sent;
	enum part part;
	int status;
	size_t body, body_len; /* in `in`: where it begins, and how much of it there is (chunks: is decoded) */
	size_t length;         /* PART_LENGTH: of the body */
	size_t raw;            /* PART_CHUNKS: where the next chunk's size line begins */
};

struct http_loop {
	int epoll, timer;
	uint64_t timer_us; /* what the timer is set to */
	struct sockaddr_storage address;
	socklen_t address_len;
	char *host;
	struct http_conn *all;
	size_t connecting;
};

static void die(const char *what)
{
	fprintf(stderr, "hearth-load: %s: %s\n", what, strerror(errno));
	exit(2);
}

uint64_t clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void bytes_reserve(struct bytes *b, size_t more)
{
	if (b->room - b->len >= more)
		return;
	while (b->room - b->len < more)
		b->room = b->room ? b->room * 2 : 1024;
	b->ptr = realloc(b->ptr, b->room);
	if (!b->ptr)
		die("memory");
}

static void bytes_drop(struct bytes *b)
{
	free(b->ptr);
	*b = (struct bytes){ 0 };
}

struct http_loop *http_loop_new(const char *address)
{
	struct http_loop *loop = calloc(1, sizeof(*loop));
	const char *colon = strrchr(address, ':');
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
	char *host;

	if (!loop || !colon || !(loop->host = strdup(address)) || !(host = strndup(address, (size_t)(colon - address))))
		die("address");
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0) {
		fprintf(stderr, "hearth-load: %s names no server\n", address);
		exit(2);
	}
	free(host);
	memcpy(&loop->address, found->ai_addr, found->ai_addrlen);
	loop->address_len = found->ai_addrlen;
	freeaddrinfo(found);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->epoll < 0 || loop->timer < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->timer, &event) != 0)
		die("epoll");
	return loop;
}

const char *http_loop_host(const struct http_loop *loop)
{
	return loop->host;
}

size_t http_loop_connecting(const struct http_loop *loop)
{
	return loop->connecting;
}

struct http_conn *http_conn_new(struct http_loop *loop, http_done_fn *done, void *owner)
{
	struct http_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		die("memory");
	*conn = (struct http_conn){ .loop = loop, .next = loop->all, .done = done, .owner = owner, .fd = -1 };
	loop->all = conn;
	return conn;
}

static void conn_close(struct http_conn *conn)
{
	if (conn->fd >= 0)
		close(conn->fd);
	if (conn->connecting)
		conn->loop->connecting--;
	conn->fd = -1;
	conn->connecting = conn->want_write = false;
}

void http_loop_free(struct http_loop *loop)
{
	for (struct http_conn *conn = loop->all, *next; conn; conn = next) {
		next = conn->next;
		conn_close(conn);
		bytes_drop(&conn->out);
		bytes_drop(&conn->in);
		free(conn);
	}
	close(loop->timer);
	close(loop->epoll);
	free(loop->host);
	free(loop);
}

/* Hands the response over. The connection is free for the next request when `done` is called. */
static void conn_finish(struct http_conn *conn, const struct http_response *response)
{
	struct bytes in = conn->in;

	conn->waiting = false;
	conn->in = (struct bytes){ 0 };
	if (!conn->keep)
		conn_close(conn);
	conn->done(conn, conn->owner, response);
	if (!conn->in.ptr && in.room <= KEPT_BUFFER && conn->waiting && conn->fd >= 0) {
		in.len = 0;
		conn->in = in;
	} else {
		bytes_drop(&in);
	}
}

static void conn_fail(struct http_conn *conn, const char *why)
{
	bool waiting = conn->waiting;
	struct http_response response = { .body = why, .body_len = strlen(why) };

	conn->keep = false;
	conn_close(conn);
	if (waiting)
		conn_finish(conn, &response);
}

static void conn_watch(struct http_conn *conn, int operation, bool want_write)
{
	struct epoll_event event = { .events = EPOLLIN | (want_write ? EPOLLOUT : 0u), .data.ptr = conn };

	if (epoll_ctl(conn->loop->epoll, operation, conn->fd, &event) != 0)
		die("epoll_ctl");
	conn->want_write = want_write;
}

static bool conn_connect(struct http_conn *conn)
{
	struct http_loop *loop = conn->loop;
	int on = 1;

	conn->fd = socket(loop->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
		die("socket");
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(conn->fd, (struct sockaddr *)&loop->address, loop->address_len) != 0 && errno != EINPROGRESS)
		return false;
	conn->connecting = true;
	loop->connecting++;
	conn_watch(conn, EPOLL_CTL_ADD, true);
	return true;
}

static void conn_write(struct http_conn *conn)
{
	ssize_t n = send(conn->fd, conn->out.ptr + conn->sent, conn->out.len - conn->sent, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN) {
		conn_fail(conn, strerror(errno));
		return;
	}
	if (n > 0)
		conn->sent += (size_t)n;
	if (conn->want_write != (conn->sent < conn->out.len))
		conn_watch(conn, EPOLL_CTL_MOD, conn->sent < conn->out.len);
}

void http_send(struct http_conn *conn, const char *bytes, size_t len)
{
	assert(!conn->waiting);
	conn->out.len = 0;
	bytes_reserve(&conn->out, len);
	memcpy(conn->out.ptr, bytes, len);
	conn->out.len = len;
	conn->in.len = conn->sent = 0;
	conn->part = PART_HEAD;
	conn->waiting = conn->keep = true;
	if (conn->fd >= 0)
		conn_write(conn);
	else if (!conn_connect(conn))
		conn_fail(conn, strerror(errno));
}

/* The value of a header field of the response's head, or NULL. The head ends with an empty line. */
static const char *head_field(const char *head, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line && line[2] != '\r'; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, " ");
	}
	return NULL;
}

static bool value_has(const char *value, const char *word)
{
	return value && strncasecmp(value, word, strlen(word)) == 0;
}

/* Reads status line and header fields once they are there. False: this is no HTTP/1.1. */
static bool read_head(struct http_conn *conn)
{
	char *end = conn->in.len < 4 ? NULL : memmem(conn->in.ptr, conn->in.len, "\r\n\r\n", 4);
	const char *length;

	if (!end)
		return conn->in.len < READ_SIZE;
	end[2] = '\0'; /* ends the last field's line: "\r\n" stays findable */
	if (strncmp(conn->in.ptr, "HTTP/1.1 ", 9) != 0)
		return false;
	conn->status = (int)strtol(conn->in.ptr + 9, NULL, 10);
	conn->body = (size_t)(end - conn->in.ptr) + 4;
	conn->body_len = 0;
	if (value_has(head_field(conn->in.ptr, "connection"), "close"))
		conn->keep = false;
	if (value_has(head_field(conn->in.ptr, "transfer-encoding"), "chunked")) {
		conn->part = PART_CHUNKS;
		conn->raw = conn->body;
		return true;
	}
	length = head_field(conn->in.ptr, "content-length");
	conn->part = PART_LENGTH;
	conn->length = length ? strtoul(length, NULL, 10) : 0;
	return conn->length <= HTTP_MAX_RESPONSE;
}

/* Moves whole chunks together behind the head. False: malformed. `ret_end`: the last one was there. */
static bool read_chunks(struct http_conn *conn, bool *ret_end)
{
	*ret_end = false;
	for (;;) {
		char *line = conn->in.ptr + conn->raw, *data;
		char *line_end = memmem(line, conn->in.len - conn->raw, "\r\n", 2);
		size_t size;

		if (!line_end)
			return conn->in.len - conn->raw < 100;
		if (!isxdigit((unsigned char)*line))
			return false;
		size = strtoul(line, NULL, 16);
		if (size > HTTP_MAX_RESPONSE)
			return false;
		data = line_end + 2;
		if (conn->in.len - (size_t)(data - conn->in.ptr) < size + 2)
			return true;
		memmove(conn->in.ptr + conn->body + conn->body_len, data, size);
		conn->body_len += size;
		conn->raw = (size_t)(data - conn->in.ptr) + size + 2;
		if (size == 0) {
			*ret_end = true;
			return true;
		}
	}
}

/* Goes on as far as the bytes allow. */
static void conn_parse(struct http_conn *conn)
{
	struct http_response response;
	bool complete = false;

	if (conn->part == PART_HEAD && !read_head(conn)) {
		conn_fail(conn, "no HTTP/1.1 response");
		return;
	}
	if (conn->part == PART_LENGTH) {
		conn->body_len = conn->length;
		complete = conn->in.len - conn->body >= conn->length;
	} else if (conn->part == PART_CHUNKS && !read_chunks(conn, &complete)) {
		conn_fail(conn, "malformed chunks");
		return;
	}
	if (!complete)
		return;
	conn->in.ptr[conn->body + conn->body_len] = '\0'; /* conn_read keeps a byte for it */
	response = (struct http_response){ conn->status, conn->in.ptr + conn->body, conn->body_len };
	conn_finish(conn, &response);
}

static void conn_read(struct http_conn *conn)
{
	ssize_t n;

	/* What is asked for a second time may be large. The first buffer is small: a parked connection keeps it. */
	bytes_reserve(&conn->in, conn->in.len < 1000 ? 1024 : READ_SIZE);
	n = recv(conn->fd, conn->in.ptr + conn->in.len, conn->in.room - conn->in.len - 1, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || !conn->waiting || conn->in.len > HTTP_MAX_RESPONSE) {
		conn_fail(conn, n < 0 ? strerror(errno) : "the server closed the connection");
		return;
	}
	conn->in.len += (size_t)n;
	conn_parse(conn);
}

static void conn_event(struct http_conn *conn, uint32_t events)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (conn->fd < 0)
		return; /* closed by what an earlier event of this batch led to */
	if (conn->connecting) {
		getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error) {
			conn_fail(conn, strerror(error));
			return;
		}
		conn->connecting = false;
		conn->loop->connecting--;
	}
	if (events & EPOLLOUT)
		conn_write(conn);
	if (conn->fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		conn_read(conn);
}

void http_loop_step(struct http_loop *loop, uint64_t until_us)
{
	struct epoll_event events[EVENTS_A_STEP];
	struct itimerspec at = { .it_value = { (time_t)(until_us / 1000000), (long)(until_us % 1000000) * 1000 } };
	int n;

	/* A timer that has run out stays readable until it is set again, so it is only touched when the time changes.
	 */
	if (until_us != loop->timer_us && timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &at, NULL) != 0)
		die("timerfd_settime");
	loop->timer_us = until_us;
	n = epoll_wait(loop->epoll, events, EVENTS_A_STEP, -1);
	if (n < 0 && errno != EINTR)
		die("epoll_wait");
	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr)
			conn_event(events[i].data.ptr, events[i].events);
	}
}
