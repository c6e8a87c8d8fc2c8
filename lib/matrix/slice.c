/* Reading slices: all bytes are known to be JSON here. */
#include "base/utf8.h"
#include "matrix/slice_scan.h"

#define MAX_SAFE_INTEGER ((INT64_C(1) << 53) - 1)

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
	const char *end, *at;

	if (!iter->object || iter->rest.len == 0)
		return false;
	end = iter->rest.ptr + iter->rest.len;
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
	const char *end, *at;

	if (iter->object || iter->rest.len == 0)
		return false;
	end = iter->rest.ptr + iter->rest.len;
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

		slice_next_code_point(&raw, &code_point);
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
		slice_next_code_point(&raw, &code_point);
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

void slice_get_many(struct str object, const struct str *keys, size_t count, struct str *ret_values)
{
	struct slice_iter iter = slice_iter(object);
	struct str name, value;

	for (size_t i = 0; i < count; i++)
		ret_values[i] = STR("");
	while (slice_member(&iter, &name, &value)) {
		for (size_t i = 0; i < count; i++) {
			if (!slice_string_eq(name, keys[i]))
				continue;
			ret_values[i] = value;
			break;
		}
	}
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
