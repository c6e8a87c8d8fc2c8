#include "journal/journal_internal.h"

static void destroy_semaphore(void *done)
{
	sem_destroy(done);
}

struct write_set *write_set_new(struct arena *arena)
{
	struct write_set *set = ARENA_NEW(arena, struct write_set);

	set->arena = arena;
	sem_init(&set->done, 0, 0);
	arena_defer(arena, destroy_semaphore, &set->done);
	write_set_clear(set);
	return set;
}

struct arena *write_set_arena(struct write_set *set)
{
	return set->arena;
}

void write_set_clear(struct write_set *set)
{
	set->rows = NULL;
	set->rows_end = &set->rows;
	set->entries = NULL;
	set->entries_end = &set->entries;
	set->entry_count = 0;
}

void write_set_add(struct write_set *set, const struct write_table *table, struct db_params row)
{
	struct write_row *node = ARENA_NEW(set->arena, struct write_row);
	struct db_param *values = ARENA_ARRAY(set->arena, row.count, struct db_param);

	assert(row.count == table->column_count);
	memcpy(values, row.items, row.count * sizeof(*values));
	*node = (struct write_row){ .table = table, .values = values };
	*set->rows_end = node;
	set->rows_end = &node->next;
}

void write_set_entry(struct write_set *set, const struct journal_entry *entry)
{
	struct entry_node *node = ARENA_NEW(set->arena, struct entry_node);

	assert(entry->data.len <= JOURNAL_MAX_DATA);
	node->entry = *entry;
	*set->entries_end = node;
	set->entries_end = &node->next;
	set->entry_count++;
}

void write_set_guard(struct write_set *set, struct write_guard guard)
{
	set->guard = guard;
}

void write_set_rebuild(struct write_set *set, write_rebuild rebuild, void *context)
{
	set->rebuild = rebuild;
	set->rebuild_context = context;
}

void write_set_transaction(struct write_set *set, nid_t device, nid_t scope, nid_t kind, struct str txn_id)
{
	set->txn.device = device;
	set->txn.scope = scope;
	set->txn.kind = kind;
	set->txn.id = txn_id;
}

bool write_set_found(const struct write_set *set, struct str *ret_event_id)
{
	if (!set->found_event_id.len)
		return false;
	*ret_event_id = set->found_event_id;
	return true;
}
