/* Whom users ignore, read from their account data and cached; the journal tells of changes. */
#include "userdata/ignored.h"

#include <stdatomic.h>

#include "interned/interned.h"
#include "journal/journal.h"
#include "matrix/identifiers.h"
#include "matrix/slice.h"
#include "userdata/userdata.h"

#define LIST_TYPE   STR("m.ignored_user_list")
#define MAX_IGNORED 10000

struct ignored {
	struct cache *cache;      /* by user: an array of nid_t */
	_Atomic uint64_t changes; /* seen in the journal: what was read before the last one is not cached */
};

static void drop_list(void *context, const struct journal_entry *entry)
{
	struct ignored *ignored = context;

	if (entry->kind != JOURNAL_ACCOUNT_DATA || entry->room || !str_eq(entry->data, LIST_TYPE))
		return;
	ignored->changes++;
	cache_remove(ignored->cache, entry->user);
}

struct ignored *ignored_new(struct server *server, size_t cache_bytes)
{
	struct ignored *ignored = X_NEW(struct ignored);

	ignored->cache = cache_new(cache_bytes);
	journal_observe(server->journal, drop_list, ignored);
	return ignored;
}

void ignored_free(struct ignored *ignored)
{
	if (!ignored)
		return;
	cache_free(ignored->cache);
	free(ignored);
}

struct cache_stats ignored_cache_stats(struct ignored *ignored)
{
	return cache_stats(ignored->cache);
}

/* Users who are not known yet get their number: they are ignored when they come. Nobody ignores themselves. */
static bool read_list(struct server *server, nid_t user, struct str content, struct arena *arena, struct ignored_users *ret_users, struct err *err)
{
	struct str list, key, value, user_id;
	nid_t *users = NULL, other;
	size_t count = 0, cap = 0;
	struct slice_iter members;

	*ret_users = (struct ignored_users){ 0 };
	if (!content.len || !slice_get(content, STR("ignored_users"), &list) || slice_type(list) != SLICE_OBJECT)
		return true;
	for (members = slice_iter(list); count < MAX_IGNORED && slice_member(&members, &key, &value);) {
		if (!slice_string(key, arena, &user_id) || !user_id_valid(user_id))
			continue;
		if (!intern_user(server->interned, user_id, &other, err))
			return false;
		if (other != user)
			*ARENA_PUSH(arena, users, count, cap) = other;
	}
	*ret_users = (struct ignored_users){ users, count };
	return true;
}

static bool load(struct server *server, nid_t user, struct arena *arena, struct ignored_users *ret_users, struct err *err)
{
	struct ignored *ignored = server->ignored;
	uint64_t changes = ignored->changes;
	struct str content;

	if (!account_data_get(server, user, 0, LIST_TYPE, arena, &content, err) || !read_list(server, user, content, arena, ret_users, err))
		return err_detail(err, "whom user %" PRId64 " ignores", user);
	cache_put_unless_changed(ignored->cache, user, (struct str){ (const char *)ret_users->users, ret_users->count * sizeof(nid_t) },
	                         &ignored->changes, changes);
	return true;
}

bool ignored_users_get(struct server *server, nid_t user, struct arena *arena, struct ignored_users *ret_users, struct err *err)
{
	struct str bytes;

	if (!cache_get(server->ignored->cache, user, arena, &bytes))
		return load(server, user, arena, ret_users, err);
	*ret_users = (struct ignored_users){ (const nid_t *)(uintptr_t)bytes.ptr, bytes.len / sizeof(nid_t) }; /* the arena's copy is aligned for any type */
	return true;
}

bool ignored_users_have(const struct ignored_users *users, nid_t user)
{
	for (size_t i = 0; i < users->count; i++) {
		if (users->users[i] == user)
			return true;
	}
	return false;
}
