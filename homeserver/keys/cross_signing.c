/*
 * client-server-api "Cross-signing": a user's master key signs their self-signing key, which signs their devices, and
 * their user-signing key, which signs other users' master keys. Pure: what a key must be, and whether it is signed.
 */
#include "keys/keys_internal.h"
#include "matrix/base64.h"
#include "matrix/canonical.h"
#include "matrix/signing.h"

#define KEY_PREFIX "ed25519:"

static const char *const usage_names[KEY_USAGE_COUNT] = { "master", "self_signing", "user_signing" };

struct key_body {
	struct str user_id;
	json_t *usage, *keys, *signatures;
};

static const struct json_field key_fields[] = {
	JSON_FIELD(struct key_body, user_id, JSON_REQUIRED),
	JSON_FIELD_ARR(struct key_body, usage, JSON_REQUIRED),
	JSON_FIELD_OBJ(struct key_body, keys, JSON_REQUIRED),
	JSON_FIELD_OBJ(struct key_body, signatures, JSON_OPTIONAL),
	{ 0 },
};

static bool has_usage(const json_t *usages, enum key_usage usage)
{
	for (size_t i = 0; i < json_array_size(usages); i++) {
		if (str_eq(json_str(json_array_get(usages, i)), str_of(usage_names[usage])))
			return true;
	}
	return false;
}

/* `keys` has one member, ed25519:KEY, whose value is KEY again. */
static bool read_public_key(json_t *keys, enum key_usage usage, struct cross_key *key, struct err *err)
{
	void *member = json_object_iter(keys);
	struct str name = str_of(member ? json_object_iter_key(member) : NULL);

	if (json_object_size(keys) != 1 || !str_starts_with(name, STR(KEY_PREFIX)))
		return err_set(err, M_INVALID_PARAM, "The %s key must have exactly one key, of ed25519",
			       usage_names[usage]);
	key->public_key = json_str(json_object_iter_value(member));
	if (!str_eq(str_from(name, strlen(KEY_PREFIX)), key->public_key) ||
	    !base64_decode_exactly(key->public_key, key->bytes, sizeof(key->bytes)))
		return err_set(err, M_INVALID_PARAM, "The %s key is no ed25519 key called by itself",
			       usage_names[usage]);
	return true;
}

bool cross_key_read(const json_t *json, struct str user_id, enum key_usage usage, struct arena *arena,
		    struct cross_key *ret_key, struct err *err)
{
	static const struct str without[] = { STR_INIT("unsigned") };
	struct key_body body = { 0 };
	struct cross_key key;

	if (!json_read(json, key_fields, &body, err))
		return false;
	if (!str_eq(body.user_id, user_id))
		return err_set(err, M_INVALID_PARAM, "The %s key is another user's", usage_names[usage]);
	if (!has_usage(body.usage, usage))
		return err_set(err, M_INVALID_PARAM, "The %s key is not meant for that", usage_names[usage]);
	if (!read_public_key(body.keys, usage, &key, err) ||
	    !canonical_json_loose(json_text(json, arena), arena, &key.json, err))
		return false;
	key.json = canonical_without(key.json, without, ARRAY_LEN(without), arena);
	if (key.json.len > KEYS_MAX_JSON)
		return err_set(err, M_TOO_LARGE, "A key has at most %d bytes", KEYS_MAX_JSON);
	key.public_key = str_dup(arena, key.public_key);
	*ret_key = key;
	return true;
}

bool signed_object_same(struct str a, struct str b, struct arena *arena)
{
	static const struct str without[] = { STR_INIT("signatures"), STR_INIT("unsigned") };

	return str_eq(canonical_without(a, without, ARRAY_LEN(without), arena),
		      canonical_without(b, without, ARRAY_LEN(without), arena));
}

bool cross_key_signed_by(struct str json, struct str signer_id, const struct cross_key *key, struct arena *arena)
{
	return key->public_key.len &&
	       json_verify(json, signer_id, str_concat(arena, STR(KEY_PREFIX), key->public_key), key->bytes, arena);
}

bool device_signing_key(struct str device_keys, struct str device_id, struct arena *arena, uint8_t ret_bytes[32])
{
	struct str keys, text;

	return slice_get(device_keys, STR("keys"), &keys) &&
	       slice_get_string(keys, str_concat(arena, STR(KEY_PREFIX), device_id), arena, &text) &&
	       base64_decode_exactly(text, ret_bytes, 32);
}
