/* client-server-api "Cross-signing": publishing keys and signatures. */
#include "accounts/uia.h"
#include "interned/interned.h"
#include "keys/keys_internal.h"
#include "matrix/canonical.h"
#include "matrix/identifiers.h"

#define MAX_SIGNED_OBJECTS 1000

/* --- keys --- */

struct upload_body {
	json_t *master_key, *self_signing_key, *user_signing_key;
};

static const struct json_field upload_fields[] = {
	JSON_FIELD_OBJ(struct upload_body, master_key, JSON_OPTIONAL),
	JSON_FIELD_OBJ(struct upload_body, self_signing_key, JSON_OPTIONAL),
	JSON_FIELD_OBJ(struct upload_body, user_signing_key, JSON_OPTIONAL),
	{ 0 },
};

static bool read_upload(struct request *req, struct cross_keys *ret_keys, struct err *err)
{
	struct upload_body body = { 0 };
	json_t *jsons[KEY_USAGE_COUNT];

	*ret_keys = (struct cross_keys){ 0 };
	if (!json_read(req->body, upload_fields, &body, err))
		return false;
	jsons[KEY_MASTER] = body.master_key;
	jsons[KEY_SELF_SIGNING] = body.self_signing_key;
	jsons[KEY_USER_SIGNING] = body.user_signing_key;
	for (enum key_usage usage = 0; usage < KEY_USAGE_COUNT; usage++) {
		if (jsons[usage] &&
		    !cross_key_read(jsons[usage], req->user->user_id, usage, req->arena, &ret_keys->of[usage], err))
			return false;
	}
	if (!body.master_key && !body.self_signing_key && !body.user_signing_key)
		return err_set(err, M_MISSING_PARAM, "There is no key to upload");
	return true;
}

/* By the master key that comes with them, else by the one that is there. */
static bool check_signatures(struct request *req, const struct cross_keys *known, const struct cross_keys *keys,
			     struct err *err)
{
	const struct cross_key *master =
		keys->of[KEY_MASTER].public_key.len ? &keys->of[KEY_MASTER] : &known->of[KEY_MASTER];

	if (!master->public_key.len)
		return err_set(err, M_MISSING_PARAM, "There is no master key");
	for (enum key_usage usage = KEY_SELF_SIGNING; usage < KEY_USAGE_COUNT; usage++) {
		if (keys->of[usage].public_key.len &&
		    !cross_key_signed_by(keys->of[usage].json, req->user->user_id, master, req->arena))
			return err_set(err, M_INVALID_SIGNATURE, "The %s key is not signed by the master key",
				       usage == KEY_SELF_SIGNING ? "self-signing" : "user-signing");
	}
	return true;
}

static bool brings_nothing_new(const struct cross_keys *known, const struct cross_keys *keys, struct arena *arena)
{
	for (size_t i = 0; i < KEY_USAGE_COUNT; i++) {
		if (keys->of[i].public_key.len &&
		    (!known->of[i].public_key.len || !signed_object_same(known->of[i].json, keys->of[i].json, arena)))
			return false;
	}
	return true;
}

/* The first set is free, so are keys that are there already; to replace some the user must prove who they are. */
static bool post_device_signing(struct request *req, struct err *err)
{
	struct cross_keys known, keys;
	bool done = true;

	if (!read_upload(req, &keys, err) || !cross_keys_load(req->server, req->user->nid, req->arena, &known, err) ||
	    !check_signatures(req, &known, &keys, err))
		return false;
	if (brings_nothing_new(&known, &keys, req->arena))
		return reply_empty(req);
	if (known.of[KEY_MASTER].public_key.len && !uia_check_password(req, false, &done, err))
		return false;
	if (!done)
		return true;
	return cross_keys_replace(req->server, req->user->nid, &known, &keys, req->arena, err) && reply_empty(req);
}

/* --- signatures --- */

struct signing {
	struct request *req;
	struct cross_keys own;
	json_t *failures; /* {user: {target: error}} */
	struct new_signature *signatures;
	size_t count, cap;
};

/* One object that a client has signed. */
struct signed_object {
	struct str user_id, target, json;
	nid_t user;
	struct cross_key master; /* of that user */
};

static void add_signature(struct signing *signing, const struct signed_object *object, struct str signer_key,
			  struct str signature, bool of_device)
{
	*ARENA_PUSH(signing->req->arena, signing->signatures, signing->count, signing->cap) =
		(struct new_signature){ .user = object->user,
					.target = object->target,
					.signer_key = signer_key,
					.signature = signature,
					.of_device = of_device };
}

static struct str own_signatures(const struct signing *signing, const struct signed_object *object)
{
	struct str signatures = STR("");

	slice_path(object->json, &signatures, STR("signatures"), signing->req->user->user_id);
	return signatures;
}

/* A device by the self-signing key, somebody else's master key by the user-signing key. */
static bool take_cross_signature(struct signing *signing, const struct signed_object *object, struct str known,
				 enum key_usage usage, struct err *err)
{
	const struct cross_key *key = &signing->own.of[usage];
	struct arena *arena = signing->req->arena;
	struct str signer_key = str_concat(arena, STR("ed25519:"), key->public_key), signature;

	if (!signed_object_same(object->json, known, arena))
		return err_set(err, M_INVALID_SIGNATURE, "What is signed is not the key that is known");
	if (!cross_key_signed_by(object->json, signing->req->user->user_id, key, arena) ||
	    !slice_get_string(own_signatures(signing, object), signer_key, arena, &signature))
		return err_set(err, M_INVALID_SIGNATURE, "There is no valid signature by the %s key",
			       usage == KEY_SELF_SIGNING ? "self-signing" : "user-signing");
	add_signature(signing, object, signer_key, signature, usage == KEY_SELF_SIGNING);
	return true;
}

static bool take_device_signature(struct signing *signing, const struct signed_object *object, struct str signer_key,
				  struct str signature, struct err *err)
{
	struct str device_id = str_from(signer_key, strlen("ed25519:")), device_keys;
	struct request *req = signing->req;
	struct cross_key key = { .public_key = device_id };

	if (!str_starts_with(signer_key, STR("ed25519:")) || memchr(device_id.ptr, 0, device_id.len))
		return err_set(err, M_INVALID_SIGNATURE, "This is no key of a device");
	if (!device_keys_load(req->server, req->user->nid, device_id, req->arena, &device_keys, err))
		return false;
	if (!device_keys.len || !device_signing_key(device_keys, device_id, req->arena, key.bytes) ||
	    !cross_key_signed_by(object->json, req->user->user_id, &key, req->arena))
		return err_set(err, M_INVALID_SIGNATURE, "There is no valid signature by device %.*s",
			       STR_ARG(device_id));
	add_signature(signing, object, signer_key, signature, false);
	return true;
}

/* One's own master key by one's devices. */
static bool take_master_key(struct signing *signing, const struct signed_object *object, struct err *err)
{
	struct slice_iter iter = slice_iter(own_signatures(signing, object));
	struct arena *arena = signing->req->arena;
	struct str key, value, signer_key, signature;
	size_t count = 0;

	if (!signed_object_same(object->json, object->master.json, arena))
		return err_set(err, M_INVALID_SIGNATURE, "What is signed is not the master key that is known");
	while (slice_member(&iter, &key, &value)) {
		if (++count > MAX_SIGNED_OBJECTS)
			return err_set(err, M_TOO_LARGE, "There are too many signatures");
		if (!slice_string(key, arena, &signer_key) || !slice_string(value, arena, &signature))
			return err_set(err, M_INVALID_SIGNATURE, "A signature is no text");
		if (!take_device_signature(signing, object, signer_key, signature, err))
			return false;
	}
	return count || err_set(err, M_INVALID_SIGNATURE, "There is no signature");
}

static bool take_device(struct signing *signing, const struct signed_object *object, struct err *err)
{
	struct str known;

	if (!device_keys_load(signing->req->server, object->user, object->target, signing->req->arena, &known, err))
		return false;
	if (!known.len)
		return err_set(err, M_NOT_FOUND, "This key is not known");
	return take_cross_signature(signing, object, known, KEY_SELF_SIGNING, err);
}

static bool take_object(struct signing *signing, const struct signed_object *object, struct err *err)
{
	bool is_master = object->master.public_key.len && str_eq(object->target, object->master.public_key);

	if (object->user == signing->req->user->nid)
		return is_master ? take_master_key(signing, object, err) : take_device(signing, object, err);
	if (!is_master)
		return err_set(err, M_NOT_FOUND, "This master key is not known");
	return take_cross_signature(signing, object, object->master.json, KEY_USER_SIGNING, err);
}

static void add_failure(struct signing *signing, const struct signed_object *object, const struct err *problem)
{
	json_t *of_user = json_object_getn(signing->failures, object->user_id.ptr, object->user_id.len), *failure;

	if (!of_user) {
		of_user = json_object();
		json_object_setn_new(signing->failures, object->user_id.ptr, object->user_id.len, of_user);
	}
	failure = json_pack("{s:s, s:s}", "errcode", errcode_name(problem->code), "error", problem->message);
	json_object_setn_new(of_user, object->target.ptr, object->target.len, failure);
}

static bool take_objects(struct signing *signing, struct signed_object *object, json_t *objects, struct err *err)
{
	struct err problem = { 0 };
	const char *target;
	json_t *json;

	json_object_foreach(objects, target, json)
	{
		object->target = str_of(target);
		if (json_object_size(json) == 0)
			err_set(&problem, M_INVALID_SIGNATURE, "There is nothing signed");
		if ((json_object_size(json) &&
		     canonical_json_loose(json_text(json, signing->req->arena), signing->req->arena, &object->json,
					  &problem) &&
		     take_object(signing, object, &problem)))
			continue;
		if (problem.status >= 500) {
			*err = problem;
			return false;
		}
		add_failure(signing, object, &problem);
	}
	return true;
}

/* Of a user who is not ours, or not there, no key is known. */
static bool take_user(struct signing *signing, struct str user_id, json_t *objects, struct err *err)
{
	struct signed_object object = { .user_id = user_id };
	struct request *req = signing->req;
	struct cross_keys keys = { 0 };

	if (!find_user(req->server->interned, user_id, &object.user, err) ||
	    (object.user && !cross_keys_load(req->server, object.user, req->arena, &keys, err)))
		return false;
	object.master = keys.of[KEY_MASTER];
	return take_objects(signing, &object, objects, err);
}

static bool check_signed(json_t *body, struct err *err)
{
	size_t count = 0;
	const char *user_id, *target;
	json_t *objects, *json;

	if (!json_is_object(body))
		return err_set(err, M_BAD_JSON, "The body must be an object");
	json_object_foreach(body, user_id, objects)
	{
		if (!user_id_valid(str_of(user_id)))
			return err_set(err, M_INVALID_PARAM, "Keys are given by user");
		if (!json_is_object(objects))
			return err_set(err, M_BAD_JSON, "A user's keys must be an object");
		json_object_foreach(objects, target, json)
		{
			if (!json_is_object(json))
				return err_set(err, M_BAD_JSON, "A signed key must be an object");
			count++;
		}
	}
	if (count > MAX_SIGNED_OBJECTS)
		return err_set(err, M_TOO_LARGE, "%d keys can be signed at once", MAX_SIGNED_OBJECTS);
	return true;
}

static bool post_signatures(struct request *req, struct err *err)
{
	struct signing signing = { .req = req };
	const char *user_id;
	json_t *objects;

	if (!check_signed(req->body, err) ||
	    !cross_keys_load(req->server, req->user->nid, req->arena, &signing.own, err))
		return false;
	signing.failures = json_object();
	arena_defer(req->arena, (void (*)(void *))json_decref, signing.failures);
	json_object_foreach(req->body, user_id, objects)
	{
		if (!take_user(&signing, str_of(user_id), objects, err))
			return false;
	}
	if (!signatures_add(req->server, req->user->nid, signing.signatures, signing.count, req->arena, err))
		return false;
	return reply_json(req, 200, json_pack("{s:O}", "failures", signing.failures));
}

const struct route cross_signing_routes[] = {
	{ HTTP_POST, "/_matrix/client/v3/keys/device_signing/upload", AUTH_USER, LIMIT_NONE, post_device_signing },
	/* Where matrix-js-sdk sends it when asked to outside its Rust cryptography. */
	{ HTTP_POST, "/_matrix/client/unstable/keys/device_signing/upload", AUTH_USER, LIMIT_NONE,
	  post_device_signing },
	{ HTTP_POST, "/_matrix/client/v3/keys/signatures/upload", AUTH_USER, LIMIT_NONE, post_signatures },
	{ 0 },
};
