#include "matrix/canonical.h"

#define MAX_SAFE_INTEGER ((INT64_C(1) << 53) - 1)
#define MAX_SAFE_DIGITS  16
#define MAX_GROWTH       4 /* 1e15, after a comma */

/* One member of an object that is being written: its sort key, and where it stands in the output. */
struct member {
	struct str key;
	size_t start, len;
};

struct writer {
	struct str rest; /* what is still to be read */
	struct buf out;
	enum canonical_numbers numbers;
	const struct str *without;
	size_t without_count;
	struct arena *arena;
	struct member *members; /* of all objects that are open here, the outermost first */
	size_t member_count, member_cap;
	unsigned depth;
};

static bool write_value(struct writer *w, struct str token);

static bool is_one_of(struct str key, const struct str *keys, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (str_eq(key, keys[i]))
			return true;
	}
	return false;
}

static struct str next_token(struct writer *w)
{
	struct str token;
	bool there = slice_token(&w->rest, &token);

	assert(there);
	return token;
}

static void skip_value(struct writer *w)
{
	size_t depth = 0;

	do {
		char first = next_token(w).ptr[0];

		depth += first == '{' || first == '[';
		depth -= first == '}' || first == ']';
	} while (depth);
}

static void write_string(struct writer *w, struct str token)
{
	struct str text;

	if (str_find_char(token, '\\') < 0) {
		buf_append(&w->out, token);
		return;
	}
	slice_string(token, w->arena, &text);
	slice_write_string(&w->out, text);
}

/* The value of any spelling of a whole number: its digits without the point, the exponent adds or takes zeros. */
static bool whole_value(struct str number, int64_t *ret_value)
{
	bool negative = number.ptr[0] == '-', fraction = false;
	int64_t value = 0, exponent = 0, written = 0, zeros = 0;
	size_t i = negative;

	for (; i < number.len && number.ptr[i] != 'e' && number.ptr[i] != 'E'; i++) {
		if (number.ptr[i] == '.') {
			fraction = true;
			continue;
		}
		exponent -= fraction;
		zeros++; /* zeros at the end may belong to the exponent: they count when another digit comes */
		if (number.ptr[i] == '0')
			continue;
		for (; zeros && value <= MAX_SAFE_INTEGER; zeros--)
			value *= 10;
		value += number.ptr[i] - '0';
		zeros = 0;
	}
	if (value == 0) {
		*ret_value = 0;
		return true;
	}
	if (i < number.len && (!str_to_int64(str_from(number, i + 1 + (number.ptr[i + 1] == '+')), &written) ||
			       __builtin_add_overflow(exponent + zeros, written, &exponent)))
		return false;
	if (i == number.len)
		exponent += zeros;
	if (exponent < 0 || exponent >= MAX_SAFE_DIGITS)
		return false;
	for (; value <= MAX_SAFE_INTEGER && exponent; exponent--)
		value *= 10;
	*ret_value = negative ? -value : value;
	return value <= MAX_SAFE_INTEGER;
}

static bool write_number(struct writer *w, struct str token)
{
	int64_t value;

	if (w->numbers == CANONICAL_ANY) {
		buf_append(&w->out, str_eq(token, STR("-0")) ? STR("0") : token);
		return true;
	}
	if (!slice_int(token, &value) && !(w->numbers == CANONICAL_VALUES && whole_value(token, &value)))
		return false;
	buf_int(&w->out, value);
	return true;
}

static bool write_array(struct writer *w)
{
	struct str token = next_token(w);

	buf_char(&w->out, '[');
	w->depth++;
	for (bool first = true; token.ptr[0] != ']'; first = false, token = next_token(w)) {
		if (!first)
			buf_char(&w->out, ',');
		if (!write_value(w, token))
			return false;
	}
	w->depth--;
	buf_char(&w->out, ']');
	return true;
}

static int member_cmp(const void *a, const void *b)
{
	return str_cmp(((const struct member *)a)->key, ((const struct member *)b)->key);
}

/* The members were written as they came, with commas between them; puts them in order. */
static void sort_members(struct writer *w, size_t first)
{
	size_t start = w->members[first].start;
	struct str unsorted = str_dup(w->arena, str_from(buf_str(&w->out), start));

	qsort(w->members + first, w->member_count - first, sizeof(*w->members), member_cmp);
	w->out.len = start;
	for (size_t i = first; i < w->member_count; i++) {
		if (i > first)
			buf_char(&w->out, ',');
		buf_append(&w->out, str_sub(unsorted, w->members[i].start - start, w->members[i].len));
	}
}

/* Writes one member after those from number `first` on; *sorted falls when it should have come earlier. */
static bool write_member(struct writer *w, struct str key_token, size_t first, bool *sorted)
{
	struct member member = { 0 };
	size_t place = w->member_count;

	slice_string(key_token, w->arena, &member.key);
	if (w->depth == 1 && is_one_of(member.key, w->without, w->without_count)) {
		skip_value(w);
		return true;
	}
	if (place > first) {
		buf_char(&w->out, ',');
		*sorted = *sorted && str_cmp(w->members[place - 1].key, member.key) < 0;
	}
	member.start = w->out.len;
	*ARENA_PUSH(w->arena, w->members, w->member_count, w->member_cap) = member;
	write_string(w, key_token);
	buf_char(&w->out, ':');
	if (!write_value(w, next_token(w)))
		return false;
	w->members[place].len = w->out.len - member.start;
	return true;
}

static bool write_object(struct writer *w)
{
	size_t first = w->member_count;
	bool sorted = true;

	buf_char(&w->out, '{');
	w->depth++;
	for (struct str token = next_token(w); token.ptr[0] != '}'; token = next_token(w)) {
		if (!write_member(w, token, first, &sorted))
			return false;
	}
	w->depth--;
	if (!sorted)
		sort_members(w, first);
	w->member_count = first;
	buf_char(&w->out, '}');
	return true;
}

static bool write_value(struct writer *w, struct str token)
{
	switch (token.ptr[0]) {
	case '{':
		return write_object(w);
	case '[':
		return write_array(w);
	case '"':
		write_string(w, token);
		return true;
	case 't':
	case 'f':
	case 'n':
		buf_append(&w->out, token);
		return true;
	default:
		return write_number(w, token);
	}
}

bool canonical_value(struct str value, enum canonical_numbers numbers, const struct str *without, size_t without_count,
		     struct arena *arena, struct str *ret_canonical, struct err *err)
{
	struct writer w = { value, buf_init(value.len * MAX_GROWTH), numbers, without, without_count, arena };
	bool ok = write_value(&w, next_token(&w));

	if (ok) {
		assert(buf_ok(&w.out));
		*ret_canonical = str_dup(arena, buf_str(&w.out));
	}
	buf_done(&w.out);
	return ok || err_set(err, M_BAD_JSON, "Numbers must be integers from -(2^53)+1 to (2^53)-1");
}

static bool canonical_text(struct str text, enum canonical_numbers numbers, struct arena *arena,
			   struct str *ret_canonical, struct err *err)
{
	struct str value;

	return slice_parse(text, &value, err) && canonical_value(value, numbers, NULL, 0, arena, ret_canonical, err);
}

bool canonical_json(struct str text, struct arena *arena, struct str *ret_canonical, struct err *err)
{
	return canonical_text(text, CANONICAL_VALUES, arena, ret_canonical, err);
}

bool canonical_json_strict(struct str text, struct arena *arena, struct str *ret_canonical, struct err *err)
{
	return canonical_text(text, CANONICAL_INTEGERS, arena, ret_canonical, err);
}

bool canonical_json_loose(struct str text, struct arena *arena, struct str *ret_canonical, struct err *err)
{
	return canonical_text(text, CANONICAL_ANY, arena, ret_canonical, err);
}

struct str canonical_without(struct str object, const struct str *keys, size_t count, struct arena *arena)
{
	CLEANUP(buf_done) struct buf out = buf_init(object.len);
	struct slice_iter iter = slice_iter(object);
	struct str key, value, name;

	buf_char(&out, '{');
	while (slice_member(&iter, &key, &value)) {
		slice_string(key, arena, &name);
		if (!is_one_of(name, keys, count))
			canonical_member(&out, key, value);
	}
	buf_char(&out, '}');
	assert(buf_ok(&out));
	return str_dup(arena, buf_str(&out));
}

struct str canonical_set(struct str object, struct str key, struct str value, struct arena *arena)
{
	CLEANUP(buf_done) struct buf out = buf_init(SIZE_MAX), new_key = buf_init(SIZE_MAX);
	struct slice_iter iter = slice_iter(object);
	struct str old_key, old_value, name;
	bool written = false;

	slice_write_string(&new_key, key);
	buf_char(&out, '{');
	while (slice_member(&iter, &old_key, &old_value)) {
		int order;

		slice_string(old_key, arena, &name);
		order = written ? 1 : str_cmp(key, name);
		if (order <= 0) {
			canonical_member(&out, buf_str(&new_key), value);
			written = true;
		}
		if (order != 0)
			canonical_member(&out, old_key, old_value);
	}
	if (!written)
		canonical_member(&out, buf_str(&new_key), value);
	buf_char(&out, '}');
	return str_dup(arena, buf_str(&out));
}
