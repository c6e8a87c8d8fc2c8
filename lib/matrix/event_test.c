#include "matrix/event.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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

static const struct room_version *version_of(int number)
{
	return room_version_at((size_t)number - 1);
}

static void same_pdu(const struct pdu *a, const struct pdu *b)
{
	assert_true(str_eq(a->json, b->json));
	assert_ptr_equal(a->version, b->version);
	assert_true(str_eq(a->event_id, b->event_id));
	assert_true(str_eq(a->room_id, b->room_id));
	assert_true(str_eq(a->type, b->type));
	assert_true(str_eq(a->sender, b->sender));
	assert_int_equal(a->is_state, b->is_state);
	assert_true(str_eq(a->state_key, b->state_key));
	assert_int_equal(a->depth, b->depth);
	assert_int_equal(a->origin_server_ts, b->origin_server_ts);
	assert_true(str_eq(a->content, b->content));
	assert_true(str_eq(a->redacts, b->redacts));
	assert_int_equal(a->prev_count, b->prev_count);
	assert_int_equal(a->auth_count, b->auth_count);
	for (size_t i = 0; i < a->prev_count; i++)
		assert_true(str_eq(a->prev_events[i], b->prev_events[i]));
	for (size_t i = 0; i < a->auth_count; i++)
		assert_true(str_eq(a->auth_events[i], b->auth_events[i]));
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

/* A member of the examples and tests below is set anew; a value of "" takes it away. */
static struct str edited(struct str event, struct str name, struct str value, struct arena *arena)
{
	return value.len ? canonical_set(event, name, value, arena) : canonical_without(event, &name, 1, arena);
}

/* Examples of the PDU format: server-server-api definitions pdu_v1, pdu_v3, pdu_v4, pdu_v11, pdu_v12. */
static struct str example(int version, struct arena *arena)
{
	static const struct str base = STR_INIT(
		"{\"room_id\":\"!UcYsUzyxTGDxLBEvLy:example.org\",\"sender\":\"@alice:example.com\",\"origin_server_"
		"ts\":1404838188000,"
		"\"depth\":12,\"type\":\"m.room.message\",\"content\":{\"key\":\"value\"},\"hashes\":{\"sha256\":"
		"\"thishashcoversallfieldsincasethisisredacted\"},\"signatures\":{\"example.com\":{\"ed25519:key_"
		"version\":"
		"\"these86bytesofbase64signaturecoveressentialfieldsincludinghashessocancheckredactedpdus\"}},"
		"\"unsigned\":{\"age\":"
		"4612}}");
	struct str event, ids = STR("[\"$urlsafe_base64_encoded_eventid\",\"$a-different-event-id\"]");
	struct err err;

	assert_true(canonical_json(base, arena, &event, &err));
	if (version < 3) {
		ids = STR("[[\"$af232176:example.org\",{\"sha256\":\"abase64encodedsha256hashshouldbe43byteslong\"}]]");
		event = edited(event, STR("event_id"), STR("\"$a4ecee13e2accdadf56c1025:example.com\""), arena);
	} else if (version == 3) {
		ids = STR("[\"$base64encodedeventid\",\"$adifferenteventid\"]");
		event = edited(event, STR("redacts"), STR("\"$some/old+event\""), arena);
	} else if (version < 11) {
		event = edited(event, STR("redacts"), STR("\"$some-old_event\""), arena);
	} else if (version == 12) {
		event = edited(event, STR("room_id"), STR("\"!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ\""), arena);
	}
	event = edited(event, STR("auth_events"), ids, arena);
	return edited(event, STR("prev_events"), ids, arena);
}

static void reads_the_examples_of_the_specification(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (int v = 1; v <= 12; v++) {
		struct str json = example(v, arena), unsigned_part = STR("unsigned");
		struct pdu pdu, view;
		struct err err = { 0 };

		if (!pdu_read(version_of(v), json, arena, &pdu, &err))
			fail_msg("version %d: %s", v, err.message);
		assert_true(str_eq(pdu.json, canonical_without(json, &unsigned_part, 1, arena)));
		assert_true(str_eq(pdu.sender, STR("@alice:example.com")));
		assert_true(str_eq(pdu.type, STR("m.room.message")));
		assert_true(str_eq(pdu.content, STR("{\"key\":\"value\"}")));
		assert_false(pdu.is_state);
		assert_int_equal(pdu.redacts.len, 0); /* no redaction, whatever it says */
		assert_int_equal(pdu.depth, 12);
		assert_int_equal(pdu.origin_server_ts, 1404838188000);
		assert_int_equal(pdu.prev_count, v < 3 ? 1 : 2);
		assert_true(str_eq(pdu.auth_events[0], v < 3    ? STR("$af232176:example.org")
						       : v == 3 ? STR("$base64encodedeventid")
								: STR("$urlsafe_base64_encoded_eventid")));
		assert_false(pdu_hash_matches(&pdu, arena));
		pdu_view(version_of(v), pdu.json, pdu.event_id, pdu.room_id, arena, &view);
		same_pdu(&pdu, &view);
	}
}

#define OF_255                                                                                                         \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaa"                                                                                                     \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaa"                                                                                                     \
	"aaaaaaaaaaaaaaaaaaaaaaa"

/* `to` is the last version in which the edited example ends so: 0 is none, the others accept it. */
static void refuses_what_breaks_the_format(void **state UNUSED)
{
	static const struct {
		struct str name, value;
		int from, to;
		enum errcode code;
	} cases[] = {
		{ STR_INIT("type"), STR_INIT(""), 1, 12, M_BAD_JSON },
		{ STR_INIT("type"), STR_INIT("1"), 1, 12, M_BAD_JSON },
		{ STR_INIT("type"), STR_INIT("\"" OF_255 "\""), 1, 0, 0 },
		{ STR_INIT("type"), STR_INIT("\"" OF_255 "a\""), 1, 12, M_TOO_LARGE },
		{ STR_INIT("content"), STR_INIT(""), 1, 12, M_BAD_JSON },
		{ STR_INIT("content"), STR_INIT("[]"), 1, 12, M_BAD_JSON },
		{ STR_INIT("content"), STR_INIT("null"), 1, 12, M_BAD_JSON },
		{ STR_INIT("content"), STR_INIT("{\"a\":1.5}"), 6, 12, M_BAD_JSON },
		{ STR_INIT("content"), STR_INIT("{\"a\":1e2}"), 6, 12, M_BAD_JSON },
		{ STR_INIT("content"), STR_INIT("{\"a\":9007199254740992}"), 6, 12, M_BAD_JSON },
		{ STR_INIT("content"), STR_INIT("{\"a\":-0,\"b\":\"\\u0000\"}"), 1, 0, 0 },
		{ STR_INIT("sender"), STR_INIT(""), 1, 12, M_BAD_JSON },
		{ STR_INIT("sender"), STR_INIT("null"), 1, 12, M_BAD_JSON },
		{ STR_INIT("sender"), STR_INIT("\"alice\""), 1, 12, M_BAD_JSON },
		{ STR_INIT("sender"), STR_INIT("\"@alice\""), 1, 12, M_BAD_JSON },
		{ STR_INIT("sender"), STR_INIT("\"@\\u0000:b\""), 1, 12, M_BAD_JSON },
		{ STR_INIT("sender"), STR_INIT("\"@:b\""), 1, 0, 0 },
		{ STR_INIT("sender"), STR_INIT("\"@Ä \\n:b\""), 1, 0, 0 },
		{ STR_INIT("sender"), STR_INIT("\"@" OF_255 ":b\""), 1, 12, M_TOO_LARGE },
		{ STR_INIT("room_id"), STR_INIT(""), 1, 12, M_BAD_JSON },
		{ STR_INIT("room_id"), STR_INIT("1"), 1, 12, M_BAD_JSON },
		{ STR_INIT("room_id"), STR_INIT("\"x:example.org\""), 1, 12, M_BAD_JSON },
		{ STR_INIT("room_id"), STR_INIT("\"!x:example.org\""), 12, 12, M_BAD_JSON },
		{ STR_INIT("room_id"), STR_INIT("\"!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ\""), 1, 11,
		  M_BAD_JSON },
		{ STR_INIT("room_id"), STR_INIT("\"!Nhcu5BS/UMnFX7hBVfVSoXiD7OgH6iRT+xyIuqDnpYQ\""), 1, 12,
		  M_BAD_JSON },
		{ STR_INIT("room_id"), STR_INIT("\"!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQA\""), 1, 12,
		  M_BAD_JSON },
		{ STR_INIT("room_id"), STR_INIT("\"!" OF_255 ":b\""), 1, 12, M_TOO_LARGE },
		{ STR_INIT("state_key"), STR_INIT("\"\""), 1, 0, 0 },
		{ STR_INIT("state_key"), STR_INIT("null"), 1, 12, M_BAD_JSON },
		{ STR_INIT("state_key"), STR_INIT("\"" OF_255 "a\""), 1, 12, M_TOO_LARGE },
		{ STR_INIT("event_id"), STR_INIT(""), 1, 2, M_BAD_JSON },
		{ STR_INIT("event_id"), STR_INIT("\"$a:example.org\""), 3, 12, M_BAD_JSON },
		{ STR_INIT("event_id"), STR_INIT("\"$a\""), 1, 12, M_BAD_JSON },
		{ STR_INIT("event_id"), STR_INIT("1"), 1, 12, M_BAD_JSON },
		{ STR_INIT("depth"), STR_INIT(""), 1, 12, M_BAD_JSON },
		{ STR_INIT("depth"), STR_INIT("-1"), 1, 12, M_BAD_JSON },
		{ STR_INIT("depth"), STR_INIT("1.0"), 1, 12, M_BAD_JSON },
		{ STR_INIT("depth"), STR_INIT("\"1\""), 1, 12, M_BAD_JSON },
		{ STR_INIT("depth"), STR_INIT("0"), 1, 0, 0 },
		{ STR_INIT("depth"), STR_INIT("9007199254740991"), 1, 0, 0 },
		{ STR_INIT("depth"), STR_INIT("9007199254740992"), 6, 12, M_BAD_JSON },
		{ STR_INIT("depth"), STR_INIT("9223372036854775807"), 6, 12, M_BAD_JSON },
		{ STR_INIT("depth"), STR_INIT("9223372036854775808"), 1, 12, M_BAD_JSON },
		{ STR_INIT("origin_server_ts"), STR_INIT(""), 1, 12, M_BAD_JSON },
		{ STR_INIT("origin_server_ts"), STR_INIT("\"1\""), 1, 12, M_BAD_JSON },
		{ STR_INIT("origin_server_ts"), STR_INIT("1.5"), 1, 12, M_BAD_JSON },
		{ STR_INIT("origin_server_ts"), STR_INIT("-1"), 1, 0, 0 },
		{ STR_INIT("hashes"), STR_INIT(""), 1, 12, M_BAD_JSON },
		{ STR_INIT("hashes"), STR_INIT("{}"), 1, 12, M_BAD_JSON },
		{ STR_INIT("hashes"), STR_INIT("{\"sha256\":1}"), 1, 12, M_BAD_JSON },
		{ STR_INIT("hashes"), STR_INIT("\"sha256\""), 1, 12, M_BAD_JSON },
		{ STR_INIT("signatures"), STR_INIT(""), 1, 12, M_BAD_JSON },
		{ STR_INIT("signatures"), STR_INIT("[]"), 1, 12, M_BAD_JSON },
		{ STR_INIT("signatures"), STR_INIT("{\"a\":\"b\"}"), 1, 12, M_BAD_JSON },
		{ STR_INIT("signatures"), STR_INIT("{\"a\":{\"b\":1}}"), 1, 12, M_BAD_JSON },
		{ STR_INIT("signatures"), STR_INIT("{}"), 1, 0, 0 },
		{ STR_INIT("prev_events"), STR_INIT(""), 1, 12, M_BAD_JSON },
		{ STR_INIT("prev_events"), STR_INIT("{}"), 1, 12, M_BAD_JSON },
		{ STR_INIT("prev_events"), STR_INIT("[]"), 1, 0, 0 },
		{ STR_INIT("prev_events"), STR_INIT("[1]"), 1, 12, M_BAD_JSON },
		{ STR_INIT("prev_events"), STR_INIT("[\"x\"]"), 1, 12, M_BAD_JSON },
		{ STR_INIT("prev_events"), STR_INIT("[\"$x\"]"), 1, 2, M_BAD_JSON },
		{ STR_INIT("prev_events"), STR_INIT("[[\"$x:b\",{\"sha256\":\"h\"}]]"), 3, 12, M_BAD_JSON },
		{ STR_INIT("prev_events"), STR_INIT("[[\"$x:b\",{}]]"), 3, 12, M_BAD_JSON },
		{ STR_INIT("prev_events"), STR_INIT("[[\"$x:b\"]]"), 1, 12, M_BAD_JSON },
		{ STR_INIT("prev_events"), STR_INIT("[[\"$x:b\",{},1]]"), 1, 12, M_BAD_JSON },
		{ STR_INIT("prev_events"), STR_INIT("[[\"$x:b\",\"h\"]]"), 1, 12, M_BAD_JSON },
		{ STR_INIT("prev_events"), STR_INIT("[[1,{}]]"), 1, 12, M_BAD_JSON },
		{ STR_INIT("prev_events"), STR_INIT("[[]]"), 1, 12, M_BAD_JSON },
		{ STR_INIT("auth_events"), STR_INIT(""), 1, 12, M_BAD_JSON },
		{ STR_INIT("auth_events"), STR_INIT("[\"x\"]"), 1, 12, M_BAD_JSON },
		{ STR_INIT("redacts"), STR_INIT("7"), 1, 0, 0 },
		{ STR_INIT("unsigned"), STR_INIT("[1.5,1e400]"), 1, 0, 0 },
		{ STR_INIT("other"), STR_INIT("{\"a\":[]}"), 1, 0, 0 },
		{ STR_INIT("other"), STR_INIT("18446744073709551616"), 6, 12, M_BAD_JSON },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int v = 1; v <= 12; v++) {
			struct str json = edited(example(v, arena), cases[i].name, cases[i].value, arena);
			bool refused = v >= cases[i].from && v <= cases[i].to;
			struct pdu pdu;
			struct err err = { 0 };

			if (pdu_read(version_of(v), json, arena, &pdu, &err) == refused ||
			    (refused && err.code != cases[i].code))
				fail_msg("version %d, %.*s: %.*s: %s", v, STR_ARG(cases[i].name),
					 STR_ARG(cases[i].value), err.message);
		}
	}
}

static struct str id_list(int version, size_t count, struct arena *arena)
{
	CLEANUP(buf_done) struct buf buf = buf_init(SIZE_MAX);

	for (size_t i = 0; i < count; i++)
		buf_printf(&buf, version < 3 ? "%s[\"$%zu:b\",{}]" : "%s\"$%zu\"", i ? "," : "[", i);
	buf_char(&buf, ']');
	return str_dup(arena, buf_str(&buf));
}

static void bounds_lists_and_sizes(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct pdu pdu;
	struct err err;

	for (int v = 1; v <= 12; v++) {
		struct str json = example(v, arena), text;
		size_t room;

		assert_true(pdu_read(version_of(v), edited(json, STR("prev_events"), id_list(v, 20, arena), arena),
				     arena, &pdu, &err));
		assert_int_equal(pdu.prev_count, 20);
		assert_false(pdu_read(version_of(v), edited(json, STR("prev_events"), id_list(v, 21, arena), arena),
				      arena, &pdu, &err));
		assert_int_equal(err.code, M_BAD_JSON);
		assert_true(pdu_read(version_of(v), edited(json, STR("auth_events"), id_list(v, 10, arena), arena),
				     arena, &pdu, &err));
		assert_int_equal(pdu.auth_count, 10);
		assert_false(pdu_read(version_of(v), edited(json, STR("auth_events"), id_list(v, 11, arena), arena),
				      arena, &pdu, &err));

		/* `unsigned` does not count, the rest does: at most 65,536 bytes. */
		assert_true(pdu_read(version_of(v), json, arena, &pdu, &err));
		room = EVENT_MAX_SIZE - pdu.json.len + strlen("{\"key\":\"value\"}") - strlen("{\"key\":\"\"}");
		for (size_t more = 0; more < 2; more++) {
			char *fill = arena_alloc(arena, room + more + 1);

			memset(fill, 'x', room + more);
			text = edited(json, STR("content"), str_printf(arena, "{\"key\":\"%s\"}", fill), arena);
			assert_int_equal(pdu_read(version_of(v), text, arena, &pdu, &err), more == 0);
			assert_int_equal(more ? err.code : M_TOO_LARGE, M_TOO_LARGE);
			assert_int_equal(pdu.json.len, more ? pdu.json.len : EVENT_MAX_SIZE);
		}
	}
}

static void refuses_what_is_no_object(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct pdu pdu;
	struct err err;
	char *large = arena_alloc(arena, EVENT_MAX_TEXT + 2);

	assert_false(pdu_read(version_of(12), STR("[]"), arena, &pdu, &err));
	assert_int_equal(err.code, M_BAD_JSON);
	assert_false(pdu_read(version_of(12), STR("{}"), arena, &pdu, &err));
	assert_int_equal(err.code, M_BAD_JSON);
	assert_false(pdu_read(version_of(12), STR("{\"a\":1,\"a\":2}"), arena, &pdu, &err));
	assert_int_equal(err.code, M_NOT_JSON);
	memset(large, ' ', EVENT_MAX_TEXT + 1);
	assert_false(pdu_read(version_of(12), str_of(large), arena, &pdu, &err));
	assert_int_equal(err.code, M_TOO_LARGE);
}

static void keeps_the_numbers_of_old_rooms(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str content = STR("{\"a\":[1.50,-0,1E+2,1180591620717411303424]}");
	struct pdu pdu;
	struct err err;

	assert_true(
		pdu_read(version_of(5), edited(example(5, arena), STR("content"), content, arena), arena, &pdu, &err));
	assert_true(str_eq(pdu.content, STR("{\"a\":[1.50,0,1E+2,1180591620717411303424]}")));
	assert_true(pdu_read(version_of(5), edited(example(5, arena), STR("depth"), STR("9223372036854775807"), arena),
			     arena, &pdu, &err));
	assert_int_equal(pdu.depth, INT64_MAX);
}

static void finds_what_is_redacted(void **state UNUSED)
{
	static const struct {
		int version;
		struct str top, content, redacts;
	} cases[] = {
		{ 1, STR_INIT("\"$a:b\""), STR_INIT("{\"redacts\":\"$x:b\"}"), STR_INIT("$a:b") },
		{ 10, STR_INIT("\"$a\""), STR_INIT("{\"redacts\":\"$x\"}"), STR_INIT("$a") },
		{ 10, STR_INIT("\"\\u0024a\""), STR_INIT("{}"), STR_INIT("$a") },
		{ 10, STR_INIT(""), STR_INIT("{\"redacts\":\"$x\"}"), STR_INIT("") },
		{ 10, STR_INIT("1"), STR_INIT("{}"), STR_INIT("") },
		{ 10, STR_INIT("\"a\""), STR_INIT("{}"), STR_INIT("") },
		{ 11, STR_INIT("\"$a\""), STR_INIT("{\"redacts\":\"$x\"}"), STR_INIT("$x") },
		{ 12, STR_INIT("\"$a\""), STR_INIT("{}"), STR_INIT("") },
		{ 12, STR_INIT(""), STR_INIT("{\"redacts\":[]}"), STR_INIT("") },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str json = example(cases[i].version, arena);
		struct pdu pdu;
		struct err err;

		json = edited(json, STR("type"), STR("\"m.room.redaction\""), arena);
		json = edited(json, STR("redacts"), cases[i].top, arena);
		json = edited(json, STR("content"), cases[i].content, arena);
		assert_true(pdu_read(version_of(cases[i].version), json, arena, &pdu, &err));
		assert_true(str_eq(pdu.redacts, cases[i].redacts));
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

static void knows_the_room_versions(void **state UNUSED)
{
	assert_int_equal(room_version_count(), 12);
	assert_int_equal(room_version_default()->number, 12);
	for (size_t i = 0; i < room_version_count(); i++) {
		const struct room_version *version = room_version_at(i);

		assert_int_equal(version->number, i + 1);
		assert_ptr_equal(room_version_find(version->name), version);
	}
	assert_null(room_version_find(STR("13")));
	assert_null(room_version_find(STR("01")));
	assert_null(room_version_find(STR("")));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_the_room_versions),
		cmocka_unit_test(hashes_and_signs_as_the_specification_has_it),
		cmocka_unit_test(reads_the_examples_of_the_specification),
		cmocka_unit_test(refuses_what_breaks_the_format),
		cmocka_unit_test(bounds_lists_and_sizes),
		cmocka_unit_test(refuses_what_is_no_object),
		cmocka_unit_test(keeps_the_numbers_of_old_rooms),
		cmocka_unit_test(finds_what_is_redacted),
		cmocka_unit_test(agrees_with_another_implementation),
		cmocka_unit_test(builds_events),
		cmocka_unit_test(names_a_room_after_its_create_event),
		cmocka_unit_test(names_hashes_in_the_first_versions),
		cmocka_unit_test(builds_nothing_that_breaks_the_format),
	};

	vectors_path = argc > 1 ? argv[1] : "event_vectors.json";
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
