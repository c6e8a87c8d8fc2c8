/* Times that were measured, in microseconds, kept one by one so that percentiles are exact. */
#ifndef HEARTH_LOAD_SAMPLES_H
#define HEARTH_LOAD_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct samples {
	uint32_t *us;
	size_t count, room;
};

void samples_add(struct samples *samples, uint64_t us);
void samples_sort(struct samples *samples);
double samples_ms(const struct samples *samples,
		  double share); /* share 0.5 is the median; sorted before. 0 if there is none */
void samples_done(struct samples *samples);

#endif
