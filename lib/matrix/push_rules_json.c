/*
 * Rules as JSON: as clients see them, and as they are kept. Specification:
 * api/client-server/definitions/push_ruleset.yaml.
 */
#include "matrix/canonical.h"
#include "matrix/push_rules_internal.h"

/* The text of a buffer as the arena's. */
static struct str keep(struct buf *buf, struct arena *arena)
{
	struct str text = str_dup(arena, buf_str(buf));

	buf_done(buf);
	return text;
}

struct str push_json_string(struct str text, struct arena *arena)
{
	struct buf buf = buf_init(6 * text.len + 2);

	slice_write_string(&buf, text);
	return keep(&buf, arena);
}

/* A copy without white space. */
struct str push_compact(struct str value, struct arena *arena)
{
	struct str copy;
	struct err err;
	bool ok = canonical_value(value, CANONICAL_ANY, NULL, 0, arena, &copy, &err);

	assert(ok); /* the value has been parsed */
	return copy;
}

static void write_member(struct buf *buf, const char *name, struct str json)
{
	if (buf->ptr[buf->len - 1] != '{')
		buf_char(buf, ',');
	buf_printf(buf, "\"%s\":", name);
	buf_append(buf, json);
}

/* A rule; with `changes`, of a predefined one only what differs. */
static void write_rule(struct buf *buf, const struct push_rule *rule, bool changes, struct arena *arena)
{
	bool all = !changes || !rule->is_default;

	buf_char(buf, '{');
	if (all || rule->actions_changed)
		write_member(buf, "actions", rule->actions);
	if (all && push_kind_has_conditions(rule->kind))
		write_member(buf, "conditions", rule->conditions);
	if (all && !changes)
		write_member(buf, "default", rule->is_default ? STR("true") : STR("false"));
	if (all || rule->enabled_changed)
		write_member(buf, "enabled", rule->enabled ? STR("true") : STR("false"));
	if (rule->kind == PUSH_CONTENT)
		write_member(buf, "pattern", push_json_string(rule->pattern, arena));
	write_member(buf, "rule_id", push_json_string(rule->rule_id, arena));
	buf_char(buf, '}');
}

static struct str write_ruleset(const struct push_ruleset *set, bool changes, struct arena *arena)
{
	struct buf buf = buf_init((size_t)1 << 30);

	buf_char(&buf, '{');
	for (enum push_kind kind = 0; kind < PUSH_KINDS; kind++) {
		buf_printf(&buf, "%s\"%.*s\":[", kind ? "," : "", STR_ARG(push_kind_names[kind]));
		for (size_t i = 0; i < set->kinds[kind].count; i++) {
			const struct push_rule *rule = set->kinds[kind].items[i];

			if (changes && rule->is_default && !rule->enabled_changed && !rule->actions_changed)
				continue;
			if (buf.ptr[buf.len - 1] != '[')
				buf_char(&buf, ',');
			write_rule(&buf, rule, changes, arena);
		}
		buf_char(&buf, ']');
	}
	buf_char(&buf, '}');
	assert(buf_ok(&buf));
	return keep(&buf, arena);
}

struct str push_ruleset_stored(const struct push_ruleset *set, struct arena *arena)
{
	return write_ruleset(set, true, arena);
}

struct str push_ruleset_json(const struct push_ruleset *set, struct arena *arena)
{
	return write_ruleset(set, false, arena);
}

struct str push_rule_json(const struct push_rule *rule, struct arena *arena)
{
	struct buf buf = buf_init((size_t)1 << 30);

	write_rule(&buf, rule, false, arena);
	assert(buf_ok(&buf));
	return keep(&buf, arena);
}
