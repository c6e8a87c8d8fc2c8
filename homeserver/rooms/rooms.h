/*
 * Rooms: their heads, and the one pipeline that every new event takes. A room's changes are serialised by its turn inside a process, across processes by its
 * head's token (a guard of the journal). A turn ends when the write set is handed over, not when it is on disk.
 */
#pragma once

#include "base/cache.h"
#include "events/events.h"
#include "server.h"
#include "matrix/auth.h"
#include "state/state_trie.h"

#define ROOM_MAX_EXTREMITIES 20

struct room_head {
	int64_t token; /* of the write that made it; 0: the room has no head yet */
	int64_t room_seq, depth, state_root, last_activity;
	nid_t extremities[ROOM_MAX_EXTREMITIES];
	size_t extremity_count;
};

/* What never changes of a room. Views live as long as the arena they were asked for with. */
struct room_info {
	nid_t nid; /* 0: there is no such room here */
	struct str room_id;
	const struct room_version *version;
};

struct rooms;
struct rooms *rooms_new(struct server *server, size_t cache_bytes);
void rooms_free(struct rooms *rooms);
struct cache_stats rooms_cache_stats(struct rooms *rooms);
/* For journal_config. */
extern const struct db_statement ROOM_LOCK_HEADS, ROOM_LOCK_HEADS_WAITING, ROOM_FIND_TRANSACTIONS;

bool room_find(struct rooms *rooms, struct str room_id, struct arena *arena, struct room_info *ret_room, struct err *err);
bool room_of_nid(struct rooms *rooms, nid_t nid, struct arena *arena, struct room_info *ret_room, struct err *err);
/* Has what never changes of these rooms at hand afterwards, as far as the cache's size allows. */
bool rooms_fetch(struct rooms *rooms, const nid_t *nids, size_t count, struct err *err);
/* 403 M_FORBIDDEN when the room is unknown here, as for one that the caller is not in. */
bool room_require(struct rooms *rooms, struct str room_id, struct arena *arena, struct room_info *ret_room, struct err *err);
/* The root of the current state, as committed and applied here: for readers. */
bool room_state_root(struct rooms *rooms, nid_t room, int64_t *ret_root, struct err *err);

/* --- reading state --- */
/* The event of (type, state_key) in a state; nid 0: none. */
bool room_state_event(struct server *server, nid_t room, int64_t root, struct str type, struct str state_key, struct arena *arena, struct event *ret_event,
                      struct err *err);
/* All events of a state. */
bool room_state_events(struct server *server, nid_t room, int64_t root, struct arena *arena, struct event **ret_events, size_t *ret_count, struct err *err);
/* A look-up for lib/matrix's rules into a state. Lives in the arena; `failed` tells afterwards whether a look-up could not be made. */
struct state_view;
struct state_view *state_view_new(struct server *server, const struct room_info *room, int64_t root, struct arena *arena);
const struct auth_state *state_view_auth(struct state_view *view);
bool state_view_failed(const struct state_view *view, struct err *err);

/* --- writing --- */
struct sender {
	nid_t nid;
	struct str user_id;
	nid_t device; /* for transaction IDs; 0: none */
};

struct event_draft {
	struct str type;
	bool is_state;
	struct str state_key;
	struct str content; /* JSON text of an object */
	struct str redacts;
	struct str txn_id;            /* empty: none */
	int64_t origin_server_ts;     /* 0: now */
	bool skip_if_same;            /* a state event that says what the state says already is not sent: its event's ID comes back */
};

/*
 * Sends events to a room, all or none, in order. ret_event_ids: an array of `count` views, in the arena. Returns when they are on disk.
 * The sender need not be checked before: the auth rules do (M_FORBIDDEN).
 */
bool room_send(struct server *server, const struct room_info *room, const struct sender *sender, const struct event_draft *drafts, size_t count,
               struct arena *arena, struct str *ret_event_ids, struct err *err);

/* What this device sent to the room before, by a transaction of that type; empty: nothing. */
bool room_find_sent(struct server *server, nid_t room, nid_t device, struct str type, struct str txn_id, struct arena *arena, struct str *ret_event_id,
                    struct err *err);

/*
 * The remote entrance: an event of another server, whose signatures have been checked. It is judged and kept, whatever the verdict; one that is known already keeps
 * its own. M_BAD_JSON: the format; M_NOT_FOUND: prev or auth events are not here (the caller fetches them first).
 */
bool room_receive(struct server *server, const struct room_info *room, struct str json, struct arena *arena, enum verdict *ret_verdict,
                  struct str *ret_event_id, struct err *err);

/* What a member event's content says; NONE: nothing that is known. */
enum membership membership_of_content(struct str content);

/* A new room: the first draft is m.room.create. *ret_room is filled. `after` may add rows of other domains to the same commit (aliases, directory); NULL: none. */
struct room_creation {
	const struct room_version *version;
	struct str room_id; /* empty in version 12 */
	const struct event_draft *drafts;
	size_t count;
	bool (*add_rows)(void *context, struct write_set *set, nid_t room, struct err *err);
	void *context;
};
bool room_create(struct server *server, const struct sender *sender, const struct room_creation *creation, struct arena *arena,
                 struct room_info *ret_room, struct err *err);
