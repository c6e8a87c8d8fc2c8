/*
 * Whose devices a client has to look at anew (client-server-api "Tracking the device list for a user"), from a gap:
 *
 * changed: who changed devices or keys and shares any room with the user, as clients may have asked for the keys of
 * anybody they see; and with whom an encrypted room is newly shared: one of the two joined it, or came back into it, or
 * it became encrypted. left: with whom an encrypted room was shared, but none is any more.
 */
#include "interned/interned.h"
#include "rooms/memberships.h"
#include "rooms/visibility.h"
#include "state/state_store.h"
#include "sync/sync_internal.h"

#define FEW_USERS 64 /* whose rooms are looked up one by one: in the cache, mostly */

static const struct db_statement SELECT_SHARING = {
	"device_lists_sharing",
	"SELECT DISTINCT user_nid FROM room_memberships WHERE user_nid = ANY($1) AND room_nid = ANY($2)"
	" AND membership = 2",
};
static const struct db_statement SELECT_SHARING_ENCRYPTED = {
	"device_lists_sharing_encrypted",
	"SELECT DISTINCT u.user_id FROM users u JOIN room_memberships m ON m.user_nid = u.user_nid"
	" AND m.membership = 2 JOIN current_state c ON c.room_nid = m.room_nid AND c.key_nid = $3"
	" WHERE u.user_id = ANY($1) AND m.room_nid = ANY($2)",
};

/* User IDs, each once. */
struct names {
	struct map set;
	struct str *items;
	size_t count, cap;
};

struct lists {
	struct sync *sync;
	nid_t *joined; /* the rooms that the user is in, sorted */
	size_t joined_count;
	nid_t encryption; /* the key of m.room.encryption; 0: no room has it */
	struct names changed, left;
};

static void names_add(struct names *names, struct str name, struct arena *arena)
{
	if (map_get(&names->set, name))
		return;
	*ARENA_PUSH(arena, names->items, names->count, names->cap) = str_dup(arena, name);
	map_put(&names->set, names->items[names->count - 1], names);
}

static int compare_nids(const void *a, const void *b)
{
	nid_t x = *(const nid_t *)a, y = *(const nid_t *)b;

	return (x > y) - (x < y);
}

static bool is_in(const struct lists *lists, nid_t room)
{
	return lists->joined_count && bsearch(&room, lists->joined, lists->joined_count, sizeof(room), compare_nids);
}

static bool is_mine(const struct lists *lists, nid_t room)
{
	for (size_t first = 0, end = lists->sync->room_count; first < end;) {
		size_t middle = first + (end - first) / 2;
		nid_t found = lists->sync->rooms[middle].room;

		if (found == room)
			return true;
		if (found < room)
			first = middle + 1;
		else
			end = middle;
	}
	return false;
}

/* --- who changed --- */

static bool add_changed_nid(struct lists *lists, nid_t user, struct err *err)
{
	struct sync *sync = lists->sync;
	struct str user_id;

	if (!user_id_of(sync->server->interned, user, sync->arena, &user_id, err))
		return false;
	names_add(&lists->changed, user_id, sync->arena);
	return true;
}

static bool shares_room(struct lists *lists, nid_t user, bool *ret_shares, struct err *err)
{
	struct sync *sync = lists->sync;
	struct user_room *rooms;
	size_t count;

	*ret_shares = user == sync->user->nid;
	if (*ret_shares)
		return true;
	if (!memberships_of_user(sync->server, user, sync->arena, &rooms, &count, err))
		return false;
	for (size_t i = 0; i < count && !*ret_shares; i++)
		*ret_shares = rooms[i].membership == MEMBERSHIP_JOIN && is_in(lists, rooms[i].room);
	return true;
}

static bool add_few(struct lists *lists, const nid_t *users, size_t count, struct err *err)
{
	bool shares;

	for (size_t i = 0; i < count; i++) {
		if (!shares_room(lists, users[i], &shares, err) || (shares && !add_changed_nid(lists, users[i], err)))
			return false;
	}
	return true;
}

static bool add_many(struct lists *lists, const nid_t *users, size_t count, struct err *err)
{
	struct sync *sync = lists->sync;
	struct db_rows *rows;

	{
		CLEANUP(db_release) struct db *db = NULL;

		if (!db_acquire(sync->server->pool, &db, err) ||
		    !db_query(db, &SELECT_SHARING,
			      DB_PARAMS(db_ints(users, count), db_ints(lists->joined, lists->joined_count)),
			      sync->arena, &rows, err))
			return err_detail(err, "who of %zu users shares a room", count);
	}
	while (db_next(rows)) {
		if (!add_changed_nid(lists, db_get_nid(rows, 0), err))
			return false;
	}
	return add_few(lists, &sync->user->nid,
		       bsearch(&sync->user->nid, users, count, sizeof(*users), compare_nids) ? 1 : 0, err);
}

static bool add_who_changed(struct lists *lists, struct err *err)
{
	struct gap *gap = &lists->sync->gap;
	size_t count = 0;

	if (!gap->device_list_count)
		return true;
	qsort(gap->device_lists, gap->device_list_count, sizeof(*gap->device_lists), compare_nids);
	for (size_t i = 0; i < gap->device_list_count; i++) {
		if (i == 0 || gap->device_lists[i] != gap->device_lists[i - 1])
			gap->device_lists[count++] = gap->device_lists[i];
	}
	gap->device_list_count = count;
	return count <= FEW_USERS ? add_few(lists, gap->device_lists, count, err)
				  : add_many(lists, gap->device_lists, count, err);
}

/* --- with whom rooms are shared --- */

static bool add_key(struct lists *lists, nid_t key, struct names *names, struct err *err)
{
	struct sync *sync = lists->sync;
	struct str type, user_id;

	if (!key_of(sync->server->interned, key, sync->arena, &type, &user_id, err))
		return false;
	if (!str_eq(user_id, sync->user->user_id))
		names_add(names, user_id, sync->arena);
	return true;
}

static bool add_members(struct lists *lists, nid_t room, int64_t root, struct names *names, struct err *err)
{
	struct state_source source = state_store_source(lists->sync->server->states);
	struct state_entry *entries;
	nid_t *keys;
	size_t count, joined = 0;

	if (!root)
		return true;
	if (!state_load(&source, room, root, lists->sync->arena, &entries, &count, err))
		return false;
	keys = ARENA_ARRAY(lists->sync->arena, count, nid_t);
	for (size_t i = 0; i < count; i++) {
		if (entries[i].membership == MEMBERSHIP_JOIN)
			keys[joined++] = entries[i].key;
	}
	if (!load_keys(lists->sync->server->interned, keys, joined, err))
		return false;
	for (size_t i = 0; i < joined; i++) {
		if (!add_key(lists, keys[i], names, err))
			return false;
	}
	return true;
}

static bool add_differences(struct lists *lists, const struct room_gap *gap, struct err *err)
{
	struct state_source source = state_store_source(lists->sync->server->states);
	struct state_delta *deltas;
	size_t count;

	if (gap->root_before == gap->root_now)
		return true;
	if (!state_diff(&source, gap->room, gap->root_before, gap->root_now, lists->sync->arena, &deltas, &count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		bool before = deltas[i].membership_before == MEMBERSHIP_JOIN,
		     now = deltas[i].membership_after == MEMBERSHIP_JOIN;

		if (before != now && !add_key(lists, deltas[i].key, now ? &lists->changed : &lists->left, err))
			return false;
	}
	return true;
}

static bool is_encrypted(struct lists *lists, nid_t room, int64_t root, bool *ret_encrypted, struct err *err)
{
	struct state_source source = state_store_source(lists->sync->server->states);
	struct state_entry entry = { 0 };

	if (root && !state_get(&source, room, root, &lists->encryption, 1, &entry, err))
		return false;
	*ret_encrypted = entry.event != 0;
	return true;
}

static bool was_shared(struct lists *lists, const struct room_gap *gap, bool *ret_shared, struct err *err)
{
	enum membership membership;

	*ret_shared = false;
	if (!gap->root_before)
		return true;
	if (!membership_at(lists->sync->server, gap->room, gap->root_before, lists->sync->user->user_id, &membership,
			   err))
		return false;
	return membership != MEMBERSHIP_JOIN || is_encrypted(lists, gap->room, gap->root_before, ret_shared, err);
}

/* Who came back into a room in the gap doesn't show in the difference, when they were there before. The user's own
 * coming back makes all new. */
static bool add_room(struct lists *lists, struct room_gap *gap, struct err *err)
{
	bool before, now = false;

	if (!gap->events || !is_mine(lists, gap->room) || gap->root_before == gap->root_now)
		return true;
	if (!was_shared(lists, gap, &before, err) ||
	    (is_in(lists, gap->room) && !is_encrypted(lists, gap->room, gap->root_now, &now, err)))
		return false;
	if (before && now && !gap->newly_joined)
		return add_differences(lists, gap, err);
	return (!now || add_members(lists, gap->room, gap->root_now, &lists->changed, err)) &&
	       (!before || add_members(lists, gap->room, gap->root_before, &lists->left, err));
}

static bool add_returned(struct lists *lists, const struct departure *departure, struct err *err)
{
	const struct room_gap *gap = gap_room(&lists->sync->gap, departure->room);
	struct sync *sync = lists->sync;
	enum membership now;
	struct str user_id;
	bool encrypted;

	if (!gap || !gap->events || !is_in(lists, departure->room) || departure->user == sync->user->nid)
		return true;
	if (!is_encrypted(lists, gap->room, gap->root_now, &encrypted, err) ||
	    !user_id_of(sync->server->interned, departure->user, sync->arena, &user_id, err) ||
	    !membership_at(sync->server, gap->room, gap->root_now, user_id, &now, err))
		return false;
	if (encrypted && now == MEMBERSHIP_JOIN)
		names_add(&lists->changed, user_id, sync->arena);
	return true;
}

static bool add_who_shares(struct lists *lists, struct err *err)
{
	struct gap *gap = &lists->sync->gap;

	if (!intern_key(lists->sync->server->interned, STR("m.room.encryption"), STR(""), &lists->encryption, err))
		return false;
	for (size_t i = 0; i < gap->count && lists->encryption; i++) {
		if (!add_room(lists, gap->list[i], err))
			return false;
	}
	for (size_t i = 0; i < gap->departure_count && lists->encryption; i++) {
		if (!add_returned(lists, &gap->departures[i], err))
			return false;
	}
	return true;
}

/* Of those that were left, who shares no other encrypted room. */
static bool sort_out_left(struct lists *lists, struct err *err)
{
	struct sync *sync = lists->sync;
	struct db_params params = DB_PARAMS(db_texts(lists->left.items, lists->left.count),
					    db_ints(lists->joined, lists->joined_count), db_int(lists->encryption));
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;
	size_t kept = 0;

	if (!lists->left.count)
		return true;
	if (!db_acquire(sync->server->pool, &db, err) ||
	    !db_query(db, &SELECT_SHARING_ENCRYPTED, params, sync->arena, &rows, err))
		return err_detail(err, "who of %zu users shares an encrypted room", lists->left.count);
	while (db_next(rows))
		map_remove(&lists->left.set, db_get_str(rows, 0));
	for (size_t i = 0; i < lists->left.count; i++) {
		if (map_get(&lists->left.set, lists->left.items[i]))
			lists->left.items[kept++] = lists->left.items[i];
	}
	lists->left.count = kept;
	return true;
}

static bool compute(struct lists *lists, struct err *err)
{
	struct sync *sync = lists->sync;

	lists->joined = ARENA_ARRAY(sync->arena, sync->room_count + 1, nid_t);
	for (size_t i = 0; i < sync->room_count; i++) {
		if (sync->rooms[i].membership == MEMBERSHIP_JOIN)
			lists->joined[lists->joined_count++] = sync->rooms[i].room;
	}
	return add_who_changed(lists, err) && add_who_shares(lists, err) && sort_out_left(lists, err);
}

static void lists_done(struct lists *lists)
{
	map_done(&lists->changed.set);
	map_done(&lists->left.set);
}

static void write_names(struct buf *out, const struct names *names)
{
	bool first = true;

	for (size_t i = 0; i < names->count; i++) {
		sync_comma(out, &first);
		slice_write_string(out, names->items[i]);
	}
}

static void write_lists(struct buf *out, const struct lists *lists)
{
	BUF_LIT(out, "{\"changed\":[");
	write_names(out, &lists->changed);
	BUF_LIT(out, "],\"left\":[");
	write_names(out, &lists->left);
	BUF_LIT(out, "]}");
}

bool sync_write_device_list_section(struct sync *sync, struct err *err)
{
	struct lists lists = { .sync = sync };
	bool ok = sync->initial || compute(&lists, err);

	if (ok && (lists.changed.count || lists.left.count)) {
		BUF_LIT(sync->out, ",\"device_lists\":");
		write_lists(sync->out, &lists);
		sync->news = true;
	}
	lists_done(&lists);
	return ok;
}

bool sync_write_device_lists(struct server *server, const struct user *user, struct sync_token from,
			     struct sync_token to, struct arena *arena, struct buf *out, struct err *err)
{
	struct sync sync = { .server = server, .user = user, .arena = arena, .since = from, .now = to, .out = out };
	struct lists lists = { .sync = &sync };
	bool ok = true;

	if (from.pos < to.pos) {
		ok = memberships_of_user(server, user->nid, arena, &sync.rooms, &sync.room_count, err) &&
		     gap_read(&sync, err) && sync_complete_gaps(&sync, err) && compute(&lists, err);
		gap_done(&sync.gap);
	}
	if (ok)
		write_lists(out, &lists);
	lists_done(&lists);
	return ok;
}
