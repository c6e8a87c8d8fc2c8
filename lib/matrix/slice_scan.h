/* What the checking and the reading of JSON text share. */
#pragma once

#include "matrix/slice.h"

static inline const char *skip_space(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
		at++;
	return at;
}

/*
 * The first quote, backslash or control character from `at` on. Eight bytes at once: a byte below n makes the high bit
 * of (x - n) & ~x at its place, and the lowest such bit is exact (bits above it may be false alarms, which only matters
 * to what comes later).
 */
static inline const char *run_end(const char *at, const char *end, uint64_t *seen)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;

	while ((size_t)(end - at) >= sizeof(uint64_t)) {
		uint64_t word, quote, backslash, stop;

		memcpy(&word, at, sizeof(word));
		quote = word ^ ones * '"';
		backslash = word ^ ones * '\\';
		stop = ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((word - ones * 0x20) & ~word);
		if (stop & high)
			break;
		*seen |= word;
		at += sizeof(word);
	}
	for (; at < end && *at != '"' && *at != '\\' && (uint8_t)*at >= 0x20; at++)
		*seen |= (uint8_t)*at;
	return at;
}

/* Takes an escape off the front of *at, which stands on its backslash. false: not one, or half a surrogate pair. */
bool slice_read_escape(const char **at, const char *end, uint32_t *ret_code_point);
/* Takes a code point off the front of a string's inside that has been checked. */
void slice_next_code_point(struct str *rest, uint32_t *ret_code_point);
