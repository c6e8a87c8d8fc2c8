/*
 * Events as a client sees them, a list at a time: with what stood in the state before, why they are redacted, the reader's membership then, and the relations
 * that are bundled with them. Look-ups are batched over the list.
 */
#pragma once

#include "rooms/visibility.h"

struct event_view {
	struct server *server;
	const struct room_info *room;
	const struct reader *reader;
	nid_t device;      /* the reader's, for unsigned.transaction_id; 0: none */
	bool omit_room_id; /* in /sync */
	bool without_relations; /* inside of a bundle, of events that have none, and of a list that shows state: those are not bundled (modules/event-relations "Aggregations") */
	bool federation_format; /* the PDU, with `unsigned` */
	const struct str *only; /* event_fields */
	size_t only_count;
};

/* Appends the events, separated by commas. */
bool event_view_write(const struct event_view *view, struct buf *buf, const struct event *events, size_t count, struct arena *arena, struct err *err);
