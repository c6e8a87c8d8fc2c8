/* Identifiers are made of their parts, the kinds exclude each other, and Base64 survives decoding. */
#include "base/utf8.h"
#include "matrix/base64.h"
#include "matrix/identifiers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_identifiers(struct str text, struct arena *arena)
{
	static bool (*const parsers[])(struct str, struct identifier *) = { user_id_parse, room_id_parse,
									    room_alias_parse, event_id_parse };
	struct identifier id;
	size_t kinds = 0;

	for (size_t i = 0; i < ARRAY_LEN(parsers); i++) {
		if (!parsers[i](text, &id))
			continue;
		kinds++;
		check(text.len <= IDENTIFIER_MAX && utf8_valid(text) && str_find_char(text, 0) < 0);
		check(str_eq(identifier_domain(text), id.domain));
		check(id.domain.len == 0 || server_name_valid(id.domain));
		check(str_eq(text, str_printf(arena, "%c%.*s%s%.*s", text.ptr[0], STR_ARG(id.localpart),
					      id.domain.len ? ":" : "", STR_ARG(id.domain))));
	}
	check(kinds <= 1);
	check(kinds == 0 || text.ptr[0] != '$' || event_id_valid(text));
	check(!user_id_compliant(text) || user_id_valid(text));
	check(!user_localpart_valid(text) || text.len > 240 ||
	      user_id_compliant(str_printf(arena, "@%.*s:a", STR_ARG(text))));
}

static void check_server_name(struct str text, struct arena *arena)
{
	struct server_name name, again;
	struct str host;

	if (!server_name_parse(text, &name))
		return;
	check(name.port >= -1 && name.port <= 65535);
	host = str_printf(arena, name.kind == SERVER_NAME_IPV6 ? "[%.*s]" : "%.*s", STR_ARG(name.host));
	check(str_starts_with(text, host));
	check(server_name_parse(host, &again) && again.kind == name.kind && again.port == -1 &&
	      str_eq(again.host, name.host));
}

static void check_base64(struct str text, struct arena *arena)
{
	struct str bytes, again;

	check(base64_decode(base64_encode(arena, text.ptr, text.len), arena, &again) && str_eq(again, text));
	check(base64url_decode(base64url_encode(arena, text.ptr, text.len), arena, &again) && str_eq(again, text));
	if (base64_decode(text, arena, &bytes))
		check(base64_decode(base64_encode(arena, bytes.ptr, bytes.len), arena, &again) && str_eq(again, bytes));
	base64url_decode(text, arena, &bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str text = { size ? (const char *)data : NULL, size };

	check_identifiers(text, arena);
	check_server_name(text, arena);
	check_base64(text, arena);
	namespaced_id_valid(text);
	opaque_id_valid(text);
	return 0;
}
