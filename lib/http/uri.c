/* Request targets: splitting, percent-decoding (RFC 3986), query strings as forms write them. */
#include "base/utf8.h"
#include "http/internal.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool escapes_valid(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] != '%')
			continue;
		if (text.len - i < 3 || hex_digit(text.ptr[i + 1]) < 0 || hex_digit(text.ptr[i + 2]) < 0)
			return false;
		i += 2;
	}
	return true;
}

static bool is_plain(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '%' || (signed char)text.ptr[i] <= 0)
			return false;
	}
	return true;
}

bool uri_valid(struct str text)
{
	char *decoded;
	struct str result;
	bool valid;

	if (is_plain(text))
		return true;
	if (!escapes_valid(text))
		return false;
	decoded = x_malloc(text.len);
	result = (struct str){ decoded, uri_decode(text, false, decoded) };
	valid = utf8_valid(result) && str_find_char(result, 0) < 0;
	free(decoded);
	return valid;
}

size_t uri_decode(struct str text, bool query, char *out)
{
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '%') {
			c = (char)(hex_digit(text.ptr[i + 1]) * 16 + hex_digit(text.ptr[i + 2]));
			i += 2;
		} else if (c == '+' && query) {
			c = ' ';
		}
		out[len++] = c;
	}
	return len;
}

/* RFC 9112, section 3.2.2: a server accepts the absolute form, too. */
static struct str without_authority(struct str target)
{
	ptrdiff_t scheme = str_find(target, STR("://"));
	struct str rest;
	ptrdiff_t slash;

	if (str_starts_with(target, STR("/")) || scheme < 0)
		return target;
	rest = str_from(target, (size_t)scheme + 3);
	slash = str_find_char(rest, '/');
	return slash < 0 ? str_from(target, target.len) : str_from(rest, (size_t)slash);
}

void uri_split(struct str target, struct str *ret_path, struct str *ret_query)
{
	struct str rest = without_authority(target);
	ptrdiff_t mark = str_find_char(rest, '?');
	size_t path_len = mark < 0 ? rest.len : (size_t)mark;

	*ret_path = str_sub(rest, 0, path_len);
	if (!str_starts_with(*ret_path, STR("/")))
		*ret_path = str_sub(rest, 0, 0);
	*ret_query = mark < 0 ? str_from(rest, rest.len) : str_from(rest, path_len + 1);
}

static struct str decoded(struct str text, struct arena *arena)
{
	char *out = arena_alloc(arena, text.len);

	return (struct str){ out, uri_decode(text, true, out) };
}

bool uri_parse_query(struct str query, struct arena *arena, struct query_item **ret_items, size_t *ret_count,
		     struct err *err)
{
	struct query_item *items = NULL;
	size_t count = 0, cap = 0;
	struct str part;

	if (!uri_valid(query))
		return err_set(err, M_INVALID_PARAM, "The query string is not valid percent-encoded UTF-8");
	while (str_split(&query, '&', &part)) {
		ptrdiff_t equals = str_find_char(part, '=');
		size_t name_len = equals < 0 ? part.len : (size_t)equals;

		if (part.len == 0)
			continue;
		*ARENA_PUSH(arena, items, count, cap) = (struct query_item){
			.name = decoded(str_sub(part, 0, name_len), arena),
			.value = decoded(str_from(part, name_len + 1), arena),
		};
	}
	*ret_items = items;
	*ret_count = count;
	return true;
}
