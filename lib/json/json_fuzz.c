/* What is read and written is read again as the same; it is no deeper than promised, its strings are what they were. */
#include "base/utf8.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_depth(json_t *json, size_t depth)
{
	const char *key UNUSED;
	json_t *member;
	size_t i;

	depth += json_is_array(json) || json_is_object(json);
	if (depth > JSON_MAX_DEPTH)
		abort();
	json_array_foreach(json, i, member) check_depth(member, depth);
	json_object_foreach(json, key, member) check_depth(member, depth);
}

static void check_string(const json_t *json)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(buf_done) struct buf buf = buf_init(SIZE_MAX / 2);
	json_t *again;
	struct err err;

	if (!utf8_valid(json_str(json)))
		abort();
	json_write_str(&buf, json_str(json));
	if (!json_parse(buf_str(&buf), arena, &again, &err) || !json_equal(json, again))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str input = { (const char *)data, size };
	json_t *json, *again;
	struct err err;

	if (!json_parse(input, arena, &json, &err))
		return 0;
	check_depth(json, 0);
	if (json_is_string(json))
		check_string(json);
	if (!json_parse(json_text_sorted(json, arena), arena, &again, &err) || !json_equal(json, again))
		abort();
	return 0;
}
