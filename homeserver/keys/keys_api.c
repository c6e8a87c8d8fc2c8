/* client-server-api "Key management API": upload, query, claim, and whose keys have changed. */
#include "base/clock.h"
#include "journal/journal.h"
#include "keys/keys_internal.h"
#include "matrix/canonical.h"
#include "matrix/identifiers.h"
#include "sync/sync.h"

#define MAX_ANSWER ((size_t)256 << 20)

void keys_add_failure(json_t *failures, struct str server_name)
{
	json_object_setn_new(failures, server_name.ptr, server_name.len,
			     json_pack("{s:i, s:s, s:s}", "status", 503, "errcode", errcode_name(M_UNKNOWN), "error",
				       "This server cannot be reached"));
}

/* --- upload --- */

struct upload_body {
	json_t *device_keys, *one_time_keys, *fallback_keys;
};
struct device_keys_body {
	struct str user_id, device_id;
	json_t *algorithms, *keys, *signatures;
};

static const struct json_field upload_fields[] = {
	JSON_FIELD_OBJ(struct upload_body, device_keys, JSON_OPTIONAL),
	JSON_FIELD_OBJ(struct upload_body, one_time_keys, JSON_OPTIONAL),
	JSON_FIELD_OBJ(struct upload_body, fallback_keys, JSON_OPTIONAL),
	{ 0 },
};
static const struct json_field device_keys_fields[] = {
	JSON_FIELD(struct device_keys_body, user_id, JSON_REQUIRED),
	JSON_FIELD(struct device_keys_body, device_id, JSON_REQUIRED),
	JSON_FIELD_ARR(struct device_keys_body, algorithms, JSON_REQUIRED),
	JSON_FIELD_OBJ(struct device_keys_body, keys, JSON_REQUIRED),
	JSON_FIELD_OBJ(struct device_keys_body, signatures, JSON_REQUIRED),
	{ 0 },
};

static bool key_text(const json_t *json, struct arena *arena, struct str *ret_text, struct err *err)
{
	if (!canonical_json_loose(json_text(json, arena), arena, ret_text, err))
		return false;
	if (ret_text->len > KEYS_MAX_JSON)
		return err_set(err, M_TOO_LARGE, "A key has at most %d bytes", KEYS_MAX_JSON);
	return true;
}

static bool are_texts(const json_t *array)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		if (!json_is_string(json_array_get(array, i)))
			return false;
	}
	return true;
}

static bool read_device_keys(struct request *req, const json_t *json, struct str *ret_text, struct err *err)
{
	static const struct str without[] = { STR_INIT("unsigned") };
	struct device_keys_body body = { 0 };
	const char *name;
	json_t *key;

	if (!json)
		return true;
	if (!json_read(json, device_keys_fields, &body, err))
		return false;
	if (!str_eq(body.user_id, req->user->user_id) || !str_eq(body.device_id, req->user->device_id))
		return err_set(err, M_INVALID_PARAM, "These are not the keys of this device");
	if (!are_texts(body.algorithms))
		return err_set(err, M_BAD_JSON, "An algorithm must be a string");
	json_object_foreach(body.keys, name, key)
	{
		if (!json_is_string(key))
			return err_set(err, M_BAD_JSON, "A device's key must be a string");
	}
	if (!key_text(json, req->arena, ret_text, err))
		return false;
	*ret_text = canonical_without(*ret_text, without, ARRAY_LEN(without), req->arena);
	return true;
}

/* "<algorithm>:<key_id>" */
static bool read_key_name(struct str name, struct named_key *key, struct err *err)
{
	ptrdiff_t colon = str_find_char(name, ':');

	if (colon <= 0 || (size_t)colon + 1 == name.len || name.len > KEYS_MAX_NAME)
		return err_set(err, M_INVALID_PARAM,
			       "A key is named by its algorithm and its ID, with a colon between");
	key->algorithm = str_sub(name, 0, (size_t)colon);
	key->key_id = str_from(name, (size_t)colon + 1);
	return true;
}

static bool read_named_keys(json_t *object, size_t max, struct arena *arena, struct named_key **ret_keys,
			    size_t *ret_count, struct err *err)
{
	struct named_key *keys = ARENA_ARRAY(arena, json_object_size(object) + 1, struct named_key);
	size_t count = 0;
	const char *name;
	json_t *json;

	if (json_object_size(object) > max)
		return err_set(err, M_TOO_LARGE, "At most %zu keys can be uploaded at once", max);
	json_object_foreach(object, name, json)
	{
		if (!json_is_object(json) && !json_is_string(json))
			return err_set(err, M_BAD_JSON, "A key must be an object or a string");
		if (!read_key_name(str_of(name), &keys[count], err) || !key_text(json, arena, &keys[count].json, err))
			return false;
		count++;
	}
	*ret_keys = keys;
	*ret_count = count;
	return true;
}

/* There can be one for each algorithm. */
static bool check_fallback(const struct key_upload *upload, struct err *err)
{
	for (size_t i = 0; i < upload->fallback_count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (str_eq(upload->fallback[i].algorithm, upload->fallback[j].algorithm))
				return err_set(err, M_INVALID_PARAM,
					       "There is more than one fallback key of an algorithm");
		}
	}
	return true;
}

static bool post_upload(struct request *req, struct err *err)
{
	struct key_upload upload = { 0 };
	struct upload_body body = { 0 };
	struct key_counts counts;

	if (!req->user->device)
		return err_set(err, M_INVALID_PARAM, "Keys belong to a device, and this session has none");
	if (!json_read(req->body, upload_fields, &body, err) ||
	    !read_device_keys(req, body.device_keys, &upload.device_keys, err) ||
	    !read_named_keys(body.one_time_keys, KEYS_MAX_OF_DEVICE, req->arena, &upload.one_time,
			     &upload.one_time_count, err) ||
	    !read_named_keys(body.fallback_keys, KEYS_MAX_FALLBACK, req->arena, &upload.fallback,
			     &upload.fallback_count, err) ||
	    !check_fallback(&upload, err) || !keys_upload(req->server, req->user, &upload, err) ||
	    !key_counts_get(req->server, req->user->device, req->arena, &counts, err))
		return false;
	return reply_text(req, 200, STR("application/json"),
			  str_printf(req->arena, "{\"one_time_key_counts\":%.*s}", STR_ARG(counts.one_time)));
}

/* --- query --- */

struct query_body {
	json_t *device_keys;
	int64_t timeout;
};

static const struct json_field query_fields[] = {
	JSON_FIELD_OBJ(struct query_body, device_keys, JSON_REQUIRED),
	JSON_FIELD(struct query_body, timeout, JSON_OPTIONAL),
	{ 0 },
};

static bool is_ours(const struct request *req, struct str user_id, json_t *failures)
{
	if (server_domain_of_user(req->server, user_id))
		return true;
	keys_add_failure(failures, identifier_domain(user_id));
	return false;
}

static bool read_questions(struct request *req, json_t *asked, json_t *failures, struct key_question *questions,
			   size_t *ret_count, struct err *err)
{
	const char *user_id;
	json_t *devices;

	*ret_count = 0;
	json_object_foreach(asked, user_id, devices)
	{
		if (!user_id_valid(str_of(user_id)))
			return err_set(err, M_INVALID_PARAM, "Keys are asked for by user");
		if (!json_is_array(devices) || !are_texts(devices))
			return err_set(err, M_BAD_JSON, "A user's devices must be an array of strings");
		if (is_ours(req, str_of(user_id), failures))
			questions[(*ret_count)++] = (struct key_question){ str_of(user_id), devices };
	}
	return true;
}

static json_t *new_failures(struct request *req)
{
	json_t *failures = json_object();

	arena_defer(req->arena, (void (*)(void *))json_decref, failures);
	return failures;
}

static bool post_query(struct request *req, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(MAX_ANSWER);
	json_t *failures = new_failures(req);
	struct key_question *questions;
	struct query_body body = { 0 };
	size_t count;

	if (!json_read(req->body, query_fields, &body, err))
		return false;
	questions = ARENA_ARRAY(req->arena, json_object_size(body.device_keys) + 1, struct key_question);
	if (!read_questions(req, body.device_keys, failures, questions, &count, err))
		return false;
	BUF_LIT(&out, "{");
	if (!keys_write_query(req->server, req->user->nid, questions, count, req->arena, &out, err))
		return false;
	BUF_LIT(&out, ",\"failures\":");
	json_write(&out, failures);
	BUF_LIT(&out, "}");
	if (!buf_ok(&out))
		return err_set(err, M_TOO_LARGE, "These are too many keys for one answer");
	return reply_buf(req, 200, "application/json", &out);
}

/* --- claim --- */

struct claim_body {
	json_t *one_time_keys;
	int64_t timeout;
};

static const struct json_field claim_fields[] = {
	JSON_FIELD_OBJ(struct claim_body, one_time_keys, JSON_REQUIRED),
	JSON_FIELD(struct claim_body, timeout, JSON_OPTIONAL),
	{ 0 },
};

struct wishes {
	struct key_wish *items;
	size_t count, cap;
};

static bool read_wishes_of(struct request *req, struct str user_id, json_t *devices, bool ours, struct wishes *wishes,
			   struct err *err)
{
	const char *device_id;
	json_t *algorithm;

	json_object_foreach(devices, device_id, algorithm)
	{
		struct str text = json_str(algorithm);

		if (!json_is_string(algorithm))
			return err_set(err, M_BAD_JSON, "An algorithm must be a string");
		if (memchr(text.ptr, 0, text.len))
			return err_set(err, M_INVALID_PARAM, "This is no algorithm");
		if (ours)
			*ARENA_PUSH(req->arena, wishes->items, wishes->count, wishes->cap) =
				(struct key_wish){ user_id, str_of(device_id), text };
	}
	return true;
}

static bool read_wishes(struct request *req, json_t *asked, json_t *failures, struct wishes *wishes, struct err *err)
{
	const char *user_id;
	json_t *devices;

	json_object_foreach(asked, user_id, devices)
	{
		if (!user_id_valid(str_of(user_id)))
			return err_set(err, M_INVALID_PARAM, "Keys are claimed by user");
		if (!json_is_object(devices))
			return err_set(err, M_BAD_JSON, "A user's devices must be an object");
		if (!read_wishes_of(req, str_of(user_id), devices, is_ours(req, str_of(user_id), failures), wishes,
				    err))
			return false;
	}
	return true;
}

static bool post_claim(struct request *req, struct err *err)
{
	json_t *failures = new_failures(req), *keys;
	struct claim_body body = { 0 };
	struct wishes wishes = { 0 };

	if (!json_read(req->body, claim_fields, &body, err) ||
	    !read_wishes(req, body.one_time_keys, failures, &wishes, err) ||
	    !keys_claim(req->server, wishes.items, wishes.count, req->arena, &keys, err))
		return false;
	return reply_json(req, 200, json_pack("{s:o, s:O}", "one_time_keys", keys, "failures", failures));
}

/* --- changes --- */

static bool read_token(struct request *req, const char *name, struct sync_token *ret_token, struct err *err)
{
	struct str text = query_param(req, name);
	bool reached = false;

	if (!text.ptr)
		return err_set(err, M_MISSING_PARAM, "%s is missing", name);
	if (sync_token_parse(text, ret_token) && !journal_reach(req->server->journal, ret_token->pos, &reached, err))
		return false;
	return reached || err_set(err, M_INVALID_PARAM, "%s is no token of this server", name);
}

static bool get_changes(struct request *req, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(MAX_ANSWER);
	struct sync_token from = { 0 }, to = { 0 };

	if (!read_token(req, "from", &from, err) || !read_token(req, "to", &to, err) ||
	    !sync_write_device_lists(req->server, req->user, from, to, req->arena, &out, err))
		return false;
	if (!buf_ok(&out))
		return err_set(err, M_TOO_LARGE, "These are too many changes for one answer");
	return reply_buf(req, 200, "application/json", &out);
}

const struct route keys_routes[] = {
	{ HTTP_POST, "/_matrix/client/v3/keys/upload", AUTH_USER, LIMIT_NONE, post_upload, .flags = ROUTE_GUEST },
	{ HTTP_POST, "/_matrix/client/v3/keys/query", AUTH_USER, LIMIT_NONE, post_query, .flags = ROUTE_GUEST },
	{ HTTP_POST, "/_matrix/client/v3/keys/claim", AUTH_USER, LIMIT_NONE, post_claim, .flags = ROUTE_GUEST },
	{ HTTP_GET, "/_matrix/client/v3/keys/changes", AUTH_USER, LIMIT_NONE, get_changes },
	{ 0 },
};
