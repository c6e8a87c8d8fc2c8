#include "state/state_trie.h"

#include <sodium.h>

#include "state/state_row.h"

/*
 * All walks go level by level and fetch the rows of a level at once. A branch of level 0 or 1 is split by the hash of
 * the server, those below by that of the key. id_hash() maps different keys to different values, so at STATE_LEVELS
 * there is one entry left at most.
 */
#define SERVER_LEVELS 2
#define STATE_LEVELS  (SERVER_LEVELS + (64 + STATE_FANOUT_BITS - 1) / STATE_FANOUT_BITS)

static unsigned server_slot(nid_t server, unsigned level)
{
	return id_hash(server) >> level * STATE_FANOUT_BITS & (STATE_FANOUT - 1);
}

static unsigned slot_of(nid_t key, unsigned level)
{
	if (level < SERVER_LEVELS)
		return server_slot(key >> 32, level);
	return id_hash(key) >> (level - SERVER_LEVELS) * STATE_FANOUT_BITS & (STATE_FANOUT - 1);
}

static bool entry_is(const struct state_entry *entry, nid_t event, enum membership membership)
{
	return entry->event == event && entry->membership == membership;
}

/* Reading */

/* What one call has read: it goes when the call ends. */
struct reader {
	const struct state_source *source;
	nid_t room;
	struct arena *arena;
	struct idmap rows; /* id → struct state_row */
};

static struct reader reader_init(const struct state_source *source, nid_t room)
{
	return (struct reader){ .source = source, .room = room, .arena = arena_new() };
}

static void reader_done_cleanup(struct reader *reader)
{
	idmap_done(&reader->rows);
	arena_free(reader->arena);
}

static bool damaged(const struct reader *reader, int64_t row_id, struct err *err)
{
	return err_internal(err, "state row %" PRId64 " of room %" PRId64 " is damaged", row_id, reader->room);
}

static int compare_ids(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

	return (left > right) - (left < right);
}

static size_t rows_wanted(const struct reader *reader, const state_ref *refs, size_t count, int64_t *ids)
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

/* Has the rows of `refs` (0: nothing) at hand afterwards. */
static bool reader_fetch(struct reader *reader, const state_ref *refs, size_t count, struct err *err)
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
			return damaged(reader, ids[i], err);
		idmap_put(&reader->rows, ids[i], row);
	}
	return true;
}

/* Opens a node whose row has been fetched. */
static bool reader_node(const struct reader *reader, state_ref ref, unsigned level, struct state_node *ret_node,
			struct err *err)
{
	const struct state_row *row = idmap_get(&reader->rows, state_ref_row(ref));

	assert(row);
	if (!state_node_open(row, (unsigned)(ref % STATE_ROW_NODES), ret_node) ||
	    (ret_node->is_branch && level >= STATE_LEVELS))
		return damaged(reader, row->id, err);
	return true;
}

static state_ref root_ref(int64_t root)
{
	return root * STATE_ROW_NODES;
}

/* Fetches a root, if it is not 0. */
static bool reader_root(struct reader *reader, int64_t root, struct state_info *ret_info, struct err *err)
{
	const struct state_row *row;
	state_ref ref = root_ref(root);

	*ret_info = (struct state_info){ 0 };
	if (root == 0)
		return true;
	if (root < 0 || root >= INT64_C(1) << 57)
		return err_internal(err, "%" PRId64 " is no state root", root);
	if (!reader_fetch(reader, &ref, 1, err))
		return false;
	row = idmap_get(&reader->rows, root);
	if (!row->is_root)
		return err_internal(err, "state row %" PRId64 " of room %" PRId64 " is no root", root, reader->room);
	*ret_info = row->info;
	return true;
}

bool state_info(const struct state_source *source, nid_t room, int64_t root, struct state_info *ret_info,
		struct err *err)
{
	CLEANUP(reader_done) struct reader reader = reader_init(source, room);
	struct state_info info;

	if (!reader_root(&reader, root, &info, err))
		return false;
	*ret_info = info;
	return true;
}

static bool same_entries(const struct state_info *a, const struct state_info *b)
{
	return a->count == b->count && a->hash.low == b->hash.low && a->hash.high == b->hash.high;
}

bool state_equal(const struct state_source *source, nid_t room, int64_t a, int64_t b, bool *ret_equal, struct err *err)
{
	struct state_info info_a, info_b;

	if (a == b) {
		*ret_equal = true;
		return true;
	}
	if (!state_info(source, room, a, &info_a, err) || !state_info(source, room, b, &info_b, err))
		return false;
	*ret_equal = same_entries(&info_a, &info_b);
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
static bool get_step(const struct reader *reader, unsigned level, state_ref *ref, struct state_entry *entry,
		     struct err *err)
{
	struct state_node node;
	state_ref at = *ref;

	if (!reader_node(reader, at, level, &node, err))
		return false;
	*ref = 0;
	if (node.is_branch ? !state_branch_child(node, slot_of(entry->key, level), ref)
			   : !leaf_find(node, entry->key, entry))
		return damaged(reader, state_ref_row(at), err);
	return true;
}

/* Looks up `entries[].key` under a root that has been fetched. The rows on the way stay with the reader. */
static bool reader_get(struct reader *reader, int64_t root, struct state_entry *entries, size_t count, struct err *err)
{
	state_ref *refs = ARENA_ARRAY(reader->arena, count, state_ref);
	size_t open = root ? count : 0;

	for (size_t i = 0; i < count; i++)
		refs[i] = root_ref(root);
	for (unsigned level = 0; open; level++) {
		if (!reader_fetch(reader, refs, count, err))
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

bool state_get(const struct state_source *source, nid_t room, int64_t root, const nid_t *keys, size_t count,
	       struct state_entry *ret_entries, struct err *err)
{
	CLEANUP(reader_done) struct reader reader = reader_init(source, room);
	struct state_info info;

	for (size_t i = 0; i < count; i++)
		ret_entries[i] = (struct state_entry){ .key = keys[i] };
	return reader_root(&reader, root, &info, err) && reader_get(&reader, root, ret_entries, count, err);
}

/* Growing lists */

struct ref_list {
	state_ref *items;
	size_t count, cap;
};

struct entry_list {
	struct state_entry *items;
	size_t count, cap;
};

static bool leaf_append(struct state_node leaf, struct arena *arena, struct entry_list *list)
{
	struct state_entry entry;

	for (unsigned i = 0; i < leaf.count; i++) {
		if (!state_leaf_next(&leaf, &entry))
			return false;
		*ARENA_PUSH(arena, list->items, list->count, list->cap) = entry;
	}
	return true;
}

static bool branch_append(struct state_node branch, struct arena *arena, struct ref_list *list)
{
	state_ref ref;

	for (unsigned i = 0; i < branch.count; i++) {
		if (!state_branch_next(&branch, &ref))
			return false;
		*ARENA_PUSH(arena, list->items, list->count, list->cap) = ref;
	}
	return true;
}

/* Loading */

#define EVERY_SERVER (-1)

static bool descend(const struct state_node *branch, nid_t server, unsigned level, struct arena *arena,
		    struct ref_list *below)
{
	state_ref ref;

	if (server == EVERY_SERVER || level >= SERVER_LEVELS)
		return branch_append(*branch, arena, below);
	if (!state_branch_child(*branch, server_slot(server, level), &ref))
		return false;
	if (ref)
		*ARENA_PUSH(arena, below->items, below->count, below->cap) = ref;
	return true;
}

static bool load_level(struct reader *reader, struct ref_list refs, nid_t server, unsigned level, struct arena *arena,
		       struct entry_list *entries, struct ref_list *below, struct err *err)
{
	struct state_node node;

	for (size_t i = 0; i < refs.count; i++) {
		if (!reader_node(reader, refs.items[i], level, &node, err))
			return false;
		if (node.is_branch ? !descend(&node, server, level, reader->arena, below)
				   : !leaf_append(node, arena, entries))
			return damaged(reader, state_ref_row(refs.items[i]), err);
	}
	return true;
}

static bool load(const struct state_source *source, nid_t room, int64_t root, nid_t server, struct arena *arena,
		 struct entry_list *entries, struct err *err)
{
	CLEANUP(reader_done) struct reader reader = reader_init(source, room);
	state_ref top = root_ref(root);
	struct ref_list refs = { &top, root ? 1 : 0, 1 }, below;
	struct state_info info;

	if (!reader_root(&reader, root, &info, err))
		return false;
	for (unsigned level = 0; refs.count; level++) {
		below = (struct ref_list){ 0 };
		if (!reader_fetch(&reader, refs.items, refs.count, err) ||
		    !load_level(&reader, refs, server, level, arena, entries, &below, err))
			return false;
		if (below.count > info.count || entries->count > info.count) /* no node is empty: a circle, or worse */
			return damaged(&reader, root, err);
		refs = below;
	}
	return true;
}

bool state_load(const struct state_source *source, nid_t room, int64_t root, struct arena *arena,
		struct state_entry **ret_entries, size_t *ret_count, struct err *err)
{
	struct entry_list list = { 0 };

	if (!load(source, room, root, EVERY_SERVER, arena, &list, err))
		return false;
	*ret_entries = list.items;
	*ret_count = list.count;
	return true;
}

bool state_load_server(const struct state_source *source, nid_t room, int64_t root, nid_t server, struct arena *arena,
		       struct state_entry **ret_entries, size_t *ret_count, struct err *err)
{
	struct entry_list list = { 0 };
	size_t kept = 0;

	assert(server >= 0);
	if (!load(source, room, root, server, arena, &list, err))
		return false;
	for (size_t i = 0; i < list.count; i++) { /* servers share subtrees */
		if (list.items[i].key >> 32 == server)
			list.items[kept++] = list.items[i];
	}
	*ret_entries = list.items;
	*ret_count = kept;
	return true;
}

/* Stable: sorts `entries` by their slot at `level` into the result, where slot s is [starts[s], starts[s + 1]). */
static struct state_entry *partition(const struct state_entry *entries, size_t count, unsigned level,
				     struct arena *arena, size_t starts[STATE_FANOUT + 1])
{
	struct state_entry *sorted = ARENA_ARRAY(arena, count, struct state_entry);
	size_t next[STATE_FANOUT + 1] = { 0 };

	for (size_t i = 0; i < count; i++)
		next[slot_of(entries[i].key, level) + 1]++;
	for (unsigned s = 0; s < STATE_FANOUT; s++)
		next[s + 1] += next[s];
	memcpy(starts, next, sizeof(next));
	for (size_t i = 0; i < count; i++)
		sorted[next[slot_of(entries[i].key, level)]++] = entries[i];
	return sorted;
}

/* Differences */

/* A part of a state: a subtree, or entries by rising key (where the other state has a subtree, or nothing is left). */
struct part {
	state_ref ref; /* 0: the entries */
	const struct state_entry *entries;
	size_t count;
};

struct pair {
	struct part before, after;
};

struct differ {
	struct reader *reader;
	struct arena *arena; /* of the deltas */
	struct state_delta *deltas;
	size_t delta_count, delta_cap;
	struct pair *below; /* pairs of the next level */
	size_t below_count, below_cap;
};

static void add_delta(struct differ *differ, const struct state_entry *before, const struct state_entry *after)
{
	*ARENA_PUSH(differ->arena, differ->deltas, differ->delta_count, differ->delta_cap) = (struct state_delta){
		.key = before ? before->key : after->key,
		.before = before ? before->event : 0,
		.after = after ? after->event : 0,
		.membership_before = before ? before->membership : MEMBERSHIP_NONE,
		.membership_after = after ? after->membership : MEMBERSHIP_NONE,
	};
}

static void diff_entries(struct differ *differ, const struct part *before, const struct part *after)
{
	size_t b = 0, a = 0;

	while (b < before->count || a < after->count) {
		const struct state_entry *old = b < before->count ? &before->entries[b] : NULL;
		const struct state_entry *new = a < after->count ? &after->entries[a] : NULL;

		if (old && new && old->key != new->key)
			*(old->key < new->key ? &new : &old) = NULL;
		if (!old || !new || !entry_is(old, new->event, new->membership))
			add_delta(differ, old, new);
		b += old != NULL;
		a += new != NULL;
	}
}

/* The parts below a part, one a slot: those of a branch, or its entries by slot. A leaf becomes its entries first: then
 * *ret_split is false. */
static bool split_part(struct differ *differ, struct part *part, unsigned level, struct part slots[STATE_FANOUT],
		       bool *ret_split, struct err *err)
{
	struct reader *reader = differ->reader;
	struct entry_list list = { 0 };
	struct state_node node;

	*ret_split = false;
	if (!part->ref)
		return true;
	if (!reader_node(reader, part->ref, level, &node, err))
		return false;
	if (!node.is_branch) {
		if (!leaf_append(node, reader->arena, &list))
			return damaged(reader, state_ref_row(part->ref), err);
		*part = (struct part){ .entries = list.items, .count = list.count };
		return true;
	}
	*ret_split = true;
	for (unsigned s = 0; s < STATE_FANOUT; s++) {
		slots[s] = (struct part){ 0 };
		if ((node.bitmap >> s & 1) && !state_branch_next(&node, &slots[s].ref))
			return damaged(reader, state_ref_row(part->ref), err);
	}
	return true;
}

static void split_entries(struct differ *differ, const struct part *part, unsigned level,
			  struct part slots[STATE_FANOUT])
{
	size_t starts[STATE_FANOUT + 1];
	const struct state_entry *sorted = partition(part->entries, part->count, level, differ->reader->arena, starts);

	for (unsigned s = 0; s < STATE_FANOUT; s++)
		slots[s] = (struct part){ .entries = sorted + starts[s], .count = starts[s + 1] - starts[s] };
}

static bool diff_pair(struct differ *differ, struct pair pair, unsigned level, struct err *err)
{
	struct part before[STATE_FANOUT], after[STATE_FANOUT];
	bool split_before, split_after;

	if (!split_part(differ, &pair.before, level, before, &split_before, err) ||
	    !split_part(differ, &pair.after, level, after, &split_after, err))
		return false;
	if (!split_before && !split_after) {
		diff_entries(differ, &pair.before, &pair.after);
		return true;
	}
	if (!split_before)
		split_entries(differ, &pair.before, level, before);
	if (!split_after)
		split_entries(differ, &pair.after, level, after);
	for (unsigned s = 0; s < STATE_FANOUT; s++) {
		if (before[s].ref != after[s].ref || before[s].count || after[s].count)
			*ARENA_PUSH(differ->reader->arena, differ->below, differ->below_count, differ->below_cap) =
				(struct pair){ before[s], after[s] };
	}
	return true;
}

static bool fetch_pairs(struct reader *reader, const struct pair *pairs, size_t count, struct err *err)
{
	state_ref *refs = ARENA_ARRAY(reader->arena, count * 2, state_ref);

	for (size_t i = 0; i < count; i++) {
		refs[2 * i] = pairs[i].before.ref;
		refs[2 * i + 1] = pairs[i].after.ref;
	}
	return reader_fetch(reader, refs, count * 2, err);
}

/* `most`: the entries of both states together; as no node is empty, no level has more pairs. */
static bool diff_roots(struct differ *differ, int64_t before, int64_t after, uint64_t most, struct err *err)
{
	struct pair top = { { .ref = root_ref(before) }, { .ref = root_ref(after) } }, *pairs = &top;
	size_t count = before != after;

	for (unsigned level = 0; count; level++) {
		differ->below = NULL;
		differ->below_count = differ->below_cap = 0;
		if (!fetch_pairs(differ->reader, pairs, count, err))
			return false;
		for (size_t i = 0; i < count; i++) {
			if (!diff_pair(differ, pairs[i], level, err))
				return false;
		}
		if (differ->below_count > most || differ->delta_count > most)
			return damaged(differ->reader, after, err);
		pairs = differ->below;
		count = differ->below_count;
	}
	return true;
}

static int compare_deltas(const void *a, const void *b)
{
	nid_t left = ((const struct state_delta *)a)->key, right = ((const struct state_delta *)b)->key;

	return (left > right) - (left < right);
}

static void sort_deltas(struct differ *differ)
{
	if (differ->delta_count > 1)
		qsort(differ->deltas, differ->delta_count, sizeof(*differ->deltas), compare_deltas);
}

bool state_diff(const struct state_source *source, nid_t room, int64_t before, int64_t after, struct arena *arena,
		struct state_delta **ret_deltas, size_t *ret_count, struct err *err)
{
	CLEANUP(reader_done) struct reader reader = reader_init(source, room);
	struct differ differ = { .reader = &reader, .arena = arena };
	struct state_info info_before, info_after;

	if (!reader_root(&reader, before, &info_before, err) || !reader_root(&reader, after, &info_after, err))
		return false;
	if (!same_entries(&info_before, &info_after) &&
	    !diff_roots(&differ, before, after, info_before.count + info_after.count, err))
		return false;
	sort_deltas(&differ);
	*ret_deltas = differ.deltas;
	*ret_count = differ.delta_count;
	return true;
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

static void info_add(struct state_info *info, const struct state_entry *entry)
{
	struct state_hash hash = entry_hash(entry->key, entry->event);

	if (!entry->event)
		return;
	info->hash.high += hash.high + __builtin_add_overflow(info->hash.low, hash.low, &info->hash.low);
	info->count++;
	info->joined += entry->membership == MEMBERSHIP_JOIN;
}

static void info_remove(struct state_info *info, const struct state_entry *entry)
{
	struct state_hash hash = entry_hash(entry->key, entry->event);

	if (!entry->event)
		return;
	info->hash.high -= hash.high + __builtin_sub_overflow(info->hash.low, hash.low, &info->hash.low);
	info->count--;
	info->joined -= entry->membership == MEMBERSHIP_JOIN;
}

static const char *verify_delta(const struct state_delta *delta, const struct state_entry *found,
				struct state_info *info)
{
	info_remove(info, &(struct state_entry){ delta->key, delta->before, delta->membership_before });
	info_add(info, &(struct state_entry){ delta->key, delta->after, delta->membership_after });
	return entry_is(found, delta->after, delta->membership_after) ? NULL : "an entry is not where its key belongs";
}

bool state_verify(const struct state_source *source, nid_t room, int64_t known, int64_t root, const char **ret_fault,
		  struct err *err)
{
	CLEANUP(reader_done) struct reader reader = reader_init(source, room);
	struct differ differ = { .reader = &reader, .arena = reader.arena };
	struct state_info expected, info;
	struct state_entry *found;
	const char *fault = NULL;

	if (!reader_root(&reader, known, &expected, err) || !reader_root(&reader, root, &info, err) ||
	    !diff_roots(&differ, known, root, expected.count + info.count, err))
		return false;
	sort_deltas(&differ);
	found = ARENA_ARRAY(reader.arena, differ.delta_count, struct state_entry);
	for (size_t i = 0; i < differ.delta_count; i++)
		found[i].key = differ.deltas[i].key;
	if (!reader_get(&reader, root, found, differ.delta_count, err))
		return false;
	for (size_t i = 0; i < differ.delta_count && !fault; i++)
		fault = verify_delta(&differ.deltas[i], &found[i], &expected);
	if (!fault && (!same_entries(&expected, &info) || expected.joined != info.joined))
		fault = "the root's count or hash disagrees with its entries";
	*ret_fault = fault;
	return true;
}

/* Writing: nodes are written from the leaves up, into rows that are closed when full; the root comes last. */

struct builder {
	struct reader *reader;
	struct arena *arena; /* of the rows */
	struct state_row_writer row;
	struct state_row_data *rows;
	size_t row_count, row_cap;
};

static bool begin_row(struct builder *builder, struct err *err)
{
	const struct state_source *source = builder->reader->source;

	builder->row.node_count = 0;
	builder->row.len = 0;
	if (!source->next_row_id(source->context, &builder->row.row_id, err))
		return false;
	assert(builder->row.row_id > 0 && builder->row.row_id < INT64_C(1) << 57);
	return true;
}

static void add_row(struct builder *builder, struct str data)
{
	*ARENA_PUSH(builder->arena, builder->rows, builder->row_count, builder->row_cap) =
		(struct state_row_data){ builder->row.row_id, data };
}

static bool end_row(struct builder *builder, struct err *err)
{
	add_row(builder, state_row_finish(&builder->row, builder->arena));
	return begin_row(builder, err);
}

/* Writes a node that is not the root. *ret_ref is 0 when there is nothing to write. */
static bool write_node(struct builder *builder, const struct state_draft *draft, state_ref *ret_ref, struct err *err)
{
	uint8_t bytes[STATE_NODE_MAX];

	*ret_ref = 0;
	if (!draft->is_branch && !draft->count)
		return true;
	if (state_row_add(&builder->row, bytes, state_draft_encode(draft, builder->row.row_id, bytes), ret_ref))
		return true;
	if (!end_row(builder, err))
		return false;
	return state_row_add(&builder->row, bytes, state_draft_encode(draft, builder->row.row_id, bytes),
			     ret_ref); /* an empty row takes any */
}

static bool write_root(struct builder *builder, const struct state_draft *draft, const struct state_info *info,
		       struct err *err)
{
	uint8_t bytes[STATE_NODE_MAX];
	size_t len = state_draft_encode(draft, builder->row.row_id, bytes);

	if (!state_row_has_place(&builder->row, len)) {
		if (!end_row(builder, err))
			return false;
		len = state_draft_encode(draft, builder->row.row_id, bytes);
	}
	add_row(builder, state_row_finish_root(&builder->row, info, bytes, len, builder->arena));
	return true;
}

/* The node that holds `entries` (by rising key) at `level`: a leaf, or a branch whose children are written. */
static bool grow(struct builder *builder, const struct state_entry *entries, size_t count, unsigned level,
		 struct state_draft *ret_draft, struct err *err)
{
	size_t starts[STATE_FANOUT + 1];
	const struct state_entry *sorted;
	struct state_draft child;

	*ret_draft = (struct state_draft){ .entries = entries, .count = count };
	if (count <= STATE_LEAF_MAX)
		return true;
	if (level >= STATE_LEVELS) /* only where a damaged leaf gave entries that do not belong there */
		return err_internal(err, "state of room %" PRId64 " has misplaced entries", builder->reader->room);
	ret_draft->is_branch = true;
	sorted = partition(entries, count, level, builder->reader->arena, starts);
	for (unsigned s = 0; s < STATE_FANOUT; s++) {
		if (!grow(builder, sorted + starts[s], starts[s + 1] - starts[s], level + 1, &child, err) ||
		    !write_node(builder, &child, &ret_draft->children[s], err))
			return false;
	}
	return true;
}

/* Both by rising key; a change with event 0 takes its key away. */
static struct entry_list merge(const struct entry_list *old, const struct state_entry *changes, size_t count,
			       struct arena *arena)
{
	struct entry_list merged = { .items = ARENA_ARRAY(arena, old->count + count, struct state_entry) };
	size_t i = 0;

	for (size_t c = 0; c <= count; c++) {
		while (i < old->count && (c == count || old->items[i].key < changes[c].key))
			merged.items[merged.count++] = old->items[i++];
		if (c == count)
			break;
		i += i < old->count && old->items[i].key == changes[c].key;
		if (changes[c].event)
			merged.items[merged.count++] = changes[c];
	}
	return merged;
}

static bool rebuild(struct builder *builder, state_ref old, const struct state_entry *changes, size_t count,
		    unsigned level, struct state_draft *ret_draft, struct err *err);

static bool rebuild_branch(struct builder *builder, struct state_node *old, const struct state_entry *changes,
			   size_t count, unsigned level, struct state_draft *ret_draft, struct err *err)
{
	size_t starts[STATE_FANOUT + 1], children = 0;
	const struct state_entry *sorted = partition(changes, count, level, builder->reader->arena, starts);
	struct state_draft child;

	*ret_draft = (struct state_draft){ 0 };
	for (unsigned s = 0; s < STATE_FANOUT; s++) {
		state_ref *ref = &ret_draft->children[s];

		if ((old->bitmap >> s & 1) && !state_branch_next(old, ref))
			return damaged(builder->reader, old->row->id, err);
		if (starts[s] != starts[s + 1] &&
		    (!rebuild(builder, *ref, sorted + starts[s], starts[s + 1] - starts[s], level + 1, &child, err) ||
		     !write_node(builder, &child, ref, err)))
			return false;
		children += *ref != 0;
	}
	ret_draft->is_branch = children > 0;
	return true;
}

/*
 * The node that takes the place of `old` (0: nothing). The reader has the rows on the changes' paths. A branch stays
 * one until it is empty: keys seldom go, and making a leaf of it would mean to read all its children.
 */
static bool rebuild(struct builder *builder, state_ref old, const struct state_entry *changes, size_t count,
		    unsigned level, struct state_draft *ret_draft, struct err *err)
{
	struct arena *scratch = builder->reader->arena;
	struct entry_list entries = { 0 };
	struct state_node node;

	if (old) {
		if (!reader_node(builder->reader, old, level, &node, err))
			return false;
		if (node.is_branch)
			return rebuild_branch(builder, &node, changes, count, level, ret_draft, err);
		if (!leaf_append(node, scratch, &entries))
			return damaged(builder->reader, node.row->id, err);
	}
	entries = merge(&entries, changes, count, scratch);
	return grow(builder, entries.items, entries.count, level, ret_draft, err);
}

struct numbered {
	struct state_entry entry;
	size_t number;
};

static int compare_numbered(const void *a, const void *b)
{
	const struct numbered *left = a, *right = b;

	if (left->entry.key != right->entry.key)
		return left->entry.key < right->entry.key ? -1 : 1;
	return left->number < right->number ? -1 : 1;
}

/* By rising key, the last one of each. */
static struct entry_list sort_changes(const struct state_entry *changes, size_t count, struct arena *arena)
{
	struct entry_list sorted = { .items = ARENA_ARRAY(arena, count, struct state_entry) };
	struct numbered *numbered = ARENA_ARRAY(arena, count, struct numbered);

	for (size_t i = 0; i < count; i++) {
		assert(changes[i].key > 0 && (changes[i].key & UINT32_MAX) && changes[i].event >= 0 &&
		       changes[i].membership <= MEMBERSHIP_KNOCK);
		numbered[i] = (struct numbered){ changes[i], i };
	}
	if (count > 1)
		qsort(numbered, count, sizeof(*numbered), compare_numbered);
	for (size_t i = 0; i < count; i++) {
		if (i + 1 == count || numbered[i].entry.key != numbered[i + 1].entry.key)
			sorted.items[sorted.count++] = numbered[i].entry;
	}
	return sorted;
}

/* Drops the changes that change nothing, counts the others. Reads all their paths. */
static bool settle(struct reader *reader, int64_t root, struct entry_list *changes, struct state_info *info,
		   struct err *err)
{
	struct state_entry *old = ARENA_ARRAY(reader->arena, changes->count, struct state_entry);
	size_t kept = 0;

	for (size_t i = 0; i < changes->count; i++)
		old[i].key = changes->items[i].key;
	if (!reader_get(reader, root, old, changes->count, err))
		return false;
	for (size_t i = 0; i < changes->count; i++) {
		struct state_entry change = changes->items[i];

		if (entry_is(&old[i], change.event, change.membership) || (!old[i].event && !change.event))
			continue;
		info_remove(info, &old[i]);
		info_add(info, &change);
		changes->items[kept++] = change;
	}
	changes->count = kept;
	return true;
}

static bool build(struct builder *builder, int64_t root, const struct entry_list *changes,
		  const struct state_info *info, struct err *err)
{
	struct state_draft draft;

	return begin_row(builder, err) &&
	       rebuild(builder, root_ref(root), changes->items, changes->count, 0, &draft, err) &&
	       write_root(builder, &draft, info, err);
}

bool state_apply(const struct state_source *source, nid_t room, int64_t root, const struct state_entry *changes,
		 size_t count, enum state_mark mark, struct arena *arena, struct state_build *ret_build,
		 struct err *err)
{
	CLEANUP(reader_done) struct reader reader = reader_init(source, room);
	struct builder builder = { .reader = &reader, .arena = arena };
	struct entry_list sorted = sort_changes(changes, count, reader.arena);
	struct state_info info;
	bool was_partial;

	if (!reader_root(&reader, root, &info, err) || !settle(&reader, root, &sorted, &info, err))
		return false;
	was_partial = info.partial;
	if (mark != STATE_AS_BEFORE)
		info.partial = mark == STATE_PARTIAL;
	if (info.count == 0) {
		*ret_build = (struct state_build){ 0 };
		return true;
	}
	if (sorted.count == 0 && info.partial == was_partial) {
		*ret_build = (struct state_build){ .root = root, .info = info };
		return true;
	}
	if (!build(&builder, root, &sorted, &info, err))
		return false;
	*ret_build = (struct state_build){ builder.row.row_id, info, builder.rows, builder.row_count };
	return true;
}
