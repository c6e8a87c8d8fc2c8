/*
 * How clients change their rules. Specification: api/client-server/pushrules.yaml.
 *
 * A new rule comes first of the user's own of its kind, or next to another of them; a changed one stays where it is if
 * nothing else is asked for. A rule is enabled when it is made. Of the predefined rules only the actions change, and
 * whether they are enabled.
 */
#include "matrix/push_rules_internal.h"

static bool body_read(struct str body, struct str *ret_object, struct err *err)
{
	if (body.len > PUSH_RULE_MAX_SIZE)
		return err_set(err, M_TOO_LARGE, "The rule is too large");
	if (!slice_parse(body, ret_object, err))
		return false;
	return slice_type(*ret_object) == SLICE_OBJECT || err_set(err, M_BAD_JSON, "The body is not a JSON object");
}

static bool member_of(struct str object, const char *name, enum slice_type type, struct str *ret_value, struct err *err)
{
	if (!slice_get(object, str_of(name), ret_value))
		return err_set(err, M_MISSING_PARAM, "\"%s\" is missing", name);
	return slice_type(*ret_value) == type || err_set(err, M_INVALID_PARAM, "\"%s\" has the wrong type", name);
}

static bool rule_id_valid(struct str rule_id, struct err *err)
{
	if (!rule_id.len || rule_id.len > PUSH_RULE_ID_MAX)
		return err_set(err, M_INVALID_PARAM, "The rule ID is empty or too long");
	if (rule_id.ptr[0] == '.')
		return err_set(err, M_INVALID_PARAM, "Rule IDs that start with a dot are the server's");
	if (str_find_char(rule_id, '/') >= 0 || str_find_char(rule_id, '\\') >= 0)
		return err_set(err, M_INVALID_PARAM, "The rule ID has a slash or a backslash");
	return true;
}

static bool actions_of(struct str object, struct arena *arena, struct str *ret_actions, struct push_effect *ret_effect,
		       struct err *err)
{
	struct str actions;

	if (!member_of(object, "actions", SLICE_ARRAY, &actions, err))
		return false;
	return push_actions_read(actions, arena, ret_actions, ret_effect) ||
	       err_set(err, M_INVALID_PARAM, "\"actions\" has something that is no action");
}

/* A rule as a client writes it, with all that the kind wants. */
static bool rule_of(struct push_ruleset *set, enum push_kind kind, struct str rule_id, struct str object,
		    struct push_rule *ret_rule, struct err *err)
{
	struct push_rule rule = { .kind = kind, .rule_id = str_dup(set->arena, rule_id), .enabled = true };
	struct str value;

	if (!actions_of(object, set->arena, &rule.actions, &rule.effect, err))
		return false;
	if (kind == PUSH_CONTENT) {
		if (!member_of(object, "pattern", SLICE_STRING, &value, err))
			return false;
		(void)slice_string(value, set->arena, &rule.pattern);
		rule.pattern = str_dup(set->arena, rule.pattern);
	}
	if (push_kind_has_conditions(kind)) {
		rule.conditions = STR("[]"); /* "A rule with no conditions always matches" */
		if (slice_get(object, STR("conditions"), &value)) {
			if (!member_of(object, "conditions", SLICE_ARRAY, &value, err))
				return false;
			rule.conditions = push_compact(value, set->arena);
		}
	}
	if (!push_rule_compile(&rule, set->arena))
		return err_set(err, M_INVALID_PARAM, "\"conditions\" has one that is incomplete");
	*ret_rule = rule;
	return true;
}

/* Where the rule goes, if it is to go next to another. */
static bool target_place(const struct push_ruleset *set, enum push_kind kind, struct str before, struct str after,
			 ptrdiff_t *ret_place, struct err *err)
{
	struct str anchor = before.len ? before : after;
	ptrdiff_t place;

	if (!anchor.len)
		return true;
	place = push_rule_place(set, kind, anchor);
	if (place < 0 || set->kinds[kind].items[place]->is_default)
		return err_status(err, 400, M_UNKNOWN, "before/after rule not found");
	*ret_place = before.len ? place : place + 1;
	return true;
}

bool push_rule_put(struct push_ruleset *set, enum push_kind kind, struct str rule_id, struct str body,
		   struct str before, struct str after, struct err *err)
{
	ptrdiff_t present = push_rule_place(set, kind, rule_id);
	ptrdiff_t place = present >= 0 ? present : (ptrdiff_t)push_own_begin(kind);
	struct push_rule *rule;
	struct str object = { 0 };

	if (!rule_id_valid(rule_id, err) || !body_read(body, &object, err))
		return false;
	if (present < 0 && set->own_count >= PUSH_RULES_MAX)
		return err_set(err, M_TOO_LARGE, "There are too many push rules");
	rule = ARENA_NEW(set->arena, struct push_rule);
	if (!rule_of(set, kind, rule_id, object, rule, err) || !target_place(set, kind, before, after, &place, err))
		return false;
	if (present >= 0) {
		rule->enabled = set->kinds[kind].items[present]->enabled;
		push_rule_remove(set, kind, (size_t)present);
		place -= place > present;
	}
	push_rule_insert(set, (size_t)place, rule);
	return true;
}

static struct push_rule *rule_find(const struct push_ruleset *set, enum push_kind kind, struct str rule_id,
				   struct err *err)
{
	ptrdiff_t place = push_rule_place(set, kind, rule_id);

	if (place < 0)
		err_set(err, M_NOT_FOUND, "The push rule was not found.");
	return place < 0 ? NULL : set->kinds[kind].items[place];
}

bool push_rule_delete(struct push_ruleset *set, enum push_kind kind, struct str rule_id, struct err *err)
{
	const struct push_rule *rule = rule_find(set, kind, rule_id, err);

	if (!rule)
		return false;
	if (rule->is_default)
		return err_set(err, M_INVALID_PARAM, "Predefined rules can't be deleted");
	push_rule_remove(set, kind, (size_t)push_rule_place(set, kind, rule_id));
	return true;
}

bool push_rule_put_enabled(struct push_ruleset *set, enum push_kind kind, struct str rule_id, struct str body,
			   struct err *err)
{
	struct push_rule *rule = rule_find(set, kind, rule_id, err);
	struct str object = { 0 }, value;

	if (!rule || !body_read(body, &object, err) || !member_of(object, "enabled", SLICE_BOOL, &value, err))
		return false;
	push_rule_read_enabled(rule, object);
	return true;
}

bool push_rule_put_actions(struct push_ruleset *set, enum push_kind kind, struct str rule_id, struct str body,
			   struct err *err)
{
	struct push_rule *rule = rule_find(set, kind, rule_id, err);
	struct push_effect effect;
	struct str object = { 0 }, actions;

	if (!rule || !body_read(body, &object, err) || !actions_of(object, set->arena, &actions, &effect, err))
		return false;
	rule->actions_changed = rule->is_default;
	rule->actions = actions;
	rule->effect = effect;
	return true;
}
