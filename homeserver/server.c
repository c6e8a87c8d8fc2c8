#include "server.h"

#include "accounts/accounts.h"
#include "db/migrate.h"
#include "counts/counts.h"
#include "events/events.h"
#include "interned/interned.h"
#include "journal/journal.h"
#include "keys/keys.h"
#include "limits/limits.h"
#include "matrix/identifiers.h"
#include "media/media.h"
#include "push/push.h"
#include "routes.h"
#include "rooms/memberships.h"
#include "rooms/rooms.h"
#include "state/state_store.h"
#include "sync/sync.h"
#include "sync/waiters.h"
#include "to_device/to_device.h"
#include "typing/typing.h"
#include "userdata/ignored.h"
#include "userdata/userdata.h"

extern const struct migration hearth_migrations[];
extern const size_t hearth_migration_count;

const struct domain *server_domain(const struct server *server, struct str server_name)
{
	for (size_t i = 0; i < server->domain_count; i++) {
		if (str_eq(server->domains[i].name, server_name))
			return &server->domains[i];
	}
	return NULL;
}

const struct domain *server_domain_of_user(const struct server *server, struct str user_id)
{
	return server_domain(server, identifier_domain(user_id));
}

struct user *user_copy(const struct user *user)
{
	struct user *copy = x_calloc(1, sizeof(*copy) + user->user_id.len + user->device_id.len);
	char *texts = (char *)(copy + 1);

	*copy = *user;
	memcpy(texts, user->user_id.ptr, user->user_id.len);
	if (user->device_id.len)
		memcpy(texts + user->user_id.len, user->device_id.ptr, user->device_id.len);
	copy->user_id.ptr = texts;
	copy->device_id.ptr = texts + user->user_id.len;
	return copy;
}

static bool migrate_database(struct server *server, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;

	size_t applied;

	return db_acquire(server->pool, &db, err) && migrate(db, hearth_migrations, hearth_migration_count, &applied, err);
}

static bool open_journal(struct server *server, struct err *err)
{
	const struct journal_config config = {
		.pool = server->pool,
		.lock_guards = &ROOM_LOCK_HEADS,
		.lock_guards_waiting = &ROOM_LOCK_HEADS_WAITING,
		.find_transactions = &ROOM_FIND_TRANSACTIONS,
		.tail_length = 50000,
	};

	return journal_open(&config, &server->journal, err);
}

bool server_open(const struct server_setup *setup, struct server **ret_server, struct err *err)
{
	struct server *server = X_NEW(struct server);
	size_t cache = setup->cache_bytes;

	server->setup = setup;
	server->options = setup->options;
	server->domains = setup->domains;
	server->domain_count = setup->domain_count;
	server->pool = db_pool_new(&setup->database);
	if (!migrate_database(server, err) || !open_journal(server, err)) {
		server_close(server);
		return false;
	}
	server->interned = interned_new(server->pool, cache / 8);
	server->states = state_store_new(server->pool, cache / 4);
	server->events = events_new(server->pool, server->journal, cache / 2);
	server->rooms = rooms_new(server, cache / 32);
	server->memberships = memberships_new(server, cache / 32);
	server->accounts = accounts_new(server, cache / 32);
	server->limits = limits_new(server);
	server->filters = filters_new(cache / 64);
	server->ignored = ignored_new(server, cache / 64);
	server->keys = keys_new(server, cache / 64);
	server->to_device = to_device_new(server, cache / 64);
	server->push = push_new(server, cache / 64);
	server->counts = counts_new(server, cache / 64);
	server->summaries = summaries_new(server, cache / 64);
	server->waiters = waiters_new(server);
	if (!typing_open(server, &server->typing, err) || !media_new(server, &server->media, err)) {
		server_close(server);
		return false;
	}
	*ret_server = server;
	return true;
}

/* In the opposite order: the journal last of what uses the pool, for the others are its observers. */
void server_close(struct server *server)
{
	typing_stop(server->typing);
	if (server->journal)
		journal_close(server->journal);
	typing_free(server->typing);
	summaries_free(server->summaries);
	waiters_free(server->waiters);
	to_device_free(server->to_device);
	keys_free(server->keys);
	ignored_free(server->ignored);
	filters_free(server->filters);
	limits_free(server->limits);
	media_free(server->media);
	counts_free(server->counts);
	push_free(server->push);
	accounts_free(server->accounts);
	memberships_free(server->memberships);
	rooms_free(server->rooms);
	events_free(server->events);
	state_store_free(server->states);
	interned_free(server->interned);
	db_pool_free(server->pool);
	free(server);
}

/* Until v1.1, what is v3 now was r0: older clients and scripts ask for it, and /versions lists it. */
static const struct http_alias aliases[] = {
	{ STR_INIT("/_matrix/client/r0/"), STR_INIT("/_matrix/client/v3/") },
	{ STR_INIT("/_matrix/media/r0/"), STR_INIT("/_matrix/media/v3/") },
};

bool server_listen(struct server *server, struct err *err)
{
	const struct server_setup *setup = server->setup;
	const struct http_config config = {
		.server = server,
		.hooks = {
			.authenticate = accounts_authenticate,
			.rate_limit = setup->hooks.rate_limit ? setup->hooks.rate_limit : limits_hook,
			.finished = setup->hooks.finished,
			.failed = setup->hooks.failed,
		},
		.tables = server_routes,
		.aliases = aliases,
		.alias_count = ARRAY_LEN(aliases),
		.listeners = setup->listeners,
		.listener_count = setup->listener_count,
		.tls = setup->tls,
		.max_connections = setup->max_connections,
		.workers = setup->workers,
		.queue_length = setup->queue_length,
		.max_body = 1 << 20,
	};

	return http_start(&config, &server->http, err);
}

void server_stop(struct server *server)
{
	if (server->http)
		http_stop(server->http);
	server->http = NULL;
}
