#include "sync/filter.h"

#include "matrix/identifiers.h"

#define MAX_LIST 1000

static bool read_list(const json_t *object, const char *name, struct arena *arena, struct str_list *list, struct err *err)
{
	const json_t *array = json_object_get(object, name);
	size_t count = json_array_size(array);

	if (!array || json_is_null(array))
		return true;
	if (!json_is_array(array))
		return err_set(err, M_BAD_JSON, "%s is no list", name);
	if (count > MAX_LIST)
		return err_set(err, M_BAD_JSON, "%s is too long", name);
	*list = (struct str_list){ ARENA_ARRAY(arena, count, struct str), count, true };
	for (size_t i = 0; i < count; i++) {
		if (!json_is_string(json_array_get(array, i)))
			return err_set(err, M_BAD_JSON, "%s has something that is no string", name);
		list->items[i] = str_dup(arena, json_str(json_array_get(array, i)));
	}
	return true;
}

/* The same for a list of identifiers. */
static bool read_ids(const json_t *object, const char *name, bool (*valid)(struct str id), struct arena *arena, struct str_list *list, struct err *err)
{
	if (!read_list(object, name, arena, list, err))
		return false;
	for (size_t i = 0; i < list->count; i++) {
		if (!valid(list->items[i]))
			return err_set(err, M_BAD_JSON, "%s has something that is no ID", name);
	}
	return true;
}

static bool read_bool(const json_t *object, const char *name, bool *ret_value, struct err *err)
{
	const json_t *value = json_object_get(object, name);

	if (!value || json_is_null(value))
		return true;
	if (!json_is_boolean(value))
		return err_set(err, M_BAD_JSON, "%s is neither true nor false", name);
	*ret_value = json_is_true(value);
	return true;
}

bool event_filter_parse(const json_t *json, struct arena *arena, struct event_filter *ret_filter, struct err *err)
{
	struct event_filter filter = { 0 };
	const json_t *limit = json_object_get(json, "limit"), *url = json_object_get(json, "contains_url");

	if (json && !json_is_object(json))
		return err_set(err, M_BAD_JSON, "A filter is an object");
	if (limit && !json_is_null(limit) && (!json_is_integer(limit) || json_integer_value(limit) < 0))
		return err_set(err, M_BAD_JSON, "limit is no positive number");
	filter.limit = json_is_integer(limit) ? json_integer_value(limit) : -1;
	if (url && !json_is_null(url) && !json_is_boolean(url))
		return err_set(err, M_BAD_JSON, "contains_url is neither true nor false");
	filter.contains_url = json_is_true(url) ? URL_WITH : json_is_false(url) ? URL_WITHOUT : URL_ANY;
	if (!read_list(json, "types", arena, &filter.types, err) || !read_list(json, "not_types", arena, &filter.not_types, err) ||
	    !read_ids(json, "senders", user_id_valid, arena, &filter.senders, err) ||
	    !read_ids(json, "not_senders", user_id_valid, arena, &filter.not_senders, err) ||
	    !read_ids(json, "rooms", room_id_valid, arena, &filter.rooms, err) || !read_ids(json, "not_rooms", room_id_valid, arena, &filter.not_rooms, err) ||
	    !read_bool(json, "lazy_load_members", &filter.lazy_load_members, err) ||
	    !read_bool(json, "include_redundant_members", &filter.include_redundant_members, err) ||
	    !read_bool(json, "unread_thread_notifications", &filter.unread_thread_notifications, err))
		return false;
	*ret_filter = filter;
	return true;
}

bool filter_parse(const json_t *json, struct arena *arena, struct filter *ret_filter, struct err *err)
{
	const json_t *room = json_object_get(json, "room");
	struct str format = json_get_str(json, "event_format");
	struct filter filter = { 0 };

	if (json && !json_is_object(json))
		return err_set(err, M_BAD_JSON, "A filter is an object");
	if (room && !json_is_object(room))
		return err_set(err, M_BAD_JSON, "room is no object");
	if (format.len && !str_eq(format, STR("client")) && !str_eq(format, STR("federation")))
		return err_set(err, M_BAD_JSON, "event_format is neither client nor federation");
	filter.federation_format = str_eq(format, STR("federation"));
	if (!event_filter_parse(json_object_get(room, "timeline"), arena, &filter.timeline, err) ||
	    !event_filter_parse(json_object_get(room, "state"), arena, &filter.state, err) ||
	    !event_filter_parse(json_object_get(room, "ephemeral"), arena, &filter.ephemeral, err) ||
	    !event_filter_parse(json_object_get(room, "account_data"), arena, &filter.room_account_data, err) ||
	    !event_filter_parse(json_object_get(json, "account_data"), arena, &filter.account_data, err) ||
	    !event_filter_parse(json_object_get(json, "presence"), arena, &filter.presence, err) ||
	    !read_ids(room, "rooms", room_id_valid, arena, &filter.rooms, err) || !read_ids(room, "not_rooms", room_id_valid, arena, &filter.not_rooms, err) ||
	    !read_list(json, "event_fields", arena, &filter.event_fields, err) || !read_bool(room, "include_leave", &filter.include_leave, err))
		return false;
	*ret_filter = filter;
	return true;
}

static bool contains(const struct str_list *list, struct str text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (str_eq(list->items[i], text))
			return true;
	}
	return false;
}

static bool lists_want(const struct str_list *list, const struct str_list *not_list, struct str text)
{
	return (!list->given || contains(list, text)) && !contains(not_list, text);
}

bool filter_wants_room(const struct filter *filter, struct str room_id)
{
	return lists_want(&filter->rooms, &filter->not_rooms, room_id);
}

bool event_filter_wants_room(const struct event_filter *filter, struct str room_id)
{
	return lists_want(&filter->rooms, &filter->not_rooms, room_id);
}

/* `*` stands for any run of characters. */
static bool matches(struct str pattern, struct str text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, resume = 0;

	while (t < text.len) {
		if (p < pattern.len && pattern.ptr[p] == '*') {
			star = p++;
			resume = t;
		} else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++resume;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.ptr[p] == '*')
		p++;
	return p == pattern.len;
}

static bool any_matches(const struct str_list *patterns, struct str text)
{
	for (size_t i = 0; i < patterns->count; i++) {
		if (matches(patterns->items[i], text))
			return true;
	}
	return false;
}

bool event_filter_wants_type(const struct event_filter *filter, struct str type)
{
	return (!filter->types.given || any_matches(&filter->types, type)) && !any_matches(&filter->not_types, type);
}

bool event_filter_wants(const struct event_filter *filter, struct str type, struct str sender, struct str content)
{
	struct str url;
	bool has_url;

	if (!event_filter_wants_type(filter, type) || !lists_want(&filter->senders, &filter->not_senders, sender))
		return false;
	if (filter->contains_url == URL_ANY || !content.len)
		return true;
	has_url = slice_get(content, STR("url"), &url) && slice_type(url) == SLICE_STRING;
	return has_url == (filter->contains_url == URL_WITH);
}

bool event_filter_is_plain(const struct event_filter *filter)
{
	return !filter->types.given && !filter->not_types.count && !filter->senders.given && !filter->not_senders.count &&
	       filter->contains_url == URL_ANY;
}
