/*
 * End-to-end encryption as the server sees it (client-server-api modules/end_to_end_encryption.md): keys that devices
 * and users publish, signatures on them, one-time keys that are given out, and the backup of room keys. The server
 * keeps and hands on; what it verifies are the signatures of cross-signing.
 *
 * Only keys of our own users are here: the others' servers are named under `failures`.
 *
 * What concerns a device goes with its row in `devices`. Who changes keys tells the journal: JOURNAL_DEVICE_LIST of the
 * user (with a target: a change that this user alone can see), JOURNAL_ONE_TIME_KEYS of the device.
 */
#pragma once

#include "base/cache.h"
#include "server.h"

struct keys;
struct keys *keys_new(struct server *server, size_t cache_bytes); /* observes the journal */
void keys_free(struct keys *keys);
struct cache_stats keys_cache_stats(struct keys *keys);

/* JSON texts: how many one-time keys of each algorithm a device has (an object), for which ones there is an unused
 * fallback key (an array). Cached. */
struct key_counts {
	struct str one_time, unused_fallback;
};
bool key_counts_get(struct server *server, nid_t device, struct arena *arena, struct key_counts *ret_counts,
		    struct err *err);

/* A new device may not be called as one of the user's cross-signing keys is: they share one space. M_FORBIDDEN. */
bool cross_signing_check_device_id(struct server *server, nid_t user, struct str device_id, struct err *err);

extern const struct route keys_routes[], cross_signing_routes[], backup_routes[];
