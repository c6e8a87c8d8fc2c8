/*
 * The packed form of trie nodes, for state_trie.c and its checks.
 *
 *   row    = flags [count hash:16 joined] node...    flags: 1 a root row, 2 partial
 *   node   = length (leaf | branch)                  node 0 is a root row's root; all others count from 1, up to 31
 *   leaf   = n << 1, entry{n}                        1 ≤ n ≤ 64, keys rise
 *   entry  = tag [server] event                      tag: number << 4 | new_server << 3 | membership
 *   branch = 1, bitmap:2, reference{bits set}        at least one
 *
 * Fixed widths are little-endian, all else LEB128 of at most 10 bytes in its shortest form. An entry's number is the
 * lower half of its key, less the entry's before it if both are of one server; else the server follows, less the one
 * before it (0 at first). Events are zigzag differences to the entry before (0 at first): members who came together
 * have neighbouring numbers. A reference is a row's id × 32 + a node's index, written as the zigzag of (own row × 32 +
 * 31 − reference). One to the same row is to a lower index, but from the root's.
 *
 * So every row has one encoding. The decoder checks each step and allocates nothing.
 */
#pragma once

#include "state/state_trie.h"

#define STATE_FANOUT_BITS 4
#define STATE_FANOUT      (1 << STATE_FANOUT_BITS)
#define STATE_LEAF_MAX    64
#define STATE_ROW_NODES   32
#define STATE_NODE_MAX    1536 /* a leaf of 64 entries at their longest: 6 + 5 + 10 bytes each */

typedef uint16_t state_bitmap;
typedef int64_t state_ref; /* row × STATE_ROW_NODES + index; 0: nothing */

static inline UNUSED int64_t state_ref_row(state_ref ref)
{
	return ref / STATE_ROW_NODES;
}

struct state_row {
	int64_t id;
	bool is_root;
	struct state_info info; /* of a root row */
	const uint8_t *data;
	unsigned node_count; /* indexes below it exist; 0 only in root rows */
	uint16_t start[STATE_ROW_NODES], end[STATE_ROW_NODES];
};

/* Finds the nodes; does not look into them. false: not a row. */
bool state_row_open(struct str data, int64_t row_id, struct state_row *ret_row);

/* A walk through a node. */
struct state_node {
	bool is_branch;
	state_bitmap bitmap; /* of a branch */
	unsigned count;      /* entries, or references */
	unsigned index;      /* in its row */
	const struct state_row *row;
	const uint8_t *at, *end;
	nid_t key, event; /* of the entry before */
};

bool state_node_open(const struct state_row *row, unsigned index, struct state_node *ret_node);
/* The next entry, or reference: to be called up to `count` times. false: damaged. */
bool state_leaf_next(struct state_node *leaf, struct state_entry *ret_entry);
bool state_branch_next(struct state_node *branch, state_ref *ret_ref);
/* The reference in `slot`, 0 if there is none. The walk must not have begun. */
bool state_branch_child(struct state_node branch, unsigned slot, state_ref *ret_ref);
/* Whether every byte of the row is as an encoder would have written it. */
bool state_row_valid(struct str data, int64_t row_id);

/* A node to be written: a branch, or a leaf with `count` entries by rising key (0: no node at all). */
struct state_draft {
	bool is_branch;
	state_ref children[STATE_FANOUT];
	const struct state_entry *entries;
	size_t count;
};
/* The bytes of a node within row `row_id`; returns their number. */
size_t state_draft_encode(const struct state_draft *draft, int64_t row_id, uint8_t bytes[STATE_NODE_MAX]);

/* A row being filled. */
struct state_row_writer {
	int64_t row_id;
	unsigned node_count; /* beside the root */
	size_t len;
	uint8_t nodes[STATE_ROW_MAX];
};
/* Adds a node. *ret_ref is its reference. false: the row is full. */
bool state_row_add(struct state_row_writer *writer, const uint8_t *bytes, size_t len, state_ref *ret_ref);
/* Whether the row has place for a root of `len` bytes. */
bool state_row_has_place(const struct state_row_writer *writer, size_t len);
/* The row's bytes, without a root; and with one. */
struct str state_row_finish(const struct state_row_writer *writer, struct arena *arena);
struct str state_row_finish_root(const struct state_row_writer *writer, const struct state_info *info,
				 const uint8_t *bytes, size_t len, struct arena *arena);
