/* Stored filters (client-server-api "Filtering"). The ID is a hash of the definition: a filter that is uploaded again
 * gets the ID that it has. */
#include <sodium.h>

#include "base/cache.h"
#include "sync/filter.h"
#include "userdata/userdata_api.h"

#define MAX_FILTER  65536 /* bytes of a definition */
#define MAX_FILTERS 1000  /* of a user */
#define ID_BYTES    16

struct filters {
	struct cache *cache; /* by user and ID: both, and the definition */
};

static const struct db_statement SELECT_FILTER = {
	"filter_select",
	"SELECT definition FROM filters WHERE user_nid = $1 AND filter_id = $2",
};
static const struct db_statement INSERT_FILTER = {
	"filter_insert",
	"INSERT INTO filters (user_nid, filter_id, definition) SELECT $1, $2, $3"
	" WHERE (SELECT count(*) FROM filters WHERE user_nid = $1) < $4 ON CONFLICT DO NOTHING",
};

struct filters *filters_new(size_t cache_bytes)
{
	struct filters *filters = X_NEW(struct filters);

	filters->cache = cache_new(cache_bytes);
	return filters;
}

void filters_free(struct filters *filters)
{
	if (!filters)
		return;
	cache_free(filters->cache);
	free(filters);
}

struct cache_stats filters_cache_stats(struct filters *filters)
{
	return cache_stats(filters->cache);
}

static struct str cache_prefix(nid_t user, struct str filter_id, struct arena *arena)
{
	return str_printf(arena, "%" PRId64 " %.*s ", user, STR_ARG(filter_id));
}

bool filter_get(struct server *server, nid_t user, struct str filter_id, struct arena *arena,
		struct str *ret_definition, struct err *err)
{
	struct cache *cache = server->filters->cache;
	CLEANUP(db_release) struct db *db = NULL;
	struct str prefix, cached;
	struct db_rows *rows;

	*ret_definition = STR("");
	if (filter_id.len != 2 * (size_t)ID_BYTES)
		return true;
	prefix = cache_prefix(user, filter_id, arena);
	if (cache_get(cache, (int64_t)str_hash(prefix), arena, &cached) && str_starts_with(cached, prefix)) {
		*ret_definition = str_from(cached, prefix.len);
		return true;
	}
	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_FILTER, DB_PARAMS(db_int(user), db_text(filter_id)), arena, &rows, err))
		return err_detail(err, "look up a filter");
	if (!db_next(rows))
		return true;
	*ret_definition = db_get_str(rows, 0);
	cache_put(cache, (int64_t)str_hash(prefix), str_concat(arena, prefix, *ret_definition));
	return true;
}

static struct str id_of(const json_t *definition, struct arena *arena)
{
	struct str text = json_text_sorted(definition, arena);
	uint8_t hash[ID_BYTES];

	crypto_generichash(hash, sizeof(hash), (const uint8_t *)text.ptr, text.len, NULL, 0);
	return hex_encode(arena, hash, sizeof(hash));
}

static bool store(struct request *req, struct str filter_id, struct str definition, struct err *err)
{
	struct db_params params =
		DB_PARAMS(db_int(req->user->nid), db_text(filter_id), db_text(definition), db_int(MAX_FILTERS));
	CLEANUP(db_release) struct db *db = NULL;
	int64_t inserted;

	if (!db_acquire(req->server->pool, &db, err) || !db_exec(db, &INSERT_FILTER, params, &inserted, err))
		return err_detail(err, "store a filter");
	db_release(TAKE(db));
	if (inserted)
		return true;
	if (!filter_get(req->server, req->user->nid, filter_id, req->arena, &definition, err))
		return false;
	return definition.len ||
	       err_set(err, M_RESOURCE_LIMIT_EXCEEDED, "You have stored %d filters already", MAX_FILTERS);
}

static bool post_filter(struct request *req, struct err *err)
{
	struct str definition = req->body_text.len ? str_trim(req->body_text) : STR("{}"), filter_id;
	struct filter filter;

	if (!userdata_require_self(req, err))
		return false;
	if (definition.len > MAX_FILTER)
		return err_set(err, M_TOO_LARGE, "A filter has at most %d bytes", MAX_FILTER);
	if (!json_is_object(req->body))
		return err_set(err, M_BAD_JSON, "A filter is an object");
	filter_id = id_of(req->body, req->arena);
	return filter_parse(req->body, req->arena, &filter, err) && store(req, filter_id, definition, err) &&
	       reply_field(req, "filter_id", filter_id);
}

static bool get_filter(struct request *req, struct err *err)
{
	struct str definition;

	if (!userdata_require_self(req, err) ||
	    !filter_get(req->server, req->user->nid, path_param(req, "filterId"), req->arena, &definition, err))
		return false;
	if (!definition.len)
		return err_set(err, M_NOT_FOUND, "There is no such filter");
	return reply_text(req, 200, STR("application/json"), definition);
}

const struct route filter_routes[] = {
	{ HTTP_POST, "/_matrix/client/v3/user/{userId}/filter", AUTH_USER, LIMIT_NONE, post_filter },
	{ HTTP_GET, "/_matrix/client/v3/user/{userId}/filter/{filterId}", AUTH_USER, LIMIT_NONE, get_filter },
	{ 0 },
};
