/*
 * A buffer on the heap that grows up to the maximum given at its birth. What goes beyond it is dropped and remembered: writers need
 * not check each step, `buf_ok` tells at the end. It is a plain value: init it, done it.
 */
#pragma once

#include "base/str.h"

struct buf {
	char *ptr;
	size_t len, cap, max;
	bool overflow;
};

struct buf buf_init(size_t max);
void buf_done(struct buf *buf);
static inline UNUSED void buf_done_cleanup(struct buf *buf)
{
	buf_done(buf);
}

void buf_append(struct buf *buf, struct str s);
void buf_char(struct buf *buf, char c);
void buf_int(struct buf *buf, int64_t value);
void buf_printf(struct buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define BUF_LIT(buf, literal) buf_append((buf), STR(literal))
void buf_clear(struct buf *buf); /* empty, no overflow, the memory kept */
bool buf_ok(const struct buf *buf);
struct str buf_str(const struct buf *buf); /* a view, until the next write */
/* The bytes for free(), NUL-terminated; the buffer is empty afterwards. */
char *buf_take(struct buf *buf, size_t *ret_len);
