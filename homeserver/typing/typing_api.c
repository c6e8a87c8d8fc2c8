#include "rooms/memberships.h"
#include "typing/typing.h"

#define DEFAULT_TIMEOUT_MS 30000
#define MAX_TIMEOUT_MS     120000

struct typing_body {
	bool typing;
	int64_t timeout;
};

static const struct json_field typing_fields[] = {
	JSON_FIELD(struct typing_body, typing, JSON_REQUIRED),
	JSON_FIELD(struct typing_body, timeout, JSON_OPTIONAL),
	{ 0 },
};

static bool put_typing(struct request *req, struct err *err)
{
	struct typing_body body = { .timeout = DEFAULT_TIMEOUT_MS };
	struct room_info room;
	int64_t timeout_ms;

	if (!json_read(req->body, typing_fields, &body, err))
		return false;
	if (!str_eq(path_param(req, "userId"), req->user->user_id))
		return err_set(err, M_FORBIDDEN, "Nobody types for somebody else");
	if (body.timeout < 0)
		return err_set(err, M_INVALID_PARAM, "timeout is negative");
	if (!room_require(req->server->rooms, path_param(req, "roomId"), req->arena, &room, err) ||
	    !membership_require_joined(req->server, req->user->nid, room.nid, req->arena, err))
		return false;
	timeout_ms = body.typing ? MIN(MAX(body.timeout, 1), MAX_TIMEOUT_MS) : 0;
	return typing_set(req->server, room.nid, req->user->nid, timeout_ms, err) && reply_empty(req);
}

const struct route typing_routes[] = {
	{ HTTP_PUT, "/_matrix/client/v3/rooms/{roomId}/typing/{userId}", AUTH_USER, LIMIT_NONE, put_typing },
	{ 0 },
};
