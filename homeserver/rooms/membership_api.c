/* client-server-api "Room membership": join, knock, invite, leave, kick, ban, unban, forget, and who is where. */
#include "interned/interned.h"
#include "journal/journal.h"
#include "limits/limits.h"
#include "matrix/identifiers.h"
#include "rooms/aliases.h"
#include "rooms/guests.h"
#include "rooms/member_content.h"
#include "rooms/restricted.h"
#include "rooms/rooms_api.h"
#include "rooms/visibility.h"
#include "state/state_store.h"

struct member_body {
	struct str user_id, reason;
	json_t *third_party_signed;
};

/* Of a body that names somebody, and of one that does not. */
static const struct json_field target_fields[] = {
	JSON_FIELD(struct member_body, user_id, JSON_REQUIRED),
	JSON_FIELD(struct member_body, reason, JSON_OPTIONAL),
	{ 0 },
};
static const struct json_field own_fields[] = {
	JSON_FIELD(struct member_body, reason, JSON_OPTIONAL),
	JSON_FIELD_OBJ(struct member_body, third_party_signed, JSON_OPTIONAL),
	{ 0 },
};

static struct sender sender_of(const struct request *req)
{
	return (struct sender){ req->user->nid, req->user->user_id, req->user->device };
}

/* Where somebody stands in the room now. */
static bool standing(struct request *req, const struct room_info *room, struct str user_id, struct user_room *ret_member, struct err *err)
{
	nid_t user;

	*ret_member = (struct user_room){ .room = room->nid };
	if (!find_user(req->server->interned, user_id, &user, err))
		return false;
	return user == 0 || membership_get(req->server, user, room->nid, req->arena, ret_member, err);
}

static bool send_member(struct request *req, const struct room_info *room, struct str target, const struct member_wish *wish, struct err *err)
{
	/* Of equal requests at once one is enough. */
	struct event_draft draft = { .type = STR("m.room.member"), .is_state = true, .state_key = target, .skip_if_same = true };
	struct sender sender = sender_of(req);
	struct str event_id;

	return member_content(req->server, target, wish, req->arena, &draft.content, err) &&
	       room_send(req->server, room, &sender, &draft, 1, req->arena, &event_id, err);
}

/* --- join --- */

static bool join(struct request *req, const struct room_info *room, struct err *err)
{
	struct member_wish wish = { .membership = STR("join"), .with_profile = true };
	struct member_body body = { 0 };
	struct user_room member;

	if (!json_read(req->body, own_fields, &body, err) || !standing(req, room, req->user->user_id, &member, err))
		return false;
	wish.reason = body.reason;
	if (member.membership != MEMBERSHIP_JOIN &&
	    (!guest_check_join(req, room, err) || !restricted_authorise(req, room, &member, &wish.authorised_via, err) || !send_member(req, room, req->user->user_id, &wish, err)))
		return false;
	return reply_field(req, "room_id", room->room_id);
}

static bool room_of_param(struct request *req, struct str id, struct room_info *ret_room, struct err *err)
{
	nid_t creator;

	if (id.len && id.ptr[0] == '#') {
		if (!room_alias_valid(id))
			return err_set(err, M_INVALID_PARAM, "This is no room alias");
		if (!alias_find(req->server, id, req->arena, ret_room, &creator, err))
			return false;
		if (!ret_room->nid)
			return err_set(err, M_NOT_FOUND, "There is no such alias");
		return true;
	}
	if (!room_id_valid(id))
		return err_set(err, M_INVALID_PARAM, "This is neither a room ID nor an alias");
	if (!room_find(req->server->rooms, id, req->arena, ret_room, err))
		return false;
	if (!ret_room->nid)
		return err_set(err, M_NOT_FOUND, "This room is not known here");
	return true;
}

static bool post_join(struct request *req, struct err *err)
{
	struct room_info room;

	return room_of_param(req, path_param(req, "roomIdOrAlias"), &room, err) && join(req, &room, err);
}

static bool post_join_room(struct request *req, struct err *err)
{
	struct room_info room;

	return room_of_param(req, path_param(req, "roomId"), &room, err) && join(req, &room, err);
}

static bool post_knock(struct request *req, struct err *err)
{
	struct member_wish wish = { .membership = STR("knock"), .with_profile = true };
	struct member_body body = { 0 };
	struct room_info room;

	if (!json_read(req->body, own_fields, &body, err) || !room_of_param(req, path_param(req, "roomIdOrAlias"), &room, err))
		return false;
	wish.reason = body.reason;
	return send_member(req, &room, req->user->user_id, &wish, err) && reply_field(req, "room_id", room.room_id);
}

/* --- of others --- */

static bool read_target(struct request *req, struct room_info *ret_room, struct member_body *ret_body, struct err *err)
{
	if (!json_read(req->body, target_fields, ret_body, err))
		return false;
	if (!user_id_valid(ret_body->user_id))
		return err_set(err, M_INVALID_PARAM, "This is no user ID");
	return room_require(req->server->rooms, path_param(req, "roomId"), req->arena, ret_room, err);
}

static bool post_invite(struct request *req, struct err *err)
{
	struct member_wish wish = { .membership = STR("invite"), .with_profile = true };
	struct member_body body = { 0 };
	struct room_info room;
	struct user_room member;

	if (json_object_get(req->body, "medium"))
		return err_status(err, 400, M_UNRECOGNIZED, "Invitations by e-mail or phone are not supported");
	if (!read_target(req, &room, &body, err) || !member_may_invite(req, err) ||
	    !membership_require_joined(req->server, req->user->nid, room.nid, req->arena, err) || !standing(req, &room, body.user_id, &member, err))
		return false;
	if (!server_domain_of_user(req->server, body.user_id))
		return err_set(err, M_FORBIDDEN, "Users of other servers cannot be invited yet");
	if (member.membership == MEMBERSHIP_JOIN)
		return err_set(err, M_FORBIDDEN, "This user is in the room already");
	if (!limit_take(req->server->limits, LIMIT_INVITE_USER, body.user_id, err))
		return false;
	wish.reason = body.reason;
	return send_member(req, &room, body.user_id, &wish, err) && reply_empty(req);
}

static bool post_kick(struct request *req, struct err *err)
{
	struct member_wish wish = { .membership = STR("leave") };
	struct member_body body = { 0 };
	struct room_info room;
	struct user_room member;

	if (!read_target(req, &room, &body, err) || !membership_require_joined(req->server, req->user->nid, room.nid, req->arena, err) ||
	    !standing(req, &room, body.user_id, &member, err))
		return false;
	if (member.membership != MEMBERSHIP_JOIN && member.membership != MEMBERSHIP_INVITE && member.membership != MEMBERSHIP_KNOCK)
		return err_set(err, M_FORBIDDEN, "This user is not in the room");
	wish.reason = body.reason;
	return send_member(req, &room, body.user_id, &wish, err) && reply_empty(req);
}

static bool post_ban(struct request *req, struct err *err)
{
	struct member_wish wish = { .membership = STR("ban") };
	struct member_body body = { 0 };
	struct room_info room;

	if (!read_target(req, &room, &body, err) || !membership_require_joined(req->server, req->user->nid, room.nid, req->arena, err))
		return false;
	wish.reason = body.reason;
	return send_member(req, &room, body.user_id, &wish, err) && reply_empty(req);
}

static bool post_unban(struct request *req, struct err *err)
{
	struct member_wish wish = { .membership = STR("leave") };
	struct member_body body = { 0 };
	struct room_info room;
	struct user_room member;

	if (!read_target(req, &room, &body, err) || !membership_require_joined(req->server, req->user->nid, room.nid, req->arena, err) ||
	    !standing(req, &room, body.user_id, &member, err))
		return false;
	if (member.membership != MEMBERSHIP_BAN)
		return err_set(err, M_FORBIDDEN, "This user is not banned");
	wish.reason = body.reason;
	return send_member(req, &room, body.user_id, &wish, err) && reply_empty(req);
}

/* --- leave and forget --- */

static bool post_leave(struct request *req, struct err *err)
{
	struct member_wish wish = { .membership = STR("leave") };
	struct member_body body = { 0 };
	struct room_info room;
	struct user_room member;

	if (!json_read(req->body, own_fields, &body, err) || !room_require(req->server->rooms, path_param(req, "roomId"), req->arena, &room, err) ||
	    !standing(req, &room, req->user->user_id, &member, err))
		return false;
	if (member.membership == MEMBERSHIP_LEAVE)
		return reply_empty(req); /* as it is asked for */
	if (member.membership == MEMBERSHIP_NONE || member.membership == MEMBERSHIP_BAN)
		return err_set(err, M_FORBIDDEN, "You are not in this room");
	wish.reason = body.reason;
	return send_member(req, &room, req->user->user_id, &wish, err) && reply_empty(req);
}

static const struct db_statement FORGET = {
	"membership_forget",
	"UPDATE room_memberships SET forgotten = true, left_seq = 0, left_root = 0 WHERE user_nid = $1 AND room_nid = $2 AND membership IN (3, 4) AND NOT forgotten",
};

static bool post_forget(struct request *req, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct member_body body = { 0 };
	struct user_room member;
	struct room_info room;

	if (!json_read(req->body, own_fields, &body, err) ||
	    !room_require(req->server->rooms, path_param(req, "roomId"), req->arena, &room, err) ||
	    !standing(req, &room, req->user->user_id, &member, err))
		return false;
	if (member.membership == MEMBERSHIP_NONE)
		return err_set(err, M_FORBIDDEN, "You were never in this room");
	if (member.membership != MEMBERSHIP_LEAVE && member.membership != MEMBERSHIP_BAN)
		return err_status(err, 400, M_UNKNOWN, "You are in this room: leave it first");
	if (!db_acquire(req->server->pool, &db, err) || !db_begin(db, err) ||
	    !db_exec(db, &FORGET, DB_PARAMS(db_int(req->user->nid), db_int(room.nid)), NULL, err) ||
	    !journal_append(req->server->journal, db, &(struct journal_entry){ .kind = JOURNAL_FORGET, .room = room.nid, .user = req->user->nid }, 1, NULL,
	                    err))
		return false;
	return reply_empty(req);
}

static bool get_joined_rooms(struct request *req, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init((size_t)64 << 20);
	struct user_room *rooms;
	bool first = true;
	size_t count;

	if (!memberships_of_user(req->server, req->user->nid, req->arena, &rooms, &count, err))
		return false;
	BUF_LIT(&out, "{\"joined_rooms\":[");
	for (size_t i = 0; i < count; i++) {
		struct room_info room;

		if (rooms[i].membership != MEMBERSHIP_JOIN)
			continue;
		if (!room_of_nid(req->server->rooms, rooms[i].room, req->arena, &room, err))
			return false;
		if (!first)
			buf_char(&out, ',');
		first = false;
		slice_write_string(&out, room.room_id);
	}
	BUF_LIT(&out, "]}");
	return reply_buf(req, 200, "application/json", &out);
}

const struct route membership_routes[] = {
	{ HTTP_POST, "/_matrix/client/v3/join/{roomIdOrAlias}", AUTH_USER, LIMIT_JOIN, post_join, .flags = ROUTE_GUEST },
	{ HTTP_POST, "/_matrix/client/v3/rooms/{roomId}/join", AUTH_USER, LIMIT_JOIN, post_join_room, .flags = ROUTE_GUEST },
	{ HTTP_POST, "/_matrix/client/v3/knock/{roomIdOrAlias}", AUTH_USER, LIMIT_JOIN, post_knock },
	{ HTTP_POST, "/_matrix/client/v3/rooms/{roomId}/invite", AUTH_USER, LIMIT_INVITE, post_invite },
	{ HTTP_POST, "/_matrix/client/v3/rooms/{roomId}/kick", AUTH_USER, LIMIT_NONE, post_kick },
	{ HTTP_POST, "/_matrix/client/v3/rooms/{roomId}/ban", AUTH_USER, LIMIT_NONE, post_ban },
	{ HTTP_POST, "/_matrix/client/v3/rooms/{roomId}/unban", AUTH_USER, LIMIT_NONE, post_unban },
	{ HTTP_POST, "/_matrix/client/v3/rooms/{roomId}/leave", AUTH_USER, LIMIT_NONE, post_leave, .flags = ROUTE_GUEST },
	{ HTTP_POST, "/_matrix/client/v3/rooms/{roomId}/forget", AUTH_USER, LIMIT_NONE, post_forget, .flags = ROUTE_GUEST },
	{ HTTP_GET, "/_matrix/client/v3/joined_rooms", AUTH_USER, LIMIT_NONE, get_joined_rooms, .flags = ROUTE_GUEST },
	{ 0 },
};
