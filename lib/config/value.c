/* Single values in the syntax of the file. */
#include <errno.h>

#include "config/tree.h"

static bool suffixed(struct str text, struct str *ret_digits, char *ret_suffix)
{
	bool has_suffix;

	if (text.len == 0)
		return false;
	*ret_suffix = text.ptr[text.len - 1];
	has_suffix = *ret_suffix < '0' || *ret_suffix > '9';
	*ret_digits = str_sub(text, 0, text.len - has_suffix);
	if (!has_suffix)
		*ret_suffix = 0;
	return true;
}

static bool multiplied(struct str digits, int64_t factor, int64_t *ret_value)
{
	int64_t number;

	return str_to_int64(digits, &number) && !__builtin_mul_overflow(number, factor, ret_value);
}

/* A number of milliseconds, or a number and s m h d w y, a year being 365 days. */
bool config_duration(struct str text, int64_t *ret_ms)
{
	static const int64_t second = 1000, day = 86400 * second;
	struct str digits;
	char suffix;

	if (!suffixed(text, &digits, &suffix))
		return false;
	switch (suffix) {
	case 0:
		return multiplied(digits, 1, ret_ms);
	case 's':
		return multiplied(digits, second, ret_ms);
	case 'm':
		return multiplied(digits, 60 * second, ret_ms);
	case 'h':
		return multiplied(digits, 3600 * second, ret_ms);
	case 'd':
		return multiplied(digits, day, ret_ms);
	case 'w':
		return multiplied(digits, 7 * day, ret_ms);
	case 'y':
		return multiplied(digits, 365 * day, ret_ms);
	default:
		return false;
	}
}

/* A number of bytes, or a number and K M G T, powers of 1024; KiB and its like mean the same. */
bool config_size(struct str text, int64_t *ret_bytes)
{
	struct str digits;
	char suffix;

	if (text.len > 2 && str_ends_with(text, STR("iB")))
		text.len -= 2;
	if (!suffixed(text, &digits, &suffix))
		return false;
	switch (suffix) {
	case 0:
		return multiplied(digits, 1, ret_bytes);
	case 'K':
		return multiplied(digits, INT64_C(1) << 10, ret_bytes);
	case 'M':
		return multiplied(digits, INT64_C(1) << 20, ret_bytes);
	case 'G':
		return multiplied(digits, INT64_C(1) << 30, ret_bytes);
	case 'T':
		return multiplied(digits, INT64_C(1) << 40, ret_bytes);
	default:
		return false;
	}
}

static bool all_in(struct str text, const char *set)
{
	for (size_t i = 0; i < text.len; i++) {
		if (!text.ptr[i] || !strchr(set, text.ptr[i]))
			return false;
	}
	return text.len > 0;
}

/* The characters of a number, without the underscores that YAML allows among them; false: others, or far too many. */
static bool digits_of(struct str text, const char *set, char out[64])
{
	size_t len = 0;

	if (!all_in(text, set) || text.len >= 64)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] != '_')
			out[len++] = text.ptr[i];
	}
	out[len] = 0;
	return len > 0;
}

static bool has_sign(struct str text)
{
	return text.len && (text.ptr[0] == '-' || text.ptr[0] == '+');
}

bool yaml_integer(struct str text, int64_t *ret_value)
{
	struct str rest = str_from(text, has_sign(text));
	const char *set = "0123456789_";
	char digits[64];
	int64_t value;
	int base = 10;

	if (str_starts_with(rest, STR("0x"))) {
		base = 16;
		set = "0123456789abcdefABCDEF_";
		rest = str_from(rest, 2);
	} else if (str_starts_with(rest, STR("0b"))) {
		base = 2;
		set = "01_";
		rest = str_from(rest, 2);
	} else if (rest.len > 1 && rest.ptr[0] == '0') {
		base = 8;
		set = "01234567_";
	}
	if (!digits_of(rest, set, digits))
		return false;
	errno = 0;
	value = strtoll(digits, NULL, base);
	*ret_value = text.ptr[0] == '-' ? -value : value;
	return errno == 0;
}

bool yaml_float(struct str text, double *ret_value)
{
	struct str rest = str_from(text, has_sign(text));
	ptrdiff_t exponent = MAX(str_find_char(rest, 'e'), str_find_char(rest, 'E'));
	struct str mantissa = exponent < 0 ? rest : str_sub(rest, 0, (size_t)exponent);
	struct str power = exponent < 0 ? STR("+0") : str_from(rest, (size_t)exponent + 1);
	ptrdiff_t point = str_find_char(mantissa, '.');
	char digits[64];

	if (point < 0 || str_find_char(str_from(mantissa, (size_t)point + 1), '.') >= 0 || str_eq(mantissa, STR(".")))
		return false;
	if (!all_in(mantissa, "0123456789._") || !has_sign(power) || !all_in(str_from(power, 1), "0123456789"))
		return false;
	if (!digits_of(text, "0123456789._+-eE", digits))
		return false;
	*ret_value = strtod(digits, NULL);
	return __builtin_isfinite(*ret_value);
}

bool yaml_number(struct str text, double *ret_value)
{
	int64_t integer;

	if (!yaml_integer(text, &integer))
		return yaml_float(text, ret_value);
	*ret_value = (double)integer;
	return true;
}
