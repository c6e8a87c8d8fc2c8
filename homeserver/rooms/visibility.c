#include "rooms/visibility.h"

#include "interned/interned.h"
#include "state/state_store.h"

struct str membership_name(enum membership membership)
{
	static const struct str names[] = {
		[MEMBERSHIP_NONE] = STR_INIT("leave"), [MEMBERSHIP_INVITE] = STR_INIT("invite"), [MEMBERSHIP_JOIN] = STR_INIT("join"),
		[MEMBERSHIP_LEAVE] = STR_INIT("leave"), [MEMBERSHIP_BAN] = STR_INIT("ban"), [MEMBERSHIP_KNOCK] = STR_INIT("knock"),
	};

	return names[membership];
}

bool membership_at(struct server *server, nid_t room, int64_t root, struct str user_id, enum membership *ret_membership, struct err *err)
{
	struct state_source source = state_store_source(server->states);
	struct state_entry entry = { 0 };
	nid_t key;

	if (!find_key(server->interned, STR("m.room.member"), user_id, &key, err))
		return false;
	if (key && root && !state_get(&source, room, root, &key, 1, &entry, err))
		return false;
	*ret_membership = entry.event ? entry.membership : MEMBERSHIP_NONE;
	return true;
}

bool reader_of(struct server *server, const struct user *user, nid_t room, struct arena *arena, struct reader *ret_reader, struct err *err)
{
	*ret_reader = (struct reader){ .user = user->nid, .user_id = user->user_id };
	return membership_get(server, user->nid, room, arena, &ret_reader->now, err) && ignored_users_get(server, user->nid, arena, &ret_reader->ignored, err);
}

/* What the room's visibility is after an event that may change it. */
static enum visibility visibility_after(const struct event *event, struct arena *arena)
{
	struct str type, content, value;

	if (!event->key || !slice_get(event->json, STR("type"), &type) || !slice_string_eq(type, STR("m.room.history_visibility")) ||
	    !slice_get(event->json, STR("content"), &content))
		return event->visibility;
	return slice_get_string(content, STR("history_visibility"), arena, &value) ? visibility_parse(value) : VISIBILITY_SHARED;
}

struct judgement {
	struct server *server;
	const struct room_info *room;
	const struct reader *reader;
	nid_t key; /* the reader's member key */
	int64_t root; /* of the last look-up */
	enum membership at_root;
	bool looked_up;
};

static bool membership_in(struct judgement *judgement, int64_t root, enum membership *ret_membership, struct err *err)
{
	struct state_source source = state_store_source(judgement->server->states);
	struct state_entry entry = { 0 };

	if (!judgement->looked_up || judgement->root != root) {
		if (judgement->key && root && !state_get(&source, judgement->room->nid, root, &judgement->key, 1, &entry, err))
			return false;
		judgement->at_root = entry.event ? entry.membership : MEMBERSHIP_NONE;
		judgement->root = root;
		judgement->looked_up = true;
	}
	*ret_membership = judgement->at_root;
	return true;
}

/* Of who is not joined and has no stay to look back to: it is forgotten. */
static bool is_forgotten(const struct reader *reader)
{
	return reader->now.membership != MEMBERSHIP_JOIN && !reader->now.left_seq;
}

static bool allows(enum visibility visibility, enum membership membership, bool shared)
{
	if (visibility == VISIBILITY_WORLD_READABLE || membership == MEMBERSHIP_JOIN)
		return true;
	if (visibility == VISIBILITY_SHARED)
		return shared;
	return visibility == VISIBILITY_INVITED && membership == MEMBERSHIP_INVITE;
}

/* Whether what is shared is shown: to who is joined, and to who was, as far as the last stay went. */
static bool is_shared(const struct judgement *judgement, const struct event *event)
{
	const struct user_room *now = &judgement->reader->now;

	return now->membership == MEMBERSHIP_JOIN || event->order.seq < now->left_seq;
}

static bool judge(struct judgement *judgement, const struct event *event, struct arena *arena, bool *ret_visible, struct err *err)
{
	enum visibility after = visibility_after(event, arena);
	enum membership before, counts, own;
	bool shared = is_shared(judgement, event);

	if (!event->key && ignored_users_have(&judgement->reader->ignored, event->sender)) {
		*ret_visible = false;
		return true;
	}
	if (event->visibility == VISIBILITY_WORLD_READABLE || after == VISIBILITY_WORLD_READABLE ||
	    ((event->visibility == VISIBILITY_SHARED || after == VISIBILITY_SHARED) && judgement->reader->now.membership == MEMBERSHIP_JOIN)) {
		*ret_visible = true;
		return true;
	}
	if (!membership_in(judgement, event->root_before, &before, err))
		return false;
	counts = before == MEMBERSHIP_JOIN && is_forgotten(judgement->reader) ? MEMBERSHIP_NONE : before;
	*ret_visible = allows(event->visibility, counts, shared) || allows(after, counts, shared);
	if (*ret_visible || !event->key || event->key != judgement->key)
		return true;
	if (!membership_in(judgement, event->root_after, &own, err))
		return false;
	/* One sees oneself come, and go from where one was; what a ban turns into is no news to who was not there. */
	*ret_visible = allows(event->visibility, own, shared) || allows(after, own, shared) ||
	               ((own == MEMBERSHIP_LEAVE || own == MEMBERSHIP_BAN) &&
	                (before == MEMBERSHIP_JOIN || before == MEMBERSHIP_INVITE || before == MEMBERSHIP_KNOCK));
	return true;
}

bool visibility_filter(struct server *server, const struct room_info *room, const struct reader *reader, const struct event *events, size_t count,
                       struct arena *arena, bool *ret_visible, struct err *err)
{
	struct judgement judgement = { .server = server, .room = room, .reader = reader };

	if (!find_key(server->interned, STR("m.room.member"), reader->user_id, &judgement.key, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!judge(&judgement, &events[i], arena, &ret_visible[i], err))
			return false;
	}
	return true;
}

bool visibility_require_room(struct server *server, const struct room_info *room, const struct reader *reader, struct arena *arena, int64_t *ret_root,
                             struct event_order *ret_until, struct err *err)
{
	struct str value = STR(""), content;
	struct event event;
	int64_t root;

	*ret_until = EVENT_ORDER_END;
	if (!room_state_root(server->rooms, room->nid, &root, err))
		return false;
	*ret_root = root;
	if (reader->now.membership == MEMBERSHIP_JOIN)
		return true;
	if (!room_state_event(server, room->nid, root, STR("m.room.history_visibility"), STR(""), arena, &event, err))
		return false;
	if (event.nid && slice_get(event.json, STR("content"), &content) && slice_get_string(content, STR("history_visibility"), arena, &value) &&
	    visibility_parse(value) == VISIBILITY_WORLD_READABLE)
		return true;
	if (!reader->now.left_seq)
		return err_set(err, M_FORBIDDEN, "You are not in this room");
	*ret_root = reader->now.left_root;
	*ret_until = (struct event_order){ reader->now.left_seq, 0 };
	return true;
}
