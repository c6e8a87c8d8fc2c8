#include "accounts/accounts.h"

#include <crypt.h>
#include <sodium.h>

#include "base/cache.h"
#include "interned/interned.h"
#include "journal/journal.h"
#include "matrix/identifiers.h"
#include "matrix/slice.h"

#define TOKEN_LENGTH 43 /* of 62 letters: 256 bits */

struct accounts {
	struct cache *tokens; /* by hash of the token: struct cached_user, then the token's hash, user and device ID */
	struct mutex lock;    /* of versions */
	struct idmap versions; /* by user: grows with each change that the journal tells of */
	uint64_t version;      /* of all: what was read before the last change of anybody is not cached */
};

struct token_hash {
	uint8_t bytes[32];
};

struct cached_user {
	struct token_hash hash;
	struct user user; /* its views are stale: they are read from what follows */
	int64_t expires_ts;
	uintptr_t version;
	bool refreshable;
	size_t user_id_len, device_id_len;
};

static void observe(void *context, const struct journal_entry *entry)
{
	struct accounts *accounts = context;

	if (entry->kind != JOURNAL_TOKEN && entry->kind != JOURNAL_ACCOUNT)
		return;
	LOCKED(&accounts->lock);
	accounts->version++;
	idmap_put(&accounts->versions, entry->user, (void *)((uintptr_t)idmap_get(&accounts->versions, entry->user) + 1));
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

	accounts->tokens = cache_new(cache_bytes);
	mutex_init(&accounts->lock);
	journal_observe(server->journal, observe, accounts);
	return accounts;
}

void accounts_free(struct accounts *accounts)
{
	if (!accounts)
		return;
	cache_free(accounts->tokens);
	idmap_done(&accounts->versions);
	mutex_done(&accounts->lock);
	free(accounts);
}

/* --- passwords --- */

struct str password_hash_new(struct str password, struct arena *arena)
{
	char *hash = arena_alloc(arena, crypto_pwhash_STRBYTES);

	if (crypto_pwhash_str(hash, password.ptr, password.len, crypto_pwhash_OPSLIMIT_INTERACTIVE, crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
		abort(); /* out of memory */
	return str_of(hash);
}

static bool bcrypt_matches(struct str hash, struct str password, struct arena *arena)
{
	struct crypt_data *data = ARENA_NEW(arena, struct crypt_data);
	const char *computed = crypt_r(str_cstr(arena, password), str_cstr(arena, hash), data);

	return computed && strlen(computed) == hash.len && sodium_memcmp(computed, hash.ptr, hash.len) == 0;
}

bool password_matches(struct str hash, struct str password, struct arena *arena)
{
	if (str_starts_with(hash, STR("$2")))
		return password.len && !memchr(password.ptr, 0, password.len) && bcrypt_matches(hash, password, arena);
	return hash.len && crypto_pwhash_str_verify(str_cstr(arena, hash), password.ptr ? password.ptr : "", password.len) == 0;
}

/* --- accounts --- */

static const struct db_statement SELECT_ACCOUNT = {
	"account_select",
	"SELECT a.user_nid, u.user_id, a.password_hash, a.created_ts, a.admin, a.guest, a.deactivated, a.locked, a.suspended"
	" FROM accounts a JOIN users u USING (user_nid) WHERE u.user_id = $1",
};
static const struct db_statement INSERT_ACCOUNT = {
	"account_insert",
	"INSERT INTO accounts (user_nid, password_hash, created_ts, admin, guest) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
};
static const struct db_statement INSERT_DISPLAYNAME = {
	"account_insert_displayname",
	"INSERT INTO profiles (user_nid, field, value) VALUES ($1, 'displayname', $2)",
};

bool account_find(struct server *server, struct str user_id, struct arena *arena, struct account *ret_account, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	*ret_account = (struct account){ 0 };
	if (!db_acquire(server->pool, &db, err) || !db_query(db, &SELECT_ACCOUNT, DB_PARAMS(db_text(user_id)), arena, &rows, err))
		return err_detail(err, "find an account");
	if (db_next(rows))
		*ret_account = (struct account){
			.user = db_get_nid(rows, 0),
			.user_id = db_get_str(rows, 1),
			.password_hash = db_get_str(rows, 2),
			.created_ts = db_get_int(rows, 3),
			.admin = db_get_bool(rows, 4),
			.guest = db_get_bool(rows, 5),
			.deactivated = db_get_bool(rows, 6),
			.locked = db_get_bool(rows, 7),
			.suspended = db_get_bool(rows, 8),
		};
	return true;
}

bool account_check_localpart(struct server *server, struct str localpart, struct str server_name, struct arena *arena, struct str *ret_user_id,
                             struct err *err)
{
	struct account account;

	if (!user_localpart_valid(localpart))
		return err_set(err, M_INVALID_USERNAME, "A user name has only a-z, 0-9 and . _ = - / +");
	*ret_user_id = str_printf(arena, "@%.*s:%.*s", STR_ARG(localpart), STR_ARG(server_name));
	if (ret_user_id->len > IDENTIFIER_MAX)
		return err_set(err, M_INVALID_USERNAME, "This user name is too long");
	if (!account_find(server, *ret_user_id, arena, &account, err))
		return false;
	if (account.user)
		return err_set(err, M_USER_IN_USE, "This user name is taken");
	return true;
}

static struct str json_quoted(struct arena *arena, struct str text)
{
	CLEANUP(buf_done) struct buf buf = buf_init(64 * 1024);

	slice_write_string(&buf, text);
	return str_dup(arena, buf_str(&buf));
}

bool account_create(struct server *server, const struct new_account *account, nid_t *ret_user, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str localpart = str_sub(account->user_id, 1, (size_t)str_find_char(account->user_id, ':') - 1);
	struct str displayname = account->displayname.len ? account->displayname : localpart;
	struct str hash = account->password.len ? password_hash_new(account->password, arena) : STR("");
	CLEANUP(db_release) struct db *db = NULL;
	struct journal_entry entry = { .kind = JOURNAL_ACCOUNT };
	int64_t inserted;

	if (!intern_user(server->interned, account->user_id, &entry.user, err) || !db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !db_exec(db, &INSERT_ACCOUNT,
	             DB_PARAMS(db_int(entry.user), db_text_or_null(hash), db_int(clock_wall_ms()), db_bool(account->admin), db_bool(account->guest)), &inserted,
	             err))
		return err_detail(err, "create an account");
	if (inserted == 0)
		return err_set(err, M_USER_IN_USE, "This user name is taken");
	if (!db_exec(db, &INSERT_DISPLAYNAME, DB_PARAMS(db_int(entry.user), db_text(json_quoted(arena, displayname))), NULL, err) ||
	    !journal_append(server->journal, db, &entry, 1, NULL, err))
		return err_detail(err, "create an account");
	*ret_user = entry.user;
	return true;
}

/* --- sessions --- */

static const struct db_statement UPSERT_DEVICE = {
	"device_upsert",
	"INSERT INTO devices (device_nid, user_nid, device_id, display_name, created_ts) VALUES ($1, $2, $3, $4, $5)"
	" ON CONFLICT (user_nid, device_id) DO UPDATE SET device_id = excluded.device_id RETURNING device_nid, device_nid = $1",
};
/* A device's earlier tokens end when it logs in again. */
static const struct db_statement DELETE_DEVICE_TOKENS = { "tokens_delete_of_device", "DELETE FROM access_tokens WHERE device_nid = $1" };
static const struct db_statement DELETE_DEVICE_REFRESH = { "refresh_delete_of_device", "DELETE FROM refresh_tokens WHERE device_nid = $1" };
static const struct db_statement INSERT_TOKEN = {
	"token_insert",
	"INSERT INTO access_tokens (token_nid, token_hash, user_nid, device_nid, created_ts, expires_ts) VALUES ($1, $2, $3, $4, $5, $6)",
};

static struct token_hash hash_token(struct str token)
{
	struct token_hash hash;

	crypto_generichash(hash.bytes, sizeof(hash.bytes), (const uint8_t *)token.ptr, token.len, NULL, 0);
	return hash;
}

static struct str hash_bytes(const struct token_hash *hash)
{
	return (struct str){ (const char *)hash->bytes, sizeof(hash->bytes) };
}

static bool insert_session(struct db *db, const struct session_request *request, int64_t first_nid, struct arena *arena,
                           struct session *session, bool *ret_new_device, struct err *err)
{
	struct token_hash hash = hash_token(session->access_token);
	int64_t now = clock_wall_ms();
	struct db_rows *rows;

	if (!db_query(db, &UPSERT_DEVICE,
	              DB_PARAMS(db_int(first_nid), db_int(request->user), db_text(session->device_id), db_text_or_null(request->initial_display_name),
	                        db_int(now)),
	              arena, &rows, err) ||
	    !db_next(rows))
		return false;
	session->device = db_get_nid(rows, 0);
	*ret_new_device = db_get_bool(rows, 1);
	return db_exec(db, &DELETE_DEVICE_TOKENS, DB_PARAMS(db_int(session->device)), NULL, err) &&
	       db_exec(db, &DELETE_DEVICE_REFRESH, DB_PARAMS(db_int(session->device)), NULL, err) &&
	       db_exec(db, &INSERT_TOKEN,
	               DB_PARAMS(db_int(first_nid + 1), db_bytes(hash_bytes(&hash)), db_int(request->user), db_int(session->device), db_int(now), db_null()),
	               NULL, err);
}

bool session_open(struct server *server, const struct session_request *request, struct arena *arena, struct session *ret_session, struct err *err)
{
	struct session session = { .access_token = random_string(arena, TOKEN_LENGTH) };
	struct journal_entry entries[] = { { .kind = JOURNAL_TOKEN, .user = request->user }, { .kind = JOURNAL_DEVICE_LIST, .user = request->user } };
	CLEANUP(db_release) struct db *db = NULL;
	int64_t first_nid;
	bool new_device;

	session.device_id = request->device_id.len ? request->device_id : random_string(arena, 10);
	if (!journal_next_ids(server->journal, 2, &first_nid, err) || !db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !insert_session(db, request, first_nid, arena, &session, &new_device, err))
		return err_detail(err, "open a session");
	entries[0].device = session.device;
	if (!journal_append(server->journal, db, entries, new_device ? 2 : 1, NULL, err))
		return err_detail(err, "open a session");
	*ret_session = session;
	return true;
}

static const struct db_statement DELETE_DEVICE = { "device_delete", "DELETE FROM devices WHERE user_nid = $1 AND ($2 = 0 OR device_nid = $2)" };
static const struct db_statement DELETE_USER_TOKENS = {
	"tokens_delete_of_user",
	"DELETE FROM access_tokens WHERE user_nid = $1 AND ($2 = 0 OR device_nid = $2)",
};

bool session_close(struct server *server, nid_t user, nid_t device, struct err *err)
{
	struct journal_entry entries[] = {
		{ .kind = JOURNAL_TOKEN, .user = user, .device = device },
		{ .kind = JOURNAL_DEVICE_LIST, .user = user },
	};
	CLEANUP(db_release) struct db *db = NULL;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !db_exec(db, &DELETE_USER_TOKENS, DB_PARAMS(db_int(user), db_int(device)), NULL, err) ||
	    !db_exec(db, &DELETE_DEVICE, DB_PARAMS(db_int(user), db_int(device)), NULL, err) ||
	    !journal_append(server->journal, db, entries, 2, NULL, err))
		return err_detail(err, "close a session");
	return true;
}

/* --- who calls --- */

static const struct db_statement SELECT_TOKEN = {
	"token_select",
	"SELECT t.token_nid, t.user_nid, u.user_id, t.device_nid, d.device_id, t.expires_ts, a.admin, a.guest, a.locked,"
	" EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.access_nid = t.token_nid)"
	" FROM access_tokens t JOIN accounts a USING (user_nid) JOIN users u USING (user_nid) LEFT JOIN devices d USING (device_nid)"
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
		memcpy(bytes + sizeof(*cached) + cached->user_id_len, cached->user.device_id.ptr, cached->device_id_len);
	memcpy(&key, cached->hash.bytes, sizeof(key));
	cache_put(accounts->tokens, key, (struct str){ bytes, len });
}

static bool recall(struct accounts *accounts, const struct token_hash *hash, struct arena *arena, struct cached_user *ret_cached)
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
	       ret_cached->version == version_of(accounts, ret_cached->user.nid);
}

/* user.nid 0 in *ret_cached: no such token. */
static bool load(struct server *server, const struct token_hash *hash, struct arena *arena, struct cached_user *ret_cached, struct err *err)
{
	uint64_t version = version_of_all(server->accounts);
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	*ret_cached = (struct cached_user){ .hash = *hash };
	if (!db_acquire(server->pool, &db, err) || !db_query(db, &SELECT_TOKEN, DB_PARAMS(db_bytes(hash_bytes(hash))), arena, &rows, err))
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
	ret_cached->refreshable = db_get_bool(rows, 9);
	ret_cached->user_id_len = ret_cached->user.user_id.len;
	ret_cached->device_id_len = ret_cached->user.device_id.len;
	ret_cached->version = version_of(server->accounts, ret_cached->user.nid);
	if (version == version_of_all(server->accounts))
		remember(server->accounts, ret_cached, arena);
	return true;
}

static bool check_session(struct request *req, const struct cached_user *cached, struct err *err)
{
	if (!cached->user.nid)
		return err_set(err, M_UNKNOWN_TOKEN, "This access token is not known");
	if (cached->expires_ts && cached->expires_ts <= clock_wall_ms()) {
		err_set(err, M_UNKNOWN_TOKEN, "This access token has expired");
		return err_extra(err, "\"soft_logout\":%s", cached->refreshable ? "true" : "false");
	}
	if (cached->user.locked && !(req->route->flags & ROUTE_DEACTIVATED)) {
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
	struct token_hash hash = hash_token(req->token);
	struct cached_user *cached = ARENA_NEW(req->arena, struct cached_user);

	/* Before anything cached is relied on: what other processes have committed by now. */
	if (!journal_barrier(req->server->journal, err))
		return false;
	if (!recall(req->server->accounts, &hash, req->arena, cached) && !load(req->server, &hash, req->arena, cached, err))
		return false;
	if (!check_session(req, cached, err))
		return false;
	req->user = &cached->user;
	return true;
}

/* --- profiles --- */

static const struct db_statement SELECT_PROFILE_FIELD = { "profile_field_select", "SELECT value FROM profiles WHERE user_nid = $1 AND field = $2" };

bool profile_get(struct server *server, nid_t user, struct str field, struct arena *arena, struct str *ret_value, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	if (!db_acquire(server->pool, &db, err) || !db_query(db, &SELECT_PROFILE_FIELD, DB_PARAMS(db_int(user), db_text(field)), arena, &rows, err))
		return err_detail(err, "profile of user %" PRId64, user);
	*ret_value = db_next(rows) ? db_get_str(rows, 0) : STR("");
	return true;
}
