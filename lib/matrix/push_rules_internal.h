/* What the parts of the push rules share. */
#pragma once

#include "matrix/push_rules.h"

enum push_check {
	PUSH_CHECK_EVENT_MATCH,
	PUSH_CHECK_PROPERTY_IS,
	PUSH_CHECK_PROPERTY_CONTAINS,
	PUSH_CHECK_DISPLAY_NAME,
	PUSH_CHECK_MEMBER_COUNT,
	PUSH_CHECK_PERMISSION,
	PUSH_CHECK_NEVER, /* unrecognised, or not understood */
};

enum push_comparison { PUSH_EQUAL, PUSH_LESS, PUSH_GREATER, PUSH_AT_MOST, PUSH_AT_LEAST };

struct push_condition {
	enum push_check check;
	const struct str *path; /* of the property: its names, unescaped */
	size_t path_len;
	struct str pattern; /* folded; event_match */
	bool exact;         /* event_match by equality: of room and sender rules */
	bool words;         /* event_match within content.body */
	struct str value;   /* slice; event_property_is and _contains */
	struct str key;     /* sender_notification_permission */
	enum push_comparison comparison;
	int64_t count; /* room_member_count */
};

struct push_rule_list {
	struct push_rule **items;
	size_t count, cap;
};

struct push_ruleset {
	struct arena *arena;
	struct str user_id;
	struct push_rule_list kinds[PUSH_KINDS]; /* in the order in which they are checked */
	size_t own_count;
};

extern const struct str push_kind_names[PUSH_KINDS];
bool push_kind_has_conditions(enum push_kind kind);

/* push_rules.c. An array of actions: its text without white space, and what it comes to. false: one is none. */
bool push_actions_read(struct str actions, struct arena *arena, struct str *ret_actions,
		       struct push_effect *ret_effect);
/* Works out what a rule's conditions, pattern or ID check. false: a condition is incomplete (and will never match). */
bool push_rule_compile(struct push_rule *rule, struct arena *arena);
/* Takes `enabled` from an object, if it is there. */
void push_rule_read_enabled(struct push_rule *rule, struct str object);

/* The place of a rule in its kind, or -1; where the user's own rules begin; and putting one in or out. */
ptrdiff_t push_rule_place(const struct push_ruleset *ruleset, enum push_kind kind, struct str rule_id);
size_t push_own_begin(enum push_kind kind);
void push_rule_insert(struct push_ruleset *ruleset, size_t place, struct push_rule *rule);
void push_rule_remove(struct push_ruleset *ruleset, enum push_kind kind, size_t place);

/* push_rules_json.c: a JSON string; a copy of a value without white space. */
struct str push_json_string(struct str text, struct arena *arena);
struct str push_compact(struct str value, struct arena *arena);

/* push_rules_condition.c. A condition as evaluated, with whatever is wrong with it; `complete`: nothing is. */
struct push_condition push_condition_read(struct str condition, struct arena *arena, bool *ret_complete);
/* The condition that a content rule has by its pattern, and room and sender rules by their ID. */
struct push_condition push_condition_of_content(struct str pattern, struct arena *arena);
struct push_condition push_condition_of_property(struct str name, struct str value, struct arena *arena);
bool push_condition_holds(const struct push_condition *condition, struct push_event *event, struct str display_name);
bool push_member_count_holds(const struct push_condition *condition, int64_t count);
/* It is about the property of that path. */
#define PUSH_PATH_IS(condition, ...)                                                                                   \
	push_path_is((condition), (const struct str[]){ __VA_ARGS__ },                                                 \
		     sizeof((const struct str[]){ __VA_ARGS__ }) / sizeof(struct str))
bool push_path_is(const struct push_condition *condition, const struct str *path, size_t len);

/* push_rules_glob.c: appendices "Glob-style matching", on folded texts. */
struct str push_fold(struct str text, struct arena *arena); /* what differs in case only becomes equal */
bool push_glob_matches(struct str pattern, struct str text);
/* Some part of the text matches that starts and ends at a word boundary. */
bool push_glob_matches_words(struct str pattern, struct str text);
bool push_words_contain(struct str words, struct str text); /* the same without wildcards */
