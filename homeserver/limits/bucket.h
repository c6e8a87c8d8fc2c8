/* A leaky bucket as one number: the moment at which it has run empty. Pure. Microseconds. */
#pragma once

#include "base/base.h"
#include "config/config.h"

#define BUCKET_SLOWEST 1e-9 /* drops a second: a rate of 0 does not divide by it */

/* The rate's share of one of `processes`: never less than one drop. */
struct config_rate bucket_share(struct config_rate rate, size_t processes);
/* Whether one more drop fits at `now`. true: *ret_empty_us is the new moment. false: *ret_wait_us is how long until one
 * fits. */
bool bucket_take(struct config_rate rate, int64_t empty_us, int64_t now_us, int64_t *ret_empty_us,
		 int64_t *ret_wait_us);
