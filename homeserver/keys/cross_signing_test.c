#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sodium.h>

#include "keys/keys_internal.h"
#include "matrix/base64.h"

#define USER STR("@ana:hearth.test")

struct pair {
	uint8_t public[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES];
	struct str text;
};

static struct pair new_pair(struct arena *arena)
{
	struct pair pair;

	crypto_sign_keypair(pair.public, pair.secret);
	pair.text = base64_encode(arena, pair.public, sizeof(pair.public));
	return pair;
}

static struct str bare_key(struct arena *arena, const struct pair *pair, const char *usage)
{
	return str_printf(arena,
			  "{\"keys\":{\"ed25519:%.*s\":\"%.*s\"},\"usage\":[\"%s\"],\"user_id\":\"@ana:hearth.test\"}",
			  STR_ARG(pair->text), STR_ARG(pair->text), usage);
}

/* The canonical text of `bare` with a signature over it, its members in order. */
static struct str sign(struct arena *arena, struct str bare, const struct pair *by)
{
	uint8_t signature[crypto_sign_BYTES];
	struct str text;
	ptrdiff_t usage = str_find(bare, STR(",\"usage\""));

	crypto_sign_detached(signature, NULL, (const uint8_t *)bare.ptr, bare.len, by->secret);
	text = base64_encode(arena, signature, sizeof(signature));
	return str_printf(arena, "%.*s,\"signatures\":{\"@ana:hearth.test\":{\"ed25519:%.*s\":\"%.*s\"}}%.*s",
			  STR_ARG(str_sub(bare, 0, (size_t)usage)), STR_ARG(by->text), STR_ARG(text),
			  STR_ARG(str_from(bare, (size_t)usage)));
}

static bool read_key(struct arena *arena, struct str text, enum key_usage usage, struct cross_key *ret_key,
		     struct err *err)
{
	json_t *json;

	assert_true(json_parse(text, arena, &json, err));
	return cross_key_read(json, USER, usage, arena, ret_key, err);
}

static void reads_keys_and_checks_who_signed_them(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct pair master = new_pair(arena), sub = new_pair(arena), other = new_pair(arena);
	struct cross_key master_key, sub_key, other_key;
	struct err err = { 0 };

	assert_true(read_key(arena, bare_key(arena, &master, "master"), KEY_MASTER, &master_key, &err));
	assert_true(str_eq(master_key.public_key, master.text));
	assert_memory_equal(master_key.bytes, master.public, sizeof(master.public));
	assert_true(read_key(arena, bare_key(arena, &other, "master"), KEY_MASTER, &other_key, &err));
	assert_true(read_key(arena, sign(arena, bare_key(arena, &sub, "self_signing"), &master), KEY_SELF_SIGNING,
			     &sub_key, &err));
	assert_true(cross_key_signed_by(sub_key.json, USER, &master_key, arena));
	assert_false(cross_key_signed_by(sub_key.json, STR("@bob:hearth.test"), &master_key, arena));
	assert_false(cross_key_signed_by(sub_key.json, USER, &other_key, arena));
	assert_false(cross_key_signed_by(sub_key.json, USER, &(struct cross_key){ 0 }, arena));
	assert_true(signed_object_same(sub_key.json, bare_key(arena, &sub, "self_signing"), arena));
	assert_false(signed_object_same(sub_key.json, master_key.json, arena));
}

static void refuses_what_is_no_key(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct pair pair = new_pair(arena);
	struct str good = bare_key(arena, &pair, "master");
	const struct str cases[] = {
		STR("{}"),
		STR("[]"),
		STR("{\"user_id\":\"@bob:hearth.test\",\"usage\":[\"master\"],\"keys\":{}}"),
		STR("{\"user_id\":\"@ana:hearth.test\",\"usage\":[\"self_signing\"],\"keys\":{}}"),
		STR("{\"user_id\":\"@ana:hearth.test\",\"usage\":[\"master\"],\"keys\":{}}"),
		STR("{\"user_id\":\"@ana:hearth.test\",\"usage\":[\"master\"],\"keys\":{\"ed25519:AAAA\":\"AAAA\"}}"),
		STR("{\"user_id\":\"@ana:hearth.test\",\"usage\":[\"master\"],\"keys\":{\"rsa:AAAA\":\"AAAA\"}}"),
		STR("{\"user_id\":\"@ana:hearth.test\",\"usage\":[\"master\"],\"keys\":{\"ed25519:x\":1}}"),
		str_printf(
			arena,
			"{\"user_id\":\"@ana:hearth.test\",\"usage\":[\"master\"],\"keys\":{\"ed25519:X\":\"%.*s\"}}",
			STR_ARG(pair.text)),
	};
	struct cross_key key;
	struct err err = { 0 };

	assert_true(read_key(arena, good, KEY_MASTER, &key, &err));
	assert_false(read_key(arena, good, KEY_USER_SIGNING, &key, &err));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		err = (struct err){ 0 };
		assert_false(read_key(arena, cases[i], KEY_MASTER, &key, &err));
		assert_int_equal(err.status, 400);
	}
}

static void finds_the_signing_key_of_a_device(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct pair pair = new_pair(arena);
	struct str keys =
		str_printf(arena, "{\"keys\":{\"curve25519:D\":\"AAAA\",\"ed25519:D\":\"%.*s\"}}", STR_ARG(pair.text));
	uint8_t bytes[32];

	assert_true(device_signing_key(keys, STR("D"), arena, bytes));
	assert_memory_equal(bytes, pair.public, sizeof(bytes));
	assert_false(device_signing_key(keys, STR("E"), arena, bytes));
	assert_false(device_signing_key(STR("{\"keys\":{\"ed25519:D\":\"AAAA\"}}"), STR("D"), arena, bytes));
	assert_false(device_signing_key(STR("{\"keys\":[]}"), STR("D"), arena, bytes));
	assert_false(device_signing_key(STR("{}"), STR("D"), arena, bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_keys_and_checks_who_signed_them),
		cmocka_unit_test(refuses_what_is_no_key),
		cmocka_unit_test(finds_the_signing_key_of_a_device),
	};

	json_setup();
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
