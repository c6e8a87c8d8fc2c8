#include "journal/journal.h"
#include "matrix/slice.h"
#include "userdata/userdata_api.h"

#define MAX_TAG_NAME 255   /* "The name of a tag MUST NOT exceed 255 bytes" */
#define MAX_TAGS     65536 /* bytes of all tags of a room */

/* Locks the row, made if it is not there, so that two devices don't overwrite each other's tags. */
static const struct db_statement LOCK_TAGS = {
	"tags_lock",
	"INSERT INTO account_data AS a (user_nid, room_nid, type, content) VALUES ($1, $2, 'm.tag', '{\"tags\":{}}')"
	" ON CONFLICT (user_nid, room_nid, type) DO UPDATE SET content = a.content RETURNING content",
};
static const struct db_statement UPDATE_TAGS = {
	"tags_update",
	"UPDATE account_data SET content = $3 WHERE user_nid = $1 AND room_nid = $2 AND type = 'm.tag'",
};

/* `value` empty: takes the tag away. */
static bool change(struct request *req, nid_t room, struct str tag, struct str value, struct err *err)
{
	struct journal_entry entry = {
		.kind = JOURNAL_ACCOUNT_DATA, .user = req->user->nid, .room = room, .data = STR("m.tag")
	};
	struct db_param user = db_int(req->user->nid), of_room = db_int(room);
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;
	struct str before, after;
	struct err malformed;

	if (!db_acquire(req->server->pool, &db, err) || !db_begin(db, err) ||
	    !db_query(db, &LOCK_TAGS, DB_PARAMS(user, of_room), req->arena, &rows, err) || !db_next(rows))
		return err_detail(err, "lock the tags of room %" PRId64, room);
	/* A client may have written m.tag itself, as account data, in a form that is none of tags. */
	if (!slice_parse(db_get_str(rows, 0), &before, &malformed))
		before = STR("");
	after = tags_with(before, tag, value, req->arena);
	if (after.len > MAX_TAGS)
		return err_set(err, M_TOO_LARGE, "This room has too many tags");
	return db_exec(db, &UPDATE_TAGS, DB_PARAMS(user, of_room, db_text(after)), NULL, err) &&
	       journal_append(req->server->journal, db, &entry, 1, NULL, err);
}

static bool read_path(struct request *req, struct room_info *ret_room, struct str *ret_tag, struct err *err)
{
	if (!userdata_require_self(req, err) || !userdata_require_room(req, ret_room, err))
		return false;
	*ret_tag = path_param(req, "tag");
	if (ret_tag->len > MAX_TAG_NAME)
		return err_set(err, M_INVALID_PARAM, "The name of the tag is longer than %d bytes", MAX_TAG_NAME);
	return true;
}

static bool put_tag(struct request *req, struct err *err)
{
	struct str tag, value = STR("{}");
	struct room_info room;
	json_t *order;

	if (!read_path(req, &room, &tag, err))
		return false;
	if (!json_is_object(req->body))
		return err_set(err, M_BAD_JSON, "A tag is an object");
	order = json_object_get(req->body, "order");
	if (order && !json_is_number(order))
		return err_set(err, M_BAD_JSON, "order is no number");
	if (req->body_text.len && !slice_parse(req->body_text, &value, err))
		return false;
	return change(req, room.nid, tag, value, err) && reply_empty(req);
}

static bool delete_tag(struct request *req, struct err *err)
{
	struct room_info room;
	struct str tag;

	return read_path(req, &room, &tag, err) && change(req, room.nid, tag, STR(""), err) && reply_empty(req);
}

static bool get_tags(struct request *req, struct err *err)
{
	struct room_info room;
	struct str content;

	if (!userdata_require_self(req, err) || !userdata_require_room(req, &room, err) ||
	    !account_data_get(req->server, req->user->nid, room.nid, STR("m.tag"), req->arena, &content, err))
		return false;
	return reply_text(req, 200, STR("application/json"), content.len ? content : STR("{\"tags\":{}}"));
}

#define TAG_PATH "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}"

const struct route tag_routes[] = {
	{ HTTP_GET, "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags", AUTH_USER, LIMIT_NONE, get_tags },
	{ HTTP_PUT, TAG_PATH, AUTH_USER, LIMIT_NONE, put_tag },
	{ HTTP_DELETE, TAG_PATH, AUTH_USER, LIMIT_NONE, delete_tag },
	{ 0 },
};
