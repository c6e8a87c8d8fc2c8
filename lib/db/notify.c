/* LISTEN and NOTIFY. */
#include "internal.h"

#include <errno.h>
#include <poll.h>

static const struct db_statement NOTIFY = { "db_notify", "SELECT pg_notify($1, $2)" };

bool db_listen(struct db *db, const char *channel, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	char *quoted;
	bool ok;

	assert(db->broken || query_is_idle(db));
	quoted = PQescapeIdentifier(db->conn, channel, strlen(channel));
	if (!quoted)
		return connection_lost(db, err);
	db->listening = true;
	ok = query_text(db, str_printf(arena, "LISTEN %s", quoted).ptr, err);
	PQfreemem(quoted);
	return ok;
}

bool db_notify(struct db *db, const char *channel, struct str payload, struct err *err)
{
	return db_exec(db, &NOTIFY, DB_PARAMS(db_text(str_of(channel)), db_text(payload)), NULL, err);
}

static bool take_notifications(struct db *db)
{
	PGnotify *notification;
	bool got = false;

	while ((notification = PQnotifies(db->conn))) {
		PQfreemem(notification);
		got = true;
	}
	return got;
}

bool db_wait_notify(struct db *db, int64_t deadline_ms, int wake_fd, bool *ret_got, struct err *err)
{
	struct pollfd fds[] = { { .fd = PQsocket(db->conn), .events = POLLIN }, { .fd = wake_fd, .events = POLLIN } };

	assert(db->broken || (db->listening && query_is_idle(db)));
	for (;;) {
		int64_t left = deadline_ms - clock_mono_ms();
		int ready;

		if (db->broken)
			return connection_lost(db, err);
		if ((*ret_got = take_notifications(db)))
			return true;
		ready = poll(fds, ARRAY_LEN(fds), (int)MIN(MAX(left, 0), INT32_MAX));
		if (ready < 0 && errno != EINTR)
			abort();
		if (ready > 0 && fds[0].revents && !PQconsumeInput(db->conn))
			return connection_lost(db, err);
		if ((*ret_got = take_notifications(db)) || (ready > 0 && fds[1].revents) || left <= 0)
			return true;
	}
}
