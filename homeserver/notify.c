#include "notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One datagram; nobody to hear it is no error. A path that begins with @ is of the abstract namespace. */
static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (len < 2 || len >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

void notify_ready(void)
{
	notify("READY=1\nSTATUS=Serving\n");
}

void notify_stopping(void)
{
	notify("STOPPING=1\nSTATUS=Answering what is left\n");
}

void notify_reloading(void)
{
	char state[96];

	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n", clock_mono_us());
	notify(state);
}

void notify_watchdog(void)
{
	notify("WATCHDOG=1\n");
}

int64_t notify_watchdog_interval_ms(void)
{
	int64_t us, pid;

	if (getenv("WATCHDOG_PID") && (!str_to_int64(str_of(getenv("WATCHDOG_PID")), &pid) || pid != getpid()))
		return 0;
	if (!str_to_int64(str_of(getenv("WATCHDOG_USEC")), &us) || us <= 0)
		return 0;
	return MAX(us / 2000, 1);
}
