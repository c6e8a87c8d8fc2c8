/* m.typing in a sync: in rooms that are new to the client when somebody types, afterwards whenever that changes. */
#include "interned/interned.h"
#include "sync/sync_internal.h"
#include "typing/typing.h"

void typing_add_to_gap(struct sync *sync)
{
	struct typing *typing = sync->server->typing;

	if (sync->initial || sync->now.ephemeral == sync->since.ephemeral)
		return;
	for (size_t i = 0; i < sync->room_count; i++) {
		if (sync->rooms[i].membership == MEMBERSHIP_JOIN &&
		    typing_changed(typing, sync->rooms[i].room, sync->since.ephemeral))
			gap_touch(&sync->gap, sync->rooms[i].room)->typing = true;
	}
}

bool typing_write(const struct sync *sync, const struct room_gap *gap, struct ephemeral *ephemeral, struct err *err)
{
	bool is_new = sync->initial || gap->newly_joined, first = true;
	struct str user_id;
	nid_t *users;
	size_t count;

	if ((!is_new && !gap->typing) || !event_filter_wants_type(&sync->filter.ephemeral, STR("m.typing")))
		return true;
	count = typing_users(sync->server->typing, gap->room, sync->arena, &users);
	if (is_new && !count)
		return true;
	ephemeral_begin(ephemeral, "m.typing");
	BUF_LIT(ephemeral->out, "{\"user_ids\":[");
	for (size_t i = 0; i < count; i++) {
		if (!user_id_of(sync->server->interned, users[i], sync->arena, &user_id, err))
			return false;
		sync_comma(ephemeral->out, &first);
		slice_write_string(ephemeral->out, user_id);
	}
	BUF_LIT(ephemeral->out, "]}}");
	return true;
}
