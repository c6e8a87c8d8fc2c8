/*
 * A request target, as it comes from the network: its parts are views into it, what is accepted decodes to UTF-8
 * without NUL, the router finds parameters inside the path, and a query survives being encoded again.
 */
#include "base/utf8.h"
#include "http/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool handler(struct request *req, struct err *err UNUSED)
{
	return reply_empty(req);
}

static const struct route routes[] = {
	{ HTTP_GET, "/a/{b}/c/{d}", .handler = handler },
	{ HTTP_GET, "/a/b/c", .handler = handler },
	{ HTTP_PUT, "/a/{b}", .handler = handler },
	{ HTTP_GET, "/a/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", .handler = handler },
	{ HTTP_GET, "/s/{rest+}", .handler = handler },
	{ HTTP_GET, "/", .handler = handler },
	{ 0 },
};

static void must(bool holds)
{
	if (!holds)
		abort();
}

static bool inside(struct str part, struct str whole)
{
	return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_text(struct str text)
{
	must(utf8_valid(text) && str_find_char(text, 0) < 0);
}

static void check_path(struct str path)
{
	static const struct route *const tables[] = { routes, NULL };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct router *router;
	struct match match;
	struct err err;

	must(router_new(tables, 1, &router, &err));
	if (router_match(router, HTTP_GET, path, UINT32_MAX, &match) == MATCH_FOUND) {
		must(match.param_count == match.route->param_count);
		for (size_t i = 0; i < match.param_count; i++) {
			char *out = arena_alloc(arena, match.params[i].len);

			must(match.params[i].len > 0 && inside(match.params[i], path));
			check_text((struct str){ out, uri_decode(match.params[i], false, out) });
		}
	}
	router_free(router);
}

static void encode(struct buf *buf, struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		buf_printf(buf, "%%%02x", (unsigned)(unsigned char)text.ptr[i]);
}

static void check_query(struct str query)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(buf_done) struct buf buf = buf_init(SIZE_MAX / 2);
	struct query_item *items, *again;
	size_t count, again_count;
	struct err err;

	if (!uri_parse_query(query, arena, &items, &count, &err))
		return;
	for (size_t i = 0; i < count; i++) {
		check_text(items[i].name);
		check_text(items[i].value);
		encode(&buf, items[i].name);
		buf_char(&buf, '=');
		encode(&buf, items[i].value);
		buf_char(&buf, '&');
	}
	must(uri_parse_query(buf_str(&buf), arena, &again, &again_count, &err) && again_count == count);
	for (size_t i = 0; i < count; i++)
		must(str_eq(items[i].name, again[i].name) && str_eq(items[i].value, again[i].value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str target = { (const char *)data, size }, path, query;

	uri_split(target, &path, &query);
	must(inside(path, target) && inside(query, target));
	must(path.len == 0 || path.ptr[0] == '/');
	if (uri_valid(path))
		check_path(path);
	check_query(query);
	return 0;
}
