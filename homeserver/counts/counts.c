/* How many events are unread: sums by class, and what has to be looked at singly. */
#include "counts/counts_internal.h"

#include "push/push.h"
#include "rooms/memberships.h"
#include "state/state_store.h"

/* One user's question. */
struct counting {
	struct server *server;
	nid_t user;
	struct arena *arena;
	struct push_ruleset *rules;
	struct unread_thread *threads; /* those of a room beside each other */
	struct push_mask *masks;       /* of each thread: of its room */
	size_t count;
	struct unread *unread; /* of each thread */
};

/* What changes only when the state does, or the room, for the events that are evaluated one after the other. */
struct surroundings {
	struct room_info room;
	struct str display_name;
	int64_t root;
	size_t member_count;
	const struct power_levels *levels;
};

static bool read_masks(struct counting *counting, struct err *err)
{
	counting->masks = ARENA_ARRAY(counting->arena, counting->count, struct push_mask);
	for (size_t i = 0; i < counting->count; i++) {
		struct room_info room;

		if (i && counting->threads[i].room == counting->threads[i - 1].room) {
			counting->masks[i] = counting->masks[i - 1];
			continue;
		}
		if (!room_of_nid(counting->server->rooms, counting->threads[i].room, counting->arena, &room, err))
			return false;
		counting->masks[i] = push_ruleset_mask(counting->rules, room.room_id);
	}
	return true;
}

static void add_effect(struct unread *unread, bool notify, bool highlight, int64_t times)
{
	if (!notify)
		return;
	unread->notifications += times;
	unread->highlights += highlight ? times : 0;
}

static void add_class(const struct counting *counting, size_t thread, enum push_class class, int64_t times)
{
	const struct push_mask *mask = &counting->masks[thread];

	add_effect(&counting->unread[thread], mask->notify & 1u << class, mask->highlight & 1u << class, times);
}

/* --- one by one --- */

static bool display_name(struct counting *counting, nid_t room, struct str *ret_name, struct err *err)
{
	struct user_room member;
	struct str content;
	struct event event;

	*ret_name = STR("");
	if (!membership_get(counting->server, counting->user, room, counting->arena, &member, err) || !member.event)
		return !member.event;
	if (!event_load(counting->server->events, member.event, counting->arena, &event, err))
		return false;
	if (event.nid && slice_get(event.json, STR("content"), &content))
		slice_get_string(content, STR("displayname"), counting->arena, ret_name);
	return true;
}

static bool look_around(struct counting *counting, const struct event *event, struct surroundings *around, struct err *err)
{
	struct state_source source = state_store_source(counting->server->states);
	struct state_view *view;
	struct state_info info;

	if (around->room.nid != event->room) {
		*around = (struct surroundings){ 0 };
		if (!display_name(counting, event->room, &around->display_name, err) ||
		    !room_of_nid(counting->server->rooms, event->room, counting->arena, &around->room, err))
			return false;
	}
	if (around->root == event->root_before)
		return true;
	view = state_view_new(counting->server, &around->room, event->root_before, counting->arena);
	if (!state_info(&source, event->room, event->root_before, &info, err))
		return false;
	around->levels = power_levels_read(around->room.version, state_view_auth(view), counting->arena);
	around->member_count = info.joined;
	around->root = event->root_before;
	return !state_view_failed(view, err);
}

/* The mask tells of mentions, but for notices and mixed bags, and where keywords may come in between. */
static bool is_plain_mention(const struct push_mask *mask, const struct unread_event *unread)
{
	return unread->mention && !mask->mention_single && !mask->keywords && unread->class != PUSH_NOTICE && unread->class != PUSH_OTHER;
}

static bool evaluate(struct counting *counting, const struct unread_event *unread, const struct event *event, struct surroundings *around, struct err *err)
{
	struct push_event push;
	const struct push_rule *rule;
	struct str sender = STR("");

	if (!event->nid)
		return true;
	if (!look_around(counting, event, around, err))
		return false;
	slice_get_string(event->json, STR("sender"), counting->arena, &sender);
	push = push_event(event->json, around->room.room_id, sender, around->member_count, around->levels, counting->arena);
	rule = push_evaluate(counting->rules, &push, around->display_name);
	if (rule)
		add_effect(&counting->unread[unread->thread], rule->effect.notify, rule->effect.highlight, 1);
	return true;
}

/* In place of what the mask makes of its class comes what the rules make of the event. */
static bool count_singly(struct counting *counting, const struct unread_event *events, size_t count, struct err *err)
{
	struct event *loaded = ARENA_ARRAY(counting->arena, count, struct event);
	nid_t *nids = ARENA_ARRAY(counting->arena, count, nid_t);
	struct surroundings around = { 0 };
	size_t wanted = 0, at = 0;

	for (size_t i = 0; i < count; i++) {
		if (!events[i].hidden && !is_plain_mention(&counting->masks[events[i].thread], &events[i]))
			nids[wanted++] = events[i].event;
	}
	if (!events_load(counting->server->events, nids, wanted, counting->arena, loaded, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct push_mask *mask = &counting->masks[events[i].thread];

		add_class(counting, events[i].thread, events[i].class, -1);
		if (events[i].hidden)
			continue;
		if (is_plain_mention(mask, &events[i]))
			add_effect(&counting->unread[events[i].thread], mask->mention.notify, mask->mention.highlight, 1);
		else if (!evaluate(counting, &events[i], &loaded[at++], &around, err))
			return false;
	}
	return true;
}

static bool count_all(struct counting *counting, struct err *err)
{
	int64_t *classes = ARENA_ARRAY(counting->arena, counting->count, int64_t);
	struct unread_event *events;
	size_t ignored_count, count;
	nid_t *ignored;

	if (!counts_load_ignored(counting->server, counting->user, counting->arena, &ignored, &ignored_count, err) ||
	    !counts_load_gone(counting->server, ignored, ignored_count, counting->threads, counting->count, counting->arena, err))
		return false;
	for (size_t i = 0; i < counting->count; i++) {
		counting->unread[i] = (struct unread){ .room = counting->threads[i].room, .thread = counting->threads[i].thread };
		classes[i] = counting->masks[i].single | counting->masks[i].keywords;
		for (enum push_class class = 0; class < PUSH_CLASSES; class ++)
			add_class(counting, i, class, counting->threads[i].events[class]);
	}
	return counts_load_events(counting->server, counting->user, ignored, ignored_count, counting->threads, classes, counting->count, counting->arena,
	                          &events, &count, err) &&
	       count_singly(counting, events, count, err);
}

bool counts_read(struct server *server, nid_t user, struct str user_id, const struct counted_room *rooms, size_t count, struct arena *arena,
                 struct unread **ret_unread, size_t *ret_count, struct err *err)
{
	struct counting counting = { .server = server, .user = user, .arena = arena };

	*ret_count = 0;
	if (!count)
		return true;
	if (!counts_load_threads(server, user, rooms, count, arena, &counting.threads, &counting.count, err))
		return false;
	if (!counting.count)
		return true;
	counting.unread = ARENA_ARRAY(arena, counting.count, struct unread);
	if (!push_rules_get(server, user, user_id, arena, &counting.rules, err) || !read_masks(&counting, err) || !count_all(&counting, err))
		return false;
	for (size_t i = 0; i < counting.count; i++) {
		if (counting.unread[i].notifications > 0)
			counting.unread[(*ret_count)++] = counting.unread[i];
	}
	*ret_unread = counting.unread;
	return true;
}
