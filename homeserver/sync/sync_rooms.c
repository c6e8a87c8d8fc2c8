/* Which rooms a sync tells of, and how: joined, left, invited to, knocked on. */
#include "interned/interned.h"
#include "state/state_store.h"
#include "sync/sync_internal.h"

void sync_comma(struct buf *buf, bool *first)
{
	if (!*first)
		buf_char(buf, ',');
	*first = false;
}

static bool load_section(struct sync *sync, const struct user_room *room, struct room_section *ret_section, struct err *err)
{
	const struct room_gap *gap = gap_room(&sync->gap, room->room);

	*ret_section = (struct room_section){ .reader = { sync->user->nid, sync->user->user_id, *room, sync->ignored } };
	ret_section->gap = gap ? *gap : (struct room_gap){ .room = room->room };
	return room_of_nid(sync->server->rooms, room->room, sync->arena, &ret_section->info, err);
}

/* Rooms in which nothing of the state's or timeline's changed: where they stand now. */
static bool stand_still(struct sync *sync, struct err *err)
{
	struct room_point *points = ARENA_ARRAY(sync->arena, sync->room_count, struct room_point);
	nid_t *still = ARENA_ARRAY(sync->arena, sync->room_count, nid_t);
	size_t count = 0;

	for (size_t i = 0; i < sync->room_count; i++) {
		const struct room_gap *gap = gap_room(&sync->gap, sync->rooms[i].room);

		if (sync->rooms[i].membership == MEMBERSHIP_JOIN && (gap ? !gap->events : sync->full_state))
			still[count++] = sync->rooms[i].room;
	}
	if (!room_points_at(sync->server, still, count, sync->now.pos, sync->arena, points, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		struct room_gap *gap = gap_touch(&sync->gap, still[i]);

		gap->seq_before = gap->seq_now = points[i].seq;
		gap->root_before = gap->root_now = points[i].root;
	}
	return true;
}

/* Left and joined again inside one gap is newly joined: what happened between was not the user's to see. */
static const struct db_statement SELECT_LEFT_BETWEEN = {
	"sync_left_between",
	"SELECT 1 FROM journal WHERE room_nid = $1 AND pos > $2 AND pos <= $3 AND kind = 1 AND target_nid = $4 AND key_nid IS NOT NULL AND membership <> 2 LIMIT 1",
};

static bool left_between(struct sync *sync, nid_t room, bool *ret_left, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	if (!db_acquire(sync->server->pool, &db, err) ||
	    !db_query(db, &SELECT_LEFT_BETWEEN, DB_PARAMS(db_int(room), db_int(sync->since.pos), db_int(sync->now.pos), db_int(sync->user->nid)), sync->arena,
	              &rows, err))
		return false;
	*ret_left = db_next(rows);
	return true;
}

static bool find_newly_joined(struct sync *sync, struct room_gap *gap, struct err *err)
{
	enum membership before;

	if (!membership_at(sync->server, gap->room, gap->root_before, sync->user->user_id, &before, err))
		return false;
	if (before == MEMBERSHIP_JOIN)
		return left_between(sync, gap->room, &gap->newly_joined, err);
	gap->newly_joined = true;
	return true;
}

bool sync_complete_gaps(struct sync *sync, struct err *err)
{
	for (size_t i = 0; i < sync->room_count && !sync->initial; i++) {
		struct room_gap *gap = gap_room(&sync->gap, sync->rooms[i].room);

		if (sync->rooms[i].membership == MEMBERSHIP_JOIN && gap && gap->own_membership && !find_newly_joined(sync, gap, err))
			return false;
	}
	return stand_still(sync, err);
}

/* The operator may keep rooms from everybody's sync, too. */
static bool wants_room(const struct sync *sync, struct str room_id)
{
	const struct config_strings *excluded = &sync->server->options->exclude_rooms_from_sync;

	for (size_t i = 0; i < excluded->count; i++) {
		if (str_eq(excluded->items[i], room_id))
			return false;
	}
	return filter_wants_room(&sync->filter, room_id);
}

static bool write_joined(struct sync *sync, const struct user_room *room, struct buf *out, bool *ret_shown, struct err *err)
{
	struct room_section section;
	bool news = false;

	*ret_shown = false;
	if (!gap_room(&sync->gap, room->room))
		return true;
	if (!load_section(sync, room, &section, err))
		return false;
	if (!wants_room(sync, section.info.room_id))
		return true;
	slice_write_string(out, section.info.room_id);
	BUF_LIT(out, ":{");
	if (!sync_write_room(sync, &section, out, &news, err))
		return false;
	BUF_LIT(out, "}");
	/* What changed may be what the filter or a secret keeps from this user. */
	*ret_shown = news || section.gap.events || sync->full_state;
	sync->news |= news;
	return true;
}

/* Who was in the room during the gap sees it up to where the stay ended; who was not, as after an invite, only what became of them. */
static bool end_gap(struct sync *sync, const struct user_room *room, struct room_section *section, struct err *err)
{
	struct room_gap *gap = &section->gap;
	enum membership before;

	section->left = true;
	if (room->left_seq <= gap->seq_before) {
		section->only = ARENA_NEW(sync->arena, struct event);
		return event_load(sync->server->events, room->event, sync->arena, section->only, err);
	}
	gap->seq_now = room->left_seq;
	gap->root_now = room->left_root;
	if (sync->initial)
		return true;
	if (!membership_at(sync->server, room->room, gap->root_before, sync->user->user_id, &before, err))
		return false;
	gap->newly_joined = before != MEMBERSHIP_JOIN;
	return true;
}

/* A leave, kick or ban shows once, and ends at the leave. In a first sync, when asked for, the rooms that the user was in. */
static bool write_left(struct sync *sync, const struct user_room *room, struct buf *out, bool *ret_shown, struct err *err)
{
	const struct room_gap *gap = gap_room(&sync->gap, room->room);
	struct room_section section;
	bool news;

	*ret_shown = false;
	if (sync->initial ? !sync->filter.include_leave || !room->left_seq : !gap || !gap->own_membership)
		return true;
	if (!load_section(sync, room, &section, err))
		return false;
	if (!wants_room(sync, section.info.room_id) || room->room_seq <= section.gap.seq_before)
		return true;
	if (!end_gap(sync, room, &section, err))
		return false;
	slice_write_string(out, section.info.room_id);
	BUF_LIT(out, ":{");
	if (!sync_write_room(sync, &section, out, &news, err))
		return false;
	BUF_LIT(out, "}");
	*ret_shown = sync->news = true;
	return true;
}

/* What an invited user is shown of a room (client-server-api "Stripped state"), with their own member event. */
static bool write_stripped_state(struct sync *sync, const struct room_section *section, const struct event *member, struct buf *out, struct err *err)
{
	static const struct str types[] = {
		STR_INIT("m.room.create"), STR_INIT("m.room.name"),           STR_INIT("m.room.avatar"),     STR_INIT("m.room.topic"),
		STR_INIT("m.room.join_rules"), STR_INIT("m.room.canonical_alias"), STR_INIT("m.room.encryption"),
	};
	struct str sender = STR("");
	bool first = true;

	for (size_t i = 0; i <= ARRAY_LEN(types); i++) {
		struct event event;
		bool last = i == ARRAY_LEN(types);

		if (last)
			slice_get_string(member->json, STR("sender"), sync->arena, &sender);
		if (!room_state_event(sync->server, section->info.nid, member->root_before, last ? STR("m.room.member") : types[i], last ? sender : STR(""),
		                      sync->arena, &event, err))
			return false;
		if (!event.nid || (last && event.nid == member->nid))
			continue;
		sync_comma(out, &first);
		event_write_stripped(out, &event);
	}
	sync_comma(out, &first);
	event_write_stripped(out, member);
	return true;
}

static bool write_invited(struct sync *sync, const struct user_room *room, struct buf *out, bool *ret_shown, struct err *err)
{
	const struct room_gap *gap = gap_room(&sync->gap, room->room);
	struct room_section section;
	struct event member;

	*ret_shown = false;
	if ((!sync->initial && (!gap || !gap->own_membership)) ||
	    (room->membership == MEMBERSHIP_INVITE && ignored_users_have(&sync->ignored, room->sender)))
		return true;
	if (!load_section(sync, room, &section, err) || !event_load(sync->server->events, room->event, sync->arena, &member, err))
		return false;
	if (!wants_room(sync, section.info.room_id) || (!sync->initial && room->room_seq <= section.gap.seq_before))
		return true;
	slice_write_string(out, section.info.room_id);
	buf_printf(out, ":{\"%s\":{\"events\":[", room->membership == MEMBERSHIP_KNOCK ? "knock_state" : "invite_state");
	if (!write_stripped_state(sync, &section, &member, out, err))
		return false;
	BUF_LIT(out, "]}}");
	*ret_shown = true;
	sync->news = true;
	return true;
}

static bool is_left(enum membership membership)
{
	return membership == MEMBERSHIP_LEAVE || membership == MEMBERSHIP_BAN;
}

typedef bool (*room_writer)(struct sync *sync, const struct user_room *room, struct buf *out, bool *ret_shown, struct err *err);

/* One of the four objects; absent when empty. */
static bool write_kind(struct sync *sync, const char *name, room_writer write, bool (*is_kind)(enum membership), bool *first, struct err *err)
{
	struct buf *out = sync->out;
	bool first_room = true;

	for (size_t i = 0; i < sync->room_count; i++) {
		CLEANUP(buf_done) struct buf section = buf_init(SYNC_MAX_RESPONSE);
		bool shown;

		if (!is_kind(sync->rooms[i].membership))
			continue;
		if (!write(sync, &sync->rooms[i], &section, &shown, err))
			return err_detail(err, "room %" PRId64, sync->rooms[i].room);
		if (!shown)
			continue;
		if (first_room) {
			sync_comma(out, first);
			buf_printf(out, "\"%s\":{", name);
		}
		sync_comma(out, &first_room);
		buf_append(out, buf_str(&section));
	}
	if (!first_room)
		BUF_LIT(out, "}");
	return true;
}

static bool is_joined(enum membership membership)
{
	return membership == MEMBERSHIP_JOIN;
}

static bool is_invited(enum membership membership)
{
	return membership == MEMBERSHIP_INVITE;
}

static bool is_knocking(enum membership membership)
{
	return membership == MEMBERSHIP_KNOCK;
}

bool sync_write_rooms(struct sync *sync, struct err *err)
{
	bool first = true;

	BUF_LIT(sync->out, "{");
	if (!write_kind(sync, "join", write_joined, is_joined, &first, err) || !write_kind(sync, "invite", write_invited, is_invited, &first, err) ||
	    !write_kind(sync, "knock", write_invited, is_knocking, &first, err) || !write_kind(sync, "leave", write_left, is_left, &first, err))
		return false;
	BUF_LIT(sync->out, "}");
	return true;
}
