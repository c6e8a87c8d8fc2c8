/*
 * What a ruleset makes of a class of events, told from the rules alone. See push_rules.h.
 *
 * A class is described by a few samples: what is known of its events, and what is not. The rules are gone through as
 * for an event, but a condition may hold, fail, or depend on what is unknown. A rule that depends may decide or not; so
 * a sample may end in several ways. If all the ways of all samples of a class do the same (notify or not, highlight or
 * not), the class is told; else its events are to be looked at singly.
 */
#include "matrix/push_rules_internal.h"

enum answer { NO, YES, DEPENDS };

/* What is known of a sample's properties. */
struct sample {
	const char *type; /* NULL: none of those named here */
	enum push_class class;
	enum answer one_to_one;    /* the room has two members */
	enum answer notice;        /* msgtype is m.notice */
	enum answer edit;          /* it replaces another event */
	enum answer mentions_room; /* by somebody who may */
	bool mentions_user;
};

#define MESSAGE   "m.room.message"
#define ENCRYPTED "m.room.encrypted"
#define CALL      "m.call.invite"
#define TOMBSTONE "m.room.tombstone"
#define MEMBER    "m.room.member"

static const char *const named_types[] = { MESSAGE, ENCRYPTED, CALL, TOMBSTONE, MEMBER };

static const struct sample samples[] = {
	/* clang-format off */
	{ MESSAGE, PUSH_MESSAGE_ONE_TO_ONE, .one_to_one = YES },
	{ MESSAGE, PUSH_MESSAGE_GROUP },
	{ ENCRYPTED, PUSH_ENCRYPTED_ONE_TO_ONE, .one_to_one = YES },
	{ ENCRYPTED, PUSH_ENCRYPTED_GROUP },
	{ MESSAGE, PUSH_NOTICE, .one_to_one = YES, .notice = YES },
	{ MESSAGE, PUSH_NOTICE, .notice = YES },
	{ ENCRYPTED, PUSH_NOTICE, .one_to_one = YES, .notice = YES },
	{ ENCRYPTED, PUSH_NOTICE, .notice = YES },
	{ CALL, PUSH_CALL, .one_to_one = DEPENDS },
	{ MESSAGE, PUSH_ROOM_MENTION, .one_to_one = YES, .edit = DEPENDS, .mentions_room = YES },
	{ MESSAGE, PUSH_ROOM_MENTION, .edit = DEPENDS, .mentions_room = YES },
	{ ENCRYPTED, PUSH_ROOM_MENTION, .one_to_one = YES, .edit = DEPENDS, .mentions_room = YES },
	{ ENCRYPTED, PUSH_ROOM_MENTION, .edit = DEPENDS, .mentions_room = YES },
	{ CALL, PUSH_ROOM_MENTION, .one_to_one = DEPENDS, .edit = DEPENDS, .mentions_room = YES },
	{ TOMBSTONE, PUSH_ROOM_MENTION, .one_to_one = DEPENDS, .edit = DEPENDS, .mentions_room = YES },
	{ NULL, PUSH_ROOM_MENTION, .one_to_one = DEPENDS, .edit = DEPENDS, .mentions_room = YES },
	{ TOMBSTONE, PUSH_TOMBSTONE, .one_to_one = DEPENDS, .edit = DEPENDS },
	{ NULL, PUSH_OTHER, .one_to_one = DEPENDS, .edit = DEPENDS },
	{ NULL, PUSH_OTHER, .one_to_one = DEPENDS, .edit = DEPENDS, .notice = YES, .mentions_room = DEPENDS },
	{ MEMBER, PUSH_OTHER, .one_to_one = DEPENDS, .edit = DEPENDS, .notice = DEPENDS, .mentions_room = DEPENDS },
	{ TOMBSTONE, PUSH_OTHER, .one_to_one = DEPENDS, .edit = DEPENDS },
	{ TOMBSTONE, PUSH_OTHER, .one_to_one = DEPENDS, .edit = DEPENDS, .notice = YES, .mentions_room = DEPENDS },
	{ CALL, PUSH_OTHER, .one_to_one = DEPENDS, .edit = YES },
	{ CALL, PUSH_OTHER, .one_to_one = DEPENDS, .edit = DEPENDS, .notice = YES, .mentions_room = DEPENDS },
	{ MESSAGE, PUSH_OTHER, .one_to_one = DEPENDS, .edit = YES },
	{ MESSAGE, PUSH_OTHER, .one_to_one = DEPENDS, .edit = YES, .notice = YES, .mentions_room = DEPENDS },
	{ MESSAGE, PUSH_OTHER, .one_to_one = DEPENDS, .edit = DEPENDS, .notice = YES, .mentions_room = YES },
	{ ENCRYPTED, PUSH_OTHER, .one_to_one = DEPENDS, .edit = YES },
	{ ENCRYPTED, PUSH_OTHER, .one_to_one = DEPENDS, .edit = YES, .notice = YES, .mentions_room = DEPENDS },
	{ ENCRYPTED, PUSH_OTHER, .one_to_one = DEPENDS, .edit = DEPENDS, .notice = YES, .mentions_room = YES },
	/* clang-format on */
};

/* What mentions the user, without being a notice or a membership. */
static const struct sample mentions[] = {
	/* clang-format off */
	{ MESSAGE, PUSH_CLASSES, .one_to_one = YES, .edit = DEPENDS, .mentions_room = DEPENDS, .mentions_user = true },
	{ MESSAGE, PUSH_CLASSES, .edit = DEPENDS, .mentions_room = DEPENDS, .mentions_user = true },
	{ NULL, PUSH_CLASSES, .one_to_one = DEPENDS, .edit = DEPENDS, .mentions_room = DEPENDS, .mentions_user = true },
	/* clang-format on */
};

/* As event_match compares: without regard to case. */
static bool text_matches(struct push_event *event, struct str value, struct str folded)
{
	struct str text;

	return slice_string(value, event->arena, &text) && str_eq(push_fold(text, event->arena), folded);
}

static bool has_type(struct push_event *event, struct str type)
{
	struct str value;

	return slice_get(event->json, STR("type"), &value) && text_matches(event, value, type);
}

static bool is_edit(struct push_event *event)
{
	struct str value;

	return slice_path(event->json, &value, STR("content"), STR("m.relates_to"), STR("rel_type")) &&
	       slice_string_eq(value, STR("m.replace"));
}

static bool mentions_room(struct push_event *event)
{
	const struct push_condition permission = { .check = PUSH_CHECK_PERMISSION, .key = STR("room") };
	struct str value;
	bool room;

	return slice_path(event->json, &value, STR("content"), STR("m.mentions"), STR("room")) &&
	       slice_bool(value, &room) && room && push_condition_holds(&permission, event, STR(""));
}

static bool is_notice(struct push_event *event)
{
	struct str value;

	return slice_path(event->json, &value, STR("content"), STR("msgtype")) &&
	       text_matches(event, value, STR("m.notice"));
}

enum push_class push_class_of(struct push_event *event)
{
	bool message = has_type(event, STR(MESSAGE)), encrypted = has_type(event, STR(ENCRYPTED));
	bool one_to_one = event->member_count == 2;
	struct str state_key;

	if (is_notice(event))
		return (message || encrypted) && !is_edit(event) && !mentions_room(event) ? PUSH_NOTICE : PUSH_OTHER;
	if (has_type(event, STR(MEMBER)))
		return PUSH_OTHER;
	if (mentions_room(event))
		return PUSH_ROOM_MENTION;
	if (has_type(event, STR(TOMBSTONE)) && slice_get(event->json, STR("state_key"), &state_key) &&
	    slice_string_eq(state_key, STR("")))
		return PUSH_TOMBSTONE;
	if (is_edit(event))
		return PUSH_OTHER;
	if (message)
		return one_to_one ? PUSH_MESSAGE_ONE_TO_ONE : PUSH_MESSAGE_GROUP;
	if (encrypted)
		return one_to_one ? PUSH_ENCRYPTED_ONE_TO_ONE : PUSH_ENCRYPTED_GROUP;
	return has_type(event, STR(CALL)) ? PUSH_CALL : PUSH_OTHER;
}

/* For whom and where it is asked. */
struct question {
	struct str user_id, room_id;               /* as they are */
	struct str folded_user_id, folded_room_id; /* and as patterns are matched */
};

static enum answer yes_or_no(bool yes)
{
	return yes ? YES : NO;
}

static enum answer type_matches(const struct sample *s, struct str pattern)
{
	if (s->type)
		return yes_or_no(push_glob_matches(pattern, str_of(s->type)));
	for (size_t i = 0; i < ARRAY_LEN(named_types); i++) {
		if (str_eq(pattern, str_of(named_types[i])))
			return NO;
	}
	return DEPENDS;
}

/* An invite of the user is the only event about them by state_key that rules know, and none that is counted in the
 * room. */
static enum answer state_key_matches(const struct sample *s, const struct question *q, struct str pattern)
{
	if (s->class == PUSH_TOMBSTONE)
		return yes_or_no(push_glob_matches(pattern, STR("")));
	if (str_eq(pattern, q->folded_user_id))
		return NO;
	if (s->type && str_eq(str_of(s->type), STR(TOMBSTONE)) && s->notice == NO && s->mentions_room == NO &&
	    !pattern.len)
		return NO; /* else it would be of that class */
	return DEPENDS;
}

static enum answer msgtype_matches(const struct sample *s, struct str pattern)
{
	if (s->notice == YES)
		return yes_or_no(push_glob_matches(pattern, STR("m.notice")));
	return s->notice == NO && str_eq(pattern, STR("m.notice")) ? NO : DEPENDS;
}

static enum answer event_matches(const struct push_condition *c, const struct sample *s, const struct question *q)
{
	if (PUSH_PATH_IS(c, STR("room_id")))
		return yes_or_no(c->exact ? str_eq(c->pattern, q->room_id)
					  : push_glob_matches(c->pattern, q->folded_room_id));
	if (PUSH_PATH_IS(c, STR("type")))
		return type_matches(s, c->pattern);
	if (PUSH_PATH_IS(c, STR("state_key")))
		return state_key_matches(s, q, c->pattern);
	if (PUSH_PATH_IS(c, STR("content"), STR("msgtype")))
		return msgtype_matches(s, c->pattern);
	if (c->words && s->type && str_eq(str_of(s->type), STR(ENCRYPTED)))
		return NO; /* nothing to read */
	return DEPENDS;
}

static bool is_room_mention(const struct push_condition *c)
{
	return c->check == PUSH_CHECK_PROPERTY_IS && PUSH_PATH_IS(c, STR("content"), STR("m.mentions"), STR("room")) &&
	       str_eq(c->value, STR("true"));
}

static bool is_room_permission(const struct push_condition *c)
{
	return c->check == PUSH_CHECK_PERMISSION && str_eq(c->key, STR("room"));
}

static enum answer property_is(const struct push_condition *c, const struct sample *s)
{
	if (is_room_mention(c))
		return s->mentions_room == YES ? YES : DEPENDS; /* it may be by somebody who may not */
	if (PUSH_PATH_IS(c, STR("content"), STR("m.relates_to"), STR("rel_type")) &&
	    slice_string_eq(c->value, STR("m.replace")))
		return s->edit;
	return DEPENDS;
}

static enum answer property_contains(const struct push_condition *c, const struct sample *s, const struct question *q)
{
	if (PUSH_PATH_IS(c, STR("content"), STR("m.mentions"), STR("user_ids")) &&
	    slice_string_eq(c->value, q->user_id))
		return yes_or_no(s->mentions_user);
	return DEPENDS;
}

static enum answer member_count(const struct push_condition *c, const struct sample *s)
{
	if (s->one_to_one == YES)
		return yes_or_no(push_member_count_holds(c, 2));
	return s->one_to_one == NO && c->comparison == PUSH_EQUAL && c->count == 2 ? NO : DEPENDS;
}

static enum answer condition_holds(const struct push_condition *c, const struct sample *s, const struct question *q)
{
	switch (c->check) {
	case PUSH_CHECK_EVENT_MATCH:
		return event_matches(c, s, q);
	case PUSH_CHECK_PROPERTY_IS:
		return property_is(c, s);
	case PUSH_CHECK_PROPERTY_CONTAINS:
		return property_contains(c, s, q);
	case PUSH_CHECK_MEMBER_COUNT:
		return member_count(c, s);
	case PUSH_CHECK_PERMISSION:
		return is_room_permission(c) && s->mentions_room == YES ? YES : DEPENDS;
	case PUSH_CHECK_DISPLAY_NAME:
		return DEPENDS;
	case PUSH_CHECK_NEVER:
		break;
	}
	return NO;
}

static enum answer rule_matches(const struct push_rule *rule, const struct sample *s, const struct question *q)
{
	bool mention = false, permission = false, depends = false;

	for (size_t i = 0; i < rule->check_count; i++) {
		enum answer answer = condition_holds(&rule->checks[i], s, q);

		mention = mention || is_room_mention(&rule->checks[i]);
		permission = permission || is_room_permission(&rule->checks[i]);
		depends = depends || answer == DEPENDS;
		if (answer == NO)
			return NO;
	}
	if (mention && permission && s->mentions_room == NO)
		return NO; /* the two together */
	return depends ? DEPENDS : YES;
}

/* The ways in which a class's events may end. */
struct ways {
	struct push_effect effect;
	bool any, several;
	bool keywords; /* content rules are asked */
};

static void way_add(struct ways *ways, struct push_effect effect)
{
	if (!ways->any)
		ways->effect = effect;
	else if (effect.notify != ways->effect.notify || effect.highlight != ways->effect.highlight)
		ways->several = true;
	ways->any = true;
}

static void sample_add(struct ways *ways, const struct push_ruleset *set, const struct sample *s,
		       const struct question *q)
{
	const struct push_rule *rule;

	for (enum push_kind kind = 0; kind < PUSH_KINDS; kind++) {
		for (size_t i = 0; (rule = push_rule_at(set, kind, i)); i++) {
			enum answer answer = rule->enabled ? rule_matches(rule, s, q) : NO;

			if (kind == PUSH_CONTENT) {
				ways->keywords = ways->keywords || answer != NO;
				continue;
			}
			if (answer != NO)
				way_add(ways, rule->effect);
			if (answer == YES)
				return;
		}
	}
	way_add(ways, (struct push_effect){ 0 });
}

struct push_mask push_ruleset_mask(const struct push_ruleset *set, struct str room_id)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const struct question q = { set->user_id, room_id, push_fold(set->user_id, arena), push_fold(room_id, arena) };
	struct ways ways[PUSH_CLASSES + 1] = { 0 };
	struct push_mask mask = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(samples); i++)
		sample_add(&ways[samples[i].class], set, &samples[i], &q);
	for (size_t i = 0; i < ARRAY_LEN(mentions); i++)
		sample_add(&ways[PUSH_CLASSES], set, &mentions[i], &q);
	for (enum push_class class = 0; class < PUSH_CLASSES; class ++) {
		uint32_t bit = (uint32_t)1 << class;

		mask.keywords |= ways[class].keywords ? bit : 0;
		if (ways[class].several) {
			mask.single |= bit;
			continue;
		}
		mask.notify |= ways[class].effect.notify ? bit : 0;
		mask.highlight |= ways[class].effect.highlight ? bit : 0;
	}
	mask.mention_single = ways[PUSH_CLASSES].several;
	if (!mask.mention_single)
		mask.mention = (struct push_effect){ ways[PUSH_CLASSES].effect.notify,
						     ways[PUSH_CLASSES].effect.highlight, STR("") };
	return mask;
}

size_t push_ruleset_keywords(const struct push_ruleset *set, struct arena *arena, struct str **ret_patterns)
{
	const struct push_rule *rule;
	struct str *patterns = NULL;
	size_t count = 0, cap = 0;

	for (size_t i = 0; (rule = push_rule_at(set, PUSH_CONTENT, i)); i++) {
		if (rule->enabled)
			*ARENA_PUSH(arena, patterns, count, cap) = rule->pattern;
	}
	*ret_patterns = patterns;
	return count;
}
