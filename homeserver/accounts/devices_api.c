/* client-server-api "Device Management". */
#include "accounts/accounts_internal.h"
#include "accounts/devices.h"
#include "accounts/uia.h"
#include "base/utf8.h"

#define MAX_DELETED 1000

static json_t *device_json(const struct device *device)
{
	json_t *json = json_pack("{s:o}", "device_id", json_new_str(device->device_id));

	if (device->display_name.len)
		json_object_set_new(json, "display_name", json_new_str(device->display_name));
	if (device->last_seen_ip.len)
		json_object_set_new(json, "last_seen_ip", json_new_str(device->last_seen_ip));
	if (device->last_seen_ts)
		json_object_set_new(json, "last_seen_ts", json_integer(device->last_seen_ts));
	return json;
}

static bool get_devices(struct request *req, struct err *err)
{
	struct device *devices;
	json_t *list;
	size_t count;

	if (!devices_get(req->server, req->user->nid, STR(""), req->arena, &devices, &count, err))
		return false;
	list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, device_json(&devices[i]));
	return reply_json(req, 200, json_pack("{s:o}", "devices", list));
}

static bool get_device(struct request *req, struct err *err)
{
	struct device *devices;
	size_t count;

	if (!devices_get(req->server, req->user->nid, path_param(req, "deviceId"), req->arena, &devices, &count, err))
		return false;
	if (!count)
		return err_set(err, M_NOT_FOUND, "You have no such device");
	return reply_json(req, 200, device_json(&devices[0]));
}

struct device_body {
	struct str display_name;
};

static const struct json_field device_fields[] = {
	JSON_FIELD(struct device_body, display_name, JSON_OPTIONAL),
	{ 0 },
};

static bool put_device(struct request *req, struct err *err)
{
	struct device_body body = { 0 };
	struct device *devices;
	size_t count;
	bool found;

	if (!json_read(req->body, device_fields, &body, err))
		return false;
	if (utf8_length(body.display_name) > MAX_DEVICE_DISPLAY_NAME)
		return err_status(err, 400, M_TOO_LARGE, "The name of a device has at most %d characters",
				  MAX_DEVICE_DISPLAY_NAME);
	if (body.display_name.ptr) {
		if (!device_rename(req->server, req->user->nid, path_param(req, "deviceId"), body.display_name, &found,
				   err))
			return false;
	} else {
		if (!devices_get(req->server, req->user->nid, path_param(req, "deviceId"), req->arena, &devices, &count,
				 err))
			return false;
		found = count > 0;
	}
	if (!found)
		return err_set(err, M_NOT_FOUND, "You have no such device");
	return reply_empty(req);
}

static bool delete_after_authentication(struct request *req, const struct str *device_ids, size_t count,
					struct err *err)
{
	bool done;

	if (!uia_check_password(req, true, &done, err))
		return false;
	return !done || (devices_delete(req->server, req->user->nid, device_ids, count, err) && reply_empty(req));
}

static bool delete_device(struct request *req, struct err *err)
{
	struct str device_id = path_param(req, "deviceId");

	if (!json_is_object(req->body))
		return err_set(err, M_BAD_JSON, "The body is no object");
	return delete_after_authentication(req, &device_id, 1, err);
}

struct delete_body {
	json_t *devices;
};

static const struct json_field delete_fields[] = {
	JSON_FIELD_ARR(struct delete_body, devices, JSON_REQUIRED),
	{ 0 },
};

static bool post_delete_devices(struct request *req, struct err *err)
{
	struct delete_body body = { 0 };
	struct str *device_ids;
	size_t count;

	if (!json_read(req->body, delete_fields, &body, err))
		return false;
	count = json_array_size(body.devices);
	if (count > MAX_DELETED)
		return err_set(err, M_INVALID_PARAM, "At most %d devices at once", MAX_DELETED);
	device_ids = ARENA_ARRAY(req->arena, count + 1, struct str);
	for (size_t i = 0; i < count; i++) {
		device_ids[i] = json_str(json_array_get(body.devices, i));
		if (!json_is_string(json_array_get(body.devices, i)) || memchr(device_ids[i].ptr, 0, device_ids[i].len))
			return err_set(err, M_BAD_JSON, "devices is not a list of device IDs");
	}
	return delete_after_authentication(req, device_ids, count, err);
}

const struct route device_routes[] = {
	{ HTTP_GET, "/_matrix/client/v3/devices", AUTH_USER, LIMIT_NONE, get_devices, .flags = ROUTE_GUEST },
	{ HTTP_GET, "/_matrix/client/v3/devices/{deviceId}", AUTH_USER, LIMIT_NONE, get_device, .flags = ROUTE_GUEST },
	{ HTTP_PUT, "/_matrix/client/v3/devices/{deviceId}", AUTH_USER, LIMIT_NONE, put_device, .flags = ROUTE_GUEST },
	{ HTTP_DELETE, "/_matrix/client/v3/devices/{deviceId}", AUTH_USER, LIMIT_NONE, delete_device, BODY_JSON },
	{ HTTP_POST, "/_matrix/client/v3/delete_devices", AUTH_USER, LIMIT_NONE, post_delete_devices },
	{ 0 },
};
