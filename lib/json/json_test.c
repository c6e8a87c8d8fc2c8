#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "json/json.h"

/* ---- parsing ---- */

static void parses_what_is_json(void **state UNUSED)
{
	static const struct {
		struct str given, text;
	} cases[] = {
		{ STR_INIT("{}"), STR_INIT("{}") },
		{ STR_INIT(" [1, -2, true, null, \"x\"] "), STR_INIT("[1,-2,true,null,\"x\"]") },
		{ STR_INIT("\"text\""), STR_INIT("\"text\"") },
		{ STR_INIT("7"), STR_INIT("7") },
		{ STR_INIT("null"), STR_INIT("null") },
		{ STR_INIT("{\"a\":1,\"a\":2}"), STR_INIT("{\"a\":2}") },
		{ STR_INIT("\"\\u00e9\\u0000\\ud83d\\ude00\""), STR_INIT("\"é\\u0000😀\"") },
		{ STR_INIT("9223372036854775807"), STR_INIT("9223372036854775807") },
		{ STR_INIT("0.5"), STR_INIT("0.5") },
		{ STR_INIT("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\""),
		  STR_INIT("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"") },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	json_t *json;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(json_parse(cases[i].given, arena, &json, &err));
		assert_true(str_eq(json_text(json, arena), cases[i].text));
	}
}

static void refuses_what_is_not(void **state UNUSED)
{
	static const struct {
		struct str given;
		enum errcode code;
	} cases[] = {
		{ STR_INIT(""), M_NOT_JSON },
		{ STR_INIT(" "), M_NOT_JSON },
		{ STR_INIT("{"), M_NOT_JSON },
		{ STR_INIT("{}x"), M_NOT_JSON },
		{ STR_INIT("{'a':1}"), M_NOT_JSON },
		{ STR_INIT("[1,]"), M_NOT_JSON },
		{ STR_INIT("[01]"), M_NOT_JSON },
		{ STR_INIT("[NaN]"), M_NOT_JSON },
		{ STR_INIT("\xef\xbb\xbf{}"), M_NOT_JSON },
		{ STR_INIT("\"\xff\""), M_NOT_JSON },
		{ STR_INIT("\"\xed\xa0\x80\""), M_NOT_JSON },
		{ STR_INIT("\"\xc0\x80\""), M_NOT_JSON },
		{ STR_INIT("\"\\ud800\""), M_NOT_JSON },
		{ STR_INIT("\"a\nb\""), M_NOT_JSON },
		{ STR_INIT("{\"a\\u0000b\":1}"), M_NOT_JSON },
		{ STR_INIT("[\"a\0b\"]"), M_NOT_JSON },
		{ STR_INIT("9223372036854775808"), M_BAD_JSON },
		{ STR_INIT("-9223372036854775809"), M_BAD_JSON },
		{ STR_INIT("1e999"), M_BAD_JSON },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	json_t *json;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = { 0 };

		assert_false(json_parse(cases[i].given, arena, &json, &err));
		assert_int_equal(err.code, cases[i].code);
		assert_int_equal(err.status, 400);
	}
}

static void bounds_depth(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	char text[2 * JSON_MAX_DEPTH + 2];
	size_t len = sizeof(text);
	json_t *json;
	struct err err;

	memset(text, '[', JSON_MAX_DEPTH + 1);
	memset(text + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
	assert_true(json_parse((struct str){ text + 1, len - 2 }, arena, &json, &err));
	assert_false(json_parse((struct str){ text, len }, arena, &json, &err));
	assert_int_equal(err.code, M_NOT_JSON);
}

/* ---- field tables ---- */

struct fields {
	struct str name;
	int64_t count;
	bool flag;
	json_t *object, *array, *any;
	struct str renamed;
};

static const struct json_field fields[] = {
	JSON_FIELD(struct fields, name, JSON_REQUIRED),
	JSON_FIELD(struct fields, count, JSON_OPTIONAL),
	JSON_FIELD(struct fields, flag, JSON_OPTIONAL),
	JSON_FIELD_OBJ(struct fields, object, JSON_OPTIONAL),
	JSON_FIELD_ARR(struct fields, array, JSON_OPTIONAL),
	JSON_FIELD(struct fields, any, JSON_OPTIONAL),
	JSON_FIELD_NAMED(struct fields, renamed, "org.example.renamed", JSON_OPTIONAL),
	{ 0 },
};

static bool read_fields(struct str text, struct arena *arena, struct fields *out, struct err *err)
{
	json_t *json;

	assert_true(json_parse(text, arena, &json, err));
	return json_read(json, fields, out, err);
}

static void reads_fields(void **state UNUSED)
{
	const struct str all =
		STR("{\"name\":\"n\",\"count\":-9007199254740991,\"flag\":true,\"object\":{},\"array\":[],"
		    "\"any\":1.5,\"org.example.renamed\":\"r\",\"unknown\":{}}");
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct fields out = { 0 };
	struct err err;

	assert_true(read_fields(all, arena, &out, &err));
	assert_true(str_eq(out.name, STR("n")));
	assert_int_equal(out.count, -9007199254740991);
	assert_true(out.flag);
	assert_true(json_is_object(out.object));
	assert_true(json_is_array(out.array));
	assert_true(json_is_real(out.any));
	assert_true(str_eq(out.renamed, STR("r")));

	out = (struct fields){ .count = 7, .flag = true };
	assert_true(read_fields(STR("{\"name\":\"\",\"count\":null,\"flag\":null,\"any\":null}"), arena, &out, &err));
	assert_int_equal(out.count, 7);
	assert_true(out.flag);
	assert_null(out.any);
	assert_int_equal(out.name.len, 0);
}

static void names_the_faulty_field(void **state UNUSED)
{
	static const struct {
		struct str text;
		enum errcode code;
		const char *named;
	} cases[] = {
		{ STR_INIT("[]"), M_BAD_JSON, "object" },
		{ STR_INIT("null"), M_BAD_JSON, "object" },
		{ STR_INIT("{}"), M_MISSING_PARAM, "'name'" },
		{ STR_INIT("{\"name\":null}"), M_MISSING_PARAM, "'name'" },
		{ STR_INIT("{\"name\":1}"), M_BAD_JSON, "'name'" },
		{ STR_INIT("{\"name\":\"a\\u0000b\"}"), M_BAD_JSON, "'name'" },
		{ STR_INIT("{\"name\":\"\",\"count\":\"1\"}"), M_BAD_JSON, "'count'" },
		{ STR_INIT("{\"name\":\"\",\"count\":1.0}"), M_BAD_JSON, "'count'" },
		{ STR_INIT("{\"name\":\"\",\"count\":true}"), M_BAD_JSON, "'count'" },
		{ STR_INIT("{\"name\":\"\",\"count\":9007199254740992}"), M_BAD_JSON, "'count'" },
		{ STR_INIT("{\"name\":\"\",\"count\":-9007199254740992}"), M_BAD_JSON, "'count'" },
		{ STR_INIT("{\"name\":\"\",\"flag\":0}"), M_BAD_JSON, "'flag'" },
		{ STR_INIT("{\"name\":\"\",\"object\":[]}"), M_BAD_JSON, "'object'" },
		{ STR_INIT("{\"name\":\"\",\"array\":{}}"), M_BAD_JSON, "'array'" },
		{ STR_INIT("{\"name\":\"\",\"org.example.renamed\":{}}"), M_BAD_JSON, "'org.example.renamed'" },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fields out = { 0 };
		struct err err = { 0 };

		assert_false(read_fields(cases[i].text, arena, &out, &err));
		assert_int_equal(err.code, cases[i].code);
		assert_non_null(strstr(err.message, cases[i].named));
	}
}

static void requires_any_value(void **state UNUSED)
{
	static const struct json_field any[] = { JSON_FIELD(struct fields, any, JSON_REQUIRED), { 0 } };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct fields out = { 0 };
	json_t *json;
	struct err err;

	assert_true(json_parse(STR("{\"any\":null}"), arena, &json, &err));
	assert_true(json_read(json, any, &out, &err));
	assert_true(json_is_null(out.any));
	assert_true(json_parse(STR("{}"), arena, &json, &err));
	assert_false(json_read(json, any, &out, &err));
	assert_int_equal(err.code, M_MISSING_PARAM);
}

/* ---- strings and text ---- */

static void writes_strings(void **state UNUSED)
{
	static const struct {
		struct str text, json;
	} cases[] = {
		{ STR_INIT(""), STR_INIT("\"\"") },
		{ STR_INIT("plain é"), STR_INIT("\"plain é\"") },
		{ STR_INIT("a\"b\\c\n\t\x01\0z\x7f"), STR_INIT("\"a\\\"b\\\\c\\u000a\\u0009\\u0001\\u0000z\x7f\"") },
		{ STR_INIT("\"\""), STR_INIT("\"\\\"\\\"\"") },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(buf_done) struct buf buf = buf_init(1000);
		json_t *json;
		struct err err;

		json_write_str(&buf, cases[i].text);
		assert_true(str_eq(buf_str(&buf), cases[i].json));
		assert_true(json_parse(buf_str(&buf), arena, &json, &err));
		assert_true(str_eq(json_str(json), cases[i].text));
	}
}

static void views_strings(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	json_t *json, *string = json_new_str((struct str){ "x\0y", 3 });
	struct err err;

	assert_true(str_eq(json_str(string), (struct str){ "x\0y", 3 }));
	json_decref(string);
	assert_true(json_parse(STR("{\"a\":\"b\",\"c\":1}"), arena, &json, &err));
	assert_true(str_eq(json_get_str(json, "a"), STR("b")));
	assert_int_equal(json_get_str(json, "c").len, 0);
	assert_int_equal(json_get_str(json, "d").len, 0);
	assert_int_equal(json_get_str(NULL, "d").len, 0);
}

static void sorts_members(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	json_t *json;
	struct err err;

	assert_true(json_parse(STR("{\"b\":1,\"é\":2,\"a\":{\"z\":1,\"y\":2}}"), arena, &json, &err));
	assert_true(str_eq(json_text_sorted(json, arena), STR("{\"a\":{\"y\":2,\"z\":1},\"b\":1,\"é\":2}")));
	assert_true(str_eq(json_text(json, arena), STR("{\"b\":1,\"é\":2,\"a\":{\"z\":1,\"y\":2}}")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_what_is_json),    cmocka_unit_test(refuses_what_is_not),
		cmocka_unit_test(bounds_depth),           cmocka_unit_test(reads_fields),
		cmocka_unit_test(names_the_faulty_field), cmocka_unit_test(requires_any_value),
		cmocka_unit_test(writes_strings),         cmocka_unit_test(views_strings),
		cmocka_unit_test(sorts_members),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
