#include "accounts/devices.h"

#include "accounts/accounts_internal.h"
#include "base/utf8.h"
#include "log/log.h"

#define WRITE_SEEN_EVERY_MS 60000
#define MAX_SEEN            4096 /* then they are written at once */
#define MAX_USER_AGENT      512

/* ip and agent may be empty. */
static const struct db_statement SELECT_DEVICES = {
	"devices_select",
	"SELECT device_nid, device_id, display_name, last_seen_ts, last_seen_ip FROM devices"
	" WHERE user_nid = $1 AND ($2::text IS NULL OR device_id = $2) ORDER BY device_id",
};
static const struct db_statement RENAME_DEVICE = {
	"device_rename",
	"UPDATE devices SET display_name = $3 WHERE user_nid = $1 AND device_id = $2",
};
static const struct db_statement DELETE_BY_ID = {
	"devices_delete_by_id",
	"DELETE FROM devices WHERE user_nid = $1 AND device_id = ANY($2) RETURNING device_nid",
};

bool devices_get(struct server *server, nid_t user, struct str device_id, struct arena *arena,
		 struct device **ret_devices, size_t *ret_count, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct device *devices;
	struct db_rows *rows;
	size_t count = 0;

	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_DEVICES, DB_PARAMS(db_int(user), db_text_or_null(device_id)), arena, &rows, err))
		return err_detail(err, "devices of user %" PRId64, user);
	devices = ARENA_ARRAY(arena, db_row_count(rows) + 1, struct device);
	while (db_next(rows))
		devices[count++] = (struct device){
			.nid = db_get_nid(rows, 0),
			.device_id = db_get_str(rows, 1),
			.display_name = db_get_str(rows, 2),
			.last_seen_ts = db_get_int(rows, 3),
			.last_seen_ip = db_get_str(rows, 4),
		};
	*ret_devices = devices;
	*ret_count = count;
	return true;
}

/* Others see the name, beside the device's keys. */
bool device_rename(struct server *server, nid_t user, struct str device_id, struct str name, bool *ret_found,
		   struct err *err)
{
	struct journal_entry entry = { .kind = JOURNAL_DEVICE_LIST, .user = user };
	CLEANUP(db_release) struct db *db = NULL;
	int64_t renamed;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !db_exec(db, &RENAME_DEVICE, DB_PARAMS(db_int(user), db_text(device_id), db_text(name)), &renamed, err))
		return err_detail(err, "rename a device");
	*ret_found = renamed > 0;
	return !renamed || journal_append(server->journal, db, &entry, 1, NULL, err);
}

bool devices_delete(struct server *server, nid_t user, const struct str *device_ids, size_t count, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(db_release) struct db *db = NULL;
	struct journal_entry *entries;
	struct db_rows *rows;
	size_t n = 0;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) || !account_lock(db, user, err) ||
	    !db_query(db, &DELETE_BY_ID, DB_PARAMS(db_int(user), db_texts(device_ids, count)), arena, &rows, err))
		return err_detail(err, "delete devices");
	if (!db_row_count(rows))
		return true;
	entries = ARENA_ARRAY(arena, db_row_count(rows) + 1, struct journal_entry);
	while (db_next(rows))
		entries[n++] =
			(struct journal_entry){ .kind = JOURNAL_TOKEN, .user = user, .device = db_get_nid(rows, 0) };
	entries[n++] = (struct journal_entry){ .kind = JOURNAL_DEVICE_LIST, .user = user };
	return journal_append(server->journal, db, entries, n, NULL, err);
}

/* --- where they were last seen --- */

struct seen_device {
	int64_t ts;
	char *address, *user_agent;
};

/* No cached or synced data: outside of the journal. A device that is being deleted by another is passed over. */
static const struct db_statement UPDATE_SEEN = {
	"devices_update_seen",
	"UPDATE devices d SET last_seen_ts = s.ts, last_seen_ip = s.address, user_agent = s.agent"
	" FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS s (nid, ts, address, agent)"
	" WHERE d.device_nid = s.nid AND d.device_nid IN"
	" (SELECT device_nid FROM devices WHERE device_nid = ANY($1) ORDER BY device_nid FOR UPDATE SKIP LOCKED)",
};

void seen_devices_init(struct seen_devices *seen)
{
	mutex_init(&seen->lock);
	seen->write_at_ms = clock_mono_ms() + WRITE_SEEN_EVERY_MS;
}

static void free_seen(struct seen_device *device)
{
	free(device->address);
	free(device->user_agent);
	free(device);
}

static void free_all(struct idmap *devices)
{
	struct seen_device *device;
	size_t at = 0;

	while ((device = idmap_next(devices, &at, NULL)))
		free_seen(device);
	idmap_done(devices);
}

void seen_devices_done(struct seen_devices *seen)
{
	free_all(&seen->devices);
	mutex_done(&seen->lock);
}

static bool write_devices(struct server *server, const struct idmap *devices, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	int64_t *nids = ARENA_ARRAY(arena, devices->count, int64_t),
		*times = ARENA_ARRAY(arena, devices->count, int64_t);
	struct str *addresses = ARENA_ARRAY(arena, devices->count, struct str);
	struct str *agents = ARENA_ARRAY(arena, devices->count, struct str);
	CLEANUP(db_release) struct db *db = NULL;
	struct seen_device *device;
	size_t at = 0, count = 0;
	int64_t nid;

	while ((device = idmap_next(devices, &at, &nid))) {
		nids[count] = nid;
		times[count] = device->ts;
		addresses[count] = str_of(device->address);
		agents[count++] = str_of(device->user_agent);
	}
	return db_acquire(server->pool, &db, err) &&
	       db_exec(db, &UPDATE_SEEN,
		       DB_PARAMS(db_ints(nids, count), db_ints(times, count), db_texts(addresses, count),
				 db_texts(agents, count)),
		       NULL, err);
}

void seen_devices_write(struct accounts *accounts)
{
	struct seen_devices *seen = &accounts->seen;
	struct idmap taken;
	struct err err = { 0 };

	{
		LOCKED(&seen->lock);
		taken = seen->devices;
		seen->devices = (struct idmap){ 0 };
		seen->write_at_ms = clock_mono_ms() + WRITE_SEEN_EVERY_MS;
	}
	if (taken.count && !write_devices(accounts->server, &taken, &err))
		log_warning("where devices were last seen could not be written: %s", err.detail);
	free_all(&taken);
}

/* The header's own text: what is no UTF-8 is no name to show. */
static struct str user_agent_of(const struct request *req)
{
	struct str agent = header((struct request *)(uintptr_t)req, "User-Agent");

	return agent.len <= MAX_USER_AGENT && utf8_valid(agent) ? agent : STR("");
}

void device_seen(struct server *server, const struct request *req, const struct user *user)
{
	struct seen_devices *seen = &server->accounts->seen;
	bool due;

	if (!user->device)
		return;
	{
		LOCKED(&seen->lock);
		struct seen_device *device = idmap_get(&seen->devices, user->device);

		if (!device) {
			device = X_NEW(struct seen_device);
			device->address = x_strdup(req->remote_address);
			device->user_agent = x_strdup(user_agent_of(req));
			idmap_put(&seen->devices, user->device, device);
		} else if (!str_eq(str_of(device->address), req->remote_address)) {
			free(device->address);
			device->address = x_strdup(req->remote_address);
		}
		device->ts = clock_wall_ms();
		due = clock_mono_ms() >= seen->write_at_ms || seen->devices.count >= MAX_SEEN;
		/* One of those who come now writes, the others go on. */
		if (due)
			seen->write_at_ms = INT64_MAX;
	}
	if (due)
		seen_devices_write(server->accounts);
}
