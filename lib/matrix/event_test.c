#include "matrix/event_testing.h"

#include "matrix/canonical.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_the_room_versions),
		cmocka_unit_test(reads_the_examples_of_the_specification),
		cmocka_unit_test(refuses_what_breaks_the_format),
		cmocka_unit_test(bounds_lists_and_sizes),
		cmocka_unit_test(refuses_what_is_no_object),
		cmocka_unit_test(keeps_the_numbers_of_old_rooms),
		cmocka_unit_test(finds_what_is_redacted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
