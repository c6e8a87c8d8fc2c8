/* What the files of typing share. */
#pragma once

#include <stdatomic.h>

#include "journal/journal.h"
#include "typing/typing.h"

struct typing_row {
	nid_t room, user;
	int64_t pos;
	bool types;
};

struct typing_room {
	int64_t pos; /* of its latest change */
	nid_t *users;
	size_t count, cap;
};

/* Somebody who typed and is not in the room any more. */
struct departed {
	nid_t room, user;
};

struct typing {
	struct server *server;
	struct mutex lock;
	struct idmap rooms; /* struct typing_room */
	int64_t position;
	size_t users; /* of all rooms */
	struct departed *departed;
	size_t departed_count, departed_cap;
	int64_t swept_ms; /* the thread's */
	int wake_fd;
	_Atomic bool stops;
	pthread_t thread;
};

/* The rows (typing_store.c). Positions are handed out in the order of commits; times are the database's. */
bool typing_store_start(struct db *db, nid_t room, nid_t user, int64_t timeout_ms, bool *ret_news, struct err *err);
bool typing_store_end(struct db *db, nid_t room, nid_t user, struct err *err);
bool typing_store_read(struct db *db, int64_t after, struct arena *arena, struct typing_row **ret_rows,
		       size_t *ret_count, struct err *err);
/* Ends those whose time is over; *ret_next_ms: until the next one's is, -1 without any. */
bool typing_store_expire(struct db *db, struct arena *arena, bool *ret_news, int64_t *ret_next_ms, struct err *err);
/* Removes what ended more than this long ago. */
bool typing_store_sweep(struct db *db, int64_t age_ms, struct err *err);

/* Reads what is new into memory and wakes who waits for it. */
bool typing_follow(struct typing *typing, struct db *db, struct err *err);
/* Tells the other processes, if there are any. */
bool typing_tell(struct typing *typing, struct db *db, struct err *err);
void *typing_run(void *typing);
