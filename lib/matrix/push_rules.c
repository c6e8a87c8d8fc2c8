/*
 * Rulesets: the predefined rules, the user's own, and how clients change them. Specification: modules/push.md "Push
 * Rules", "Predefined Rules"; api/client-server/pushrules.yaml.
 *
 * The rules of a kind are checked in order: first .m.rule.master, then the user's own, then the predefined ones. The
 * first enabled rule whose conditions all hold decides.
 */
#include "matrix/push_rules.h"

#include "matrix/push_rules_internal.h"

const struct str push_kind_names[PUSH_KINDS] = {
	[PUSH_OVERRIDE] = STR_INIT("override"),   [PUSH_CONTENT] = STR_INIT("content"),
	[PUSH_ROOM] = STR_INIT("room"),           [PUSH_SENDER] = STR_INIT("sender"),
	[PUSH_UNDERRIDE] = STR_INIT("underride"),
};

#define NOTIFY    "\"notify\""
#define SOUND     "{\"set_tweak\":\"sound\",\"value\":\"default\"}"
#define RING      "{\"set_tweak\":\"sound\",\"value\":\"ring\"}"
#define HIGHLIGHT "{\"set_tweak\":\"highlight\"}"

#define MATCH(key, pattern) "{\"key\":\"" key "\",\"kind\":\"event_match\",\"pattern\":" pattern "}"
#define TYPE(type)          MATCH("type", "\"" type "\"")
#define TWO_MEMBERS         "{\"is\":\"2\",\"kind\":\"room_member_count\"}"
#define USER_ID             "$USER_ID$" /* stands for the user's ID */

/* "Default Override Rules" and "Default Underride Rules", in their order. */
static const struct {
	struct str rule_id;
	enum push_kind kind;
	bool disabled;
	const char *conditions, *actions;
} predefined[] = {
	/* clang-format off */
	{ STR_INIT(".m.rule.master"), PUSH_OVERRIDE, true, "[]", "[]" },
	{ STR_INIT(".m.rule.suppress_notices"), PUSH_OVERRIDE, false,
	  "[" MATCH("content.msgtype", "\"m.notice\"") "]", "[]" },
	{ STR_INIT(".m.rule.invite_for_me"), PUSH_OVERRIDE, false,
	  "[" TYPE("m.room.member") "," MATCH("content.membership", "\"invite\"") "," MATCH("state_key", USER_ID) "]",
	  "[" NOTIFY "," SOUND "]" },
	{ STR_INIT(".m.rule.member_event"), PUSH_OVERRIDE, false, "[" TYPE("m.room.member") "]", "[]" },
	{ STR_INIT(".m.rule.is_user_mention"), PUSH_OVERRIDE, false,
	  "[{\"key\":\"content.m\\\\.mentions.user_ids\",\"kind\":\"event_property_contains\",\"value\":" USER_ID "}]",
	  "[" NOTIFY "," SOUND "," HIGHLIGHT "]" },
	{ STR_INIT(".m.rule.is_room_mention"), PUSH_OVERRIDE, false,
	  "[{\"key\":\"content.m\\\\.mentions.room\",\"kind\":\"event_property_is\",\"value\":true},"
	  "{\"key\":\"room\",\"kind\":\"sender_notification_permission\"}]",
	  "[" NOTIFY "," HIGHLIGHT "]" },
	{ STR_INIT(".m.rule.tombstone"), PUSH_OVERRIDE, false,
	  "[" TYPE("m.room.tombstone") "," MATCH("state_key", "\"\"") "]", "[" NOTIFY "," HIGHLIGHT "]" },
	{ STR_INIT(".m.rule.reaction"), PUSH_OVERRIDE, false, "[" TYPE("m.reaction") "]", "[]" },
	{ STR_INIT(".m.rule.room.server_acl"), PUSH_OVERRIDE, false,
	  "[" TYPE("m.room.server_acl") "," MATCH("state_key", "\"\"") "]", "[]" },
	{ STR_INIT(".m.rule.suppress_edits"), PUSH_OVERRIDE, false,
	  "[{\"key\":\"content.m\\\\.relates_to.rel_type\",\"kind\":\"event_property_is\",\"value\":\"m.replace\"}]",
	  "[]" },
	{ STR_INIT(".m.rule.call"), PUSH_UNDERRIDE, false, "[" TYPE("m.call.invite") "]", "[" NOTIFY "," RING "]" },
	{ STR_INIT(".m.rule.encrypted_room_one_to_one"), PUSH_UNDERRIDE, false,
	  "[" TWO_MEMBERS "," TYPE("m.room.encrypted") "]", "[" NOTIFY "," SOUND "]" },
	{ STR_INIT(".m.rule.room_one_to_one"), PUSH_UNDERRIDE, false, "[" TWO_MEMBERS "," TYPE("m.room.message") "]",
	  "[" NOTIFY "," SOUND "]" },
	{ STR_INIT(".m.rule.message"), PUSH_UNDERRIDE, false, "[" TYPE("m.room.message") "]", "[" NOTIFY "]" },
	{ STR_INIT(".m.rule.encrypted"), PUSH_UNDERRIDE, false, "[" TYPE("m.room.encrypted") "]", "[" NOTIFY "]" },
	/* clang-format on */
};

bool push_kind_parse(struct str name, enum push_kind *ret_kind)
{
	for (enum push_kind kind = 0; kind < PUSH_KINDS; kind++) {
		if (str_eq(name, push_kind_names[kind])) {
			*ret_kind = kind;
			return true;
		}
	}
	return false;
}

bool push_kind_has_conditions(enum push_kind kind)
{
	return kind == PUSH_OVERRIDE || kind == PUSH_UNDERRIDE;
}

/* An action with a parameter. Tweaks that are not known here are passed on as they are. */
static void tweak_read(struct str tweak, struct str action, struct arena *arena, struct push_effect *effect)
{
	struct str value, sound;
	bool highlight = true;

	if (str_eq(tweak, STR("highlight"))) {
		if (slice_get(action, STR("value"), &value) && !slice_bool(value, &highlight))
			highlight = false;
		effect->highlight = highlight;
	} else if (str_eq(tweak, STR("sound")) && slice_get_string(action, STR("value"), arena, &sound)) {
		effect->sound = str_dup(arena, sound);
	}
}

static bool is_historical(struct str action)
{
	return slice_string_eq(action, STR("dont_notify")) || slice_string_eq(action, STR("coalesce"));
}

/* "Actions" and "Historical Actions". */
bool push_actions_read(struct str actions, struct arena *arena, struct str *ret_actions, struct push_effect *ret_effect)
{
	struct push_effect effect = { 0 };
	struct slice_iter iter = slice_iter(actions);
	struct str action, tweak;

	if (slice_type(actions) != SLICE_ARRAY)
		return false;
	while (slice_item(&iter, &action)) {
		if (slice_string_eq(action, STR("notify")))
			effect.notify = true;
		else if (slice_get_string(action, STR("set_tweak"), arena, &tweak))
			tweak_read(tweak, action, arena, &effect);
		else if (!is_historical(action))
			return false;
	}
	*ret_actions = push_compact(actions, arena);
	*ret_effect = effect.notify ? effect : (struct push_effect){ 0 };
	return true;
}

/* All conditions of an override or underride rule. false: one is incomplete (and will never match). */
static bool conditions_compile(struct push_rule *rule, struct arena *arena)
{
	struct push_condition *checks = NULL;
	struct slice_iter iter = slice_iter(rule->conditions);
	struct str condition;
	size_t count = 0, cap = 0;
	bool all_complete = true;

	while (slice_item(&iter, &condition)) {
		bool complete;

		*ARENA_PUSH(arena, checks, count, cap) = push_condition_read(condition, arena, &complete);
		all_complete = all_complete && complete;
	}
	rule->checks = checks;
	rule->check_count = count;
	return all_complete;
}

bool push_rule_compile(struct push_rule *rule, struct arena *arena)
{
	struct push_condition *check;

	if (push_kind_has_conditions(rule->kind))
		return conditions_compile(rule, arena);
	check = ARENA_NEW(arena, struct push_condition);
	if (rule->kind == PUSH_CONTENT)
		*check = push_condition_of_content(rule->pattern, arena);
	else
		*check = push_condition_of_property(rule->kind == PUSH_ROOM ? STR("room_id") : STR("sender"),
						    rule->rule_id, arena);
	rule->checks = check;
	rule->check_count = 1;
	return true;
}

static struct str with_user_id(const char *text, struct str user_id, struct arena *arena)
{
	struct str rest = str_of(text), quoted = push_json_string(user_id, arena);
	ptrdiff_t at = str_find(rest, STR(USER_ID));

	if (at < 0)
		return rest;
	return str_printf(arena, "%.*s%.*s%s", (int)at, rest.ptr, STR_ARG(quoted), rest.ptr + at + sizeof(USER_ID) - 1);
}

static void add_predefined(struct push_ruleset *set)
{
	for (size_t i = 0; i < ARRAY_LEN(predefined); i++) {
		struct push_rule *rule = ARENA_NEW(set->arena, struct push_rule);
		struct push_rule_list *list = &set->kinds[predefined[i].kind];
		bool ok;

		*rule = (struct push_rule){
			.kind = predefined[i].kind,
			.rule_id = predefined[i].rule_id,
			.is_default = true,
			.enabled = !predefined[i].disabled,
			.conditions = with_user_id(predefined[i].conditions, set->user_id, set->arena),
		};
		ok = push_actions_read(str_of(predefined[i].actions), set->arena, &rule->actions, &rule->effect) &&
		     push_rule_compile(rule, set->arena);
		assert(ok);
		*ARENA_PUSH(set->arena, list->items, list->count, list->cap) = rule;
	}
}

ptrdiff_t push_rule_place(const struct push_ruleset *set, enum push_kind kind, struct str rule_id)
{
	const struct push_rule_list *list = &set->kinds[kind];

	for (size_t i = 0; i < list->count; i++) {
		if (str_eq(list->items[i]->rule_id, rule_id))
			return (ptrdiff_t)i;
	}
	return -1;
}

size_t push_own_begin(enum push_kind kind)
{
	return kind == PUSH_OVERRIDE ? 1 : 0; /* behind .m.rule.master */
}

void push_rule_insert(struct push_ruleset *set, size_t place, struct push_rule *rule)
{
	struct push_rule_list *list = &set->kinds[rule->kind];

	(void)ARENA_PUSH(set->arena, list->items, list->count, list->cap);
	memmove(&list->items[place + 1], &list->items[place], (list->count - 1 - place) * sizeof(struct push_rule *));
	list->items[place] = rule;
	set->own_count++;
}

void push_rule_remove(struct push_ruleset *set, enum push_kind kind, size_t place)
{
	struct push_rule_list *list = &set->kinds[kind];

	memmove(&list->items[place], &list->items[place + 1], (list->count - 1 - place) * sizeof(struct push_rule *));
	list->count--;
	set->own_count--;
}

void push_rule_read_enabled(struct push_rule *rule, struct str stored)
{
	bool enabled;

	if (slice_get_bool(stored, STR("enabled"), &enabled) && enabled != rule->enabled) {
		rule->enabled = enabled;
		rule->enabled_changed = rule->is_default && !rule->enabled_changed;
	}
}

/* What is stored of a predefined rule is what was changed of it. */
static void read_changes(struct push_ruleset *set, struct push_rule *rule, struct str stored)
{
	struct push_effect effect;
	struct str actions, value;

	push_rule_read_enabled(rule, stored);
	if (!slice_get(stored, STR("actions"), &value) || !push_actions_read(value, set->arena, &actions, &effect) ||
	    str_eq(actions, rule->actions))
		return;
	rule->actions = actions;
	rule->effect = effect;
	rule->actions_changed = true;
}

static void read_own(struct push_ruleset *set, enum push_kind kind, struct str rule_id, struct str stored)
{
	struct push_rule *rule = ARENA_NEW(set->arena, struct push_rule);
	struct str actions, conditions;
	size_t place = push_own_begin(kind);

	*rule = (struct push_rule){ .kind = kind, .rule_id = str_dup(set->arena, rule_id), .enabled = true };
	if (!slice_get(stored, STR("actions"), &actions) ||
	    !push_actions_read(actions, set->arena, &rule->actions, &rule->effect))
		return;
	if (kind == PUSH_CONTENT && !slice_get_string(stored, STR("pattern"), set->arena, &rule->pattern))
		return;
	rule->pattern = str_dup(set->arena, rule->pattern);
	if (push_kind_has_conditions(kind))
		rule->conditions =
			slice_get(stored, STR("conditions"), &conditions) && slice_type(conditions) == SLICE_ARRAY
				? push_compact(conditions, set->arena)
				: STR("[]");
	push_rule_read_enabled(rule, stored);
	(void)push_rule_compile(rule, set->arena);
	while (place < set->kinds[kind].count && !set->kinds[kind].items[place]->is_default)
		place++;
	push_rule_insert(set, place, rule);
}

static void read_rule(struct push_ruleset *set, enum push_kind kind, struct str stored)
{
	struct str rule_id;
	ptrdiff_t place;

	if (!slice_get_string(stored, STR("rule_id"), set->arena, &rule_id))
		return;
	place = push_rule_place(set, kind, rule_id);
	if (place >= 0 && set->kinds[kind].items[place]->is_default)
		read_changes(set, set->kinds[kind].items[place], stored);
	else if (place < 0 && !str_starts_with(rule_id, STR(".")))
		read_own(set, kind, rule_id, stored);
}

struct push_ruleset *push_ruleset_read(struct str user_id, struct str stored, struct arena *arena)
{
	struct push_ruleset *set = ARENA_NEW(arena, struct push_ruleset);
	struct str object, rules, rule;
	struct err err;

	set->arena = arena;
	set->user_id = str_dup(arena, user_id);
	add_predefined(set);
	if (!stored.len || !slice_parse(stored, &object, &err))
		return set;
	for (enum push_kind kind = 0; kind < PUSH_KINDS; kind++) {
		struct slice_iter iter;

		if (!slice_get(object, push_kind_names[kind], &rules) || slice_type(rules) != SLICE_ARRAY)
			continue;
		iter = slice_iter(rules);
		while (slice_item(&iter, &rule))
			read_rule(set, kind, rule);
	}
	return set;
}

const struct push_rule *push_rule_at(const struct push_ruleset *set, enum push_kind kind, size_t index)
{
	return index < set->kinds[kind].count ? set->kinds[kind].items[index] : NULL;
}

const struct push_rule *push_rule_find(const struct push_ruleset *set, enum push_kind kind, struct str rule_id)
{
	ptrdiff_t place = push_rule_place(set, kind, rule_id);

	return place < 0 ? NULL : set->kinds[kind].items[place];
}

struct push_event push_event(struct str json, struct str room_id, struct str sender, size_t member_count,
			     const struct power_levels *levels, struct arena *arena)
{
	return (struct push_event){ .json = json,
				    .room_id = room_id,
				    .sender = sender,
				    .member_count = member_count,
				    .levels = levels,
				    .arena = arena };
}

static bool rule_matches(const struct push_rule *rule, struct push_event *event, struct str display_name)
{
	if (!rule->enabled)
		return false;
	for (size_t i = 0; i < rule->check_count; i++) {
		if (!push_condition_holds(&rule->checks[i], event, display_name))
			return false;
	}
	return true;
}

const struct push_rule *push_evaluate(const struct push_ruleset *set, struct push_event *event, struct str display_name)
{
	if (str_eq(event->sender, set->user_id))
		return NULL;
	for (enum push_kind kind = 0; kind < PUSH_KINDS; kind++) {
		for (size_t i = 0; i < set->kinds[kind].count; i++) {
			if (rule_matches(set->kinds[kind].items[i], event, display_name))
				return set->kinds[kind].items[i];
		}
	}
	return NULL;
}
