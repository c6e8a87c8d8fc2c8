/* client-server-api "Server-side key backups". */
#include "keys/keys_internal.h"

#define MAX_ANSWER ((size_t)512 << 20)

/* An opaque text for clients, a number for us; what is none names no backup. */
static bool read_version(struct str text, int64_t *ret_version, struct err *err)
{
	if (!str_to_int64(text, ret_version) || *ret_version <= 0)
		return err_set(err, M_NOT_FOUND, "There is no such backup");
	return true;
}

static bool query_version(struct request *req, int64_t *ret_version, struct err *err)
{
	struct str text = query_param(req, "version");

	if (!text.ptr)
		return err_set(err, M_MISSING_PARAM, "version is missing");
	return read_version(text, ret_version, err);
}

/* --- versions --- */

struct version_body {
	struct str algorithm, version;
	json_t *auth_data;
};

static const struct json_field version_fields[] = {
	JSON_FIELD(struct version_body, algorithm, JSON_REQUIRED),
	JSON_FIELD(struct version_body, version, JSON_OPTIONAL),
	JSON_FIELD_OBJ(struct version_body, auth_data, JSON_REQUIRED),
	{ 0 },
};

static bool read_version_body(struct request *req, struct version_body *body, struct str *ret_auth_data,
			      struct err *err)
{
	if (!json_read(req->body, version_fields, body, err))
		return false;
	if (!body->algorithm.len || body->algorithm.len > KEYS_MAX_NAME)
		return err_set(err, M_INVALID_PARAM, "An algorithm has 1 to %d bytes", KEYS_MAX_NAME);
	*ret_auth_data = json_text(body->auth_data, req->arena);
	if (ret_auth_data->len > KEYS_MAX_JSON)
		return err_set(err, M_TOO_LARGE, "auth_data has at most %d bytes", KEYS_MAX_JSON);
	return true;
}

static bool reply_backup(struct request *req, int64_t version, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init((size_t)4 * KEYS_MAX_JSON);
	struct key_backup backup;

	if (!backup_get(req->server, req->user->nid, version, req->arena, &backup, err))
		return false;
	if (!backup.version)
		return err_set(err, M_NOT_FOUND, "There is no such backup");
	BUF_LIT(&out, "{\"algorithm\":");
	json_write_str(&out, backup.algorithm);
	BUF_LIT(&out, ",\"auth_data\":");
	buf_append(&out, backup.auth_data);
	buf_printf(&out, ",\"count\":%" PRId64 ",\"etag\":\"%" PRId64 "\",\"version\":\"%" PRId64 "\"}", backup.count,
		   backup.etag, backup.version);
	return reply_buf(req, 200, "application/json", &out);
}

static bool get_newest(struct request *req, struct err *err)
{
	return reply_backup(req, 0, err);
}

static bool get_version(struct request *req, struct err *err)
{
	int64_t version = 0;

	return read_version(path_param(req, "version"), &version, err) && reply_backup(req, version, err);
}

static bool post_version(struct request *req, struct err *err)
{
	struct version_body body = { 0 };
	struct str auth_data = STR("");
	int64_t version = 0;

	if (!read_version_body(req, &body, &auth_data, err) ||
	    !backup_create(req->server, req->user->nid, body.algorithm, auth_data, &version, err))
		return false;
	return reply_field(req, "version", str_printf(req->arena, "%" PRId64, version));
}

static bool put_version(struct request *req, struct err *err)
{
	struct version_body body = { 0 };
	struct key_backup backup;
	struct str auth_data = STR("");
	int64_t version = 0;

	if (!read_version_body(req, &body, &auth_data, err) ||
	    !read_version(path_param(req, "version"), &version, err) ||
	    !backup_get(req->server, req->user->nid, version, req->arena, &backup, err))
		return false;
	if (!backup.version)
		return err_set(err, M_NOT_FOUND, "There is no such backup");
	if (!str_eq(body.algorithm, backup.algorithm))
		return err_set(err, M_INVALID_PARAM, "A backup's algorithm cannot be changed");
	if (body.version.ptr && !str_eq(body.version, path_param(req, "version")))
		return err_set(err, M_INVALID_PARAM, "The version is not the one in the path");
	return backup_set_auth_data(req->server, req->user->nid, version, auth_data, err) && reply_empty(req);
}

/* To delete it twice is no error. */
static bool delete_version(struct request *req, struct err *err)
{
	int64_t version = 0;
	bool known;

	if (!read_version(path_param(req, "version"), &version, err) ||
	    !backup_delete(req->server, req->user->nid, version, &known, err))
		return false;
	return known ? reply_empty(req) : err_set(err, M_NOT_FOUND, "There is no such backup");
}

/* --- keys: bodies --- */

struct key_body {
	int64_t first_message_index, forwarded_count;
	bool is_verified;
	json_t *session_data;
};
struct sessions_body {
	json_t *sessions;
};
struct rooms_body {
	json_t *rooms;
};

static const struct json_field key_fields[] = {
	JSON_FIELD(struct key_body, first_message_index, JSON_REQUIRED),
	JSON_FIELD(struct key_body, forwarded_count, JSON_REQUIRED),
	JSON_FIELD(struct key_body, is_verified, JSON_REQUIRED),
	JSON_FIELD_OBJ(struct key_body, session_data, JSON_REQUIRED),
	{ 0 },
};
static const struct json_field sessions_fields[] = {
	JSON_FIELD_OBJ(struct sessions_body, sessions, JSON_REQUIRED),
	{ 0 },
};
static const struct json_field rooms_fields[] = {
	JSON_FIELD_OBJ(struct rooms_body, rooms, JSON_REQUIRED),
	{ 0 },
};

struct key_list {
	struct backup_key *items;
	size_t count, cap;
};

static bool read_key(struct request *req, struct str room_id, struct str session_id, const json_t *json,
		     struct key_list *keys, struct err *err)
{
	struct key_body body = { 0 };
	struct str data;

	if (!room_id.len || room_id.len > KEYS_MAX_NAME || !session_id.len || session_id.len > KEYS_MAX_NAME)
		return err_set(err, M_INVALID_PARAM, "The ID of a room or session has 1 to %d bytes", KEYS_MAX_NAME);
	if (!json_read(json, key_fields, &body, err))
		return false;
	if (body.first_message_index < 0 || body.forwarded_count < 0)
		return err_set(err, M_INVALID_PARAM, "An index or count is negative");
	data = json_text(body.session_data, req->arena);
	if (data.len > KEYS_MAX_JSON)
		return err_set(err, M_TOO_LARGE, "session_data has at most %d bytes", KEYS_MAX_JSON);
	*ARENA_PUSH(req->arena, keys->items, keys->count, keys->cap) =
		(struct backup_key){ room_id,         session_id, data, body.first_message_index, body.forwarded_count,
				     body.is_verified };
	return true;
}

static bool read_sessions(struct request *req, struct str room_id, const json_t *json, struct key_list *keys,
			  struct err *err)
{
	struct sessions_body body = { 0 };
	const char *session_id;
	json_t *key;

	if (!json_read(json, sessions_fields, &body, err))
		return false;
	json_object_foreach(body.sessions, session_id, key)
	{
		if (!read_key(req, room_id, str_of(session_id), key, keys, err))
			return false;
	}
	return true;
}

static bool read_rooms(struct request *req, struct key_list *keys, struct err *err)
{
	struct rooms_body body = { 0 };
	const char *room_id;
	json_t *room;

	if (!json_read(req->body, rooms_fields, &body, err))
		return false;
	json_object_foreach(body.rooms, room_id, room)
	{
		if (!read_sessions(req, str_of(room_id), room, keys, err))
			return false;
	}
	return true;
}

/* --- keys: writing --- */

static bool reply_counts(struct request *req, const struct key_backup *backup)
{
	return reply_json(req, 200,
			  json_pack("{s:I, s:o}", "count", (json_int_t)backup->count, "etag",
				    json_new_str(str_printf(req->arena, "%" PRId64, backup->etag))));
}

static bool put_list(struct request *req, const struct key_list *keys, struct err *err)
{
	struct key_backup backup;
	int64_t version = 0;

	return query_version(req, &version, err) &&
	       backup_put_keys(req->server, req->user->nid, version, keys->items, keys->count, req->arena, &backup,
			       err) &&
	       reply_counts(req, &backup);
}

static bool put_all(struct request *req, struct err *err)
{
	struct key_list keys = { 0 };

	return read_rooms(req, &keys, err) && put_list(req, &keys, err);
}

static bool put_room(struct request *req, struct err *err)
{
	struct key_list keys = { 0 };

	return read_sessions(req, path_param(req, "roomId"), req->body, &keys, err) && put_list(req, &keys, err);
}

static bool put_session(struct request *req, struct err *err)
{
	struct key_list keys = { 0 };

	return read_key(req, path_param(req, "roomId"), path_param(req, "sessionId"), req->body, &keys, err) &&
	       put_list(req, &keys, err);
}

static bool delete_at(struct request *req, struct str room_id, struct str session_id, struct err *err)
{
	struct backup_place place = { .room_id = room_id, .session_id = session_id };
	struct key_backup backup;

	return query_version(req, &place.version, err) &&
	       backup_delete_keys(req->server, req->user->nid, place, &backup, err) && reply_counts(req, &backup);
}

static bool delete_all(struct request *req, struct err *err)
{
	return delete_at(req, STR(""), STR(""), err);
}

static bool delete_room(struct request *req, struct err *err)
{
	return delete_at(req, path_param(req, "roomId"), STR(""), err);
}

static bool delete_session(struct request *req, struct err *err)
{
	return delete_at(req, path_param(req, "roomId"), path_param(req, "sessionId"), err);
}

/* --- keys: reading --- */

struct key_writer {
	struct buf *out;
	bool by_room;
	struct buf room_id; /* of the room that is being written; empty: none yet */
	size_t count;
};

static void write_key(struct buf *out, const struct backup_key *key)
{
	buf_printf(out,
		   "{\"first_message_index\":%" PRId64 ",\"forwarded_count\":%" PRId64
		   ",\"is_verified\":%s,\"session_data\":",
		   key->first_message_index, key->forwarded_count, key->is_verified ? "true" : "false");
	buf_append(out, key->session_data);
	buf_char(out, '}');
}

static void begin_room(struct key_writer *writer, struct str room_id)
{
	if (writer->room_id.len)
		BUF_LIT(writer->out, "}},");
	buf_clear(&writer->room_id);
	buf_append(&writer->room_id, room_id);
	json_write_str(writer->out, room_id);
	BUF_LIT(writer->out, ":{\"sessions\":{");
	writer->count = 0;
}

static void write_session(void *context, const struct backup_key *key)
{
	struct key_writer *writer = context;

	if (writer->by_room && !str_eq(buf_str(&writer->room_id), key->room_id))
		begin_room(writer, key->room_id);
	if (writer->count++)
		buf_char(writer->out, ',');
	json_write_str(writer->out, key->session_id);
	buf_char(writer->out, ':');
	write_key(writer->out, key);
}

static void write_alone(void *context, const struct backup_key *key)
{
	struct key_writer *writer = context;

	writer->count++;
	write_key(writer->out, key);
}

static bool reply_keys(struct request *req, struct buf *out, struct err *err)
{
	if (!buf_ok(out))
		return err_set(err, M_TOO_LARGE, "These are too many keys for one answer");
	return reply_buf(req, 200, "application/json", out);
}

static bool get_all(struct request *req, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(MAX_ANSWER);
	struct key_writer writer = { .out = &out, .by_room = true, .room_id = buf_init(KEYS_MAX_NAME) };
	struct backup_place place = { 0 };
	bool ok;

	BUF_LIT(&out, "{\"rooms\":{");
	ok = query_version(req, &place.version, err) &&
	     backup_read_keys(req->server, req->user->nid, place, write_session, &writer, err);
	if (writer.room_id.len)
		BUF_LIT(&out, "}}");
	buf_done(&writer.room_id);
	BUF_LIT(&out, "}}");
	return ok && reply_keys(req, &out, err);
}

static bool get_room(struct request *req, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(MAX_ANSWER);
	struct backup_place place = { .room_id = path_param(req, "roomId") };
	struct key_writer writer = { .out = &out };

	BUF_LIT(&out, "{\"sessions\":{");
	if (!query_version(req, &place.version, err) ||
	    !backup_read_keys(req->server, req->user->nid, place, write_session, &writer, err))
		return false;
	BUF_LIT(&out, "}}");
	return reply_keys(req, &out, err);
}

static bool get_session(struct request *req, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(MAX_ANSWER);
	struct backup_place place = { .room_id = path_param(req, "roomId"),
				      .session_id = path_param(req, "sessionId") };
	struct key_writer writer = { .out = &out };

	if (!query_version(req, &place.version, err) ||
	    !backup_read_keys(req->server, req->user->nid, place, write_alone, &writer, err))
		return false;
	if (!writer.count)
		return err_set(err, M_NOT_FOUND, "There is no such key");
	return reply_keys(req, &out, err);
}

#define ROOM_KEYS "/_matrix/client/v3/room_keys"
const struct route backup_routes[] = {
	{ HTTP_POST, ROOM_KEYS "/version", AUTH_USER, LIMIT_NONE, post_version },
	{ HTTP_GET, ROOM_KEYS "/version", AUTH_USER, LIMIT_NONE, get_newest },
	{ HTTP_GET, ROOM_KEYS "/version/{version}", AUTH_USER, LIMIT_NONE, get_version },
	{ HTTP_PUT, ROOM_KEYS "/version/{version}", AUTH_USER, LIMIT_NONE, put_version },
	{ HTTP_DELETE, ROOM_KEYS "/version/{version}", AUTH_USER, LIMIT_NONE, delete_version },
	{ HTTP_GET, ROOM_KEYS "/keys", AUTH_USER, LIMIT_NONE, get_all },
	{ HTTP_PUT, ROOM_KEYS "/keys", AUTH_USER, LIMIT_NONE, put_all },
	{ HTTP_DELETE, ROOM_KEYS "/keys", AUTH_USER, LIMIT_NONE, delete_all },
	{ HTTP_GET, ROOM_KEYS "/keys/{roomId}", AUTH_USER, LIMIT_NONE, get_room },
	{ HTTP_PUT, ROOM_KEYS "/keys/{roomId}", AUTH_USER, LIMIT_NONE, put_room },
	{ HTTP_DELETE, ROOM_KEYS "/keys/{roomId}", AUTH_USER, LIMIT_NONE, delete_room },
	{ HTTP_GET, ROOM_KEYS "/keys/{roomId}/{sessionId}", AUTH_USER, LIMIT_NONE, get_session },
	{ HTTP_PUT, ROOM_KEYS "/keys/{roomId}/{sessionId}", AUTH_USER, LIMIT_NONE, put_session },
	{ HTTP_DELETE, ROOM_KEYS "/keys/{roomId}/{sessionId}", AUTH_USER, LIMIT_NONE, delete_session },
	{ 0 },
};
