#include "rooms/guests.h"

#include "log/log.h"
#include "matrix/slice.h"

static const struct db_statement SELECT_GUESTS = {
	"guests_of_room",
	"SELECT m.user_nid, u.user_id FROM room_memberships m JOIN accounts a USING (user_nid) JOIN users u USING "
	"(user_nid)"
	" WHERE m.room_nid = $1 AND m.membership = 2 AND a.guest",
};

static bool lets_guests_in(struct server *server, const struct room_info *room, struct arena *arena, bool *ret_lets,
			   struct err *err)
{
	int64_t root;
	struct event access;
	struct str value;

	if (!room_state_root(server->rooms, room->nid, &root, err) ||
	    !room_state_event(server, room->nid, root, STR("m.room.guest_access"), STR(""), arena, &access,
			      err))
		return false;
	*ret_lets = access.nid && slice_path(access.json, &value, STR("content"), STR("guest_access")) &&
		    slice_string_eq(value, STR("can_join"));
	return true;
}

bool guest_check_join(struct request *req, const struct room_info *room, struct err *err)
{
	bool lets;

	if (!req->user->guest)
		return true;
	return lets_guests_in(req->server, room, req->arena, &lets, err) &&
	       (lets || err_set(err, M_GUEST_ACCESS_FORBIDDEN, "This room is not for guests"));
}

static bool select_guests(struct server *server, nid_t room, struct arena *arena, struct db_rows **ret_rows,
			  struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;

	return db_acquire(server->pool, &db, err) &&
	       db_query(db, &SELECT_GUESTS, DB_PARAMS(db_int(room)), arena, ret_rows, err);
}

static void leave(struct server *server, const struct room_info *room, const struct sender *guest, struct arena *arena)
{
	struct event_draft draft = {
		.type = STR("m.room.member"),
		.is_state = true,
		.state_key = guest->user_id,
		.content = STR("{\"membership\":\"leave\"}"),
	};
	struct err err = { 0 };
	struct str event_id;

	if (!room_send(server, room, guest, &draft, 1, arena, &event_id, &err))
		log_warning("a guest could not leave a room that is closed to guests now: %s", err.message);
}

bool guests_follow_access(struct server *server, const struct room_info *room, struct arena *arena, struct err *err)
{
	struct db_rows *rows;
	bool lets;

	if (!lets_guests_in(server, room, arena, &lets, err))
		return false;
	if (lets)
		return true;
	if (!select_guests(server, room->nid, arena, &rows, err))
		return err_detail(err, "guests of room %" PRId64, room->nid);
	while (db_next(rows))
		leave(server, room, &(struct sender){ .nid = db_get_nid(rows, 0), .user_id = db_get_str(rows, 1) },
		      arena);
	return true;
}
