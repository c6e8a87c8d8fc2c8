/*
 * The auth rules take any content without a crash, say why they refuse, and look only at what the selection of auth
 * events allows.
 *
 * The input: the room version's name on the first line, then an event a line, `TYPE STATE_KEY SENDER CONTENT`
 * (state_key `-`: none). All but the last are the state (the later of two for one key counts), the last is judged.
 */
#include "matrix/auth.h"

#define MAX_EVENTS 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct room {
	const struct room_version *version;
	struct pdu events[MAX_EVENTS];
	size_t count;
	struct auth_key *keys; /* of the event that is judged */
	size_t key_count;
};

static void check(bool ok)
{
	if (!ok)
		abort();
}

static bool read_event(struct room *room, struct str line)
{
	static const struct str previous = STR_INIT("$0");
	struct pdu *event = &room->events[room->count];
	struct str state_key;
	struct err err;

	*event = (struct pdu){
		.json = STR("{}"),
		.version = room->version,
		.event_id = room->count ? STR("$1") : STR("$0"),
		.room_id = room->version->room_id_is_create_hash ? STR("!0") : STR("!r:x"),
		.prev_events = &previous,
		.prev_count = room->count ? 1 : 0,
		.redacts = STR("$1:x"),
	};
	if (!str_split(&line, ' ', &event->type) || !str_split(&line, ' ', &state_key) ||
	    !str_split(&line, ' ', &event->sender) || !slice_parse(line, &event->content, &err) ||
	    slice_type(event->content) != SLICE_OBJECT)
		return false;
	event->is_state = !str_eq(state_key, STR("-"));
	if (event->is_state)
		event->state_key = state_key;
	room->count++;
	return true;
}

static const struct pdu *state_get(void *context, struct str type, struct str state_key)
{
	const struct room *room = context;
	bool selected = str_eq(type, STR("m.room.create")) && !state_key.len;

	for (size_t i = 0; i < room->key_count; i++)
		selected = selected || (str_eq(room->keys[i].type, type) && str_eq(room->keys[i].state_key, state_key));
	check(selected);
	for (size_t i = room->count - 1; i-- > 0;) {
		const struct pdu *event = &room->events[i];

		if (event->is_state && str_eq(event->type, type) && str_eq(event->state_key, state_key))
			return event;
	}
	return NULL;
}

static void judge(struct room *room, struct arena *arena)
{
	const struct pdu *event = &room->events[room->count - 1], *chosen[MAX_EVENTS];
	const struct auth_state state = { state_get, room };
	struct err err = { 0 };

	room->key_count = auth_keys_for(room->version, event->type, event->is_state, event->state_key, event->sender,
					event->content, arena, &room->keys);
	check(auth_check(event, &state, arena, &err) == (err.status == 0));
	for (size_t i = 0; i + 1 < room->count; i++)
		chosen[i] = &room->events[i];
	err = (struct err){ 0 };
	check(auth_check_selection(event, chosen, room->count - 1, arena, &err) == (err.status == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str text = { (const char *)data, size }, line;
	struct room room = { 0 };

	if (!str_split(&text, '\n', &line))
		return 0;
	room.version = room_version_find(line);
	if (!room.version)
		return 0;
	while (room.count < MAX_EVENTS && str_split(&text, '\n', &line))
		(void)read_event(&room, line);
	if (room.count)
		judge(&room, arena);
	return 0;
}
