/* Whatever slice_parse accepts can be walked, by tokens and by slices, and strings survive being written again. */
#include "base/utf8.h"
#include "matrix/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_string(struct str value, struct arena *arena)
{
	CLEANUP(buf_done) struct buf buf = buf_init(SIZE_MAX);
	struct str text, again;
	struct err err;

	check(slice_string(value, arena, &text) && utf8_valid(text) && slice_string_eq(value, text));
	slice_write_string(&buf, text);
	check(slice_parse(buf_str(&buf), &again, &err) && slice_string_eq(again, text) && again.len == buf.len);
}

/* Returns how many tokens the value is made of. */
static size_t walk(struct str value, struct arena *arena)
{
	struct slice_iter iter = slice_iter(value);
	struct str key, member, found;
	size_t tokens = 1;
	int64_t number;
	bool truth;

	switch (slice_type(value)) {
	case SLICE_OBJECT:
		while (slice_member(&iter, &key, &member)) {
			struct str name;

			check_string(key, arena);
			check(slice_string(key, arena, &name));
			check(iter.rest.len > 1000 || (slice_get(value, name, &found) && found.ptr == member.ptr));
			tokens += 1 + walk(member, arena);
		}
		return tokens + 1;
	case SLICE_ARRAY:
		while (slice_item(&iter, &member))
			tokens += walk(member, arena);
		return tokens + 1;
	case SLICE_STRING:
		check_string(value, arena);
		return tokens;
	case SLICE_NUMBER:
		check(!slice_int(value, &number) || (number <= (INT64_C(1) << 53) - 1 && number > -(INT64_C(1) << 53)));
		return tokens;
	case SLICE_BOOL:
		check(slice_bool(value, &truth));
		return tokens;
	default:
		check(str_eq(value, STR("null")));
		return tokens;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str value, rest, token;
	struct err err;
	size_t tokens = 0;

	if (!slice_parse((struct str){ (const char *)data, size }, &value, &err))
		return 0;
	for (rest = value; slice_token(&rest, &token);)
		tokens++;
	check(tokens == walk(value, arena));
	return 0;
}
