/*
 * Push rules of our users (client-server-api "Push Notifications"): stored, cached by user, moved by the journal (JOURNAL_PUSH_RULES). What they mean is
 * lib/matrix/push_rules.h's. Any thread may call.
 */
#pragma once

#include "base/cache.h"
#include "matrix/push_rules.h"
#include "server.h"

struct push;
struct push *push_new(struct server *server, size_t cache_bytes);
void push_free(struct push *push);
struct cache_stats push_cache_stats(struct push *push);

/* The user's ruleset, in the arena. Takes a connection of the pool when it is not in memory. */
bool push_rules_get(struct server *server, nid_t user, struct str user_id, struct arena *arena, struct push_ruleset **ret_rules, struct err *err);

/* The m.push_rules event of the user's account data, as /sync has it. */
bool push_rules_write_event(struct server *server, nid_t user, struct str user_id, struct arena *arena, struct buf *out, struct err *err);

extern const struct route push_rules_routes[];
