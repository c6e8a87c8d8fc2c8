/* Nodes are written from the leaves up, into rows that are closed when full; the root comes last. */
#include "state/state_reader.h"

struct builder {
	struct state_reader *reader;
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
	struct state_draft child = { 0 };

	*ret_draft = (struct state_draft){ .entries = entries, .count = count };
	if (count <= STATE_LEAF_MAX)
		return true;
	if (level >= STATE_LEVELS) /* only where a damaged leaf gave entries that do not belong there */
		return err_internal(err, "state of room %" PRId64 " has misplaced entries", builder->reader->room);
	ret_draft->is_branch = true;
	sorted = state_partition(entries, count, level, builder->reader->arena, starts);
	for (unsigned s = 0; s < STATE_FANOUT; s++) {
		if (!grow(builder, sorted + starts[s], starts[s + 1] - starts[s], level + 1, &child, err) ||
		    !write_node(builder, &child, &ret_draft->children[s], err))
			return false;
	}
	return true;
}

/* Both by rising key; a change with event 0 takes its key away. */
static struct state_entry_list merge(const struct state_entry_list *old, const struct state_entry *changes,
				     size_t count, struct arena *arena)
{
	struct state_entry_list merged = { .items = ARENA_ARRAY(arena, old->count + count, struct state_entry) };
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
	const struct state_entry *sorted = state_partition(changes, count, level, builder->reader->arena, starts);
	struct state_draft child = { 0 };

	*ret_draft = (struct state_draft){ 0 };
	for (unsigned s = 0; s < STATE_FANOUT; s++) {
		state_ref *ref = &ret_draft->children[s];

		if ((old->bitmap >> s & 1) && !state_branch_next(old, ref))
			return state_damaged(builder->reader, old->row->id, err);
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
	struct state_entry_list entries = { 0 };
	struct state_node node;

	if (old) {
		if (!state_reader_node(builder->reader, old, level, &node, err))
			return false;
		if (node.is_branch)
			return rebuild_branch(builder, &node, changes, count, level, ret_draft, err);
		if (!state_leaf_append(node, scratch, &entries))
			return state_damaged(builder->reader, node.row->id, err);
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
static struct state_entry_list sort_changes(const struct state_entry *changes, size_t count, struct arena *arena)
{
	struct state_entry_list sorted = { .items = ARENA_ARRAY(arena, count, struct state_entry) };
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
static bool settle(struct state_reader *reader, int64_t root, struct state_entry_list *changes, struct state_info *info,
		   struct err *err)
{
	struct state_entry *old = ARENA_ARRAY(reader->arena, changes->count, struct state_entry);
	size_t kept = 0;

	for (size_t i = 0; i < changes->count; i++)
		old[i].key = changes->items[i].key;
	if (!state_reader_get(reader, root, old, changes->count, err))
		return false;
	for (size_t i = 0; i < changes->count; i++) {
		struct state_entry change = changes->items[i];

		if (state_entry_is(&old[i], change.event, change.membership) || (!old[i].event && !change.event))
			continue;
		state_info_remove(info, &old[i]);
		state_info_add(info, &change);
		changes->items[kept++] = change;
	}
	changes->count = kept;
	return true;
}

static bool build(struct builder *builder, int64_t root, const struct state_entry_list *changes,
		  const struct state_info *info, struct err *err)
{
	struct state_draft draft;

	return begin_row(builder, err) &&
	       rebuild(builder, state_root_ref(root), changes->items, changes->count, 0, &draft, err) &&
	       write_root(builder, &draft, info, err);
}

bool state_apply(const struct state_source *source, nid_t room, int64_t root, const struct state_entry *changes,
		 size_t count, enum state_mark mark, struct arena *arena, struct state_build *ret_build,
		 struct err *err)
{
	CLEANUP(state_reader_done) struct state_reader reader = state_reader_init(source, room);
	struct builder builder = { .reader = &reader, .arena = arena };
	struct state_entry_list sorted = sort_changes(changes, count, reader.arena);
	struct state_info info;
	bool was_partial;

	if (!state_reader_root(&reader, root, &info, err) || !settle(&reader, root, &sorted, &info, err))
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
