/*
 * What the trie's walks have in common: the rows that a call has read, keys' places, running counts. For the files of
 * the trie alone.
 *
 * All walks go level by level and fetch the rows of a level at once. A branch of level 0 or 1 is split by the hash of
 * the server, those below by that of the key. id_hash() maps different keys to different values, so at STATE_LEVELS
 * there is one entry left at most.
 */
#pragma once

#include "state/state_row.h"

#define STATE_SERVER_LEVELS 2
#define STATE_LEVELS        (STATE_SERVER_LEVELS + (64 + STATE_FANOUT_BITS - 1) / STATE_FANOUT_BITS)

unsigned state_server_slot(nid_t server, unsigned level); /* at a level below STATE_SERVER_LEVELS */
unsigned state_slot(nid_t key, unsigned level);

struct state_entry_list {
	struct state_entry *items;
	size_t count, cap;
};

/* Appends what a leaf has, the walk not begun. false: damaged. */
bool state_leaf_append(struct state_node leaf, struct arena *arena, struct state_entry_list *list);
/* Stable: sorts by slot at `level` into the result, where slot s is [starts[s], starts[s + 1]). */
struct state_entry *state_partition(const struct state_entry *entries, size_t count, unsigned level,
				    struct arena *arena, size_t starts[STATE_FANOUT + 1]);

static inline UNUSED bool state_entry_is(const struct state_entry *entry, nid_t event, enum membership membership)
{
	return entry->event == event && entry->membership == membership;
}

/* Takes an entry into the count, the joined and the hash, or out of them. With event 0: nothing. */
void state_info_add(struct state_info *info, const struct state_entry *entry);
void state_info_remove(struct state_info *info, const struct state_entry *entry);
bool state_info_same(const struct state_info *a, const struct state_info *b); /* the same entries */

/* What one call has read: it goes when the call ends. */
struct state_reader {
	const struct state_source *source;
	nid_t room;
	struct arena *arena;
	struct idmap rows; /* id → struct state_row */
};

struct state_reader state_reader_init(const struct state_source *source, nid_t room);
void state_reader_done(struct state_reader *reader);
static inline UNUSED void state_reader_done_cleanup(struct state_reader *reader)
{
	state_reader_done(reader);
}

bool state_damaged(const struct state_reader *reader, int64_t row_id, struct err *err); /* raises */

/* Has the rows of `refs` (0: nothing) at hand afterwards. */
bool state_reader_fetch(struct state_reader *reader, const state_ref *refs, size_t count, struct err *err);
/* Opens a node whose row has been fetched. */
bool state_reader_node(const struct state_reader *reader, state_ref ref, unsigned level, struct state_node *ret_node,
		       struct err *err);

static inline UNUSED state_ref state_root_ref(int64_t root)
{
	return root * STATE_ROW_NODES;
}
/* Fetches a root, if it is not 0. */
bool state_reader_root(struct state_reader *reader, int64_t root, struct state_info *ret_info, struct err *err);
/* Looks up `entries[].key` under a root that has been fetched. The rows on the way stay with the reader. */
bool state_reader_get(struct state_reader *reader, int64_t root, struct state_entry *entries, size_t count,
		      struct err *err);
