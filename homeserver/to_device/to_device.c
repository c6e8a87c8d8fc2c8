#include "to_device/to_device.h"

#include <stdatomic.h>

#include "base/cache.h"
#include "base/clock.h"
#include "journal/journal.h"

#define TRANSACTION_LIFE_MS (INT64_C(24) * 60 * 60 * 1000)
#define FORGET_EVERY        256 /* sends */

struct to_device {
	struct cache *empty;      /* by device: its queue is known to be empty. Most syncs need not look, then. */
	_Atomic uint64_t changes; /* seen in the journal: what was read before the last one is not cached */
	_Atomic uint64_t sends;
};

static void forget_device(void *context, const struct journal_entry *entry)
{
	struct to_device *to_device = context;

	if (entry->kind != JOURNAL_TO_DEVICE)
		return;
	to_device->changes++;
	cache_remove(to_device->empty, entry->device);
}

struct to_device *to_device_new(struct server *server, size_t cache_bytes)
{
	struct to_device *to_device = X_NEW(struct to_device);

	to_device->empty = cache_new(cache_bytes);
	journal_observe(server->journal, forget_device, to_device);
	return to_device;
}

void to_device_free(struct to_device *to_device)
{
	if (!to_device)
		return;
	cache_free(to_device->empty);
	free(to_device);
}

struct cache_stats to_device_cache_stats(struct to_device *to_device)
{
	return cache_stats(to_device->empty);
}

/* --- sending --- */

static const struct db_statement INSERT_TRANSACTION = {
	"to_device_insert_transaction",
	"INSERT INTO to_device_transactions (scope, txn_id, type, sent_ts) VALUES ($1, $2, $3, $4)"
	" ON CONFLICT DO NOTHING",
};
static const struct db_statement DELETE_TRANSACTIONS = {
	"to_device_delete_transactions",
	"DELETE FROM to_device_transactions WHERE (scope, txn_id, type) IN (SELECT scope, txn_id, type"
	" FROM to_device_transactions WHERE sent_ts < $1 ORDER BY sent_ts LIMIT 1000 FOR UPDATE SKIP LOCKED)",
};
/* In one order, whoever sends. */
static const struct db_statement LOCK_TARGETS = {
	"to_device_lock_targets",
	"SELECT d.device_nid, d.user_nid, m.at"
	" FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS m (user_id, device_id, at)"
	" JOIN users u ON u.user_id = m.user_id JOIN devices d ON d.user_nid = u.user_nid"
	" AND (m.device_id = '*' OR d.device_id = m.device_id) ORDER BY d.device_nid, m.at"
	" FOR NO KEY UPDATE OF d",
};
static const struct db_statement INSERT_MESSAGES = {
	"to_device_insert",
	"INSERT INTO to_device_messages (device_nid, sender_nid, type, content)"
	" SELECT t.device, $1, $2, c.content FROM unnest($3::bigint[], $4::bigint[]) AS t (device, at)"
	" JOIN unnest($5::text[]) WITH ORDINALITY AS c (content, at) USING (at)",
};

struct targets {
	int64_t *devices, *messages;
	struct journal_entry *entries;
	size_t count;
};

static bool lock_targets(struct db *db, const struct device_message *messages, size_t count, struct arena *arena,
			 struct targets *ret_targets, struct err *err)
{
	struct str *users = ARENA_ARRAY(arena, count, struct str), *devices = ARENA_ARRAY(arena, count, struct str);
	struct targets targets = { 0 };
	struct db_rows *rows;

	for (size_t i = 0; i < count; i++) {
		users[i] = messages[i].user_id;
		devices[i] = messages[i].device_id;
	}
	if (!db_query(db, &LOCK_TARGETS, DB_PARAMS(db_texts(users, count), db_texts(devices, count)), arena, &rows,
		      err))
		return false;
	targets.devices = ARENA_ARRAY(arena, db_row_count(rows), int64_t);
	targets.messages = ARENA_ARRAY(arena, db_row_count(rows), int64_t);
	targets.entries = ARENA_ARRAY(arena, db_row_count(rows), struct journal_entry);
	while (db_next(rows)) {
		targets.devices[targets.count] = db_get_nid(rows, 0);
		targets.messages[targets.count] = db_get_int(rows, 2);
		targets.entries[targets.count++] = (struct journal_entry){ .kind = JOURNAL_TO_DEVICE,
									   .user = db_get_nid(rows, 1),
									   .device = db_get_nid(rows, 0) };
	}
	*ret_targets = targets;
	return true;
}

static bool insert_messages(struct db *db, const struct user *sender, struct str type,
			    const struct device_message *messages, size_t count, const struct targets *targets,
			    struct arena *arena, struct err *err)
{
	struct str *contents = ARENA_ARRAY(arena, count, struct str);

	for (size_t i = 0; i < count; i++)
		contents[i] = messages[i].content;
	return db_exec(db, &INSERT_MESSAGES,
		       DB_PARAMS(db_int(sender->nid), db_text(type), db_ints(targets->devices, targets->count),
				 db_ints(targets->messages, targets->count), db_texts(contents, count)),
		       NULL, err);
}

/* Now and then, what is too old for a client to try again. */
static bool forget_transactions(struct server *server, struct db *db, struct err *err)
{
	if (server->to_device->sends++ % FORGET_EVERY != 0)
		return true;
	return db_exec(db, &DELETE_TRANSACTIONS, DB_PARAMS(db_int(clock_wall_ms() - TRANSACTION_LIFE_MS)), NULL, err);
}

bool to_device_send(struct server *server, const struct user *sender, struct str type, struct str txn_id,
		    const struct device_message *messages, size_t count, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	int64_t scope = sender->device ? sender->device : -sender->token, inserted;
	CLEANUP(db_release) struct db *db = NULL;
	struct targets targets;

	if (!db_acquire(server->pool, &db, err) || !forget_transactions(server, db, err) || !db_begin(db, err) ||
	    !db_exec(db, &INSERT_TRANSACTION,
		     DB_PARAMS(db_int(scope), db_text(txn_id), db_text(type), db_int(clock_wall_ms())), &inserted, err))
		return err_detail(err, "send to devices");
	if (inserted == 0)
		return true;
	if (!lock_targets(db, messages, count, arena, &targets, err))
		return err_detail(err, "send to devices");
	if (targets.count == 0)
		return db_commit(db, err);
	return (insert_messages(db, sender, type, messages, count, &targets, arena, err) &&
		journal_append(server->journal, db, targets.entries, targets.count, NULL, err)) ||
	       err_detail(err, "send to %zu devices", targets.count);
}

/* --- receiving --- */

#define PAGE "100"

static const struct db_statement SELECT_WAITING = {
	"to_device_select",
	"SELECT m.message_nid, u.user_id, m.type, m.content FROM to_device_messages m JOIN users u ON u.user_nid = "
	"m.sender_nid"
	" WHERE m.device_nid = $1 ORDER BY m.message_nid LIMIT " PAGE,
};
static const struct db_statement SELECT_AFTER = {
	"to_device_select_after",
	"WITH acknowledged AS (DELETE FROM to_device_messages WHERE device_nid = $1 AND message_nid <= $2)"
	" SELECT m.message_nid, u.user_id, m.type, m.content FROM to_device_messages m JOIN users u ON u.user_nid = "
	"m.sender_nid"
	" WHERE m.device_nid = $1 AND m.message_nid > $2 ORDER BY m.message_nid LIMIT " PAGE,
};

static bool read_waiting(struct db *db, nid_t device, int64_t acknowledged, struct arena *arena,
			 struct db_rows **ret_rows, struct err *err)
{
	if (acknowledged == 0)
		return db_query(db, &SELECT_WAITING, DB_PARAMS(db_int(device)), arena, ret_rows, err);
	return db_query(db, &SELECT_AFTER, DB_PARAMS(db_int(device), db_int(acknowledged)), arena, ret_rows, err);
}

bool to_device_take(struct server *server, nid_t device, int64_t acknowledged, struct arena *arena,
		    struct waiting_message **ret_messages, size_t *ret_count, struct err *err)
{
	struct to_device *to_device = server->to_device;
	uint64_t changes = to_device->changes;
	CLEANUP(db_release) struct db *db = NULL;
	struct waiting_message *messages;
	struct db_rows *rows;
	struct str known;
	size_t count = 0;

	*ret_count = 0;
	if (cache_get(to_device->empty, device, arena, &known))
		return true;
	if (!db_acquire(server->pool, &db, err) || !read_waiting(db, device, acknowledged, arena, &rows, err))
		return err_detail(err, "messages to device %" PRId64, device);
	messages = ARENA_ARRAY(arena, db_row_count(rows), struct waiting_message);
	while (db_next(rows))
		messages[count++] = (struct waiting_message){ db_get_int(rows, 0), db_get_str(rows, 1),
							      db_get_str(rows, 2), db_get_str(rows, 3) };
	if (count == 0)
		cache_put_unless_changed(to_device->empty, device, STR("-"), &to_device->changes, changes);
	*ret_messages = messages;
	*ret_count = count;
	return true;
}
