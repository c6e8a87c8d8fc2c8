#include "receipts/receipts.h"

#include "counts/counts.h"
#include "matrix/identifiers.h"
#include "rooms/memberships.h"

#define TYPE_COUNT 3

static const struct {
	struct str name;
	enum receipt_type type;
} types[TYPE_COUNT] = {
	{ STR_INIT("m.read"), RECEIPT_READ },
	{ STR_INIT("m.read.private"), RECEIPT_PRIVATE },
	{ STR_INIT("m.fully_read"), RECEIPT_FULLY_READ },
};

static bool find_type(struct str name, enum receipt_type *ret_type)
{
	for (size_t i = 0; i < TYPE_COUNT; i++) {
		if (str_eq(types[i].name, name)) {
			*ret_type = types[i].type;
			return true;
		}
	}
	return false;
}

static bool require_room(struct request *req, struct room_info *ret_room, struct err *err)
{
	return room_require(req->server->rooms, path_param(req, "roomId"), req->arena, ret_room, err) &&
	       membership_require_joined(req->server, req->user->nid, ret_room->nid, req->arena, err);
}

/* "The event MUST belong to the room" (read_markers.yaml), and be one that clients are shown. */
static bool require_event(struct request *req, nid_t room, struct str event_id, struct event *ret_event,
			  struct err *err)
{
	if (!event_find(req->server->events, event_id, req->arena, ret_event, err))
		return false;
	if (!ret_event->nid || ret_event->room != room || ret_event->verdict != VERDICT_ACCEPTED)
		return err_set(err, M_NOT_FOUND, "There is no such event in this room");
	return true;
}

static bool read_main_thread(struct request *req, const struct event *event, struct receipt *receipt, struct err *err)
{
	nid_t thread;

	if (!counts_thread_of(req->server, event->room, event->json, req->arena, &thread, err))
		return false;
	if (thread != COUNTS_MAIN_THREAD)
		return err_set(err, M_INVALID_PARAM, "The event is in a thread");
	receipt->thread = RECEIPT_MAIN;
	return true;
}

/* receipts.yaml: a thread_id is "main" or a thread root's event ID; a read marker has none. */
static bool read_thread(struct request *req, const struct event *event, struct receipt *receipt, struct err *err)
{
	const json_t *thread_id = json_object_get(req->body, "thread_id");
	struct event root;
	bool fits;

	if (!thread_id)
		return true;
	if (!json_is_string(thread_id) || json_str(thread_id).len == 0)
		return err_set(err, M_INVALID_PARAM, "thread_id is no string, or an empty one");
	if (receipt->type == RECEIPT_FULLY_READ)
		return err_set(err, M_INVALID_PARAM, "A read marker has no thread");
	if (str_eq(json_str(thread_id), STR("main")))
		return read_main_thread(req, event, receipt, err);
	if (!event_id_valid(json_str(thread_id)))
		return err_set(err, M_INVALID_PARAM, "thread_id is no event ID");
	if (!event_find(req->server->events, json_str(thread_id), req->arena, &root, err))
		return false;
	fits = root.nid && root.room == event->room;
	if (fits && !receipt_fits_thread(req->server, event, &root, req->arena, &fits, err))
		return false;
	if (!fits)
		return err_set(err, M_INVALID_PARAM, "The event is not in this thread");
	receipt->thread = root.nid;
	return true;
}

static bool post_receipt(struct request *req, struct err *err)
{
	struct receipt receipt = { 0 };
	struct room_info room;
	struct event event;

	if (!find_type(path_param(req, "receiptType"), &receipt.type))
		return err_set(err, M_INVALID_PARAM, "There is no such type of receipt");
	if (!json_is_object(req->body))
		return err_set(err, M_BAD_JSON, "The body is no object");
	if (!require_room(req, &room, err) || !require_event(req, room.nid, path_param(req, "eventId"), &event, err) ||
	    !read_thread(req, &event, &receipt, err))
		return false;
	receipt.event = event.nid;
	receipt.order = event.order;
	return receipts_set(req->server, req->user->nid, room.nid, &receipt, 1, req->arena, err) && reply_empty(req);
}

static bool read_marker(struct request *req, nid_t room, size_t type, struct receipt *receipts, size_t *count,
			struct err *err)
{
	const json_t *event_id = json_object_getn(req->body, types[type].name.ptr, types[type].name.len);
	struct event event;

	if (!event_id)
		return true;
	if (!json_is_string(event_id) || !event_id_valid(json_str(event_id)))
		return err_set(err, M_INVALID_PARAM, "%.*s is no event ID", STR_ARG(types[type].name));
	if (!require_event(req, room, json_str(event_id), &event, err))
		return false;
	receipts[(*count)++] = (struct receipt){ types[type].type, RECEIPT_UNTHREADED, event.nid, event.order };
	return true;
}

static bool post_read_markers(struct request *req, struct err *err)
{
	struct receipt receipts[TYPE_COUNT];
	struct room_info room;
	size_t count = 0;

	if (!json_is_object(req->body))
		return err_set(err, M_BAD_JSON, "The body is no object");
	if (!require_room(req, &room, err))
		return false;
	for (size_t i = 0; i < TYPE_COUNT; i++) {
		if (!read_marker(req, room.nid, i, receipts, &count, err))
			return false;
	}
	if (count && !receipts_set(req->server, req->user->nid, room.nid, receipts, count, req->arena, err))
		return false;
	return reply_empty(req);
}

#define RECEIPT_PATH "/_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}"

const struct route receipt_routes[] = {
	{ HTTP_POST, RECEIPT_PATH, AUTH_USER, LIMIT_NONE, post_receipt },
	{ HTTP_POST, "/_matrix/client/v3/rooms/{roomId}/read_markers", AUTH_USER, LIMIT_NONE, post_read_markers },
	{ 0 },
};
