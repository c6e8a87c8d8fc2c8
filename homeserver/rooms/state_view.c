/* A state as lib/matrix's rules look into it: (type, state_key) → PDU, read from the trie and the stored events. */
#include "interned/interned.h"
#include "rooms/rooms.h"
#include "state/state_store.h"
#include "rooms/view_internal.h"

struct view_entry {
	struct auth_key key;
	nid_t key_nid;
	struct event event; /* nid 0: the state has none */
	struct pdu pdu;
};

struct state_view {
	struct server *server;
	struct room_info room;
	int64_t root;
	struct arena *arena;
	struct view_entry **entries;
	size_t count, cap;
	struct auth_state auth;
	bool failed;
	struct err err;
};

static struct view_entry *entry_of(struct state_view *view, struct str type, struct str state_key)
{
	for (size_t i = 0; i < view->count; i++) {
		if (str_eq(view->entries[i]->key.type, type) && str_eq(view->entries[i]->key.state_key, state_key))
			return view->entries[i];
	}
	return NULL;
}

static bool load_entries(struct state_view *view, struct view_entry **entries, size_t count, struct err *err)
{
	struct state_source source = state_store_source(view->server->states);
	nid_t *keys = ARENA_ARRAY(view->arena, count, nid_t), *events = ARENA_ARRAY(view->arena, count, nid_t);
	struct state_entry *found = ARENA_ARRAY(view->arena, count, struct state_entry);
	struct event *loaded = ARENA_ARRAY(view->arena, count, struct event);
	size_t known = 0;

	for (size_t i = 0; i < count; i++) {
		if (!find_key(view->server->interned, entries[i]->key.type, entries[i]->key.state_key, &entries[i]->key_nid, err))
			return false;
		if (entries[i]->key_nid)
			keys[known++] = entries[i]->key_nid;
	}
	if (view->root && known && !state_get(&source, view->room.nid, view->root, keys, known, found, err))
		return false;
	for (size_t i = 0, at = 0; i < count; i++)
		events[i] = entries[i]->key_nid && view->root ? found[at++].event : 0;
	if (!events_load(view->server->events, events, count, view->arena, loaded, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (events[i] && !loaded[i].nid)
			return err_internal(err, "event %" PRId64 " of a state is missing", events[i]);
		entries[i]->event = loaded[i];
		if (loaded[i].nid)
			event_pdu(view->room.version, &loaded[i], view->room.room_id, view->arena, &entries[i]->pdu);
	}
	return true;
}

static struct view_entry *add_entry(struct state_view *view, struct str type, struct str state_key)
{
	struct view_entry *entry = ARENA_NEW(view->arena, struct view_entry);

	entry->key = (struct auth_key){ type, state_key };
	*ARENA_PUSH(view->arena, view->entries, view->count, view->cap) = entry;
	return entry;
}

static const struct pdu *get(void *context, struct str type, struct str state_key)
{
	struct state_view *view = context;
	struct view_entry *entry = entry_of(view, type, state_key);

	if (!entry) {
		entry = add_entry(view, str_dup(view->arena, type), str_dup(view->arena, state_key));
		if (!view->failed && !load_entries(view, &entry, 1, &view->err))
			view->failed = true;
	}
	return entry->event.nid ? &entry->pdu : NULL;
}

struct state_view *state_view_new(struct server *server, const struct room_info *room, int64_t root, struct arena *arena)
{
	struct state_view *view = ARENA_NEW(arena, struct state_view);

	view->server = server;
	view->room = *room;
	view->root = root;
	view->arena = arena;
	view->auth = (struct auth_state){ get, view };
	return view;
}

const struct auth_state *state_view_auth(struct state_view *view)
{
	return &view->auth;
}

bool state_view_failed(const struct state_view *view, struct err *err)
{
	if (view->failed)
		*err = view->err;
	return view->failed;
}

bool state_view_load(struct state_view *view, const struct auth_key *keys, size_t count, struct err *err)
{
	struct view_entry **added = ARENA_ARRAY(view->arena, count, struct view_entry *);
	size_t added_count = 0;

	for (size_t i = 0; i < count; i++) {
		if (!entry_of(view, keys[i].type, keys[i].state_key))
			added[added_count++] = add_entry(view, keys[i].type, keys[i].state_key);
	}
	return added_count == 0 || load_entries(view, added, added_count, err);
}

bool state_view_event(struct state_view *view, struct str type, struct str state_key, const struct event **ret_event, struct err *err)
{
	get(view, type, state_key);
	if (state_view_failed(view, err))
		return false;
	*ret_event = &entry_of(view, type, state_key)->event;
	return true;
}

bool room_state_event(struct server *server, nid_t room, int64_t root, struct str type, struct str state_key, struct arena *arena, struct event *ret_event,
                      struct err *err)
{
	struct state_source source = state_store_source(server->states);
	struct state_entry entry = { 0 };
	nid_t key;

	*ret_event = (struct event){ 0 };
	if (!find_key(server->interned, type, state_key, &key, err))
		return false;
	if (!key || !root)
		return true;
	return state_get(&source, room, root, &key, 1, &entry, err) && event_load(server->events, entry.event, arena, ret_event, err);
}

bool room_state_events(struct server *server, nid_t room, int64_t root, struct arena *arena, struct event **ret_events, size_t *ret_count, struct err *err)
{
	struct state_source source = state_store_source(server->states);
	struct state_entry *entries;
	nid_t *nids;

	if (!state_load(&source, room, root, arena, &entries, ret_count, err))
		return false;
	nids = ARENA_ARRAY(arena, *ret_count, nid_t);
	for (size_t i = 0; i < *ret_count; i++)
		nids[i] = entries[i].event;
	*ret_events = ARENA_ARRAY(arena, *ret_count, struct event);
	return events_load(server->events, nids, *ret_count, arena, *ret_events, err);
}
