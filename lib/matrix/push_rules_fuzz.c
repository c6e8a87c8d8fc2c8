/*
 * Rulesets of any content: what is kept of one is read back the same, a change that is refused changes nothing, and
 * what a mask tells of an event's class is what evaluating the event tells.
 *
 * The input, a line each: a ruleset as it is kept, an event, the body of a request, a rule ID.
 */
#include "matrix/push_rules.h"

#define USER STR("@a:x")

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static struct push_ruleset *check_kept(struct str stored, struct arena *arena)
{
	struct push_ruleset *set = push_ruleset_read(USER, stored, arena), *again;
	struct str kept = push_ruleset_stored(set, arena), all = push_ruleset_json(set, arena), value;
	struct err err;

	check(slice_parse(kept, &value, &err) && slice_parse(all, &value, &err));
	again = push_ruleset_read(USER, kept, arena);
	check(str_eq(push_ruleset_stored(again, arena), kept) && str_eq(push_ruleset_json(again, arena), all));
	check(str_eq(push_ruleset_json(push_ruleset_read(USER, all, arena), arena), all));
	return set;
}

/* Masks don't speak of events that mention the user or are about the user, nor of what encrypted events have in the
 * clear. */
static bool is_exempt(struct str event, struct str type, struct arena *arena)
{
	struct str value, item;
	struct slice_iter iter;

	if (slice_get_string(event, STR("state_key"), arena, &value) && str_eq_ascii_nocase(value, USER))
		return true;
	if (str_eq_ascii_nocase(type, STR("m.room.encrypted")) &&
	    slice_path(event, &value, STR("content"), STR("body")))
		return true;
	if (!slice_path(event, &value, STR("content"), STR("m.mentions"), STR("user_ids")))
		return false;
	iter = slice_iter(value);
	while (slice_item(&iter, &item)) {
		if (slice_string_eq(item, USER))
			return true;
	}
	return false;
}

static void check_mask(const struct push_ruleset *set, struct str json, size_t member_count, struct arena *arena)
{
	struct push_mask mask = push_ruleset_mask(set, STR("!r:x"));
	struct push_event event;
	const struct push_rule *rule;
	struct str value, type;
	struct err err;
	uint32_t bit;

	if (!slice_parse(json, &value, &err) || !slice_get_string(value, STR("type"), arena, &type) ||
	    is_exempt(value, type, arena))
		return;
	event = push_event(value, STR("!r:x"), STR("@b:x"), member_count, NULL, arena);
	rule = push_evaluate(set, &event, STR("Ana"));
	bit = 1u << push_class_of(&event);
	if ((mask.single | mask.keywords) & bit)
		return;
	check(!(mask.notify & bit) == !(rule && rule->effect.notify));
	check(!(mask.highlight & bit) == !(rule && rule->effect.highlight));
}

/* The length of the rule ID says which kind. */
static void check_changes(struct push_ruleset *set, struct str body, struct str rule_id, struct arena *arena)
{
	enum push_kind kind = (enum push_kind)(rule_id.len % PUSH_KINDS);
	struct str before = push_ruleset_json(set, arena);
	struct err err = { 0 };

	if (push_rule_put(set, kind, rule_id, body, STR(""), STR(""), &err))
		check(push_rule_find(set, kind, rule_id) != NULL);
	else
		check(err.status && str_eq(push_ruleset_json(set, arena), before));
	(void)push_rule_put_actions(set, kind, rule_id, body, &err);
	(void)push_rule_put_enabled(set, kind, rule_id, body, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str text = { (const char *)data, size }, lines[4] = { 0 };
	struct push_ruleset *set;

	for (size_t i = 0; i < ARRAY_LEN(lines) && str_split(&text, '\n', &lines[i]); i++)
		;
	set = check_kept(lines[0], arena);
	check_mask(set, lines[1], 2, arena);
	check_mask(set, lines[1], 3, arena);
	check_changes(set, lines[2], lines[3], arena);
	(void)check_kept(push_ruleset_stored(set, arena), arena);
	return 0;
}
