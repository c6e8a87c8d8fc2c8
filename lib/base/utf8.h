/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#pragma once

#include "base/str.h"

bool utf8_valid(struct str s);
/* Takes one code point off the front of a valid *s; false at its end. */
bool utf8_next(struct str *s, uint32_t *ret_code_point);
/* Writes a code point (no surrogate, ≤ U+10FFFF) and returns its length, 1 to 4. */
size_t utf8_encode(uint32_t code_point, char out[4]);
size_t utf8_length(struct str s); /* of a valid s, in code points */
