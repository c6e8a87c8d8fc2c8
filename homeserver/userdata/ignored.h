/*
 * Whom a user ignores (client-server-api modules/ignore_users.md): the users of their m.ignored_user_list. Neither their events, but for state, nor their invites
 * are shown to the user, nor do they count as unread.
 */
#pragma once

#include "base/cache.h"
#include "server.h"

struct ignored;
struct ignored *ignored_new(struct server *server, size_t cache_bytes);
void ignored_free(struct ignored *ignored);
struct cache_stats ignored_cache_stats(struct ignored *ignored);

struct ignored_users {
	const nid_t *users;
	size_t count;
};
bool ignored_users_get(struct server *server, nid_t user, struct arena *arena, struct ignored_users *ret_users, struct err *err);
bool ignored_users_have(const struct ignored_users *users, nid_t user);
