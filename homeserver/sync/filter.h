/* Filters (client-server-api "Filtering"), parsed for use. Views live as long as the arena that it was parsed into. */
#pragma once

#include "json/json.h"
#include "matrix/slice.h"

struct str_list {
	struct str *items;
	size_t count;
	bool given; /* an empty list that was given matches nothing */
};

struct event_filter {
	int64_t limit; /* -1: none given */
	struct str_list types, not_types, senders, not_senders, rooms, not_rooms;
	bool lazy_load_members, include_redundant_members, unread_thread_notifications;
	enum { URL_ANY, URL_WITH, URL_WITHOUT } contains_url;
};

struct filter {
	struct event_filter timeline, state, ephemeral, room_account_data, account_data, presence;
	struct str_list rooms, not_rooms, event_fields;
	bool include_leave, federation_format;
};

/* `json` is an object. M_BAD_JSON: a member of a wrong type, or a pattern out of bounds. NULL: the empty filter. */
bool filter_parse(const json_t *json, struct arena *arena, struct filter *ret_filter, struct err *err);
/* A single RoomEventFilter, as /messages and /context take it. */
bool event_filter_parse(const json_t *json, struct arena *arena, struct event_filter *ret_filter, struct err *err);

bool filter_wants_room(const struct filter *filter, struct str room_id);
bool event_filter_wants_room(const struct event_filter *filter, struct str room_id);
/* `content`: slice of the object, for contains_url; empty: not judged. */
bool event_filter_wants(const struct event_filter *filter, struct str type, struct str sender, struct str content);
/* Account data has no sender. */
bool event_filter_wants_type(const struct event_filter *filter, struct str type);
/* Whether it can refuse anything by type, sender or url: otherwise a page need not be filtered. */
bool event_filter_is_plain(const struct event_filter *filter);
