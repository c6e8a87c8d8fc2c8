/*
 * What systemd is told (sd_notify(3), its protocol over $NOTIFY_SOCKET). Without a service manager that asks, nothing
 * happens.
 */
#pragma once

#include "base/base.h"

struct notify {
	char path[108];               /* of the socket; empty: nobody asks */
	int64_t watchdog_interval_ms; /* how often notify_watchdog is due, halved for safety; 0: not at all */
};

/*
 * Takes what the service manager wants out of the environment, so that no child (PostgreSQL knows the protocol, too)
 * speaks for us. Before other threads.
 */
struct notify notify_open(void);
void notify_ready(const struct notify *notify);
void notify_stopping(const struct notify *notify);
void notify_reloading(const struct notify *notify); /* until notify_ready */
void notify_watchdog(const struct notify *notify);
