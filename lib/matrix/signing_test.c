#include "matrix/signing.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "matrix/base64.h"

/* appendices, "Cryptographic Test Vectors" */
#define TEST_LINE "ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"

static struct signing_key *test_key(void)
{
	struct signing_key *key = NULL;
	struct err err;

	assert_true(signing_key_parse(STR(TEST_LINE), &key, &err));
	return key;
}

static void reads_and_writes_keys(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(signing_key_free) struct signing_key *key = test_key(), *again = NULL;
	struct err err;
	struct str line = signing_key_line(key, arena);

	assert_true(str_eq(signing_key_id(key), STR("ed25519:1")));
	assert_true(str_eq(signing_key_public(key), STR("XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI")));
	assert_true(signing_key_parse(line, &again, &err));
	assert_true(str_eq(signing_key_line(again, arena), line));
	assert_true(str_eq(signing_key_public(again), signing_key_public(key)));
}

static void refuses_malformed_keys(void **state UNUSED)
{
	static const struct str lines[] = {
		STR_INIT(""),
		STR_INIT("ed25519"),
		STR_INIT("ed25519 1"),
		STR_INIT("ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3"),
		STR_INIT("ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1AAAA"),
		STR_INIT("ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1 more"),
		STR_INIT("ed25519  YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"),
		STR_INIT("ed25519 a:b YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"),
		STR_INIT("ed448 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"),
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct signing_key *key = NULL;
		struct err err = { 0 };

		assert_false(signing_key_parse(lines[i], &key, &err));
		assert_null(key);
		assert_int_equal(err.code, M_UNKNOWN);
	}
}

static void generates_keys_that_differ(void **state UNUSED)
{
	CLEANUP(signing_key_free) struct signing_key *one = signing_key_generate(STR("a_Bc1"));
	CLEANUP(signing_key_free) struct signing_key *two = signing_key_generate(STR("a_Bc1"));

	assert_true(str_eq(signing_key_id(one), STR("ed25519:a_Bc1")));
	assert_false(str_eq(signing_key_public(one), signing_key_public(two)));
}

/* appendices, "JSON Signing"; then what else sign_json does there. */
static void signs_json(void **state UNUSED)
{
	static const struct {
		struct str given, signed_form;
	} cases[] = {
		{ STR_INIT("{}"),
		  STR_INIT("{\"signatures\":{\"domain\":{\"ed25519:1\":\"K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+"
			   "UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ\"}}}") },
		{ STR_INIT("{\n\"one\": 1,\n\"two\": \"Two\"\n}"),
		  STR_INIT("{\"one\":1,\"signatures\":{\"domain\":{\"ed25519:1\":\"KqmLSbO39/Bzb0QIYE82zqLwsA+"
			   "PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw\"}},\"two\":\"Two\"}") },
		{ STR_INIT("{\"unsigned\":{\"b\":1.5,\"a\":2},\"signatures\":{\"other\":{\"k\":\"s\"},\"domain\":{"
			   "\"ed25519:0\":"
			   "\"z\",\"ed25519:1\":\"old\"}},\"one\":1,\"two\":\"Two\"}"),
		  STR_INIT("{\"one\":1,\"signatures\":{\"domain\":{\"ed25519:0\":\"z\",\"ed25519:1\":\"KqmLSbO39/"
			   "Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw\"},\"other\":"
			   "{\"k\":\"s\"}},\"two\":\"Two\",\"unsigned\":{\"a\":2,\"b\":1.5}}") },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(signing_key_free) struct signing_key *key = test_key();
	uint8_t public_key[32];

	assert_true(base64_decode_exactly(signing_key_public(key), public_key, sizeof(public_key)));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str text;
		struct err err;

		assert_true(json_sign(cases[i].given, STR("domain"), key, arena, &text, &err));
		if (!str_eq(text, cases[i].signed_form))
			fail_msg("%.*s", STR_ARG(text));
		assert_true(json_verify(text, STR("domain"), STR("ed25519:1"), public_key, arena));
	}
}

static void signs_objects_only(void **state UNUSED)
{
	static const struct {
		struct str given;
		enum errcode code;
	} cases[] = {
		{ STR_INIT("[]"), M_BAD_JSON },
		{ STR_INIT("{\"signatures\":[]}"), M_BAD_JSON },
		{ STR_INIT("{\"signatures\":{\"domain\":\"x\"}}"), M_BAD_JSON },
		{ STR_INIT("{"), M_NOT_JSON },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(signing_key_free) struct signing_key *key = test_key();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str text;
		struct err err = { 0 };

		assert_false(json_sign(cases[i].given, STR("domain"), key, arena, &text, &err));
		assert_int_equal(err.code, cases[i].code);
	}
}

#define GOOD "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw"

static void verifies_json(void **state UNUSED)
{
	static const struct {
		struct str text;
		bool ok;
	} cases[] = {
		{ STR_INIT("{\"two\":\"Two\",\"one\":1,\"signatures\":{\"domain\":{\"ed25519:1\":\"" GOOD "\"}}}"),
		  true },
		{ STR_INIT("{\"two\":\"\\u0054wo\",\"one\":1,\"unsigned\":[1e5],\"signatures\":{\"domain\":{\"ed25519:"
			   "1\":\"" GOOD "\"}}}"),
		  true },
		{ STR_INIT("{\"two\":\"Two\",\"one\":2,\"signatures\":{\"domain\":{\"ed25519:1\":\"" GOOD "\"}}}"),
		  false },
		{ STR_INIT("{\"two\":\"Two\",\"one\":1,\"signatures\":{\"domain\":{\"ed25519:1\":\"" GOOD "A\"}}}"),
		  false },
		{ STR_INIT("{\"two\":\"Two\",\"one\":1,\"signatures\":{\"domain\":{\"ed25519:1\":\"" GOOD "-\"}}}"),
		  false },
		{ STR_INIT("{\"two\":\"Two\",\"one\":1,\"signatures\":{\"domain\":{\"ed25519:1\":\"\"}}}"), false },
		{ STR_INIT("{\"two\":\"Two\",\"one\":1,\"signatures\":{\"domain\":{\"ed25519:1\":1}}}"), false },
		{ STR_INIT("{\"two\":\"Two\",\"one\":1,\"signatures\":{\"domain\":{\"ed25519:2\":\"" GOOD "\"}}}"),
		  false },
		{ STR_INIT("{\"two\":\"Two\",\"one\":1,\"signatures\":{\"other\":{\"ed25519:1\":\"" GOOD "\"}}}"),
		  false },
		{ STR_INIT("{\"two\":\"Two\",\"one\":1,\"signatures\":[]}"), false },
		{ STR_INIT("{\"two\":\"Two\",\"one\":1}"), false },
		{ STR_INIT("{"), false },
		{ STR_INIT("[]"), false },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(signing_key_free) struct signing_key *key = test_key();
	uint8_t public_key[32];

	assert_true(base64_decode_exactly(signing_key_public(key), public_key, sizeof(public_key)));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (json_verify(cases[i].text, STR("domain"), STR("ed25519:1"), public_key, arena) != cases[i].ok)
			fail_msg("%.*s", STR_ARG(cases[i].text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_and_writes_keys),      cmocka_unit_test(refuses_malformed_keys),
		cmocka_unit_test(generates_keys_that_differ), cmocka_unit_test(signs_json),
		cmocka_unit_test(signs_objects_only),         cmocka_unit_test(verifies_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
