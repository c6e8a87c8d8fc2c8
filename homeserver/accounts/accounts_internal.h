/* What the files of accounts share. */
#pragma once

#include "accounts/accounts.h"
#include "base/cache.h"
#include "discovery/discovery.h"
#include "interned/interned.h"
#include "journal/journal.h"
#include "options.h"

#define MAX_PASSWORD            512
#define MAX_DEVICE_ID           255
#define MAX_DEVICE_DISPLAY_NAME 100 /* code points, as Synapse has it */

struct token_hash {
	uint8_t bytes[32];
};

/* Where devices were last seen, until it is written. */
struct seen_device;
struct seen_devices {
	struct mutex lock;
	struct idmap devices; /* struct seen_device */
	int64_t write_at_ms;  /* monotonic */
};

struct accounts {
	struct server *server;
	struct cache *tokens;  /* by hash of the token: struct cached_user, then the token's hash, user and device ID */
	struct mutex lock;     /* of versions */
	struct idmap versions; /* by user: grows with each change that the journal tells of */
	uint64_t version;      /* of all: what was read before the last change of anybody is not cached */

	struct cache *profiles; /* by user: JSON object */
	_Atomic uint64_t profile_changes;

	struct mutex hashing_lock; /* of the following */
	struct cond hashing_free;
	size_t hashing;

	struct seen_devices seen;
};

/* --- passwords: password.c --- */
struct str password_hash_new(struct server *server, struct str password, struct arena *arena);
/* `hash` empty: false, after as much work as with one. */
bool password_matches(struct server *server, struct str hash, struct str password, struct arena *arena);
/* Length and policy. M_INVALID_PARAM, M_PASSWORD_TOO_SHORT, M_WEAK_PASSWORD. */
bool password_acceptable(const struct options *options, struct str password, struct err *err);

/*
 * Who the object (a login's body, or the auth of a stage) claims to be, by `identifier` or the older `user`, and that
 * the password is right: M_FORBIDDEN, or M_LIMIT_EXCEEDED after too many wrong ones. `fallback`: the user ID when none
 * is named; empty: M_MISSING_PARAM then. `only`: nobody else's password is tried; 0: anybody's is.
 */
bool password_login(struct request *req, const json_t *claim, struct str fallback, nid_t only,
		    struct account *ret_account, struct err *err);

/* --- the database's side of accounts, within a transaction --- */
struct token_hash token_hash_of(struct str token);
static inline UNUSED struct str token_hash_bytes(const struct token_hash *hash)
{
	return (struct str){ (const char *)hash->bytes, sizeof(hash->bytes) };
}
bool account_lock(struct db *db, nid_t user, struct err *err);
/* Deletes tokens and devices but those of `keep` (0: all). */
bool sessions_delete(struct db *db, nid_t user, nid_t keep, struct err *err);
/* The refresh token that the pair of the access token came from ends, with its own access token: the new pair is in
 * use. */
bool refresh_retire(struct db *db, nid_t device, nid_t previous, struct err *err);

/* --- login_tokens.c --- */
bool login_token_make(struct server *server, nid_t user, int64_t lifetime_ms, struct arena *arena,
		      struct str *ret_token, struct err *err);
/* M_FORBIDDEN: unknown, expired, or used before. */
bool login_token_take(struct server *server, struct str token, struct arena *arena, struct account *ret_account,
		      struct err *err);

/* --- devices.c --- */
/* Notes that the device is in use; written now and then. */
void device_seen(struct server *server, const struct request *req, const struct user *user);
void seen_devices_init(struct seen_devices *seen);
/* Writes what has been noted. */
void seen_devices_write(struct accounts *accounts);
void seen_devices_done(struct seen_devices *seen);

/* --- auto_join.c --- */
void auto_join(struct server *server, const struct new_account *account, nid_t user);

/* --- answers --- */
/* Opens a session for a body's device_id, initial_device_display_name and refresh_token, and adds it to the answer. */
struct session_wish {
	struct str device_id, initial_device_display_name;
	bool refresh_token;
};
bool answer_with_session(struct request *req, nid_t user, bool guest, const struct session_wish *wish, json_t *answer,
			 struct err *err);
void answer_add_tokens(json_t *answer, const struct session *session);
struct str profile_quoted(struct arena *arena, struct str text); /* a JSON string */
void profile_observe(struct accounts *accounts, const struct journal_entry *entry);
