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

/* What a server is made of; outlives it. */
struct server_setup {
	const struct options *options;
	const struct domain *domains;
	size_t domain_count;
	struct db_pool_config database;
	size_t cache_bytes; /* of all caches together */
	const struct http_listener *listeners;
	size_t listener_count;
	struct tls *tls; /* NULL: no listener needs it */
	size_t max_connections, workers, queue_length;
	struct http_hooks hooks; /* rate_limit, finished, failed; each may be NULL */
};

struct server {
	const struct server_setup *setup;
	const struct options *_Atomic options; /* SIGHUP puts others in their place; all of them stay valid */
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
	struct filters *filters;
	struct ignored *ignored;
	struct keys *keys;
	struct to_device *to_device;
	struct limits *limits;
	struct push *push;     /* push rules */
	struct counts *counts; /* unread counts */
	struct media *media;
	struct typing *typing;
	struct summaries *summaries;
	struct waiters *waiters; /* parked polls by what wakes them */
	struct http *http;
	struct server_metrics *metrics;
};

/* Migrates the database, joins the other processes on it, makes ready to serve. */
bool server_open(const struct server_setup *setup, struct server **ret_server, struct err *err);
/* Takes connections. */
bool server_listen(struct server *server, struct err *err);
/* Answers what is parked and queued, takes no more. */
void server_stop(struct server *server);
void server_close(struct server *server); /* after server_stop, if it listened */

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
	uintptr_t version;    /* of the account, as the journal moves it: session_alive */
};
struct user *user_copy(const struct user *user); /* for what outlives the request; to be freed with free() */
