#include "accounts/profile.h"

#include "accounts/accounts_internal.h"
#include "log/log.h"
#include "matrix/slice.h"
#include "rooms/member_content.h"
#include "rooms/memberships.h"

#define MAX_PROFILE 65536

static const struct db_statement SELECT_PROFILE = {
	"profile_select",
	"SELECT field, value FROM profiles WHERE user_nid = $1 ORDER BY field",
};

/* --- reading --- */

/* Also an account that has just been made: its user may have been known before, without a profile. */
void profile_observe(struct accounts *accounts, const struct journal_entry *entry)
{
	if (entry->kind != JOURNAL_PROFILE && entry->kind != JOURNAL_ACCOUNT)
		return;
	accounts->profile_changes++;
	cache_remove(accounts->profiles, entry->user);
}

static struct str profile_object(struct db_rows *rows, struct arena *arena)
{
	CLEANUP(buf_done) struct buf out = buf_init((size_t)1 << 20);
	bool first = true;

	buf_char(&out, '{');
	while (db_next(rows)) {
		if (!first)
			buf_char(&out, ',');
		first = false;
		slice_write_string(&out, db_get_str(rows, 0));
		buf_char(&out, ':');
		buf_append(&out, db_get_str(rows, 1));
	}
	buf_char(&out, '}');
	return str_dup(arena, buf_str(&out));
}

bool profile_get_all(struct server *server, nid_t user, struct arena *arena, struct str *ret_profile, struct err *err)
{
	struct accounts *accounts = server->accounts;
	uint64_t changes = accounts->profile_changes;
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	if (cache_get(accounts->profiles, user, arena, ret_profile))
		return true;
	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_PROFILE, DB_PARAMS(db_int(user)), arena, &rows, err))
		return err_detail(err, "profile of user %" PRId64, user);
	*ret_profile = profile_object(rows, arena);
	cache_put_unless_changed(accounts->profiles, user, *ret_profile, &accounts->profile_changes, changes);
	return true;
}

bool profile_get(struct server *server, nid_t user, struct str field, struct arena *arena, struct str *ret_value,
		 struct err *err)
{
	struct str profile;

	if (!profile_get_all(server, user, arena, &profile, err))
		return false;
	if (!slice_get(profile, field, ret_value))
		*ret_value = STR("");
	return true;
}

/* --- writing --- */

static const struct db_statement SELECT_OTHERS_SIZE = {
	"profile_select_others_size",
	"SELECT coalesce(sum(octet_length(field) + octet_length(value) + 6), 0)::bigint FROM profiles WHERE user_nid = "
	"$1 AND field <> $2",
};
static const struct db_statement UPSERT_FIELD = {
	"profile_field_upsert",
	"INSERT INTO profiles (user_nid, field, value) VALUES ($1, $2, $3)"
	" ON CONFLICT (user_nid, field) DO UPDATE SET value = excluded.value WHERE profiles.value <> excluded.value",
};
static const struct db_statement DELETE_FIELD = {
	"profile_field_delete",
	"DELETE FROM profiles WHERE user_nid = $1 AND field = $2",
};

static bool check_size(struct db *db, nid_t user, struct str field, struct str value, struct arena *arena,
		       struct err *err)
{
	struct db_rows *rows;

	if (!account_lock(db, user, err) ||
	    !db_query(db, &SELECT_OTHERS_SIZE, DB_PARAMS(db_int(user), db_text(field)), arena, &rows, err) ||
	    !db_next(rows))
		return false;
	if ((size_t)db_get_int(rows, 0) + field.len + value.len + 6 > MAX_PROFILE)
		return err_set(err, M_PROFILE_TOO_LARGE, "A profile has at most %d bytes", MAX_PROFILE);
	return true;
}

static bool write_field(struct server *server, nid_t user, struct str field, struct str value, bool *ret_changed,
			struct err *err)
{
	struct journal_entry entry = { .kind = JOURNAL_PROFILE, .user = user };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(db_release) struct db *db = NULL;
	int64_t changed;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err))
		return false;
	if (value.len ? !check_size(db, user, field, value, arena, err) ||
				!db_exec(db, &UPSERT_FIELD, DB_PARAMS(db_int(user), db_text(field), db_text(value)),
					 &changed, err)
		      : !db_exec(db, &DELETE_FIELD, DB_PARAMS(db_int(user), db_text(field)), &changed, err))
		return err_detail(err, "set a field of a profile");
	*ret_changed = changed > 0;
	return !changed || journal_append(server->journal, db, &entry, 1, NULL, err);
}

static bool tell_room(struct server *server, const struct sender *sender, nid_t room, struct str content,
		      struct arena *arena, struct err *err)
{
	struct event_draft draft = {
		.type = STR("m.room.member"),
		.is_state = true,
		.state_key = sender->user_id,
		.content = content,
		.skip_if_same = true,
	};
	struct room_info info;
	struct str event_id;

	return room_of_nid(server->rooms, room, arena, &info, err) &&
	       room_send(server, &info, sender, &draft, 1, arena, &event_id, err);
}

/* A room that refuses keeps the old name; what is known of the other rooms does not depend on it. */
static bool tell_rooms(struct server *server, const struct user *user, struct err *err)
{
	const struct member_wish wish = { .membership = STR("join"), .with_profile = true };
	CLEANUP(arena_free) struct arena *arena = arena_new(), *scratch = arena_new();
	struct sender sender = { .nid = user->nid, .user_id = user->user_id };
	struct user_room *rooms;
	struct str content;
	size_t count;

	if (!memberships_of_user(server, user->nid, arena, &rooms, &count, err) ||
	    !member_content(server, user->user_id, &wish, arena, &content, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		struct err refused = { 0 };

		arena_reset(scratch);
		if (rooms[i].membership == MEMBERSHIP_JOIN &&
		    !tell_room(server, &sender, rooms[i].room, content, scratch, &refused))
			log_info("a changed profile was not told to a room: %s", refused.message);
	}
	return true;
}

bool profile_set(struct server *server, const struct user *user, struct str field, struct str value, struct err *err)
{
	bool changed, told = str_eq(field, STR("displayname")) || str_eq(field, STR("avatar_url"));

	if (!write_field(server, user->nid, field, value, &changed, err))
		return false;
	/* Also when nothing changed: an earlier attempt may have been cut off on its way through the rooms. */
	return !told || tell_rooms(server, user, err);
}
