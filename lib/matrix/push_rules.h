/*
 * Push rules: which events notify a user, and how. Specification: client-server-api/modules/push.md "Push Rules". Pure.
 *
 * A user's ruleset is the predefined rules with what the user changed of them, and the user's own rules. What is kept
 * of it is a JSON text (push_ruleset_stored) that only holds what differs from the predefined rules; no text at all is
 * a ruleset nobody has touched. A ruleset lives in the arena it was read with, and may be evaluated by several threads
 * at a time while nobody changes it.
 */
#pragma once

#include "matrix/auth.h"

#define PUSH_RULES_MAX     2000 /* a user's own rules */
#define PUSH_RULE_MAX_SIZE 8192 /* the body of a request that makes or changes one */
#define PUSH_RULE_ID_MAX   512

/* In the order in which rules are checked. */
enum push_kind { PUSH_OVERRIDE, PUSH_CONTENT, PUSH_ROOM, PUSH_SENDER, PUSH_UNDERRIDE, PUSH_KINDS };
bool push_kind_parse(struct str name, enum push_kind *ret_kind);

/* What a rule's actions come to. The historical `dont_notify` and `coalesce` do nothing, but stay in the rule: older
 * clients look for them. */
struct push_effect {
	bool notify, highlight;
	struct str sound; /* empty: none */
};

struct push_condition; /* as evaluated */

struct push_rule {
	enum push_kind kind;
	struct str rule_id;
	bool is_default, enabled;
	struct str actions;    /* JSON array */
	struct str conditions; /* JSON array; override and underride rules have it, others are empty */
	struct str pattern;    /* of content rules */
	struct push_effect effect;
	const struct push_condition *checks;
	size_t check_count;
	bool enabled_changed, actions_changed; /* a predefined rule that is no longer as predefined */
};

struct push_ruleset;

/*
 * Reads what push_ruleset_stored() wrote; or the whole ruleset as clients have it, its `global` part, from another
 * server. Nothing in it is refused: what is no rule is left out, and a condition that is not understood never matches.
 */
struct push_ruleset *push_ruleset_read(struct str user_id, struct str stored, struct arena *arena);
struct str push_ruleset_stored(const struct push_ruleset *ruleset, struct arena *arena);

/* As GET /pushrules/global/ answers: {"override": […], "content": […], …}. */
struct str push_ruleset_json(const struct push_ruleset *ruleset, struct arena *arena);
struct str push_rule_json(const struct push_rule *rule, struct arena *arena);
const struct push_rule *push_rule_find(const struct push_ruleset *ruleset, enum push_kind kind,
				       struct str rule_id); /* or NULL */
/* The rules of a kind in the order in which they are checked. */
const struct push_rule *push_rule_at(const struct push_ruleset *ruleset, enum push_kind kind,
				     size_t index); /* or NULL */

/*
 * The changes that clients make, with the bodies of their requests (any JSON text). `before` and `after` are rule IDs,
 * empty when not given. Errors: M_NOT_JSON, M_BAD_JSON (no object), M_MISSING_PARAM, M_INVALID_PARAM, M_TOO_LARGE;
 * M_NOT_FOUND for a rule that is not there, 400 M_UNKNOWN when it is that of `before` or `after`. A ruleset that a
 * change was refused for is as it was.
 */
bool push_rule_put(struct push_ruleset *ruleset, enum push_kind kind, struct str rule_id, struct str body,
		   struct str before, struct str after, struct err *err);
bool push_rule_delete(struct push_ruleset *ruleset, enum push_kind kind, struct str rule_id, struct err *err);
bool push_rule_put_enabled(struct push_ruleset *ruleset, enum push_kind kind, struct str rule_id, struct str body,
			   struct err *err);
bool push_rule_put_actions(struct push_ruleset *ruleset, enum push_kind kind, struct str rule_id, struct str body,
			   struct err *err);

/* An event to evaluate rulesets for, one after another (not by two threads at a time). */
struct push_event {
	struct str json; /* as a client or a server has it, parsed by slice_parse */
	struct str room_id, sender;
	size_t member_count;               /* the room's joined members */
	const struct power_levels *levels; /* NULL: unknown, nobody may notify the room */
	struct arena *arena;
	/* Worked out when first needed. */
	struct str body; /* of the content, folded */
	bool body_known;
};
struct push_event push_event(struct str json, struct str room_id, struct str sender, size_t member_count,
			     const struct power_levels *levels, struct arena *arena);

/*
 * The first rule that matches, or NULL: no rule does, or the event is the user's own. `display_name` is the user's in
 * that room (empty: none). The rule's effect says what to do.
 */
const struct push_rule *push_evaluate(const struct push_ruleset *ruleset, struct push_event *event,
				      struct str display_name);

/*
 * Classes of events that most rulesets treat alike, so that unread events can be counted by class instead of one by
 * one. An event's class depends on the event and on its room at that time, not on who reads it.
 */
enum push_class {
	PUSH_MESSAGE_ONE_TO_ONE,   /* m.room.message in a room of two */
	PUSH_MESSAGE_GROUP,        /* and in any other */
	PUSH_ENCRYPTED_ONE_TO_ONE, /* m.room.encrypted */
	PUSH_ENCRYPTED_GROUP,
	PUSH_NOTICE,       /* either of them with the msgtype m.notice */
	PUSH_CALL,         /* m.call.invite */
	PUSH_ROOM_MENTION, /* whatever mentions the room, by somebody who may */
	PUSH_TOMBSTONE,
	PUSH_OTHER, /* all else, also edits of the above */
	PUSH_CLASSES,
};
enum push_class push_class_of(struct push_event *event);

/*
 * What a user's rules make of the classes in one room. The masks have a bit (1 << class) for each class, and hold for
 * events that others sent and that do not mention the user; what mentions the user (`m.mentions`) is in `mention`,
 * unless it is a notice, which never notifies by default.
 *
 * A class in `single` can't be told as a whole: there are rules on the sender, on other properties of such events, on
 * words in override rules, or it is a mixed bag; its events are to be evaluated one by one. Content rules are left out
 * of all this: where `keywords` is set, events of the classes in it notify as push_evaluate says if their body has one
 * of push_ruleset_keywords().
 */
struct push_mask {
	uint32_t notify, highlight, single, keywords;
	struct push_effect mention;
	bool mention_single;
};
struct push_mask push_ruleset_mask(const struct push_ruleset *ruleset, struct str room_id);
/* The patterns of the enabled content rules, in their order. */
size_t push_ruleset_keywords(const struct push_ruleset *ruleset, struct arena *arena, struct str **ret_patterns);
