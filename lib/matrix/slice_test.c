#include "matrix/slice.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void accepts_json_and_nothing_else(void **state UNUSED)
{
	static const struct {
		struct str text;
		bool ok;
	} cases[] = {
		{ STR_INIT("{}"), true },
		{ STR_INIT(" \t\r\n[ ] "), true },
		{ STR_INIT("null"), true },
		{ STR_INIT("true"), true },
		{ STR_INIT("false"), true },
		{ STR_INIT("\"\""), true },
		{ STR_INIT("0"), true },
		{ STR_INIT("-0"), true },
		{ STR_INIT("-12.50E+07"), true },
		{ STR_INIT("1e5"), true },
		{ STR_INIT("[1,\"a\",{\"b\":[[]]},null]"), true },
		{ STR_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u00e9\\ud83d\\ude00\""), true },
		{ STR_INIT("\"\xc3\xa9 \xf0\x9f\x98\x80 eight bytes and more\""), true },
		{ STR_INIT(""), false },
		{ STR_INIT(" "), false },
		{ STR_INIT("{"), false },
		{ STR_INIT("}"), false },
		{ STR_INIT("[1,]"), false },
		{ STR_INIT("[,1]"), false },
		{ STR_INIT("[1 2]"), false },
		{ STR_INIT("{\"a\"}"), false },
		{ STR_INIT("{\"a\":}"), false },
		{ STR_INIT("{\"a\":1,}"), false },
		{ STR_INIT("{a:1}"), false },
		{ STR_INIT("{'a':1}"), false },
		{ STR_INIT("{\"a\":1 \"b\":2}"), false },
		{ STR_INIT("{1:2}"), false },
		{ STR_INIT("[}"), false },
		{ STR_INIT("nul"), false },
		{ STR_INIT("nulll"), false },
		{ STR_INIT("True"), false },
		{ STR_INIT("NaN"), false },
		{ STR_INIT("Infinity"), false },
		{ STR_INIT("01"), false },
		{ STR_INIT("+1"), false },
		{ STR_INIT("-"), false },
		{ STR_INIT(".5"), false },
		{ STR_INIT("1."), false },
		{ STR_INIT("1e"), false },
		{ STR_INIT("1e+"), false },
		{ STR_INIT("0x1"), false },
		{ STR_INIT("1 1"), false },
		{ STR_INIT("\""), false },
		{ STR_INIT("\"a"), false },
		{ STR_INIT("\"\\"), false },
		{ STR_INIT("\"\\\""), false },
		{ STR_INIT("\"\\x\""), false },
		{ STR_INIT("\"\\u12\""), false },
		{ STR_INIT("\"\\u12g4\""), false },
		{ STR_INIT("\"\\ud800\""), false },
		{ STR_INIT("\"\\ud800x\""), false },
		{ STR_INIT("\"\\ud800\\u0041\""), false },
		{ STR_INIT("\"\\ud800\\ud800\""), false },
		{ STR_INIT("\"\\udc00\""), false },
		{ STR_INIT("\"a line\nbreak\""), false },
		{ STR_INIT("\"a nul\0\""), false },
		{ STR_INIT("\"\x1f\""), false },
		{ STR_INIT("\"\xff\""), false },
		{ STR_INIT("\"\xc0\x80\""), false },
		{ STR_INIT("\"\xed\xa0\x80\""), false },
		{ STR_INIT("\"enough for a word \xf4\x90\x80\x80\""), false },
		{ STR_INIT("\"cut \xe2\x82\""), false },
		{ STR_INIT("\xef\xbb\xbf{}"), false },
		{ STR_INIT("\xc2\xa0{}"), false },
		{ STR_INIT("{}\0"), false },
		{ STR_INIT("// comment\n{}"), false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = { 0 };
		struct str value;

		if (slice_parse(cases[i].text, &value, &err) != cases[i].ok)
			fail_msg("%.*s", STR_ARG(cases[i].text));
		assert_int_equal(err.code == M_NOT_JSON && err.status == 400, !cases[i].ok);
	}
}

static void finds_keys_that_are_there_twice(void **state UNUSED)
{
	static const struct {
		struct str text;
		bool ok;
	} cases[] = {
		{ STR_INIT("{\"a\":1,\"b\":2}"), true },
		{ STR_INIT("{\"b\":1,\"a\":2}"), true },
		{ STR_INIT("{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1}}"), true },
		{ STR_INIT("{\"a\":1,\"A\":2,\"\":3}"), true },
		{ STR_INIT("{\"a\":1,\"aa\":2}"), true },
		{ STR_INIT("{\"a\":1,\"a\":1}"), false },
		{ STR_INIT("{\"a\":1,\"b\":1,\"a\":1}"), false },
		{ STR_INIT("{\"b\":1,\"a\":{},\"b\":1}"), false },
		{ STR_INIT("{\"x\":{\"b\":1,\"a\":{},\"b\":1}}"), false },
		{ STR_INIT("{\"a\":1,\"\\u0061\":1}"), false },
		{ STR_INIT("{\"\\u00e9\":1,\"\xc3\xa9\":1}"), false },
		{ STR_INIT("{\"\\ud83d\\ude00\":1,\"z\":0,\"\xf0\x9f\x98\x80\":1}"), false },
		{ STR_INIT("{\"\":1,\"\":1}"), false },
	};
	struct str value;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (slice_parse(cases[i].text, &value, &err) != cases[i].ok)
			fail_msg("%.*s", STR_ARG(cases[i].text));
	}
}

/* An object with `count` keys that fall, the last of which is `last`. */
static struct str falling_keys(struct buf *buf, unsigned count, unsigned last)
{
	buf_clear(buf);
	for (unsigned i = 0; i < count; i++)
		buf_printf(buf, "%s\"key %08u\":[{}]", i ? "," : "{", i + 1 < count ? count - i : last);
	buf_char(buf, '}');
	return buf_str(buf);
}

static void compares_many_keys(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf buf = buf_init(SIZE_MAX);
	struct str value;
	struct err err;

	for (unsigned count = 2; count < 40000; count = count * 3 + 1) {
		assert_true(slice_parse(falling_keys(&buf, count, 0), &value, &err));
		assert_false(slice_parse(falling_keys(&buf, count, count), &value, &err));
		assert_false(slice_parse(falling_keys(&buf, count, count / 2 + 1), &value, &err));
	}
}

static void bounds_the_depth(void **state UNUSED)
{
	char text[2 * (SLICE_MAX_DEPTH + 1)];
	struct str value;
	struct err err;

	for (size_t depth = SLICE_MAX_DEPTH; depth <= SLICE_MAX_DEPTH + 1; depth++) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		assert_int_equal(slice_parse((struct str){ text, depth * 2 }, &value, &err), depth <= SLICE_MAX_DEPTH);
	}
}

static struct str parsed(struct str text)
{
	struct err err;
	struct str value;

	assert_true(slice_parse(text, &value, &err));
	return value;
}

static void gives_the_value_without_space(void **state UNUSED)
{
	assert_true(str_eq(parsed(STR(" \n{ \"a\" : 1 }\t")), STR("{ \"a\" : 1 }")));
	assert_true(str_eq(parsed(STR(" -1.5 ")), STR("-1.5")));
}

static void tells_types(void **state UNUSED)
{
	assert_int_equal(slice_type(STR("null")), SLICE_NULL);
	assert_int_equal(slice_type(STR("true")), SLICE_BOOL);
	assert_int_equal(slice_type(STR("false")), SLICE_BOOL);
	assert_int_equal(slice_type(STR("-1")), SLICE_NUMBER);
	assert_int_equal(slice_type(STR("7")), SLICE_NUMBER);
	assert_int_equal(slice_type(STR("\"\"")), SLICE_STRING);
	assert_int_equal(slice_type(STR("[]")), SLICE_ARRAY);
	assert_int_equal(slice_type(STR("{}")), SLICE_OBJECT);
}

static void walks_objects_and_arrays(void **state UNUSED)
{
	struct str object = parsed(STR("{ \"a\" : [1, {\"]\":\"}\"} , \"\\\"]\"] ,\"b\\n\": \"x,y\", \"c\":-1 }"));
	struct slice_iter iter = slice_iter(object);
	struct str key, value, item;

	assert_false(slice_item(&iter, &item));
	assert_true(slice_member(&iter, &key, &value));
	assert_true(str_eq(key, STR("\"a\"")));
	assert_true(str_eq(value, STR("[1, {\"]\":\"}\"} , \"\\\"]\"]")));
	assert_true(slice_member(&iter, &key, &item));
	assert_true(str_eq(key, STR("\"b\\n\"")));
	assert_true(str_eq(item, STR("\"x,y\"")));
	assert_true(slice_member(&iter, &key, &item));
	assert_true(str_eq(item, STR("-1")));
	assert_false(slice_member(&iter, &key, &item));

	iter = slice_iter(value);
	assert_false(slice_member(&iter, &key, &item));
	assert_true(slice_item(&iter, &item));
	assert_true(str_eq(item, STR("1")));
	assert_true(slice_item(&iter, &item));
	assert_true(str_eq(item, STR("{\"]\":\"}\"}")));
	assert_true(slice_item(&iter, &item));
	assert_true(str_eq(item, STR("\"\\\"]\"")));
	assert_false(slice_item(&iter, &item));

	for (iter = slice_iter(STR("\"text\"")); slice_item(&iter, &item) || slice_member(&iter, &key, &item);)
		fail();
	for (iter = slice_iter(STR("[ ]")); slice_item(&iter, &item);)
		fail();
	for (iter = slice_iter(STR("{\n}")); slice_member(&iter, &key, &item);)
		fail();
}

static void finds_members(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str object =
		parsed(STR("{\"a\":{\"b\":{\"c\":\"\\u65e5\\n\"}},\"\\u0062\":2,\"t\":true,\"x\":1.5,\"s\":\"\"}"));
	struct str value;
	int64_t number;
	bool truth = false;

	assert_true(slice_path(object, &value, STR("a"), STR("b"), STR("c")));
	assert_true(slice_string(value, arena, &value));
	assert_true(str_eq(value, STR("日\n")));
	assert_false(slice_path(object, &value, STR("a"), STR("x"), STR("c")));
	assert_false(slice_path(object, &value, STR("t"), STR("x")));
	assert_true(slice_get_int(object, STR("b"), &number));
	assert_int_equal(number, 2);
	assert_true(slice_get_bool(object, STR("t"), &truth));
	assert_true(truth);
	assert_false(slice_get_bool(object, STR("b"), &truth));
	assert_false(slice_get_int(object, STR("x"), &number));
	assert_false(slice_get_int(object, STR("t"), &number));
	assert_false(slice_get_string(object, STR("b"), arena, &value));
	assert_true(slice_get_string(object, STR("s"), arena, &value));
	assert_int_equal(value.len, 0);
	assert_false(slice_get(object, STR("c"), &value));
	assert_false(slice_get(STR("[\"a\",1]"), STR("a"), &value));
	assert_false(slice_get(STR("\"a\""), STR("a"), &value));
}

static void finds_several_members_at_once(void **state UNUSED)
{
	const struct str keys[] = { STR("b"), STR("none"), STR("a") };
	struct str values[ARRAY_LEN(keys)];

	slice_get_many(STR("{\"a\": {\"b\": 1}, \"c\": [], \"\\u0062\": \"x\"}"), keys, ARRAY_LEN(keys), values);
	assert_true(str_eq(values[0], STR("\"x\"")));
	assert_int_equal(values[1].len, 0);
	assert_true(str_eq(values[2], STR("{\"b\": 1}")));
	slice_get_many(STR("[1]"), keys, ARRAY_LEN(keys), values);
	assert_int_equal(values[0].len + values[1].len + values[2].len, 0);
}

static void reads_integers_in_range(void **state UNUSED)
{
	static const struct {
		struct str text;
		bool ok;
		int64_t value;
	} cases[] = {
		{ STR_INIT("0"), true, 0 },
		{ STR_INIT("-0"), true, 0 },
		{ STR_INIT("9007199254740991"), true, 9007199254740991 },
		{ STR_INIT("-9007199254740991"), true, -9007199254740991 },
		{ STR_INIT("9007199254740992"), false, 0 },
		{ STR_INIT("-9007199254740992"), false, 0 },
		{ STR_INIT("99999999999999999999999"), false, 0 },
		{ STR_INIT("1.0"), false, 0 },
		{ STR_INIT("1e2"), false, 0 },
		{ STR_INIT("\"1\""), false, 0 },
		{ STR_INIT("true"), false, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t value = 0;

		assert_int_equal(slice_int(cases[i].text, &value), cases[i].ok);
		assert_int_equal(value, cases[i].value);
	}
}

static void compares_strings_unescaped(void **state UNUSED)
{
	assert_true(slice_string_eq(STR("\"abc\""), STR("abc")));
	assert_false(slice_string_eq(STR("\"abc\""), STR("abcd")));
	assert_false(slice_string_eq(STR("\"abcd\""), STR("abc")));
	assert_true(slice_string_eq(STR("\"a\\u0062c\""), STR("abc")));
	assert_false(slice_string_eq(STR("\"a\\u0062c\""), STR("abcd")));
	assert_false(slice_string_eq(STR("\"a\\u0062cd\""), STR("abc")));
	assert_true(slice_string_eq(STR("\"\\ud83d\\ude00\\/\""), STR("\xf0\x9f\x98\x80/")));
	assert_true(slice_string_eq(STR("\"\\u0000\""), STR("\0")));
	assert_false(slice_string_eq(STR("\"\\n\""), STR("n")));
	assert_false(slice_string_eq(STR("1"), STR("1")));
}

static void takes_tokens(void **state UNUSED)
{
	static const struct str expected[] = { STR_INIT("{"),     STR_INIT("\"a,\""), STR_INIT("["),
					       STR_INIT("1"),     STR_INIT("-2"),     STR_INIT("]"),
					       STR_INIT("\"b\""), STR_INIT("null"),   STR_INIT("}") };
	struct str rest = STR("{ \"a,\" : [ 1 , -2 ],\n\"b\":null}"), token;

	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		assert_true(slice_token(&rest, &token));
		assert_true(str_eq(token, expected[i]));
	}
	assert_false(slice_token(&rest, &token));
}

static void writes_strings(void **state UNUSED)
{
	static const struct {
		struct str text, written;
	} cases[] = {
		{ STR_INIT(""), STR_INIT("\"\"") },
		{ STR_INIT("plain text, long enough"), STR_INIT("\"plain text, long enough\"") },
		{ STR_INIT("\b\t\n\f\r\"\\/"), STR_INIT("\"\\b\\t\\n\\f\\r\\\"\\\\/\"") },
		{ STR_INIT("\0\x01\x0b\x1f\x7f"), STR_INIT("\"\\u0000\\u0001\\u000b\\u001f\x7f\"") },
		{ STR_INIT("日本 \xf0\x9f\x98\x80"), STR_INIT("\"日本 \xf0\x9f\x98\x80\"") },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(buf_done) struct buf buf = buf_init(SIZE_MAX);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str back;

		buf_clear(&buf);
		slice_write_string(&buf, cases[i].text);
		assert_true(str_eq(buf_str(&buf), cases[i].written));
		assert_true(slice_string(parsed(buf_str(&buf)), arena, &back));
		assert_true(str_eq(back, cases[i].text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_json_and_nothing_else),
		cmocka_unit_test(finds_keys_that_are_there_twice),
		cmocka_unit_test(compares_many_keys),
		cmocka_unit_test(bounds_the_depth),
		cmocka_unit_test(gives_the_value_without_space),
		cmocka_unit_test(tells_types),
		cmocka_unit_test(walks_objects_and_arrays),
		cmocka_unit_test(finds_members),
		cmocka_unit_test(finds_several_members_at_once),
		cmocka_unit_test(reads_integers_in_range),
		cmocka_unit_test(compares_strings_unescaped),
		cmocka_unit_test(takes_tokens),
		cmocka_unit_test(writes_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
