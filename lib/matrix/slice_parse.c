/* The strict pass over foreign bytes: RFC 8259, with bounded depth, without keys that are there twice or lone
 * surrogates. */
#include "base/utf8.h"
#include "matrix/slice_scan.h"

#define FIRST_KEYS 64

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

bool slice_read_escape(const char **at, const char *end, uint32_t *ret_code_point)
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

void slice_next_code_point(struct str *rest, uint32_t *ret_code_point)
{
	const char *at = rest->ptr;

	if (*at != '\\') {
		utf8_next(rest, ret_code_point);
		return;
	}
	slice_read_escape(&at, rest->ptr + rest->len, ret_code_point);
	*rest = str_from(*rest, (size_t)(at - rest->ptr));
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
		if (!slice_read_escape(&c->at, c->end, &code_point))
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

static int raw_cmp(const void *left, const void *right)
{
	const struct raw *a = left, *b = right;
	struct str s = a->text, t = b->text;

	if (!a->escaped && !b->escaped)
		return str_cmp(s, t);
	while (s.len && t.len) {
		uint32_t x, y;

		slice_next_code_point(&s, &x);
		slice_next_code_point(&t, &y);
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
