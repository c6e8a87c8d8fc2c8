#include "base/buf.h"

#include <stdarg.h>

struct buf buf_init(size_t max)
{
	return (struct buf){ .max = max };
}

void buf_done(struct buf *buf)
{
	free(buf->ptr);
	*buf = (struct buf){ 0 };
}

/* Room for `len` more bytes and a NUL, or overflow. */
static bool reserve(struct buf *buf, size_t len)
{
	if (buf->overflow || len > buf->max - buf->len) {
		buf->overflow = true;
		return false;
	}
	if (buf->cap - buf->len <= len) {
		size_t cap = MAX(buf->len + len + 1, MAX((size_t)64, buf->cap * 2));

		buf->ptr = x_realloc(buf->ptr, cap);
		buf->cap = cap;
	}
	return true;
}

void buf_append(struct buf *buf, struct str s)
{
	if (s.len == 0 || !reserve(buf, s.len))
		return;
	memcpy(buf->ptr + buf->len, s.ptr, s.len);
	buf->len += s.len;
}

void buf_char(struct buf *buf, char c)
{
	if (reserve(buf, 1))
		buf->ptr[buf->len++] = c;
}

void buf_int(struct buf *buf, int64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);
	uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;

	do
		digits[--at] = (char)('0' + rest % 10);
	while (rest /= 10);
	if (value < 0)
		digits[--at] = '-';
	buf_append(buf, (struct str){ digits + at, sizeof(digits) - at });
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	assert(len >= 0);
	if (!reserve(buf, (size_t)len))
		return;
	va_start(args, fmt);
	vsnprintf(buf->ptr + buf->len, (size_t)len + 1, fmt, args);
	va_end(args);
	buf->len += (size_t)len;
}

void buf_clear(struct buf *buf)
{
	buf->len = 0;
	buf->overflow = false;
}

bool buf_ok(const struct buf *buf)
{
	return !buf->overflow;
}

struct str buf_str(const struct buf *buf)
{
	return (struct str){ buf->ptr, buf->len };
}

char *buf_take(struct buf *buf, size_t *ret_len)
{
	char *bytes = buf->ptr ? buf->ptr : x_malloc(1);

	bytes[buf->len] = 0;
	if (ret_len)
		*ret_len = buf->len;
	*buf = buf_init(buf->max);
	return bytes;
}
