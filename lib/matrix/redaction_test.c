#include "matrix/redaction.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "matrix/event.h"

/*
 * What stays of a content, by room version: rooms/vN.md "Redactions". A row holds from its version up to the next row
 * of the same type and content; each is tried in all versions it holds for.
 */
static const struct {
	int from, to;
	struct str type, content, kept;
} contents[] = {
	{ 1, 12, STR_INIT("m.room.message"), STR_INIT("{\"body\":\"x\",\"membership\":\"join\"}"), STR_INIT("{}") },
	{ 1, 12, STR_INIT("m.room.name"), STR_INIT("{\"name\":\"x\"}"), STR_INIT("{}") },
	{ 1, 12, STR_INIT("M.room.member"), STR_INIT("{\"membership\":\"join\"}"), STR_INIT("{}") },

#define MEMBER                                                                                                         \
	STR_INIT("m.room.member"), STR_INIT("{\"third_party_invite\":{\"signed\":{\"token\":\"t\",\"mxid\":\"@a:b\"}," \
					    "\"display_name\":\"d\"},"                                                 \
					    "\"membership\":\"join\",\"join_authorised_via_users_server\":\"@b:b\","   \
					    "\"displayname\":\"A\"}")
	{ 1, 8, MEMBER, STR_INIT("{\"membership\":\"join\"}") },
	{ 9, 10, MEMBER, STR_INIT("{\"join_authorised_via_users_server\":\"@b:b\",\"membership\":\"join\"}") },
	{ 11, 12, MEMBER,
	  STR_INIT("{\"join_authorised_via_users_server\":\"@b:b\",\"membership\":\"join\","
		   "\"third_party_invite\":{\"signed\":{\"mxid\":\"@a:b\",\"token\":\"t\"}}}") },
	{ 11, 12, STR_INIT("m.room.member"), STR_INIT("{\"third_party_invite\":{\"display_name\":\"d\"}}"),
	  STR_INIT("{\"third_party_invite\":{}}") },
	{ 11, 12, STR_INIT("m.room.member"), STR_INIT("{\"third_party_invite\":\"x\",\"membership\":{\"x\":1}}"),
	  STR_INIT("{\"membership\":{\"x\":1}}") },

#define CREATE                                                                                                         \
	STR_INIT("m.room.create"),                                                                                     \
		STR_INIT("{\"room_version\":\"9\",\"m.federate\":false,\"creator\":\"@a:b\",\"x\":[]}")
	{ 1, 10, CREATE, STR_INIT("{\"creator\":\"@a:b\"}") },
	{ 11, 12, CREATE, STR_INIT("{\"creator\":\"@a:b\",\"m.federate\":false,\"room_version\":\"9\",\"x\":[]}") },

#define JOIN_RULES STR_INIT("m.room.join_rules"), STR_INIT("{\"x\":1,\"join_rule\":\"restricted\",\"allow\":[{}]}")
	{ 1, 7, JOIN_RULES, STR_INIT("{\"join_rule\":\"restricted\"}") },
	{ 8, 12, JOIN_RULES, STR_INIT("{\"allow\":[{}],\"join_rule\":\"restricted\"}") },

#define POWER_LEVELS                                                                                                   \
	STR_INIT("m.room.power_levels"),                                                                               \
		STR_INIT("{\"ban\":1,\"events\":{\"a\":2},\"events_default\":3,\"invite\":4,\"kick\":5,"               \
			 "\"notifications\":"                                                                          \
			 "{\"room\":6},\"redact\":7,\"state_default\":8,\"users\":{\"@a:b\":9},\"users_default\":10}")
	{ 1, 10, POWER_LEVELS,
	  STR_INIT("{\"ban\":1,\"events\":{\"a\":2},\"events_default\":3,\"kick\":5,\"redact\":7,\"state_default\":8,"
		   "\"users\":{\"@a:b\":9},\"users_default\":10}") },
	{ 11, 12, POWER_LEVELS,
	  STR_INIT("{\"ban\":1,\"events\":{\"a\":2},\"events_default\":3,\"invite\":4,\"kick\":5,\"redact\":7,"
		   "\"state_default\":8,\"users\":{\"@a:b\":9},\"users_default\":10}") },

#define ALIASES STR_INIT("m.room.aliases"), STR_INIT("{\"aliases\":[\"#a:b\"],\"x\":1}")
	{ 1, 5, ALIASES, STR_INIT("{\"aliases\":[\"#a:b\"]}") },
	{ 6, 12, ALIASES, STR_INIT("{}") },

	{ 1, 12, STR_INIT("m.room.history_visibility"), STR_INIT("{\"history_visibility\":\"shared\",\"x\":1}"),
	  STR_INIT("{\"history_visibility\":\"shared\"}") },

#define REDACTION STR_INIT("m.room.redaction"), STR_INIT("{\"redacts\":\"$a\",\"reason\":\"x\"}")
	{ 1, 10, REDACTION, STR_INIT("{}") },
	{ 11, 12, REDACTION, STR_INIT("{\"redacts\":\"$a\"}") },
};

static void keeps_what_the_type_needs(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
		for (size_t v = 0; v < room_version_count(); v++) {
			const struct room_version *version = room_version_at(v);
			struct str kept;

			if (version->number < contents[i].from || version->number > contents[i].to)
				continue;
			kept = event_redact_content(version, contents[i].type, contents[i].content, arena);
			if (!str_eq(kept, contents[i].kept))
				fail_msg("version %d: %.*s", version->number, STR_ARG(kept));
		}
	}
}

static void keeps_what_every_event_needs(void **state UNUSED)
{
	static const struct str event = STR_INIT(
		"{\"type\":\"m.room.history_visibility\",\"event_id\":\"$e\",\"room_id\":\"!r\",\"sender\":\"@a:b\","
		"\"state_key\":\"\",\"content\":{\"x\":1,\"history_visibility\":\"joined\"},\"hashes\":{\"sha256\":"
		"\"h\"},"
		"\"signatures\":{\"b\":{}},\"depth\":1,\"prev_events\":[],\"prev_state\":[],\"auth_events\":[],"
		"\"origin\":\"b\","
		"\"origin_server_ts\":2,\"membership\":\"join\",\"unsigned\":{\"age\":1},\"redacts\":\"$x\",\"other\":{"
		"}}");
	static const struct str old = STR_INIT(
		"{\"auth_events\":[],\"content\":{\"history_visibility\":\"joined\"},\"depth\":1,\"event_id\":\"$e\","
		"\"hashes\":"
		"{\"sha256\":\"h\"},\"membership\":\"join\",\"origin\":\"b\",\"origin_server_ts\":2,\"prev_events\":[],"
		"\"prev_state\":[],\"room_id\":\"!r\",\"sender\":\"@a:b\",\"signatures\":{\"b\":{}},\"state_key\":\"\","
		"\"type\":\"m.room.history_visibility\"}");
	static const struct str from_11 = STR_INIT(
		"{\"auth_events\":[],\"content\":{\"history_visibility\":\"joined\"},\"depth\":1,\"event_id\":\"$e\","
		"\"hashes\":"
		"{\"sha256\":\"h\"},\"origin_server_ts\":2,\"prev_events\":[],\"room_id\":\"!r\",\"sender\":\"@a:b\","
		"\"signatures\":{\"b\":{}},\"state_key\":\"\",\"type\":\"m.room.history_visibility\"}");
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (size_t v = 0; v < room_version_count(); v++) {
		const struct room_version *version = room_version_at(v);
		struct str kept = event_redact(version, event, arena), again = event_redact(version, kept, arena);

		if (!str_eq(kept, version->number < 11 ? old : from_11))
			fail_msg("version %d: %.*s", version->number, STR_ARG(kept));
		assert_true(str_eq(kept, again));
	}
}

static void bears_with_partial_events(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const struct room_version *version = room_version_default();

	assert_true(str_eq(event_redact(version, STR("{}"), arena), STR("{}")));
	assert_true(str_eq(event_redact(version, STR("{\"content\":[1]}"), arena), STR("{\"content\":{}}")));
	assert_true(str_eq(event_redact(version, STR("{\"type\":7,\"content\":{\"a\":1}}"), arena),
			   STR("{\"content\":{},\"type\":7}")));
	assert_true(str_eq(redact_canonical(version, STR("{\"signatures\":{},\"type\":\"X\"}"), true, arena),
			   STR("{\"type\":\"X\"}")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_what_the_type_needs),
		cmocka_unit_test(keeps_what_every_event_needs),
		cmocka_unit_test(bears_with_partial_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
