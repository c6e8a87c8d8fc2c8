#include "routes.h"

#include "accounts/accounts.h"
#include "rooms/rooms_api.h"
#include "sync/sync.h"
#include "timeline/timeline_api.h"

const struct route *const server_routes[] = {
	accounts_routes,
	create_routes,
	membership_routes,
	state_routes,
	alias_routes,
	sync_routes,
	timeline_routes,
	NULL,
};
