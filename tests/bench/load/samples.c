#include "samples.h"

#include <stdlib.h>

void samples_add(struct samples *samples, uint64_t us)
{
	if (samples->count == samples->room) {
		samples->room = samples->room ? samples->room * 2 : 1024;
		samples->us = realloc(samples->us, samples->room * sizeof(*samples->us));
		if (!samples->us)
			abort();
	}
	samples->us[samples->count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

void samples_sort(struct samples *samples)
{
	if (samples->count)
		qsort(samples->us, samples->count, sizeof(*samples->us), compare);
}

double samples_ms(const struct samples *samples, double share)
{
	size_t at = (size_t)(share * (double)samples->count);

	if (samples->count == 0)
		return 0;
	return samples->us[at < samples->count ? at : samples->count - 1] / 1000.0;
}

void samples_done(struct samples *samples)
{
	free(samples->us);
	*samples = (struct samples){ 0 };
}
