#include "rooms/aliases.h"

#include "matrix/identifiers.h"
#include "options.h"
#include "rooms/rooms_api.h"
#include "rooms/visibility.h"

static const struct db_statement SELECT_ALIAS = { "alias_select", "SELECT room_nid, creator_nid FROM room_aliases WHERE alias = $1" };
static const struct db_statement SELECT_ALIASES = { "aliases_of_room", "SELECT alias FROM room_aliases WHERE room_nid = $1 ORDER BY alias" };
static const struct db_statement INSERT_ALIAS = {
	"alias_insert",
	"INSERT INTO room_aliases (alias, room_nid, creator_nid, created_ts) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
};
static const struct db_statement DELETE_ALIAS = { "alias_delete", "DELETE FROM room_aliases WHERE alias = $1" };

static const struct write_table ALIAS_TABLE = {
	.statement = { "alias_insert_set",
	               "INSERT INTO room_aliases (alias, room_nid, creator_nid, created_ts) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])" },
	.order = 60,
	.column_count = 4,
	.columns = { DB_TEXT, DB_INT, DB_INT, DB_INT },
};
static const struct write_table PUBLISHED_TABLE = {
	.statement = { "published_insert_set", "INSERT INTO published_rooms (room_nid) SELECT * FROM unnest($1::bigint[]) ON CONFLICT DO NOTHING" },
	.order = 61,
	.column_count = 1,
	.columns = { DB_INT },
	.key_columns = 1,
};

void alias_add_row(struct write_set *set, struct str alias, nid_t room, nid_t creator)
{
	write_set_add(set, &ALIAS_TABLE, DB_PARAMS(db_text(alias), db_int(room), db_int(creator), db_int(clock_wall_ms())));
}

void directory_add_row(struct write_set *set, nid_t room)
{
	write_set_add(set, &PUBLISHED_TABLE, DB_PARAMS(db_int(room)));
}

bool alias_find(struct server *server, struct str alias, struct arena *arena, struct room_info *ret_room, nid_t *ret_creator, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;
	nid_t room;

	*ret_room = (struct room_info){ 0 };
	if (!db_acquire(server->pool, &db, err) || !db_query(db, &SELECT_ALIAS, DB_PARAMS(db_text(alias)), arena, &rows, err))
		return err_detail(err, "look up an alias");
	if (!db_next(rows))
		return true;
	room = db_get_nid(rows, 0);
	*ret_creator = db_get_nid(rows, 1);
	db_release(TAKE(db));
	return room_of_nid(server->rooms, room, arena, ret_room, err);
}

bool alias_require_free(struct server *server, struct str alias, struct arena *arena, struct err *err)
{
	struct room_info room;
	nid_t creator;

	if (!alias_find(server, alias, arena, &room, &creator, err))
		return false;
	if (room.nid)
		return err_set(err, M_ROOM_IN_USE, "This alias is taken");
	return true;
}

static bool read_alias(struct request *req, struct str *ret_alias, struct err *err)
{
	*ret_alias = path_param(req, "roomAlias");
	if (!room_alias_valid(*ret_alias))
		return err_set(err, M_INVALID_PARAM, "This is no room alias");
	return true;
}

static bool get_alias(struct request *req, struct err *err)
{
	struct room_info room;
	struct str alias;
	nid_t creator;

	if (!read_alias(req, &alias, err) || !alias_find(req->server, alias, req->arena, &room, &creator, err))
		return false;
	if (!room.nid)
		return err_set(err, M_NOT_FOUND, "There is no such alias");
	return reply_json(req, 200, json_pack("{s:o, s:[o]}", "room_id", json_new_str(room.room_id), "servers",
	                                      json_new_str(req->server->domains[0].name)));
}

struct alias_body {
	struct str room_id;
};

static const struct json_field alias_fields[] = {
	JSON_FIELD(struct alias_body, room_id, JSON_REQUIRED),
	{ 0 },
};

static bool put_alias(struct request *req, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct alias_body body = { 0 };
	struct room_info room;
	struct str alias;
	int64_t inserted;

	if (!read_alias(req, &alias, err) || !json_read(req->body, alias_fields, &body, err))
		return false;
	if (!server_domain(req->server, identifier_domain(alias)))
		return err_set(err, M_INVALID_PARAM, "This alias belongs to another server");
	if (!room_id_valid(body.room_id))
		return err_set(err, M_INVALID_PARAM, "This is no room ID");
	if (!room_require(req->server->rooms, body.room_id, req->arena, &room, err) ||
	    (req->server->options->require_membership_for_aliases &&
	     !membership_require_joined(req->server, req->user->nid, room.nid, req->arena, err)) ||
	    !db_acquire(req->server->pool, &db, err) ||
	    !db_exec(db, &INSERT_ALIAS, DB_PARAMS(db_text(alias), db_int(room.nid), db_int(req->user->nid), db_int(clock_wall_ms())), &inserted, err))
		return false;
	if (inserted == 0)
		return err_status(err, 409, M_UNKNOWN, "This alias is taken");
	return reply_empty(req);
}

/* Its creator, an administrator of the server, and who may set the room's canonical alias. */
static bool may_delete(struct request *req, const struct room_info *room, nid_t creator, struct err *err)
{
	int64_t root;
	struct state_view *view;
	const struct power_levels *levels;
	struct user_room member;

	if (creator == req->user->nid || req->user->admin)
		return true;
	if (!membership_get(req->server, req->user->nid, room->nid, req->arena, &member, err) || !room_state_root(req->server->rooms, room->nid, &root, err))
		return false;
	view = state_view_new(req->server, room, root, req->arena);
	levels = power_levels_read(room->version, state_view_auth(view), req->arena);
	if (state_view_failed(view, err))
		return false;
	if (member.membership == MEMBERSHIP_JOIN &&
	    power_level_of(levels, req->user->user_id) >= power_level_needed(levels, STR("m.room.canonical_alias"), true))
		return true;
	return err_set(err, M_FORBIDDEN, "You may not delete this alias");
}

/* Takes the alias out of what m.room.canonical_alias says. false: it is not in there. */
static bool without_alias(json_t *content, struct str alias)
{
	json_t *others = json_object_get(content, "alt_aliases");
	bool found = str_eq(json_get_str(content, "alias"), alias);

	if (found)
		json_object_del(content, "alias");
	for (size_t i = json_array_size(others); i-- > 0;) {
		if (!json_is_string(json_array_get(others, i)) || !str_eq(json_str(json_array_get(others, i)), alias))
			continue;
		json_array_remove(others, i);
		found = true;
	}
	return found;
}

/*
 * client-server-api "Room aliases": the room's state names the alias no more, as far as who deletes it may say so; else it stays as it is, as that of any alias that
 * is gone.
 */
static bool update_canonical(struct request *req, const struct room_info *room, struct str alias, struct err *err)
{
	struct event_draft draft = { .type = STR("m.room.canonical_alias"), .is_state = true };
	struct sender sender = { req->user->nid, req->user->user_id, 0 };
	struct str content, event_id;
	struct event event;
	int64_t root;
	json_t *json;

	if (!room_state_root(req->server->rooms, room->nid, &root, err) ||
	    !room_state_event(req->server, room->nid, root, draft.type, STR(""), req->arena, &event, err))
		return false;
	if (!event.nid || event.redacted_by || !slice_get(event.json, STR("content"), &content))
		return true;
	if (!json_parse(content, req->arena, &json, err))
		return false;
	if (!without_alias(json, alias))
		return true;
	draft.content = json_text(json, req->arena);
	return room_send(req->server, room, &sender, &draft, 1, req->arena, &event_id, err) || err->code == M_FORBIDDEN;
}

static bool delete_alias(struct request *req, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct room_info room;
	struct str alias;
	nid_t creator;

	if (!read_alias(req, &alias, err) || !alias_find(req->server, alias, req->arena, &room, &creator, err))
		return false;
	if (!room.nid)
		return err_set(err, M_NOT_FOUND, "There is no such alias");
	if (!may_delete(req, &room, creator, err) || !db_acquire(req->server->pool, &db, err) ||
	    !db_exec(db, &DELETE_ALIAS, DB_PARAMS(db_text(alias)), NULL, err))
		return false;
	db_release(TAKE(db));
	return update_canonical(req, &room, alias, err) && reply_empty(req);
}

static void drop_json(void *json)
{
	json_decref(json);
}

static bool get_aliases(struct request *req, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	json_t *list = json_array();
	struct event_order until;
	struct room_info room;
	struct reader reader;
	struct db_rows *rows;
	int64_t root;

	arena_defer(req->arena, drop_json, list);
	if (!room_require(req->server->rooms, path_param(req, "roomId"), req->arena, &room, err) ||
	    !reader_of(req->server, req->user, room.nid, req->arena, &reader, err) ||
	    !visibility_require_room(req->server, &room, &reader, req->arena, &root, &until, err) || !db_acquire(req->server->pool, &db, err) ||
	    !db_query(db, &SELECT_ALIASES, DB_PARAMS(db_int(room.nid)), req->arena, &rows, err))
		return false;
	while (db_next(rows))
		json_array_append_new(list, json_new_str(db_get_str(rows, 0)));
	return reply_json(req, 200, json_pack("{s:O}", "aliases", list));
}

const struct route alias_routes[] = {
	{ HTTP_GET, "/_matrix/client/v3/directory/room/{roomAlias}", AUTH_NONE, LIMIT_NONE, get_alias },
	{ HTTP_PUT, "/_matrix/client/v3/directory/room/{roomAlias}", AUTH_USER, LIMIT_NONE, put_alias },
	{ HTTP_DELETE, "/_matrix/client/v3/directory/room/{roomAlias}", AUTH_USER, LIMIT_NONE, delete_alias },
	{ HTTP_GET, "/_matrix/client/v3/rooms/{roomId}/aliases", AUTH_USER, LIMIT_NONE, get_aliases, .flags = ROUTE_GUEST },
	{ 0 },
};
