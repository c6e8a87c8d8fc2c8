/* Any bytes as a packed row: what is accepted is exactly what an encoder writes, and look-ups in any row end. */
#include "state/state_row.h"

#define ROW_ID 9

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void read_draft(const struct state_row *row, unsigned index, struct arena *arena, struct state_draft *draft)
{
	struct state_node node;
	struct state_entry *entries;

	require(state_node_open(row, index, &node));
	*draft = (struct state_draft){ .is_branch = node.is_branch };
	if (node.is_branch) {
		for (unsigned s = 0; s < STATE_FANOUT; s++)
			require(state_branch_child(node, s, &draft->children[s]));
		return;
	}
	draft->entries = entries = ARENA_ARRAY(arena, node.count, struct state_entry);
	for (draft->count = 0; draft->count < node.count; draft->count++) {
		require(state_leaf_next(&node, &entries[draft->count]));
		require(draft->count == 0 || entries[draft->count - 1].key < entries[draft->count].key);
	}
}

static void require_round_trip(struct str data, struct arena *arena)
{
	struct state_row_writer writer = { .row_id = ROW_ID };
	uint8_t bytes[STATE_NODE_MAX];
	struct state_draft draft;
	struct state_row row;
	struct str again;
	state_ref ref;

	require(state_row_open(data, ROW_ID, &row));
	for (unsigned i = 1; i < row.node_count; i++) {
		read_draft(&row, i, arena, &draft);
		require(state_row_add(&writer, bytes, state_draft_encode(&draft, ROW_ID, bytes), &ref));
		require(ref == ROW_ID * STATE_ROW_NODES + i);
	}
	if (row.is_root) {
		read_draft(&row, 0, arena, &draft);
		again = state_row_finish_root(&writer, &row.info, bytes, state_draft_encode(&draft, ROW_ID, bytes),
					      arena);
	} else {
		again = state_row_finish(&writer, arena);
	}
	require(str_eq(data, again));
}

/* The row under test is all rows. */
static bool same_rows(void *context, nid_t room UNUSED, const int64_t *row_ids UNUSED, size_t count,
		      struct arena *arena UNUSED, struct str *ret_data, struct err *err UNUSED)
{
	for (size_t i = 0; i < count; i++)
		ret_data[i] = *(struct str *)context;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const nid_t keys[] = { 1, 2, 300, INT64_C(1) << 32 | 1, INT64_C(77) << 32 | 5, INT64_MAX };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str row = { (const char *)data, size };
	struct state_source source = { same_rows, NULL, &row };
	struct state_entry found[ARRAY_LEN(keys)], *entries;
	struct state_info info;
	struct err err = { 0 };
	size_t count;

	if (state_row_valid(row, ROW_ID))
		require_round_trip(row, arena);
	(void)state_get(&source, 1, ROW_ID, keys, ARRAY_LEN(keys), found, &err);
	if (state_info(&source, 1, ROW_ID, &info, &err) && info.count < 10000 &&
	    state_load(&source, 1, ROW_ID, arena, &entries, &count, &err))
		require(count <= info.count);
	return 0;
}
