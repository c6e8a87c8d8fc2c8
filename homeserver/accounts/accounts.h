/*
 * Accounts of this deployment, their devices, access tokens and profiles. Tokens are random, stored hashed; who
 * presents one is cached, until the journal says that the account or its tokens changed. Passwords: argon2id, bcrypt of
 * imported accounts accepted (client-server-api "Client Authentication").
 */
#pragma once

#include "base/cache.h"
#include "server.h"

struct accounts;
struct accounts *accounts_new(struct server *server, size_t cache_bytes);
void accounts_free(struct accounts *accounts);
struct cache_stats accounts_cache_stats(struct accounts *accounts);

struct account {
	nid_t user; /* 0: there is no such account */
	struct str user_id, password_hash;
	int64_t created_ts;
	bool admin, guest, deactivated, locked, suspended;
};
bool account_find(struct server *server, struct str user_id, struct arena *arena, struct account *ret_account,
		  struct err *err);

/* M_USER_IN_USE. */
struct new_account {
	struct str user_id;
	struct str password; /* empty: no login by password */
	bool admin, guest;
	struct str displayname;        /* empty: the localpart */
	struct str user_type;          /* empty: an ordinary user */
	struct str uia_session;        /* which the account becomes the result of; empty: none */
	struct str registration_token; /* one use of which it takes: M_FORBIDDEN when there is none left; empty: none */
};
bool account_create(struct server *server, const struct new_account *account, nid_t *ret_user, struct err *err);

/* The localpart for a registration: its grammar, length, and that it is free. M_INVALID_USERNAME, M_USER_IN_USE. */
bool account_check_localpart(struct server *server, struct str localpart, struct str server_name, struct arena *arena,
			     struct str *ret_user_id, struct err *err);

/* Sets the password; with `others_out` all sessions but that of `keep_device` end. */
bool account_set_password(struct server *server, nid_t user, struct str password, bool others_out, nid_t keep_device,
			  struct err *err);
/* Leaves and refuses all rooms, ends all sessions; nobody can log in to the account any more, nor take its name.
 * `erase`: the profile goes too. */
bool account_deactivate(struct server *server, nid_t user, struct str user_id, bool erase, struct err *err);

/* --- registration tokens --- */
/* Makes one that any number of people may sign up with, unless there is one of any kind: *ret_made. For a first start.
 */
bool registration_token_make_first(struct server *server, struct arena *arena, struct str *ret_token, bool *ret_made,
				   struct err *err);
/* Whether somebody could sign up with it now; uses that are under way count, but for that of the session. */
bool registration_token_valid(struct server *server, struct str token, struct str uia_session, bool *ret_valid,
			      struct err *err);

/* --- sessions --- */
/* As a session may be opened for; M_INVALID_PARAM. */
bool device_id_acceptable(struct str device_id, struct err *err);

/* A session: a device (made if it is not there; device_id empty: a new random one) and tokens for it. */
struct session_request {
	nid_t user;
	struct str device_id, initial_display_name;
	bool refreshable, guest;
	struct str address, user_agent; /* of the client */
};
struct session {
	nid_t device;
	struct str device_id, access_token, refresh_token; /* refresh_token: empty without */
	int64_t expires_in_ms;                             /* 0: never */
};
bool session_open(struct server *server, const struct session_request *request, struct arena *arena,
		  struct session *ret_session, struct err *err);
/* A new pair for a refresh token. M_UNKNOWN_TOKEN. */
bool session_refresh(struct server *server, struct str refresh_token, struct arena *arena, struct session *ret_session,
		     struct err *err);
/* Ends a device with all that belongs to it, or (device 0) all devices of the user; and the token of a session without
 * device. */
bool session_close(struct server *server, nid_t user, nid_t device, struct err *err);
bool session_close_token(struct server *server, nid_t user, nid_t token, struct err *err);

/* For polls that were parked: whether the token is still good. M_UNKNOWN_TOKEN. Costs a query only when the account
 * changed meanwhile. */
bool session_alive(struct server *server, const struct user *user, struct arena *arena, struct err *err);

/* HTTP hook: sets req->user for its token. 401 M_UNKNOWN_TOKEN, with soft_logout when it has expired. */
bool accounts_authenticate(struct request *req, struct err *err);

/* --- profiles --- */
/* A field as JSON text; empty: not set. The whole as the text of an object. */
bool profile_get(struct server *server, nid_t user, struct str field, struct arena *arena, struct str *ret_value,
		 struct err *err);
bool profile_get_all(struct server *server, nid_t user, struct arena *arena, struct str *ret_profile, struct err *err);

extern const struct route accounts_routes[], account_routes[], device_routes[], profile_routes[], register_routes[];
