/*
 * Listening sockets, and the one thread that accepts from all of them and deals the connections out to the I/O threads.
 * libmicrohttpd could accept by itself, but then each listener would need I/O threads of its own, all of them would be
 * woken for each connection, and the limit of connections would be cut into pieces.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/internal.h"

#define BACKLOG        1024
#define ACCEPT_AT_ONCE 64
#define RETRY_MS       100 /* when descriptors have run out */

struct acceptor {
	struct http *http;
	int epoll, wake;
	_Atomic bool full; /* at the limit of connections: not accepting */
	_Atomic bool ending;
	pthread_t thread;
};

/* ---- sockets ---- */

static bool cannot_listen(const struct http_listener *config, const char *why, struct err *err)
{
	return err_set(err, M_UNKNOWN, "cannot listen on %.*s port %u: %s", STR_ARG(config->address),
		       (unsigned)config->port, why);
}

static bool parse_address(const struct http_listener *config, struct peer *ret_peer, socklen_t *ret_len)
{
	char text[INET6_ADDRSTRLEN];

	if (config->address.len >= sizeof(text))
		return false;
	memcpy(text, config->address.ptr, config->address.len);
	text[config->address.len] = 0;
	*ret_peer = (struct peer){ 0 };
	if (inet_pton(AF_INET, text, &ret_peer->address.ipv4.sin_addr) == 1) {
		ret_peer->address.ipv4.sin_family = AF_INET;
		ret_peer->address.ipv4.sin_port = htons(config->port);
		*ret_len = sizeof(ret_peer->address.ipv4);
		return true;
	}
	ret_peer->address.ipv6.sin6_family = AF_INET6;
	ret_peer->address.ipv6.sin6_port = htons(config->port);
	*ret_len = sizeof(ret_peer->address.ipv6);
	return inet_pton(AF_INET6, text, &ret_peer->address.ipv6.sin6_addr) == 1;
}

/*
 * "::" alone takes IPv4 as well, as the kernel has it by default; beside an IPv4 listener on its port it must not. And
 * there it may be missing, where the machine has no IPv6: configurations list both.
 */
static bool beside_ipv4(const struct http_config *config, const struct http_listener *listener)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct http_listener *other = &config->listeners[i];

		if (other->port == listener->port && str_find_char(other->address, '.') >= 0)
			return true;
	}
	return false;
}

static uint16_t bound_port(int fd)
{
	struct peer bound = { 0 };
	socklen_t len = sizeof(bound.address);

	if (getsockname(fd, &bound.address.any, &len) < 0)
		return 0;
	return ntohs(bound.address.any.sa_family == AF_INET6 ? bound.address.ipv6.sin6_port
							     : bound.address.ipv4.sin_port);
}

static bool open_ip(struct listener *listener, const struct peer *peer, socklen_t len, int ipv6_only)
{
	int yes = 1;

	listener->fd = socket(peer->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return false;
	setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (peer->address.any.sa_family == AF_INET6)
		setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &ipv6_only, sizeof(ipv6_only));
	return bind(listener->fd, &peer->address.any, len) == 0 && listen(listener->fd, BACKLOG) == 0;
}

static bool listen_ip(struct listener *listener, const struct http_config *all, const struct http_listener *config,
		      struct err *err)
{
	bool beside = beside_ipv4(all, config);
	struct peer peer;
	socklen_t len;

	if (!parse_address(config, &peer, &len))
		return cannot_listen(config, "not an IP address", err);
	if (!open_ip(listener, &peer, len, beside)) {
		if (beside && str_eq(config->address, STR("::")) && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
			listener_close(listener);
			return true;
		}
		return cannot_listen(config, strerror(errno), err);
	}
	listener->port = bound_port(listener->fd);
	return true;
}

/* A socket that nobody listens to any more was left by a process that died. Connecting to a plain file is refused,
 * too: that is somebody's. */
static bool is_stale(const struct sockaddr_un *address)
{
	struct stat info;
	bool stale;
	int fd;

	if (lstat(address->sun_path, &info) < 0 || !S_ISSOCK(info.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int bind_unix(int fd, const struct sockaddr_un *address)
{
	int result = bind(fd, (const struct sockaddr *)address, sizeof(*address));

	if (result < 0 && errno == EADDRINUSE && is_stale(address) && unlink(address->sun_path) == 0)
		result = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	return result;
}

static bool listen_unix(struct listener *listener, const struct http_listener *config, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (config->address.len >= sizeof(address.sun_path))
		return cannot_listen(config, "the path is too long", err);
	memcpy(address.sun_path, config->address.ptr, config->address.len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return cannot_listen(config, strerror(errno), err);
	listener->fd = fd;
	if (bind_unix(fd, &address) < 0)
		return cannot_listen(config, strerror(errno), err);
	listener->unix_path = x_strdup(config->address);
	/* Nobody can connect before it listens, so the mode is right from the first moment. */
	if (chmod(listener->unix_path, config->mode) < 0 || listen(fd, BACKLOG) < 0)
		return cannot_listen(config, strerror(errno), err);
	return true;
}

bool listener_open(struct listener *listener, const struct http_config *all, const struct http_listener *config,
		   struct err *err)
{
	listener->tls = config->tls;
	listener->x_forwarded = config->x_forwarded;
	listener->resources = router_resources(listener->http->router, config->resources);
	if (config->request_id_header.len)
		listener->request_id_header = x_strdup(config->request_id_header);
	if (str_starts_with(config->address, STR("/")))
		return listen_unix(listener, config, err);
	return listen_ip(listener, all, config, err);
}

void listener_close(struct listener *listener)
{
	if (listener->fd >= 0)
		close(listener->fd);
	listener->fd = -1;
	if (listener->unix_path)
		unlink(listener->unix_path);
	free(listener->unix_path);
	listener->unix_path = NULL;
}

void listener_free(struct listener *listener)
{
	listener_close(listener);
	free(listener->request_id_header);
}

/* ---- accepting ---- */

const struct peer *connection_peer(struct MHD_Connection *connection)
{
	return (const struct peer *)(const void *)MHD_get_connection_info(connection,
									  MHD_CONNECTION_INFO_CLIENT_ADDRESS)
		->client_addr;
}

static void nudge(struct acceptor *acceptor)
{
	uint64_t one = 1;
	ssize_t written = write(acceptor->wake, &one, sizeof(one));

	(void)written; /* it can only fail when the counter is full: then it wakes anyway */
}

/*
 * The I/O thread with the fewest connections; of the first ones only while they are not crowded: a few busy threads do
 * more for each wake-up than many.
 */
static struct io_thread *choose(struct http *http, bool tls)
{
	struct io_thread *threads = tls ? http->tls_io : http->io, *best = threads;
	size_t wanted = http->connections * 5 / 4 / CONNECTIONS_PER_THREAD + 1;
	size_t count = MIN(http->io_count, MAX(wanted, http->cpus));

	for (size_t i = 1; i < count; i++) {
		if (threads[i].connections < best->connections)
			best = &threads[i];
	}
	return best;
}

static void hand_over(struct listener *listener, int fd, struct peer *peer)
{
	struct http *http = listener->http;
	struct io_thread *io = choose(http, listener->tls);

	peer->listener = listener;
	http->connections++;
	io->connections++;
	if (MHD_add_connection(io->daemon, fd, &peer->address.any, sizeof(*peer)) != MHD_YES) { /* it has closed fd */
		http->connections--;
		io->connections--;
	}
}

void connection_notify(void *cls, struct MHD_Connection *connection UNUSED, void **context UNUSED,
		       enum MHD_ConnectionNotificationCode code)
{
	struct io_thread *io = cls;
	struct http *http = io->http;

	if (code != MHD_CONNECTION_NOTIFY_CLOSED)
		return;
	io->connections--;
	http->connections--;
	if (http->acceptor->full)
		nudge(http->acceptor);
}

static bool at_limit(const struct acceptor *acceptor)
{
	return acceptor->http->connections >= acceptor->http->max_connections;
}

/* false: descriptors or memory have run out. */
static bool accept_some(struct acceptor *acceptor, struct listener *listener)
{
	for (int i = 0; i < ACCEPT_AT_ONCE && !at_limit(acceptor); i++) {
		struct peer peer = { 0 };
		socklen_t len = sizeof(peer.address);
		int fd = accept4(listener->fd, &peer.address.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			hand_over(listener, fd, &peer);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			return false;
		else if (errno == EAGAIN)
			break;
	}
	return true;
}

static void watch(const struct acceptor *acceptor, bool on, int operation)
{
	struct http *http = acceptor->http;

	for (size_t i = 0; i < http->listener_count; i++) {
		struct epoll_event event = { .events = on ? EPOLLIN : 0, .data.ptr = &http->listeners[i] };

		if (http->listeners[i].fd < 0)
			continue;
		if (epoll_ctl(acceptor->epoll, operation, http->listeners[i].fd, &event) < 0)
			abort();
	}
}

/* Until a connection ends, or for a while. What waits is left to the kernel's queue. */
static void rest(struct acceptor *acceptor, int wait_ms)
{
	struct epoll_event event;

	watch(acceptor, false, EPOLL_CTL_MOD);
	epoll_wait(acceptor->epoll, &event, 1, wait_ms);
	watch(acceptor, true, EPOLL_CTL_MOD);
}

static void clear_wake(struct acceptor *acceptor)
{
	uint64_t count;
	ssize_t got = read(acceptor->wake, &count, sizeof(count));

	(void)got;
}

/* Whose connection ends after `full` was set nudges; who was earlier is counted when the limit is looked at again. */
static void wait_for_room(struct acceptor *acceptor)
{
	acceptor->full = true;
	while (at_limit(acceptor) && !acceptor->ending) {
		rest(acceptor, -1);
		clear_wake(acceptor);
	}
	acceptor->full = false;
}

static void *accept_all(void *context)
{
	struct acceptor *acceptor = context;
	struct epoll_event events[16];

	while (!acceptor->ending) {
		int count = epoll_wait(acceptor->epoll, events, ARRAY_LEN(events), -1);

		for (int i = 0; i < count; i++) {
			if (!events[i].data.ptr)
				clear_wake(acceptor);
			else if (!accept_some(acceptor, events[i].data.ptr))
				rest(acceptor, RETRY_MS);
		}
		if (at_limit(acceptor))
			wait_for_room(acceptor);
	}
	return NULL;
}

void acceptor_start(struct http *http)
{
	struct acceptor *acceptor = X_NEW(struct acceptor);
	struct epoll_event event = { .events = EPOLLIN };

	acceptor->http = http;
	acceptor->epoll = epoll_create1(EPOLL_CLOEXEC);
	acceptor->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (acceptor->epoll < 0 || acceptor->wake < 0 ||
	    epoll_ctl(acceptor->epoll, EPOLL_CTL_ADD, acceptor->wake, &event) < 0)
		abort();
	watch(acceptor, true, EPOLL_CTL_ADD);
	http->acceptor = acceptor;
	acceptor->thread = thread_start("accept", accept_all, acceptor);
}

void acceptor_stop(struct acceptor *acceptor)
{
	acceptor->ending = true;
	nudge(acceptor);
	thread_join(acceptor->thread);
}

void acceptor_free(struct acceptor *acceptor)
{
	if (!acceptor)
		return;
	close(acceptor->epoll);
	close(acceptor->wake);
	free(acceptor);
}
