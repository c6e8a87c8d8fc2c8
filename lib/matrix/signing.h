/*
 * Ed25519 signatures (appendices, "Signing JSON"; server-server-api "Signing Events"). A key never changes once loaded,
 * so any number of threads may sign with it.
 */
#pragma once

#include "base/base.h"

struct signing_key;
struct signature {
	uint8_t bytes[64];
};

/* From a line of a key file, as Synapse's: `ed25519 KEYID BASE64SEED`. The caller owns *ret_key. M_UNKNOWN: malformed.
 */
bool signing_key_parse(struct str line, struct signing_key **ret_key, struct err *err);
/* A new one with a random seed; `version` is what follows `ed25519:`. */
struct signing_key *signing_key_generate(struct str version);
void signing_key_free(struct signing_key *key); /* Wipes it. NULL is fine. */
DEFINE_CLEANUP(struct signing_key *, signing_key_free)

struct str signing_key_id(const struct signing_key *key);     /* "ed25519:KEYID"; lives as long as the key */
struct str signing_key_public(const struct signing_key *key); /* unpadded base64 */
struct str signing_key_line(const struct signing_key *key, struct arena *arena); /* what signing_key_parse reads */

/* Signs `canonical`: canonical JSON without signatures and unsigned. Cannot fail. */
struct signature signing_sign(const struct signing_key *key, struct str canonical);
bool signing_verify(const uint8_t public_key[32], struct str canonical, const struct signature *signature);

/*
 * Adds a signature of `server_name` to a JSON object: canonical JSON with `signatures` extended (and `unsigned` kept as
 * it was). Numbers may be any, here and in json_verify: both sign what carries events of old rooms. M_NOT_JSON,
 * M_BAD_JSON.
 */
bool json_sign(struct str object, struct str server_name, const struct signing_key *key, struct arena *arena,
	       struct str *ret_signed, struct err *err);
/* A signature by `signer` (user or server) under `key_id` is there and verifies. */
bool json_verify(struct str object, struct str signer, struct str key_id, const uint8_t public_key[32],
		 struct arena *arena);
