#include <sys/eventfd.h>
#include <unistd.h>

#include "rooms/memberships.h"
#include "sync/waiters.h"
#include "typing/typing_internal.h"

#define CHANNEL "hearth_ephemeral"
#define KEEP_MS ((int64_t)3600 * 1000) /* a client that was away for longer has forgotten who typed */
#define POLL_MS 5000

static void free_room(struct typing_room *room)
{
	free(room->users);
	free(room);
}

/* --- what is in memory --- */

static ptrdiff_t index_of(const struct typing_room *room, nid_t user)
{
	for (size_t i = 0; i < room->count; i++) {
		if (room->users[i] == user)
			return (ptrdiff_t)i;
	}
	return -1;
}

static void apply(struct typing *typing, const struct typing_row *row)
{
	struct typing_room *room = idmap_get(&typing->rooms, row->room);
	ptrdiff_t at;

	if (!room) {
		room = X_NEW(struct typing_room);
		idmap_put(&typing->rooms, row->room, room);
	}
	room->pos = row->pos;
	at = index_of(room, row->user);
	if (row->types && at < 0) {
		if (room->count == room->cap) {
			room->cap = room->cap ? room->cap * 2 : 4;
			room->users = x_realloc(room->users, room->cap * sizeof(*room->users));
		}
		room->users[room->count++] = row->user;
		typing->users++;
	} else if (!row->types && at >= 0) {
		room->users[at] = room->users[--room->count];
		typing->users--;
	}
}

int64_t typing_position(struct typing *typing)
{
	LOCKED(&typing->lock);

	return typing->position;
}

/* Commits become visible in the order of their positions: who has read up to one has read all before it. */
static void apply_rows(struct typing *typing, const struct typing_row *rows, size_t count)
{
	int64_t applied;
	LOCKED(&typing->lock);

	applied = typing->position;
	for (size_t i = 0; i < count; i++) {
		if (rows[i].pos <= applied)
			continue;
		apply(typing, &rows[i]);
		typing->position = rows[i].pos;
	}
}

bool typing_follow(struct typing *typing, struct db *db, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct typing_row *rows;
	size_t count;

	if (!typing_store_read(db, typing_position(typing), arena, &rows, &count, err))
		return false;
	apply_rows(typing, rows, count);
	for (size_t i = 0; i < count; i++)
		waiters_wake_room(typing->server->waiters, rows[i].room);
	return true;
}

bool typing_changed(struct typing *typing, nid_t room_nid, int64_t since)
{
	const struct typing_room *room;
	LOCKED(&typing->lock);

	room = idmap_get(&typing->rooms, room_nid);
	return room && room->pos > since;
}

size_t typing_users(struct typing *typing, nid_t room_nid, struct arena *arena, nid_t **ret_users)
{
	const struct typing_room *room;
	LOCKED(&typing->lock);

	room = idmap_get(&typing->rooms, room_nid);
	if (!room || !room->count)
		return 0;
	*ret_users = ARENA_ARRAY(arena, room->count, nid_t);
	memcpy(*ret_users, room->users, room->count * sizeof(nid_t));
	return room->count;
}

/* --- writing --- */

bool typing_tell(struct typing *typing, struct db *db, struct err *err)
{
	return journal_stats(typing->server->journal).sole || db_notify(db, CHANNEL, STR(""), err);
}

static void wake_thread(struct typing *typing)
{
	uint64_t one = 1;

	if (write(typing->wake_fd, &one, sizeof(one)) < 0)
		return; /* it is full: the thread has been woken already */
}

bool typing_set(struct server *server, nid_t room, nid_t user, int64_t timeout_ms, struct err *err)
{
	struct typing *typing = server->typing;
	CLEANUP(db_release) struct db *db = NULL;
	bool news = true;

	if (!db_acquire(server->pool, &db, err))
		return false;
	if (timeout_ms ? !typing_store_start(db, room, user, timeout_ms, &news, err)
		       : !typing_store_end(db, room, user, err))
		return err_detail(err, "typing in room %" PRId64, room);
	if (!news)
		return true;
	wake_thread(typing); /* which looks after the end */
	return typing_follow(typing, db, err) && typing_tell(typing, db, err);
}

/* --- the thread: follows, and ends what nobody ends --- */

/* Who leaves a room types there no more. Called under the journal's lock: the thread does it. */
static void observe(void *context, const struct journal_entry *entry)
{
	struct typing *typing = context;
	const struct typing_room *room;

	if (entry->kind != JOURNAL_EVENT || !entry->key || !entry->target || entry->membership == MEMBERSHIP_JOIN)
		return;
	LOCKED(&typing->lock);
	room = idmap_get(&typing->rooms, entry->room);
	if (!room || index_of(room, entry->target) < 0)
		return;
	if (typing->departed_count == typing->departed_cap) {
		typing->departed_cap = typing->departed_cap ? typing->departed_cap * 2 : 16;
		typing->departed = x_realloc(typing->departed, typing->departed_cap * sizeof(*typing->departed));
	}
	typing->departed[typing->departed_count++] = (struct departed){ entry->room, entry->target };
	wake_thread(typing);
}

static bool take_departed(struct typing *typing, struct departed *ret_departed)
{
	LOCKED(&typing->lock);

	if (!typing->departed_count)
		return false;
	*ret_departed = typing->departed[--typing->departed_count];
	return true;
}

static void forget_quiet_rooms(struct typing *typing)
{
	struct typing_room *room;
	struct idmap kept = { 0 };
	size_t at = 0;
	int64_t nid;
	LOCKED(&typing->lock);

	while ((room = idmap_next(&typing->rooms, &at, &nid))) {
		if (room->count || room->pos > typing->position - KEEP_MS)
			idmap_put(&kept, nid, room);
		else
			free_room(room);
	}
	idmap_done(&typing->rooms);
	typing->rooms = kept;
}

static bool sweep(struct typing *typing, struct db *db, struct err *err)
{
	if (clock_mono_ms() < typing->swept_ms + KEEP_MS)
		return true;
	typing->swept_ms = clock_mono_ms();
	forget_quiet_rooms(typing);
	return typing_store_sweep(db, KEEP_MS, err);
}

static bool anybody_types(struct typing *typing)
{
	LOCKED(&typing->lock);

	return typing->users > 0;
}

static struct departed *take_all(struct typing *typing, struct arena *arena, int64_t position, size_t *ret_count)
{
	struct departed *list;
	struct typing_room *room;
	size_t at = 0;
	int64_t nid;
	LOCKED(&typing->lock);

	*ret_count = 0;
	if (typing->position != position)
		return NULL;
	list = ARENA_ARRAY(arena, typing->users, struct departed);
	while ((room = idmap_next(&typing->rooms, &at, &nid))) {
		if (!room->count)
			continue;
		list[(*ret_count)++].room = nid;
		typing->users -= room->count;
		room->count = 0;
		room->pos = position + 1;
	}
	typing->position = position + 1;
	return list;
}

/* By the rows nobody types, nor did that change since `position`: a crash of the database has emptied them. The new
 * position is behind the clock too. */
static void forget_lost(struct typing *typing, struct arena *arena, int64_t position)
{
	size_t count;
	const struct departed *rooms = take_all(typing, arena, position, &count);

	for (size_t i = 0; i < count; i++)
		waiters_wake_room(typing->server->waiters, rooms[i].room);
}

static bool expire(struct typing *typing, struct db *db, bool *ret_news, int64_t *ret_next_ms, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	int64_t before = typing_position(typing);

	if (!typing_store_expire(db, arena, ret_news, ret_next_ms, err))
		return false;
	if (*ret_news || *ret_next_ms >= 0)
		return true;
	if (!typing_follow(typing, db, err))
		return false;
	forget_lost(typing, arena, before);
	return true;
}

/* *ret_wait_ms: until somebody's time may be over. */
static bool turn(struct typing *typing, struct db *db, int64_t *ret_wait_ms, struct err *err)
{
	struct departed departed;
	int64_t next_ms = -1;
	bool news = false, expired = false;

	if (!typing_follow(typing, db, err) || !sweep(typing, db, err))
		return false;
	while (take_departed(typing, &departed)) {
		if (!typing_store_end(db, departed.room, departed.user, err))
			return false;
		news = true;
	}
	if (anybody_types(typing) && !expire(typing, db, &expired, &next_ms, err))
		return false;
	*ret_wait_ms = next_ms >= 0 ? MIN(next_ms + 1, POLL_MS) : POLL_MS;
	return (!news && !expired) || (typing_follow(typing, db, err) && typing_tell(typing, db, err));
}

static bool connect_and_turn(struct typing *typing, struct db **db, int64_t *ret_wait_ms, struct err *err)
{
	if (!*db && (!db_acquire(typing->server->pool, db, err) || !db_listen(*db, CHANNEL, err)))
		return false;
	return turn(typing, *db, ret_wait_ms, err);
}

void *typing_run(void *context)
{
	struct typing *typing = context;
	struct db *db = NULL;

	while (!typing->stops) {
		const struct timespec pause = { .tv_nsec = 200 * 1000000L };
		struct err err = { 0 };
		uint64_t drained;
		int64_t wait_ms;
		bool got;

		if (!connect_and_turn(typing, &db, &wait_ms, &err) ||
		    !db_wait_notify(db, clock_mono_ms() + wait_ms, typing->wake_fd, &got, &err)) {
			if (db)
				db_release(TAKE(db));
			nanosleep(&pause, NULL);
		}
		if (read(typing->wake_fd, &drained, sizeof(drained)) < 0)
			continue; /* nobody had asked */
	}
	if (db)
		db_release(db);
	return NULL;
}

/* --- life --- */

bool typing_open(struct server *server, struct typing **ret_typing, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct typing *typing = X_NEW(struct typing);

	typing->server = server;
	typing->swept_ms = clock_mono_ms();
	mutex_init(&typing->lock);
	typing->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*ret_typing = typing;
	if (typing->wake_fd < 0)
		return err_internal(err, "no descriptor to wake the thread of typing by");
	if (!db_acquire(server->pool, &db, err) || !typing_follow(typing, db, err))
		return err_detail(err, "who types");
	journal_observe(server->journal, observe, typing);
	typing->thread = thread_start("typing", typing_run, typing);
	return true;
}

void typing_stop(struct typing *typing)
{
	if (!typing || !typing->thread)
		return;
	typing->stops = true;
	wake_thread(typing);
	thread_join(typing->thread);
}

void typing_free(struct typing *typing)
{
	struct typing_room *room;
	size_t at = 0;

	if (!typing)
		return;
	while ((room = idmap_next(&typing->rooms, &at, NULL)))
		free_room(room);
	idmap_done(&typing->rooms);
	free(typing->departed);
	if (typing->wake_fd >= 0)
		close(typing->wake_fd);
	mutex_done(&typing->lock);
	free(typing);
}
