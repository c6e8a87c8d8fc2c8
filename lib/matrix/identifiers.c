#include "matrix/identifiers.h"

#include <arpa/inet.h>

#include "base/utf8.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_alnum(char c)
{
	return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z');
}

/* All of `text` is letters, digits or in `others`. */
static bool consists_of(struct str text, bool (*is_letter)(char c), const char *others)
{
	for (size_t i = 0; i < text.len; i++) {
		if (!is_letter(text.ptr[i]) && !(text.ptr[i] && strchr(others, text.ptr[i])))
			return false;
	}
	return true;
}

static bool is_lower_or_digit(char c)
{
	return is_lower(c) || is_digit(c);
}

/* 1 to `max_digits` digits with a value of at most `max`. */
static bool small_number(struct str text, size_t max_digits, int max, int *ret_value)
{
	int value = 0;

	if (text.len == 0 || text.len > max_digits || !consists_of(text, is_digit, ""))
		return false;
	for (size_t i = 0; i < text.len; i++)
		value = value * 10 + (text.ptr[i] - '0');
	*ret_value = value;
	return value <= max;
}

/* Four numbers between dots: written like this it is an address or nothing, never a DNS name. */
static bool looks_like_ipv4(struct str host)
{
	struct str part;
	int parts = 0;

	if (!consists_of(host, is_digit, "."))
		return false;
	while (str_split(&host, '.', &part))
		parts++;
	return parts == 4;
}

static bool ipv4_valid(struct str host)
{
	struct str part;
	int value;

	while (str_split(&host, '.', &part)) {
		if (!small_number(part, 3, 255, &value))
			return false;
	}
	return true;
}

static bool ipv6_valid(struct str host)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (host.len == 0 || host.len >= sizeof(text) || memchr(host.ptr, 0, host.len))
		return false;
	memcpy(text, host.ptr, host.len);
	text[host.len] = 0;
	return inet_pton(AF_INET6, text, &address) == 1;
}

static bool host_parse(struct str host, struct server_name *name)
{
	name->host = host;
	if (looks_like_ipv4(host)) {
		name->kind = SERVER_NAME_IPV4;
		return ipv4_valid(host);
	}
	name->kind = SERVER_NAME_DNS;
	return host.len >= 1 && host.len <= 255 && consists_of(host, is_alnum, "-.");
}

bool server_name_parse(struct str text, struct server_name *ret_name)
{
	struct server_name name = { .port = -1 };
	struct str port = { 0 };
	ptrdiff_t end;

	if (text.len > IDENTIFIER_MAX)
		return false;
	if (text.len && text.ptr[0] == '[') {
		end = str_find_char(text, ']');
		if (end < 0 || !ipv6_valid(str_sub(text, 1, (size_t)end - 1)))
			return false;
		name.kind = SERVER_NAME_IPV6;
		name.host = str_sub(text, 1, (size_t)end - 1);
		end++;
	} else {
		end = str_find_char(text, ':');
		if (end < 0)
			end = (ptrdiff_t)text.len;
		if (!host_parse(str_sub(text, 0, (size_t)end), &name))
			return false;
	}
	port = str_from(text, (size_t)end);
	if (port.len && (port.ptr[0] != ':' || !small_number(str_from(port, 1), 5, 65535, &name.port)))
		return false;
	*ret_name = name;
	return true;
}

bool server_name_valid(struct str text)
{
	struct server_name name;

	return server_name_parse(text, &name);
}

/* Any Unicode text without NUL (`:` cannot be in it: the first one ends it). */
static bool any_localpart_valid(struct str localpart)
{
	return str_find_char(localpart, 0) < 0 && utf8_valid(localpart);
}

static bool parse(struct str text, char sigil, struct identifier *ret_id)
{
	ptrdiff_t colon = str_find_char(text, ':');
	struct identifier id;

	if (text.len > IDENTIFIER_MAX || colon < 1 || text.ptr[0] != sigil)
		return false;
	id.localpart = str_sub(text, 1, (size_t)colon - 1);
	id.domain = str_from(text, (size_t)colon + 1);
	if (!any_localpart_valid(id.localpart) || !server_name_valid(id.domain))
		return false;
	*ret_id = id;
	return true;
}

bool user_id_parse(struct str text, struct identifier *ret_id)
{
	return parse(text, '@', ret_id);
}

bool user_id_valid(struct str text)
{
	struct identifier id;

	return user_id_parse(text, &id);
}

bool user_id_compliant(struct str text)
{
	struct identifier id;

	if (!user_id_parse(text, &id) || id.localpart.len == 0)
		return false;
	for (size_t i = 0; i < id.localpart.len; i++) {
		if (id.localpart.ptr[i] < 0x21 || id.localpart.ptr[i] > 0x7e)
			return false;
	}
	return true;
}

bool user_localpart_valid(struct str localpart)
{
	return localpart.len > 0 && consists_of(localpart, is_lower_or_digit, "._=-/+");
}

/* An ID without a domain: some text of which the grammar says no more than its length (a hash, where we make it). */
static bool parse_undomained(struct str text, char sigil, struct identifier *ret_id)
{
	if (text.len < 2 || text.len > IDENTIFIER_MAX || text.ptr[0] != sigil || !any_localpart_valid(text))
		return false;
	*ret_id = (struct identifier){ .localpart = str_from(text, 1) };
	return true;
}

bool room_id_parse(struct str text, struct identifier *ret_id)
{
	return str_find_char(text, ':') < 0 ? parse_undomained(text, '!', ret_id) : parse(text, '!', ret_id);
}

bool room_id_valid(struct str text)
{
	struct identifier id;

	return room_id_parse(text, &id);
}

bool room_alias_parse(struct str text, struct identifier *ret_id)
{
	return parse(text, '#', ret_id);
}

bool room_alias_valid(struct str text)
{
	struct identifier id;

	return room_alias_parse(text, &id);
}

bool event_id_parse(struct str text, struct identifier *ret_id)
{
	return parse(text, '$', ret_id);
}

bool event_id_valid(struct str text)
{
	struct identifier id;

	return str_find_char(text, ':') < 0 ? parse_undomained(text, '$', &id) : event_id_parse(text, &id);
}

struct str identifier_domain(struct str text)
{
	ptrdiff_t colon = str_find_char(text, ':');

	return colon < 0 ? (struct str){ 0 } : str_from(text, (size_t)colon + 1);
}

bool namespaced_id_valid(struct str text)
{
	return text.len > 0 && text.len <= IDENTIFIER_MAX && is_lower(text.ptr[0]) &&
	       consists_of(text, is_lower_or_digit, "-_.");
}

bool opaque_id_valid(struct str text)
{
	return text.len > 0 && text.len <= IDENTIFIER_MAX && consists_of(text, is_alnum, "-._~");
}
