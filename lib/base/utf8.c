#include "base/utf8.h"

/* The length that a lead byte announces, 0 when none may start so; the least code point of each length. */
static size_t lead_length(uint8_t lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead < 0xe0)
		return 2;
	if (lead >= 0xe0 && lead < 0xf0)
		return 3;
	if (lead >= 0xf0 && lead < 0xf5)
		return 4;
	return 0;
}

static bool decode(struct str s, size_t *ret_len, uint32_t *ret_code_point)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const uint8_t *p = (const uint8_t *)s.ptr;
	size_t len = lead_length(p[0]);
	uint32_t c = len == 1 ? p[0] : p[0] & (0x7fu >> len);

	if (len == 0 || len > s.len)
		return false;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return false;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return false;
	*ret_len = len;
	*ret_code_point = c;
	return true;
}

bool utf8_valid(struct str s)
{
	size_t i = 0, len;
	uint32_t c;

	while (i < s.len) {
		/* Eight ASCII bytes at once: nearly all that is checked is ASCII. */
		uint64_t word;

		if (s.len - i >= sizeof(word)) {
			memcpy(&word, s.ptr + i, sizeof(word));
			if (!(word & 0x8080808080808080u)) {
				i += sizeof(word);
				continue;
			}
		}
		if (!decode(str_from(s, i), &len, &c))
			return false;
		i += len;
	}
	return true;
}

bool utf8_next(struct str *s, uint32_t *ret_code_point)
{
	size_t len;

	if (s->len == 0 || !decode(*s, &len, ret_code_point))
		return false;
	*s = str_from(*s, len);
	return true;
}

size_t utf8_encode(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

size_t utf8_length(struct str s)
{
	size_t count = 0;

	for (size_t i = 0; i < s.len; i++)
		count += ((uint8_t)s.ptr[i] & 0xc0) != 0x80;
	return count;
}
