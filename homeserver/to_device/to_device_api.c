#include "matrix/identifiers.h"
#include "to_device/to_device.h"

#define MAX_NAME    255
#define MAX_CONTENT 65536

struct send_body {
	json_t *messages;
};

static const struct json_field send_fields[] = {
	JSON_FIELD_OBJ(struct send_body, messages, JSON_REQUIRED),
	{ 0 },
};

struct messages {
	struct device_message *items;
	size_t count, cap;
};

static bool read_messages_to(struct request *req, struct str user_id, json_t *devices, struct messages *messages,
			     struct err *err)
{
	const char *device_id;
	json_t *content;

	json_object_foreach(devices, device_id, content)
	{
		struct device_message message = { user_id, str_of(device_id), json_text(content, req->arena) };

		if (!json_is_object(content))
			return err_set(err, M_BAD_JSON, "A message's content must be an object");
		if (message.content.len > MAX_CONTENT)
			return err_set(err, M_TOO_LARGE, "A message has at most %d bytes", MAX_CONTENT);
		*ARENA_PUSH(req->arena, messages->items, messages->count, messages->cap) = message;
	}
	return true;
}

static bool read_messages(struct request *req, struct messages *messages, struct err *err)
{
	struct send_body body = { 0 };
	const char *user_id;
	json_t *devices;

	if (!json_read(req->body, send_fields, &body, err))
		return false;
	json_object_foreach(body.messages, user_id, devices)
	{
		if (!user_id_valid(str_of(user_id)))
			return err_set(err, M_INVALID_PARAM, "Messages are given by user");
		if (!json_is_object(devices))
			return err_set(err, M_BAD_JSON, "A user's messages must be an object");
		if (!read_messages_to(req, str_of(user_id), devices, messages, err))
			return false;
	}
	return true;
}

static bool put_send_to_device(struct request *req, struct err *err)
{
	struct str type = path_param(req, "eventType"), txn_id = path_param(req, "txnId");
	struct messages messages = { 0 };

	if (type.len > MAX_NAME || txn_id.len > MAX_NAME)
		return err_set(err, M_TOO_LARGE, "An event type or transaction ID has at most %d bytes", MAX_NAME);
	if (!read_messages(req, &messages, err) ||
	    !to_device_send(req->server, req->user, type, txn_id, messages.items, messages.count, err))
		return false;
	return reply_empty(req);
}

const struct route to_device_routes[] = {
	{ HTTP_PUT, "/_matrix/client/v3/sendToDevice/{eventType}/{txnId}", AUTH_USER, LIMIT_NONE, put_send_to_device,
	  .flags = ROUTE_GUEST },
	{ 0 },
};
