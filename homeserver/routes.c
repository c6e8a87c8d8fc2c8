#include "routes.h"

#include "accounts/accounts.h"
#include "discovery/discovery.h"
#include "keys/keys.h"
#include "media/media.h"
#include "observe.h"
#include "relations/relations.h"
#include "push/push.h"
#include "receipts/receipts.h"
#include "rooms/rooms_api.h"
#include "sync/sync.h"
#include "timeline/timeline_api.h"
#include "to_device/to_device.h"
#include "typing/typing.h"
#include "userdata/userdata.h"

const struct route *const server_routes[] = {
	discovery_routes,
	accounts_routes,
	account_routes,
	register_routes,
	device_routes,
	profile_routes,
	create_routes,
	membership_routes,
	state_routes,
	alias_routes,
	sync_routes,
	account_data_routes,
	tag_routes,
	filter_routes,
	receipt_routes,
	typing_routes,
	keys_routes,
	cross_signing_routes,
	backup_routes,
	to_device_routes,
	timeline_routes,
	relations_routes,
	push_rules_routes,
	media_routes,
	observe_routes,
	NULL,
};

const char *route_method_name(enum http_method method)
{
	switch (method) {
	case HTTP_GET:
		return "GET";
	case HTTP_PUT:
		return "PUT";
	case HTTP_POST:
		return "POST";
	case HTTP_DELETE:
		return "DELETE";
	case HTTP_OPTIONS:
		return "OPTIONS";
	case HTTP_HEAD:
		return "HEAD";
	case HTTP_PATCH:
		return "PATCH";
	}
	return "";
}

const char *route_auth_name(enum route_auth auth)
{
	switch (auth) {
	case AUTH_NONE:
		return "none";
	case AUTH_OPTIONAL:
		return "optional";
	case AUTH_USER:
		return "user";
	case AUTH_ADMIN:
		return "admin";
	case AUTH_SERVER:
		return "server";
	}
	return "";
}
