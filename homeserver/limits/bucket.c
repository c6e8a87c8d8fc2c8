#include "limits/bucket.h"

struct config_rate bucket_share(struct config_rate rate, size_t processes)
{
	double parts = processes > 1 ? (double)processes : 1;

	return (struct config_rate){ .per_second = rate.per_second / parts,
				     .burst_count = MAX(rate.burst_count / parts, 1) };
}

bool bucket_take(struct config_rate rate, int64_t empty_us, int64_t now_us, int64_t *ret_empty_us, int64_t *ret_wait_us)
{
	double drop_us = 1e6 / MAX(rate.per_second, BUCKET_SLOWEST);
	double filled_us = empty_us > now_us ? (double)(empty_us - now_us) : 0;
	double over_us = filled_us + drop_us - drop_us * rate.burst_count;

	/* Half a microsecond: what rounding may have added. */
	if (over_us > 0.5) {
		*ret_wait_us = (int64_t)over_us + 1;
		return false;
	}
	*ret_empty_us = now_us + (int64_t)(filled_us + drop_us);
	return true;
}
