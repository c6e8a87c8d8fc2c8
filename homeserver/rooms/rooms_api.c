/* client-server-api "Rooms": creation, sending. */
#include "rooms/rooms_api.h"

#include "matrix/canonical.h"
#include "rooms/memberships.h"

static struct sender sender_of(const struct request *req)
{
	return (struct sender){ req->user->nid, req->user->user_id, req->user->device };
}

static bool put_send(struct request *req, struct err *err)
{
	struct sender sender = sender_of(req);
	struct event_draft draft = { .type = path_param(req, "eventType"), .content = req->body_text, .txn_id = path_param(req, "txnId") };
	struct room_info room;
	struct str event_id;

	if (!json_is_object(req->body))
		return err_set(err, M_BAD_JSON, "An event's content is an object");
	if (!room_require(req->server->rooms, path_param(req, "roomId"), req->arena, &room, err) ||
	    !membership_require_joined(req->server, req->user->nid, room.nid, req->arena, err) ||
	    !room_send(req->server, &room, &sender, &draft, 1, req->arena, &event_id, err))
		return false;
	return reply_field(req, "event_id", event_id);
}

const struct route rooms_routes[] = {
	{ HTTP_PUT, "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}", AUTH_USER, LIMIT_MESSAGE, put_send },
	{ 0 },
};
