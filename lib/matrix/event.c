#include "matrix/event_internal.h"

#include <sodium.h>

#include "matrix/base64.h"
#include "matrix/canonical.h"
#include "matrix/identifiers.h"
#include "matrix/redaction.h"

#define HASH_ID_LENGTH 44 /* a sigil and 32 bytes in Base64 */
#define MAX_LENGTH     255

const struct event_field event_fields_known[FIELD_COUNT] = {
	[AUTH_EVENTS] = { STR_INIT("auth_events"), SLICE_ARRAY },
	[CONTENT] = { STR_INIT("content"), SLICE_OBJECT },
	[DEPTH] = { STR_INIT("depth"), SLICE_NUMBER },
	[EVENT_ID] = { STR_INIT("event_id"), SLICE_STRING },
	[HASHES] = { STR_INIT("hashes"), SLICE_OBJECT },
	[ORIGIN_SERVER_TS] = { STR_INIT("origin_server_ts"), SLICE_NUMBER },
	[PREV_EVENTS] = { STR_INIT("prev_events"), SLICE_ARRAY },
	[REDACTS] = { STR_INIT("redacts"), SLICE_STRING },
	[ROOM_ID] = { STR_INIT("room_id"), SLICE_STRING },
	[SENDER] = { STR_INIT("sender"), SLICE_STRING },
	[SIGNATURES] = { STR_INIT("signatures"), SLICE_OBJECT },
	[STATE_KEY] = { STR_INIT("state_key"), SLICE_STRING },
	[TYPE] = { STR_INIT("type"), SLICE_STRING },
};

/* Their values; a NULL pointer where there is none. */
struct field_values {
	struct str of[FIELD_COUNT];
};

static struct field_values read_fields(struct str json)
{
	struct field_values values = { 0 };
	struct slice_iter iter = slice_iter(json);
	struct str key, value;
	size_t next = 0; /* canonical: the known ones come in order, so each key is mostly the next one */

	while (slice_member(&iter, &key, &value)) {
		for (size_t i = next; i < FIELD_COUNT; i++) {
			if (slice_string_eq(key, event_fields_known[i].name)) {
				values.of[i] = value;
				next = i + 1;
				break;
			}
		}
	}
	return values;
}

/* An integer of the room version: 64 bits where JSON is not canonical, else what canonical_json_strict left. */
static bool whole_number(struct str value, int64_t *ret_number)
{
	return slice_type(value) == SLICE_NUMBER && str_to_int64(value, ret_number);
}

/* Checking the format, first what can be seen in slices. */

bool event_malformed(struct err *err, enum field field, const char *how)
{
	return err_set(err, M_BAD_JSON, "The event's %.*s %s", STR_ARG(event_fields_known[field].name), how);
}

/* [id, {"sha256": hash}] */
static bool pair_id(struct str pair, struct str *ret_id)
{
	struct slice_iter iter = slice_iter(pair);
	struct str id, hashes, more;

	if (slice_type(pair) != SLICE_ARRAY || !slice_item(&iter, &id) || !slice_item(&iter, &hashes) ||
	    slice_item(&iter, &more) || slice_type(hashes) != SLICE_OBJECT)
		return false;
	*ret_id = id;
	return true;
}

static bool check_event_list(const struct room_version *version, struct str list, enum field field, size_t max,
			     struct err *err)
{
	struct slice_iter iter = slice_iter(list);
	struct str item;
	size_t count = 0;

	while (slice_item(&iter, &item)) {
		if (++count > max)
			return event_malformed(err, field, "are too many");
		if (has_pairs(version) && !pair_id(item, &item))
			return event_malformed(err, field, "are not pairs of an event ID and hashes");
		if (slice_type(item) != SLICE_STRING)
			return event_malformed(err, field, "are not event IDs");
	}
	return true;
}

/* An object of objects of strings, as the definition of PDUs has it. */
static bool check_signatures(struct str signatures, struct err *err)
{
	struct slice_iter servers = slice_iter(signatures), keys;
	struct str name, value;

	while (slice_member(&servers, &name, &value)) {
		if (slice_type(value) != SLICE_OBJECT)
			return event_malformed(err, SIGNATURES, "are malformed");
		for (keys = slice_iter(value); slice_member(&keys, &name, &value);) {
			if (slice_type(value) != SLICE_STRING)
				return event_malformed(err, SIGNATURES, "are malformed");
		}
	}
	return true;
}

/* Which members must be there, may not be there, and their types. `redacts` is only looked at where it matters. */
static bool check_types(const struct room_version *version, const struct field_values *values, struct err *err)
{
	bool create = values->of[TYPE].ptr && slice_string_eq(values->of[TYPE], STR("m.room.create"));
	bool implied_room = version->room_id_is_create_hash && create;

	for (enum field i = 0; i < FIELD_COUNT; i++) {
		bool forbidden = (i == EVENT_ID && !has_pairs(version)) || (i == ROOM_ID && implied_room);
		bool optional = i == STATE_KEY || i == REDACTS || forbidden;
		struct str value = values->of[i];

		if (!value.ptr && !optional)
			return event_malformed(err, i, "is missing");
		if (value.ptr && forbidden)
			return event_malformed(err, i, "has no place in this room version");
		if (value.ptr && slice_type(value) != event_fields_known[i].type && i != REDACTS)
			return event_malformed(err, i, "has the wrong type");
	}
	return true;
}

static bool check_shapes(const struct room_version *version, const struct field_values *values, struct err *err)
{
	struct str hash;
	int64_t number;

	if (!whole_number(values->of[DEPTH], &number) || number < 0)
		return event_malformed(err, DEPTH, "is out of range");
	if (!whole_number(values->of[ORIGIN_SERVER_TS], &number))
		return event_malformed(err, ORIGIN_SERVER_TS, "is out of range");
	if (!slice_get(values->of[HASHES], STR("sha256"), &hash) || slice_type(hash) != SLICE_STRING)
		return event_malformed(err, HASHES, "have no SHA-256");
	return check_signatures(values->of[SIGNATURES], err) &&
	       check_event_list(version, values->of[PREV_EVENTS], PREV_EVENTS, EVENT_MAX_PREV, err) &&
	       check_event_list(version, values->of[AUTH_EVENTS], AUTH_EVENTS, EVENT_MAX_AUTH, err);
}

/* Then what is in the strings: client-server-api "Size limits", appendices "Identifier Grammar". */

static bool check_length(struct str text, enum field field, struct err *err)
{
	return text.len <= MAX_LENGTH || err_set(err, M_TOO_LARGE, "The event's %.*s is longer than %d bytes",
						 STR_ARG(event_fields_known[field].name), MAX_LENGTH);
}

/* A version 12 room ID: the create event's ID with another sigil. */
static bool is_hash_id(struct str id, char sigil)
{
	uint8_t hash[32];
	size_t len;

	return id.len == HASH_ID_LENGTH && id.ptr[0] == sigil &&
	       sodium_base642bin(hash, sizeof(hash), id.ptr + 1, id.len - 1, NULL, &len, NULL,
				 sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
	       len == sizeof(hash);
}

static bool check_room_id(const struct room_version *version, struct str room_id, struct err *err)
{
	struct identifier id;
	bool ok = version->room_id_is_create_hash ? is_hash_id(room_id, '!')
						  : room_id_parse(room_id, &id) && id.domain.len;

	return ok || event_malformed(err, ROOM_ID, "is not a room ID of this room version");
}

static bool check_strings(const struct pdu *pdu, struct err *err)
{
	struct identifier id;

	if (!check_length(pdu->type, TYPE, err) || !check_length(pdu->state_key, STATE_KEY, err) ||
	    !check_length(pdu->sender, SENDER, err) || !check_length(pdu->room_id, ROOM_ID, err) ||
	    !check_length(pdu->event_id, EVENT_ID, err))
		return false;
	if (!user_id_valid(pdu->sender))
		return event_malformed(err, SENDER, "is not a user ID");
	if (has_pairs(pdu->version) && !event_id_parse(pdu->event_id, &id))
		return event_malformed(err, EVENT_ID, "is not an event ID of this room version");
	for (size_t i = 0; i < pdu->prev_count; i++) {
		if (!event_id_valid(pdu->prev_events[i]))
			return event_malformed(err, PREV_EVENTS, "are not event IDs");
	}
	for (size_t i = 0; i < pdu->auth_count; i++) {
		if (!event_id_valid(pdu->auth_events[i]))
			return event_malformed(err, AUTH_EVENTS, "are not event IDs");
	}
	return check_room_id(pdu->version, pdu->room_id, err);
}

/* Reading. */

static struct str must_string(struct str value, struct arena *arena)
{
	struct str text = { 0 };
	bool ok = value.ptr && slice_string(value, arena, &text);

	assert(ok);
	return text;
}

static const struct str *read_event_list(const struct room_version *version, struct str list, struct arena *arena,
					 size_t *ret_count)
{
	struct slice_iter iter = slice_iter(list);
	struct str *ids = NULL, item;
	size_t count = 0, cap = 0;

	while (slice_item(&iter, &item)) {
		if (has_pairs(version))
			pair_id(item, &item);
		*ARENA_PUSH(arena, ids, count, cap) = must_string(item, arena);
	}
	*ret_count = count;
	return ids;
}

static struct str read_redacts(const struct pdu *pdu, struct str top_level, struct arena *arena)
{
	struct str value = top_level, id;

	if (!str_eq(pdu->type, STR("m.room.redaction")))
		return (struct str){ 0 };
	if (pdu->version->redacts_in_content && !slice_get(pdu->content, STR("redacts"), &value))
		return (struct str){ 0 };
	return value.ptr && slice_string(value, arena, &id) && event_id_valid(id) ? id : (struct str){ 0 };
}

/* All but the event's and the room's ID. */
static void read_pdu(const struct room_version *version, struct str json, const struct field_values *values,
		     struct arena *arena, struct pdu *pdu)
{
	bool ok;

	*pdu = (struct pdu){ .json = json, .version = version, .content = values->of[CONTENT] };
	pdu->type = must_string(values->of[TYPE], arena);
	pdu->sender = must_string(values->of[SENDER], arena);
	pdu->is_state = values->of[STATE_KEY].ptr != NULL;
	if (pdu->is_state)
		pdu->state_key = must_string(values->of[STATE_KEY], arena);
	ok = whole_number(values->of[DEPTH], &pdu->depth) &&
	     whole_number(values->of[ORIGIN_SERVER_TS], &pdu->origin_server_ts);
	assert(ok);
	pdu->redacts = read_redacts(pdu, values->of[REDACTS], arena);
	pdu->prev_events = read_event_list(version, values->of[PREV_EVENTS], arena, &pdu->prev_count);
	pdu->auth_events = read_event_list(version, values->of[AUTH_EVENTS], arena, &pdu->auth_count);
}

void pdu_view(const struct room_version *version, struct str json, struct str event_id, struct str room_id,
	      struct arena *arena, struct pdu *ret_pdu)
{
	struct field_values values = read_fields(json);

	read_pdu(version, json, &values, arena, ret_pdu);
	ret_pdu->event_id = event_id;
	ret_pdu->room_id = room_id;
}

/* Hashes and IDs. */

struct str event_hash(struct str bytes, bool urlsafe, struct arena *arena)
{
	uint8_t hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, (const uint8_t *)bytes.ptr, bytes.len);
	return urlsafe ? base64url_encode(arena, hash, sizeof(hash)) : base64_encode(arena, hash, sizeof(hash));
}

/* The ID of an event in its bare form. */
static struct str bare_event_id(const struct room_version *version, struct str bare, struct arena *arena)
{
	return str_concat(arena, STR("$"), event_hash(bare, version->event_id_format == EVENT_ID_URLSAFE, arena));
}

static struct str room_of_create(struct str event_id, struct arena *arena)
{
	return str_concat(arena, STR("!"), str_from(event_id, 1));
}

/* Sets both IDs: from the event, or by its bare form. */
static void identify(struct pdu *pdu, const struct field_values *values, struct str bare, struct arena *arena)
{
	if (has_pairs(pdu->version))
		pdu->event_id = must_string(values->of[EVENT_ID], arena);
	else
		pdu->event_id = bare_event_id(pdu->version, bare, arena);
	if (values->of[ROOM_ID].ptr)
		pdu->room_id = must_string(values->of[ROOM_ID], arena);
	else
		pdu->room_id = room_of_create(pdu->event_id, arena);
}

bool event_finish(const struct room_version *version, struct str json, struct str bare, struct arena *arena,
		  struct pdu *ret_pdu, struct err *err)
{
	struct field_values values = read_fields(json);
	struct pdu pdu;

	if (!check_types(version, &values, err) || !check_shapes(version, &values, err))
		return false;
	read_pdu(version, json, &values, arena, &pdu);
	identify(&pdu, &values, bare, arena);
	if (!check_strings(&pdu, err))
		return false;
	*ret_pdu = pdu;
	return true;
}

bool pdu_read(const struct room_version *version, struct str json, struct arena *arena, struct pdu *ret_pdu,
	      struct err *err)
{
	static const struct str without[] = { STR_INIT("unsigned") };
	enum canonical_numbers numbers = version->strict_canonical_json ? CANONICAL_INTEGERS : CANONICAL_ANY;
	struct str value, canonical;

	if (json.len > EVENT_MAX_TEXT)
		return err_set(err, M_TOO_LARGE, "The event is too large");
	if (!slice_parse(json, &value, err))
		return false;
	if (slice_type(value) != SLICE_OBJECT)
		return err_set(err, M_BAD_JSON, "An event is an object");
	if (!canonical_value(value, numbers, without, ARRAY_LEN(without), arena, &canonical, err))
		return false;
	if (canonical.len > EVENT_MAX_SIZE)
		return err_set(err, M_TOO_LARGE, "The event is too large");
	return event_finish(version, canonical, redact_canonical(version, canonical, true, arena), arena, ret_pdu, err);
}

bool pdu_hash_matches(const struct pdu *pdu, struct arena *arena)
{
	static const struct str uncovered[] = { STR_INIT("hashes"), STR_INIT("signatures"), STR_INIT("unsigned") };
	struct str covered = canonical_without(pdu->json, uncovered, ARRAY_LEN(uncovered), arena), value, given;
	uint8_t hash[crypto_hash_sha256_BYTES], given_hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, (const uint8_t *)covered.ptr, covered.len);
	return slice_path(pdu->json, &value, STR("hashes"), STR("sha256")) && slice_string(value, arena, &given) &&
	       base64_decode_exactly(given, given_hash, sizeof(given_hash)) &&
	       memcmp(hash, given_hash, sizeof(hash)) == 0;
}

bool pdu_signature_verifies(const struct pdu *pdu, struct str server_name, struct str key_id,
			    const uint8_t public_key[32], struct arena *arena)
{
	struct signature signature;
	struct str value, text;

	return slice_path(pdu->json, &value, STR("signatures"), server_name, key_id) &&
	       slice_string(value, arena, &text) &&
	       base64_decode_exactly(text, signature.bytes, sizeof(signature.bytes)) &&
	       signing_verify(public_key, redact_canonical(pdu->version, pdu->json, true, arena), &signature);
}

static struct str any_canonical(struct str value, struct arena *arena)
{
	struct str canonical;
	struct err err;
	bool ok = canonical_value(value, CANONICAL_ANY, NULL, 0, arena, &canonical, &err);

	assert(ok);
	return canonical;
}

struct str event_redact(const struct room_version *version, struct str json, struct arena *arena)
{
	return redact_canonical(version, any_canonical(json, arena), false, arena);
}

struct str event_redact_content(const struct room_version *version, struct str type, struct str content,
				struct arena *arena)
{
	return redact_canonical_content(version, type, any_canonical(content, arena), arena);
}

struct str event_reference_hash(const struct room_version *version, struct str json, struct arena *arena)
{
	return event_hash(redact_canonical(version, any_canonical(json, arena), true, arena), false, arena);
}

struct str event_reference_id(const struct room_version *version, struct str json, struct arena *arena)
{
	assert(!has_pairs(version));
	return bare_event_id(version, redact_canonical(version, any_canonical(json, arena), true, arena), arena);
}
