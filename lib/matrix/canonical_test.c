#include "matrix/canonical.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* appendices, "Canonical JSON", "Examples", in order; the rest is ours. */
static void writes_the_canonical_form(void **state UNUSED)
{
	static const struct {
		struct str given, canonical;
	} cases[] = {
		{ STR_INIT("{}"), STR_INIT("{}") },
		{ STR_INIT("{\n    \"one\": 1,\n    \"two\": \"Two\"\n}"), STR_INIT("{\"one\":1,\"two\":\"Two\"}") },
		{ STR_INIT("{\n    \"b\": \"2\",\n    \"a\": \"1\"\n}"), STR_INIT("{\"a\":\"1\",\"b\":\"2\"}") },
		{ STR_INIT("{\"b\":\"2\",\"a\":\"1\"}"), STR_INIT("{\"a\":\"1\",\"b\":\"2\"}") },
		{ STR_INIT("{\"auth\": {\"success\": true, \"mxid\": \"@john.doe:example.com\", \"profile\": {"
			   "\"display_name\": \"John Doe\", \"three_pids\": [{\"medium\": \"email\", \"address\": "
			   "\"john.doe@example.org\"}, {\"medium\": \"msisdn\", \"address\": \"123456789\"}]}}}"),
		  STR_INIT("{\"auth\":{\"mxid\":\"@john.doe:example.com\",\"profile\":{\"display_name\":\"John Doe\","
			   "\"three_pids\":[{\"address\":\"john.doe@example.org\",\"medium\":\"email\"},{\"address\":"
			   "\"123456789\",\"medium\":\"msisdn\"}]},\"success\":true}}") },
		{ STR_INIT("{\n    \"a\": \"日本語\"\n}"), STR_INIT("{\"a\":\"日本語\"}") },
		{ STR_INIT("{\n    \"本\": 2,\n    \"日\": 1\n}"), STR_INIT("{\"日\":1,\"本\":2}") },
		{ STR_INIT("{\n    \"a\": \"\\u65E5\"\n}"), STR_INIT("{\"a\":\"日\"}") },
		{ STR_INIT("{\n    \"a\": null\n}"), STR_INIT("{\"a\":null}") },
		{ STR_INIT("{\n    \"a\": -0,\n    \"b\": 1e10\n}"), STR_INIT("{\"a\":0,\"b\":10000000000}") },

		{ STR_INIT("[ ]"), STR_INIT("[]") },
		{ STR_INIT(" true "), STR_INIT("true") },
		{ STR_INIT("{\"c\":{\"b\":[{\"z\":1,\"y\":[]}],\"a\":2},\"b\":{},\"a\":[[],{}]}"),
		  STR_INIT("{\"a\":[[],{}],\"b\":{},\"c\":{\"a\":2,\"b\":[{\"y\":[],\"z\":1}]}}") },
		{ STR_INIT("\"\\/\\u002f\\u0022\\u005c\\u000a\\u0000\\u001F\\u007f\\ud83d\\ude00\""),
		  STR_INIT("\"//\\\"\\\\\\n\\u0000\\u001f\x7f\xf0\x9f\x98\x80\"") },
		/* By code points, where UTF-16 would have it the other way round; by what is meant, not by how it is
		   written. */
		{ STR_INIT("{\"\\ud800\\udc00\":1,\"\\uffff\":2}"),
		  STR_INIT("{\"\xef\xbf\xbf\":2,\"\xf0\x90\x80\x80\":1}") },
		{ STR_INIT("{\"b\":1,\"\\u0061\":2,\"\":3}"), STR_INIT("{\"\":3,\"a\":2,\"b\":1}") },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str text;
		struct err err;

		assert_true(canonical_json(cases[i].given, arena, &text, &err));
		if (!str_eq(text, cases[i].canonical))
			fail_msg("%.*s", STR_ARG(text));
	}
}

static bool number_is(bool (*canonical)(struct str, struct arena *, struct str *, struct err *), const char *given,
		      const char *wanted)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str text;
	struct err err = { 0 };

	if (!canonical(str_of(given), arena, &text, &err)) {
		assert_int_equal(err.code, M_BAD_JSON);
		return !wanted;
	}
	return wanted && str_eq(text, str_of(wanted));
}

/* What becomes of a number: as a value, as an integer (rooms from 6 on), loosely (rooms up to 5). NULL: an error. */
static void treats_numbers_by_their_use(void **state UNUSED)
{
	static const struct {
		const char *given, *value, *integer, *loose;
	} cases[] = {
		{ "0", "0", "0", "0" },
		{ "-0", "0", "0", "0" },
		{ "-7", "-7", "-7", "-7" },
		{ "9007199254740991", "9007199254740991", "9007199254740991", "9007199254740991" },
		{ "-9007199254740991", "-9007199254740991", "-9007199254740991", "-9007199254740991" },
		{ "9007199254740992", NULL, NULL, "9007199254740992" },
		{ "-9007199254740992", NULL, NULL, "-9007199254740992" },
		{ "1180591620717411303424", NULL, NULL, "1180591620717411303424" },
		{ "1.0", "1", NULL, "1.0" },
		{ "-0.0", "0", NULL, "-0.0" },
		{ "1.5", NULL, NULL, "1.5" },
		{ "15e-1", NULL, NULL, "15e-1" },
		{ "1.5e1", "15", NULL, "1.5e1" },
		{ "1.50e+1", "15", NULL, "1.50e+1" },
		{ "-1200e-2", "-12", NULL, "-1200e-2" },
		{ "1e15", "1000000000000000", NULL, "1e15" },
		{ "9007199254740991.000", "9007199254740991", NULL, "9007199254740991.000" },
		{ "9007199254740991000e-3", "9007199254740991", NULL, "9007199254740991000e-3" },
		{ "9.007199254740992E15", NULL, NULL, "9.007199254740992E15" },
		{ "1e16", NULL, NULL, "1e16" },
		{ "1e-1", NULL, NULL, "1e-1" },
		{ "1e99999999999999999999", NULL, NULL, "1e99999999999999999999" },
		{ "0e99999999999999999999", "0", NULL, "0e99999999999999999999" },
		{ "0.000e-99999999999999999999", "0", NULL, "0.000e-99999999999999999999" },
		{ "1e-9223372036854775808", NULL, NULL, "1e-9223372036854775808" },
		{ "0.1e-9223372036854775808", NULL, NULL, "0.1e-9223372036854775808" },
		{ "10e9223372036854775807", NULL, NULL, "10e9223372036854775807" },
		{ "123456789012345678901234567890e-20", NULL, NULL, "123456789012345678901234567890e-20" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (!number_is(canonical_json, cases[i].given, cases[i].value) ||
		    !number_is(canonical_json_strict, cases[i].given, cases[i].integer) ||
		    !number_is(canonical_json_loose, cases[i].given, cases[i].loose))
			fail_msg("%s", cases[i].given);
	}
}

static void refuses_what_is_not_json(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str text;
	struct err err = { 0 };

	assert_false(canonical_json(STR("{\"a\":1,\"a\":2}"), arena, &text, &err));
	assert_int_equal(err.code, M_NOT_JSON);
	assert_false(canonical_json_loose(STR("[NaN]"), arena, &text, &err));
}

static void leaves_members_out_unread(void **state UNUSED)
{
	static const struct str without[] = { STR_INIT("unsigned"), STR_INIT("x") };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str text;
	struct err err;

	assert_true(canonical_value(
		STR("{\"\\u0078\":[1.5,{}],\"a\":{\"x\":1},\"unsigned\":{\"age\":1e99},\"A\":[{\"x\":2}]}"),
		CANONICAL_INTEGERS, without, 2, arena, &text, &err));
	assert_true(str_eq(text, STR("{\"A\":[{\"x\":2}],\"a\":{\"x\":1}}")));
	assert_true(canonical_value(STR("{\"x\":{\"y\":[[]]}}"), CANONICAL_INTEGERS, without, 2, arena, &text, &err));
	assert_true(str_eq(text, STR("{}")));
	assert_true(canonical_value(STR("[{\"x\":1}]"), CANONICAL_INTEGERS, without, 2, arena, &text, &err));
	assert_true(str_eq(text, STR("[{\"x\":1}]")));
}

static void edits_objects(void **state UNUSED)
{
	static const struct str keys[] = { STR_INIT("b"), STR_INIT("\n") };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str object = STR("{\"\\n\":{},\"a\":1,\"b\":{\"b\":[]},\"d\":2}");

	assert_true(str_eq(canonical_without(object, keys, 2, arena), STR("{\"a\":1,\"d\":2}")));
	assert_true(str_eq(canonical_without(object, keys, 0, arena), object));
	assert_true(str_eq(canonical_without(STR("{\"b\":1}"), keys, 1, arena), STR("{}")));

	object = STR("{\"b\":1,\"d\":2}");
	assert_true(str_eq(canonical_set(object, STR("a"), STR("[]"), arena), STR("{\"a\":[],\"b\":1,\"d\":2}")));
	assert_true(str_eq(canonical_set(object, STR("b"), STR("[]"), arena), STR("{\"b\":[],\"d\":2}")));
	assert_true(str_eq(canonical_set(object, STR("c"), STR("[]"), arena), STR("{\"b\":1,\"c\":[],\"d\":2}")));
	assert_true(str_eq(canonical_set(object, STR("\""), STR("0"), arena), STR("{\"\\\"\":0,\"b\":1,\"d\":2}")));
	assert_true(str_eq(canonical_set(object, STR("é"), STR("0"), arena), STR("{\"b\":1,\"d\":2,\"é\":0}")));
	assert_true(str_eq(canonical_set(STR("{}"), STR("a"), STR("1"), arena), STR("{\"a\":1}")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_the_canonical_form),
		cmocka_unit_test(treats_numbers_by_their_use),
		cmocka_unit_test(refuses_what_is_not_json),
		cmocka_unit_test(leaves_members_out_unread),
		cmocka_unit_test(edits_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
