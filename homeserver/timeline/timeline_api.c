/* client-server-api "Syncing": scrolling back and forth, an event with its surroundings, one event. */
#include "timeline/timeline_api.h"

#include "interned/interned.h"
#include "rooms/event_view.h"
#include "state/state_store.h"
#include "sync/filter.h"
#include "sync/sync.h"

#define MAX_ANSWER    ((size_t)256 << 20)
#define DEFAULT_LIMIT 10
#define MAX_LIMIT     1000
#define MAX_PAGES     10 /* raw pages read for one answer: a filter that lets nothing through ends, with a token to go on */

/* Someone who scrolls through a room. */
struct scroll {
	struct request *req;
	struct room_info room;
	struct reader reader;
	int64_t root; /* the state that they may see */
	struct event_order until;
	struct event_filter filter;
	struct event *events;
	size_t count;
};

static bool read_filter(struct scroll *scroll, struct err *err)
{
	struct str text = query_param(scroll->req, "filter");
	json_t *json = NULL;

	if (text.len && !json_parse(text, scroll->req->arena, &json, err))
		return false;
	return event_filter_parse(json, scroll->req->arena, &scroll->filter, err);
}

static bool open_room(struct scroll *scroll, struct err *err)
{
	struct request *req = scroll->req;

	return room_require(req->server->rooms, path_param(req, "roomId"), req->arena, &scroll->room, err) &&
	       reader_of(req->server, req->user, scroll->room.nid, req->arena, &scroll->reader, err) &&
	       visibility_require_room(req->server, &scroll->room, &scroll->reader, req->arena, &scroll->root, &scroll->until, err) &&
	       read_filter(scroll, err);
}

static bool wanted(const struct scroll *scroll, const struct event *event)
{
	struct str type = STR(""), sender = STR(""), content = STR("");

	if (event_filter_is_plain(&scroll->filter))
		return true;
	slice_get_string(event->json, STR("type"), scroll->req->arena, &type);
	slice_get_string(event->json, STR("sender"), scroll->req->arena, &sender);
	slice_get(event->json, STR("content"), &content);
	return event_filter_wants(&scroll->filter, type, sender, content);
}

/* A token stands between events: before the one whose order it has. */
static struct event_order before(struct event_order place)
{
	return (struct event_order){ place.seq, place.sub > INT32_MIN ? place.sub - 1 : place.sub };
}

static struct event_order after(struct event_order place)
{
	return (struct event_order){ place.seq, place.sub + 1 };
}

/*
 * Up to `limit` events that may be seen and pass the filter, from *at on; *at becomes the order of the place that is reached. *ret_end: there is nothing further.
 */
static bool read_events(struct scroll *scroll, struct event_page page, size_t limit, struct event_order *at, bool *ret_end, struct err *err)
{
	struct request *req = scroll->req;

	scroll->events = ARENA_ARRAY(req->arena, limit, struct event);
	scroll->count = 0;
	*ret_end = false;
	page.from = page.backwards ? *at : before(*at);
	page.to = page.backwards ? page.to : before(page.to);
	if (!event_filter_wants_room(&scroll->filter, scroll->room.room_id)) {
		*ret_end = true;
		return true;
	}
	page.limit = (int64_t)limit;
	for (int i = 0; i < MAX_PAGES && scroll->count < limit && !*ret_end; i++) {
		struct event *events;
		bool *visible;
		size_t count;

		if (!events_page(req->server->events, scroll->room.nid, &page, req->arena, &events, &count, err))
			return false;
		visible = ARENA_ARRAY(req->arena, count, bool);
		if (!visibility_filter(req->server, &scroll->room, &scroll->reader, events, count, req->arena, visible, err))
			return false;
		*ret_end = count < limit;
		for (size_t e = 0; e < count; e++) {
			if (scroll->count == limit) {
				*ret_end = false;
				break;
			}
			page.from = events[e].order;
			*at = page.backwards ? events[e].order : after(events[e].order);
			if (visible[e] && wanted(scroll, &events[e]))
				scroll->events[scroll->count++] = events[e];
		}
	}
	return true;
}

static struct event_view view_of(const struct scroll *scroll)
{
	return (struct event_view){
		.server = scroll->req->server,
		.room = &scroll->room,
		.reader = &scroll->reader,
		.device = scroll->req->user->device,
	};
}

/* With lazy loading: the member events of those who sent what is shown, at `root`. */
static bool write_members(struct scroll *scroll, const struct event *events, size_t count, int64_t root, struct buf *out, struct err *err)
{
	struct request *req = scroll->req;
	struct state_source source = state_store_source(req->server->states);
	const struct event_view view = view_of(scroll);
	nid_t *keys = ARENA_ARRAY(req->arena, count, nid_t), *nids = ARENA_ARRAY(req->arena, count, nid_t);
	struct state_entry *entries = ARENA_ARRAY(req->arena, count, struct state_entry);
	struct event *members = ARENA_ARRAY(req->arena, count, struct event);
	size_t key_count = 0, member_count = 0;

	for (size_t i = 0; i < count; i++) {
		struct str sender;
		bool seen = false;

		if (!slice_get_string(events[i].json, STR("sender"), req->arena, &sender) ||
		    !find_key(req->server->interned, STR("m.room.member"), sender, &keys[key_count], err))
			return false;
		for (size_t j = 0; j < key_count && !seen; j++)
			seen = keys[j] == keys[key_count];
		key_count += keys[key_count] && !seen;
	}
	if (key_count && !state_get(&source, scroll->room.nid, root, keys, key_count, entries, err))
		return false;
	for (size_t i = 0; i < key_count; i++) {
		if (entries[i].event)
			nids[member_count++] = entries[i].event;
	}
	return events_load(req->server->events, nids, member_count, req->arena, members, err) &&
	       event_view_write(&view, out, members, member_count, req->arena, err);
}

/* --- /messages --- */

/* A token of a timeline is a place in the room's order; one of sync is where the room stood then. Empty: the room's end that one comes from. */
static bool read_place(struct scroll *scroll, const char *param, struct event_order empty, struct event_order *ret_order, struct err *err)
{
	struct str text = query_param(scroll->req, param);
	struct sync_token token;
	struct room_point point;

	*ret_order = empty;
	if (!text.len || order_token_parse(text, ret_order))
		return true;
	if (!sync_token_parse(text, &token))
		return err_set(err, M_INVALID_PARAM, "%s is no token of this server", param);
	if (!room_points_at(scroll->req->server, &scroll->room.nid, 1, token.pos, scroll->req->arena, &point, err))
		return false;
	*ret_order = (struct event_order){ point.seq + 1, INT32_MIN };
	return true;
}

static bool read_direction(struct request *req, bool *ret_backwards, struct err *err)
{
	struct str dir = query_param(req, "dir");

	if (!dir.len)
		return err_set(err, M_MISSING_PARAM, "dir is missing");
	if (!str_eq(dir, STR("b")) && !str_eq(dir, STR("f")))
		return err_set(err, M_INVALID_PARAM, "dir is b or f");
	*ret_backwards = dir.ptr[0] == 'b';
	return true;
}

static bool get_messages(struct request *req, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(MAX_ANSWER);
	struct scroll scroll = { .req = req };
	struct event_page page = { 0 };
	struct event_view view;
	struct event_order from, at;
	int64_t limit;
	bool end;

	if (!open_room(&scroll, err) || !read_direction(req, &page.backwards, err) || !query_int(req, "limit", 1, INT64_MAX, DEFAULT_LIMIT, &limit, err) ||
	    !read_place(&scroll, "from", page.backwards ? EVENT_ORDER_END : EVENT_ORDER_START, &from, err) ||
	    !read_place(&scroll, "to", page.backwards ? EVENT_ORDER_START : EVENT_ORDER_END, &page.to, err))
		return false;
	limit = scroll.filter.limit > 0 ? MIN(limit, scroll.filter.limit) : limit;
	at = from;
	if (!read_events(&scroll, page, (size_t)MIN(limit, MAX_LIMIT), &at, &end, err))
		return false;
	view = view_of(&scroll);
	buf_printf(&out, "{\"start\":\"t%" PRId64 "_%" PRId64 "\"", from.seq, from.sub);
	if (!end)
		buf_printf(&out, ",\"end\":\"t%" PRId64 "_%" PRId64 "\"", at.seq, at.sub);
	BUF_LIT(&out, ",\"chunk\":[");
	if (!event_view_write(&view, &out, scroll.events, scroll.count, req->arena, err))
		return false;
	BUF_LIT(&out, "]");
	if (scroll.filter.lazy_load_members && scroll.count) {
		BUF_LIT(&out, ",\"state\":[");
		if (!write_members(&scroll, scroll.events, scroll.count, scroll.events[0].root_after, &out, err))
			return false;
		BUF_LIT(&out, "]");
	}
	BUF_LIT(&out, "}");
	return reply_buf(req, 200, "application/json", &out);
}

/* --- one event --- */

static bool find_event(struct scroll *scroll, struct event *ret_event, struct err *err)
{
	struct request *req = scroll->req;
	bool visible = false;

	if (!room_require(req->server->rooms, path_param(req, "roomId"), req->arena, &scroll->room, err) ||
	    !reader_of(req->server, req->user, scroll->room.nid, req->arena, &scroll->reader, err) ||
	    !event_find(req->server->events, path_param(req, "eventId"), req->arena, ret_event, err))
		return false;
	if (ret_event->nid && ret_event->room == scroll->room.nid && ret_event->verdict == VERDICT_ACCEPTED &&
	    !visibility_filter(req->server, &scroll->room, &scroll->reader, ret_event, 1, req->arena, &visible, err))
		return false;
	if (!visible) /* what one may not see is not told apart from what is not there */
		return err_set(err, M_NOT_FOUND, "There is no such event here for you");
	return true;
}

static bool get_event(struct request *req, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(MAX_ANSWER);
	struct scroll scroll = { .req = req };
	struct event_view view;
	struct event event;

	if (!find_event(&scroll, &event, err))
		return false;
	view = view_of(&scroll);
	return event_view_write(&view, &out, &event, 1, req->arena, err) && reply_buf(req, 200, "application/json", &out);
}

/* --- /context --- */

static bool write_side(struct scroll *scroll, const char *name, struct event_page page, size_t limit, struct event_order from,
                       struct event_order *ret_at, struct buf *out, struct err *err)
{
	const struct event_view view = view_of(scroll);
	bool end;

	*ret_at = from;
	buf_printf(out, ",\"%s\":[", name);
	if (limit && (!read_events(scroll, page, limit, ret_at, &end, err) ||
	              !event_view_write(&view, out, scroll->events, scroll->count, scroll->req->arena, err)))
		return false;
	BUF_LIT(out, "]");
	return true;
}

static bool write_state(struct scroll *scroll, int64_t root, const struct event *shown, size_t shown_count, struct buf *out, struct err *err)
{
	struct request *req = scroll->req;
	const struct event_view view = view_of(scroll);
	struct event *events;
	size_t count, kept = 0;

	BUF_LIT(out, ",\"state\":[");
	if (!room_state_events(req->server, scroll->room.nid, root, req->arena, &events, &count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		bool lazy = scroll->filter.lazy_load_members && events[i].key >> 32;

		for (size_t j = 0; j < shown_count && lazy; j++) {
			struct str sender, state_key;

			lazy = !(slice_get(shown[j].json, STR("sender"), &sender) && slice_get(events[i].json, STR("state_key"), &state_key) &&
			         str_eq(sender, state_key));
		}
		if (!lazy)
			events[kept++] = events[i];
	}
	if (!event_view_write(&view, out, events, kept, req->arena, err))
		return false;
	BUF_LIT(out, "]");
	return true;
}

static bool get_context(struct request *req, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(MAX_ANSWER);
	struct scroll scroll = { .req = req };
	struct event_order start, end;
	struct event *shown;
	struct event_view view;
	struct event event;
	size_t shown_count;
	int64_t limit, root;

	if (!query_int(req, "limit", 0, INT64_MAX, DEFAULT_LIMIT, &limit, err) || !find_event(&scroll, &event, err) || !read_filter(&scroll, err))
		return false;
	limit = MIN(limit, MAX_LIMIT);
	view = view_of(&scroll);
	BUF_LIT(&out, "{\"event\":");
	if (!event_view_write(&view, &out, &event, 1, req->arena, err) ||
	    !write_side(&scroll, "events_before", (struct event_page){ .to = EVENT_ORDER_START, .backwards = true }, (size_t)(limit + 1) / 2, event.order, &start,
	                &out, err))
		return false;
	shown = ARENA_ARRAY(req->arena, (size_t)limit + 2, struct event);
	shown[0] = event;
	shown_count = 1;
	for (size_t i = 0; i < scroll.count; i++)
		shown[shown_count++] = scroll.events[i];
	scroll.count = 0;
	if (!write_side(&scroll, "events_after", (struct event_page){ .to = EVENT_ORDER_END }, (size_t)limit / 2, after(event.order), &end, &out, err))
		return false;
	for (size_t i = 0; i < scroll.count; i++)
		shown[shown_count++] = scroll.events[i];
	/* The state at the last event shown (the specification's wording). */
	root = scroll.count ? scroll.events[scroll.count - 1].root_after : event.root_after;
	if (!write_state(&scroll, root, shown, shown_count, &out, err))
		return false;
	/* `start` goes on backwards, `end` forwards. */
	buf_printf(&out, ",\"start\":\"t%" PRId64 "_%" PRId64 "\",\"end\":\"t%" PRId64 "_%" PRId64 "\"}", start.seq, start.sub, end.seq, end.sub);
	return reply_buf(req, 200, "application/json", &out);
}

const struct route timeline_routes[] = {
	{ HTTP_GET, "/_matrix/client/v3/rooms/{roomId}/messages", AUTH_USER, LIMIT_NONE, get_messages, .flags = ROUTE_GUEST },
	{ HTTP_GET, "/_matrix/client/v3/rooms/{roomId}/context/{eventId}", AUTH_USER, LIMIT_NONE, get_context, .flags = ROUTE_GUEST },
	{ HTTP_GET, "/_matrix/client/v3/rooms/{roomId}/event/{eventId}", AUTH_USER, LIMIT_NONE, get_event, .flags = ROUTE_GUEST },
	{ 0 },
};
