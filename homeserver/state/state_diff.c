#include "state/state_reader.h"

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
	struct state_reader *reader;
	struct arena *arena; /* of the deltas */
	struct state_delta *deltas;
	size_t delta_count, delta_cap;
	struct pair *below; /* pairs of the next level */
	size_t below_count, below_cap;
};

static void add_delta(struct differ *differ, const struct state_entry *before, const struct state_entry *after)
{
	assert(before || after);
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
		if (!old || !new || !state_entry_is(old, new->event, new->membership))
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
	struct state_reader *reader = differ->reader;
	struct state_entry_list list = { 0 };
	struct state_node node;

	*ret_split = false;
	if (!part->ref)
		return true;
	if (!state_reader_node(reader, part->ref, level, &node, err))
		return false;
	if (!node.is_branch) {
		if (!state_leaf_append(node, reader->arena, &list))
			return state_damaged(reader, state_ref_row(part->ref), err);
		*part = (struct part){ .entries = list.items, .count = list.count };
		return true;
	}
	*ret_split = true;
	for (unsigned s = 0; s < STATE_FANOUT; s++) {
		slots[s] = (struct part){ 0 };
		if ((node.bitmap >> s & 1) && !state_branch_next(&node, &slots[s].ref))
			return state_damaged(reader, state_ref_row(part->ref), err);
	}
	return true;
}

static void split_entries(struct differ *differ, const struct part *part, unsigned level,
			  struct part slots[STATE_FANOUT])
{
	size_t starts[STATE_FANOUT + 1];
	const struct state_entry *sorted =
		state_partition(part->entries, part->count, level, differ->reader->arena, starts);

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

static bool fetch_pairs(struct state_reader *reader, const struct pair *pairs, size_t count, struct err *err)
{
	state_ref *refs = ARENA_ARRAY(reader->arena, count * 2, state_ref);

	for (size_t i = 0; i < count; i++) {
		refs[2 * i] = pairs[i].before.ref;
		refs[2 * i + 1] = pairs[i].after.ref;
	}
	return state_reader_fetch(reader, refs, count * 2, err);
}

/* `most`: the entries of both states together; as no node is empty, no level has more pairs. */
static bool diff_roots(struct differ *differ, int64_t before, int64_t after, uint64_t most, struct err *err)
{
	struct pair top = { { .ref = state_root_ref(before) }, { .ref = state_root_ref(after) } }, *pairs = &top;
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
			return state_damaged(differ->reader, after, err);
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
	CLEANUP(state_reader_done) struct state_reader reader = state_reader_init(source, room);
	struct differ differ = { .reader = &reader, .arena = arena };
	struct state_info info_before, info_after;

	if (!state_reader_root(&reader, before, &info_before, err) ||
	    !state_reader_root(&reader, after, &info_after, err))
		return false;
	if (!state_info_same(&info_before, &info_after) &&
	    !diff_roots(&differ, before, after, info_before.count + info_after.count, err))
		return false;
	sort_deltas(&differ);
	*ret_deltas = differ.deltas;
	*ret_count = differ.delta_count;
	return true;
}

static const char *verify_delta(const struct state_delta *delta, const struct state_entry *found,
				struct state_info *info)
{
	state_info_remove(info, &(struct state_entry){ delta->key, delta->before, delta->membership_before });
	state_info_add(info, &(struct state_entry){ delta->key, delta->after, delta->membership_after });
	return state_entry_is(found, delta->after, delta->membership_after) ? NULL
									    : "an entry is not where its key belongs";
}

bool state_verify(const struct state_source *source, nid_t room, int64_t known, int64_t root, const char **ret_fault,
		  struct err *err)
{
	CLEANUP(state_reader_done) struct state_reader reader = state_reader_init(source, room);
	struct differ differ = { .reader = &reader, .arena = reader.arena };
	struct state_info expected, info;
	struct state_entry *found;
	const char *fault = NULL;

	if (!state_reader_root(&reader, known, &expected, err) || !state_reader_root(&reader, root, &info, err) ||
	    !diff_roots(&differ, known, root, expected.count + info.count, err))
		return false;
	sort_deltas(&differ);
	found = ARENA_ARRAY(reader.arena, differ.delta_count, struct state_entry);
	for (size_t i = 0; i < differ.delta_count; i++)
		found[i].key = differ.deltas[i].key;
	if (!state_reader_get(&reader, root, found, differ.delta_count, err))
		return false;
	for (size_t i = 0; i < differ.delta_count && !fault; i++)
		fault = verify_delta(&differ.deltas[i], &found[i], &expected);
	if (!fault && (!state_info_same(&expected, &info) || expected.joined != info.joined))
		fault = "the root's count or hash disagrees with its entries";
	*ret_fault = fault;
	return true;
}
