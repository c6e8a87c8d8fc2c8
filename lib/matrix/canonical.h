/*
 * Canonical JSON (appendices, "Canonical JSON"): one spelling for each value, so that hashes and signatures agree. Keys
 * are sorted by code point, nothing is escaped that need not be, no white space. What numbers may be differs by use.
 */
#pragma once

#include "matrix/slice.h"

enum canonical_numbers {
	CANONICAL_INTEGERS, /* written as integers, within ±(2^53−1): events since room version 6 */
	CANONICAL_VALUES,   /* any spelling of such an integer: 1e10 becomes 10000000000 */
	CANONICAL_ANY,      /* all numbers, spelt as they are: events up to room version 5, and what carries them */
};

/* With CANONICAL_VALUES, INTEGERS and ANY. M_NOT_JSON; M_BAD_JSON: a number that has no canonical form. */
bool canonical_json(struct str text, struct arena *arena, struct str *ret_canonical, struct err *err);
bool canonical_json_strict(struct str text, struct arena *arena, struct str *ret_canonical, struct err *err);
bool canonical_json_loose(struct str text, struct arena *arena, struct str *ret_canonical, struct err *err);

/* For a value that slice_parse has accepted. Members of the outermost object named in `without` are left out unread. */
bool canonical_value(struct str value, enum canonical_numbers numbers, const struct str *without, size_t without_count,
		     struct arena *arena, struct str *ret_canonical, struct err *err);

/* A canonical object without some of its members, and with one set or replaced; `value` is canonical too. */
struct str canonical_without(struct str object, const struct str *keys, size_t count, struct arena *arena);
struct str canonical_set(struct str object, struct str key, struct str value, struct arena *arena);

/* Puts an object together: `{` first, then members in order (the key as it is written, with its quotes), `}` last. */
static inline UNUSED void canonical_member(struct buf *buf, struct str key_slice, struct str value)
{
	if (buf->len && buf->ptr[buf->len - 1] != '{')
		buf_char(buf, ',');
	buf_append(buf, key_slice);
	buf_char(buf, ':');
	buf_append(buf, value);
}
