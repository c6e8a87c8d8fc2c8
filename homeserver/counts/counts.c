/* How many events are unread: sums by class, and what has to be looked at singly. */
#include "counts/counts_internal.h"

#include "push/push.h"
#include "rooms/memberships.h"
#include "state/state_store.h"

/* One user's question. */
struct counting {
	struct server *server;
	nid_t user;
	struct str user_id;
	struct arena *arena;
	struct push_ruleset *rules; /* NULL until they are needed */
	struct ignored_users ignored;
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

static bool need_rules(struct counting *counting, struct err *err)
{
	return counting->rules || push_rules_get(counting->server, counting->user, counting->user_id, counting->arena, &counting->rules, err);
}

static bool read_masks(struct counting *counting, struct err *err)
{
	if (!need_rules(counting, err))
		return false;
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

/* What the rules make of one event. */
static bool evaluate(struct counting *counting, const struct event *event, struct surroundings *around, struct push_effect *ret_effect, struct err *err)
{
	struct push_event push;
	const struct push_rule *rule;
	struct str sender = STR("");

	*ret_effect = (struct push_effect){ 0 };
	if (!event->nid || event->redacted_by)
		return true;
	if (!need_rules(counting, err) || !look_around(counting, event, around, err))
		return false;
	slice_get_string(event->json, STR("sender"), counting->arena, &sender);
	push = push_event(event->json, around->room.room_id, sender, around->member_count, around->levels, counting->arena);
	rule = push_evaluate(counting->rules, &push, around->display_name);
	if (rule)
		*ret_effect = rule->effect;
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
		struct push_effect effect = mask->mention;

		add_class(counting, events[i].thread, events[i].class, -1);
		if (events[i].hidden)
			continue;
		if (!is_plain_mention(mask, &events[i]) && !evaluate(counting, &loaded[at++], &around, &effect, err))
			return false;
		add_effect(&counting->unread[events[i].thread], effect.notify, effect.highlight, 1);
	}
	return true;
}

static bool count_all(struct counting *counting, struct err *err)
{
	int64_t *classes = ARENA_ARRAY(counting->arena, counting->count, int64_t);
	struct unread_event *events;
	size_t count;

	if (!counts_load_gone(counting->server, &counting->ignored, counting->threads, counting->count, counting->arena, err))
		return false;
	for (size_t i = 0; i < counting->count; i++) {
		counting->unread[i] = (struct unread){ .room = counting->threads[i].room, .thread = counting->threads[i].thread };
		classes[i] = counting->masks[i].single | counting->masks[i].keywords;
		for (enum push_class class = 0; class < PUSH_CLASSES; class ++)
			add_class(counting, i, class, counting->threads[i].events[class]);
	}
	return counts_load_events(counting->server, counting->user, &counting->ignored, counting->threads, classes, counting->count,
	                          counting->arena, &events, &count, err) &&
	       count_singly(counting, events, count, err);
}

/* From the database. The threads of a room stand beside each other in *ret_unread. */
static bool count_rooms(struct counting *counting, const struct counted_room *rooms, size_t count, struct unread **ret_unread, size_t *ret_count,
                        struct err *err)
{
	*ret_count = 0;
	if (!count)
		return true;
	if (!ignored_users_get(counting->server, counting->user, counting->arena, &counting->ignored, err) ||
	    !counts_load_threads(counting->server, counting->user, rooms, count, counting->arena, &counting->threads, &counting->count, err))
		return false;
	counting->unread = ARENA_ARRAY(counting->arena, counting->count, struct unread);
	if (counting->count && (!read_masks(counting, err) || !count_all(counting, err)))
		return false;
	for (size_t i = 0; i < counting->count; i++) {
		if (counting->unread[i].notifications > 0)
			counting->unread[(*ret_count)++] = counting->unread[i];
	}
	*ret_unread = counting->unread;
	return true;
}

/* --- what came since --- */

static struct unread *thread_in(struct kept_counts *kept, nid_t room, nid_t thread)
{
	for (size_t i = 0; i < kept->count; i++) {
		if (kept->unread[i].thread == thread)
			return &kept->unread[i];
	}
	kept->unread[kept->count] = (struct unread){ .room = room, .thread = thread };
	return &kept->unread[kept->count++];
}

/* Moves on what is kept of a room. *ret_ok: false: an event may be hidden from the user (a fork), which the database knows. */
static bool move_on(struct counting *counting, nid_t room, struct kept_counts *kept, bool *ret_ok, struct err *err)
{
	struct event *events = ARENA_ARRAY(counting->arena, kept->event_count, struct event);
	struct surroundings around = { 0 };

	*ret_ok = true;
	if (!events_load(counting->server->events, kept->events, kept->event_count, counting->arena, events, err))
		return false;
	for (size_t i = 0; i < kept->event_count; i++) {
		struct push_effect effect;
		nid_t thread;

		if (events[i].visibility == VISIBILITY_JOINED || events[i].visibility == VISIBILITY_INVITED) {
			*ret_ok = false;
			return true;
		}
		if (!evaluate(counting, &events[i], &around, &effect, err) ||
		    (effect.notify && !counts_thread_of(counting->server, room, events[i].json, counting->arena, &thread, err)))
			return false;
		if (effect.notify)
			add_effect(thread_in(kept, room, thread), true, effect.highlight, 1);
	}
	return true;
}

static int compare_unread(const void *a, const void *b)
{
	const struct unread *x = a, *y = b;

	return x->room != y->room ? (x->room > y->room) - (x->room < y->room) : (x->thread > y->thread) - (x->thread < y->thread);
}

static size_t room_length(const struct unread *unread, size_t count)
{
	size_t length = 0;

	while (length < count && unread[length].room == unread[0].room)
		length++;
	return length;
}

struct unread_list {
	struct unread *items;
	size_t count, cap;
};

static void take(struct unread_list *list, const struct unread *unread, size_t count, struct arena *arena)
{
	for (size_t i = 0; i < count; i++)
		*ARENA_PUSH(arena, list->items, list->count, list->cap) = unread[i];
}

/* Of what was read from the database, a room's part: from *at on. */
static void keep_room(struct counting *counting, const struct counts_versions *versions, int64_t pos, nid_t room, const struct unread *unread, size_t count,
                      size_t *at)
{
	size_t length = *at < count && unread[*at].room == room ? room_length(unread + *at, count - *at) : 0;

	counts_keep(counting->server->counts, counting->user, versions, pos, room, unread + *at, length);
	*at += length;
}

/* Splits the rooms: what is kept of them is moved on and taken, the others are left at the front of `rooms` and `versions`. */
static bool take_kept(struct counting *counting, int64_t pos, struct counted_room *rooms, struct counts_versions *versions, size_t *count,
                      struct unread_list *list, struct err *err)
{
	struct kept_counts *kept = ARENA_ARRAY(counting->arena, *count, struct kept_counts);
	size_t left = 0;

	counts_find_kept(counting->server, counting->user, versions, pos, rooms, *count, counting->arena, kept);
	for (size_t i = 0; i < *count; i++) {
		bool ok = kept[i].pos != 0;

		if (ok && !move_on(counting, rooms[i].room, &kept[i], &ok, err))
			return false;
		if (!ok) {
			rooms[left] = rooms[i];
			versions[left++] = versions[i];
			continue;
		}
		take(list, kept[i].unread, kept[i].count, counting->arena);
		if (kept[i].event_count)
			counts_keep(counting->server->counts, counting->user, &versions[i], pos, rooms[i].room, kept[i].unread, kept[i].count);
	}
	*count = left;
	return true;
}

bool counts_read(struct server *server, nid_t user, struct str user_id, int64_t pos, const struct counted_room *rooms, size_t count, struct arena *arena,
                 struct unread **ret_unread, size_t *ret_count, struct err *err)
{
	struct counting counting = { .server = server, .user = user, .user_id = user_id, .arena = arena };
	struct counts_versions *versions = ARENA_ARRAY(arena, count, struct counts_versions);
	struct counted_room *wanted = ARENA_ARRAY(arena, count, struct counted_room);
	struct unread_list list = { 0 };
	struct unread *unread = NULL;
	size_t unread_count, at = 0;

	for (size_t i = 0; i < count; i++) {
		wanted[i] = rooms[i];
		versions[i] = counts_versions(server->counts, user, rooms[i].room);
	}
	if (!take_kept(&counting, pos, wanted, versions, &count, &list, err) || !count_rooms(&counting, wanted, count, &unread, &unread_count, err))
		return false;
	for (size_t i = 0; i < count && !counting.ignored.count; i++) /* what is kept knows nothing of ignored senders */
		keep_room(&counting, &versions[i], pos, wanted[i].room, unread, unread_count, &at);
	take(&list, unread, unread_count, arena);
	if (list.count)
		qsort(list.items, list.count, sizeof(*list.items), compare_unread);
	*ret_unread = list.items;
	*ret_count = list.count;
	return true;
}
