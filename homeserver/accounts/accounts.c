/* Who calls: access tokens, cached until the journal moves them. */
#include <sodium.h>

#include "accounts/accounts_internal.h"

struct cached_user {
	struct token_hash hash;
	struct user user; /* its views are stale: they are read from what follows */
	int64_t expires_ts;
	nid_t previous_refresh; /* to be retired at the first use; not of cached ones */
	size_t user_id_len, device_id_len;
};

static void observe(void *context, const struct journal_entry *entry)
{
	struct accounts *accounts = context;

	profile_observe(accounts, entry);
	if (entry->kind != JOURNAL_TOKEN && entry->kind != JOURNAL_ACCOUNT)
		return;
	LOCKED(&accounts->lock);
	accounts->version++;
	idmap_put(&accounts->versions, entry->user,
		  (void *)((uintptr_t)idmap_get(&accounts->versions, entry->user) + 1));
}

static uintptr_t version_of(struct accounts *accounts, nid_t user)
{
	LOCKED(&accounts->lock);

	return (uintptr_t)idmap_get(&accounts->versions, user);
}

static uint64_t version_of_all(struct accounts *accounts)
{
	LOCKED(&accounts->lock);

	return accounts->version;
}

struct accounts *accounts_new(struct server *server, size_t cache_bytes)
{
	struct accounts *accounts = X_NEW(struct accounts);

	accounts->server = server;
	accounts->tokens = cache_new(cache_bytes / 2);
	accounts->profiles = cache_new(cache_bytes / 2);
	mutex_init(&accounts->lock);
	mutex_init(&accounts->hashing_lock);
	cond_init(&accounts->hashing_free);
	seen_devices_init(&accounts->seen);
	journal_observe(server->journal, observe, accounts);
	return accounts;
}

void accounts_free(struct accounts *accounts)
{
	if (!accounts)
		return;
	seen_devices_write(accounts);
	seen_devices_done(&accounts->seen);
	cache_free(accounts->tokens);
	cache_free(accounts->profiles);
	idmap_done(&accounts->versions);
	mutex_done(&accounts->lock);
	mutex_done(&accounts->hashing_lock);
	cond_done(&accounts->hashing_free);
	free(accounts);
}

struct cache_stats accounts_cache_stats(struct accounts *accounts)
{
	return cache_stats_sum(cache_stats(accounts->tokens), cache_stats(accounts->profiles));
}

struct token_hash token_hash_of(struct str token)
{
	struct token_hash hash;

	crypto_generichash(hash.bytes, sizeof(hash.bytes), (const uint8_t *)token.ptr, token.len, NULL, 0);
	return hash;
}

static const struct db_statement SELECT_TOKEN = {
	"token_select",
	"SELECT t.token_nid, t.user_nid, u.user_id, t.device_nid, d.device_id, t.expires_ts, a.admin, a.guest, "
	"a.locked, r.previous_nid"
	" FROM access_tokens t JOIN accounts a USING (user_nid) JOIN users u USING (user_nid) LEFT JOIN devices d "
	"USING (device_nid)"
	" LEFT JOIN refresh_tokens r ON r.access_nid = t.token_nid"
	" WHERE t.token_hash = $1 AND NOT a.deactivated",
};

static void remember(struct accounts *accounts, const struct cached_user *cached, struct arena *arena)
{
	size_t len = sizeof(*cached) + cached->user_id_len + cached->device_id_len;
	char *bytes = arena_alloc(arena, len);
	int64_t key;

	memcpy(bytes, cached, sizeof(*cached));
	memcpy(bytes + sizeof(*cached), cached->user.user_id.ptr, cached->user_id_len);
	if (cached->device_id_len)
		memcpy(bytes + sizeof(*cached) + cached->user_id_len, cached->user.device_id.ptr,
		       cached->device_id_len);
	memcpy(&key, cached->hash.bytes, sizeof(key));
	cache_put(accounts->tokens, key, (struct str){ bytes, len });
}

static bool recall(struct accounts *accounts, const struct token_hash *hash, struct arena *arena,
		   struct cached_user *ret_cached)
{
	struct str bytes;
	int64_t key;

	memcpy(&key, hash->bytes, sizeof(key));
	if (!cache_get(accounts->tokens, key, arena, &bytes))
		return false;
	memcpy(ret_cached, bytes.ptr, sizeof(*ret_cached));
	bytes = str_from(bytes, sizeof(*ret_cached));
	ret_cached->user.user_id = str_sub(bytes, 0, ret_cached->user_id_len);
	ret_cached->user.device_id = str_from(bytes, ret_cached->user_id_len);
	return sodium_memcmp(ret_cached->hash.bytes, hash->bytes, sizeof(hash->bytes)) == 0 &&
	       ret_cached->user.version == version_of(accounts, ret_cached->user.nid);
}

/* user.nid 0 in *ret_cached: no such token. */
static bool select_token(struct server *server, const struct token_hash *hash, struct arena *arena,
			 struct cached_user *ret_cached, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	*ret_cached = (struct cached_user){ .hash = *hash };
	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_TOKEN, DB_PARAMS(db_bytes(token_hash_bytes(hash))), arena, &rows, err))
		return err_detail(err, "look up a token");
	if (!db_next(rows))
		return true;
	ret_cached->user = (struct user){
		.token = db_get_nid(rows, 0),
		.nid = db_get_nid(rows, 1),
		.user_id = db_get_str(rows, 2),
		.device = db_get_nid(rows, 3),
		.device_id = db_get_str(rows, 4),
		.admin = db_get_bool(rows, 6),
		.guest = db_get_bool(rows, 7),
		.locked = db_get_bool(rows, 8),
	};
	ret_cached->expires_ts = db_get_int(rows, 5);
	ret_cached->previous_refresh = db_get_nid(rows, 9);
	ret_cached->user_id_len = ret_cached->user.user_id.len;
	ret_cached->device_id_len = ret_cached->user.device_id.len;
	return true;
}

static bool load(struct server *server, const struct token_hash *hash, struct arena *arena,
		 struct cached_user *ret_cached, struct err *err)
{
	uint64_t version = version_of_all(server->accounts);

	if (!select_token(server, hash, arena, ret_cached, err))
		return false;
	ret_cached->user.version = version_of(server->accounts, ret_cached->user.nid);
	if (version != version_of_all(server->accounts))
		ret_cached->user.version =
			UINTPTR_MAX; /* somebody's changed meanwhile, perhaps this one's: a version that nobody has */
	else if (ret_cached->user.nid && !ret_cached->previous_refresh)
		remember(server->accounts, ret_cached, arena);
	return true;
}

/* The first use of a refreshed token: the client has it, so what it was refreshed from ends (client-server-api
 * "Refreshing access tokens"). */
static bool retire_previous(struct server *server, const struct cached_user *cached, struct err *err)
{
	struct journal_entry entry = { .kind = JOURNAL_TOKEN, .user = cached->user.nid, .device = cached->user.device };
	CLEANUP(db_release) struct db *db = NULL;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !refresh_retire(db, cached->user.device, cached->previous_refresh, err) ||
	    !journal_append(server->journal, db, &entry, 1, NULL, err))
		return err_detail(err, "first use of a refreshed token");
	return true;
}

static const struct db_statement SELECT_ALIVE = {
	"token_select_alive",
	"SELECT 1 FROM access_tokens t JOIN accounts a USING (user_nid) WHERE t.token_nid = $1 AND NOT a.deactivated "
	"AND NOT a.locked",
};

bool session_alive(struct server *server, const struct user *user, struct arena *arena, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	if (user->version == version_of(server->accounts, user->nid))
		return true;
	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_ALIVE, DB_PARAMS(db_int(user->token)), arena, &rows, err))
		return err_detail(err, "look at a session again");
	return db_next(rows) || err_set(err, M_UNKNOWN_TOKEN, "This access token is not known");
}

static bool check_session(struct request *req, const struct cached_user *cached, struct err *err)
{
	bool may_end = req->route->flags & ROUTE_DEACTIVATED;

	if (!cached->user.nid)
		return err_set(err, M_UNKNOWN_TOKEN, "This access token is not known");
	if (cached->expires_ts && cached->expires_ts <= clock_wall_ms() && !may_end) {
		/* The device is still there: with a refresh token, or by logging in to it again, it goes on. */
		err_set(err, M_UNKNOWN_TOKEN, "This access token has expired");
		return err_extra(err, "\"soft_logout\":true");
	}
	if (cached->user.locked && !may_end) {
		err_set(err, M_USER_LOCKED, "This account is locked");
		return err_extra(err, "\"soft_logout\":true");
	}
	if (cached->user.guest && !(req->route->flags & ROUTE_GUEST))
		return err_set(err, M_GUEST_ACCESS_FORBIDDEN, "Guests may not do this");
	if (req->route->auth == AUTH_ADMIN && !cached->user.admin)
		return err_set(err, M_FORBIDDEN, "This is for administrators of the server");
	return true;
}

bool accounts_authenticate(struct request *req, struct err *err)
{
	struct token_hash hash = token_hash_of(req->token);
	struct cached_user *cached = ARENA_NEW(req->arena, struct cached_user);

	/* Before anything cached is relied on: what other processes have committed by now. */
	if (!journal_barrier(req->server->journal, err))
		return false;
	if (!recall(req->server->accounts, &hash, req->arena, cached) &&
	    !load(req->server, &hash, req->arena, cached, err))
		return false;
	if (!check_session(req, cached, err) ||
	    (cached->previous_refresh && !retire_previous(req->server, cached, err)))
		return false;
	req->user = &cached->user;
	device_seen(req->server, req, req->user);
	return true;
}
