/* What systemd is told (sd_notify(3), its protocol over $NOTIFY_SOCKET). Without a service manager that asks, nothing
 * happens. */
#pragma once

#include "base/base.h"

void notify_ready(void);
void notify_stopping(void);
void notify_reloading(void); /* until notify_ready */
void notify_watchdog(void);
/* How often notify_watchdog is expected, halved for safety; 0: not at all. */
int64_t notify_watchdog_interval_ms(void);
