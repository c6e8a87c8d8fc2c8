/*
 * How far users have read (client-server-api modules/receipts.md, modules/read_markers.md): a row for each user, room,
 * type and thread, which never moves back in the room's order. m.fully_read is such a row too, and shows as account
 * data of the room (userdata reads it through a view).
 */
#pragma once

#include "events/events.h"
#include "server.h"

enum receipt_type { RECEIPT_READ = 1, RECEIPT_PRIVATE, RECEIPT_FULLY_READ };

/* A receipt's thread is its root's number, or one of these. */
#define RECEIPT_UNTHREADED ((nid_t)0)
#define RECEIPT_MAIN       ((nid_t)-1)

struct receipt {
	enum receipt_type type;
	nid_t thread;
	nid_t event;
	struct event_order order; /* of the event */
};

/* Moves those on that lie ahead of what stands, in one commit. */
bool receipts_set(struct server *server, nid_t user, nid_t room, const struct receipt *receipts, size_t count,
		  struct arena *arena, struct err *err);

/* Whether the event is the root of the thread or, over at most three relations of any type, related to it (receipts.yaml,
 * `thread_id`): in the thread, or about its root. */
bool receipt_fits_thread(struct server *server, const struct event *event, const struct event *root,
			 struct arena *arena, bool *ret_fits, struct err *err);

extern const struct route receipt_routes[];
