/*
 * Power levels. Specification: client-server-api "m.room.power_levels"; server-server-api "Definitions"; rooms/vN.md
 * "Authorization rules", the step "If type is m.room.power_levels".
 *
 * A user has the level that `users` gives, else `users_default`, else 0. Where the state has no power levels event, the
 * creator has 100 (up to version 11), all others 0. From version 12 on creators are above every level, with or without
 * an event.
 *
 * A value is an integer. Up to version 9 it may be a string that holds one, up to version 5 (before canonical JSON was
 * enforced) also a number with a fraction or an exponent, which is truncated. What can't be read counts as absent: only
 * a new event is rejected for it.
 */
#include "matrix/power_levels.h"

struct power_levels {
	const struct room_version *version;
	const struct pdu *create;                /* NULL: unknown */
	const struct pdu *event;                 /* NULL: the state has none */
	struct str users, events, notifications; /* the event's objects; empty: none */
	struct arena *arena;                     /* where strings with escapes are unescaped */
};

/* The levels that stand directly in `content`, in the order of the rules. */
static const struct {
	struct str name;
	int64_t fallback;
} named_levels[] = {
	{ STR_INIT("users_default"), 0 }, { STR_INIT("events_default"), 0 }, { STR_INIT("state_default"), 50 },
	{ STR_INIT("ban"), 50 },          { STR_INIT("redact"), 50 },        { STR_INIT("kick"), 50 },
	{ STR_INIT("invite"), 0 },
};

/* One level of a power levels event: an entry of an object of levels, or (with no key) a named one. */
struct level {
	struct str key;
	bool present;
	int64_t value;
};

struct level_list {
	struct level *items;
	size_t count, cap;
};

/* rooms/v1.md "m.room.power_levels events accept values as strings": white space, one sign, digits, white space. */
static bool level_from_string(struct str text, int64_t *ret_value)
{
	text = str_trim(text);
	if (text.len > 1 && text.ptr[0] == '+' && text.ptr[1] != '-')
		text = str_from(text, 1);
	return str_to_int64(text, ret_value);
}

/*
 * The digits of a JSON number and where the decimal point falls among them once the exponent is applied: 5.114698E4 is
 * 5114698 with the point after 5 digits. Leading zeros count as digits.
 */
struct decimal {
	bool negative;
	struct str mantissa; /* may contain the point */
	int64_t digits_before_point;
};

static struct decimal decimal_read(struct str number)
{
	struct decimal d = { .negative = number.ptr[0] == '-' };
	int64_t exponent = 0;
	ptrdiff_t e, point;

	d.mantissa = str_from(number, d.negative ? 1 : 0);
	e = MAX(str_find_char(d.mantissa, 'e'), str_find_char(d.mantissa, 'E'));
	if (e >= 0) {
		struct str digits = str_from(d.mantissa, (size_t)e + 1);
		bool minus = digits.ptr[0] == '-';

		if (!str_to_int64(digits.ptr[0] == '+' ? str_from(digits, 1) : digits, &exponent) ||
		    exponent > INT32_MAX || exponent < INT32_MIN)
			exponent = minus ? INT32_MIN : INT32_MAX;
		d.mantissa.len = (size_t)e;
	}
	point = str_find_char(d.mantissa, '.');
	d.digits_before_point = (point >= 0 ? point : (ptrdiff_t)d.mantissa.len) + exponent;
	return d;
}

/* rooms/v1.md "m.room.power_levels events accept values as floats". Beyond 64 bits the value saturates, beyond a
 * double's range it is none. */
static bool level_from_number(struct str number, int64_t *ret_value)
{
	struct decimal d = decimal_read(number);
	int64_t value = 0;
	size_t at = 0, significant = 0;

	for (int64_t digit = 0; digit < d.digits_before_point; digit++) {
		int next = 0;

		if (at < d.mantissa.len && d.mantissa.ptr[at] == '.')
			at++;
		if (at < d.mantissa.len)
			next = d.mantissa.ptr[at++] - '0';
		if (value == 0 && next == 0 && at == d.mantissa.len)
			break; /* zero, whatever its exponent */
		if (value && ++significant > 308)
			return false;
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, next, &value))
			value = INT64_MAX - 1; /* INT64_MAX is the creators' alone */
	}
	*ret_value = d.negative ? -value : value;
	return true;
}

/* A level as the room version reads it. */
static bool level_value(const struct room_version *version, struct str value, struct arena *arena, int64_t *ret_value)
{
	struct str text;

	switch (slice_type(value)) {
	case SLICE_NUMBER:
		return version->strict_canonical_json ? slice_int(value, ret_value)
						      : level_from_number(value, ret_value);
	case SLICE_STRING:
		return !version->integer_power_levels && slice_string(value, arena, &text) &&
		       level_from_string(text, ret_value);
	default:
		return false;
	}
}

static bool level_get(const struct power_levels *levels, struct str object, struct str key, int64_t *ret_value)
{
	struct str value;

	return object.len && slice_get(object, key, &value) &&
	       level_value(levels->version, value, levels->arena, ret_value);
}

static int64_t level_named(const struct power_levels *levels, struct str name, int64_t fallback)
{
	int64_t value = fallback;

	if (levels->event)
		(void)level_get(levels, levels->event->content, name, &value);
	return value;
}

/* An object of levels in an event's content; empty when there is none of that name. */
static struct str levels_object(const struct pdu *event, struct str name)
{
	struct str object;

	if (!event || !slice_get(event->content, name, &object) || slice_type(object) != SLICE_OBJECT)
		return (struct str){ 0 };
	return object;
}

struct power_levels *power_levels_of(const struct room_version *version, const struct pdu *create,
				     const struct pdu *event, struct arena *arena)
{
	struct power_levels *levels = ARENA_NEW(arena, struct power_levels);

	*levels = (struct power_levels){
		.version = version,
		.create = create,
		.event = event,
		.users = levels_object(event, STR("users")),
		.events = levels_object(event, STR("events")),
		.notifications = levels_object(event, STR("notifications")),
		.arena = arena,
	};
	return levels;
}

struct power_levels *power_levels_read(const struct room_version *version, const struct auth_state *state,
				       struct arena *arena)
{
	return power_levels_of(version, state->get(state->context, STR("m.room.create"), STR("")),
			       state->get(state->context, STR("m.room.power_levels"), STR("")), arena);
}

bool power_levels_is_creator(const struct pdu *create, struct str user_id)
{
	struct str creators, creator;
	struct slice_iter iter;

	if (str_eq(create->sender, user_id))
		return true;
	if (!slice_get(create->content, STR("additional_creators"), &creators) || slice_type(creators) != SLICE_ARRAY)
		return false;
	iter = slice_iter(creators);
	while (slice_item(&iter, &creator)) {
		if (slice_string_eq(creator, user_id))
			return true;
	}
	return false;
}

/* Who has 100 in a room of version 1 to 11 that has no power levels event. */
static bool is_old_creator(const struct power_levels *levels, struct str user_id)
{
	struct str creator;

	if (!levels->create)
		return false;
	if (levels->version->creator_is_sender)
		return str_eq(levels->create->sender, user_id);
	return slice_get(levels->create->content, STR("creator"), &creator) && slice_string_eq(creator, user_id);
}

int64_t power_level_of(const struct power_levels *levels, struct str user_id)
{
	int64_t value;

	if (levels->version->privileged_creators && levels->create && power_levels_is_creator(levels->create, user_id))
		return INT64_MAX;
	if (!levels->event)
		return !levels->version->privileged_creators && is_old_creator(levels, user_id) ? 100 : 0;
	if (level_get(levels, levels->users, user_id, &value))
		return value;
	return level_named(levels, STR("users_default"), 0);
}

int64_t power_level_needed(const struct power_levels *levels, struct str type, bool is_state)
{
	int64_t value;

	if (level_get(levels, levels->events, type, &value))
		return value;
	return is_state ? level_named(levels, STR("state_default"), 50) : level_named(levels, STR("events_default"), 0);
}

int64_t power_level_action(const struct power_levels *levels, struct str name)
{
	const struct str notifications = STR("notifications.");
	int64_t value = 50;

	if (str_starts_with(name, notifications)) {
		(void)level_get(levels, levels->notifications, str_from(name, notifications.len), &value);
		return value;
	}
	for (size_t i = 0; i < ARRAY_LEN(named_levels); i++) {
		if (str_eq(named_levels[i].name, name))
			value = named_levels[i].fallback;
	}
	return level_named(levels, name, value);
}

static int level_order(const void *a, const void *b)
{
	return str_cmp(((const struct level *)a)->key, ((const struct level *)b)->key);
}

/* All entries of an object of levels, by key. false: one can't be read (it is left out). */
static bool level_list_read(const struct room_version *version, struct str object, struct arena *arena,
			    struct level_list *ret_list)
{
	struct level_list list = { 0 };
	struct slice_iter iter;
	struct str key, value;
	bool all = true;

	*ret_list = list;
	if (!object.len)
		return true;
	iter = slice_iter(object);
	while (slice_member(&iter, &key, &value)) {
		struct level level = { .present = true };

		if (slice_string(key, arena, &level.key) && level_value(version, value, arena, &level.value))
			*ARENA_PUSH(arena, list.items, list.count, list.cap) = level;
		else
			all = false;
	}
	if (list.count)
		qsort(list.items, list.count, sizeof(*list.items), level_order);
	*ret_list = list;
	return all;
}

/* The member `name` of a new event's content is absent, or an object all of whose values are levels. */
static bool levels_well_formed(const struct pdu *event, struct str name, struct arena *arena,
			       struct level_list *ret_list, struct err *err)
{
	struct str object;

	*ret_list = (struct level_list){ 0 };
	if (!slice_get(event->content, name, &object))
		return true;
	if (slice_type(object) != SLICE_OBJECT)
		return err_set(err, M_BAD_JSON, "\"%.*s\" of the power levels is not an object", STR_ARG(name));
	if (!level_list_read(event->version, object, arena, ret_list))
		return err_set(err, M_BAD_JSON, "\"%.*s\" of the power levels has a value that is not an integer",
			       STR_ARG(name));
	return true;
}

/* 1 and 2 from version 10 on, and before any comparison in older versions, where no comparison would be possible
 * otherwise. */
static bool check_form(const struct pdu *event, struct arena *arena, struct level_list *ret_events,
		       struct level_list *ret_notifications, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(named_levels); i++) {
		struct str value;
		int64_t level;

		if (slice_get(event->content, named_levels[i].name, &value) &&
		    !level_value(event->version, value, arena, &level))
			return err_set(err, M_BAD_JSON, "\"%.*s\" of the power levels is not an integer",
				       STR_ARG(named_levels[i].name));
	}
	if (!levels_well_formed(event, STR("events"), arena, ret_events, err))
		return false;
	return !event->version->notification_power_levels ||
	       levels_well_formed(event, STR("notifications"), arena, ret_notifications, err);
}

static bool level_list_has(const struct level_list *list, struct str key)
{
	const struct level wanted = { .key = key };

	return list->count && bsearch(&wanted, list->items, list->count, sizeof(*list->items), level_order);
}

static bool lists_creator(const struct level_list *users, const struct pdu *create, struct arena *arena)
{
	struct str creators, item, creator;
	struct slice_iter iter;

	if (level_list_has(users, create->sender))
		return true;
	if (!slice_get(create->content, STR("additional_creators"), &creators) || slice_type(creators) != SLICE_ARRAY)
		return false;
	iter = slice_iter(creators);
	while (slice_item(&iter, &item)) {
		if (slice_string(item, arena, &creator) && level_list_has(users, creator))
			return true;
	}
	return false;
}

/* As little as real servers demand of these keys; a stricter reading would split old rooms. */
static bool is_user_id(struct str text)
{
	return str_starts_with(text, STR("@")) && str_find_char(text, ':') > 0;
}

/* 3 (1 up to version 9): keys are user IDs, values levels; and 4 of version 12: no creator among them. */
static bool check_users(const struct power_levels *current, const struct pdu *event, struct arena *arena,
			struct level_list *ret_users, struct err *err)
{
	if (!levels_well_formed(event, STR("users"), arena, ret_users, err))
		return false;
	for (size_t i = 0; i < ret_users->count; i++) {
		if (!is_user_id(ret_users->items[i].key))
			return err_set(err, M_BAD_JSON,
				       "\"users\" of the power levels has a key that is not a user ID");
	}
	if (event->version->privileged_creators && current->create && lists_creator(ret_users, current->create, arena))
		return err_set(err, M_BAD_JSON, "The room's creators can't be given a power level");
	return true;
}

struct change {
	struct level before, after;
	int64_t sender_level;
	bool others; /* the entry of another user than the sender */
};

/* Nobody touches a level above their own, sets one above their own, or touches another user's that equals their own. */
static bool check_change(const struct change *c, struct err *err)
{
	if (c->before.present == c->after.present && c->before.value == c->after.value)
		return true;
	if (c->others && c->before.present && c->before.value >= c->sender_level)
		return err_set(err, M_FORBIDDEN,
			       "You can't change the power level of a user whose level is not below yours");
	if (c->before.present && c->before.value > c->sender_level)
		return err_set(err, M_FORBIDDEN, "You can't change a power level that is above yours");
	if (c->after.present && c->after.value > c->sender_level)
		return err_set(err, M_FORBIDDEN, "You can't set a power level above yours");
	return true;
}

static bool check_named_changes(const struct power_levels *current, const struct pdu *event, int64_t sender_level,
				struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(named_levels); i++) {
		struct change c = { .sender_level = sender_level };
		struct str name = named_levels[i].name;

		c.before.present = level_get(current, current->event->content, name, &c.before.value);
		c.after.present = level_get(current, event->content, name, &c.after.value);
		if (!check_change(&c, err))
			return false;
	}
	return true;
}

/* Which list has the next key: below 0 the first, above 0 the second, 0 both. */
static int list_order(const struct level_list *first, size_t i, const struct level_list *second, size_t j)
{
	if (i == first->count)
		return 1;
	if (j == second->count)
		return -1;
	return str_cmp(first->items[i].key, second->items[j].key);
}

/* The two lists side by side, by key. `self` is the sender where the keys are users, else empty. */
static bool check_list_changes(const struct level_list *before, const struct level_list *after, int64_t sender_level,
			       struct str self, struct err *err)
{
	for (size_t b = 0, a = 0; b < before->count || a < after->count;) {
		struct change c = { .sender_level = sender_level };
		int order = list_order(before, b, after, a);

		if (order <= 0)
			c.before = before->items[b++];
		if (order >= 0)
			c.after = after->items[a++];
		c.others = self.len && !str_eq(c.before.present ? c.before.key : c.after.key, self);
		if (!check_change(&c, err))
			return false;
	}
	return true;
}

bool power_levels_check_change(const struct power_levels *current, const struct pdu *event, struct arena *arena,
			       struct err *err)
{
	struct level_list events = { 0 }, notifications = { 0 }, users, before;
	int64_t sender_level;

	if (event->version->integer_power_levels && !check_form(event, arena, &events, &notifications, err))
		return false;
	if (!check_users(current, event, arena, &users, err))
		return false;
	if (!current->event) /* the room has no power levels yet */
		return true;
	if (!event->version->integer_power_levels && !check_form(event, arena, &events, &notifications, err))
		return false;

	sender_level = power_level_of(current, event->sender);
	if (!check_named_changes(current, event, sender_level, err))
		return false;
	(void)level_list_read(event->version, current->events, arena, &before);
	if (!check_list_changes(&before, &events, sender_level, (struct str){ 0 }, err))
		return false;
	if (event->version->notification_power_levels) {
		(void)level_list_read(event->version, current->notifications, arena, &before);
		if (!check_list_changes(&before, &notifications, sender_level, (struct str){ 0 }, err))
			return false;
	}
	(void)level_list_read(event->version, current->users, arena, &before);
	return check_list_changes(&before, &users, sender_level, event->sender, err);
}
