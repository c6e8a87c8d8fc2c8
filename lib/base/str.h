/*
 * Strings are views: a pointer and a length, passed by value, not NUL-terminated, owned elsewhere (a literal, an arena, a buffer).
 * The empty string has length 0 and any pointer, also NULL.
 */
#pragma once

#include "base/arena.h"

struct str {
	const char *ptr;
	size_t len;
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
#define STR_INIT(literal) { "" literal, sizeof(literal) - 1 }
/* For printf: `"%.*s", STR_ARG(s)`. */
#define STR_ARG(s) (int)(s).len, (s).ptr ? (s).ptr : ""

struct str str_of(const char *text); /* of a NUL-terminated text; NULL is empty */
bool str_eq(struct str a, struct str b);
bool str_eq_ascii_nocase(struct str a, struct str b);
int str_cmp(struct str a, struct str b); /* by bytes, which for UTF-8 is by code points */
bool str_starts_with(struct str s, struct str prefix);
bool str_ends_with(struct str s, struct str suffix);
/* The place of the first `c` or `part`, or -1. */
ptrdiff_t str_find_char(struct str s, char c);
ptrdiff_t str_find(struct str s, struct str part);
/* From `from` to the end, and `len` bytes from `from`; both cut at the end of s. */
struct str str_from(struct str s, size_t from);
struct str str_sub(struct str s, size_t from, size_t len);
struct str str_trim(struct str s); /* without ASCII white space at both ends */
/* Takes what stands before `separator` off *rest. false: *rest was used up. `a,b,` has three parts. A NULL pointer ends it. */
bool str_split(struct str *rest, char separator, struct str *ret_part);

struct str str_dup(struct arena *arena, struct str s);
char *str_cstr(struct arena *arena, struct str s); /* with a NUL at the end; s must have none inside */
struct str str_printf(struct arena *arena, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct str str_concat(struct arena *arena, struct str a, struct str b);
struct str str_lower_ascii(struct arena *arena, struct str s);
char *x_strdup(struct str s); /* heap; free() it */

/* A decimal integer, an optional minus, no sign else, no leading zeros needed, nothing around it. false: not one, or out of range. */
bool str_to_int64(struct str s, int64_t *ret_value);

/* Hashes for tables in memory: keyed at random for each process, so that nobody outside can make keys collide. */
uint64_t str_hash(struct str s);

struct str hex_encode(struct arena *arena, const void *bytes, size_t len);
/* A random string of `len` of A-Z a-z 0-9: unguessable from 22 on. */
struct str random_string(struct arena *arena, size_t len);
