#include "state/state_trie.h"

#include "state/state_reader.h"

bool state_info(const struct state_source *source, nid_t room, int64_t root, struct state_info *ret_info,
		struct err *err)
{
	CLEANUP(state_reader_done) struct state_reader reader = state_reader_init(source, room);
	struct state_info info;

	if (!state_reader_root(&reader, root, &info, err))
		return false;
	*ret_info = info;
	return true;
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
	*ret_equal = state_info_same(&info_a, &info_b);
	return true;
}

bool state_get(const struct state_source *source, nid_t room, int64_t root, const nid_t *keys, size_t count,
	       struct state_entry *ret_entries, struct err *err)
{
	CLEANUP(state_reader_done) struct state_reader reader = state_reader_init(source, room);
	struct state_info info;

	for (size_t i = 0; i < count; i++)
		ret_entries[i] = (struct state_entry){ .key = keys[i] };
	return state_reader_root(&reader, root, &info, err) && state_reader_get(&reader, root, ret_entries, count, err);
}

#define EVERY_SERVER (-1)

struct ref_list {
	state_ref *items;
	size_t count, cap;
};

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

static bool descend(const struct state_node *branch, nid_t server, unsigned level, struct arena *arena,
		    struct ref_list *below)
{
	state_ref ref;

	if (server == EVERY_SERVER || level >= STATE_SERVER_LEVELS)
		return branch_append(*branch, arena, below);
	if (!state_branch_child(*branch, state_server_slot(server, level), &ref))
		return false;
	if (ref)
		*ARENA_PUSH(arena, below->items, below->count, below->cap) = ref;
	return true;
}

static bool load_level(struct state_reader *reader, struct ref_list refs, nid_t server, unsigned level,
		       struct arena *arena, struct state_entry_list *entries, struct ref_list *below, struct err *err)
{
	struct state_node node;

	for (size_t i = 0; i < refs.count; i++) {
		if (!state_reader_node(reader, refs.items[i], level, &node, err))
			return false;
		if (node.is_branch ? !descend(&node, server, level, reader->arena, below)
				   : !state_leaf_append(node, arena, entries))
			return state_damaged(reader, state_ref_row(refs.items[i]), err);
	}
	return true;
}

static bool load(const struct state_source *source, nid_t room, int64_t root, nid_t server, struct arena *arena,
		 struct state_entry_list *entries, struct err *err)
{
	CLEANUP(state_reader_done) struct state_reader reader = state_reader_init(source, room);
	state_ref top = state_root_ref(root);
	struct ref_list refs = { &top, root ? 1 : 0, 1 }, below;
	struct state_info info;

	if (!state_reader_root(&reader, root, &info, err))
		return false;
	for (unsigned level = 0; refs.count; level++) {
		below = (struct ref_list){ 0 };
		if (!state_reader_fetch(&reader, refs.items, refs.count, err) ||
		    !load_level(&reader, refs, server, level, arena, entries, &below, err))
			return false;
		if (below.count > info.count || entries->count > info.count) /* no node is empty: a circle, or worse */
			return state_damaged(&reader, root, err);
		refs = below;
	}
	return true;
}

bool state_load(const struct state_source *source, nid_t room, int64_t root, struct arena *arena,
		struct state_entry **ret_entries, size_t *ret_count, struct err *err)
{
	struct state_entry_list list = { 0 };

	if (!load(source, room, root, EVERY_SERVER, arena, &list, err))
		return false;
	*ret_entries = list.items;
	*ret_count = list.count;
	return true;
}

bool state_load_server(const struct state_source *source, nid_t room, int64_t root, nid_t server, struct arena *arena,
		       struct state_entry **ret_entries, size_t *ret_count, struct err *err)
{
	struct state_entry_list list = { 0 };
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
