/*
 * Who types in which room (client-server-api modules/typing_notifications.md). Unlogged rows with positions of their
 * own, the ephemeral part of a sync token; each process holds those rows in memory and follows what the others write,
 * by NOTIFY and, as a safety net, by a poll. Any thread may call.
 */
#pragma once

#include "server.h"

struct typing;
bool typing_open(struct server *server, struct typing **ret_typing, struct err *err); /* after the waiters */
void typing_stop(struct typing *typing);                                              /* ends its thread */
void typing_free(struct typing *typing);

/* For `timeout_ms` from now; 0: no more. A user who types already goes on without anybody hearing of it. */
bool typing_set(struct server *server, nid_t room, nid_t user, int64_t timeout_ms, struct err *err);

/* All that was written up to it is in memory. */
int64_t typing_position(struct typing *typing);
bool typing_changed(struct typing *typing, nid_t room, int64_t since);
size_t typing_users(struct typing *typing, nid_t room, struct arena *arena, nid_t **ret_users);

extern const struct route typing_routes[];
