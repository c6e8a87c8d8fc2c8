/* The section of a sync, and what its token says of the queue. */
#include "sync/sync_internal.h"
#include "to_device/to_device.h"

bool sync_take_to_device(struct sync *sync, struct err *err)
{
	nid_t device = sync->user->device;
	int64_t acknowledged = !sync->initial && sync->since.device == device ? sync->since.to_device : 0;

	if (!device)
		return true;
	if (!to_device_take(sync->server, device, acknowledged, sync->arena, &sync->to_device, &sync->to_device_count,
			    err))
		return false;
	sync->now.device = device;
	sync->now.to_device = sync->to_device_count ? sync->to_device[sync->to_device_count - 1].number : acknowledged;
	return true;
}

void sync_write_to_device(struct sync *sync)
{
	struct buf *out = sync->out;
	bool first = true;

	if (!sync->to_device_count)
		return;
	BUF_LIT(out, ",\"to_device\":{\"events\":[");
	for (size_t i = 0; i < sync->to_device_count; i++) {
		const struct waiting_message *message = &sync->to_device[i];

		sync_comma(out, &first);
		BUF_LIT(out, "{\"type\":");
		slice_write_string(out, message->type);
		BUF_LIT(out, ",\"sender\":");
		slice_write_string(out, message->sender);
		BUF_LIT(out, ",\"content\":");
		buf_append(out, message->content);
		BUF_LIT(out, "}");
	}
	BUF_LIT(out, "]}");
	sync->news = true;
}
