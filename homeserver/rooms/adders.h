/*
 * What other domains add to the commit of every event that is accepted: relations, counts. Each adds rows to the write set; none waits, and each may be called again
 * for the same event when the set is built anew (then the rows of before are gone). The table is homeserver/adders.c.
 */
#pragma once

#include "rooms/rooms.h"

struct event_added {
	struct server *server;
	const struct room_info *room;
	const struct event *event;
	const struct pdu *pdu;
	const struct room_head *head; /* after the event */
	nid_t target;                 /* the member's user, or the event that is redacted; 0: neither */
	enum membership membership;   /* what a member event says */
	struct arena *arena;
};

typedef bool (*event_adder)(struct write_set *set, const struct event_added *added, struct err *err);
extern const event_adder event_adders[]; /* NULL-terminated */
