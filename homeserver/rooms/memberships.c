#include "rooms/memberships.h"

#include <stdatomic.h>

#include "base/cache.h"

struct memberships {
	struct cache *cache;      /* by user: an array of struct user_room */
	_Atomic uint64_t changes; /* seen in the journal: what was read before the last one is not cached */
};

static const struct db_statement SELECT_OF_USER = {
	"memberships_of_user",
	"SELECT room_nid, membership, event_nid, sender_nid, room_seq, left_seq, left_root FROM room_memberships WHERE user_nid = $1"
	" ORDER BY room_nid",
};

/* Forgetting ends with the next membership. joined_seq stays while the user stays. */
const struct write_table MEMBERSHIP_TABLE = {
	.statement = { "membership_upsert",
	               "INSERT INTO room_memberships AS m (user_nid, room_nid, membership, event_nid, room_seq, sender_nid, joined_seq)"
	               " SELECT n.*, n.seq FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])"
	               " AS n (user_nid, room, membership, event, seq, sender)"
	               " ON CONFLICT (user_nid, room_nid) DO UPDATE SET membership = excluded.membership, event_nid = excluded.event_nid,"
	               " room_seq = excluded.room_seq, sender_nid = excluded.sender_nid, forgotten = false,"
	               " joined_seq = CASE WHEN m.membership = 2 AND excluded.membership = 2 THEN m.joined_seq ELSE excluded.room_seq END" },
	.order = 40,
	.column_count = 6,
	.columns = { DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT },
	.key_columns = 2,
};

/* Of its own: who leaves and is banned at once has one row above, and has left all the same. */
const struct write_table STAY_END_TABLE = {
	.statement = { "stay_end_update",
	               "UPDATE room_memberships m SET left_seq = s.seq, left_root = s.root"
	               " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS s (user_nid, room, seq, root)"
	               " WHERE m.user_nid = s.user_nid AND m.room_nid = s.room" },
	.order = 41,
	.column_count = 4,
	.columns = { DB_INT, DB_INT, DB_INT, DB_INT },
	.key_columns = 2,
};

static void forget_user(void *context, const struct journal_entry *entry)
{
	struct memberships *memberships = context;
	bool is_member = (entry->kind == JOURNAL_EVENT || entry->kind == JOURNAL_STATE) && entry->key && entry->target;
	nid_t user = entry->kind == JOURNAL_FORGET ? entry->user : is_member ? entry->target : 0;

	if (!user)
		return;
	memberships->changes++;
	cache_remove(memberships->cache, user);
}

struct memberships *memberships_new(struct server *server, size_t cache_bytes)
{
	struct memberships *memberships = X_NEW(struct memberships);

	memberships->cache = cache_new(cache_bytes);
	journal_observe(server->journal, forget_user, memberships);
	return memberships;
}

void memberships_free(struct memberships *memberships)
{
	if (!memberships)
		return;
	cache_free(memberships->cache);
	free(memberships);
}

struct cache_stats memberships_cache_stats(struct memberships *memberships)
{
	return cache_stats(memberships->cache);
}

static bool load(struct server *server, nid_t user, struct arena *arena, struct user_room **ret_rooms, size_t *ret_count, struct err *err)
{
	struct memberships *memberships = server->memberships;
	CLEANUP(db_release) struct db *db = NULL;
	uint64_t changes = memberships->changes;
	struct user_room *list;
	struct db_rows *rows;
	size_t count = 0;

	if (!db_acquire(server->pool, &db, err) || !db_query(db, &SELECT_OF_USER, DB_PARAMS(db_int(user)), arena, &rows, err))
		return err_detail(err, "memberships of user %" PRId64, user);
	list = ARENA_ARRAY(arena, db_row_count(rows), struct user_room);
	while (db_next(rows)) {
		list[count++] = (struct user_room){
			.room = db_get_nid(rows, 0),
			.membership = (enum membership)db_get_int(rows, 1),
			.event = db_get_nid(rows, 2),
			.sender = db_get_nid(rows, 3),
			.room_seq = db_get_int(rows, 4),
			.left_seq = db_get_int(rows, 5),
			.left_root = db_get_int(rows, 6),
		};
	}
	cache_put_unless_changed(memberships->cache, user, (struct str){ (const char *)list, count * sizeof(*list) },
				 &memberships->changes, changes);
	*ret_rooms = list;
	*ret_count = count;
	return true;
}

bool memberships_of_user(struct server *server, nid_t user, struct arena *arena, struct user_room **ret_rooms, size_t *ret_count, struct err *err)
{
	struct str bytes;

	if (!cache_get(server->memberships->cache, user, arena, &bytes))
		return load(server, user, arena, ret_rooms, ret_count, err);
	*ret_rooms = (struct user_room *)(uintptr_t)bytes.ptr; /* the arena's copy is aligned for any type */
	*ret_count = bytes.len / sizeof(**ret_rooms);
	return true;
}

static int compare_rooms(const void *a, const void *b)
{
	nid_t x = ((const struct user_room *)a)->room, y = ((const struct user_room *)b)->room;

	return (x > y) - (x < y);
}

bool membership_get(struct server *server, nid_t user, nid_t room, struct arena *arena, struct user_room *ret_room, struct err *err)
{
	struct user_room key = { .room = room }, *list, *found;
	size_t count;

	if (!memberships_of_user(server, user, arena, &list, &count, err))
		return false;
	found = count ? bsearch(&key, list, count, sizeof(*list), compare_rooms) : NULL;
	*ret_room = found ? *found : key;
	return true;
}

bool membership_require_joined(struct server *server, nid_t user, nid_t room, struct arena *arena, struct err *err)
{
	struct user_room member;

	if (!membership_get(server, user, room, arena, &member, err))
		return false;
	if (member.membership != MEMBERSHIP_JOIN)
		return err_set(err, M_FORBIDDEN, "You are not in this room");
	return true;
}
