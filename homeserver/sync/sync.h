/*
 * Sync v2 (client-server-api "Syncing"). Nothing is stored per token: an answer is what the journal says between the token's position and now, read from the
 * journal's tail in memory, or from the database when the token is older. State that changed over the gap is the difference of two roots.
 *
 * A token is `s<journal position>_<ephemeral position>`, and where messages to the device have been handed out `_<device>_<number of the last one>`; a timeline's prev_batch is `t<room_seq>_<sub>`, a key in the room's order. /messages takes both.
 */
#pragma once

#include "base/cache.h"
#include "events/events.h"
#include "server.h"

struct sync_token {
	int64_t pos, ephemeral;
	int64_t device, to_device; /* to_device/to_device.h; 0: nothing was handed out */
};
bool sync_token_parse(struct str text, struct sync_token *ret_token);
struct str sync_token_text(struct sync_token token, struct arena *arena);
bool order_token_parse(struct str text, struct event_order *ret_order);
struct str order_token_text(struct event_order order, struct arena *arena);

/* Where a room stood at a journal position: the last seq and the root after it; seq 0: it did not exist. One query for all. */
struct room_point {
	nid_t room;
	int64_t seq, root;
};
bool room_points_at(struct server *server, const nid_t *rooms, size_t count, int64_t pos, struct arena *arena, struct room_point *ret_points,
                    struct err *err);

/* {"changed": […], "left": […]}: whose devices the user's clients have to look at anew (device_lists.c). */
bool sync_write_device_lists(struct server *server, const struct user *user, struct sync_token from, struct sync_token to, struct arena *arena,
                             struct buf *out, struct err *err);

struct summaries;
struct summaries *summaries_new(struct server *server, size_t cache_bytes);
void summaries_free(struct summaries *summaries);
struct cache_stats summaries_cache_stats(struct summaries *summaries);

extern const struct route sync_routes[];
