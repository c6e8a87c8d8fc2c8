#include "matrix/slice.h"

#include "base/utf8.h"

#define MAX_SAFE_INTEGER ((INT64_C(1) << 53) - 1)
#define FIRST_KEYS       64

/* A key or string without its quotes, as it stands in the text. */
struct raw {
	struct str text;
	bool escaped; /* it has backslashes */
};

struct checker {
	const char *at, *end;
	unsigned depth;
	const char *fault;
	struct raw *keys; /* of all objects that are open here, the outermost first */
	size_t key_count, key_cap;
	struct raw first_keys[FIRST_KEYS];
};

static bool check_value(struct checker *c);

static bool fault(struct checker *c, const char *what)
{
	c->fault = what;
	return false;
}

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

static bool hex4(const char *at, const char *end, uint32_t *ret_value)
{
	uint32_t value = 0;

	if (end - at < 4)
		return false;
	for (size_t i = 0; i < 4; i++) {
		char c = at[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0)
			return false;
		value = value << 4 | (uint32_t)digit;
	}
	*ret_value = value;
	return true;
}

/* Takes an escape off the front of *at, which stands on its backslash. false: no such escape, or half a surrogate pair.
 */
static bool read_escape(const char **at, const char *end, uint32_t *ret_code_point)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *p = *at + 1, *name;
	uint32_t high, low;

	if (p == end)
		return false;
	if (*p != 'u') {
		name = memchr(names, *p, sizeof(names) - 1);
		if (!name)
			return false;
		*ret_code_point = (uint8_t)values[name - names];
		*at = p + 1;
		return true;
	}
	if (!hex4(p + 1, end, &high) || (high >= 0xdc00 && high < 0xe000))
		return false;
	p += 5;
	if (high >= 0xd800 && high < 0xdc00) {
		if (end - p < 6 || p[0] != '\\' || p[1] != 'u' || !hex4(p + 2, end, &low) || low < 0xdc00 ||
		    low >= 0xe000)
			return false;
		high = 0x10000 + ((high - 0xd800) << 10 | (low - 0xdc00));
		p += 6;
	}
	*ret_code_point = high;
	*at = p;
	return true;
}

static bool check_string(struct checker *c, struct raw *ret_raw)
{
	const char *start = ++c->at;
	uint64_t seen = 0;
	uint32_t code_point;
	bool escaped = false;

	for (;;) {
		c->at = run_end(c->at, c->end, &seen);
		if (c->at == c->end)
			return fault(c, "a string without an end");
		if (*c->at == '"')
			break;
		if (*c->at != '\\')
			return fault(c, "a control character in a string");
		if (!read_escape(&c->at, c->end, &code_point))
			return fault(c, "a bad escape in a string");
		escaped = true;
	}
	*ret_raw = (struct raw){ { start, (size_t)(c->at - start) }, escaped };
	c->at++;
	return !(seen & 0x8080808080808080u) || utf8_valid(ret_raw->text) || fault(c, "a string that is not UTF-8");
}

static bool take_digits(struct checker *c)
{
	const char *start = c->at;

	while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
		c->at++;
	return c->at > start;
}

static bool take(struct checker *c, char wanted)
{
	if (c->at == c->end || *c->at != wanted)
		return false;
	c->at++;
	return true;
}

static bool check_number(struct checker *c)
{
	take(c, '-');
	if (!take(c, '0') && !take_digits(c))
		return fault(c, "a bad number");
	if (take(c, '.') && !take_digits(c))
		return fault(c, "a bad number");
	if (take(c, 'e') || take(c, 'E')) {
		if (!take(c, '+'))
			take(c, '-');
		if (!take_digits(c))
			return fault(c, "a bad number");
	}
	return true;
}

static bool check_word(struct checker *c, struct str word)
{
	if (!str_starts_with((struct str){ c->at, (size_t)(c->end - c->at) }, word))
		return fault(c, "an unknown word");
	c->at += word.len;
	return true;
}

static void next_code_point(struct str *rest, uint32_t *ret_code_point)
{
	const char *at = rest->ptr;

	if (*at != '\\') {
		utf8_next(rest, ret_code_point);
		return;
	}
	read_escape(&at, rest->ptr + rest->len, ret_code_point);
	*rest = str_from(*rest, (size_t)(at - rest->ptr));
}

static int raw_cmp(const void *left, const void *right)
{
	const struct raw *a = left, *b = right;
	struct str s = a->text, t = b->text;

	if (!a->escaped && !b->escaped)
		return str_cmp(s, t);
	while (s.len && t.len) {
		uint32_t x, y;

		next_code_point(&s, &x);
		next_code_point(&t, &y);
		if (x != y)
			return x < y ? -1 : 1;
	}
	return (s.len > 0) - (t.len > 0);
}

/* Sorted, equal keys are neighbours: n log n, whatever a stranger thinks of. Leaves the keys in another order. */
static bool has_duplicates(struct raw *keys, size_t count)
{
	qsort(keys, count, sizeof(*keys), raw_cmp);
	for (size_t i = 1; i < count; i++) {
		if (raw_cmp(&keys[i - 1], &keys[i]) == 0)
			return true;
	}
	return false;
}

static void push_key(struct checker *c, struct raw key)
{
	if (c->key_count == c->key_cap) {
		struct raw *old = c->keys == c->first_keys ? NULL : c->keys;

		c->key_cap *= 2;
		c->keys = x_realloc(old, c->key_cap * sizeof(*c->keys));
		if (!old)
			memcpy(c->keys, c->first_keys, sizeof(c->first_keys));
	}
	c->keys[c->key_count++] = key;
}

static bool check_member(struct checker *c)
{
	struct raw key;

	c->at = skip_space(c->at, c->end);
	if (c->at == c->end || *c->at != '"')
		return fault(c, "an object's key is missing");
	if (!check_string(c, &key))
		return false;
	push_key(c, key);
	c->at = skip_space(c->at, c->end);
	if (!take(c, ':'))
		return fault(c, "a colon is missing");
	return check_value(c);
}

static bool check_object(struct checker *c)
{
	size_t first = c->key_count;
	bool ascending = true; /* as canonical JSON is: then no key can be there twice */

	c->at = skip_space(c->at + 1, c->end);
	if (take(c, '}'))
		return true;
	do {
		if (!check_member(c))
			return false;
		if (c->key_count > first + 1 && raw_cmp(&c->keys[c->key_count - 2], &c->keys[c->key_count - 1]) >= 0)
			ascending = false;
		c->at = skip_space(c->at, c->end);
	} while (take(c, ','));
	if (!take(c, '}'))
		return fault(c, "an object without an end");
	if (!ascending && has_duplicates(c->keys + first, c->key_count - first))
		return fault(c, "a key twice in one object");
	c->key_count = first;
	return true;
}

static bool check_array(struct checker *c)
{
	c->at = skip_space(c->at + 1, c->end);
	if (take(c, ']'))
		return true;
	do {
		if (!check_value(c))
			return false;
		c->at = skip_space(c->at, c->end);
	} while (take(c, ','));
	return take(c, ']') || fault(c, "an array without an end");
}

static bool check_nested(struct checker *c, bool (*check)(struct checker *c))
{
	bool ok;

	if (c->depth == SLICE_MAX_DEPTH)
		return fault(c, "too many levels");
	c->depth++;
	ok = check(c);
	c->depth--;
	return ok;
}

static bool check_value(struct checker *c)
{
	struct raw string;

	c->at = skip_space(c->at, c->end);
	if (c->at == c->end)
		return fault(c, "a value is missing");
	switch (*c->at) {
	case '{':
		return check_nested(c, check_object);
	case '[':
		return check_nested(c, check_array);
	case '"':
		return check_string(c, &string);
	case 't':
		return check_word(c, STR("true"));
	case 'f':
		return check_word(c, STR("false"));
	case 'n':
		return check_word(c, STR("null"));
	default:
		return check_number(c);
	}
}

bool slice_parse(struct str text, struct str *ret_value, struct err *err)
{
	const char *start = text.len ? text.ptr : "", *value, *value_end = NULL;
	struct checker c = { .at = start, .end = start + text.len, .key_cap = FIRST_KEYS };

	c.keys = c.first_keys;
	value = skip_space(start, c.end);
	if (check_value(&c)) {
		value_end = c.at;
		c.at = skip_space(c.at, c.end);
		if (c.at < c.end)
			fault(&c, "something after the value");
	}
	if (c.keys != c.first_keys)
		free(c.keys);
	if (c.fault)
		return err_set(err, M_NOT_JSON, "Not JSON: %s, at byte %td", c.fault, c.at - start);
	*ret_value = (struct str){ value, (size_t)(value_end - value) };
	return true;
}

enum slice_type slice_type(struct str value)
{
	assert(value.len);
	switch (value.ptr[0]) {
	case '{':
		return SLICE_OBJECT;
	case '[':
		return SLICE_ARRAY;
	case '"':
		return SLICE_STRING;
	case 't':
	case 'f':
		return SLICE_BOOL;
	case 'n':
		return SLICE_NULL;
	default:
		return SLICE_NUMBER;
	}
}

/* From here on all bytes are known to be JSON. */

static const char *skip_string(const char *at, const char *end)
{
	uint64_t seen = 0;

	for (at++;; at += 2) {
		at = run_end(at, end, &seen);
		assert(at < end);
		if (*at == '"')
			return at + 1;
	}
}

static const char *skip_nested(const char *at, const char *end)
{
	size_t depth = 0;

	do {
		assert(at < end);
		switch (*at) {
		case '"':
			at = skip_string(at, end);
			continue;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			depth--;
			break;
		default:
			break;
		}
		at++;
	} while (depth);
	return at;
}

static const char *skip_value(const char *at, const char *end)
{
	if (*at == '"')
		return skip_string(at, end);
	if (*at == '{' || *at == '[')
		return skip_nested(at, end);
	while (at < end && *at != ',' && *at != ']' && *at != '}' && *at != ' ' && *at != '\n' && *at != '\r' &&
	       *at != '\t')
		at++;
	return at;
}

struct slice_iter slice_iter(struct str value)
{
	enum slice_type type = slice_type(value);

	if (type != SLICE_OBJECT && type != SLICE_ARRAY)
		return (struct slice_iter){ 0 };
	return (struct slice_iter){ { value.ptr + 1, value.len - 2 }, type == SLICE_OBJECT };
}

/* What stands at *at, up to its end; *at goes to what follows it and the white space. */
static struct str take_slice(const char **at, const char *end)
{
	const char *start = *at, *stop = skip_value(start, end);

	*at = skip_space(stop, end);
	return (struct str){ start, (size_t)(stop - start) };
}

static const char *next_start(const char *at, const char *end)
{
	at = skip_space(at, end);
	return at < end && *at == ',' ? skip_space(at + 1, end) : at;
}

bool slice_member(struct slice_iter *iter, struct str *ret_key, struct str *ret_value)
{
	const char *end = iter->rest.ptr + iter->rest.len, *at;

	if (!iter->object || iter->rest.len == 0)
		return false;
	at = next_start(iter->rest.ptr, end);
	if (at == end)
		return false;
	*ret_key = take_slice(&at, end);
	assert(at < end && *at == ':');
	at = skip_space(at + 1, end);
	*ret_value = take_slice(&at, end);
	iter->rest = (struct str){ at, (size_t)(end - at) };
	return true;
}

bool slice_item(struct slice_iter *iter, struct str *ret_value)
{
	const char *end = iter->rest.ptr + iter->rest.len, *at;

	if (iter->object || iter->rest.len == 0)
		return false;
	at = next_start(iter->rest.ptr, end);
	if (at == end)
		return false;
	*ret_value = take_slice(&at, end);
	iter->rest = (struct str){ at, (size_t)(end - at) };
	return true;
}

bool slice_token(struct str *rest, struct str *ret_token)
{
	const char *at = rest->ptr, *end = at + rest->len, *stop;

	while (at < end && (*at == ',' || *at == ':' || *at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
		at++;
	if (at == end)
		return false;
	stop = strchr("{}[]", *at) ? at + 1 : skip_value(at, end);
	*ret_token = (struct str){ at, (size_t)(stop - at) };
	*rest = (struct str){ stop, (size_t)(end - stop) };
	return true;
}

static struct str inside(struct str string)
{
	return (struct str){ string.ptr + 1, string.len - 2 };
}

bool slice_string_eq(struct str value, struct str text)
{
	struct str raw;

	if (slice_type(value) != SLICE_STRING)
		return false;
	raw = inside(value);
	if (str_find_char(raw, '\\') < 0)
		return str_eq(raw, text);
	while (raw.len) {
		char bytes[4];
		uint32_t code_point;
		size_t len;

		next_code_point(&raw, &code_point);
		len = utf8_encode(code_point, bytes);
		if (!str_starts_with(text, (struct str){ bytes, len }))
			return false;
		text = str_from(text, len);
	}
	return text.len == 0;
}

bool slice_string(struct str value, struct arena *arena, struct str *ret_text)
{
	struct str raw;
	char *text, *end;

	if (slice_type(value) != SLICE_STRING)
		return false;
	raw = inside(value);
	if (str_find_char(raw, '\\') < 0) {
		*ret_text = raw;
		return true;
	}
	end = text = arena_alloc(arena, raw.len);
	while (raw.len) {
		ptrdiff_t run = str_find_char(raw, '\\');
		uint32_t code_point;

		if (run) {
			size_t len = run < 0 ? raw.len : (size_t)run;

			memcpy(end, raw.ptr, len);
			end += len;
			raw = str_from(raw, len);
			continue;
		}
		next_code_point(&raw, &code_point);
		end += utf8_encode(code_point, end);
	}
	*ret_text = (struct str){ text, (size_t)(end - text) };
	return true;
}

bool slice_get(struct str object, struct str key, struct str *ret_value)
{
	struct slice_iter iter = slice_iter(object);
	struct str name, value;

	while (slice_member(&iter, &name, &value)) {
		if (slice_string_eq(name, key)) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

bool slice_path_n(struct str object, const struct str *keys, size_t count, struct str *ret_value)
{
	for (size_t i = 0; i < count; i++) {
		if (!slice_get(object, keys[i], &object))
			return false;
	}
	*ret_value = object;
	return true;
}

bool slice_get_string(struct str object, struct str key, struct arena *arena, struct str *ret_text)
{
	struct str value;

	return slice_get(object, key, &value) && slice_string(value, arena, ret_text);
}

bool slice_int(struct str value, int64_t *ret_value)
{
	int64_t number;

	if (slice_type(value) != SLICE_NUMBER || !str_to_int64(value, &number) || number > MAX_SAFE_INTEGER ||
	    number < -MAX_SAFE_INTEGER)
		return false;
	*ret_value = number;
	return true;
}

bool slice_get_int(struct str object, struct str key, int64_t *ret_value)
{
	struct str value;

	return slice_get(object, key, &value) && slice_int(value, ret_value);
}

bool slice_bool(struct str value, bool *ret_value)
{
	if (slice_type(value) != SLICE_BOOL)
		return false;
	*ret_value = value.ptr[0] == 't';
	return true;
}

bool slice_get_bool(struct str object, struct str key, bool *ret_value)
{
	struct str value;

	return slice_get(object, key, &value) && slice_bool(value, ret_value);
}

/* The character after the backslash for those that have a short form, 0 for other control characters. */
static char escape_name(char c)
{
	switch (c) {
	case '\b':
		return 'b';
	case '\t':
		return 't';
	case '\n':
		return 'n';
	case '\f':
		return 'f';
	case '\r':
		return 'r';
	case '"':
	case '\\':
		return c;
	default:
		return 0;
	}
}

void slice_write_string(struct buf *buf, struct str text)
{
	const char *at = text.len ? text.ptr : "", *end = at + text.len;
	uint64_t seen = 0;

	buf_char(buf, '"');
	for (;;) {
		const char *stop = run_end(at, end, &seen);

		buf_append(buf, (struct str){ at, (size_t)(stop - at) });
		if (stop == end)
			break;
		buf_char(buf, '\\');
		if (escape_name(*stop)) {
			buf_char(buf, escape_name(*stop));
		} else {
			BUF_LIT(buf, "u00");
			buf_char(buf, "0123456789abcdef"[*stop >> 4]);
			buf_char(buf, "0123456789abcdef"[*stop & 15]);
		}
		at = stop + 1;
	}
	buf_char(buf, '"');
}
