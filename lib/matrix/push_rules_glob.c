/*
 * Patterns: `*` stands for any characters or none, `?` for one. Specification: appendices "Glob-style matching";
 * modules/push.md "event_match" for what a word boundary is: the start or end of the value, or any character but A-Z,
 * a-z, 0-9 and _.
 *
 * A pattern is cut at its stars. Each piece is searched for behind the one before, at the first place where it fits: if
 * the pieces fit at all, they fit there. Only the first and the last have more to heed: where the match may begin and
 * end.
 */
#include "base/utf8.h"
#include "matrix/push_rules_internal.h"

/* Capital letters that have a small one of the same length in UTF-8: `step` apart, each `delta` before its small one.
 */
static const struct {
	uint32_t first, last, step;
	int32_t delta;
} capitals[] = {
	{ 'A', 'Z', 1, 32 },      { 0xc0, 0xd6, 1, 32 },   { 0xd8, 0xde, 1, 32 },   { 0x100, 0x12e, 2, 1 },
	{ 0x132, 0x136, 2, 1 },   { 0x139, 0x147, 2, 1 },  { 0x14a, 0x176, 2, 1 },  { 0x179, 0x17d, 2, 1 },
	{ 0x386, 0x386, 1, 38 },  { 0x388, 0x38a, 1, 37 }, { 0x38c, 0x38c, 1, 64 }, { 0x38e, 0x38f, 1, 63 },
	{ 0x391, 0x3a1, 1, 32 },  { 0x3a3, 0x3ab, 1, 32 }, { 0x3c2, 0x3c2, 1, 1 }, /* the sigma at a word's end */
	{ 0x400, 0x40f, 1, 80 },  { 0x410, 0x42f, 1, 32 }, { 0x460, 0x480, 2, 1 },  { 0x48a, 0x4be, 2, 1 },
	{ 0x4c1, 0x4cd, 2, 1 },   { 0x4d0, 0x52e, 2, 1 },  { 0x531, 0x556, 1, 48 }, { 0x1e00, 0x1e94, 2, 1 },
	{ 0x1ea0, 0x1efe, 2, 1 },
};

static uint32_t fold(uint32_t c)
{
	for (size_t i = 0; i < ARRAY_LEN(capitals) && c >= capitals[i].first; i++) {
		if (c <= capitals[i].last && (c - capitals[i].first) % capitals[i].step == 0)
			return c + (uint32_t)capitals[i].delta;
	}
	return c;
}

struct str push_fold(struct str text, struct arena *arena)
{
	char *folded = arena_alloc(arena, text.len + 1);
	size_t len = 0;
	uint32_t c;

	while (utf8_next(&text, &c))
		len += utf8_encode(fold(c), folded + len);
	return (struct str){ folded, len };
}

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool at_word_boundary(struct str text, size_t at)
{
	return at == 0 || at == text.len || !is_word_char(text.ptr[at - 1]) || !is_word_char(text.ptr[at]);
}

/* One search: what is looked for where. */
struct search {
	struct str text;
	bool words;    /* a match begins and ends at word boundaries; else at the text's start and end */
	bool wildcard; /* `?` is one */
};

static bool may_begin(const struct search *s, size_t at)
{
	return s->words ? at_word_boundary(s->text, at) : at == 0;
}

static bool may_end(const struct search *s, size_t at)
{
	return s->words ? at_word_boundary(s->text, at) : at == s->text.len;
}

/* The length of the character that starts at `at`. */
static size_t char_len(struct str text, size_t at)
{
	size_t len = 1;

	while (at + len < text.len && ((uint8_t)text.ptr[at + len] & 0xc0) == 0x80)
		len++;
	return len;
}

/* A piece without stars fits right at `at`, and then ends at *ret_end. */
static bool fits_at(const struct search *s, struct str piece, size_t at, size_t *ret_end)
{
	for (size_t i = 0; i < piece.len; i++) {
		if (at == s->text.len)
			return false;
		if (s->wildcard && piece.ptr[i] == '?')
			at += char_len(s->text, at);
		else if (s->text.ptr[at++] != piece.ptr[i])
			return false;
	}
	*ret_end = at;
	return true;
}

/* The first place from `from` on where a piece could fit: where its first characters without wildcards stand, if they
 * are first. */
static bool next_place(const struct search *s, struct str piece, size_t from, size_t *ret_at)
{
	ptrdiff_t wildcard = s->wildcard ? str_find_char(piece, '?') : -1;
	ptrdiff_t at = str_find(str_from(s->text, from), wildcard < 0 ? piece : str_sub(piece, 0, (size_t)wildcard));

	if (at < 0)
		return false;
	*ret_at = from + (size_t)at;
	return true;
}

/* The first place for a piece from *at on; *at is then its end. */
static bool find_piece(const struct search *s, struct str piece, bool first, bool last, size_t *at)
{
	for (size_t place = *at; place <= s->text.len && next_place(s, piece, place, &place);
	     place += place < s->text.len ? char_len(s->text, place) : 1) {
		size_t end;

		if (first && !s->words && place > 0)
			return false;
		if ((first && !may_begin(s, place)) || !fits_at(s, piece, place, &end) || (last && !may_end(s, end)))
			continue;
		*at = end;
		return true;
	}
	return false;
}

static bool find_pattern(const struct search *s, struct str pattern)
{
	struct str piece;
	size_t at = 0;

	for (bool first = true; str_split(&pattern, '*', &piece); first = false) {
		if (!find_piece(s, piece, first, !pattern.ptr, &at))
			return false;
	}
	return true;
}

bool push_glob_matches(struct str pattern, struct str text)
{
	const struct search s = { .text = text, .wildcard = true };

	return find_pattern(&s, pattern.ptr ? pattern : STR(""));
}

bool push_glob_matches_words(struct str pattern, struct str text)
{
	const struct search s = { .text = text, .words = true, .wildcard = true };

	return find_pattern(&s, pattern.ptr ? pattern : STR(""));
}

bool push_words_contain(struct str words, struct str text)
{
	const struct search s = { .text = text, .words = true };
	size_t at = 0;

	return find_piece(&s, words, true, true, &at);
}
