/* What the files of keys share. */
#pragma once

#include "keys/keys.h"

#define KEYS_MAX_NAME      255   /* an algorithm, the ID of a key, of a device */
#define KEYS_MAX_JSON      65536 /* of one key */
#define KEYS_MAX_OF_DEVICE 2000  /* one-time keys that a device may have waiting */
#define KEYS_MAX_FALLBACK  20    /* algorithms with a fallback key, in one upload */

/* --- upload.c --- */
struct named_key {
	struct str algorithm, key_id, json;
};
struct key_upload {
	struct str device_keys; /* canonical JSON without `unsigned`; empty: none */
	struct named_key *one_time, *fallback;
	size_t one_time_count, fallback_count;
};
/* M_INVALID_PARAM when a name stands for another one-time key already. */
bool keys_upload(struct server *server, const struct user *user, const struct key_upload *upload, struct err *err);

/* --- query.c --- */
struct key_question {
	struct str user_id;
	const json_t *devices; /* an array of device IDs; empty: all */
};
/* Adds the members of an answer to /keys/query, without braces. All users are ours, `asker` 0 is another server:
 * signatures by other users and the user-signing key are the asker's own alone. */
bool keys_write_query(struct server *server, nid_t asker, const struct key_question *questions, size_t count,
		      struct arena *arena, struct buf *out, struct err *err);

/* --- claim.c --- */
struct key_wish {
	struct str user_id, device_id, algorithm;
};
/* {user: {device: {"algorithm:id": key}}} of those that there are. */
bool keys_claim(struct server *server, const struct key_wish *wishes, size_t count, struct arena *arena,
		json_t **ret_keys, struct err *err);

/* `failures` of the servers that are not ours. */
void keys_add_failure(json_t *failures, struct str server_name);

/* --- cross_signing.c --- */
enum key_usage { KEY_MASTER, KEY_SELF_SIGNING, KEY_USER_SIGNING, KEY_USAGE_COUNT };

struct cross_key {
	struct str json, public_key; /* canonical, without `unsigned`; public_key empty: there is none */
	uint8_t bytes[32];
};
struct cross_keys {
	struct cross_key of[KEY_USAGE_COUNT];
};
/* What a client says is its user's key for this use. M_INVALID_PARAM. */
bool cross_key_read(const json_t *json, struct str user_id, enum key_usage usage, struct arena *arena,
		    struct cross_key *ret_key, struct err *err);
/* The same key, whoever has signed it. */
bool signed_object_same(struct str a, struct str b, struct arena *arena);
/* By its public key, which is also the key's ID. */
bool cross_key_signed_by(struct str json, struct str signer_id, const struct cross_key *key, struct arena *arena);
/* The key `ed25519:DEVICE` of a device's keys. false: there is none that could be one. */
bool device_signing_key(struct str device_keys, struct str device_id, struct arena *arena, uint8_t ret_bytes[32]);

/* --- cross_signing_store.c --- */
bool cross_keys_load(struct server *server, nid_t user, struct arena *arena, struct cross_keys *ret_keys,
		     struct err *err);
/* Those of `keys` that are there take the place of `known`'s, and signatures on replaced ones go. M_FORBIDDEN when a
 * key is called as a device is. */
bool cross_keys_replace(struct server *server, nid_t user, const struct cross_keys *known,
			const struct cross_keys *keys, struct arena *arena, struct err *err);
/* A device's keys as uploaded; empty: none. */
bool device_keys_load(struct server *server, nid_t user, struct str device_id, struct arena *arena,
		      struct str *ret_json, struct err *err);

struct new_signature {
	nid_t user;
	struct str target, signer_key, signature; /* target: a device ID or a public key */
	bool of_device;
};
bool signatures_add(struct server *server, nid_t signer, const struct new_signature *signatures, size_t count,
		    struct arena *arena, struct err *err);

/* --- backup_store.c --- */
struct key_backup {
	int64_t version; /* 0: there is none */
	struct str algorithm, auth_data;
	int64_t count, etag;
};
struct backup_key {
	struct str room_id, session_id, session_data;
	int64_t first_message_index, forwarded_count;
	bool is_verified;
};
/* version 0: the newest. */
bool backup_get(struct server *server, nid_t user, int64_t version, struct arena *arena, struct key_backup *ret_backup,
		struct err *err);
bool backup_create(struct server *server, nid_t user, struct str algorithm, struct str auth_data, int64_t *ret_version,
		   struct err *err);
bool backup_set_auth_data(struct server *server, nid_t user, int64_t version, struct str auth_data, struct err *err);
/* *ret_known: there is or was one. */
bool backup_delete(struct server *server, nid_t user, int64_t version, bool *ret_known, struct err *err);

/* Into the newest backup, where a worse key is not there already. M_NOT_FOUND, M_WRONG_ROOM_KEYS_VERSION. */
bool backup_put_keys(struct server *server, nid_t user, int64_t version, const struct backup_key *keys, size_t count,
		     struct arena *arena, struct key_backup *ret_backup, struct err *err);
/* Of a room, or of a session in it; empty: all. M_NOT_FOUND: no such backup. */
struct backup_place {
	int64_t version;
	struct str room_id, session_id;
};
bool backup_delete_keys(struct server *server, nid_t user, struct backup_place place, struct key_backup *ret_backup,
			struct err *err);
/* Calls `take` for each key, in order of rooms and sessions. */
bool backup_read_keys(struct server *server, nid_t user, struct backup_place place,
		      void (*take)(void *context, const struct backup_key *key), void *context, struct err *err);
