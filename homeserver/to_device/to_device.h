/*
 * Messages from device to device (client-server-api modules/send_to_device.md). They wait in the queue of their device
 * until it acknowledges them: a sync hands out up to a hundred and its token names the last; when the device itself
 * comes back with that token they are deleted. A token of another device, or an older one, deletes nothing.
 *
 * Numbers of messages grow within a queue in the order of commits: a sender locks the devices before it takes numbers.
 * So what a token names covers all that was handed out before it.
 *
 * Only devices of our own users are reached; others are passed over.
 */
#pragma once

#include "base/cache.h"
#include "server.h"

struct to_device;
struct to_device *to_device_new(struct server *server, size_t cache_bytes); /* observes the journal */
void to_device_free(struct to_device *to_device);
struct cache_stats to_device_cache_stats(struct to_device *to_device);

struct device_message {
	struct str user_id, device_id; /* device "*": all of the user's */
	struct str content;            /* JSON text */
};
/* All or none, and once for each transaction ID of the sender's device. Who doesn't exist is no error. */
bool to_device_send(struct server *server, const struct user *sender, struct str type, struct str txn_id,
		    const struct device_message *messages, size_t count, struct err *err);

struct waiting_message {
	int64_t number;
	struct str sender, type, content;
};
/* Deletes what has been acknowledged, up to and with that number (0: nothing), and gives what waits after it, the
 * oldest hundred. */
bool to_device_take(struct server *server, nid_t device, int64_t acknowledged, struct arena *arena,
		    struct waiting_message **ret_messages, size_t *ret_count, struct err *err);

extern const struct route to_device_routes[];
