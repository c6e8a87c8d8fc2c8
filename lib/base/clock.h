/* Two clocks, both in milliseconds: the wall's (Unix time, for timestamps) and the monotonic one (for deadlines and durations). */
#pragma once

#include "base/attributes.h"

int64_t clock_wall_ms(void);
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
