/*
 * What lives as long as the process hangs off `struct server`, which is passed down explicitly: there is no other global state. Filled by server.c before
 * the first request, unchanged afterwards (what the pointers lead to looks after its own locks).
 */
#pragma once

#include "base/base.h"
#include "db/db.h"
#include "http/http.h"
#include "matrix/signing.h"

struct options;

/* A server name that this deployment is, with the key that it signs with. There may be several. */
struct domain {
	struct str name;
	struct signing_key *key;
};

struct server {
	const struct options *options;
	const struct domain *domains;
	size_t domain_count;
	struct db_pool *pool;
	struct journal *journal;
	struct interned *interned;
	struct state_store *states;
	struct events *events;
	struct rooms *rooms;
	struct memberships *memberships;
	struct accounts *accounts;
	struct waiters *waiters; /* parked polls by what wakes them */
	struct http *http;
	struct server_metrics *metrics;
};

/* The domain of that name, or of a user of ours; NULL: not ours. */
const struct domain *server_domain(const struct server *server, struct str server_name);
const struct domain *server_domain_of_user(const struct server *server, struct str user_id);

/* Who calls, set by authentication in the request's arena. */
struct user {
	nid_t nid;
	struct str user_id;
	nid_t device;         /* 0: a token without a device */
	struct str device_id;
	nid_t token;          /* the access token's row */
	bool admin, guest, locked;
};
