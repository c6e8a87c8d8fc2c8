/* What the files of sync share. */
#pragma once

#include "journal/journal.h"
#include "options.h"
#include "rooms/event_view.h"
#include "sync/filter.h"
#include "sync/sync.h"
#include "sync/waiters.h"

#define SYNC_MAX_RESPONSE ((size_t)512 << 20)
#define DEFAULT_TIMELINE  20

/* Of a joined room (summary.c). */
#define SUMMARY_HEROES 5
struct room_summary {
	int64_t joined, invited;
	bool nameless; /* then the heroes count */
	size_t hero_count;
	nid_t heroes[SUMMARY_HEROES];
	struct str hero_ids[SUMMARY_HEROES];
};

/* What happened in a room over the gap. */
#define GAP_MAX_FRESH 64
struct room_gap {
	nid_t room;
	int64_t seq_before, root_before; /* at `since`; known when `events` */
	int64_t seq_now, root_now;
	bool events;       /* events, or a change of the state */
	bool members;      /* a member event among them */
	bool receipts, account_data, typing;
	bool own_membership;
	bool fresh_known; /* `fresh` has all events that came: there is no need to look for them */
	nid_t *fresh;
	size_t fresh_count, fresh_cap;
	struct room_summary *summary; /* NULL: none is due */
	bool newly_joined; /* since then, or again in between: all of the room is new to the client */
};

/* In a first sync: a room's newest events, as one query for all rooms has them (first.c). */
struct first_page {
	nid_t room;
	int64_t seq; /* the last one's at most */
	struct event *events; /* newest first */
	size_t count;
	bool related; /* something relates to one of them */
};

/* Account data that changed, or was found; room 0: of the account as a whole. */
struct account_datum {
	nid_t room;
	struct str type, content;
};

/* Somebody left a room, were it only for a moment. */
struct departure {
	nid_t room, user;
};

/* A receipt that moved; its thread as receipts.h has it. */
struct moved_receipt {
	nid_t user, room, thread;
	bool is_private; /* and so the reader's own */
};

/* A receipt to be shown. thread_id is empty when it is unthreaded. */
struct shown_receipt {
	nid_t room;
	struct str event_id, user_id, thread_id;
	bool is_private;
	int64_t ts, copy; /* copy: in which of the room's m.receipt events it goes */
};
struct shown_receipts {
	struct shown_receipt *items; /* by room, copy, event, type, user */
	size_t count;
};

/* What happened over the gap, as far as it concerns the user. */
struct gap {
	struct arena *arena;
	nid_t user, device;
	const struct user_room *mine; /* sorted */
	size_t mine_count;
	struct idmap rooms; /* struct room_gap by room */
	struct room_gap **list;
	size_t count, cap;
	struct account_datum *account_data; /* without contents, each once */
	size_t account_data_count, account_data_cap;
	struct moved_receipt *receipts;
	size_t receipt_count, receipt_cap;
	bool push_rules, to_device, one_time_keys;
	nid_t *device_lists; /* users whose devices changed, anybody's */
	size_t device_list_count, device_list_cap;
	struct departure *departures; /* of any room */
	size_t departure_count, departure_cap;
};

/* One /sync, on its way through its sections. */
struct sync {
	struct server *server;
	const struct user *user;
	struct arena *arena;
	struct filter filter;
	struct sync_token since, now;
	bool initial, full_state, state_after, unstable_state_after;
	struct user_room *rooms; /* the user's, sorted by number */
	size_t room_count;
	struct ignored_users ignored;
	struct gap gap;
	struct first_page *first; /* of all joined rooms, by room; NULL: no first sync */
	size_t first_count;
	struct account_datum *account_data; /* to be shown; by room */
	size_t account_data_count;
	struct shown_receipts receipts_of_new_rooms, receipts_moved;
	struct waiting_message *to_device;
	size_t to_device_count;
	struct unread *unread; /* by room */
	size_t unread_count;
	struct buf *out;
	bool news; /* something that a waiting client wants to know */
};

/* What happened between since and now, from the tail or the database. */
bool gap_read(struct sync *sync, struct err *err);
struct room_gap *gap_room(struct gap *gap, nid_t room); /* NULL: nothing */
struct room_gap *gap_touch(struct gap *gap, nid_t room); /* the same, made if there is nothing */
void gap_done(struct gap *gap);

/* A comma before all but the first member or item. */
void sync_comma(struct buf *buf, bool *first);

/* Completes the gaps of the rooms that the user is in: who joined newly, and where rooms stand in which nothing happened but what is beside the state. */
bool sync_complete_gaps(struct sync *sync, struct err *err);

/* What a first sync shows of all joined rooms, fetched at once: it is in the caches afterwards, and the newest pages in `first`. */
bool sync_fetch_first(struct sync *sync, struct err *err);
const struct first_page *first_page_find(const struct sync *sync, nid_t room, const struct event_page *page); /* NULL: not at hand */
int64_t sync_timeline_limit(const struct sync *sync);

/* Account data (userdata/account_data_sync.c): what is to be shown, in one look; then the sections, left out when empty. */
bool account_data_load(struct sync *sync, struct err *err);
bool account_data_write_global(struct sync *sync, struct err *err);
bool account_data_write_room(const struct sync *sync, const struct room_info *room, struct buf *out);

/* Unread counts (counts/counts_sync.c): of all rooms that are shown, in one look; then a room's members. */
bool unread_load(struct sync *sync, struct err *err);
bool unread_write(struct sync *sync, nid_t room, struct buf *out, struct err *err);

/* Messages to the device (to_device/to_device_sync.c): taken before next_batch is written, which names the last one; then the section, left out when empty. */
bool sync_take_to_device(struct sync *sync, struct err *err);
void sync_write_to_device(struct sync *sync);

/* Who changed devices or keys, with whom rooms are newly shared or no more (device_lists.c); left out when empty. */
bool sync_write_device_list_section(struct sync *sync, struct err *err);

/* The ephemeral events of a room: `out` stands where the next one's content begins. */
struct ephemeral {
	struct buf *out;
	bool any;
};
void ephemeral_begin(struct ephemeral *ephemeral, const char *type); /* the caller writes the content and a brace */
bool receipts_load(struct sync *sync, struct err *err);              /* receipts/receipts_sync.c */
void receipts_write(const struct sync *sync, const struct room_gap *gap, struct ephemeral *ephemeral);

/* typing/typing_sync.c */
void typing_add_to_gap(struct sync *sync);
bool typing_write(const struct sync *sync, const struct room_gap *gap, struct ephemeral *ephemeral, struct err *err);

bool summaries_load(struct sync *sync, struct err *err);
void summary_write(const struct room_summary *summary, struct buf *out);

/* rooms.{join,invite,knock,leave}, with its braces. */
bool sync_write_rooms(struct sync *sync, struct err *err);

/* A joined or left room's section; the gap of a left one ends where the stay did. */
struct room_section {
	struct room_info info;
	struct reader reader;
	struct room_gap gap;
	bool left;
	struct event *only; /* of a room in which the user was not during the gap: what became of them. NULL: they were */
};
bool sync_write_room(struct sync *sync, const struct room_section *section, struct buf *out, bool *ret_news, struct err *err);
