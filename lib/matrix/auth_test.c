#include "matrix/auth.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sodium.h>

#include "matrix/base64.h"

/*
 * Rooms of these tests: created by @a:x; users a to m are on server x, n to z on server y. A state is written in short:
 *
 *   members     "a:join b:invite"
 *   join_rule   "public"; NULL: no such event
 *   levels      content of m.room.power_levels; NULL: no such event
 *   create      members of the create event's content, beside creator and room_version; NULL: none
 *   third_party content of the m.room.third_party_invite with state_key "tok", sent by @a:x
 */
struct room {
	const char *members, *join_rule, *levels, *create, *third_party;
};

struct test_state {
	const struct room_version *version;
	struct arena *arena;
	struct pdu events[16];
	size_t count;
};

static struct str test_room_id(const struct room_version *version)
{
	return version->room_id_is_create_hash ? STR("!create") : STR("!room:x");
}

static struct str user(struct arena *arena, struct str letter)
{
	if (letter.len != 1)
		return letter;
	return str_printf(arena, "@%c:%c", letter.ptr[0], letter.ptr[0] <= 'm' ? 'x' : 'y');
}

static struct str parsed(const char *json)
{
	struct str value;
	struct err err = { 0 };

	if (!slice_parse(str_of(json), &value, &err))
		fail_msg("%s: %s", json, err.message);
	return value;
}

/* An event with one previous event, of a room that goes on. `state_key` NULL: no state event. */
static struct pdu make_event(const struct room_version *version, const char *type, const char *state_key,
			     struct str sender, const char *content)
{
	static const struct str previous[] = { STR_INIT("$previous:x") };

	return (struct pdu){
		.json = STR("{}"),
		.version = version,
		.event_id = STR("$event:x"),
		.room_id = test_room_id(version),
		.type = str_of(type),
		.sender = sender,
		.state_key = str_of(state_key),
		.is_state = state_key != NULL,
		.content = parsed(content),
		.prev_events = previous,
		.prev_count = 1,
	};
}

static void state_add(struct test_state *s, const char *type, const char *state_key, struct str sender,
		      const char *content)
{
	assert_true(s->count < ARRAY_LEN(s->events));
	s->events[s->count++] = make_event(s->version, type, state_key, sender, content);
}

static const struct pdu *state_get(void *context, struct str type, struct str state_key)
{
	const struct test_state *s = context;

	for (size_t i = 0; i < s->count; i++) {
		if (str_eq(s->events[i].type, type) && str_eq(s->events[i].state_key, state_key))
			return &s->events[i];
	}
	return NULL;
}

static void add_members(struct test_state *s, struct str members)
{
	struct str part, letter;

	while (str_split(&members, ' ', &part)) {
		if (!str_split(&part, ':', &letter) || !letter.len)
			continue;
		letter = user(s->arena, letter);
		state_add(s, "m.room.member", str_cstr(s->arena, letter), letter,
			  str_printf(s->arena, "{\"membership\":\"%.*s\"}", STR_ARG(part)).ptr);
	}
}

static struct test_state make_state(const struct room *room, const struct room_version *version, struct arena *arena)
{
	struct test_state s = { .version = version, .arena = arena };
	const char *extra = room->create ? room->create : "";

	state_add(&s, "m.room.create", "", STR("@a:x"),
		  str_printf(arena, "{%s%s\"room_version\":\"%.*s\"%s%s}",
			     version->creator_is_sender ? "" : "\"creator\":\"@a:x\"",
			     version->creator_is_sender ? "" : ",", STR_ARG(version->name), *extra ? "," : "", extra)
			  .ptr);
	s.events[0].event_id = STR("$create");
	s.events[0].prev_count = 0;
	if (room->members)
		add_members(&s, str_of(room->members));
	if (room->join_rule)
		state_add(&s, "m.room.join_rules", "", STR("@a:x"),
			  str_printf(arena, "{\"join_rule\":\"%s\"}", room->join_rule).ptr);
	if (room->levels)
		state_add(&s, "m.room.power_levels", "", STR("@a:x"), room->levels);
	if (room->third_party)
		state_add(&s, "m.room.third_party_invite", "tok", STR("@a:x"), room->third_party);
	return s;
}

/* One row: in the room versions `from` to `to` the event is allowed (`why` NULL) or rejected with words that hold
 * `why`. */
struct rule_case {
	const char *rule;
	int from, to;
	struct room room;
	const char *type, *state_key, *sender, *content;
	const char *why;
};

static void check_case(const struct rule_case *c, const struct room_version *version)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct test_state s = make_state(&c->room, version, arena);
	const struct auth_state state = { state_get, &s };
	const char *state_key = c->state_key;
	struct pdu event;
	struct err err = { 0 };
	bool allowed;

	if (state_key && str_eq(str_of(c->type), STR("m.room.member")))
		state_key = str_cstr(arena, user(arena, str_of(state_key)));
	event = make_event(version, c->type, state_key, user(arena, str_of(c->sender)), c->content);
	allowed = auth_check(&event, &state, arena, &err);
	if (allowed != !c->why)
		fail_msg("version %d, %s: %s %s", version->number, c->rule,
			 allowed ? "allowed" : "rejected:", allowed ? "" : err.message);
	if (!allowed && ((err.code != M_FORBIDDEN && err.code != M_BAD_JSON) || str_find(str_of(err.message), str_of(c->why)) < 0))
		fail_msg("version %d, %s: rejected for \"%s\", not \"%s\"", version->number, c->rule, err.message,
			 c->why);
}

static void check_cases(const struct rule_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t v = 0; v < room_version_count(); v++) {
			const struct room_version *version = room_version_at(v);

			if (version->number >= cases[i].from && version->number <= cases[i].to)
				check_case(&cases[i], version);
		}
	}
}
#define CHECK_CASES(cases) check_cases((cases), ARRAY_LEN(cases))

#define MEMBER(state_key, sender, membership) "m.room.member", state_key, sender, "{\"membership\":\"" membership "\"}"
#define JOIN(who)                             MEMBER(who, who, "join")
#define JOIN_VIA(who, via)                                                                                             \
	"m.room.member", who, who, "{\"membership\":\"join\",\"join_authorised_via_users_server\":\"@" via ":x\"}"
#define MESSAGE(sender)      "m.room.message", NULL, sender, "{}"
#define LEVELS(sender, json) "m.room.power_levels", "", sender, json

static void follows_the_rules_on_joins(void **state UNUSED)
{
	static const struct rule_case cases[] = {
		/* clang-format off */
		{ "member 1: no state_key", 1, 12, { .members = "a:join" }, "m.room.member", NULL, "a",
		  "{\"membership\":\"join\"}", "state event" },
		{ "member 1: no membership", 1, 12, { .members = "a:join" }, "m.room.member", "a", "a", "{}",
		  "no membership" },
		{ "member: unknown", 1, 12, { .members = "a:join" }, MEMBER("a", "a", "dance"), "unknown" },
		{ "member: unknown", 1, 12, { .members = "a:join" }, "m.room.member", "a", "a", "{\"membership\":7}",
		  "unknown" },
		{ "member: knock is unknown", 1, 6, { .join_rule = "knock" }, MEMBER("b", "b", "knock"), "unknown" },
		{ "join 2: for another", 1, 12, { .join_rule = "public", .members = "a:join" },
		  MEMBER("b", "a", "join"), "for another" },
		{ "join 3: banned", 1, 12, { .join_rule = "public", .members = "b:ban" }, JOIN("b"), "banned" },
		{ "join 4: invite rule, invited", 1, 12, { .join_rule = "invite", .members = "b:invite" }, JOIN("b"),
		  NULL },
		{ "join 4: invite rule, joined", 1, 12, { .join_rule = "invite", .members = "b:join" }, JOIN("b"),
		  NULL },
		{ "join 4: invite rule, left", 1, 12, { .join_rule = "invite", .members = "b:leave" }, JOIN("b"),
		  "not invited" },
		{ "join 4: invite rule, new", 1, 12, { .join_rule = "invite" }, JOIN("b"), "not invited" },
		{ "join 4: no rule, new", 1, 12, { 0 }, JOIN("b"), "not invited" },
		{ "join 4: no rule, invited", 1, 12, { .members = "b:invite" }, JOIN("b"), NULL },
		{ "join 4: knock rule, invited", 7, 12, { .join_rule = "knock", .members = "b:invite" }, JOIN("b"),
		  NULL },
		{ "join 4: knock rule, knocking", 7, 12, { .join_rule = "knock", .members = "b:knock" }, JOIN("b"),
		  "not invited" },
		{ "join: knock rule unknown", 1, 6, { .join_rule = "knock", .members = "b:invite" }, JOIN("b"),
		  "nobody" },
		{ "join 5: public", 1, 12, { .join_rule = "public" }, JOIN("b"), NULL },
		{ "join 5: public, left", 1, 12, { .join_rule = "public", .members = "n:leave" }, JOIN("n"), NULL },
		{ "join 6: private", 1, 12, { .join_rule = "private", .members = "b:invite" }, JOIN("b"), "nobody" },
		{ "join: restricted unknown", 1, 7, { .join_rule = "restricted", .members = "a:join b:invite" },
		  JOIN("b"), "nobody" },
		{ "join 5.1: restricted, invited", 8, 12, { .join_rule = "restricted", .members = "b:invite" },
		  JOIN("b"), NULL },
		{ "join 5.1: restricted, joined", 8, 12, { .join_rule = "restricted", .members = "b:join" }, JOIN("b"),
		  NULL },
		{ "join 5.2: restricted, no authoriser", 8, 12, { .join_rule = "restricted", .members = "a:join" },
		  JOIN("b"), "let in" },
		{ "join 5.2: restricted, banned", 8, 12, { .join_rule = "restricted", .members = "a:join b:ban" },
		  JOIN_VIA("b", "a"), "banned" },
		{ "join 5.2: authoriser gone", 8, 12, { .join_rule = "restricted", .members = "a:leave" },
		  JOIN_VIA("b", "a"), "not in the room" },
		{ "join 5.2: authoriser unknown", 8, 12, { .join_rule = "restricted" }, JOIN_VIA("b", "c"),
		  "not in the room" },
		{ "join 5.2: authoriser may not invite", 8, 12, { .join_rule = "restricted", .members = "c:join",
		  .levels = "{\"invite\":10}" }, JOIN_VIA("b", "c"), "may not invite" },
		{ "join 5.3: authoriser invites", 8, 12, { .join_rule = "restricted", .members = "c:join",
		  .levels = "{\"invite\":10,\"users\":{\"@c:x\":10}}" }, JOIN_VIA("b", "c"), NULL },
		{ "join 5.3: authoriser is creator", 12, 12, { .join_rule = "restricted", .members = "a:join",
		  .levels = "{\"invite\":101}" }, JOIN_VIA("b", "a"), NULL },
		{ "join: knock_restricted unknown", 1, 9, { .join_rule = "knock_restricted",
		  .members = "a:join b:invite" }, JOIN("b"), "nobody" },
		{ "join 5: knock_restricted, invited", 10, 12, { .join_rule = "knock_restricted",
		  .members = "b:invite" }, JOIN("b"), NULL },
		{ "join 5: knock_restricted, let in", 10, 12, { .join_rule = "knock_restricted", .members = "a:join" },
		  JOIN_VIA("b", "a"), NULL },
		{ "join 5: knock_restricted, new", 10, 12, { .join_rule = "knock_restricted", .members = "a:join" },
		  JOIN("b"), "let in" },
		/* clang-format on */
	};

	CHECK_CASES(cases);
}

static void follows_the_rules_on_invites(void **state UNUSED)
{
	static const struct rule_case cases[] = {
		/* clang-format off */
		{ "invite 2: sender left", 1, 12, { .members = "a:leave" }, MEMBER("b", "a", "invite"),
		  "not in this room" },
		{ "invite 2: sender invited", 1, 12, { .members = "c:invite" }, MEMBER("b", "c", "invite"),
		  "not in this room" },
		{ "invite 3: target joined", 1, 12, { .members = "a:join b:join" }, MEMBER("b", "a", "invite"),
		  "already" },
		{ "invite 3: target banned", 1, 12, { .members = "a:join b:ban" }, MEMBER("b", "a", "invite"),
		  "banned" },
		{ "invite 4: new", 1, 12, { .members = "a:join" }, MEMBER("b", "a", "invite"), NULL },
		{ "invite 4: again", 1, 12, { .members = "a:join b:invite" }, MEMBER("b", "a", "invite"), NULL },
		{ "invite 4: knocking", 7, 12, { .members = "a:join b:knock" }, MEMBER("b", "a", "invite"), NULL },
		{ "invite 4: level 0 by default", 1, 12, { .members = "c:join" }, MEMBER("b", "c", "invite"), NULL },
		{ "invite 4: level", 1, 12, { .members = "c:join", .levels = "{\"invite\":7,\"users\":{\"@c:x\":7}}" },
		  MEMBER("b", "c", "invite"), NULL },
		{ "invite 5: level", 1, 12, { .members = "c:join", .levels = "{\"invite\":7,\"users\":{\"@c:x\":6}}" },
		  MEMBER("b", "c", "invite"), "permission to invite" },
		{ "third_party_invite event: level", 1, 12, { .members = "c:join",
		  .levels = "{\"invite\":7,\"users_default\":7,\"state_default\":90}" }, "m.room.third_party_invite",
		  "tok", "c", "{}", NULL },
		{ "third_party_invite event: level", 1, 12, { .members = "c:join",
		  .levels = "{\"invite\":7,\"users_default\":6}" }, "m.room.third_party_invite", "tok", "c", "{}",
		  "permission to invite" },
		{ "third_party_invite event: not joined", 1, 12, { .members = "c:leave" }, "m.room.third_party_invite",
		  "tok", "c", "{}", "not in this room" },
		/* clang-format on */
	};

	CHECK_CASES(cases);
}

#define KICKER "{\"kick\":40,\"ban\":60,\"users\":{\"@b:x\":40,\"@c:x\":39,\"@d:x\":60,\"@e:x\":100}}"

static void follows_the_rules_on_leaving_and_bans(void **state UNUSED)
{
	static const struct rule_case cases[] = {
		/* clang-format off */
		{ "leave 1: joined", 1, 12, { .members = "b:join" }, MEMBER("b", "b", "leave"), NULL },
		{ "leave 1: invited", 1, 12, { .members = "b:invite" }, MEMBER("b", "b", "leave"), NULL },
		{ "leave 1: knocking", 7, 12, { .members = "b:knock" }, MEMBER("b", "b", "leave"), NULL },
		{ "leave 1: knocking", 1, 6, { .members = "b:knock" }, MEMBER("b", "b", "leave"), "not in this room" },
		{ "leave 1: left", 1, 12, { .members = "b:leave" }, MEMBER("b", "b", "leave"), "not in this room" },
		{ "leave 1: banned", 1, 12, { .members = "b:ban" }, MEMBER("b", "b", "leave"), "not in this room" },
		{ "leave 1: never there", 1, 12, { 0 }, MEMBER("b", "b", "leave"), "not in this room" },
		{ "leave 2: sender not joined", 1, 12, { .members = "e:invite f:join", .levels = KICKER },
		  MEMBER("f", "e", "leave"), "not in this room" },
		{ "leave 3: unban without the level", 1, 12, { .members = "b:join f:ban", .levels = KICKER },
		  MEMBER("f", "b", "leave"), "unban" },
		{ "leave 3: unban", 1, 12, { .members = "d:join f:ban", .levels = KICKER }, MEMBER("f", "d", "leave"),
		  NULL },
		{ "leave 3: unban without the kick level", 1, 12, { .members = "d:join f:ban",
		  .levels = "{\"kick\":70,\"ban\":60,\"users\":{\"@d:x\":60}}" }, MEMBER("f", "d", "leave"), "remove" },
		{ "leave 4: kick", 1, 12, { .members = "b:join f:join", .levels = KICKER }, MEMBER("f", "b", "leave"),
		  NULL },
		{ "leave 4: kick a lower level", 1, 12, { .members = "b:join c:join", .levels = KICKER },
		  MEMBER("c", "b", "leave"), NULL },
		{ "leave 4: kick an invited user", 1, 12, { .members = "b:join f:invite", .levels = KICKER },
		  MEMBER("f", "b", "leave"), NULL },
		{ "leave 4: kick an equal", 1, 12, { .members = "d:join g:join", .levels = "{\"users_default\":60}" },
		  MEMBER("g", "d", "leave"), "remove" },
		{ "leave 4: kick without the level", 1, 12, { .members = "c:join f:join", .levels = KICKER },
		  MEMBER("f", "c", "leave"), "remove" },
		{ "leave 4: kick level 50 by default", 1, 12, { .members = "b:join f:join",
		  .levels = "{\"users\":{\"@b:x\":49}}" }, MEMBER("f", "b", "leave"), "remove" },
		{ "leave 4: creator of 100 without an event", 1, 11, { .members = "a:join f:join" },
		  MEMBER("f", "a", "leave"), NULL },
		{ "leave 4: creator above all", 12, 12, { .members = "a:join e:join",
		  .levels = "{\"kick\":1000,\"users\":{\"@e:x\":1000}}" }, MEMBER("e", "a", "leave"), NULL },
		{ "leave 4: creators can't kick each other", 12, 12, { .members = "a:join b:join",
		  .create = "\"additional_creators\":[\"@b:x\"]", .levels = "{}" }, MEMBER("b", "a", "leave"),
		  "remove" },
		{ "leave 4: additional creator", 12, 12, { .members = "b:join e:join",
		  .create = "\"additional_creators\":[\"@b:x\"]", .levels = "{\"users\":{\"@e:x\":100}}" },
		  MEMBER("e", "b", "leave"), NULL },
		{ "leave 4: no additional creators before 12", 1, 11, { .members = "b:join e:join",
		  .create = "\"additional_creators\":[\"@b:x\"]", .levels = "{\"users\":{\"@e:x\":100}}" },
		  MEMBER("e", "b", "leave"), "remove" },
		{ "ban 1: sender not joined", 1, 12, { .members = "e:leave f:join", .levels = KICKER },
		  MEMBER("f", "e", "ban"), "not in this room" },
		{ "ban 2: joined", 1, 12, { .members = "d:join f:join", .levels = KICKER }, MEMBER("f", "d", "ban"),
		  NULL },
		{ "ban 2: never there", 1, 12, { .members = "d:join", .levels = KICKER }, MEMBER("f", "d", "ban"),
		  NULL },
		{ "ban 2: again", 1, 12, { .members = "d:join f:ban", .levels = KICKER }, MEMBER("f", "d", "ban"),
		  NULL },
		{ "ban 3: without the level", 1, 12, { .members = "b:join f:join", .levels = KICKER },
		  MEMBER("f", "b", "ban"), "ban this user" },
		{ "ban 3: an equal", 1, 12, { .members = "d:join g:join", .levels = "{\"users_default\":60}" },
		  MEMBER("g", "d", "ban"), "ban this user" },
		{ "ban 3: a higher level", 1, 12, { .members = "d:join e:join", .levels = KICKER },
		  MEMBER("e", "d", "ban"), "ban this user" },
		{ "ban 3: oneself", 1, 12, { .members = "d:join", .levels = KICKER }, MEMBER("d", "d", "ban"),
		  "ban this user" },
		/* clang-format on */
	};

	CHECK_CASES(cases);
}

static void follows_the_rules_on_knocking(void **state UNUSED)
{
	static const struct rule_case cases[] = {
		/* clang-format off */
		{ "knock 1: no rule", 7, 12, { 0 }, MEMBER("b", "b", "knock"), "does not allow" },
		{ "knock 1: public", 7, 12, { .join_rule = "public" }, MEMBER("b", "b", "knock"), "does not allow" },
		{ "knock 1: restricted", 8, 12, { .join_rule = "restricted" }, MEMBER("b", "b", "knock"),
		  "does not allow" },
		{ "knock 1: knock_restricted unknown", 7, 9, { .join_rule = "knock_restricted" },
		  MEMBER("b", "b", "knock"), "does not allow" },
		{ "knock 2: for another", 7, 12, { .join_rule = "knock", .members = "a:join" },
		  MEMBER("b", "a", "knock"), "for another" },
		{ "knock 3: new", 7, 12, { .join_rule = "knock" }, MEMBER("b", "b", "knock"), NULL },
		{ "knock 3: left", 7, 12, { .join_rule = "knock", .members = "b:leave" }, MEMBER("b", "b", "knock"),
		  NULL },
		{ "knock 3: again", 7, 12, { .join_rule = "knock", .members = "b:knock" }, MEMBER("b", "b", "knock"),
		  NULL },
		{ "knock 3: knock_restricted", 10, 12, { .join_rule = "knock_restricted" }, MEMBER("b", "b", "knock"),
		  NULL },
		{ "knock 4: banned", 7, 12, { .join_rule = "knock", .members = "b:ban" }, MEMBER("b", "b", "knock"),
		  "banned" },
		{ "knock 4: invited", 7, 12, { .join_rule = "knock", .members = "b:invite" }, MEMBER("b", "b", "knock"),
		  "already invited" },
		{ "knock 4: joined", 7, 12, { .join_rule = "knock", .members = "b:join" }, MEMBER("b", "b", "knock"),
		  "already in" },
		/* clang-format on */
	};

	CHECK_CASES(cases);
}

static void follows_the_rules_on_other_events(void **state UNUSED)
{
	static const struct rule_case cases[] = {
		/* clang-format off */
		{ "federate: own server", 1, 12, { .members = "b:join", .create = "\"m.federate\":false" },
		  MESSAGE("b"), NULL },
		{ "federate: other server", 1, 12, { .members = "n:join", .create = "\"m.federate\":false" },
		  MESSAGE("n"), "closed" },
		{ "federate: other server joins", 1, 12, { .join_rule = "public", .create = "\"m.federate\":false" },
		  JOIN("n"), "closed" },
		{ "federate: true", 1, 12, { .members = "n:join", .create = "\"m.federate\":true" }, MESSAGE("n"),
		  NULL },
		{ "sender: joined", 1, 12, { .members = "n:join" }, MESSAGE("n"), NULL },
		{ "sender: invited", 1, 12, { .members = "n:invite" }, MESSAGE("n"), "not in this room" },
		{ "sender: unknown", 1, 12, { .members = "a:join" }, MESSAGE("n"), "not in this room" },
		{ "aliases: without state_key", 1, 5, { .members = "b:join" }, "m.room.aliases", NULL, "b", "{}",
		  "state event" },
		{ "aliases: own server", 1, 5, { 0 }, "m.room.aliases", "x", "b", "{}", NULL },
		{ "aliases: other server", 1, 5, { .members = "a:join" }, "m.room.aliases", "y", "a", "{}",
		  "another server's" },
		{ "aliases: as any state", 6, 12, { .members = "b:join" }, "m.room.aliases", "x", "b", "{}",
		  "power level" },
		{ "aliases: as any state", 6, 12, { .members = "a:join" }, "m.room.aliases", "y", "a", "{}", NULL },
		{ "level: state 50 without an event", 1, 12, { .members = "b:join" }, "m.room.topic", "", "b", "{}",
		  "power level" },
		{ "level: creator without an event", 1, 12, { .members = "a:join" }, "m.room.topic", "", "a", "{}",
		  NULL },
		{ "level: state_default 50", 1, 12, { .members = "b:join", .levels = "{\"users_default\":49}" },
		  "m.room.topic", "", "b", "{}", "power level" },
		{ "level: state_default", 1, 12, { .members = "b:join", .levels = "{\"state_default\":0}" },
		  "m.room.topic", "", "b", "{}", NULL },
		{ "level: events_default 0", 1, 12, { .members = "b:join", .levels = "{}" }, MESSAGE("b"), NULL },
		{ "level: events_default", 1, 12, { .members = "b:join", .levels = "{\"events_default\":1}" },
		  MESSAGE("b"), "power level" },
		{ "level: below zero", 1, 12, { .members = "b:join", .levels = "{\"users\":{\"@b:x\":-1}}" },
		  MESSAGE("b"), "power level" },
		{ "level: of the type", 1, 12, { .members = "b:join",
		  .levels = "{\"events\":{\"m.room.message\":5},\"users_default\":4}" }, MESSAGE("b"), "power level" },
		{ "level: of the type, state", 1, 12, { .members = "b:join",
		  .levels = "{\"events\":{\"m.room.topic\":5},\"users_default\":5}" }, "m.room.topic", "", "b", "{}",
		  NULL },
		{ "level: creator has none of his own", 1, 11, { .members = "a:join", .levels = "{}" }, "m.room.topic",
		  "", "a", "{}", "power level" },
		{ "level: creator above all", 12, 12, { .members = "a:join",
		  .levels = "{\"state_default\":9007199254740991}" }, "m.room.topic", "", "a", "{}", NULL },
		{ "state_key: own", 1, 12, { .members = "a:join" }, "org.example", "@a:x", "a", "{}", NULL },
		{ "state_key: another's", 1, 12, { .members = "a:join" }, "org.example", "@b:x", "a", "{}",
		  "another user" },
		{ "state_key: underscore", 1, 12, { .members = "a:join" }, "org.example", "_@b:x", "a", "{}", NULL },
		/* clang-format on */
	};

	CHECK_CASES(cases);
}

/* a 100 (in version 12: creator), b 60, c 60, d 50, e 40; and what an event of b's that changes one part of it says. */
#define USERS         "\"@b:x\":60,\"@c:x\":60,\"@d:x\":50,\"@e:x\":40"
#define EVENTS        "\"high\":70,\"low\":10,"
#define NOTIFICATIONS "\"room\":70,\"low\":10"
#define NAMED         "\"ban\":70,\"kick\":10"
#define CONTENT(users, events, notifications, named)                                                                   \
	"{\"users\":{" users "},\"events\":{" events "\"m.room.power_levels\":0},\"notifications\":{" notifications    \
	"}," named ",\"state_default\":0}"
#define NOW                                                                                                            \
	{                                                                                                              \
		.members = "a:join b:join e:join", .levels = CONTENT(USERS, EVENTS, NOTIFICATIONS, NAMED)              \
	}
#define NAMED_BECOME(named)          LEVELS("b", CONTENT(USERS, EVENTS, NOTIFICATIONS, named))
#define NOTIFICATIONS_BECOME(levels) LEVELS("b", CONTENT(USERS, EVENTS, levels, NAMED))
#define EVENTS_BECOME(events)        LEVELS("b", CONTENT(USERS, events, NOTIFICATIONS, NAMED))
#define USERS_BECOME(users)          LEVELS("b", CONTENT(users, EVENTS, NOTIFICATIONS, NAMED))

static void follows_the_rules_on_changed_levels(void **state UNUSED)
{
	static const struct rule_case cases[] = {
		/* clang-format off */
		{ "no change", 1, 12, NOW, NAMED_BECOME(NAMED), NULL },
		{ "named: lower one below", 1, 12, NOW, NAMED_BECOME("\"ban\":70,\"kick\":0"), NULL },
		{ "named: raise to own", 1, 12, NOW, NAMED_BECOME("\"ban\":70,\"kick\":60"), NULL },
		{ "named: raise above own", 1, 12, NOW, NAMED_BECOME("\"ban\":70,\"kick\":61"),
		  "set a power level above" },
		{ "named: lower one above", 1, 12, NOW, NAMED_BECOME("\"ban\":60,\"kick\":10"), "that is above yours" },
		{ "named: add", 1, 12, NOW, NAMED_BECOME("\"ban\":70,\"redact\":60,\"kick\":10"), NULL },
		{ "named: add above own", 1, 12, NOW, NAMED_BECOME("\"ban\":70,\"invite\":61,\"kick\":10"),
		  "set a power level" },
		{ "named: remove one above", 1, 12, NOW,
		  LEVELS("b", "{\"users\":{" USERS "},\"events\":{" EVENTS "\"m.room.power_levels\":0},\"kick\":10}"),
		  "that is above yours" },
		{ "events: raise", 1, 12, NOW, EVENTS_BECOME("\"high\":70,\"low\":60,"), NULL },
		{ "events: raise above own", 1, 12, NOW, EVENTS_BECOME("\"high\":70,\"low\":61,"), "set a power" },
		{ "events: lower one above", 1, 12, NOW, EVENTS_BECOME("\"high\":0,\"low\":10,"), "that is above" },
		{ "events: remove", 1, 12, NOW, EVENTS_BECOME("\"high\":70,"), NULL },
		{ "events: remove one above", 1, 12, NOW, EVENTS_BECOME("\"low\":10,"), "that is above" },
		{ "events: add", 1, 12, NOW, EVENTS_BECOME(EVENTS "\"aaa\":60,"), NULL },
		{ "events: add above own", 1, 12, NOW, EVENTS_BECOME(EVENTS "\"zzz\":61,"), "set a power" },
		{ "notifications: lower one above", 1, 5, NOW, NOTIFICATIONS_BECOME("\"room\":0"), NULL },
		{ "notifications: lower one above", 6, 12, NOW, NOTIFICATIONS_BECOME("\"room\":0,\"low\":10"),
		  "that is above" },
		{ "notifications: raise above own", 6, 12, NOW, NOTIFICATIONS_BECOME("\"room\":70,\"low\":61"),
		  "set a power" },
		{ "notifications: raise", 6, 12, NOW, NOTIFICATIONS_BECOME("\"room\":70,\"low\":60"), NULL },
		{ "notifications: remove one above", 6, 12, NOW, NOTIFICATIONS_BECOME("\"low\":10"), "that is above" },
		{ "users: add", 1, 12, NOW, USERS_BECOME(USERS ",\"@f:x\":60"), NULL },
		{ "users: add above own", 1, 12, NOW, USERS_BECOME(USERS ",\"@f:x\":61"), "set a power" },
		{ "users: lower an equal", 1, 12, NOW, USERS_BECOME("\"@b:x\":60,\"@c:x\":0,\"@d:x\":50,\"@e:x\":40"),
		  "not below yours" },
		{ "users: remove an equal", 1, 12, NOW, USERS_BECOME("\"@b:x\":60,\"@d:x\":50,\"@e:x\":40"),
		  "not below yours" },
		{ "users: raise an equal", 1, 12, NOW, USERS_BECOME("\"@b:x\":60,\"@c:x\":61,\"@d:x\":50,\"@e:x\":40"),
		  "not below yours" },
		{ "users: raise a lower", 1, 12, NOW, USERS_BECOME("\"@b:x\":60,\"@c:x\":60,\"@d:x\":60,\"@e:x\":40"),
		  NULL },
		{ "users: remove a lower", 1, 12, NOW, USERS_BECOME("\"@b:x\":60,\"@c:x\":60,\"@e:x\":40"), NULL },
		{ "users: lower oneself", 1, 12, NOW, USERS_BECOME("\"@b:x\":0,\"@c:x\":60,\"@d:x\":50,\"@e:x\":40"),
		  NULL },
		{ "users: remove oneself", 1, 12, NOW, USERS_BECOME("\"@c:x\":60,\"@d:x\":50,\"@e:x\":40"), NULL },
		{ "users: raise oneself", 1, 12, NOW, USERS_BECOME("\"@b:x\":61,\"@c:x\":60,\"@d:x\":50,\"@e:x\":40"),
		  "set a power" },
		{ "users: lower a higher", 1, 12, NOW,
		  LEVELS("e", CONTENT("\"@b:x\":60,\"@c:x\":60,\"@d:x\":1,\"@e:x\":40", EVENTS, NOTIFICATIONS, NAMED)),
		  "not below yours" },
		{ "creator changes all", 12, 12, NOW, LEVELS("a", "{}"), NULL },
		{ "creator sets all", 12, 12, NOW, LEVELS("a", "{\"users_default\":9007199254740991}"), NULL },
		/* clang-format on */
	};

	CHECK_CASES(cases);
}

#define FIRST                                                                                                          \
	{                                                                                                              \
		.members = "a:join"                                                                                    \
	}

static void checks_the_form_of_power_levels(void **state UNUSED)
{
	static const struct rule_case cases[] = {
		/* clang-format off */
		{ "no previous: allow", 1, 12, FIRST, LEVELS("a", "{\"users\":{\"@b:x\":1000},\"ban\":1000}"), NULL },
		{ "users: no object", 1, 12, FIRST, LEVELS("a", "{\"users\":[]}"), "not an object" },
		{ "users: key", 1, 12, FIRST, LEVELS("a", "{\"users\":{\"b\":5}}"), "not a user ID" },
		{ "users: null", 1, 12, FIRST, LEVELS("a", "{\"users\":{\"@b:x\":null}}"), "not an integer" },
		{ "users: bool", 1, 12, FIRST, LEVELS("a", "{\"users\":{\"@b:x\":true}}"), "not an integer" },
		{ "users: text", 1, 12, FIRST, LEVELS("a", "{\"users\":{\"@b:x\":\"5x\"}}"), "not an integer" },
		{ "users: string", 1, 9, FIRST, LEVELS("a", "{\"users\":{\"@b:x\":\" +0050 \"}}"), NULL },
		{ "users: string", 10, 12, FIRST, LEVELS("a", "{\"users\":{\"@b:x\":\"50\"}}"), "not an integer" },
		{ "users: float", 1, 5, FIRST, LEVELS("a", "{\"users\":{\"@b:x\":50.57}}"), NULL },
		{ "users: float beyond a double", 1, 5, FIRST, LEVELS("a", "{\"users\":{\"@b:x\":1e400}}"),
		  "not an integer" },
		{ "users: float", 6, 12, FIRST, LEVELS("a", "{\"users\":{\"@b:x\":50.57}}"), "not an integer" },
		{ "named: text", 1, 9, FIRST, LEVELS("a", "{\"ban\":\"many\"}"), NULL },
		{ "named: text", 10, 12, FIRST, LEVELS("a", "{\"ban\":\"many\"}"), "not an integer" },
		{ "named: string", 10, 12, FIRST, LEVELS("a", "{\"users_default\":\"5\"}"), "not an integer" },
		{ "named: null", 10, 12, FIRST, LEVELS("a", "{\"invite\":null}"), "not an integer" },
		{ "events: no object", 1, 9, FIRST, LEVELS("a", "{\"events\":5}"), NULL },
		{ "events: no object", 10, 12, FIRST, LEVELS("a", "{\"events\":5}"), "not an object" },
		{ "events: string", 10, 12, FIRST, LEVELS("a", "{\"events\":{\"t\":\"5\"}}"), "not an integer" },
		{ "notifications: string", 10, 12, FIRST, LEVELS("a", "{\"notifications\":{\"room\":\"5\"}}"),
		  "not an integer" },
		{ "notifications: no object", 10, 12, FIRST, LEVELS("a", "{\"notifications\":[]}"), "not an object" },
		{ "comparison: text", 1, 9, NOW, NAMED_BECOME("\"ban\":\"many\",\"kick\":10"), "not an integer" },
		{ "comparison: equal strings", 1, 9, NOW, NAMED_BECOME("\"ban\":\"70\",\"kick\":\"10\""), NULL },
		{ "comparison: higher string", 1, 9, NOW, NAMED_BECOME("\"ban\":70,\"kick\":\"61\""), "set a power" },
		{ "users: sender of create", 12, 12, FIRST, LEVELS("a", "{\"users\":{\"@a:x\":100}}"), "creators" },
		{ "users: sender of create", 1, 11, FIRST, LEVELS("a", "{\"users\":{\"@a:x\":100}}"), NULL },
		{ "users: additional creator", 12, 12, { .members = "a:join",
		  .create = "\"additional_creators\":[\"@c:x\",\"@b:x\"]" }, LEVELS("a", "{\"users\":{\"@b:x\":100}}"),
		  "creators" },
		{ "users: additional creator", 1, 11, { .members = "a:join",
		  .create = "\"additional_creators\":[\"@b:x\"]" }, LEVELS("a", "{\"users\":{\"@b:x\":100}}"), NULL },
		/* clang-format on */
	};

	CHECK_CASES(cases);
}

static void reads_levels_of_old_versions(void **state UNUSED)
{
	static const struct {
		const char *value;
		int64_t floaty, stringy, strict; /* versions 5, 9 and 10; 0: unreadable, the default */
	} cases[] = {
		/* clang-format off */
		{ "7", 7, 7, 7 },
		{ "-7", -7, -7, -7 },
		{ "\"100\"", 100, 100, 0 },
		{ "\"000100\"", 100, 100, 0 },
		{ "\"+100\"", 100, 100, 0 },
		{ "\"-100\"", -100, -100, 0 },
		{ "\" -100 \"", -100, -100, 0 },
		{ "\"\\t00100\\n\"", 100, 100, 0 },
		{ "\"\\u0031\"", 1, 1, 0 },
		{ "\"+-1\"", 0, 0, 0 },
		{ "\"\"", 0, 0, 0 },
		{ "\"1.0\"", 0, 0, 0 },
		{ "\"1e2\"", 0, 0, 0 },
		{ "50.57", 50, 0, 0 },
		{ "-50.57", -50, 0, 0 },
		{ "5.114698E4", 51146, 0, 0 },
		{ "1e2", 100, 0, 0 },
		{ "123456e-3", 123, 0, 0 },
		{ "1e-5000000000", 0, 0, 0 },
		{ "0e5000000000", 0, 0, 0 },
		{ "1e308", INT64_MAX - 1, 0, 0 },
		{ "1e309", 0, 0, 0 },
		{ "0.05e2", 5, 0, 0 },
		{ "9007199254740991", 9007199254740991, 9007199254740991, 9007199254740991 },
		{ "99999999999999999999999", INT64_MAX - 1, 0, 0 },
		{ "null", 0, 0, 0 },
		{ "true", 0, 0, 0 },
		{ "[1]", 0, 0, 0 },
		/* clang-format on */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const int64_t expected[] = { cases[i].floaty, cases[i].stringy, cases[i].strict };
		const struct str versions[] = { STR("5"), STR("9"), STR("10") };

		for (size_t v = 0; v < ARRAY_LEN(versions); v++) {
			CLEANUP(arena_free) struct arena *arena = arena_new();
			const struct room room = {
				.levels = str_printf(arena, "{\"users\":{\"@b:x\":%s}}", cases[i].value).ptr
			};
			struct test_state s = make_state(&room, room_version_find(versions[v]), arena);
			const struct auth_state at = { state_get, &s };
			struct power_levels *levels = power_levels_read(s.version, &at, arena);

			if (power_level_of(levels, STR("@b:x")) != expected[v])
				fail_msg("%s in version %.*s: %" PRId64, cases[i].value, STR_ARG(versions[v]),
					 power_level_of(levels, STR("@b:x")));
		}
	}
}

static void answers_questions_on_levels(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const struct room none = { .create = "\"additional_creators\":[\"@b:x\"]" };
	const struct room some = { .create = "\"additional_creators\":[\"@b:x\"]",
				   .levels =
					   "{\"users\":{\"@c:x\":7},\"users_default\":3,\"events\":{\"t\":9},\"ban\":1,"
					   "\"state_default\":30,\"notifications\":{\"room\":20}}" };
	struct test_state s = make_state(&none, room_version_find(STR("11")), arena);
	const struct auth_state at = { state_get, &s };
	struct power_levels *levels = power_levels_read(s.version, &at, arena);

	assert_int_equal(power_level_of(levels, STR("@a:x")), 100);
	assert_int_equal(power_level_of(levels, STR("@b:x")), 0);
	assert_int_equal(power_level_needed(levels, STR("t"), true), 50);
	assert_int_equal(power_level_needed(levels, STR("t"), false), 0);
	assert_int_equal(power_level_action(levels, STR("ban")), 50);
	assert_int_equal(power_level_action(levels, STR("kick")), 50);
	assert_int_equal(power_level_action(levels, STR("redact")), 50);
	assert_int_equal(power_level_action(levels, STR("invite")), 0);
	assert_int_equal(power_level_action(levels, STR("notifications.room")), 50);

	s = make_state(&some, room_version_find(STR("11")), arena);
	levels = power_levels_read(s.version, &at, arena);
	assert_int_equal(power_level_of(levels, STR("@a:x")), 3);
	assert_int_equal(power_level_of(levels, STR("@c:x")), 7);
	assert_int_equal(power_level_needed(levels, STR("t"), true), 9);
	assert_int_equal(power_level_needed(levels, STR("u"), true), 30);
	assert_int_equal(power_level_action(levels, STR("ban")), 1);
	assert_int_equal(power_level_action(levels, STR("notifications.room")), 20);

	s = make_state(&some, room_version_find(STR("12")), arena);
	levels = power_levels_read(s.version, &at, arena);
	assert_true(power_level_of(levels, STR("@a:x")) == INT64_MAX);
	assert_true(power_level_of(levels, STR("@b:x")) == INT64_MAX);
	assert_int_equal(power_level_of(levels, STR("@c:x")), 7);
	assert_int_equal(power_level_of(levels, STR("@d:x")), 3);
}

static void checks_create_events(void **state UNUSED)
{
	static const struct {
		int from, to;
		const char *room_id, *content, *json;
		size_t prev_count;
		const char *why;
	} cases[] = {
		/* clang-format off */
		{ 1, 10, "!r:x", "{\"creator\":\"@a:x\"}", "{}", 0, NULL },
		{ 1, 10, "!r:x", "{}", "{}", 0, "creator" },
		{ 11, 11, "!r:x", "{}", "{}", 0, NULL },
		{ 12, 12, "!create", "{}", "{}", 0, NULL },
		{ 1, 10, "!r:x", "{\"creator\":\"@a:x\"}", "{}", 1, "prev_events" },
		{ 11, 12, "!r:x", "{}", "{}", 1, "prev_events" },
		{ 1, 11, "!r:y", "{\"creator\":\"@a:x\"}", "{}", 0, "server" },
		{ 12, 12, "!create", "{}", "{\"room_id\":\"!create\"}", 0, "room_id" },
		{ 1, 11, "!r:x", "{\"creator\":\"@a:x\",\"room_version\":\"9\"}", "{}", 0, NULL },
		{ 1, 11, "!r:x", "{\"creator\":\"@a:x\",\"room_version\":\"org.example\"}", "{}", 0, "not known" },
		{ 1, 11, "!r:x", "{\"creator\":\"@a:x\",\"room_version\":9}", "{}", 0, "not known" },
		{ 12, 12, "!create", "{\"additional_creators\":[]}", "{}", 0, NULL },
		{ 12, 12, "!create", "{\"additional_creators\":[\"@b:x\",\"@Old Name:y\"]}", "{}", 0, NULL },
		{ 12, 12, "!create", "{\"additional_creators\":\"@b:x\"}", "{}", 0, "additional_creators" },
		{ 12, 12, "!create", "{\"additional_creators\":[\"b\"]}", "{}", 0, "additional_creators" },
		{ 12, 12, "!create", "{\"additional_creators\":[\"@b\"]}", "{}", 0, "additional_creators" },
		{ 12, 12, "!create", "{\"additional_creators\":[7]}", "{}", 0, "additional_creators" },
		{ 11, 11, "!r:x", "{\"additional_creators\":[7]}", "{}", 0, NULL },
		/* clang-format on */
	};
	const struct auth_state empty = { state_get, &(struct test_state){ 0 } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t v = 0; v < room_version_count(); v++) {
			CLEANUP(arena_free) struct arena *arena = arena_new();
			struct pdu event =
				make_event(room_version_at(v), "m.room.create", "", STR("@a:x"), cases[i].content);
			struct err err = { 0 };

			if (event.version->number < cases[i].from || event.version->number > cases[i].to)
				continue;
			event.room_id = str_of(cases[i].room_id);
			event.json = str_of(cases[i].json);
			event.prev_count = cases[i].prev_count;
			if (auth_check(&event, &empty, arena, &err) != !cases[i].why)
				fail_msg("version %d, %s: %s", event.version->number, cases[i].content, err.message);
			if (cases[i].why)
				assert_non_null(strstr(err.message, cases[i].why));
		}
	}
}

/* The creator's join right after the create event needs neither invite nor join rules. */
static void lets_the_creator_join_first(void **state UNUSED)
{
	static const struct str after_create[] = { STR_INIT("$create"), STR_INIT("$other:x") };

	for (size_t v = 0; v < room_version_count(); v++) {
		CLEANUP(arena_free) struct arena *arena = arena_new();
		struct test_state s = make_state(&(const struct room){ 0 }, room_version_at(v), arena);
		const struct auth_state at = { state_get, &s };
		struct pdu event =
			make_event(s.version, "m.room.member", "@a:x", STR("@a:x"), "{\"membership\":\"join\"}");
		struct err err = { 0 };

		assert_false(auth_check(&event, &at, arena, &err));
		event.prev_events = after_create;
		assert_true(auth_check(&event, &at, arena, &err));
		event.prev_count = 2;
		assert_false(auth_check(&event, &at, arena, &err));
		event.prev_count = 1;
		event.sender = event.state_key = STR("@b:x");
		assert_false(auth_check(&event, &at, arena, &err));
	}
}

static void wants_the_rooms_own_create_event(void **state UNUSED)
{
	for (size_t v = 0; v < room_version_count(); v++) {
		CLEANUP(arena_free) struct arena *arena = arena_new();
		struct test_state s =
			make_state(&(const struct room){ .members = "b:join" }, room_version_at(v), arena);
		const struct auth_state at = { state_get, &s };
		struct pdu event = make_event(s.version, "m.room.message", NULL, STR("@b:x"), "{}");
		struct err err = { 0 };

		assert_true(auth_check(&event, &at, arena, &err));
		event.room_id = STR("!another");
		assert_int_equal(auth_check(&event, &at, arena, &err), !s.version->room_id_is_create_hash);
		s.events[0].type = STR("m.room.other");
		assert_false(auth_check(&event, &at, arena, &err));
		assert_non_null(strstr(err.message, "no create event"));
	}
}

static void checks_redactions_of_versions_1_and_2(void **state UNUSED)
{
	static const struct {
		const char *sender, *redacts;
		bool allowed;
	} cases[] = {
		/* clang-format off */
		{ "@a:x", "$any:y", true }, /* has the redact level */
		{ "@b:x", "$own:x", true }, /* of the same server as the redaction */
		{ "@b:x", "$other:y", false },
		{ "@b:x", "", false },
		/* clang-format on */
	};

	for (size_t v = 0; v < room_version_count(); v++) {
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			CLEANUP(arena_free) struct arena *arena = arena_new();
			struct test_state s = make_state(&(const struct room){ .members = "a:join b:join" },
							 room_version_at(v), arena);
			const struct auth_state at = { state_get, &s };
			struct pdu event =
				make_event(s.version, "m.room.redaction", NULL, str_of(cases[i].sender), "{}");
			struct err err = { 0 };

			event.redacts = str_of(cases[i].redacts);
			assert_int_equal(auth_check(&event, &at, arena, &err),
					 cases[i].allowed || s.version->number >= 3);
		}
	}
}

/* A third-party invite: a signature over {mxid, token} by a key that the room's m.room.third_party_invite lists. */
struct third_party_key {
	uint8_t public[32], secret[64];
	struct str text, url_text;
};

static struct third_party_key make_key(struct arena *arena, uint8_t fill)
{
	struct third_party_key key;
	uint8_t seed[32];

	memset(seed, fill, sizeof(seed));
	crypto_sign_seed_keypair(key.public, key.secret, seed);
	key.text = base64_encode(arena, key.public, 32);
	key.url_text = base64url_encode(arena, key.public, 32);
	return key;
}

static struct str make_signed(struct arena *arena, const struct third_party_key *key, struct str mxid)
{
	struct str body = str_printf(arena, "{\"mxid\":\"%.*s\",\"token\":\"tok\"}", STR_ARG(mxid));
	uint8_t signature[64];

	crypto_sign_detached(signature, NULL, (const uint8_t *)body.ptr, body.len, key->secret);
	return str_printf(arena,
			  "{\"mxid\":\"%.*s\",\"signatures\":{\"id.x\":{\"ed25519:0\":\"%.*s\"}},\"token\":\"tok\"}",
			  STR_ARG(mxid), STR_ARG(base64_encode(arena, signature, 64)));
}

static bool third_party_invite_allowed(const char *listed, const char *members, struct str sender,
				       struct str third_party, struct arena *arena, struct err *err)
{
	const struct room room = { .members = members, .third_party = listed };
	struct test_state s = make_state(&room, room_version_default(), arena);
	const struct auth_state at = { state_get, &s };
	struct pdu event = make_event(
		s.version, "m.room.member", "@b:x", sender,
		str_printf(arena, "{\"membership\":\"invite\",\"third_party_invite\":%.*s}", STR_ARG(third_party)).ptr);

	return auth_check(&event, &at, arena, err);
}

static void checks_third_party_invites(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct third_party_key key = make_key(arena, 0xfb), other = make_key(arena, 2);
	struct str good = str_printf(arena, "{\"signed\":%.*s}", STR_ARG(make_signed(arena, &key, STR("@b:x"))));
	struct str wrong_user = str_printf(arena, "{\"signed\":%.*s}", STR_ARG(make_signed(arena, &key, STR("@c:x"))));
	const char *single = str_printf(arena, "{\"public_key\":\"%.*s\"}", STR_ARG(key.text)).ptr;
	const char *single_url = str_printf(arena, "{\"public_key\":\"%.*s\"}", STR_ARG(key.url_text)).ptr;
	const char *listed =
		str_printf(arena, "{\"public_key\":\"%.*s\",\"public_keys\":[7,{\"public_key\":\"%.*s\"}]}",
			   STR_ARG(other.text), STR_ARG(key.text))
			.ptr;
	const char *another = str_printf(arena, "{\"public_key\":\"%.*s\"}", STR_ARG(other.text)).ptr;
	const struct {
		const char *listed, *members, *sender;
		struct str third_party;
		const char *why;
	} cases[] = {
		/* clang-format off */
		{ single, "a:join", "@a:x", good, NULL },
		{ single_url, "a:join", "@a:x", good, NULL },
		{ listed, "a:join", "@a:x", good, NULL },
		{ single, "a:leave", "@a:x", good, NULL }, /* the sender's membership and level don't matter here */
		{ single, "a:join b:ban", "@a:x", good, "banned" },
		{ single, "a:join", "@a:x", STR("{}"), "not signed" },
		{ single, "a:join", "@a:x", STR("7"), "not signed" },
		{ single, "a:join", "@a:x", STR("{\"signed\":{\"token\":\"tok\"}}"), "lacks" },
		{ single, "a:join", "@a:x", STR("{\"signed\":{\"mxid\":\"@b:x\"}}"), "lacks" },
		{ single, "a:join", "@a:x", STR("{\"signed\":{\"mxid\":\"@b:x\",\"token\":\"tok\"}}"),
		  "valid signature" },
		{ single, "a:join", "@a:x", wrong_user, "another user" },
		{ single, "a:join", "@a:x", STR("{\"signed\":{\"mxid\":\"@b:x\",\"token\":\"other\"}}"),
		  "no third-party invite" },
		{ single, "c:join", "@c:x", good, "another sender" },
		{ another, "a:join", "@a:x", good, "valid signature" },
		{ "{}", "a:join", "@a:x", good, "valid signature" },
		{ "{\"public_key\":\"AAAA\",\"public_keys\":{}}", "a:join", "@a:x", good, "valid signature" },
		/* clang-format on */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = { 0 };
		bool allowed = third_party_invite_allowed(cases[i].listed, cases[i].members, str_of(cases[i].sender),
							  cases[i].third_party, arena, &err);

		if (allowed != !cases[i].why || (cases[i].why && !strstr(err.message, cases[i].why)))
			fail_msg("case %zu: %s", i, allowed ? "allowed" : err.message);
	}
}

/* The selection as text: "create levels member:@a:x", in its order. */
static struct str selection_text(const struct auth_key *keys, size_t count, struct arena *arena)
{
	struct str text = { 0 };

	for (size_t i = 0; i < count; i++)
		text = str_printf(arena, "%.*s%s%.*s%s%.*s", STR_ARG(text), i ? " " : "",
				  STR_ARG(str_from(keys[i].type, 7)), keys[i].state_key.len ? ":" : "",
				  STR_ARG(keys[i].state_key));
	return text;
}

static void selects_auth_events(void **state UNUSED)
{
	static const struct {
		int from, to;
		const char *type, *state_key, *content, *selection;
	} cases[] = {
		/* clang-format off */
		{ 1, 12, "m.room.create", "", "{}", "" },
		{ 1, 11, "m.room.message", NULL, "{}", "create power_levels member:@a:x" },
		{ 12, 12, "m.room.message", NULL, "{}", "power_levels member:@a:x" },
		{ 12, 12, "m.room.topic", "", "{}", "power_levels member:@a:x" },
		{ 1, 11, "m.room.member", "@a:x", "{\"membership\":\"join\"}",
		  "create power_levels member:@a:x join_rules" },
		{ 12, 12, "m.room.member", "@a:x", "{\"membership\":\"knock\"}",
		  "power_levels member:@a:x join_rules" },
		{ 12, 12, "m.room.member", "@b:x", "{\"membership\":\"invite\"}",
		  "power_levels member:@a:x member:@b:x join_rules" },
		{ 12, 12, "m.room.member", "@b:x", "{\"membership\":\"leave\"}",
		  "power_levels member:@a:x member:@b:x" },
		{ 12, 12, "m.room.member", "@b:x", "{\"membership\":\"ban\"}", "power_levels member:@a:x member:@b:x" },
		{ 12, 12, "m.room.member", "@b:x",
		  "{\"membership\":\"invite\",\"third_party_invite\":{\"signed\":{\"token\":\"t\"}}}",
		  "power_levels member:@a:x member:@b:x join_rules third_party_invite:t" },
		{ 12, 12, "m.room.member", "@b:x", "{\"membership\":\"invite\",\"third_party_invite\":{\"signed\":7}}",
		  "power_levels member:@a:x member:@b:x join_rules" },
		{ 12, 12, "m.room.member", "@a:x",
		  "{\"membership\":\"join\",\"third_party_invite\":{\"signed\":{\"token\":\"t\"}}}",
		  "power_levels member:@a:x join_rules" },
		{ 8, 11, "m.room.member", "@a:x",
		  "{\"membership\":\"join\",\"join_authorised_via_users_server\":\"@c:x\"}",
		  "create power_levels member:@a:x join_rules member:@c:x" },
		{ 1, 7, "m.room.member", "@a:x",
		  "{\"membership\":\"join\",\"join_authorised_via_users_server\":\"@c:x\"}",
		  "create power_levels member:@a:x join_rules" },
		{ 12, 12, "m.room.member", "@a:x",
		  "{\"membership\":\"leave\",\"join_authorised_via_users_server\":\"@c:x\"}",
		  "power_levels member:@a:x" },
		/* clang-format on */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t v = 0; v < room_version_count(); v++) {
			CLEANUP(arena_free) struct arena *arena = arena_new();
			const struct room_version *version = room_version_at(v);
			struct auth_key *keys;
			struct str text;
			size_t count;

			if (version->number < cases[i].from || version->number > cases[i].to)
				continue;
			count = auth_keys_for(version, str_of(cases[i].type), cases[i].state_key != NULL,
					      str_of(cases[i].state_key), STR("@a:x"), parsed(cases[i].content), arena,
					      &keys);
			text = selection_text(keys, count, arena);
			if (!str_eq(text, str_of(cases[i].selection)))
				fail_msg("version %d, %s: %.*s", version->number, cases[i].selection, STR_ARG(text));
		}
	}
}

/* The events of a state by number, as auth_events of a message of b: 0 create, 1 member a, 2 member b, 3 join rules, 4
 * levels. */
static void checks_the_selection(void **state UNUSED)
{
	static const struct {
		int from, to;
		const char *chosen;
		const char *why;
	} cases[] = {
		/* clang-format off */
		{ 1, 11, "024", NULL },
		{ 1, 11, "02", NULL }, /* what is missing fails in auth_check, unless it is the create event */
		{ 1, 11, "24", "lacks the create event" },
		{ 1, 11, "", "lacks the create event" },
		{ 12, 12, "24", NULL },
		{ 12, 12, "", NULL },
		{ 12, 12, "024", "not needed" },
		{ 1, 11, "0124", "not needed" },
		{ 1, 11, "0234", "not needed" },
		{ 1, 11, "0224", "two events" },
		{ 12, 12, "242", "two events" },
		/* clang-format on */
	};
	const struct room room = { .members = "a:join b:join", .join_rule = "public", .levels = "{}" };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t v = 0; v < room_version_count(); v++) {
			CLEANUP(arena_free) struct arena *arena = arena_new();
			struct test_state s = make_state(&room, room_version_at(v), arena);
			struct pdu event = make_event(s.version, "m.room.message", NULL, STR("@b:x"), "{}");
			const struct pdu *chosen[8];
			size_t count = 0;
			struct err err = { 0 };

			if (s.version->number < cases[i].from || s.version->number > cases[i].to)
				continue;
			for (const char *at = cases[i].chosen; *at; at++)
				chosen[count++] = &s.events[*at - '0'];
			if (auth_check_selection(&event, chosen, count, arena, &err) != !cases[i].why)
				fail_msg("version %d, %s: %s", s.version->number, cases[i].chosen, err.message);
			if (cases[i].why)
				assert_non_null(strstr(err.message, cases[i].why));
			else if (count) {
				s.events[2].room_id = STR("!elsewhere:x");
				assert_false(auth_check_selection(&event, chosen, count, arena, &err));
				assert_non_null(strstr(err.message, "another room"));
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_the_rules_on_joins),
		cmocka_unit_test(follows_the_rules_on_invites),
		cmocka_unit_test(follows_the_rules_on_leaving_and_bans),
		cmocka_unit_test(follows_the_rules_on_knocking),
		cmocka_unit_test(follows_the_rules_on_other_events),
		cmocka_unit_test(follows_the_rules_on_changed_levels),
		cmocka_unit_test(checks_the_form_of_power_levels),
		cmocka_unit_test(reads_levels_of_old_versions),
		cmocka_unit_test(answers_questions_on_levels),
		cmocka_unit_test(checks_create_events),
		cmocka_unit_test(lets_the_creator_join_first),
		cmocka_unit_test(wants_the_rooms_own_create_event),
		cmocka_unit_test(checks_redactions_of_versions_1_and_2),
		cmocka_unit_test(checks_third_party_invites),
		cmocka_unit_test(selects_auth_events),
		cmocka_unit_test(checks_the_selection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
