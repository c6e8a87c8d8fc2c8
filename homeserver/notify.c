#include "notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static_assert(sizeof(((struct notify *)0)->path) == sizeof(((struct sockaddr_un *)0)->sun_path), "any socket's path");

static int64_t watchdog_interval_ms(void)
{
	const char *pid = getenv("WATCHDOG_PID");
	int64_t us, wanted;

	if (pid && (!str_to_int64(str_of(pid), &wanted) || wanted != getpid()))
		return 0;
	if (!str_to_int64(str_of(getenv("WATCHDOG_USEC")), &us) || us <= 0)
		return 0;
	return MAX(us / 2000, 1);
}

struct notify notify_open(void)
{
	struct notify notify = { .watchdog_interval_ms = watchdog_interval_ms() };
	struct str path = str_of(getenv("NOTIFY_SOCKET"));

	if (path.len > 1 && path.len < sizeof(notify.path) && (path.ptr[0] == '/' || path.ptr[0] == '@'))
		memcpy(notify.path, path.ptr, path.len);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	return notify;
}

/*
 * One datagram; nobody to hear it is no error. A manager that has fallen behind is waited for, but not for ever. A path
 * that begins with @ is of the abstract namespace.
 */
static void tell(const struct notify *notify, const char *state, int flags)
{
	static const struct timeval patience = { .tv_sec = 2 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(notify->path);
	int fd;

	if (len == 0)
		return;
	memcpy(address.sun_path, notify->path, len);
	if (address.sun_path[0] == '@')
		address.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	sendto(fd, state, strlen(state), MSG_NOSIGNAL | flags, (const struct sockaddr *)&address,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

void notify_ready(const struct notify *notify)
{
	tell(notify, "READY=1\nSTATUS=Serving\n", 0);
}

void notify_stopping(const struct notify *notify)
{
	tell(notify, "STOPPING=1\nSTATUS=Answering what is left\n", 0);
}

void notify_reloading(const struct notify *notify)
{
	char state[96];

	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n", clock_mono_us());
	tell(notify, state, 0);
}

void notify_watchdog(const struct notify *notify)
{
	tell(notify, "WATCHDOG=1\n", MSG_DONTWAIT);
}
