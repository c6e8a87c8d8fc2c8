#include "matrix/base64.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* appendices, "Unpadded Base64" */
static void encodes_and_decodes_the_examples(void **state UNUSED)
{
	static const struct {
		struct str bytes, text;
	} cases[] = {
		{ STR_INIT(""), STR_INIT("") },
		{ STR_INIT("f"), STR_INIT("Zg") },
		{ STR_INIT("fo"), STR_INIT("Zm8") },
		{ STR_INIT("foo"), STR_INIT("Zm9v") },
		{ STR_INIT("foob"), STR_INIT("Zm9vYg") },
		{ STR_INIT("fooba"), STR_INIT("Zm9vYmE") },
		{ STR_INIT("foobar"), STR_INIT("Zm9vYmFy") },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str bytes;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(str_eq(base64_encode(arena, cases[i].bytes.ptr, cases[i].bytes.len), cases[i].text));
		assert_true(str_eq(base64url_encode(arena, cases[i].bytes.ptr, cases[i].bytes.len), cases[i].text));
		assert_true(base64_decode(cases[i].text, arena, &bytes));
		assert_true(str_eq(bytes, cases[i].bytes));
	}
}

static void tells_the_alphabets_apart(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str bytes;

	assert_true(str_eq(base64_encode(arena, "\xfb\xff\xfe", 3), STR("+//+")));
	assert_true(str_eq(base64url_encode(arena, "\xfb\xff\xfe", 3), STR("-__-")));
	assert_true(base64_decode(STR("+//+"), arena, &bytes));
	assert_true(str_eq(bytes, STR("\xfb\xff\xfe")));
	assert_true(base64url_decode(STR("-__-"), arena, &bytes));
	assert_true(str_eq(bytes, STR("\xfb\xff\xfe")));
	assert_false(base64_decode(STR("-__-"), arena, &bytes));
	assert_false(base64url_decode(STR("+//+"), arena, &bytes));
}

static void decodes_with_padding_and_nothing_else(void **state UNUSED)
{
	static const struct {
		struct str text;
		bool ok;
	} cases[] = {
		{ STR_INIT("Zg=="), true },   { STR_INIT("Zm8="), true },        { STR_INIT("Zm8"), true },
		{ STR_INIT("Zh"), true }, /* bits left over */
		{ STR_INIT("Zg="), false },   { STR_INIT("Zg==="), false },      { STR_INIT("Z==="), false },
		{ STR_INIT("===="), false },  { STR_INIT("Z"), false },          { STR_INIT("Zm9vY"), false },
		{ STR_INIT("Zm 9v"), false }, { STR_INIT("Zm9v\n"), false },     { STR_INIT("Zg==Zg=="), false },
		{ STR_INIT("Zm\0v"), false }, { STR_INIT("Zm\xc3\xa9"), false },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str bytes;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(base64_decode(cases[i].text, arena, &bytes), cases[i].ok);
}

static void decodes_an_exact_number_of_bytes(void **state UNUSED)
{
	char bytes[3];

	assert_true(base64_decode_exactly(STR("Zm9v"), bytes, 3));
	assert_memory_equal(bytes, "foo", 3);
	assert_false(base64_decode_exactly(STR("Zm8"), bytes, 3));
	assert_false(base64_decode_exactly(STR("Zm9vYg"), bytes, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodes_and_decodes_the_examples),
		cmocka_unit_test(tells_the_alphabets_apart),
		cmocka_unit_test(decodes_with_padding_and_nothing_else),
		cmocka_unit_test(decodes_an_exact_number_of_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
