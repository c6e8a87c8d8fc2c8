/* What is canonical stays as it is, and the three treatments of numbers agree where they all succeed. */
#include "matrix/canonical.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str input = { (const char *)data, size }, loose, value, strict, again;
	struct err err;

	if (!canonical_json_loose(input, arena, &loose, &err)) {
		check(!canonical_json(input, arena, &again, &err) &&
		      !canonical_json_strict(input, arena, &again, &err));
		return 0;
	}
	check(loose.len <= input.len);
	check(canonical_json_loose(loose, arena, &again, &err) && str_eq(again, loose));
	check(!canonical_json_strict(input, arena, &strict, &err) || str_eq(strict, loose));
	if (!canonical_json(input, arena, &value, &err))
		return 0;
	check(canonical_json(value, arena, &again, &err) && str_eq(again, value));
	check(canonical_json_strict(value, arena, &again, &err) && str_eq(again, value));
	if (slice_type(value) == SLICE_OBJECT) {
		static const struct str key[] = { STR_INIT("a") };
		struct str with = canonical_set(value, key[0], STR("[]"), arena), member;

		check(slice_get(with, key[0], &member) && str_eq(member, STR("[]")));
		check(canonical_json_strict(with, arena, &again, &err) && str_eq(again, with));
		check(str_eq(canonical_without(with, key, 1, arena), canonical_without(value, key, 1, arena)));
		check(canonical_value(value, CANONICAL_INTEGERS, key, 1, arena, &again, &err));
		check(str_eq(again, canonical_without(value, key, 1, arena)));
	}
	return 0;
}
