/* The devices of accounts (client-server-api "Device Management"): rows, and where each was last seen. */
#pragma once

#include "accounts/accounts.h"

struct device {
	nid_t nid;
	struct str device_id, display_name; /* empty: none */
	int64_t last_seen_ts;               /* 0: not known */
	struct str last_seen_ip;
};
/* Of one device (device_id empty: of all), in the order of their IDs. */
bool devices_get(struct server *server, nid_t user, struct str device_id, struct arena *arena,
		 struct device **ret_devices, size_t *ret_count, struct err *err);
/* *ret_found: whether there is such a device. */
bool device_rename(struct server *server, nid_t user, struct str device_id, struct str name, bool *ret_found,
		   struct err *err);
/* Those that are not there are passed over. */
bool devices_delete(struct server *server, nid_t user, const struct str *device_ids, size_t count, struct err *err);
