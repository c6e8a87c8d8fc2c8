/* Rulesets in the database, and in memory. */
#include <stdatomic.h>

#include "base/cache.h"
#include "journal/journal.h"
#include "push/push_internal.h"

struct push {
	struct cache *rules;      /* by user: the stored text */
	_Atomic uint64_t changes; /* seen in the journal: what was read before the last one is not cached */
};

static const struct db_statement SELECT_RULES = { "push_rules_select", "SELECT rules FROM push_rules WHERE user_nid = $1" };
/* Locks the row, and makes it first if need be. */
static const struct db_statement LOCK_RULES = {
	"push_rules_lock",
	"INSERT INTO push_rules (user_nid, rules) VALUES ($1, '') ON CONFLICT (user_nid) DO UPDATE SET user_nid = excluded.user_nid RETURNING rules",
};
static const struct db_statement UPDATE_RULES = { "push_rules_update", "UPDATE push_rules SET rules = $2 WHERE user_nid = $1" };

static void observe(void *context, const struct journal_entry *entry)
{
	struct push *push = context;

	if (entry->kind != JOURNAL_PUSH_RULES)
		return;
	push->changes++;
	cache_remove(push->rules, entry->user);
}

struct push *push_new(struct server *server, size_t cache_bytes)
{
	struct push *push = X_NEW(struct push);

	push->rules = cache_new(cache_bytes);
	journal_observe(server->journal, observe, push);
	return push;
}

void push_free(struct push *push)
{
	if (!push)
		return;
	cache_free(push->rules);
	free(push);
}

struct cache_stats push_cache_stats(struct push *push)
{
	return cache_stats(push->rules);
}

static bool load(struct server *server, nid_t user, struct arena *arena, struct str *ret_stored, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	uint64_t changes = server->push->changes;
	struct db_rows *rows;

	if (!db_acquire(server->pool, &db, err) || !db_query(db, &SELECT_RULES, DB_PARAMS(db_int(user)), arena, &rows, err))
		return err_detail(err, "push rules of user %" PRId64, user);
	*ret_stored = db_next(rows) ? db_get_str(rows, 0) : STR("");
	cache_put_unless_changed(server->push->rules, user, *ret_stored, &server->push->changes, changes);
	return true;
}

bool push_rules_get(struct server *server, nid_t user, struct str user_id, struct arena *arena, struct push_ruleset **ret_rules, struct err *err)
{
	struct str stored;

	if (!cache_get(server->push->rules, user, arena, &stored) && !load(server, user, arena, &stored, err))
		return false;
	*ret_rules = push_ruleset_read(user_id, stored, arena);
	return true;
}

bool push_rules_update(struct server *server, nid_t user, struct str user_id, struct arena *arena, push_rules_change change, void *context, struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct push_ruleset *rules;
	struct db_rows *rows;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) || !db_query(db, &LOCK_RULES, DB_PARAMS(db_int(user)), arena, &rows, err))
		return err_detail(err, "push rules of user %" PRId64, user);
	rules = push_ruleset_read(user_id, db_next(rows) ? db_get_str(rows, 0) : STR(""), arena);
	return change(context, rules, err) &&
	       db_exec(db, &UPDATE_RULES, DB_PARAMS(db_int(user), db_text(push_ruleset_stored(rules, arena))), NULL, err) &&
	       journal_append(server->journal, db, &(struct journal_entry){ .kind = JOURNAL_PUSH_RULES, .user = user }, 1, NULL, err);
}

bool push_rules_write_event(struct server *server, nid_t user, struct str user_id, struct arena *arena, struct buf *out, struct err *err)
{
	struct push_ruleset *rules;

	if (!push_rules_get(server, user, user_id, arena, &rules, err))
		return false;
	BUF_LIT(out, "{\"type\":\"m.push_rules\",\"content\":{\"global\":");
	buf_append(out, push_ruleset_json(rules, arena));
	BUF_LIT(out, "}}");
	return true;
}
