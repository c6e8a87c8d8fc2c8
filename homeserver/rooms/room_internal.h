/* What the files of this domain share; nobody else includes it. */
#pragma once

#include "rooms/rooms.h"

struct room {
	nid_t nid;
	struct room *next_idle;
	struct mutex turn;     /* of all below: whoever holds it builds the next event */
	struct room_head head; /* as the next event will find it: with what was handed over but is not on disk yet */
	bool loaded;
	_Atomic int64_t seq;       /* head.room_seq, for the observer */
	_Atomic bool stale;        /* another process wrote: load it again */
	_Atomic int in_flight;     /* sets handed over and not answered */
	size_t refs;               /* under rooms.lock */
};

struct rooms {
	struct server *server;
	struct cache *infos; /* by hash of the room ID: version number, nid, room ID */
	struct cache *infos_by_nid;
	struct cache *roots;      /* of the current state, by nid */
	_Atomic uint64_t changes; /* of any root */
	struct mutex lock;   /* of the map and the reference counts */
	struct idmap rooms;  /* struct room by nid */
	size_t max_rooms;
};

/* The room's turn, with a head to build on. */
bool room_acquire(struct rooms *rooms, nid_t nid, struct room **ret_room, struct err *err);
void room_release(struct room *room); /* ends the turn; the reference stays */
void room_put(struct rooms *rooms, struct room *room); /* gives the reference back */
struct room_head room_head_of(const struct db_rows *rows, struct arena *arena); /* of the columns that ROOM_LOCK_HEADS names */
extern const struct write_table ROOM_TABLE, ROOM_HEAD_TABLE, CURRENT_STATE_TABLE;
void room_add_head_row(struct write_set *set, nid_t room, const struct room_head *head);
void room_remember_info(struct rooms *rooms, const struct room_info *info);
