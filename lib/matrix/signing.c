#include "matrix/signing.h"

#include <sodium.h>

#include "matrix/base64.h"
#include "matrix/canonical.h"

#define MAX_KEY_VERSION 128

static const struct str uncovered[] = { STR_INIT("signatures"), STR_INIT("unsigned") };

struct signing_key {
	uint8_t secret[crypto_sign_SECRETKEYBYTES];
	uint8_t public[crypto_sign_PUBLICKEYBYTES];
	size_t id_len;
	char id[sizeof("ed25519:") + MAX_KEY_VERSION];
	char public_base64[44];
};

static struct signing_key *key_of_seed(struct str version, const uint8_t seed[crypto_sign_SEEDBYTES])
{
	struct signing_key *key = X_NEW(struct signing_key);

	if (sodium_init() < 0)
		abort();
	crypto_sign_seed_keypair(key->public, key->secret, seed);
	key->id_len = (size_t)snprintf(key->id, sizeof(key->id), "ed25519:%.*s", STR_ARG(version));
	sodium_bin2base64(key->public_base64, sizeof(key->public_base64), key->public, sizeof(key->public),
			  sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	return key;
}

/* What follows `ed25519:` in a key ID: server-server-api "Publishing keys", [a-zA-Z0-9_]+. */
static bool version_valid(struct str version)
{
	for (size_t i = 0; i < version.len; i++) {
		char c = version.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
			return false;
	}
	return version.len > 0 && version.len <= MAX_KEY_VERSION;
}

bool signing_key_parse(struct str line, struct signing_key **ret_key, struct err *err)
{
	struct str rest = str_trim(line), algorithm = { 0 }, version = { 0 }, seed_text = { 0 };
	uint8_t seed[crypto_sign_SEEDBYTES];

	str_split(&rest, ' ', &algorithm);
	str_split(&rest, ' ', &version);
	str_split(&rest, ' ', &seed_text);
	if (!str_eq(algorithm, STR("ed25519")))
		return err_set(err, M_UNKNOWN, "A signing key begins with \"ed25519\"");
	if (!version_valid(version))
		return err_set(err, M_UNKNOWN, "A signing key's ID is made of A-Z, a-z, 0-9 and _");
	if (rest.ptr || !base64_decode_exactly(seed_text, seed, sizeof(seed)))
		return err_set(err, M_UNKNOWN, "A signing key ends with 32 bytes in Base64");
	*ret_key = key_of_seed(version, seed);
	sodium_memzero(seed, sizeof(seed));
	return true;
}

struct signing_key *signing_key_generate(struct str version)
{
	uint8_t seed[crypto_sign_SEEDBYTES];
	struct signing_key *key;

	assert(version_valid(version));
	randombytes_buf(seed, sizeof(seed));
	key = key_of_seed(version, seed);
	sodium_memzero(seed, sizeof(seed));
	return key;
}

void signing_key_free(struct signing_key *key)
{
	if (!key)
		return;
	sodium_memzero(key, sizeof(*key));
	free(key);
}

struct str signing_key_id(const struct signing_key *key)
{
	return (struct str){ key->id, key->id_len };
}

struct str signing_key_public(const struct signing_key *key)
{
	return str_of(key->public_base64);
}

struct str signing_key_line(const struct signing_key *key, struct arena *arena)
{
	uint8_t seed[crypto_sign_SEEDBYTES];
	struct str line, version = str_from(signing_key_id(key), strlen("ed25519:"));

	crypto_sign_ed25519_sk_to_seed(seed, key->secret);
	line = str_printf(arena, "ed25519 %.*s %.*s", STR_ARG(version),
			  STR_ARG(base64_encode(arena, seed, sizeof(seed))));
	sodium_memzero(seed, sizeof(seed));
	return line;
}

struct signature signing_sign(const struct signing_key *key, struct str canonical)
{
	struct signature signature;

	crypto_sign_detached(signature.bytes, NULL, (const uint8_t *)canonical.ptr, canonical.len, key->secret);
	return signature;
}

bool signing_verify(const uint8_t public_key[32], struct str canonical, const struct signature *signature)
{
	return crypto_sign_verify_detached(signature->bytes, (const uint8_t *)canonical.ptr, canonical.len,
					   public_key) == 0;
}

/* The object called `key` in `object`; empty if there is none. false: it is something else. */
static bool object_or_empty(struct str object, struct str key, struct str *ret_value)
{
	struct str value = STR("{}");

	if (slice_get(object, key, &value) && slice_type(value) != SLICE_OBJECT)
		return false;
	*ret_value = value;
	return true;
}

bool json_sign(struct str object, struct str server_name, const struct signing_key *key, struct arena *arena,
	       struct str *ret_signed, struct err *err)
{
	struct str whole, signatures, entity, text;
	struct signature signature;

	if (!canonical_json_loose(object, arena, &whole, err))
		return false;
	if (slice_type(whole) != SLICE_OBJECT || !object_or_empty(whole, STR("signatures"), &signatures) ||
	    !object_or_empty(signatures, server_name, &entity))
		return err_set(err, M_BAD_JSON, "Only an object whose signatures are objects can be signed");
	signature = signing_sign(key, canonical_without(whole, uncovered, ARRAY_LEN(uncovered), arena));
	text = base64_encode(arena, signature.bytes, sizeof(signature.bytes));
	entity = canonical_set(entity, signing_key_id(key), str_printf(arena, "\"%.*s\"", STR_ARG(text)), arena);
	*ret_signed =
		canonical_set(whole, STR("signatures"), canonical_set(signatures, server_name, entity, arena), arena);
	return true;
}

bool json_verify(struct str object, struct str signer, struct str key_id, const uint8_t public_key[32],
		 struct arena *arena)
{
	struct str value, signature_value, text, covered;
	struct signature signature;
	struct err err;

	return slice_parse(object, &value, &err) &&
	       slice_path(value, &signature_value, STR("signatures"), signer, key_id) &&
	       slice_string(signature_value, arena, &text) &&
	       base64_decode_exactly(text, signature.bytes, sizeof(signature.bytes)) &&
	       canonical_value(value, CANONICAL_ANY, uncovered, ARRAY_LEN(uncovered), arena, &covered, &err) &&
	       signing_verify(public_key, covered, &signature);
}
