#include "rooms/event_view.h"

#include "relations/relations.h"
#include "state/state_store.h"

struct extra {
	struct event previous, redaction;
	enum membership membership;
};

/* For each state event the one it replaced. */
static bool find_previous(const struct event_view *view, const struct event *events, size_t count, struct arena *arena, nid_t *ret_nids, struct err *err)
{
	struct state_source source = state_store_source(view->server->states);

	for (size_t i = 0; i < count; i++) {
		struct state_entry entry = { 0 };

		if (events[i].key && events[i].root_before &&
		    !state_get(&source, view->room->nid, events[i].root_before, &events[i].key, 1, &entry, err))
			return false;
		ret_nids[i] = entry.event;
	}
	(void)arena;
	return true;
}

static bool load_extras(const struct event_view *view, const struct event *events, size_t count, struct arena *arena, struct extra **ret_extras,
                        struct err *err)
{
	struct extra *extras = ARENA_ARRAY(arena, count, struct extra);
	nid_t *nids = ARENA_ARRAY(arena, count, nid_t);
	struct event *loaded = ARENA_ARRAY(arena, count, struct event);
	int64_t root = -1;

	if (!find_previous(view, events, count, arena, nids, err) || !events_load(view->server->events, nids, count, arena, loaded, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		extras[i].previous = loaded[i];
		nids[i] = events[i].redacted_by;
	}
	if (!events_load(view->server->events, nids, count, arena, loaded, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		extras[i].redaction = loaded[i];
		if (i && events[i].root_after == root)
			extras[i].membership = extras[i - 1].membership;
		else if (!membership_at(view->server, view->room->nid, events[i].root_after, view->reader->user_id, &extras[i].membership, err))
			return false;
		root = events[i].root_after;
	}
	*ret_extras = extras;
	return true;
}

static void fill_previous(struct client_form *form, const struct event_view *view, const struct event *previous, struct arena *arena)
{
	struct str json = previous->redacted_by ? event_redact(view->room->version, previous->json, arena) : previous->json;

	if (!previous->nid)
		return;
	slice_get(json, STR("content"), &form->prev_content);
	slice_get_string(json, STR("sender"), arena, &form->prev_sender);
	form->replaces_state = previous->event_id;
}

static struct str redaction_json(const struct client_form *base, const struct event *redaction, struct arena *arena)
{
	struct client_form form = { .version = base->version, .room_id = base->room_id, .omit_room_id = base->omit_room_id, .now_ms = base->now_ms };
	CLEANUP(buf_done) struct buf buf = buf_init(2 * EVENT_MAX_SIZE);

	event_write_client(&buf, redaction, &form, arena);
	return str_dup(arena, buf_str(&buf));
}

bool event_view_write(const struct event_view *view, struct buf *buf, const struct event *events, size_t count, struct arena *arena, struct err *err)
{
	struct str *relations = ARENA_ARRAY(arena, count, struct str);
	struct extra *extras;
	const struct client_form base = {
		.version = view->room->version,
		.room_id = view->room->room_id,
		.omit_room_id = view->omit_room_id,
		.federation_format = view->federation_format,
		.device = view->device,
		.now_ms = clock_wall_ms(),
		.only = view->only,
		.only_count = view->only_count,
	};

	if (!load_extras(view, events, count, arena, &extras, err) ||
	    (!view->without_relations && !relations_bundle(view, events, count, arena, relations, err)))
		return false;
	for (size_t i = 0; i < count; i++) {
		struct client_form form = base;

		fill_previous(&form, view, &extras[i].previous, arena);
		if (extras[i].redaction.nid)
			form.redacted_because = redaction_json(&base, &extras[i].redaction, arena);
		form.membership = membership_name(extras[i].membership);
		form.relations = relations[i];
		if (i)
			buf_char(buf, ',');
		event_write_client(buf, &events[i], &form, arena);
	}
	return true;
}
