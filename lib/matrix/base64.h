/*
 * Unpadded Base64 (appendices, "Unpadded Base64"), in the standard and in the URL-safe alphabet. Encoding never pads.
 * Decoding takes text with or without correct padding, and whatever the bits are that are left over (the
 * specification's own test key has some that are not zero); other characters, lengths that cannot be and wrong padding
 * are errors.
 */
#pragma once

#include "base/base.h"

struct str base64_encode(struct arena *arena, const void *bytes, size_t len);
struct str base64url_encode(struct arena *arena, const void *bytes, size_t len);
bool base64_decode(struct str text, struct arena *arena, struct str *ret_bytes);
bool base64url_decode(struct str text, struct arena *arena, struct str *ret_bytes);
/* Of the standard alphabet, exactly `len` bytes: keys, signatures, hashes. `bytes` is undefined when it fails. */
bool base64_decode_exactly(struct str text, void *bytes, size_t len);
