#include "base/str.h"

#include <pthread.h>
#include <sodium.h>
#include <stdarg.h>

struct str str_of(const char *text)
{
	return (struct str){ text, text ? strlen(text) : 0 };
}

bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_eq_ascii_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (lower(a.ptr[i]) != lower(b.ptr[i]))
			return false;
	}
	return true;
}

int str_cmp(struct str a, struct str b)
{
	size_t common = MIN(a.len, b.len);
	int order = common ? memcmp(a.ptr, b.ptr, common) : 0;

	if (order)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}

bool str_starts_with(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq((struct str){ s.ptr, prefix.len }, prefix);
}

bool str_ends_with(struct str s, struct str suffix)
{
	return s.len >= suffix.len && str_eq((struct str){ s.ptr + s.len - suffix.len, suffix.len }, suffix);
}

ptrdiff_t str_find_char(struct str s, char c)
{
	const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;

	return at ? at - s.ptr : -1;
}

ptrdiff_t str_find(struct str s, struct str part)
{
	const char *at;

	if (part.len == 0)
		return 0;
	at = s.len ? memmem(s.ptr, s.len, part.ptr, part.len) : NULL;
	return at ? at - s.ptr : -1;
}

struct str str_from(struct str s, size_t from)
{
	return str_sub(s, from, SIZE_MAX);
}

struct str str_sub(struct str s, size_t from, size_t len)
{
	from = MIN(from, s.len);
	return (struct str){ from ? s.ptr + from : s.ptr, MIN(len, s.len - from) };
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
	while (s.len && is_space(s.ptr[0]))
		s = str_from(s, 1);
	while (s.len && is_space(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

bool str_split(struct str *rest, char separator, struct str *ret_part)
{
	ptrdiff_t at;

	if (!rest->ptr)
		return false;
	at = str_find_char(*rest, separator);
	if (at < 0) {
		*ret_part = *rest;
		*rest = (struct str){ 0 };
	} else {
		*ret_part = str_sub(*rest, 0, (size_t)at);
		*rest = (struct str){ rest->ptr + at + 1, rest->len - (size_t)at - 1 };
	}
	return true;
}

struct str str_dup(struct arena *arena, struct str s)
{
	return (struct str){ str_cstr(arena, s), s.len };
}

char *str_cstr(struct arena *arena, struct str s)
{
	char *copy = arena_alloc(arena, s.len + 1);

	if (s.len)
		memcpy(copy, s.ptr, s.len);
	return copy;
}

struct str str_printf(struct arena *arena, const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	assert(len >= 0);
	text = arena_alloc(arena, (size_t)len + 1);
	va_start(args, fmt);
	vsnprintf(text, (size_t)len + 1, fmt, args);
	va_end(args);
	return (struct str){ text, (size_t)len };
}

struct str str_concat(struct arena *arena, struct str a, struct str b)
{
	char *both = arena_alloc(arena, a.len + b.len + 1);

	if (a.len)
		memcpy(both, a.ptr, a.len);
	if (b.len)
		memcpy(both + a.len, b.ptr, b.len);
	return (struct str){ both, a.len + b.len };
}

struct str str_lower_ascii(struct arena *arena, struct str s)
{
	char *copy = str_cstr(arena, s);

	for (size_t i = 0; i < s.len; i++)
		copy[i] = lower(copy[i]);
	return (struct str){ copy, s.len };
}

char *x_strdup(struct str s)
{
	char *copy = x_malloc(s.len + 1);

	if (s.len)
		memcpy(copy, s.ptr, s.len);
	copy[s.len] = 0;
	return copy;
}

bool str_to_int64(struct str s, int64_t *ret_value)
{
	bool negative = s.len && s.ptr[0] == '-';
	size_t i = negative;
	int64_t value = 0;

	if (i == s.len)
		return false;
	for (; i < s.len; i++) {
		int digit = s.ptr[i] - '0';

		if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_sub_overflow(value, digit, &value)) /* downwards, so that INT64_MIN is reached */
			return false;
	}
	if (!negative && __builtin_sub_overflow(0, value, &value))
		return false;
	*ret_value = value;
	return true;
}

static uint8_t hash_key[crypto_shorthash_KEYBYTES];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void make_hash_key(void)
{
	if (sodium_init() < 0)
		abort();
	randombytes_buf(hash_key, sizeof(hash_key));
}

uint64_t str_hash(struct str s)
{
	uint64_t hash;

	pthread_once(&hash_key_once, make_hash_key);
	crypto_shorthash((uint8_t *)&hash, (const uint8_t *)(s.ptr ? s.ptr : ""), s.len, hash_key);
	return hash;
}

struct str hex_encode(struct arena *arena, const void *bytes, size_t len)
{
	char *hex = arena_alloc(arena, len * 2 + 1);

	sodium_bin2hex(hex, len * 2 + 1, bytes, len);
	return (struct str){ hex, len * 2 };
}

struct str random_string(struct arena *arena, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	const size_t letters = sizeof(alphabet) - 1, even = 256 / letters * letters;
	char *text = arena_alloc(arena, len + 1);
	uint8_t bytes[32];
	size_t count = 0, at = sizeof(bytes);

	pthread_once(&hash_key_once, make_hash_key); /* libsodium is ready after it */
	while (count < len) {
		if (at == sizeof(bytes)) { /* each call is one of the system */
			randombytes_buf(bytes, sizeof(bytes));
			at = 0;
		}
		if (bytes[at] < even)
			text[count++] = alphabet[bytes[at] % letters];
		at++;
	}
	return (struct str){ text, len };
}
