#include "matrix/base64.h"

#include <sodium.h>

static struct str encode(struct arena *arena, const void *bytes, size_t len, int variant)
{
	size_t size = sodium_base64_encoded_len(len, variant);
	char *text = arena_alloc(arena, size);

	sodium_bin2base64(text, size, bytes, len, variant);
	return (struct str){ text, size - 1 };
}

struct str base64_encode(struct arena *arena, const void *bytes, size_t len)
{
	return encode(arena, bytes, len, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
}

struct str base64url_encode(struct arena *arena, const void *bytes, size_t len)
{
	return encode(arena, bytes, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

static struct str without_padding(struct str text)
{
	if (text.len % 4 || text.len == 0)
		return text;
	for (size_t i = 0; i < 2 && text.ptr[text.len - 1] == '='; i++)
		text.len--;
	return text;
}

static int digit_value(char c, const char *last_two)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == last_two[0])
		return 62;
	return c == last_two[1] ? 63 : -1;
}

static size_t decoded_len(struct str unpadded)
{
	return unpadded.len / 4 * 3 + unpadded.len % 4 * 3 / 4;
}

/* Writes decoded_len bytes. */
static bool decode(struct str unpadded, const char *last_two, uint8_t *bytes)
{
	uint32_t bits = 0;
	unsigned count = 0;

	if (unpadded.len % 4 == 1)
		return false;
	for (size_t i = 0; i < unpadded.len; i++) {
		int value = digit_value(unpadded.ptr[i], last_two);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		count += 6;
		if (count >= 8) {
			count -= 8;
			*bytes++ = (uint8_t)(bits >> count);
		}
	}
	return true;
}

static bool decode_all(struct str text, const char *last_two, struct arena *arena, struct str *ret_bytes)
{
	struct str unpadded = without_padding(text);
	char *bytes = arena_alloc(arena, decoded_len(unpadded) + 1);

	if (!decode(unpadded, last_two, (uint8_t *)bytes))
		return false;
	*ret_bytes = (struct str){ bytes, decoded_len(unpadded) };
	return true;
}

bool base64_decode(struct str text, struct arena *arena, struct str *ret_bytes)
{
	return decode_all(text, "+/", arena, ret_bytes);
}

bool base64url_decode(struct str text, struct arena *arena, struct str *ret_bytes)
{
	return decode_all(text, "-_", arena, ret_bytes);
}

bool base64_decode_exactly(struct str text, void *bytes, size_t len)
{
	struct str unpadded = without_padding(text);

	return decoded_len(unpadded) == len && decode(unpadded, "+/", bytes);
}
