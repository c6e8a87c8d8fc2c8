/*
 * Accounts of this deployment, their devices and access tokens. Tokens are random, stored hashed; who presents one is cached, until the journal says that
 * the account or its tokens changed. Passwords: argon2id, bcrypt of imported accounts accepted (client-server-api "Client Authentication").
 */
#pragma once

#include "server.h"

struct accounts;
struct accounts *accounts_new(struct server *server, size_t cache_bytes);
void accounts_free(struct accounts *accounts);

struct account {
	nid_t user; /* 0: there is no such account */
	struct str user_id, password_hash;
	int64_t created_ts;
	bool admin, guest, deactivated, locked, suspended;
};
bool account_find(struct server *server, struct str user_id, struct arena *arena, struct account *ret_account, struct err *err);

/* A new account and its profile's display name (the localpart). M_USER_IN_USE. `password` empty: no login by password. */
struct new_account {
	struct str user_id, password;
	bool admin, guest;
	struct str displayname; /* empty: the localpart */
};
bool account_create(struct server *server, const struct new_account *account, nid_t *ret_user, struct err *err);

/* The localpart for a registration: its grammar, length, and that it is free. M_INVALID_USERNAME, M_USER_IN_USE. */
bool account_check_localpart(struct server *server, struct str localpart, struct str server_name, struct arena *arena, struct str *ret_user_id, struct err *err);

struct str password_hash_new(struct str password, struct arena *arena);
bool password_matches(struct str password_hash, struct str password, struct arena *arena);

/* A session: a device (made if it is not there; device_id empty: a new random one) and tokens for it. */
struct session_request {
	nid_t user;
	struct str device_id, initial_display_name;
	bool refreshable;
};
struct session {
	nid_t device;
	struct str device_id, access_token, refresh_token; /* refresh_token: empty without */
	int64_t expires_in_ms;                             /* 0: never */
};
bool session_open(struct server *server, const struct session_request *request, struct arena *arena, struct session *ret_session, struct err *err);
/* Ends a device with all that belongs to it, or (device 0) all devices of the user. */
bool session_close(struct server *server, nid_t user, nid_t device, struct err *err);

/* HTTP hook: sets req->user for its token. 401 M_UNKNOWN_TOKEN, with soft_logout when it has expired but can be refreshed. */
bool accounts_authenticate(struct request *req, struct err *err);

/* A profile's field, JSON text; empty: not set. */
bool profile_get(struct server *server, nid_t user, struct str field, struct arena *arena, struct str *ret_value, struct err *err);

extern const struct route accounts_routes[];
