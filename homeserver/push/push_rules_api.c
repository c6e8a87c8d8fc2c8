/* The endpoints of the push rules (client-server-api "Push Rules: API"). */
#include "push/push_internal.h"

/* What a path and a body ask for. */
struct question {
	enum push_kind kind;
	struct str rule_id, body, before, after;
};

static bool read_question(struct request *req, struct question *ret_question, struct err *err)
{
	*ret_question = (struct question){
		.rule_id = path_param(req, "ruleId"),
		.body = req->body_text,
		.before = query_param(req, "before"),
		.after = query_param(req, "after"),
	};
	if (!push_kind_parse(path_param(req, "kind"), &ret_question->kind))
		return err_set(err, M_INVALID_PARAM, "There is no such kind of push rules");
	return true;
}

static bool own_rules(struct request *req, struct push_ruleset **ret_rules, struct err *err)
{
	return push_rules_get(req->server, req->user->nid, req->user->user_id, req->arena, ret_rules, err);
}

static bool reply_text_json(struct request *req, struct str json)
{
	return reply_text(req, 200, STR("application/json"), json);
}

static bool get_all(struct request *req, struct err *err)
{
	struct push_ruleset *rules;

	return own_rules(req, &rules, err) &&
	       reply_text_json(req, str_printf(req->arena, "{\"global\":%.*s}", STR_ARG(push_ruleset_json(rules, req->arena))));
}

static bool get_global(struct request *req, struct err *err)
{
	struct push_ruleset *rules;

	return own_rules(req, &rules, err) && reply_text_json(req, push_ruleset_json(rules, req->arena));
}

static bool find_rule(struct request *req, const struct push_rule **ret_rule, struct err *err)
{
	enum push_kind kind;
	struct push_ruleset *rules;

	if (!own_rules(req, &rules, err))
		return false;
	*ret_rule = push_kind_parse(path_param(req, "kind"), &kind) ? push_rule_find(rules, kind, path_param(req, "ruleId")) : NULL;
	return *ret_rule || err_set(err, M_NOT_FOUND, "There is no such push rule");
}

static bool get_rule(struct request *req, struct err *err)
{
	const struct push_rule *rule;

	return find_rule(req, &rule, err) && reply_text_json(req, push_rule_json(rule, req->arena));
}

static bool get_enabled(struct request *req, struct err *err)
{
	const struct push_rule *rule;

	return find_rule(req, &rule, err) && reply_text_json(req, rule->enabled ? STR("{\"enabled\":true}") : STR("{\"enabled\":false}"));
}

static bool get_actions(struct request *req, struct err *err)
{
	const struct push_rule *rule;

	return find_rule(req, &rule, err) && reply_text_json(req, str_printf(req->arena, "{\"actions\":%.*s}", STR_ARG(rule->actions)));
}

/* --- changes --- */

static bool change_rules(struct request *req, push_rules_change change, struct err *err)
{
	struct question question;

	return read_question(req, &question, err) &&
	       push_rules_update(req->server, req->user->nid, req->user->user_id, req->arena, change, &question, err) && reply_empty(req);
}

static bool put(void *context, struct push_ruleset *rules, struct err *err)
{
	const struct question *q = context;

	return push_rule_put(rules, q->kind, q->rule_id, q->body, q->before, q->after, err);
}

static bool put_rule(struct request *req, struct err *err)
{
	return change_rules(req, put, err);
}

static bool delete(void *context, struct push_ruleset *rules, struct err *err)
{
	const struct question *q = context;

	return push_rule_delete(rules, q->kind, q->rule_id, err);
}

static bool delete_rule(struct request *req, struct err *err)
{
	return change_rules(req, delete, err);
}

static bool enable(void *context, struct push_ruleset *rules, struct err *err)
{
	const struct question *q = context;

	return push_rule_put_enabled(rules, q->kind, q->rule_id, q->body, err);
}

static bool put_enabled(struct request *req, struct err *err)
{
	return change_rules(req, enable, err);
}

static bool act(void *context, struct push_ruleset *rules, struct err *err)
{
	const struct question *q = context;

	return push_rule_put_actions(rules, q->kind, q->rule_id, q->body, err);
}

static bool put_actions(struct request *req, struct err *err)
{
	return change_rules(req, act, err);
}

#define RULES "/_matrix/client/v3/pushrules/"
#define RULE  RULES "global/{kind}/{ruleId}"

const struct route push_rules_routes[] = {
	{ HTTP_GET, RULES, AUTH_USER, LIMIT_NONE, get_all },
	{ HTTP_GET, RULES "global/", AUTH_USER, LIMIT_NONE, get_global },
	{ HTTP_GET, RULE, AUTH_USER, LIMIT_NONE, get_rule },
	{ HTTP_PUT, RULE, AUTH_USER, LIMIT_NONE, put_rule, BODY_TEXT },
	{ HTTP_DELETE, RULE, AUTH_USER, LIMIT_NONE, delete_rule },
	{ HTTP_GET, RULE "/enabled", AUTH_USER, LIMIT_NONE, get_enabled },
	{ HTTP_PUT, RULE "/enabled", AUTH_USER, LIMIT_NONE, put_enabled, BODY_TEXT },
	{ HTTP_GET, RULE "/actions", AUTH_USER, LIMIT_NONE, get_actions },
	{ HTTP_PUT, RULE "/actions", AUTH_USER, LIMIT_NONE, put_actions, BODY_TEXT },
	{ 0 },
};
