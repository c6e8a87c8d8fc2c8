/* Accounts: their rows, and what changes them. */
#include "accounts/accounts_internal.h"
#include "matrix/identifiers.h"
#include "matrix/slice.h"
#include "rooms/memberships.h"

static const struct db_statement SELECT_ACCOUNT = {
	"account_select",
	"SELECT a.user_nid, u.user_id, a.password_hash, a.created_ts, a.admin, a.guest, a.deactivated, a.locked, "
	"a.suspended"
	" FROM accounts a JOIN users u USING (user_nid) WHERE u.user_id = $1",
};

bool account_find(struct server *server, struct str user_id, struct arena *arena, struct account *ret_account,
		  struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	*ret_account = (struct account){ 0 };
	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_ACCOUNT, DB_PARAMS(db_text(user_id)), arena, &rows, err))
		return err_detail(err, "find an account");
	if (db_next(rows))
		*ret_account = (struct account){
			.user = db_get_nid(rows, 0),
			.user_id = db_get_str(rows, 1),
			.password_hash = db_get_str(rows, 2),
			.created_ts = db_get_int(rows, 3),
			.admin = db_get_bool(rows, 4),
			.guest = db_get_bool(rows, 5),
			.deactivated = db_get_bool(rows, 6),
			.locked = db_get_bool(rows, 7),
			.suspended = db_get_bool(rows, 8),
		};
	return true;
}

/* --- making one --- */

static const struct db_statement INSERT_ACCOUNT = {
	"account_insert",
	"INSERT INTO accounts (user_nid, password_hash, created_ts, admin, guest, user_type) VALUES ($1, $2, $3, $4, "
	"$5, $6)"
	" ON CONFLICT DO NOTHING",
};
static const struct db_statement INSERT_DISPLAYNAME = {
	"account_insert_displayname",
	"INSERT INTO profiles (user_nid, field, value) VALUES ($1, 'displayname', $2)",
};
static const struct db_statement USE_REGISTRATION_TOKEN = {
	"registration_token_use",
	"UPDATE registration_tokens SET completed = completed + 1"
	" WHERE token = $1 AND (uses_allowed IS NULL OR completed < uses_allowed)",
};
static const struct db_statement SET_UIA_RESULT = {
	"uia_set_result",
	"UPDATE uia_sessions SET result = $2 WHERE session_id = $1",
};

bool account_check_localpart(struct server *server, struct str localpart, struct str server_name, struct arena *arena,
			     struct str *ret_user_id, struct err *err)
{
	struct account account;

	if (!user_localpart_valid(localpart))
		return err_set(err, M_INVALID_USERNAME, "A user name has only a-z, 0-9 and . _ = - / +");
	*ret_user_id = str_printf(arena, "@%.*s:%.*s", STR_ARG(localpart), STR_ARG(server_name));
	if (ret_user_id->len > IDENTIFIER_MAX)
		return err_set(err, M_INVALID_USERNAME, "This user name is too long");
	if (!account_find(server, *ret_user_id, arena, &account, err))
		return false;
	if (account.user)
		return err_set(err, M_USER_IN_USE, "This user name is taken");
	return true;
}

struct str profile_quoted(struct arena *arena, struct str text)
{
	CLEANUP(buf_done) struct buf buf = buf_init((size_t)1 << 20);

	slice_write_string(&buf, text);
	return str_dup(arena, buf_str(&buf));
}

static bool insert_account(struct db *db, const struct new_account *account, nid_t user, struct str hash,
			   struct err *err)
{
	int64_t inserted;

	if (!db_exec(db, &INSERT_ACCOUNT,
		     DB_PARAMS(db_int(user), db_text_or_null(hash), db_int(clock_wall_ms()), db_bool(account->admin),
			       db_bool(account->guest), db_text_or_null(account->user_type)),
		     &inserted, err))
		return false;
	return inserted || err_set(err, M_USER_IN_USE, "This user name is taken");
}

static bool settle_registration(struct db *db, const struct new_account *account, struct err *err)
{
	int64_t used = 1;

	if (account->registration_token.len &&
	    !db_exec(db, &USE_REGISTRATION_TOKEN, DB_PARAMS(db_text(account->registration_token)), &used, err))
		return false;
	if (!used)
		return err_set(err, M_FORBIDDEN, "This registration token has been used up");
	return !account->uia_session.len ||
	       db_exec(db, &SET_UIA_RESULT, DB_PARAMS(db_text(account->uia_session), db_text(account->user_id)), NULL,
		       err);
}

static bool write_account(struct server *server, const struct new_account *account, nid_t user, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str localpart = str_sub(account->user_id, 1, (size_t)str_find_char(account->user_id, ':') - 1);
	struct str displayname = account->displayname.len ? account->displayname : localpart;
	struct str hash = account->password.len ? password_hash_new(server, account->password, arena) : STR("");
	const struct journal_entry entry = { .kind = JOURNAL_ACCOUNT, .user = user };
	CLEANUP(db_release) struct db *db = NULL;

	return db_acquire(server->pool, &db, err) && db_begin(db, err) &&
	       insert_account(db, account, user, hash, err) && settle_registration(db, account, err) &&
	       db_exec(db, &INSERT_DISPLAYNAME, DB_PARAMS(db_int(user), db_text(profile_quoted(arena, displayname))),
		       NULL, err) &&
	       journal_append(server->journal, db, &entry, 1, NULL, err);
}

bool account_create(struct server *server, const struct new_account *account, nid_t *ret_user, struct err *err)
{
	nid_t user;

	if (!intern_user(server->interned, account->user_id, &user, err) || !write_account(server, account, user, err))
		return err_detail(err, "create an account");
	auto_join(server, account, user);
	*ret_user = user;
	return true;
}

/* --- changing one --- */

static const struct db_statement SET_PASSWORD = {
	"account_set_password",
	"UPDATE accounts SET password_hash = $2 WHERE user_nid = $1 AND NOT deactivated",
};

bool account_set_password(struct server *server, nid_t user, struct str password, bool others_out, nid_t keep_device,
			  struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str hash = password_hash_new(server, password, arena);
	struct journal_entry entries[] = { { .kind = JOURNAL_TOKEN, .user = user },
					   { .kind = JOURNAL_DEVICE_LIST, .user = user } };
	CLEANUP(db_release) struct db *db = NULL;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !db_exec(db, &SET_PASSWORD, DB_PARAMS(db_int(user), db_text(hash)), NULL, err) ||
	    (others_out && !sessions_delete(db, user, keep_device, err)) ||
	    !journal_append(server->journal, db, entries, others_out ? 2 : 1, NULL, err))
		return err_detail(err, "set a password");
	return true;
}

/* --- deactivation --- */

static const struct db_statement DEACTIVATE = {
	"account_deactivate",
	"UPDATE accounts SET deactivated = true, erased = erased OR $2, password_hash = NULL, admin = false WHERE "
	"user_nid = $1",
};
static const struct db_statement DELETE_PROFILE = { "profile_delete", "DELETE FROM profiles WHERE user_nid = $1" };

static bool leave_room(struct server *server, const struct sender *sender, nid_t room, struct str content,
		       struct arena *arena, struct err *err)
{
	struct event_draft draft = {
		.type = STR("m.room.member"), .is_state = true, .state_key = sender->user_id, .content = content
	};
	struct room_info info;
	struct str event_id;

	if (!room_of_nid(server->rooms, room, arena, &info, err))
		return false;
	/* A room whose rules do not let them go keeps a member who cannot come back. */
	return room_send(server, &info, sender, &draft, 1, arena, &event_id, err) || err->status < 500;
}

static bool leave_all(struct server *server, const struct sender *sender, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new(), *scratch = arena_new();
	struct user_room *rooms;
	size_t count;

	if (!memberships_of_user(server, sender->nid, arena, &rooms, &count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		enum membership membership = rooms[i].membership;

		arena_reset(scratch);
		if ((membership == MEMBERSHIP_JOIN || membership == MEMBERSHIP_INVITE ||
		     membership == MEMBERSHIP_KNOCK) &&
		    !leave_room(server, sender, rooms[i].room, STR("{\"membership\":\"leave\"}"), scratch, err))
			return false;
	}
	return true;
}

bool account_deactivate(struct server *server, nid_t user, struct str user_id, bool erase, struct err *err)
{
	struct journal_entry entries[] = {
		{ .kind = JOURNAL_ACCOUNT, .user = user },
		{ .kind = JOURNAL_TOKEN, .user = user },
		{ .kind = JOURNAL_DEVICE_LIST, .user = user },
		{ .kind = JOURNAL_PROFILE, .user = user },
	};
	CLEANUP(db_release) struct db *db = NULL;

	/* First, so that a repeated request goes on where one was cut off. */
	if (!leave_all(server, &(struct sender){ .nid = user, .user_id = user_id }, err))
		return err_detail(err, "leave all rooms");
	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !db_exec(db, &DEACTIVATE, DB_PARAMS(db_int(user), db_bool(erase)), NULL, err) ||
	    !sessions_delete(db, user, 0, err) ||
	    (erase && !db_exec(db, &DELETE_PROFILE, DB_PARAMS(db_int(user)), NULL, err)) ||
	    !journal_append(server->journal, db, entries, ARRAY_LEN(entries), NULL, err))
		return err_detail(err, "deactivate an account");
	return true;
}
