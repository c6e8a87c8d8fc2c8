/*
 * Stored events: reading them by number, ID and order, and the form that clients see. The immutable part is cached; what we think of an event
 * (redaction) is cached with it and dropped when the journal says that it changed.
 */
#pragma once

#include "base/cache.h"
#include "db/db.h"
#include "journal/journal.h"
#include "matrix/event.h"

enum verdict { VERDICT_ACCEPTED, VERDICT_SOFT_FAILED, VERDICT_REJECTED, VERDICT_OUTLIER };
/* The room's history visibility before the event. */
enum visibility { VISIBILITY_SHARED, VISIBILITY_INVITED, VISIBILITY_JOINED, VISIBILITY_WORLD_READABLE };
enum visibility visibility_parse(struct str name); /* unknown: shared, as the specification has it */

/* The order of a room (DESIGN "Order"). */
struct event_order {
	int64_t seq, sub;
};
int event_order_cmp(struct event_order a, struct event_order b);

struct event {
	nid_t nid, room, type, key /* 0: no state event */, sender;
	struct event_order order;
	int64_t auth_gen, origin_server_ts, depth;
	int64_t root_before, root_after;
	int64_t head_before; /* the room's root when it came: root_before, unless it came late, on an older state */
	enum verdict verdict;
	enum visibility visibility;
	nid_t redacted_by;
	nid_t txn_device;
	struct str txn_id;
	struct str event_id, json; /* json: as stored */
};

struct events;
struct events *events_new(struct db_pool *pool, struct journal *journal, size_t cache_bytes);
void events_free(struct events *events);
struct cache_stats events_cache_stats(struct events *events);

/* ret_events[i] is that of nids[i], nid 0 where there is none. Views live as long as the arena. */
bool events_load(struct events *events, const nid_t *nids, size_t count, struct arena *arena, struct event *ret_events, struct err *err);
/* nid 0 in *ret_event: there is none. */
bool event_load(struct events *events, nid_t nid, struct arena *arena, struct event *ret_event, struct err *err);
bool event_find(struct events *events, struct str event_id, struct arena *arena, struct event *ret_event, struct err *err);
/* ret_nids[i] of event_ids[i]; 0: unknown. */
bool events_find_nids(struct events *events, const struct str *event_ids, size_t count, nid_t *ret_nids, struct err *err);

/*
 * A page of a room in order: events strictly after `from` (forwards) or strictly before it (backwards), not beyond `to`, rejected and soft-failed ones
 * and outliers left out. `types` and so on are the caller's to filter: the page is of raw events.
 */
struct event_page {
	struct event_order from, to;
	bool backwards;
	int64_t limit;
};
#define EVENT_ORDER_START ((struct event_order){ 0, 0 })
#define EVENT_ORDER_END   ((struct event_order){ INT64_MAX, 0 })
bool events_page(struct events *events, nid_t room, const struct event_page *page, struct arena *arena, struct event **ret_events, size_t *ret_count,
                 struct err *err);
/* For many rooms at once: the newest events up to `seq`, newest first, at most `limit` a room. */
struct event_newest {
	nid_t room;
	int64_t seq;
	struct event *events;
	size_t count;
};
bool events_newest(struct events *events, struct event_newest *rooms, size_t count, int64_t limit, struct arena *arena, struct err *err);
/* The auth events of an event. */
struct auth_edges {
	const nid_t *nids;
	size_t count;
};
/* ret_edges[i] is that of nids[i], none where there is no such event. */
bool events_auth(struct events *events, const nid_t *nids, size_t count, struct arena *arena, struct auth_edges *ret_edges, struct err *err);

/*
 * A new event, before it is on disk: what is built on it finds it and its edges here, however full the cache is, until the journal tells of it or the outcome of
 * its write is known (unpin; it may be gone by then).
 */
void events_pin(struct events *events, const struct event *event, struct auth_edges auth);
void events_unpin(struct events *events, nid_t nid);

/* The event as a PDU. */
void event_pdu(const struct room_version *version, const struct event *event, struct str room_id, struct arena *arena, struct pdu *ret_pdu);

/* Write tables. */
extern const struct write_table EVENT_TABLE, EVENT_STATE_TABLE, EVENT_REDACTED_TABLE;
void event_add_rows(struct write_set *set, const struct event *event, const nid_t *prev_nids, size_t prev_count, const nid_t *auth_nids,
                    size_t auth_count);

/* --- the client's form (client-server-api "Room event format") --- */
struct client_form {
	const struct room_version *version;
	struct str room_id;
	bool omit_room_id;          /* in /sync */
	bool federation_format;     /* the PDU as servers exchange it, with the client's `unsigned` */
	nid_t device;               /* whose transaction IDs are shown; 0: nobody's */
	int64_t now_ms;             /* for unsigned.age */
	struct str membership;      /* the reader's at the event: unsigned.membership; empty: not shown */
	struct str prev_content;    /* slices, for state events; empty: absent */
	struct str prev_sender, replaces_state;
	struct str redacted_because;/* JSON of the redaction in client form; empty: not redacted, or not known */
	struct str relations;       /* unsigned.m.relations; empty: none */
	const struct str *only;     /* event_fields of a filter; NULL: all */
	size_t only_count;
};
/* Appends the object. Slices of the stored bytes are copied; no tree is built. */
void event_write_client(struct buf *buf, const struct event *event, const struct client_form *form, struct arena *arena);
/* Stripped state: content, sender, state_key, type. */
void event_write_stripped(struct buf *buf, const struct event *event);
