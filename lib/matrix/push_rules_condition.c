/*
 * Conditions. Specification: modules/push.md "Conditions", appendices "Dot-separated property paths".
 *
 *   event_match              a glob on a string property, without regard to case: on the whole of it, of content.body
 * on a part between word boundaries event_property_is        a property that is exactly that string, integer, boolean
 * or null event_property_contains  an array property with exactly such an item contains_display_name    content.body
 * has the user's display name in that room between word boundaries room_member_count        the room's joined members,
 * compared sender_notification_permission   the sender's power level is at least what `notifications` asks for the key
 *
 * Others never match, nor do these when a parameter is missing or has another type.
 */
#include "matrix/push_rules_internal.h"

/* The names in a path: cut at dots, where `\.` and `\\` stand for themselves and other backslashes are kept. */
static size_t path_read(struct str text, struct arena *arena, const struct str **ret_path)
{
	struct str *names = NULL;
	size_t count = 0, cap = 0, len = 0;
	char *name = arena_alloc(arena, text.len + 1);

	for (size_t i = 0; i <= text.len; i++) {
		bool escape =
			i + 1 < text.len && text.ptr[i] == '\\' && (text.ptr[i + 1] == '.' || text.ptr[i + 1] == '\\');

		if (i < text.len && (escape || text.ptr[i] != '.')) {
			i += escape;
			name[len++] = text.ptr[i];
			continue;
		}
		*ARENA_PUSH(arena, names, count, cap) = (struct str){ name, len };
		name += len;
		len = 0;
	}
	*ret_path = names;
	return count;
}

bool push_path_is(const struct push_condition *condition, const struct str *path, size_t len)
{
	for (size_t i = 0; i < len && i < condition->path_len; i++) {
		if (!str_eq(condition->path[i], path[i]))
			return false;
	}
	return condition->path_len == len;
}

static bool is_comparable(struct str value)
{
	int64_t number;

	switch (slice_type(value)) {
	case SLICE_NUMBER:
		return slice_int(value, &number);
	case SLICE_ARRAY:
	case SLICE_OBJECT:
		return false;
	default:
		return true;
	}
}

/* "==2", "<10", "3" … */
static bool member_count_read(struct str text, struct push_condition *c)
{
	static const struct {
		struct str prefix;
		enum push_comparison comparison;
	} comparisons[] = {
		{ STR_INIT("=="), PUSH_EQUAL }, { STR_INIT("<="), PUSH_AT_MOST }, { STR_INIT(">="), PUSH_AT_LEAST },
		{ STR_INIT("<"), PUSH_LESS },   { STR_INIT(">"), PUSH_GREATER },
	};

	c->comparison = PUSH_EQUAL;
	for (size_t i = 0; i < ARRAY_LEN(comparisons); i++) {
		if (!str_starts_with(text, comparisons[i].prefix))
			continue;
		c->comparison = comparisons[i].comparison;
		text = str_from(text, comparisons[i].prefix.len);
		break;
	}
	return str_to_int64(text, &c->count) && c->count >= 0 && text.ptr[0] != '-';
}

static bool property_read(struct str condition, struct arena *arena, struct push_condition *c)
{
	struct str key;

	if (!slice_get_string(condition, STR("key"), arena, &key))
		return false;
	c->path_len = path_read(key, arena, &c->path);
	return true;
}

static bool event_match_read(struct str condition, struct arena *arena, struct push_condition *c)
{
	struct str pattern;

	if (!property_read(condition, arena, c) || !slice_get_string(condition, STR("pattern"), arena, &pattern))
		return false;
	c->pattern = push_fold(pattern, arena);
	c->words = PUSH_PATH_IS(c, STR("content"), STR("body"));
	return true;
}

static bool parameters_read(struct str condition, struct arena *arena, struct push_condition *c)
{
	struct str text;

	switch (c->check) {
	case PUSH_CHECK_EVENT_MATCH:
		return event_match_read(condition, arena, c);
	case PUSH_CHECK_PROPERTY_IS:
	case PUSH_CHECK_PROPERTY_CONTAINS:
		return property_read(condition, arena, c) && slice_get(condition, STR("value"), &c->value) &&
		       is_comparable(c->value);
	case PUSH_CHECK_MEMBER_COUNT:
		return slice_get_string(condition, STR("is"), arena, &text) && member_count_read(text, c);
	case PUSH_CHECK_PERMISSION:
		return slice_get_string(condition, STR("key"), arena, &c->key);
	case PUSH_CHECK_DISPLAY_NAME:
	case PUSH_CHECK_NEVER:
		break;
	}
	return true;
}

struct push_condition push_condition_read(struct str condition, struct arena *arena, bool *ret_complete)
{
	static const struct {
		struct str kind;
		enum push_check check;
	} kinds[] = {
		{ STR_INIT("event_match"), PUSH_CHECK_EVENT_MATCH },
		{ STR_INIT("event_property_is"), PUSH_CHECK_PROPERTY_IS },
		{ STR_INIT("event_property_contains"), PUSH_CHECK_PROPERTY_CONTAINS },
		{ STR_INIT("contains_display_name"), PUSH_CHECK_DISPLAY_NAME },
		{ STR_INIT("room_member_count"), PUSH_CHECK_MEMBER_COUNT },
		{ STR_INIT("sender_notification_permission"), PUSH_CHECK_PERMISSION },
	};
	struct push_condition c = { .check = PUSH_CHECK_NEVER };
	struct str kind;

	*ret_complete = slice_get_string(condition, STR("kind"), arena, &kind);
	for (size_t i = 0; *ret_complete && i < ARRAY_LEN(kinds); i++) {
		if (str_eq(kind, kinds[i].kind))
			c.check = kinds[i].check;
	}
	*ret_complete = *ret_complete && parameters_read(condition, arena, &c);
	return *ret_complete ? c : (struct push_condition){ .check = PUSH_CHECK_NEVER };
}

struct push_condition push_condition_of_content(struct str pattern, struct arena *arena)
{
	static const struct str path[] = { STR_INIT("content"), STR_INIT("body") };

	return (struct push_condition){
		.check = PUSH_CHECK_EVENT_MATCH,
		.path = path,
		.path_len = ARRAY_LEN(path),
		.pattern = push_fold(pattern, arena),
		.words = true,
	};
}

struct push_condition push_condition_of_property(struct str name, struct str value, struct arena *arena)
{
	struct str *path = ARENA_NEW(arena, struct str);

	*path = name;
	return (struct push_condition){
		.check = PUSH_CHECK_EVENT_MATCH,
		.path = path,
		.path_len = 1,
		.pattern = value,
		.exact = true,
	};
}

/* A string property. Of room and sender the caller knows better than the event's own form, which may lack them. */
static bool string_property(const struct push_condition *c, struct push_event *event, struct str *ret_text)
{
	struct str value;

	if (PUSH_PATH_IS(c, STR("room_id"))) {
		*ret_text = event->room_id;
		return true;
	}
	if (PUSH_PATH_IS(c, STR("sender"))) {
		*ret_text = event->sender;
		return true;
	}
	return slice_path_n(event->json, c->path, c->path_len, &value) && slice_string(value, event->arena, ret_text);
}

/* The folded body, or false when there is none. */
static bool folded_body(struct push_event *event, struct str *ret_body)
{
	struct str body;

	if (!event->body_known) {
		event->body_known = true;
		if (slice_path(event->json, &body, STR("content"), STR("body")) &&
		    slice_string(body, event->arena, &body))
			event->body = push_fold(body, event->arena);
	}
	*ret_body = event->body;
	return event->body.ptr != NULL;
}

static bool event_matches(const struct push_condition *c, struct push_event *event)
{
	struct str text;

	if (c->words)
		return folded_body(event, &text) && push_glob_matches_words(c->pattern, text);
	if (!string_property(c, event, &text))
		return false;
	return c->exact ? str_eq(c->pattern, text) : push_glob_matches(c->pattern, push_fold(text, event->arena));
}

static bool values_equal(struct str a, struct str b, struct arena *arena)
{
	enum slice_type type = slice_type(a);
	struct str text;
	int64_t x, y;

	if (type != slice_type(b))
		return false;
	switch (type) {
	case SLICE_STRING:
		return slice_string(a, arena, &text) && slice_string_eq(b, text);
	case SLICE_NUMBER:
		return slice_int(a, &x) && slice_int(b, &y) && x == y;
	default:
		return is_comparable(a) && str_eq(a, b);
	}
}

static bool property_is(const struct push_condition *c, struct push_event *event)
{
	struct str value, text;

	if (PUSH_PATH_IS(c, STR("room_id")) || PUSH_PATH_IS(c, STR("sender")))
		return string_property(c, event, &text) && slice_string_eq(c->value, text);
	return slice_path_n(event->json, c->path, c->path_len, &value) && values_equal(c->value, value, event->arena);
}

static bool property_contains(const struct push_condition *c, struct push_event *event)
{
	struct str array, item;
	struct slice_iter iter;

	if (!slice_path_n(event->json, c->path, c->path_len, &array) || slice_type(array) != SLICE_ARRAY)
		return false;
	iter = slice_iter(array);
	while (slice_item(&iter, &item)) {
		if (values_equal(c->value, item, event->arena))
			return true;
	}
	return false;
}

static bool contains_display_name(struct push_event *event, struct str display_name)
{
	struct str body;

	return display_name.len && folded_body(event, &body) &&
	       push_words_contain(push_fold(display_name, event->arena), body);
}

bool push_member_count_holds(const struct push_condition *c, int64_t count)
{
	switch (c->comparison) {
	case PUSH_EQUAL:
		return count == c->count;
	case PUSH_LESS:
		return count < c->count;
	case PUSH_GREATER:
		return count > c->count;
	case PUSH_AT_MOST:
		return count <= c->count;
	case PUSH_AT_LEAST:
		return count >= c->count;
	}
	return false;
}

static bool sender_may_notify(const struct push_condition *c, const struct push_event *event)
{
	struct str level = str_printf(event->arena, "notifications.%.*s", STR_ARG(c->key));

	return event->levels &&
	       power_level_of(event->levels, event->sender) >= power_level_action(event->levels, level);
}

bool push_condition_holds(const struct push_condition *c, struct push_event *event, struct str display_name)
{
	switch (c->check) {
	case PUSH_CHECK_EVENT_MATCH:
		return event_matches(c, event);
	case PUSH_CHECK_PROPERTY_IS:
		return property_is(c, event);
	case PUSH_CHECK_PROPERTY_CONTAINS:
		return property_contains(c, event);
	case PUSH_CHECK_DISPLAY_NAME:
		return contains_display_name(event, display_name);
	case PUSH_CHECK_MEMBER_COUNT:
		return push_member_count_holds(c, (int64_t)event->member_count);
	case PUSH_CHECK_PERMISSION:
		return sender_may_notify(c, event);
	case PUSH_CHECK_NEVER:
		break;
	}
	return false;
}
