/* Compiler attributes, cleanup by scope, and two macros that every file wants. */
#pragma once

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE               __attribute__((warn_unused_result))
#define UNUSED                 __attribute__((unused))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define RETURNS_NONNULL        __attribute__((returns_nonnull))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)    ((a) < (b) ? (a) : (b))
#define MAX(a, b)    ((a) > (b) ? (a) : (b))

/* `CLEANUP(thing_free) struct thing *t = NULL;` frees at the end of the scope; `TAKE(t)` hands t on and leaves NULL. */
#define CLEANUP(fn) __attribute__((cleanup(fn##_cleanup)))
#define DEFINE_CLEANUP(type, fn)                                                                                       \
	static inline UNUSED void fn##_cleanup(type *p)                                                                \
	{                                                                                                              \
		if (*p)                                                                                                \
			fn(*p);                                                                                        \
	}
#define TAKE(p)                                                                                                        \
	({                                                                                                             \
		__typeof__(p) taken_ = (p);                                                                            \
		(p) = NULL;                                                                                            \
		taken_;                                                                                                \
	})
