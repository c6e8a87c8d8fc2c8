#include "matrix/event_testing.h"

#include "matrix/base64.h"
#include "matrix/canonical.h"
#include "matrix/identifiers.h"

#define MAX_VECTORS (1 << 20)

/* The key of appendices "Cryptographic Test Vectors", its name there "ed25519:1", its server "domain". */
static struct signing_key *key;
static uint8_t public_key[32];
static const char *vectors_path;

static int set_up(void **state UNUSED)
{
	struct err err;

	assert_true(signing_key_parse(STR("ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"), &key, &err));
	assert_true(base64_decode_exactly(signing_key_public(key), public_key, sizeof(public_key)));
	return 0;
}

static int tear_down(void **state UNUSED)
{
	signing_key_free(key);
	return 0;
}

/* appendices, "Event Signing": what must come out, made canonical. The second has no depth and so is no PDU. */
static void hashes_and_signs_as_the_specification_has_it(void **state UNUSED)
{
	static const struct str events[] = {
		STR_INIT("{\"auth_events\": [], \"content\": {}, \"depth\": 3, \"hashes\": {\"sha256\": "
			 "\"5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos\"}, \"origin\": \"domain\", "
			 "\"origin_server_ts\": 1000000, "
			 "\"prev_events\": [], \"room_id\": \"!x:domain\", \"sender\": \"@a:domain\", \"signatures\": "
			 "{\"domain\": "
			 "{\"ed25519:1\": "
			 "\"KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+"
			 "lYAg\"}}, \"type\": \"X\", \"unsigned\": {\"age_ts\": 1000000}}"),
		STR_INIT("{\"content\": {\"body\": \"Here is the message content\"}, \"event_id\": \"$0:domain\", "
			 "\"hashes\": "
			 "{\"sha256\": \"onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g\"}, \"origin\": \"domain\", "
			 "\"origin_server_ts\": 1000000, \"type\": \"m.room.message\", \"room_id\": \"!r:domain\", "
			 "\"sender\": "
			 "\"@u:domain\", \"signatures\": {\"domain\": {\"ed25519:1\": "
			 "\"Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6"
			 "pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA\"}}, \"unsigned\": {\"age_ts\": 1000000}}"),
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		struct pdu pdu = { .version = version_of(1) };
		struct err err;

		assert_true(canonical_json(events[i], arena, &pdu.json, &err));
		assert_true(pdu_hash_matches(&pdu, arena));
		assert_true(pdu_signature_verifies(&pdu, STR("domain"), STR("ed25519:1"), public_key, arena));
		assert_false(pdu_signature_verifies(&pdu, STR("domain"), STR("ed25519:2"), public_key, arena));
		assert_false(pdu_signature_verifies(&pdu, STR("domains"), STR("ed25519:1"), public_key, arena));
		pdu.json = canonical_set(pdu.json, STR("sender"), STR("\"@b:domain\""), arena);
		assert_false(pdu_hash_matches(&pdu, arena));
		assert_false(pdu_signature_verifies(&pdu, STR("domain"), STR("ed25519:1"), public_key, arena));
	}
}

/*
 * Vectors made with another implementation (Synapse 1.163): events of every room version and kind, signed with the key
 * above, with their IDs and reference hashes, in JSON that is not canonical. Those called plain have no other members
 * than ours.
 */
static struct str load_vectors(struct arena *arena)
{
	char *text = arena_alloc(arena, MAX_VECTORS);
	FILE *file = fopen(vectors_path, "rb");
	struct str vectors;
	struct err err;
	size_t len;

	assert_non_null(file);
	len = fread(text, 1, MAX_VECTORS, file);
	fclose(file);
	assert_true(slice_parse((struct str){ text, len }, &vectors, &err));
	return vectors;
}

static struct str member(struct str object, struct str name, struct arena *arena)
{
	struct str text;

	assert_true(slice_get_string(object, name, arena, &text));
	return text;
}

/* The hashes beside the IDs in versions 1 and 2. */
static const struct str *pair_hashes(struct str json, struct str name, size_t count, struct arena *arena)
{
	struct str *hashes = ARENA_ARRAY(arena, count, struct str), list, pair, hash;
	struct slice_iter iter, in_pair;

	assert_true(slice_get(json, name, &list));
	iter = slice_iter(list);
	for (size_t i = 0; slice_item(&iter, &pair); i++) {
		in_pair = slice_iter(pair);
		assert_true(slice_item(&in_pair, &hash) && slice_item(&in_pair, &hash));
		hashes[i] = member(hash, STR("sha256"), arena);
	}
	return hashes;
}

/* Builds the event again from what it says, and gets the same bytes. */
static void rebuild(const struct pdu *pdu, struct arena *arena)
{
	bool has_pairs = pdu->version->event_id_format == EVENT_ID_GIVEN;
	struct event_fields fields = {
		.room_id = pdu->version->room_id_is_create_hash && str_eq(pdu->type, STR("m.room.create"))
				   ? STR("")
				   : pdu->room_id,
		.type = pdu->type,
		.sender = pdu->sender,
		.is_state = pdu->is_state,
		.state_key = pdu->state_key,
		.content = pdu->content,
		.redacts = pdu->redacts,
		.depth = pdu->depth,
		.origin_server_ts = pdu->origin_server_ts,
		.prev_events = pdu->prev_events,
		.auth_events = pdu->auth_events,
		.prev_count = pdu->prev_count,
		.auth_count = pdu->auth_count,
	};
	struct str random_id = { 0 };
	struct identifier id;
	struct pdu built;
	struct err err;

	if (has_pairs) {
		fields.prev_hashes = pair_hashes(pdu->json, STR("prev_events"), pdu->prev_count, arena);
		fields.auth_hashes = pair_hashes(pdu->json, STR("auth_events"), pdu->auth_count, arena);
		assert_true(event_id_parse(pdu->event_id, &id));
		random_id = id.localpart;
	}
	assert_true(event_build(pdu->version, &fields, STR("domain"), key, random_id, arena, &built, &err));
	same_pdu(&built, pdu);
}

static void agrees_with_another_implementation(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct slice_iter iter = slice_iter(load_vectors(arena));
	struct str vector, event;
	size_t count = 0;

	while (slice_item(&iter, &vector)) {
		const struct room_version *version = room_version_find(member(vector, STR("version"), arena));
		struct pdu pdu, view, again;
		struct err err = { 0 };
		bool plain = false;

		assert_true(slice_get(vector, STR("event"), &event) && slice_get_bool(vector, STR("plain"), &plain));
		if (!pdu_read(version, event, arena, &pdu, &err))
			fail_msg("%s: %.*s", err.message, STR_ARG(event));
		assert_true(str_eq(pdu.event_id, member(vector, STR("event_id"), arena)));
		assert_true(str_eq(event_reference_hash(version, event, arena),
				   member(vector, STR("reference_hash"), arena)));
		assert_true(pdu_hash_matches(&pdu, arena));
		assert_true(pdu_signature_verifies(&pdu, STR("domain"), STR("ed25519:1"), public_key, arena));
		if (version->number > 2)
			assert_true(str_eq(event_reference_id(version, event_redact(version, event, arena), arena),
					   pdu.event_id));
		pdu_view(version, pdu.json, pdu.event_id, pdu.room_id, arena, &view);
		same_pdu(&pdu, &view);
		assert_true(pdu_read(version, pdu.json, arena, &again, &err));
		same_pdu(&pdu, &again);
		if (plain)
			rebuild(&pdu, arena);
		count++;
	}
	assert_true(count > 100);
}

static const struct str two_ids[] = { STR_INIT("$one:domain"), STR_INIT("$two:domain") };

static struct event_fields message(void)
{
	return (struct event_fields){
		.room_id = STR("!x:domain"),
		.type = STR("m.room.message"),
		.sender = STR("@a:domain"),
		.content = STR("{ \"msgtype\": \"m.text\", \"body\": \"\\u0041\" }"),
		.depth = 5,
		.origin_server_ts = 1000000,
		.prev_events = two_ids,
		.prev_count = 2,
		.auth_events = two_ids,
		.auth_count = 1,
	};
}

static void builds_events(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (int v = 1; v <= 12; v++) {
		struct event_fields fields = message();
		struct pdu pdu, read;
		struct err err = { 0 };
		struct str value;

		if (v == 12)
			fields.room_id = STR("!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ");
		fields.depth = INT64_MAX;
		assert_true(event_build(version_of(v), &fields, STR("domain"), key, STR("random"), arena, &pdu, &err));
		assert_true(str_eq(pdu.content, STR("{\"body\":\"A\",\"msgtype\":\"m.text\"}")));
		assert_int_equal(pdu.depth, EVENT_MAX_DEPTH);
		assert_int_equal(pdu.prev_count, 2);
		assert_true(str_eq(pdu.prev_events[1], two_ids[1]));
		assert_true(v > 2 || str_eq(pdu.event_id, STR("$random:domain")));
		assert_true(pdu_hash_matches(&pdu, arena));
		assert_true(pdu_signature_verifies(&pdu, STR("domain"), STR("ed25519:1"), public_key, arena));
		assert_false(slice_get(pdu.json, STR("redacts"), &value) ||
			     slice_get(pdu.json, STR("state_key"), &value));
		assert_true(pdu_read(version_of(v), pdu.json, arena, &read, &err));
		same_pdu(&pdu, &read);

		fields.type = STR("m.room.redaction");
		fields.redacts = STR("$it:domain");
		assert_true(event_build(version_of(v), &fields, STR("domain"), key, STR("random"), arena, &pdu, &err));
		assert_true(str_eq(pdu.redacts, fields.redacts));
		assert_int_equal(slice_get(pdu.json, STR("redacts"), &value), v < 11);
		assert_int_equal(slice_get(pdu.content, STR("redacts"), &value), v >= 11);
		assert_true(pdu_signature_verifies(&pdu, STR("domain"), STR("ed25519:1"), public_key, arena));
	}
}

static void names_a_room_after_its_create_event(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct event_fields fields = { .type = STR("m.room.create"),
				       .sender = STR("@a:domain"),
				       .is_state = true,
				       .content = STR("{}"),
				       .depth = 1 };
	struct pdu pdu;
	struct err err;
	struct str value;

	assert_true(event_build(version_of(12), &fields, STR("domain"), key, STR(""), arena, &pdu, &err));
	assert_true(str_eq(str_from(pdu.room_id, 1), str_from(pdu.event_id, 1)));
	assert_int_equal(pdu.room_id.ptr[0], '!');
	assert_int_equal(pdu.room_id.len, 44);
	assert_false(slice_get(pdu.json, STR("room_id"), &value));
	fields.room_id = STR("!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ");
	assert_false(event_build(version_of(12), &fields, STR("domain"), key, STR(""), arena, &pdu, &err));
	assert_false(event_build(version_of(11),
				 &(struct event_fields){ .type = STR("m.room.create"),
							 .content = STR("{}"),
							 .sender = STR("@a:domain"),
							 .is_state = true },
				 STR("domain"), key, STR(""), arena, &pdu, &err));
	assert_int_equal(err.code, M_BAD_JSON);
}

/* In versions 1 and 2 other events are named with their hashes, where these are known. */
static void names_hashes_in_the_first_versions(void **state UNUSED)
{
	static const struct str hashes[] = { STR_INIT("abc"), STR_INIT("def") };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct event_fields fields = message();
	struct pdu pdu;
	struct err err;
	struct str value;

	fields.prev_hashes = hashes;
	assert_true(event_build(version_of(1), &fields, STR("domain"), key, STR("r"), arena, &pdu, &err));
	assert_true(slice_get(pdu.json, STR("prev_events"), &value));
	assert_true(
		str_eq(value, STR("[[\"$one:domain\",{\"sha256\":\"abc\"}],[\"$two:domain\",{\"sha256\":\"def\"}]]")));
	assert_true(slice_get(pdu.json, STR("auth_events"), &value));
	assert_true(str_eq(value, STR("[[\"$one:domain\",{}]]")));
}

/* Events that cannot be built, each a good one with something changed, and what the error is. */
struct bad_events {
	struct event_fields fields[24];
	enum errcode codes[24];
	size_t count;
};

static struct event_fields *bad(struct bad_events *list, enum errcode code)
{
	assert_true(list->count < ARRAY_LEN(list->fields));
	list->codes[list->count] = code;
	list->fields[list->count] = message();
	return &list->fields[list->count++];
}

static struct bad_events bad_events(struct arena *arena)
{
	static const struct str not_an_id[] = { STR_INIT("x") };
	struct str *many = ARENA_ARRAY(arena, EVENT_MAX_PREV + 1, struct str);
	char *fill = arena_alloc(arena, EVENT_MAX_SIZE), *too_long = arena_alloc(arena, EVENT_MAX_TEXT + 2);
	struct bad_events list = { .count = 0 };
	struct event_fields *fields;

	bad(&list, M_NOT_JSON)->content = STR("{");
	bad(&list, M_NOT_JSON)->content = STR("");
	bad(&list, M_BAD_JSON)->content = STR("[]");
	bad(&list, M_BAD_JSON)->content = STR("{\"a\":1.5}");
	bad(&list, M_BAD_JSON)->content = STR("{\"a\":1e2}");
	bad(&list, M_BAD_JSON)->content = STR("{\"a\":9007199254740992}");
	memset(fill, 'x', EVENT_MAX_SIZE - 1);
	bad(&list, M_TOO_LARGE)->content = str_printf(arena, "{\"body\":\"%s\"}", fill);
	memset(too_long, ' ', EVENT_MAX_TEXT + 1);
	bad(&list, M_TOO_LARGE)->content = str_of(too_long);
	bad(&list, M_BAD_JSON)->sender = STR("a");
	bad(&list, M_BAD_JSON)->type = STR("\xff");
	bad(&list, M_TOO_LARGE)->type = STR(OF_255 "a");
	bad(&list, M_BAD_JSON)->room_id = STR("#x:domain");
	bad(&list, M_BAD_JSON)->room_id = STR("");
	bad(&list, M_BAD_JSON)->redacts = STR("x");
	bad(&list, M_BAD_JSON)->depth = -1;
	bad(&list, M_BAD_JSON)->origin_server_ts = INT64_C(1) << 53;
	fields = bad(&list, M_TOO_LARGE);
	fields->is_state = true;
	fields->state_key = STR(OF_255 "a");
	fields = bad(&list, M_BAD_JSON);
	fields->is_state = true;
	fields->state_key = STR("\xc3");
	fields = bad(&list, M_BAD_JSON);
	fields->prev_events = not_an_id;
	fields->prev_count = 1;
	for (size_t i = 0; i <= EVENT_MAX_PREV; i++)
		many[i] = two_ids[0];
	fields = bad(&list, M_BAD_JSON);
	fields->prev_events = many;
	fields->prev_count = EVENT_MAX_PREV + 1;
	fields = bad(&list, M_BAD_JSON);
	fields->auth_events = many;
	fields->auth_count = EVENT_MAX_AUTH + 1;
	return list;
}

static void builds_nothing_that_breaks_the_format(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct bad_events list = bad_events(arena);

	for (int v = 1; v <= 11; v++) {
		for (size_t i = 0; i < list.count; i++) {
			struct pdu pdu;
			struct err err = { 0 };

			if (event_build(version_of(v), &list.fields[i], STR("domain"), key, STR("r"), arena, &pdu,
					&err) ||
			    err.code != list.codes[i])
				fail_msg("version %d, case %zu: %s", v, i, err.message);
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_and_signs_as_the_specification_has_it),
		cmocka_unit_test(agrees_with_another_implementation),
		cmocka_unit_test(builds_events),
		cmocka_unit_test(names_a_room_after_its_create_event),
		cmocka_unit_test(names_hashes_in_the_first_versions),
		cmocka_unit_test(builds_nothing_that_breaks_the_format),
	};

	vectors_path = argc > 1 ? argv[1] : "event_vectors.json";
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
