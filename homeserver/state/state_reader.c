#include "state/state_reader.h"

#include <sodium.h>

unsigned state_server_slot(nid_t server, unsigned level)
{
	return id_hash(server) >> level * STATE_FANOUT_BITS & (STATE_FANOUT - 1);
}

unsigned state_slot(nid_t key, unsigned level)
{
	if (level < STATE_SERVER_LEVELS)
		return state_server_slot(key >> 32, level);
	return id_hash(key) >> (level - STATE_SERVER_LEVELS) * STATE_FANOUT_BITS & (STATE_FANOUT - 1);
}

bool state_leaf_append(struct state_node leaf, struct arena *arena, struct state_entry_list *list)
{
	struct state_entry entry;

	for (unsigned i = 0; i < leaf.count; i++) {
		if (!state_leaf_next(&leaf, &entry))
			return false;
		*ARENA_PUSH(arena, list->items, list->count, list->cap) = entry;
	}
	return true;
}

struct state_entry *state_partition(const struct state_entry *entries, size_t count, unsigned level,
				    struct arena *arena, size_t starts[STATE_FANOUT + 1])
{
	struct state_entry *sorted = ARENA_ARRAY(arena, count, struct state_entry);
	size_t next[STATE_FANOUT + 1] = { 0 };

	for (size_t i = 0; i < count; i++)
		next[state_slot(entries[i].key, level) + 1]++;
	for (unsigned s = 0; s < STATE_FANOUT; s++)
		next[s + 1] += next[s];
	memcpy(starts, next, sizeof(next));
	for (size_t i = 0; i < count; i++)
		sorted[next[state_slot(entries[i].key, level)]++] = entries[i];
	return sorted;
}

/* The hash of a set: the sum of its entries' hashes, so that an entry comes and goes by one addition. */

static struct state_hash entry_hash(nid_t key, nid_t event)
{
	static const unsigned char fixed[crypto_shorthash_siphashx24_KEYBYTES] = "hearth state set";
	unsigned char in[16], out[crypto_shorthash_siphashx24_BYTES];
	struct state_hash hash = { 0 };

	for (unsigned i = 0; i < 8; i++) {
		in[i] = (unsigned char)((uint64_t)key >> 8 * i);
		in[8 + i] = (unsigned char)((uint64_t)event >> 8 * i);
	}
	crypto_shorthash_siphashx24(out, in, sizeof(in), fixed);
	for (unsigned i = 0; i < 8; i++) {
		hash.low |= (uint64_t)out[i] << 8 * i;
		hash.high |= (uint64_t)out[8 + i] << 8 * i;
	}
	return hash;
}

void state_info_add(struct state_info *info, const struct state_entry *entry)
{
	struct state_hash hash = entry_hash(entry->key, entry->event);

	if (!entry->event)
		return;
	info->hash.high += hash.high + __builtin_add_overflow(info->hash.low, hash.low, &info->hash.low);
	info->count++;
	info->joined += entry->membership == MEMBERSHIP_JOIN;
}

void state_info_remove(struct state_info *info, const struct state_entry *entry)
{
	struct state_hash hash = entry_hash(entry->key, entry->event);

	if (!entry->event)
		return;
	info->hash.high -= hash.high + __builtin_sub_overflow(info->hash.low, hash.low, &info->hash.low);
	info->count--;
	info->joined -= entry->membership == MEMBERSHIP_JOIN;
}

bool state_info_same(const struct state_info *a, const struct state_info *b)
{
	return a->count == b->count && a->hash.low == b->hash.low && a->hash.high == b->hash.high;
}

struct state_reader state_reader_init(const struct state_source *source, nid_t room)
{
	return (struct state_reader){ .source = source, .room = room, .arena = arena_new() };
}

void state_reader_done(struct state_reader *reader)
{
	idmap_done(&reader->rows);
	arena_free(reader->arena);
}

bool state_damaged(const struct state_reader *reader, int64_t row_id, struct err *err)
{
	return err_internal(err, "state row %" PRId64 " of room %" PRId64 " is damaged", row_id, reader->room);
}

static int compare_ids(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

	return (left > right) - (left < right);
}

static size_t rows_wanted(const struct state_reader *reader, const state_ref *refs, size_t count, int64_t *ids)
{
	size_t wanted = 0, kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (refs[i] && !idmap_get(&reader->rows, state_ref_row(refs[i])))
			ids[wanted++] = state_ref_row(refs[i]);
	}
	if (wanted > 1)
		qsort(ids, wanted, sizeof(*ids), compare_ids);
	for (size_t i = 0; i < wanted; i++) {
		if (!kept || ids[kept - 1] != ids[i])
			ids[kept++] = ids[i];
	}
	return kept;
}

bool state_reader_fetch(struct state_reader *reader, const state_ref *refs, size_t count, struct err *err)
{
	int64_t *ids = ARENA_ARRAY(reader->arena, count, int64_t);
	size_t wanted = rows_wanted(reader, refs, count, ids);
	struct str *data = ARENA_ARRAY(reader->arena, wanted, struct str);

	if (wanted &&
	    !reader->source->rows(reader->source->context, reader->room, ids, wanted, reader->arena, data, err))
		return false;
	for (size_t i = 0; i < wanted; i++) {
		struct state_row *row = ARENA_NEW(reader->arena, struct state_row);

		if (!state_row_open(data[i], ids[i], row))
			return state_damaged(reader, ids[i], err);
		idmap_put(&reader->rows, ids[i], row);
	}
	return true;
}

bool state_reader_node(const struct state_reader *reader, state_ref ref, unsigned level, struct state_node *ret_node,
		       struct err *err)
{
	const struct state_row *row = idmap_get(&reader->rows, state_ref_row(ref));

	assert(row);
	if (!state_node_open(row, (unsigned)(ref % STATE_ROW_NODES), ret_node) ||
	    (ret_node->is_branch && level >= STATE_LEVELS))
		return state_damaged(reader, row->id, err);
	return true;
}

bool state_reader_root(struct state_reader *reader, int64_t root, struct state_info *ret_info, struct err *err)
{
	const struct state_row *row;
	state_ref ref = state_root_ref(root);

	*ret_info = (struct state_info){ 0 };
	if (root == 0)
		return true;
	if (root < 0 || root >= INT64_C(1) << 57)
		return err_internal(err, "%" PRId64 " is no state root", root);
	if (!state_reader_fetch(reader, &ref, 1, err))
		return false;
	row = idmap_get(&reader->rows, root);
	if (!row->is_root)
		return err_internal(err, "state row %" PRId64 " of room %" PRId64 " is no root", root, reader->room);
	*ret_info = row->info;
	return true;
}

static bool leaf_find(struct state_node leaf, nid_t key, struct state_entry *ret_entry)
{
	struct state_entry entry;

	*ret_entry = (struct state_entry){ .key = key };
	for (unsigned i = 0; i < leaf.count; i++) {
		if (!state_leaf_next(&leaf, &entry))
			return false;
		if (entry.key >= key) {
			if (entry.key == key)
				*ret_entry = entry;
			return true;
		}
	}
	return true;
}

/* One step down for the i-th key. *ref becomes 0 when the key is found, or known to be absent. */
static bool get_step(const struct state_reader *reader, unsigned level, state_ref *ref, struct state_entry *entry,
		     struct err *err)
{
	struct state_node node;
	state_ref at = *ref;

	if (!state_reader_node(reader, at, level, &node, err))
		return false;
	*ref = 0;
	if (node.is_branch ? !state_branch_child(node, state_slot(entry->key, level), ref)
			   : !leaf_find(node, entry->key, entry))
		return state_damaged(reader, state_ref_row(at), err);
	return true;
}

bool state_reader_get(struct state_reader *reader, int64_t root, struct state_entry *entries, size_t count,
		      struct err *err)
{
	state_ref *refs = ARENA_ARRAY(reader->arena, count, state_ref);
	size_t open = root ? count : 0;

	for (size_t i = 0; i < count; i++)
		refs[i] = state_root_ref(root);
	for (unsigned level = 0; open; level++) {
		if (!state_reader_fetch(reader, refs, count, err))
			return false;
		for (size_t i = 0; i < count; i++) {
			if (!refs[i])
				continue;
			if (!get_step(reader, level, &refs[i], &entries[i], err))
				return false;
			open -= !refs[i];
		}
	}
	return true;
}
