/*
 * Routes, compiled once into a tree of path segments. Segments are split before they are decoded, so that %2F stays
 * inside its parameter; a literal segment is compared decoded. Where a literal and a parameter both fit, the literal is
 * tried first, and the parameter after it.
 */
#include "http/internal.h"

#define MAX_RESOURCES 32
#define MAX_LITERAL   64

struct node {
	struct map literals; /* of nodes */
	struct node *param;
	struct compiled_route *routes; /* the path ends here */
	struct compiled_route *rest;   /* {name+} begins here */
};

struct router {
	struct arena *arena;
	struct node *root;
	const char *resources[MAX_RESOURCES];
	size_t resource_count;
	unsigned pools;
	size_t max_body;
};

static void node_done(void *node)
{
	map_done(&((struct node *)node)->literals);
}

static struct node *node_new(struct router *router)
{
	struct node *node = ARENA_NEW(router->arena, struct node);

	arena_defer(router->arena, node_done, node);
	return node;
}

/* A path ends with or without a slash; "/" alone has no segments: NULL. */
static struct str without_ends(struct str path)
{
	path = str_from(path, 1);
	if (str_ends_with(path, STR("/")))
		path.len--;
	return path.len ? path : (struct str){ 0 };
}

static bool intern_resource(struct router *router, const char *name, uint32_t *ret_bit)
{
	size_t i = 0;

	while (i < router->resource_count && !str_eq(str_of(router->resources[i]), str_of(name)))
		i++;
	if (i == MAX_RESOURCES)
		return false;
	if (i == router->resource_count)
		router->resources[router->resource_count++] = name;
	*ret_bit = UINT32_C(1) << i;
	return true;
}

static enum route_body body_of(const struct route *route)
{
	if (route->body != BODY_DEFAULT)
		return route->body;
	return route->method & (HTTP_PUT | HTTP_POST | HTTP_PATCH) ? BODY_JSON : BODY_NONE;
}

static enum route_pool pool_of(const struct route *route)
{
	return route->pool == POOL_CLIENT && route->body == BODY_STREAM ? POOL_UPLOAD : route->pool;
}

static bool bad_route(const struct route *route, const char *why, struct err *err)
{
	return err_set(err, M_UNKNOWN, "route %s: %s", route->path, why);
}

/* The node that one more segment of a route's path leads to; *ret_rest for {name+}. */
static bool descend(struct router *router, struct compiled_route *compiled, struct str segment, struct node **node,
		    bool *ret_rest, struct err *err)
{
	struct node *next;

	*ret_rest = false;
	if (segment.len == 0)
		return bad_route(compiled->route, "an empty segment", err);
	if (!str_starts_with(segment, STR("{"))) {
		if (segment.len > MAX_LITERAL || str_find_char(segment, '%') >= 0)
			return bad_route(compiled->route, "a literal segment is too long or encoded", err);
		next = map_get(&(*node)->literals, segment);
		if (!next) {
			next = node_new(router);
			map_put(&(*node)->literals, segment, next);
		}
		*node = next;
		return true;
	}
	if (!str_ends_with(segment, STR("}")) || compiled->param_count == MAX_PATH_PARAMS)
		return bad_route(compiled->route, "an ill-formed parameter, or too many", err);
	segment = str_sub(segment, 1, segment.len - 2);
	*ret_rest = str_ends_with(segment, STR("+"));
	if (*ret_rest)
		segment.len--;
	compiled->param_names[compiled->param_count++] = segment;
	if (*ret_rest)
		return true;
	if (!(*node)->param)
		(*node)->param = node_new(router);
	*node = (*node)->param;
	return true;
}

static bool add_route(struct router *router, const struct route *route, struct err *err)
{
	struct compiled_route *compiled = ARENA_NEW(router->arena, struct compiled_route);
	struct node *node = router->root;
	struct str path = str_of(route->path), segment;
	struct compiled_route **list;
	bool rest = false;

	compiled->route = route;
	compiled->body = body_of(route);
	compiled->pool = pool_of(route);
	compiled->max_body = route->max_body ? route->max_body : router->max_body;
	if (!str_starts_with(path, STR("/")) || !route->handler || !route->method || compiled->pool >= POOL_COUNT)
		return bad_route(route, "incomplete", err);
	if (!intern_resource(router, route->resource ? route->resource : "client", &compiled->resource))
		return bad_route(route, "too many resources", err);
	router->pools |= 1U << compiled->pool;
	path = without_ends(path);
	while (str_split(&path, '/', &segment)) {
		if (rest)
			return bad_route(route, "{name+} is not the last segment", err);
		if (!descend(router, compiled, segment, &node, &rest, err))
			return false;
	}
	list = rest ? &node->rest : &node->routes;
	for (const struct compiled_route *other = *list; other; other = other->next) {
		if (other->route->method & route->method && other->resource == compiled->resource)
			return bad_route(route, "there are two of it", err);
	}
	compiled->next = *list;
	*list = compiled;
	return true;
}

bool router_new(const struct route *const *tables, size_t max_body, struct router **ret_router, struct err *err)
{
	struct router *router = X_NEW(struct router);

	router->arena = arena_new();
	router->root = node_new(router);
	router->max_body = max_body;
	for (; *tables; tables++) {
		for (const struct route *route = *tables; route->path; route++) {
			if (!add_route(router, route, err)) {
				router_free(router);
				return false;
			}
		}
	}
	*ret_router = router;
	return true;
}

void router_free(struct router *router)
{
	if (!router)
		return;
	arena_free(router->arena);
	free(router);
}

uint32_t router_resources(const struct router *router, const char *const *names)
{
	uint32_t bits = 0;

	if (!names)
		return UINT32_MAX;
	for (; *names; names++) {
		for (size_t i = 0; i < router->resource_count; i++) {
			if (str_eq(str_of(*names), str_of(router->resources[i])))
				bits |= UINT32_C(1) << i;
		}
	}
	return bits;
}

bool router_uses_pool(const struct router *router, enum route_pool pool)
{
	return router->pools & 1U << pool;
}

struct search {
	enum http_method method;
	uint32_t resources;
	struct match *match;
};

static bool choose(const struct search *search, const struct compiled_route *routes)
{
	for (const struct compiled_route *route = routes; route; route = route->next) {
		if (!(route->resource & search->resources))
			continue;
		search->match->methods |= route->route->method;
		if (route->route->method & search->method) {
			search->match->route = route;
			return true;
		}
	}
	return false;
}

static struct node *literal(const struct node *node, struct str segment)
{
	char out[3 * MAX_LITERAL];

	if (str_find_char(segment, '%') < 0)
		return map_get(&node->literals, segment);
	if (segment.len > sizeof(out))
		return NULL;
	return map_get(&node->literals, (struct str){ out, uri_decode(segment, false, out) });
}

/* `rest` has a NULL pointer at the path's end. The depth is the tree's. */
static bool walk(const struct search *search, const struct node *node, struct str rest)
{
	struct match *match = search->match;
	struct str whole = rest, segment;
	const struct node *next;
	size_t params = match->param_count;

	if (!str_split(&rest, '/', &segment))
		return choose(search, node->routes);
	next = literal(node, segment);
	if (next && walk(search, next, rest))
		return true;
	if (params == MAX_PATH_PARAMS)
		return false;
	if (node->param && segment.len > 0) {
		match->params[match->param_count++] = segment;
		if (walk(search, node->param, rest))
			return true;
		match->param_count = params;
	}
	if (node->rest && whole.len > 0) {
		match->params[match->param_count++] = whole;
		if (choose(search, node->rest))
			return true;
		match->param_count = params;
	}
	return false;
}

enum match_result router_match(const struct router *router, enum http_method method, struct str path,
			       uint32_t resources, struct match *ret_match)
{
	struct search search = { method, resources, ret_match };

	*ret_match = (struct match){ 0 };
	if (path.len == 0)
		return MATCH_NONE;
	if (walk(&search, router->root, without_ends(path)))
		return MATCH_FOUND;
	return ret_match->methods ? MATCH_METHOD : MATCH_NONE;
}
