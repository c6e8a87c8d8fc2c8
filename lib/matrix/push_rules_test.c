#include "matrix/push_rules.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "matrix/canonical.h"

#define USER             "@ana:x"
#define ROOM             "!room:x"
#define CONTENT(content) "{\"type\":\"m.room.message\",\"sender\":\"@bob:x\",\"content\":" content "}"
#define BODY(body)       CONTENT("{\"msgtype\":\"m.text\",\"body\":\"" body "\"}")
#define TYPE(type)       "{\"type\":\"" type "\",\"sender\":\"@bob:x\",\"content\":{}}"

#define EMPTY "{\"override\":[],\"content\":[],\"room\":[],\"sender\":[],\"underride\":[]}"

static const char *predefined_path;

static struct str canonical(struct str json, struct arena *arena)
{
	struct str text;
	struct err err = { 0 };

	if (!canonical_json(json, arena, &text, &err))
		fail_msg("%.*s: %s", STR_ARG(json), err.message);
	return text;
}

static void check_json(struct str json, const char *expected)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str got = canonical(json, arena), wanted = canonical(str_of(expected), arena);

	if (!str_eq(got, wanted))
		fail_msg("%.*s\nis not\n%.*s", STR_ARG(got), STR_ARG(wanted));
}

/* Power levels of a room in which @bob:x may notify the room and nobody else. */
static const struct pdu *levels_get(void *context, struct str type, struct str state_key UNUSED)
{
	return str_eq(type, STR("m.room.power_levels")) ? context : NULL;
}

static struct power_levels *make_levels(struct arena *arena)
{
	struct pdu *pdu = ARENA_NEW(arena, struct pdu);
	const struct auth_state state = { levels_get, pdu };

	pdu->version = room_version_default();
	pdu->content = STR("{\"users\":{\"@bob:x\":60},\"notifications\":{\"room\":60,\"other\":61}}");
	return power_levels_read(pdu->version, &state, arena);
}

static struct push_event make_event(const char *json, size_t member_count, struct arena *arena)
{
	struct str event, sender = STR("");
	struct err err;

	assert_true(slice_parse(str_of(json), &event, &err));
	slice_get_string(event, STR("sender"), arena, &sender);
	return push_event(event, STR(ROOM), sender, member_count, make_levels(arena), arena);
}

static const struct push_rule *evaluate(const struct push_ruleset *set, const char *json, size_t member_count,
					struct arena *arena)
{
	struct push_event event = make_event(json, member_count, arena);

	return push_evaluate(set, &event, STR("Ana B."));
}

/* The specification's definitions, in its order, from the file that the test is given. */
static void has_the_predefined_rules(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const struct push_ruleset *set = push_ruleset_read(STR(USER), STR(""), arena);
	char *text = arena_alloc(arena, 65536);
	FILE *file = fopen(predefined_path, "r");

	assert_non_null(file);
	assert_in_range(fread(text, 1, 65535, file), 1, 65534);
	fclose(file);
	check_json(push_ruleset_json(set, arena), text);
	check_json(push_ruleset_stored(set, arena), EMPTY);
}

static void evaluates_the_predefined_rules(void **state UNUSED)
{
	static const struct {
		const char *event;
		size_t members;
		const char *rule; /* NULL: none */
		bool notify, highlight;
		const char *sound;
	} cases[] = {
		/* clang-format off */
		{ BODY("hi"), 2, ".m.rule.room_one_to_one", true, false, "default" },
		{ BODY("hi"), 3, ".m.rule.message", true, false, "" },
		{ BODY("hi"), 1, ".m.rule.message", true, false, "" },
		{ TYPE("m.room.encrypted"), 2, ".m.rule.encrypted_room_one_to_one", true, false, "default" },
		{ TYPE("m.room.encrypted"), 9, ".m.rule.encrypted", true, false, "" },
		{ CONTENT("{\"msgtype\":\"m.notice\",\"m.mentions\":{\"user_ids\":[\"@ana:x\"]}}"), 2,
		  ".m.rule.suppress_notices", false, false, "" },
		{ "{\"type\":\"m.room.message\",\"sender\":\"@ana:x\",\"content\":{\"m.mentions\":{\"user_ids\":["
		  "\"@ana:x\"]}}}", 2, NULL, false, false, "" },
		{ "{\"type\":\"m.room.member\",\"sender\":\"@bob:x\",\"state_key\":\"@ana:x\",\"content\":"
		  "{\"membership\":\"invite\"}}", 2, ".m.rule.invite_for_me", true, false, "default" },
		{ "{\"type\":\"m.room.member\",\"sender\":\"@bob:x\",\"state_key\":\"@eve:x\",\"content\":"
		  "{\"membership\":\"invite\"}}", 2, ".m.rule.member_event", false, false, "" },
		{ CONTENT("{\"m.mentions\":{\"user_ids\":[\"@eve:x\",\"@ana:x\"]}}"), 3, ".m.rule.is_user_mention",
		  true, true, "default" },
		{ CONTENT("{\"m.mentions\":{\"user_ids\":[\"@eve:x\"]}}"), 3, ".m.rule.message", true, false, "" },
		{ CONTENT("{\"m.mentions\":{\"room\":true}}"), 3, ".m.rule.is_room_mention", true, true, "" },
		{ CONTENT("{\"m.mentions\":{\"room\":\"true\"}}"), 3, ".m.rule.message", true, false, "" },
		{ "{\"type\":\"m.room.message\",\"sender\":\"@eve:x\",\"content\":{\"m.mentions\":{\"room\":true}}}", 3,
		  ".m.rule.message", true, false, "" },
		{ "{\"type\":\"m.room.tombstone\",\"state_key\":\"\",\"sender\":\"@bob:x\",\"content\":{}}", 3,
		  ".m.rule.tombstone", true, true, "" },
		{ "{\"type\":\"m.room.tombstone\",\"state_key\":\"x\",\"sender\":\"@bob:x\",\"content\":{}}", 3, NULL,
		  false, false, "" },
		{ TYPE("m.room.tombstone"), 3, NULL, false, false, "" },
		{ TYPE("m.reaction"), 2, ".m.rule.reaction", false, false, "" },
		{ "{\"type\":\"m.room.server_acl\",\"state_key\":\"\",\"sender\":\"@bob:x\",\"content\":{}}", 3,
		  ".m.rule.room.server_acl", false, false, "" },
		{ CONTENT("{\"m.relates_to\":{\"rel_type\":\"m.replace\"}}"), 2, ".m.rule.suppress_edits", false, false,
		  "" },
		{ CONTENT("{\"m.relates_to\":{\"rel_type\":\"m.replace\"},\"m.mentions\":{\"user_ids\":[\"@ana:x\"]}}"),
		  2, ".m.rule.is_user_mention", true, true, "default" },
		{ TYPE("m.call.invite"), 2, ".m.rule.call", true, false, "ring" },
		{ TYPE("m.room.topic"), 2, NULL, false, false, "" },
		/* clang-format on */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(arena_free) struct arena *arena = arena_new();
		const struct push_ruleset *set = push_ruleset_read(STR(USER), STR(""), arena);
		const struct push_rule *rule = evaluate(set, cases[i].event, cases[i].members, arena);

		if (!rule != !cases[i].rule || (rule && !str_eq(rule->rule_id, str_of(cases[i].rule))))
			fail_msg("%s: %.*s", cases[i].event, STR_ARG(rule ? rule->rule_id : STR("no rule")));
		if (!rule)
			continue;
		assert_int_equal(rule->effect.notify, cases[i].notify);
		assert_int_equal(rule->effect.highlight, cases[i].highlight);
		assert_true(str_eq(rule->effect.sound, str_of(cases[i].sound)));
	}
}

/* Whether an override rule with that one condition matches. */
static bool condition_matches(const char *condition, const char *event, size_t members)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str stored = str_printf(
		arena, "{\"override\":[{\"rule_id\":\"mine\",\"actions\":[],\"conditions\":[%s]}]}", condition);
	const struct push_rule *rule = evaluate(push_ruleset_read(STR(USER), stored, arena), event, members, arena);

	return rule && str_eq(rule->rule_id, STR("mine"));
}

struct condition_case {
	const char *condition, *event;
	bool matches;
};

static void check_conditions(const struct condition_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (condition_matches(cases[i].condition, cases[i].event, 5) != cases[i].matches)
			fail_msg("%s, %s", cases[i].condition, cases[i].event);
	}
}

#define MATCH(key, pattern) "{\"kind\":\"event_match\",\"key\":\"" key "\",\"pattern\":\"" pattern "\"}"
#define TOPIC(value)                                                                                                   \
	"{\"type\":\"m.room.topic\",\"state_key\":\"\",\"sender\":\"@bob:x\",\"content\":{\"topic\":" value "}}"

static void matches_properties(void **state UNUSED)
{
	static const struct condition_case cases[] = {
		/* clang-format off */
		{ MATCH("content.topic", "lunc?*"), TOPIC("\"Lunch plans\""), true },
		{ MATCH("content.topic", "lunc?*"), TOPIC("\"LUNCH\""), true },
		{ MATCH("content.topic", "lunc?*"), TOPIC("\" lunch\""), false },
		{ MATCH("content.topic", "lunc?*"), TOPIC("\"lunc\""), false },
		{ MATCH("content.topic", "*"), TOPIC("null"), false },
		{ MATCH("content.topic", "*"), TOPIC("5"), false },
		{ MATCH("content.topic", "*"), TOPIC("\"\""), true },
		{ MATCH("content.topic", ""), TOPIC("\"\""), true },
		{ MATCH("content.topic", ""), TOPIC("\"a\""), false },
		{ MATCH("content.none", "*"), TOPIC("\"a\""), false },
		{ MATCH("content.topic", "a*b*c"), TOPIC("\"abcabc\""), true },
		{ MATCH("content.topic", "a*b*c"), TOPIC("\"acb\""), false },
		{ MATCH("content.topic", "*a"), TOPIC("\"aaba\""), true },
		{ MATCH("content.topic", "*a?"), TOPIC("\"aaba\""), false },
		{ MATCH("content.topic", "?"), TOPIC("\"日\""), true },
		{ MATCH("content.topic", "??"), TOPIC("\"日\""), false },
		{ MATCH("content.topic", "*?"), TOPIC("\"日本\""), true },
		{ MATCH("content.topic", "ПРИВЕТ*"), TOPIC("\"привет, мир\""), true },
		{ MATCH("content.topic", "straße ärger"), TOPIC("\"STRAßE ÄRGER\""), true },
		{ MATCH("content.topic", "a\\nb"), TOPIC("\"a\\nb\""), true },
		{ MATCH("content.topic", "a*b"), TOPIC("\"a\\n\\nb\""), true },
		{ MATCH("room_id", "!room:x"), TYPE("t"), true },
		{ MATCH("room_id", "!other:x"), TYPE("t"), false },
		{ MATCH("sender", "@b*"), TYPE("t"), true },
		{ MATCH("type", "m.room.*"), TYPE("m.room.name"), true },
		{ MATCH("type", "M.ROOM.NAME"), TYPE("m.room.name"), true },
		{ MATCH("content.a\\\\.b.c", "x"), CONTENT("{\"a.b\":{\"c\":\"x\"}}"), true },
		{ MATCH("content.a.b.c", "x"), CONTENT("{\"a.b\":{\"c\":\"x\"}}"), false },
		{ MATCH("content.a\\\\\\\\b", "x"), CONTENT("{\"a\\\\b\":\"x\"}"), true },
		{ MATCH("content.a\\\\x", "x"), CONTENT("{\"a\\\\x\":\"x\"}"), true },
		{ MATCH("content..x", "x"), CONTENT("{\"\":{\"x\":\"x\"}}"), true },
		{ MATCH("content", "*"), CONTENT("{}"), false },
		{ "{\"kind\":\"event_match\",\"key\":\"type\"}", TYPE("t"), false },
		{ "{\"kind\":\"event_match\",\"pattern\":\"t\"}", TYPE("t"), false },
		{ "{\"kind\":\"org.example.other\"}", TYPE("t"), false },
		{ "{}", TYPE("t"), false },
		{ "7", TYPE("t"), false },
		/* clang-format on */
	};

	check_conditions(cases, ARRAY_LEN(cases));
}

static void matches_words_of_the_body(void **state UNUSED)
{
	static const struct condition_case cases[] = {
		/* clang-format off */
		{ MATCH("content.body", "ex*ple"), BODY("An example event."), true },
		{ MATCH("content.body", "ex*ple"), BODY("exple"), true },
		{ MATCH("content.body", "ex*ple"), BODY("An exciting triple-whammy"), true },
		{ MATCH("content.body", "ex*ple"), BODY("examples"), false },
		{ MATCH("content.body", "ex*ple"), BODY("an inexample"), false },
		{ MATCH("content.body", "ex*ple"), BODY("examples and a triple"), true },
		{ MATCH("content.body", "cake"), BODY("Cake!"), true },
		{ MATCH("content.body", "cake"), BODY("(CAKE)"), true },
		{ MATCH("content.body", "cake"), BODY("cake_"), false },
		{ MATCH("content.body", "cake"), BODY("cakes, cake2, cake"), true },
		{ MATCH("content.body", "cake"), BODY("cakes"), false },
		{ MATCH("content.body", "cake"), BODY("kcake"), false },
		{ MATCH("content.body", "cake"), BODY("日cake本"), true },
		{ MATCH("content.body", "日"), BODY("今日は"), true },
		{ MATCH("content.body", "@room"), BODY("hey @room"), true },
		{ MATCH("content.body", "@room"), BODY("hey@room"), true },
		{ MATCH("content.body", "@room"), BODY("@rooms"), false },
		{ MATCH("content.body", "c?ke"), BODY("a coke"), true },
		{ MATCH("content.body", "c?ke"), BODY("a ckke2"), false },
		{ MATCH("content.body", "?"), BODY("ab"), false },
		{ MATCH("content.body", "?"), BODY("a b"), true },
		{ MATCH("content.body", "*"), BODY(""), true },
		{ MATCH("content.body", "*cake"), BODY("cheesecake please"), true },
		{ MATCH("content.body", "cake*"), BODY("cakes"), true },
		{ MATCH("content.body", "cake*lie"), BODY("the cake is a lie."), true },
		{ MATCH("content.body", "cake*lie"), BODY("the cake is a lied lie"), true },
		{ MATCH("content.body", "cake*lie"), BODY("the cake is a lied"), false },
		{ MATCH("content.body", "cake"), CONTENT("{\"body\":5}"), false },
		{ MATCH("content.body", "*"), CONTENT("{}"), false },
		{ "{\"kind\":\"contains_display_name\"}", BODY("Hello ana b., how are you?"), true },
		{ "{\"kind\":\"contains_display_name\"}", BODY("Hello ana bx"), false },
		{ "{\"kind\":\"contains_display_name\"}", BODY("Hellana b."), false },
		{ "{\"kind\":\"contains_display_name\"}", CONTENT("{}"), false },
		/* clang-format on */
	};

	check_conditions(cases, ARRAY_LEN(cases));
}

#define IS(key, value)       "{\"kind\":\"event_property_is\",\"key\":\"" key "\",\"value\":" value "}"
#define CONTAINS(key, value) "{\"kind\":\"event_property_contains\",\"key\":\"" key "\",\"value\":" value "}"

static void compares_properties(void **state UNUSED)
{
	static const struct condition_case cases[] = {
		/* clang-format off */
		{ IS("content.m\\\\.federate", "true"), CONTENT("{\"m.federate\":true}"), true },
		{ IS("content.m\\\\.federate", "true"), CONTENT("{\"m.federate\":\"true\"}"), false },
		{ IS("content.m\\\\.federate", "true"), CONTENT("{\"m.federate\":1}"), false },
		{ IS("content.m\\\\.federate", "true"), CONTENT("{\"m.federate\":false}"), false },
		{ IS("content.v", "null"), CONTENT("{\"v\":null}"), true },
		{ IS("content.v", "null"), CONTENT("{}"), false },
		{ IS("content.v", "5"), CONTENT("{\"v\":5}"), true },
		{ IS("content.v", "5"), CONTENT("{\"v\":5.0}"), false },
		{ IS("content.v", "\"Aé\""), CONTENT("{\"v\":\"A\\u00e9\"}"), true },
		{ IS("content.v", "\"a\""), CONTENT("{\"v\":\"A\"}"), false },
		{ IS("content.v", "[]"), CONTENT("{\"v\":[]}"), false },
		{ IS("content.v", "1.5"), CONTENT("{\"v\":1.5}"), false },
		{ IS("room_id", "\"!room:x\""), CONTENT("{}"), true },
		{ "{\"kind\":\"event_property_is\",\"key\":\"content.v\"}", CONTENT("{\"v\":null}"), false },
		{ CONTAINS("content.alt_aliases", "\"#myroom:example.com\""),
		  CONTENT("{\"alt_aliases\":[\"#somewhere:example.org\",\"#myroom:example.com\"]}"), true },
		{ CONTAINS("content.alt_aliases", "\"#myroom:example.com\""),
		  CONTENT("{\"alt_aliases\":[\":example.com\"]}"), false },
		{ CONTAINS("content.v", "true"), CONTENT("{\"v\":[[],{},1,true]}"), true },
		{ CONTAINS("content.v", "null"), CONTENT("{\"v\":[null]}"), true },
		{ CONTAINS("content.v", "1"), CONTENT("{\"v\":[\"1\"]}"), false },
		{ CONTAINS("content.v", "\"1\""), CONTENT("{\"v\":\"1\"}"), false },
		{ CONTAINS("content.v", "[]"), CONTENT("{\"v\":[[]]}"), false },
		{ "{\"kind\":\"sender_notification_permission\",\"key\":\"room\"}", BODY(""), true },
		{ "{\"kind\":\"sender_notification_permission\",\"key\":\"other\"}", BODY(""), false },
		{ "{\"kind\":\"sender_notification_permission\",\"key\":\"unknown\"}", BODY(""), true },
		{ "{\"kind\":\"sender_notification_permission\"}", BODY(""), false },
		/* clang-format on */
	};

	check_conditions(cases, ARRAY_LEN(cases));
}

static void counts_members(void **state UNUSED)
{
	static const struct {
		const char *is;
		bool two, three; /* with that many members */
	} cases[] = {
		/* clang-format off */
		{ "2", true, false },
		{ "==2", true, false },
		{ "<3", true, false },
		{ "<=2", true, false },
		{ ">2", false, true },
		{ ">=2", true, true },
		{ ">=3", false, true },
		{ "=2", false, false },
		{ "", false, false },
		{ "==", false, false },
		{ "two", false, false },
		{ "-2", false, false },
		{ "2 ", false, false },
		{ "==-2", false, false },
		{ "99999999999999999999", false, false },
		/* clang-format on */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(arena_free) struct arena *arena = arena_new();
		struct str condition = str_printf(arena, "{\"kind\":\"room_member_count\",\"is\":\"%s\"}", cases[i].is);

		assert_int_equal(condition_matches(condition.ptr, TYPE("t"), 2), cases[i].two);
		assert_int_equal(condition_matches(condition.ptr, TYPE("t"), 3), cases[i].three);
	}
	assert_false(condition_matches("{\"kind\":\"room_member_count\",\"is\":2}", TYPE("t"), 2));
}

/* Kinds in the order in which they are checked; each row takes the rule away that decided before. */
static void checks_kinds_in_order(void **state UNUSED)
{
	static const struct {
		enum push_kind kind;
		struct str rule_id, body;
	} rules[] = {
		/* clang-format off */
		{ PUSH_OVERRIDE, STR_INIT("o"), STR_INIT("{\"actions\":[],\"conditions\":[]}") },
		{ PUSH_CONTENT, STR_INIT("c"), STR_INIT("{\"actions\":[],\"pattern\":\"tea\"}") },
		{ PUSH_ROOM, STR_INIT("!room:x"), STR_INIT("{\"actions\":[]}") },
		{ PUSH_SENDER, STR_INIT("@bob:x"), STR_INIT("{\"actions\":[]}") },
		{ PUSH_UNDERRIDE, STR_INIT("u"), STR_INIT("{\"actions\":[],\"conditions\":[]}") },
		/* clang-format on */
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct push_ruleset *set = push_ruleset_read(STR(USER), STR(""), arena);
	const struct push_rule *rule;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		assert_true(push_rule_put(set, rules[i].kind, rules[i].rule_id, rules[i].body, STR(""), STR(""), &err));
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		rule = evaluate(set, BODY("Time for tea"), 3, arena);
		assert_true(str_eq(rule->rule_id, rules[i].rule_id));
		assert_true(
			push_rule_put_enabled(set, rules[i].kind, rules[i].rule_id, STR("{\"enabled\":false}"), &err));
	}
	rule = evaluate(set, BODY("Time for tea"), 3, arena);
	assert_true(str_eq(rule->rule_id, STR(".m.rule.message")));
	assert_true(push_rule_put_enabled(set, PUSH_OVERRIDE, STR(".m.rule.master"), STR("{\"enabled\":true}"), &err));
	assert_true(push_rule_put_enabled(set, PUSH_OVERRIDE, STR("o"), STR("{\"enabled\":true}"), &err));
	rule = evaluate(set, BODY("Time for tea"), 3, arena);
	assert_true(str_eq(rule->rule_id, STR(".m.rule.master")) && !rule->effect.notify);
}

static void reads_actions(void **state UNUSED)
{
	static const struct {
		const char *actions, *kept;
		bool notify, highlight;
		const char *sound;
	} cases[] = {
		/* clang-format off */
		{ "[]", "[]", false, false, "" },
		{ "[\"notify\"]", "[\"notify\"]", true, false, "" },
		{ "[\"dont_notify\"]", "[\"dont_notify\"]", false, false, "" },
		{ "[\"coalesce\",\"notify\"]", "[\"coalesce\",\"notify\"]", true, false, "" },
		{ "[\"notify\",{\"set_tweak\":\"highlight\"}]", "[\"notify\",{\"set_tweak\":\"highlight\"}]", true,
		  true, "" },
		{ "[\"notify\",{\"set_tweak\":\"highlight\",\"value\":true}]",
		  "[\"notify\",{\"set_tweak\":\"highlight\",\"value\":true}]", true, true, "" },
		{ "[\"notify\",{\"set_tweak\":\"highlight\",\"value\":false}]",
		  "[\"notify\",{\"set_tweak\":\"highlight\",\"value\":false}]", true, false, "" },
		{ "[{\"set_tweak\":\"sound\",\"value\":\"b\\u00e9ll\"},\"notify\"]",
		  "[{\"set_tweak\":\"sound\",\"value\":\"béll\"},\"notify\"]", true, false, "béll" },
		{ "[{\"set_tweak\":\"light\",\"value\":{\"a\":[1.5]}}]",
		  "[{\"set_tweak\":\"light\",\"value\":{\"a\":[1.5]}}]", false, false, "" },
		{ "[{\"set_tweak\":\"highlight\"}]", "[{\"set_tweak\":\"highlight\"}]", false, false, "" },
		/* clang-format on */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(arena_free) struct arena *arena = arena_new();
		struct push_ruleset *set = push_ruleset_read(STR(USER), STR(""), arena);
		struct str body = str_printf(arena, "{ \"actions\" : %s }", cases[i].actions);
		const struct push_rule *rule;
		struct err err = { 0 };

		if (!push_rule_put(set, PUSH_ROOM, STR(ROOM), body, STR(""), STR(""), &err))
			fail_msg("%s: %s", cases[i].actions, err.message);
		rule = push_rule_find(set, PUSH_ROOM, STR(ROOM));
		assert_true(str_eq(rule->actions, str_of(cases[i].kept)));
		assert_int_equal(rule->effect.notify, cases[i].notify);
		assert_int_equal(rule->effect.highlight, cases[i].highlight);
		assert_true(str_eq(rule->effect.sound, str_of(cases[i].sound)));
	}
}

/* The specification's examples of requests. */
static void takes_rules_from_clients(void **state UNUSED)
{
	static const struct {
		enum push_kind kind;
		struct str rule_id, body, before;
	} cases[] = {
		/* clang-format off */
		{ PUSH_ROOM, STR_INIT("!dj234r78wl45Gh4D:matrix.org"), STR_INIT("{ \"actions\" : [] }"), STR_INIT("") },
		{ PUSH_SENDER, STR_INIT("@spambot:matrix.org"), STR_INIT("{ \"actions\" : [] }"), STR_INIT("") },
		{ PUSH_CONTENT, STR_INIT("SSByZWFsbHkgbGlrZSBjYWtl"),
		  STR_INIT("{\"pattern\": \"cake\",\n\"actions\" : [\"notify\", {\"set_tweak\":\"sound\", "
			   "\"value\":\"cakealarm.wav\"}]}"),
		  STR_INIT("") },
		{ PUSH_CONTENT, STR_INIT("U3BvbmdlIGNha2UgaXMgYmVzdA"),
		  STR_INIT("{\"pattern\": \"cake*lie\", \"actions\" : [\"notify\"]}"),
		  STR_INIT("SSByZWFsbHkgbGlrZSBjYWtl") },
		{ PUSH_OVERRIDE, STR_INIT("U2VlIHlvdSBpbiBUaGUgRHVrZQ"),
		  STR_INIT("{\"conditions\": [{\"kind\": \"event_match\", \"key\": \"content.body\", "
			   "\"pattern\": \"beer\" }, {\"kind\": \"room_member_count\", \"is\": \"<=10\"}],"
			   "\"actions\" : [\"notify\", {\"set_tweak\":\"sound\", \"value\":\"beeroclock.wav\"}]}"),
		  STR_INIT("") },
		/* clang-format on */
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct push_ruleset *set = push_ruleset_read(STR(USER), STR(""), arena);
	struct err err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (!push_rule_put(set, cases[i].kind, cases[i].rule_id, cases[i].body, cases[i].before, STR(""), &err))
			fail_msg("%s", err.message);
	}
	check_json(
		push_ruleset_stored(set, arena),
		"{\"override\":[{\"actions\":[\"notify\",{\"set_tweak\":\"sound\",\"value\":\"beeroclock.wav\"}],"
		"\"conditions\":[{\"kind\":"
		"\"event_match\",\"key\":\"content.body\",\"pattern\":\"beer\"},{\"kind\":\"room_member_count\",\"is\":"
		"\"<=10\"}],"
		"\"enabled\":true,\"rule_id\":\"U2VlIHlvdSBpbiBUaGUgRHVrZQ\"}],"
		"\"content\":[{\"actions\":[\"notify\"],\"enabled\":true,\"pattern\":\"cake*lie\",\"rule_id\":"
		"\"U3BvbmdlIGNha2UgaXMgYmVzdA\"},"
		"{\"actions\":[\"notify\",{\"set_tweak\":\"sound\",\"value\":\"cakealarm.wav\"}],\"enabled\":true,"
		"\"pattern\":\"cake\","
		"\"rule_id\":\"SSByZWFsbHkgbGlrZSBjYWtl\"}],"
		"\"room\":[{\"actions\":[],\"enabled\":true,\"rule_id\":\"!dj234r78wl45Gh4D:matrix.org\"}],"
		"\"sender\":[{\"actions\":[],\"enabled\":true,\"rule_id\":\"@spambot:matrix.org\"}],\"underride\":[]}");
	check_json(push_rule_json(push_rule_find(set, PUSH_CONTENT, STR("U3BvbmdlIGNha2UgaXMgYmVzdA")), arena),
		   "{\"actions\":[\"notify\"],\"default\":false,\"enabled\":true,\"pattern\":\"cake*lie\","
		   "\"rule_id\":\"U3BvbmdlIGNha2UgaXMgYmVzdA\"}");
	assert_true(str_eq(evaluate(set, BODY("A beer?"), 10, arena)->effect.sound, STR("beeroclock.wav")));
	assert_true(str_eq(evaluate(set, BODY("A beer?"), 11, arena)->rule_id, STR(".m.rule.message")));
}

static void refuses_malformed_rules(void **state UNUSED)
{
	static const struct {
		enum push_kind kind;
		enum errcode code;
		const char *rule_id, *body;
	} cases[] = {
		/* clang-format off */
		{ PUSH_OVERRIDE, M_NOT_JSON, "r", "" },
		{ PUSH_OVERRIDE, M_NOT_JSON, "r", "{" },
		{ PUSH_OVERRIDE, M_BAD_JSON, "r", "[]" },
		{ PUSH_OVERRIDE, M_MISSING_PARAM, "r", "{\"conditions\":[]}" },
		{ PUSH_OVERRIDE, M_INVALID_PARAM, "r", "{\"conditions\":[],\"actions\":\"notify\"}" },
		{ PUSH_OVERRIDE, M_INVALID_PARAM, "r", "{\"conditions\":[],\"actions\":[\"nonsense\"]}" },
		{ PUSH_OVERRIDE, M_INVALID_PARAM, "r", "{\"conditions\":[],\"actions\":[1]}" },
		{ PUSH_OVERRIDE, M_INVALID_PARAM, "r", "{\"conditions\":[],\"actions\":[{}]}" },
		{ PUSH_OVERRIDE, M_INVALID_PARAM, "r", "{\"conditions\":[],\"actions\":[{\"set_tweak\":1}]}" },
		{ PUSH_OVERRIDE, M_INVALID_PARAM, "r", "{\"conditions\":{},\"actions\":[]}" },
		{ PUSH_OVERRIDE, M_INVALID_PARAM, "r", "{\"conditions\":[{}],\"actions\":[]}" },
		{ PUSH_OVERRIDE, M_INVALID_PARAM, "r", "{\"conditions\":[7],\"actions\":[]}" },
		{ PUSH_UNDERRIDE, M_INVALID_PARAM, "r",
		  "{\"conditions\":[{\"kind\":\"event_match\",\"key\":\"type\"}],\"actions\":[]}" },
		{ PUSH_UNDERRIDE, M_INVALID_PARAM, "r",
		  "{\"conditions\":[{\"kind\":\"room_member_count\",\"is\":\"few\"}],\"actions\":[]}" },
		{ PUSH_UNDERRIDE, M_INVALID_PARAM, "r",
		  "{\"conditions\":[{\"kind\":\"event_property_is\",\"key\":\"a\",\"value\":[]}],\"actions\":[]}" },
		{ PUSH_CONTENT, M_MISSING_PARAM, "r", "{\"actions\":[]}" },
		{ PUSH_CONTENT, M_INVALID_PARAM, "r", "{\"actions\":[],\"pattern\":1}" },
		{ PUSH_ROOM, M_INVALID_PARAM, ".r", "{\"actions\":[]}" },
		{ PUSH_ROOM, M_INVALID_PARAM, "a/b", "{\"actions\":[]}" },
		{ PUSH_ROOM, M_INVALID_PARAM, "a\\b", "{\"actions\":[]}" },
		{ PUSH_ROOM, M_INVALID_PARAM, "", "{\"actions\":[]}" },
		/* clang-format on */
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct push_ruleset *set = push_ruleset_read(STR(USER), STR(""), arena);
	struct str untouched = push_ruleset_json(set, arena);
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		err = (struct err){ 0 };
		if (push_rule_put(set, cases[i].kind, str_of(cases[i].rule_id), str_of(cases[i].body), STR(""), STR(""),
				  &err) ||
		    err.code != cases[i].code)
			fail_msg("%s: %s", cases[i].body, err.status ? errcode_name(err.code) : "taken");
	}
	assert_false(push_rule_put(set, PUSH_ROOM, STR("r"), str_printf(arena, "{\"actions\":[]%9000s}", ""), STR(""),
				   STR(""), &err));
	assert_int_equal(err.code, M_TOO_LARGE);
	assert_true(str_eq(push_ruleset_json(set, arena), untouched));
	assert_true(push_rule_put(set, PUSH_OVERRIDE, STR("r"),
				  STR("{\"actions\":[],\"conditions\":[{\"kind\":\"org.example\"}]}"), STR(""), STR(""),
				  &err)); /* unrecognised, but complete */
}

static struct str own_ids(const struct push_ruleset *set, enum push_kind kind, struct arena *arena)
{
	const struct push_rule *rule;
	struct str ids = { 0 };

	for (size_t i = 0; (rule = push_rule_at(set, kind, i)); i++) {
		if (!rule->is_default)
			ids = str_printf(arena, "%.*s%.*s", STR_ARG(ids), STR_ARG(rule->rule_id));
	}
	return ids;
}

static void keeps_the_order_of_rules(void **state UNUSED)
{
	static const struct {
		const char *rule_id, *before, *after, *order; /* order NULL: refused */
	} cases[] = {
		/* clang-format off */
		{ "a", "", "", "a" },
		{ "b", "", "", "ba" },
		{ "c", "a", "", "bca" },
		{ "d", "", "a", "bcad" },
		{ "e", "", "b", "becad" },
		{ "c", "", "", "becad" },
		{ "c", "b", "", "cbead" },
		{ "c", "", "d", "beadc" },
		{ "b", "b", "", "beadc" },
		{ "b", "", "b", "beadc" },
		{ "d", "e", "a", "bdeac" },
		{ "f", "z", "", NULL },
		{ "f", "", "z", NULL },
		{ "f", ".m.rule.master", "", NULL },
		{ "f", "", ".m.rule.suppress_edits", NULL },
		{ "a", "", "f", NULL },
		/* clang-format on */
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct push_ruleset *set = push_ruleset_read(STR(USER), STR(""), arena), *again;
	const char *order = "";

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = { 0 };
		bool ok = push_rule_put(set, PUSH_OVERRIDE, str_of(cases[i].rule_id), STR("{\"actions\":[]}"),
					str_of(cases[i].before), str_of(cases[i].after), &err);

		assert_int_equal(ok, cases[i].order != NULL);
		if (!ok)
			assert_true(err.code == M_UNKNOWN && err.status == 400);
		order = ok ? cases[i].order : order;
		if (!str_eq(own_ids(set, PUSH_OVERRIDE, arena), str_of(order)))
			fail_msg("row %zu: %.*s", i, STR_ARG(own_ids(set, PUSH_OVERRIDE, arena)));
	}
	assert_true(str_eq(push_rule_at(set, PUSH_OVERRIDE, 0)->rule_id, STR(".m.rule.master")));
	again = push_ruleset_read(STR(USER), push_ruleset_stored(set, arena), arena);
	assert_true(str_eq(push_ruleset_json(again, arena), push_ruleset_json(set, arena)));
}

static void switches_and_deletes_rules(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct push_ruleset *set = push_ruleset_read(STR(USER), STR(""), arena);
	const struct str message = STR(".m.rule.message"), mine = STR("mine");
	struct str untouched = push_ruleset_stored(set, arena);
	struct err err = { 0 };

	assert_true(push_rule_put_enabled(set, PUSH_UNDERRIDE, message, STR("{\"enabled\":false}"), &err));
	assert_false(push_rule_find(set, PUSH_UNDERRIDE, message)->enabled);
	check_json(push_ruleset_stored(set, arena),
		   "{\"override\":[],\"content\":[],\"room\":[],\"sender\":[],"
		   "\"underride\":[{\"enabled\":false,\"rule_id\":\".m.rule.message\"}]}");
	assert_null(evaluate(set, BODY("hi"), 3, arena));
	assert_true(push_rule_put_enabled(set, PUSH_UNDERRIDE, message, STR("{\"enabled\":true}"), &err));
	assert_true(str_eq(push_ruleset_stored(set, arena), untouched));

	assert_true(push_rule_put_actions(set, PUSH_UNDERRIDE, message, STR("{\"actions\":[\"dont_notify\"]}"), &err));
	check_json(push_ruleset_stored(set, arena),
		   "{\"override\":[],\"content\":[],\"room\":[],\"sender\":[],"
		   "\"underride\":[{\"actions\":[\"dont_notify\"],\"rule_id\":\".m.rule.message\"}]}");
	assert_false(evaluate(set, BODY("hi"), 3, arena)->effect.notify);
	set = push_ruleset_read(STR(USER), push_ruleset_stored(set, arena), arena);
	assert_false(evaluate(set, BODY("hi"), 3, arena)->effect.notify);

	assert_true(push_rule_put(set, PUSH_SENDER, mine, STR("{\"actions\":[]}"), STR(""), STR(""), &err));
	assert_true(push_rule_put_enabled(set, PUSH_SENDER, mine, STR("{\"enabled\":false}"), &err));
	assert_true(push_rule_put(set, PUSH_SENDER, mine, STR("{\"actions\":[\"notify\"]}"), STR(""), STR(""), &err));
	assert_false(push_rule_find(set, PUSH_SENDER, mine)->enabled); /* changed, not made */
	assert_true(push_rule_delete(set, PUSH_SENDER, mine, &err));
	assert_null(push_rule_find(set, PUSH_SENDER, mine));

	assert_false(push_rule_delete(set, PUSH_SENDER, mine, &err));
	assert_int_equal(err.code, M_NOT_FOUND);
	assert_false(push_rule_delete(set, PUSH_UNDERRIDE, message, &err));
	assert_int_equal(err.code, M_INVALID_PARAM);
	assert_false(push_rule_put_enabled(set, PUSH_OVERRIDE, message, STR("{\"enabled\":true}"), &err));
	assert_int_equal(err.code, M_NOT_FOUND);
	assert_false(push_rule_put_enabled(set, PUSH_UNDERRIDE, message, STR("{}"), &err));
	assert_int_equal(err.code, M_MISSING_PARAM);
	assert_false(push_rule_put_enabled(set, PUSH_UNDERRIDE, message, STR("{\"enabled\":1}"), &err));
	assert_int_equal(err.code, M_INVALID_PARAM);
	assert_false(push_rule_put_actions(set, PUSH_UNDERRIDE, message, STR("{\"actions\":[null]}"), &err));
	assert_int_equal(err.code, M_INVALID_PARAM);
}

static void stops_at_too_many_rules(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct push_ruleset *set = push_ruleset_read(STR(USER), STR(""), arena);
	struct err err;

	for (int i = 0; i < PUSH_RULES_MAX; i++)
		assert_true(push_rule_put(set, PUSH_ROOM, str_printf(arena, "!%d:x", i), STR("{\"actions\":[]}"),
					  STR(""), STR(""), &err));
	assert_false(push_rule_put(set, PUSH_ROOM, STR("!more:x"), STR("{\"actions\":[]}"), STR(""), STR(""), &err));
	assert_int_equal(err.code, M_TOO_LARGE);
	assert_true(
		push_rule_put(set, PUSH_ROOM, STR("!5:x"), STR("{\"actions\":[\"notify\"]}"), STR(""), STR(""), &err));
}

/* Whatever is stored, what is no rule is left out; and whole rulesets of other servers are read. */
static void reads_what_is_stored_leniently(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const struct push_ruleset *set =
		push_ruleset_read(STR(USER),
				  STR("{\"override\":[7,{},{\"rule_id\":\"a\"},{\"rule_id\":\"b\",\"actions\":[]},{"
				      "\"rule_id\":\".m.rule.master\",\"enabled\":true,"
				      "\"default\":true,\"actions\":[\"dont_notify\"],\"conditions\":[]},{\"rule_id\":"
				      "\".m.rule.contains_display_name\",\"actions\":[],"
				      "\"conditions\":[{\"kind\":\"contains_display_name\"}]},{\"rule_id\":\"b\","
				      "\"actions\":[\"notify\"]},"
				      "{\"rule_id\":\"c\",\"actions\":[\"notify\"],\"conditions\":[{\"kind\":\"event_"
				      "match\"}]}],\"content\":{},\"room\":[[]],"
				      "\"underride\":[{\"rule_id\":\".m.rule.call\",\"actions\":[{}]}]}"),
				  arena);

	assert_true(str_eq(own_ids(set, PUSH_OVERRIDE, arena), STR("bc")));
	assert_true(push_rule_find(set, PUSH_OVERRIDE, STR(".m.rule.master"))->enabled);
	assert_null(push_rule_find(set, PUSH_OVERRIDE, STR(".m.rule.contains_display_name")));
	assert_true(push_rule_find(set, PUSH_UNDERRIDE, STR(".m.rule.call"))->effect.notify);
	check_json(push_ruleset_stored(set, arena), "{\"override\":[{\"actions\":[\"dont_notify\"],\"enabled\":true,"
						    "\"rule_id\":\".m.rule.master\"},{\"actions\":[],\"conditions\":[],\"enabled\":true,"
						    "\"rule_id\":\"b\"},{\"actions\":[\"notify\"],\"conditions\":[{"
						    "\"kind\":\"event_match\"}],\"enabled\":true,\"rule_id\":\"c\"}],"
						    "\"content\":[],\"room\":[],\"sender\":[],\"underride\":[]}");
	set = push_ruleset_read(STR(USER), STR("not JSON"), arena);
	assert_null(push_rule_at(set, PUSH_ROOM, 0));
}

#define OVERRIDE(rules)         "{\"override\":[" rules "]}"
#define OWN(actions, condition) "{\"rule_id\":\"own\",\"actions\":" actions ",\"conditions\":[" condition "]}"
#define SWITCHED_OFF(rule_id)   "{\"rule_id\":\"" rule_id "\",\"enabled\":false}"
#define SILENCED(rule_id)       "{\"rule_id\":\"" rule_id "\",\"actions\":[]}"
#define KEYWORD                 "\"content\":[{\"rule_id\":\"k\",\"pattern\":\"tea\",\"actions\":[\"notify\"]}]"

#define BIT(class) (1u << PUSH_##class)
#define MESSAGES   (BIT(MESSAGE_ONE_TO_ONE) | BIT(MESSAGE_GROUP))
#define ENCRYPTED  (BIT(ENCRYPTED_ONE_TO_ONE) | BIT(ENCRYPTED_GROUP))
#define HIGHLIGHTS (BIT(ROOM_MENTION) | BIT(TOMBSTONE))
#define USUAL      (MESSAGES | ENCRYPTED | BIT(CALL) | HIGHLIGHTS)
#define ALL        ((1u << PUSH_CLASSES) - 1)

static void tells_the_class_of_events(void **state UNUSED)
{
	static const struct {
		const char *event;
		enum push_class two, three; /* with that many members */
	} cases[] = {
		/* clang-format off */
		{ BODY("hi"), PUSH_MESSAGE_ONE_TO_ONE, PUSH_MESSAGE_GROUP },
		{ TYPE("M.Room.Message"), PUSH_MESSAGE_ONE_TO_ONE, PUSH_MESSAGE_GROUP },
		{ TYPE("m.room.encrypted"), PUSH_ENCRYPTED_ONE_TO_ONE, PUSH_ENCRYPTED_GROUP },
		{ CONTENT("{\"msgtype\":\"m.notice\"}"), PUSH_NOTICE, PUSH_NOTICE },
		{ CONTENT("{\"msgtype\":\"m.notice\",\"m.mentions\":{\"room\":true}}"), PUSH_OTHER, PUSH_OTHER },
		{ CONTENT("{\"m.mentions\":{\"room\":true}}"), PUSH_ROOM_MENTION, PUSH_ROOM_MENTION },
		{ CONTENT("{\"m.mentions\":{\"room\":true},\"m.relates_to\":{\"rel_type\":\"m.replace\"}}"),
		  PUSH_ROOM_MENTION, PUSH_ROOM_MENTION },
		{ "{\"type\":\"m.room.message\",\"sender\":\"@eve:x\",\"content\":{\"m.mentions\":{\"room\":true}}}",
		  PUSH_MESSAGE_ONE_TO_ONE, PUSH_MESSAGE_GROUP },
		{ CONTENT("{\"m.relates_to\":{\"rel_type\":\"m.replace\"}}"), PUSH_OTHER, PUSH_OTHER },
		{ CONTENT("{\"m.relates_to\":{\"rel_type\":\"m.thread\"}}"), PUSH_MESSAGE_ONE_TO_ONE,
		  PUSH_MESSAGE_GROUP },
		{ TYPE("m.call.invite"), PUSH_CALL, PUSH_CALL },
		{ "{\"type\":\"m.room.tombstone\",\"sender\":\"@bob:x\",\"state_key\":\"\",\"content\":{}}",
		  PUSH_TOMBSTONE, PUSH_TOMBSTONE },
		{ TYPE("m.room.tombstone"), PUSH_OTHER, PUSH_OTHER },
		{ TYPE("m.reaction"), PUSH_OTHER, PUSH_OTHER },
		{ "{}", PUSH_OTHER, PUSH_OTHER },
		/* clang-format on */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(arena_free) struct arena *arena = arena_new();
		struct push_event two = make_event(cases[i].event, 2, arena),
				  three = make_event(cases[i].event, 3, arena);

		if (push_class_of(&two) != cases[i].two || push_class_of(&three) != cases[i].three)
			fail_msg("%s: %d %d", cases[i].event, (int)push_class_of(&two), (int)push_class_of(&three));
	}
}

static void reduces_rulesets_to_masks(void **state UNUSED)
{
	static const struct {
		const char *what, *stored;
		uint32_t notify, highlight, single, keywords;
		bool mention; /* notifies and highlights */
	} cases[] = {
		/* clang-format off */
		{ "nothing changed", "", USUAL, HIGHLIGHTS, 0, 0, true },
		{ "all off", OVERRIDE("{\"rule_id\":\".m.rule.master\",\"enabled\":true}"), 0, 0, 0, 0, false },
		{ "room muted", OVERRIDE(OWN("[]", MATCH("room_id", "!room:x"))), 0, 0, 0, 0, false },
		{ "room muted the old way", OVERRIDE(OWN("[\"dont_notify\"]", MATCH("room_id", "!room:x"))), 0, 0, 0, 0,
		  false },
		{ "other room muted", OVERRIDE(OWN("[]", MATCH("room_id", "!other:x"))), USUAL, HIGHLIGHTS, 0, 0,
		  true },
		{ "mentions only", "{\"room\":[" SILENCED(ROOM) "]}", HIGHLIGHTS, HIGHLIGHTS, 0, 0, true },
		{ "other room mentions only", "{\"room\":[" SILENCED("!other:x") "]}", USUAL, HIGHLIGHTS, 0, 0, true },
		{ "all messages", "{\"room\":[{\"rule_id\":\"!room:x\",\"actions\":[\"notify\"]}]}", USUAL, HIGHLIGHTS,
		  BIT(OTHER), 0, true },
		{ "groups off",
		  "{\"underride\":[" SWITCHED_OFF(".m.rule.message") "," SILENCED(".m.rule.encrypted") "]}",
		  USUAL & ~(BIT(MESSAGE_GROUP) | BIT(ENCRYPTED_GROUP)), HIGHLIGHTS, 0, 0, true },
		{ "bots on", OVERRIDE(SWITCHED_OFF(".m.rule.suppress_notices")), USUAL | BIT(NOTICE), HIGHLIGHTS,
		  BIT(OTHER), 0, true },
		{ "@room off", OVERRIDE(SWITCHED_OFF(".m.rule.is_room_mention")), USUAL, HIGHLIGHTS, BIT(ROOM_MENTION),
		  0, true },
		{ "@room silent", OVERRIDE(SILENCED(".m.rule.is_room_mention")), USUAL & ~BIT(ROOM_MENTION),
		  BIT(TOMBSTONE), 0, 0, true },
		{ "tombstones off", OVERRIDE(SWITCHED_OFF(".m.rule.tombstone")), USUAL & ~BIT(TOMBSTONE),
		  BIT(ROOM_MENTION), 0, 0, true },
		{ "calls off", "{\"underride\":[" SWITCHED_OFF(".m.rule.call") "]}", USUAL & ~BIT(CALL), HIGHLIGHTS, 0,
		  0, true },
		{ "messages highlight",
		  "{\"underride\":[{\"rule_id\":\".m.rule.message\",\"actions\":[\"notify\",{\"set_tweak\":"
		  "\"highlight\"}]}]}", USUAL, HIGHLIGHTS | BIT(MESSAGE_GROUP), 0, 0, true },
		{ "a keyword", "{" KEYWORD "}", USUAL, HIGHLIGHTS, 0, MESSAGES | BIT(CALL) | BIT(OTHER), true },
		{ "a keyword off",
		  "{\"content\":[{\"rule_id\":\"k\",\"pattern\":\"tea\",\"actions\":[],\"enabled\":false}]}", USUAL,
		  HIGHLIGHTS, 0, 0, true },
		{ "a keyword in a muted room",
		  "{\"override\":[" OWN("[]", MATCH("room_id", "!room:x")) "]," KEYWORD "}", 0, 0, 0, 0, false },
		{ "a person muted", "{\"sender\":[" SILENCED("@eve:x") "]}", HIGHLIGHTS, HIGHLIGHTS,
		  MESSAGES | ENCRYPTED | BIT(CALL), 0, true },
		{ "a word in an override rule", OVERRIDE(OWN("[\"notify\"]", MATCH("content.body", "beer"))),
		  MESSAGES | ENCRYPTED | BIT(CALL), 0, BIT(NOTICE) | HIGHLIGHTS | BIT(OTHER), 0, false },
		/* clang-format on */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(arena_free) struct arena *arena = arena_new();
		struct push_mask mask =
			push_ruleset_mask(push_ruleset_read(STR(USER), str_of(cases[i].stored), arena), STR(ROOM));
		if (mask.single != cases[i].single || mask.keywords != cases[i].keywords ||
		    mask.notify != (cases[i].notify & ~cases[i].single) ||
		    mask.highlight != (cases[i].highlight & ~cases[i].single))
			fail_msg("%s: notify %03x, highlight %03x, single %03x, keywords %03x", cases[i].what,
				 mask.notify, mask.highlight, mask.single, mask.keywords);
		if (mask.mention.notify != cases[i].mention || mask.mention.highlight != cases[i].mention)
			fail_msg("%s: mention", cases[i].what);
	}
}

/* A sequence of numbers that is the same in each run. */
static uint32_t next_random(uint64_t *state, uint32_t below)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33) % below;
}
#define PICK(state, list) ((list)[next_random((state), ARRAY_LEN(list))])

static struct str random_ruleset(uint64_t *random, struct arena *arena)
{
	static const char *const conditions[] = {
		MATCH("room_id", "!room:x"),
		MATCH("room_id", "!other:x"),
		MATCH("type", "m.room.message"),
		MATCH("type", "m.room.*"),
		MATCH("type", "m.room.topic"),
		MATCH("type", "m.room.tombstone"),
		MATCH("sender", "@bob:x"),
		MATCH("state_key", ""),
		MATCH("state_key", "*"),
		MATCH("content.msgtype", "m.notice"),
		MATCH("content.msgtype", "m.text"),
		MATCH("content.body", "tea"),
		"{\"kind\":\"room_member_count\",\"is\":\"2\"}",
		"{\"kind\":\"room_member_count\",\"is\":\">2\"}",
		IS("content.m\\\\.mentions.room", "true"),
		IS("content.m\\\\.relates_to.rel_type", "\"m.replace\""),
		"{\"kind\":\"sender_notification_permission\",\"key\":\"room\"}",
		"{\"kind\":\"contains_display_name\"}",
	};
	static const char *const actions[] = { "[]", "[\"notify\"]", "[\"notify\",{\"set_tweak\":\"highlight\"}]" };
	static const char *const changed[] = {
		".m.rule.suppress_notices", ".m.rule.member_event",
		".m.rule.is_user_mention",  ".m.rule.is_room_mention",
		".m.rule.tombstone",        ".m.rule.reaction",
		".m.rule.suppress_edits",   ".m.rule.message",
		".m.rule.encrypted",        ".m.rule.call",
		".m.rule.room_one_to_one",
	};
	const char *kind = next_random(random, 3) ? "override" : "underride", *own = "", *rooms = "", *switched = "";

	if (next_random(random, 2))
		own = str_printf(arena, "{\"rule_id\":\"own\",\"actions\":%s,\"conditions\":[%s%s%s]}",
				 PICK(random, actions), PICK(random, conditions),
				 next_random(random, 2) ? "," : "],\"x\":[", PICK(random, conditions))
			      .ptr;
	if (!next_random(random, 4))
		rooms = str_printf(arena, "{\"rule_id\":\"!room:x\",\"actions\":%s}", PICK(random, actions)).ptr;
	if (next_random(random, 2))
		switched = str_printf(arena, "%s{\"rule_id\":\"%s\",%s}", *own ? "," : "", PICK(random, changed),
				      next_random(random, 2) ? "\"enabled\":false" : "\"actions\":[]")
				   .ptr;
	return str_printf(arena, "{\"%s\":[%s%s],\"room\":[%s]%s}", kind, own, switched, rooms,
			  next_random(random, 5) ? "" : ",\"sender\":[{\"rule_id\":\"@bob:x\",\"actions\":[]}]");
}

/* An event that does not mention the user, is no invite of the user's, and has no body if it is encrypted. */
static const char *random_event(uint64_t *random, struct arena *arena)
{
	static const char *const types[] = { "m.room.message", "m.room.message",   "m.room.encrypted",
					     "m.call.invite",  "m.room.tombstone", "m.reaction",
					     "m.room.member",  "m.room.topic",     "org.example" };
	static const char *const msgtypes[] = { "", "", "\"msgtype\":\"m.text\",", "\"msgtype\":\"m.notice\"," };
	static const char *const rooms[] = { "", "", "\"m.mentions\":{\"room\":true}," };
	static const char *const edits[] = { "", "", "\"m.relates_to\":{\"rel_type\":\"m.replace\"}," };
	static const char *const bodies[] = { "\"body\":\"tea\"", "\"body\":\"ana b.\"" };
	static const char *const state_keys[] = { "", "", "\"state_key\":\"\",", "\"state_key\":\"k\"," };
	static const char *const senders[] = { "@bob:x", "@eve:x" };
	const char *type = PICK(random, types);
	bool encrypted = str_eq(str_of(type), STR("m.room.encrypted"));

	return str_printf(arena, "{\"type\":\"%s\",%s\"sender\":\"%s\",\"content\":{%s%s%s%s}}", type,
			  PICK(random, state_keys), PICK(random, senders), PICK(random, msgtypes), PICK(random, rooms),
			  PICK(random, edits), encrypted ? "\"ciphertext\":\"\"" : PICK(random, bodies))
		.ptr;
}

/* What a mask says of a class is what evaluating each event of it says. */
static void masks_say_what_evaluation_says(void **state UNUSED)
{
	uint64_t random = 1;
	size_t told = 0, all = 0;

	for (int i = 0; i < 3000; i++) {
		CLEANUP(arena_free) struct arena *arena = arena_new();
		struct str stored = random_ruleset(&random, arena);
		const struct push_ruleset *set = push_ruleset_read(STR(USER), stored, arena);
		struct push_mask mask = push_ruleset_mask(set, STR(ROOM));

		for (int j = 0; j < 20; j++) {
			const char *json = random_event(&random, arena);
			struct push_event event = make_event(json, 1 + next_random(&random, 3), arena);
			uint32_t bit = 1u << push_class_of(&event);
			const struct push_rule *rule = push_evaluate(set, &event, STR("Ana B."));

			all++;
			if (mask.single & bit)
				continue;
			told++;
			if (!(mask.notify & bit) != !(rule && rule->effect.notify) ||
			    !(mask.highlight & bit) != !(rule && rule->effect.highlight))
				fail_msg("%.*s\n%s\nclass %x of %03x %03x, rule %.*s", STR_ARG(stored), json, bit,
					 mask.notify, mask.highlight, STR_ARG(rule ? rule->rule_id : STR("none")));
		}
	}
	assert_true(told > all / 2);
}

static void lists_keywords(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const struct push_ruleset *set = push_ruleset_read(
		STR(USER),
		STR("{\"content\":[{\"rule_id\":\"a\",\"pattern\":\"Tea\",\"actions\":[\"notify\"]},{\"rule_id\":\"b\","
		    "\"pattern\":\"off\","
		    "\"actions\":[],\"enabled\":false},{\"rule_id\":\"c\",\"pattern\":\"cake*lie\",\"actions\":[]}]}"),
		arena);
	struct str *patterns;

	assert_int_equal(push_ruleset_keywords(set, arena, &patterns), 2);
	assert_true(str_eq(patterns[0], STR("Tea")) && str_eq(patterns[1], STR("cake*lie")));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_the_predefined_rules),
		cmocka_unit_test(evaluates_the_predefined_rules),
		cmocka_unit_test(matches_properties),
		cmocka_unit_test(matches_words_of_the_body),
		cmocka_unit_test(compares_properties),
		cmocka_unit_test(counts_members),
		cmocka_unit_test(checks_kinds_in_order),
		cmocka_unit_test(reads_actions),
		cmocka_unit_test(takes_rules_from_clients),
		cmocka_unit_test(refuses_malformed_rules),
		cmocka_unit_test(keeps_the_order_of_rules),
		cmocka_unit_test(switches_and_deletes_rules),
		cmocka_unit_test(stops_at_too_many_rules),
		cmocka_unit_test(reads_what_is_stored_leniently),
		cmocka_unit_test(tells_the_class_of_events),
		cmocka_unit_test(reduces_rulesets_to_masks),
		cmocka_unit_test(masks_say_what_evaluation_says),
		cmocka_unit_test(lists_keywords),
	};

	if (argc != 2)
		return 2;
	predefined_path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
