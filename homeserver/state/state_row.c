#include "state/state_row.h"

#define FLAG_ROOT    1
#define FLAG_PARTIAL 2

#define HEADER_MAX (1 + 10 + 16 + 10)
#define LENGTH_MAX 2 /* of a node's length */

static bool take_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
		uint8_t byte = *(*at)++;

		if ((shift && !byte) || (shift == 63 && byte > 1)) /* not the shortest form, or above 64 bits */
			return false;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

static size_t put_varint(uint8_t *out, uint64_t value)
{
	size_t len = 0;

	for (; value >= 0x80; value >>= 7)
		out[len++] = (uint8_t)(value | 0x80);
	out[len++] = (uint8_t)value;
	return len;
}

static uint64_t zigzag(int64_t value)
{
	return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

static int64_t unzigzag(uint64_t value)
{
	return (int64_t)(value >> 1 ^ -(value & 1));
}

static uint64_t take_fixed(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

static size_t put_fixed(uint8_t *out, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		out[i] = (uint8_t)(value >> 8 * i);
	return bytes;
}

static bool take_root_header(const uint8_t **at, const uint8_t *end, struct state_info *info)
{
	if (!take_varint(at, end, &info->count) || end - *at < 16)
		return false;
	info->hash.low = take_fixed(*at, 8);
	info->hash.high = take_fixed(*at + 8, 8);
	*at += 16;
	return take_varint(at, end, &info->joined) && info->count > 0 && info->joined <= info->count;
}

bool state_row_open(struct str data, int64_t row_id, struct state_row *ret_row)
{
	const uint8_t *start = (const uint8_t *)data.ptr, *at = start, *end = start + data.len;
	struct state_row row = { .id = row_id, .data = start, .node_count = 1 };
	uint64_t len;
	uint8_t flags;

	if (data.len == 0 || data.len > STATE_ROW_MAX || row_id <= 0 || row_id >= INT64_C(1) << 57)
		return false;
	flags = *at++;
	row.is_root = flags & FLAG_ROOT;
	row.info.partial = flags & FLAG_PARTIAL;
	if (flags > (FLAG_ROOT | FLAG_PARTIAL) || flags == FLAG_PARTIAL)
		return false;
	if (row.is_root) {
		if (!take_root_header(&at, end, &row.info))
			return false;
		row.node_count = 0;
	}
	while (at < end) {
		if (row.node_count == STATE_ROW_NODES || !take_varint(&at, end, &len) || len == 0 ||
		    len > (size_t)(end - at))
			return false;
		row.start[row.node_count] = (uint16_t)(at - start);
		at += len;
		row.end[row.node_count++] = (uint16_t)(at - start);
	}
	if (row.node_count == (row.is_root ? 0 : 1))
		return false;
	*ret_row = row;
	return true;
}

bool state_node_open(const struct state_row *row, unsigned index, struct state_node *ret_node)
{
	struct state_node node = { .index = index, .row = row };
	uint64_t head;

	if (index >= row->node_count || (index == 0 && !row->is_root))
		return false;
	node.at = row->data + row->start[index];
	node.end = row->data + row->end[index];
	if (!take_varint(&node.at, node.end, &head))
		return false;
	node.is_branch = head & 1;
	node.count = (unsigned)MIN(head >> 1, (uint64_t)STATE_LEAF_MAX + 1);
	if (node.is_branch) {
		if (head != 1 || (size_t)(node.end - node.at) < sizeof(state_bitmap))
			return false;
		node.bitmap = (state_bitmap)take_fixed(node.at, sizeof(state_bitmap));
		node.at += sizeof(state_bitmap);
		node.count = (unsigned)__builtin_popcount(node.bitmap);
	}
	if (node.count == 0 || node.count > (node.is_branch ? STATE_FANOUT : STATE_LEAF_MAX))
		return false;
	*ret_node = node;
	return true;
}

bool state_leaf_next(struct state_node *leaf, struct state_entry *ret_entry)
{
	uint64_t tag, more = 0, server = (uint64_t)leaf->key >> 32, number, event;

	if (!take_varint(&leaf->at, leaf->end, &tag))
		return false;
	number = tag >> 4;
	if (number == 0 || number > UINT32_MAX || (tag & 7) > MEMBERSHIP_KNOCK)
		return false;
	if (tag & 8) {
		if (!take_varint(&leaf->at, leaf->end, &more) || more == 0 || more > INT32_MAX - server)
			return false;
		server += more;
	} else {
		number += (uint64_t)leaf->key & UINT32_MAX;
		if (number > UINT32_MAX)
			return false;
	}
	if (!take_varint(&leaf->at, leaf->end, &event))
		return false;
	leaf->key = (nid_t)(server << 32 | number);
	if (__builtin_add_overflow(leaf->event, unzigzag(event), &leaf->event) || leaf->event <= 0)
		return false;
	*ret_entry = (struct state_entry){ leaf->key, leaf->event, (enum membership)(tag & 7) };
	return true;
}

bool state_branch_next(struct state_node *branch, state_ref *ret_ref)
{
	int64_t own = branch->row->id * STATE_ROW_NODES, row, ref;
	uint64_t back;

	if (!take_varint(&branch->at, branch->end, &back) ||
	    __builtin_sub_overflow(own + STATE_ROW_NODES - 1, unzigzag(back), &ref) || ref < STATE_ROW_NODES)
		return false;
	row = state_ref_row(ref);
	if (row >= INT64_C(1) << 57)
		return false;
	if (row == branch->row->id && branch->index && ref - own >= branch->index) /* no circles within a row */
		return false;
	*ret_ref = ref;
	return ref % STATE_ROW_NODES != 0; /* nothing refers to a root */
}

bool state_branch_child(struct state_node branch, unsigned slot, state_ref *ret_ref)
{
	unsigned bit = 1u << slot;
	int before = __builtin_popcount(branch.bitmap & (bit - 1));

	*ret_ref = 0;
	if (!(branch.bitmap & bit))
		return true;
	for (int i = 0; i <= before; i++) {
		if (!state_branch_next(&branch, ret_ref))
			return false;
	}
	return true;
}

static bool node_valid(const struct state_row *row, unsigned index)
{
	struct state_node node;
	struct state_entry entry;
	state_ref ref = 0;

	if (!state_node_open(row, index, &node))
		return false;
	for (unsigned i = 0; i < node.count; i++) {
		if (node.is_branch ? !state_branch_next(&node, &ref) : !state_leaf_next(&node, &entry))
			return false;
		if (node.is_branch && state_ref_row(ref) == row->id && ref % STATE_ROW_NODES >= row->node_count)
			return false;
	}
	return node.at == node.end;
}

bool state_row_valid(struct str data, int64_t row_id)
{
	struct state_row row;

	if (!state_row_open(data, row_id, &row))
		return false;
	for (unsigned i = row.is_root ? 0 : 1; i < row.node_count; i++) {
		if (!node_valid(&row, i))
			return false;
	}
	return true;
}

static size_t encode_leaf(const struct state_draft *draft, uint8_t *out)
{
	size_t len = put_varint(out, draft->count << 1);
	nid_t key = 0, event = 0;

	for (size_t i = 0; i < draft->count; i++) {
		const struct state_entry *e = &draft->entries[i];
		uint64_t server = (uint64_t)e->key >> 32, number = (uint64_t)e->key & UINT32_MAX;
		bool new_server = server != (uint64_t)key >> 32;

		if (!new_server)
			number -= (uint64_t)key & UINT32_MAX;
		len += put_varint(out + len, number << 4 | (new_server ? 8 : 0) | (uint64_t)e->membership);
		if (new_server)
			len += put_varint(out + len, server - ((uint64_t)key >> 32));
		len += put_varint(out + len, zigzag(e->event - event));
		key = e->key;
		event = e->event;
	}
	return len;
}

static size_t encode_branch(const struct state_draft *draft, int64_t row_id, uint8_t *out)
{
	size_t len = put_varint(out, 1);
	state_bitmap bitmap = 0;

	for (unsigned i = 0; i < STATE_FANOUT; i++)
		bitmap = (state_bitmap)(bitmap | (draft->children[i] != 0) << i);
	len += put_fixed(out + len, bitmap, sizeof(bitmap));
	for (unsigned i = 0; i < STATE_FANOUT; i++) {
		if (draft->children[i])
			len += put_varint(out + len, zigzag((row_id + 1) * STATE_ROW_NODES - 1 - draft->children[i]));
	}
	return len;
}

size_t state_draft_encode(const struct state_draft *draft, int64_t row_id, uint8_t bytes[STATE_NODE_MAX])
{
	return draft->is_branch ? encode_branch(draft, row_id, bytes) : encode_leaf(draft, bytes);
}

bool state_row_add(struct state_row_writer *writer, const uint8_t *bytes, size_t len, state_ref *ret_ref)
{
	if (writer->node_count == STATE_ROW_NODES - 1 || 1 + writer->len + LENGTH_MAX + len > STATE_ROW_MAX)
		return false;
	writer->len += put_varint(writer->nodes + writer->len, len);
	memcpy(writer->nodes + writer->len, bytes, len);
	writer->len += len;
	*ret_ref = writer->row_id * STATE_ROW_NODES + ++writer->node_count;
	return true;
}

bool state_row_has_place(const struct state_row_writer *writer, size_t len)
{
	return HEADER_MAX + writer->len + LENGTH_MAX + len <= STATE_ROW_MAX;
}

struct str state_row_finish(const struct state_row_writer *writer, struct arena *arena)
{
	uint8_t *out = arena_alloc(arena, 1 + writer->len);

	memcpy(out + 1, writer->nodes, writer->len);
	return (struct str){ (const char *)out, 1 + writer->len };
}

struct str state_row_finish_root(const struct state_row_writer *writer, const struct state_info *info,
				 const uint8_t *bytes, size_t len, struct arena *arena)
{
	uint8_t *out = arena_alloc(arena, HEADER_MAX + LENGTH_MAX + len + writer->len);
	size_t at = 0;

	out[at++] = info->partial ? FLAG_ROOT | FLAG_PARTIAL : FLAG_ROOT;
	at += put_varint(out + at, info->count);
	at += put_fixed(out + at, info->hash.low, 8);
	at += put_fixed(out + at, info->hash.high, 8);
	at += put_varint(out + at, info->joined);
	at += put_varint(out + at, len);
	memcpy(out + at, bytes, len);
	at += len;
	if (writer->len)
		memcpy(out + at, writer->nodes, writer->len);
	return (struct str){ (const char *)out, at + writer->len };
}
