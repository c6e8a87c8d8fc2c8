#include "state/state_trie.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "state/state_row.h"

#define ROOM 7

/* Rows in memory, and a naive map beside the trie. */
struct world {
	struct arena *arena;
	struct idmap rows; /* id → struct str */
	int64_t last_row_id;
	size_t rows_read;
	struct state_source source;
	uint64_t random;
};

static bool memory_rows(void *context, nid_t room, const int64_t *row_ids, size_t count, struct arena *arena UNUSED,
			struct str *ret_data, struct err *err)
{
	struct world *world = context;

	assert_int_equal(room, ROOM);
	world->rows_read += count;
	for (size_t i = 0; i < count; i++) {
		struct str *data = idmap_get(&world->rows, row_ids[i]);

		assert_true(i == 0 || row_ids[i - 1] < row_ids[i]);
		if (!data)
			return err_internal(err, "no row %" PRId64, row_ids[i]);
		ret_data[i] = *data;
	}
	return true;
}

/* Mostly rising, as where several processes take blocks of numbers in turn. */
static bool memory_row_id(void *context, int64_t *ret_row_id, struct err *err UNUSED)
{
	struct world *world = context;

	*ret_row_id = (4096 + ++world->last_row_id) ^ 1024;
	return true;
}

static void world_open(struct world *world, uint64_t seed)
{
	*world =
		(struct world){ .arena = arena_new(), .random = seed, .source = { memory_rows, memory_row_id, world } };
}

static void world_close(struct world *world)
{
	idmap_done(&world->rows);
	arena_free(world->arena);
}

static uint64_t draw(struct world *world, uint64_t below)
{
	world->random = world->random * 6364136223846793005u + 1442695040888963407u;
	return id_hash((int64_t)world->random) % below;
}

static int64_t keep(struct world *world, const struct state_build *build)
{
	for (size_t i = 0; i < build->row_count; i++) {
		struct str *data = ARENA_NEW(world->arena, struct str);

		*data = build->rows[i].data;
		assert_true(data->len <= STATE_ROW_MAX);
		assert_true(state_row_valid(*data, build->rows[i].row_id));
		assert_null(idmap_get(&world->rows, build->rows[i].row_id));
		idmap_put(&world->rows, build->rows[i].row_id, data);
	}
	return build->root;
}

static struct state_build apply_marked(struct world *world, int64_t root, const struct state_entry *changes,
				       size_t count, enum state_mark mark)
{
	struct state_build build;
	struct err err = { 0 };

	if (!state_apply(&world->source, ROOM, root, changes, count, mark, world->arena, &build, &err))
		fail_msg("%s", err.detail);
	keep(world, &build);
	return build;
}

static int64_t apply(struct world *world, int64_t root, const struct state_entry *changes, size_t count)
{
	return apply_marked(world, root, changes, count, STATE_AS_BEFORE).root;
}

#define KEYS 1500

/* The keys of a room: some without a server, many of one server, the rest spread over others. */
static nid_t key_at(size_t i)
{
	nid_t server = i % 10 == 0 ? 0 : i % 10 < 6 ? 1 : 2 + (nid_t)(id_hash((int64_t)i) % 300);

	return server << 32 | (nid_t)(i + 1);
}

static size_t index_of(nid_t key)
{
	size_t i = (size_t)(key & UINT32_MAX) - 1;

	assert_true(i < KEYS && key_at(i) == key);
	return i;
}

struct naive {
	struct state_entry entries[KEYS]; /* event 0: absent */
};

static struct state_entry random_change(struct world *world, size_t keys, unsigned remove_percent)
{
	struct state_entry change = { .key = key_at(draw(world, keys)) };

	if (draw(world, 100) < remove_percent)
		return change;
	change.event = 1 + (nid_t)draw(world, 1u << 30);
	if (change.key >> 32)
		change.membership = (enum membership)(change.event % 6);
	return change;
}

static void naive_apply(struct naive *naive, const struct state_entry *changes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		naive->entries[index_of(changes[i].key)] = changes[i];
		if (!changes[i].event)
			naive->entries[index_of(changes[i].key)].membership = MEMBERSHIP_NONE;
	}
}

static void assert_entry(const struct state_entry *got, const struct state_entry *expected, nid_t key)
{
	assert_int_equal(got->key, key);
	assert_int_equal(got->event, expected->event);
	assert_int_equal(got->membership, expected->membership);
}

static void assert_same_list(const struct naive *naive, const struct state_entry *entries, size_t count, nid_t server)
{
	bool seen[KEYS] = { 0 };
	size_t expected = 0;

	for (size_t i = 0; i < KEYS; i++)
		expected += naive->entries[i].event && (server < 0 || key_at(i) >> 32 == server);
	assert_int_equal(count, expected);
	for (size_t i = 0; i < count; i++) {
		size_t at = index_of(entries[i].key);

		assert_false(seen[at]);
		seen[at] = true;
		assert_true(server < 0 || entries[i].key >> 32 == server);
		assert_entry(&entries[i], &naive->entries[at], entries[i].key);
	}
}

static void assert_reads_as(struct world *world, int64_t root, const struct naive *naive)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	nid_t keys[KEYS], servers[] = { 0, 1, 2, 77, 5000 };
	struct state_entry got[KEYS], *entries;
	struct err err = { 0 };
	size_t count, joined = 0;
	struct state_info info;
	const char *fault;

	for (size_t i = 0; i < KEYS; i++) {
		keys[i] = key_at(i);
		joined += naive->entries[i].membership == MEMBERSHIP_JOIN;
	}
	assert_true(state_get(&world->source, ROOM, root, keys, KEYS, got, &err));
	for (size_t i = 0; i < KEYS; i++)
		assert_entry(&got[i], &naive->entries[i], keys[i]);
	assert_true(state_load(&world->source, ROOM, root, arena, &entries, &count, &err));
	assert_same_list(naive, entries, count, -1);
	assert_true(state_info(&world->source, ROOM, root, &info, &err));
	assert_int_equal(info.count, count);
	assert_int_equal(info.joined, joined);
	for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
		assert_true(state_load_server(&world->source, ROOM, root, servers[i], arena, &entries, &count, &err));
		assert_same_list(naive, entries, count, servers[i]);
	}
	assert_true(state_verify(&world->source, ROOM, 0, root, &fault, &err));
	assert_null(fault);
}

static void assert_diff_is(struct world *world, int64_t before, const struct naive *old, int64_t after,
			   const struct naive *new)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct state_delta *deltas;
	struct err err = { 0 };
	size_t count, expected = 0;
	const char *fault;
	bool equal;

	assert_true(state_diff(&world->source, ROOM, before, after, arena, &deltas, &count, &err));
	for (size_t i = 0; i < KEYS; i++)
		expected += old->entries[i].event != new->entries[i].event;
	assert_int_equal(count, expected);
	for (size_t i = 0; i < count; i++) {
		const struct state_entry *b = &old->entries[index_of(deltas[i].key)],
					 *a = &new->entries[index_of(deltas[i].key)];

		assert_true(i == 0 || deltas[i - 1].key < deltas[i].key);
		assert_int_equal(deltas[i].before, b->event);
		assert_int_equal(deltas[i].after, a->event);
		assert_int_equal(deltas[i].membership_before, b->membership);
		assert_int_equal(deltas[i].membership_after, a->membership);
	}
	assert_true(state_equal(&world->source, ROOM, before, after, &equal, &err));
	assert_int_equal(equal, expected == 0);
	assert_true(state_verify(&world->source, ROOM, before, after, &fault, &err));
	assert_null(fault);
}

#define VERSIONS 60

/* A history with forks: each version follows from a random earlier one. All must read the same when all are made. */
static void random_history(uint64_t seed, size_t keys, size_t most_changes, unsigned remove_percent)
{
	struct naive *naive = x_calloc(VERSIONS, sizeof(*naive));
	int64_t roots[VERSIONS] = { 0 };
	struct world world;

	world_open(&world, seed);
	for (size_t v = 1; v < VERSIONS; v++) {
		size_t from = draw(&world, 4) ? v - 1 : (size_t)draw(&world, v),
		       count = 1 + (size_t)draw(&world, most_changes);
		struct state_entry *changes = ARENA_ARRAY(world.arena, count, struct state_entry);

		for (size_t i = 0; i < count; i++)
			changes[i] = random_change(&world, keys, remove_percent);
		naive[v] = naive[from];
		naive_apply(&naive[v], changes, count);
		roots[v] = apply(&world, roots[from], changes, count);
	}
	for (size_t v = 0; v < VERSIONS; v++) {
		size_t other = (size_t)draw(&world, VERSIONS);

		if (v % 8 == 0)
			assert_reads_as(&world, roots[v], &naive[v]);
		assert_diff_is(&world, roots[v], &naive[v], roots[other], &naive[other]);
	}
	world_close(&world);
	free(naive);
}

static void agrees_with_a_naive_map(void **state UNUSED)
{
	static const struct {
		size_t keys, most_changes;
		unsigned remove_percent;
	} kinds[] = { { 40, 3, 30 }, { 300, 20, 10 }, { KEYS, 1, 0 }, { KEYS, 400, 5 }, { KEYS, 300, 60 } };

	for (uint64_t seed = 1; seed <= 4; seed++) {
		for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
			random_history(seed, kinds[i].keys, kinds[i].most_changes, kinds[i].remove_percent);
	}
}

static void equality_does_not_depend_on_history(void **state UNUSED)
{
	struct state_entry all[KEYS];
	struct err err = { 0 };
	int64_t one = 0, whole;
	struct world world;
	bool equal;

	world_open(&world, 9);
	for (size_t i = 0; i < KEYS; i++)
		all[i] = (struct state_entry){ key_at(i), (nid_t)i + 100, i % 10 ? MEMBERSHIP_JOIN : MEMBERSHIP_NONE };
	whole = apply(&world, 0, all, KEYS);
	for (size_t i = 0; i < KEYS; i++) {
		size_t at = KEYS - 1 - i;
		struct state_entry other = { all[at].key, 1, MEMBERSHIP_NONE };

		if (i % 7 == 0)
			one = apply(&world, one, &other, 1);
		one = apply(&world, one, &all[at], 1);
	}
	assert_true(state_equal(&world.source, ROOM, one, whole, &equal, &err));
	assert_true(equal);
	all[3].event++;
	one = apply(&world, one, &all[3], 1);
	assert_true(state_equal(&world.source, ROOM, one, whole, &equal, &err));
	assert_false(equal);
	world_close(&world);
}

static void what_changes_nothing_gives_the_same_root(void **state UNUSED)
{
	struct state_entry entries[] = { { 1, 10, MEMBERSHIP_NONE },
					 { 2, 11, MEMBERSHIP_NONE },
					 { INT64_C(1) << 32 | 3, 12, MEMBERSHIP_JOIN } };
	struct state_entry gone[] = { { 1, 0, MEMBERSHIP_NONE },
				      { 9, 0, MEMBERSHIP_NONE },
				      { 1, 10, MEMBERSHIP_NONE } };
	struct state_build build, same;
	struct world world;

	world_open(&world, 1);
	build = apply_marked(&world, 0, entries, ARRAY_LEN(entries), STATE_AS_BEFORE);
	assert_int_equal(build.info.count, 3);
	assert_int_equal(build.info.joined, 1);
	assert_int_equal(build.row_count, 1);
	same = apply_marked(&world, build.root, entries, ARRAY_LEN(entries), STATE_COMPLETE);
	assert_int_equal(same.root, build.root);
	assert_int_equal(same.row_count, 0);
	same = apply_marked(&world, build.root, gone, ARRAY_LEN(gone),
			    STATE_AS_BEFORE); /* the last change of a key stands */
	assert_int_equal(same.root, build.root);
	for (size_t i = 0; i < ARRAY_LEN(entries); i++)
		entries[i].event = 0;
	same = apply_marked(&world, build.root, entries, ARRAY_LEN(entries), STATE_AS_BEFORE);
	assert_int_equal(same.root, 0);
	assert_int_equal(same.row_count, 0);
	world_close(&world);
}

static void a_root_is_partial_until_said_otherwise(void **state UNUSED)
{
	static const struct state_entry first = { 1, 10, MEMBERSHIP_NONE }, second = { 2, 11, MEMBERSHIP_NONE };
	struct state_build partial, next, complete;
	struct err err = { 0 };
	struct world world;
	bool equal;

	world_open(&world, 1);
	partial = apply_marked(&world, 0, &first, 1, STATE_PARTIAL);
	next = apply_marked(&world, partial.root, &second, 1, STATE_AS_BEFORE);
	complete = apply_marked(&world, next.root, NULL, 0, STATE_COMPLETE);
	assert_true(partial.info.partial && next.info.partial && !complete.info.partial);
	assert_int_not_equal(next.root, complete.root);
	assert_true(state_equal(&world.source, ROOM, next.root, complete.root, &equal, &err) && equal);
	world_close(&world);
}

#define MEMBERS 20000

/* Half the members are of one server, the others spread. */
static int64_t build_big_room(struct world *world)
{
	struct state_entry *all = ARENA_ARRAY(world->arena, MEMBERS, struct state_entry);
	struct state_build build;

	for (size_t i = 0; i < MEMBERS; i++) {
		nid_t server = i % 2 ? 1 : 2 + (nid_t)draw(world, 1000);

		all[i] = (struct state_entry){ server << 32 | (nid_t)(i + 1), (nid_t)i + 1, MEMBERSHIP_JOIN };
	}
	build = apply_marked(world, 0, all, MEMBERS, STATE_AS_BEFORE);
	assert_int_equal(build.info.joined, MEMBERS);
	assert_true(build.row_count > 50);
	return build.root;
}

static void one_change_of_a_big_room_is_one_small_row(void **state UNUSED)
{
	static const struct state_entry change = { INT64_C(1) << 32 | 778, 1 << 29, MEMBERSHIP_LEAVE };
	struct state_build build;
	struct world world;
	int64_t root;

	world_open(&world, 3);
	root = build_big_room(&world);
	build = apply_marked(&world, root, &change, 1, STATE_AS_BEFORE);
	assert_int_equal(build.row_count, 1);
	assert_true(build.rows[0].data.len < 1000);
	assert_int_equal(build.info.joined, MEMBERS - 1);
	world_close(&world);
}

static void reads_no_more_than_it_must(void **state UNUSED)
{
	static const struct state_entry change = { INT64_C(1) << 32 | 778, 1 << 29, MEMBERSHIP_LEAVE };
	struct state_entry *entries, got;
	struct state_delta *deltas;
	struct err err = { 0 };
	int64_t before, after;
	struct world world;
	size_t count;

	world_open(&world, 4);
	before = build_big_room(&world);
	after = apply(&world, before, &change, 1);
	world.rows_read = 0;
	assert_true(state_get(&world.source, ROOM, after, &change.key, 1, &got, &err) && got.event == change.event);
	assert_int_equal(world.rows_read, 1);
	assert_true(state_diff(&world.source, ROOM, before, after, world.arena, &deltas, &count, &err) && count == 1);
	assert_true(world.rows_read < 10);
	world.rows_read = 0;
	assert_true(state_load_server(&world.source, ROOM, after, 77, world.arena, &entries, &count, &err) && count);
	assert_true(world.rows_read < 10);
	world_close(&world);
}

/* Numbers at their greatest: nothing may overflow, and the longest leaf must fit. */
static void holds_the_greatest_numbers(void **state UNUSED)
{
	struct state_entry entries[STATE_LEAF_MAX], got;
	struct err err = { 0 };
	struct world world;
	int64_t root;

	world_open(&world, 1);
	for (size_t i = 0; i < ARRAY_LEN(entries); i++)
		entries[i] = (struct state_entry){ (INT64_C(0x7fffffff) - (nid_t)(i * 33000000)) << 32 |
							   (UINT32_MAX - (nid_t)i),
						   i % 2 ? INT64_MAX : 1, MEMBERSHIP_KNOCK };
	root = apply(&world, 0, entries, ARRAY_LEN(entries));
	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		assert_true(state_get(&world.source, ROOM, root, &entries[i].key, 1, &got, &err));
		assert_entry(&got, &entries[i], entries[i].key);
	}
	world_close(&world);
}

static void refuses_damaged_rows(void **state UNUSED)
{
	static const struct {
		const char *why;
		struct str data;
		bool valid;
	} cases[] = {
		{ "a leaf with one entry", STR_INIT("\0\3\2\x10\2"), true },
		{ "empty", STR_INIT(""), false },
		{ "no nodes", STR_INIT("\0"), false },
		{ "unknown flag", STR_INIT("\4\3\2\x10\2"), false },
		{ "partial, but no root", STR_INIT("\2\3\2\x10\2"), false },
		{ "a node that ends behind the row", STR_INIT("\0\4\2\x10\2"), false },
		{ "bytes behind the node", STR_INIT("\0\3\2\x10\2\1"), false },
		{ "an empty node", STR_INIT("\0\0"), false },
		{ "an empty leaf", STR_INIT("\0\1\0"), false },
		{ "a leaf that ends early", STR_INIT("\0\3\4\x10\2"), false },
		{ "an entry with number 0", STR_INIT("\0\3\2\0\2"), false },
		{ "an event that is 0", STR_INIT("\0\3\2\x10\0"), false },
		{ "an event below 0", STR_INIT("\0\3\2\x10\1"), false },
		{ "no such membership", STR_INIT("\0\3\2\x16\2"), false },
		{ "a server that is the one before", STR_INIT("\0\4\2\x18\0\2"), false },
		{ "not the shortest number", STR_INIT("\0\4\2\x90\0\2"), false },
		{ "a branch of nothing", STR_INIT("\0\3\1\0\0"), false },
		{ "a branch to an older row's node", STR_INIT("\0\4\1\1\0\x40"), true },
		{ "a branch to an older row's root", STR_INIT("\0\4\1\1\0\x7e"), false },
		{ "a branch to itself", STR_INIT("\0\4\1\1\0\x3c"), false },
		{ "a branch to what comes after it", STR_INIT("\0\4\1\1\0\x3a\3\2\x10\2"), false },
		{ "a root that branches to its row's node",
		  STR_INIT("\1\1"
			   "0123456789abcdef"
			   "\0\4\1\1\0\x3c\3\2\x10\2"),
		  true },
		{ "a root that branches to a node that is not there",
		  STR_INIT("\1\1"
			   "0123456789abcdef"
			   "\0\4\1\1\0\x3a\3\2\x10\2"),
		  false },
		{ "a root",
		  STR_INIT("\1\1"
			   "0123456789abcdef"
			   "\0\3\2\x10\2"),
		  true },
		{ "a root without entries",
		  STR_INIT("\1\0"
			   "0123456789abcdef"
			   "\0\3\2\x10\2"),
		  false },
		{ "more joined than there are",
		  STR_INIT("\1\1"
			   "0123456789abcdef"
			   "\2\3\2\x10\2"),
		  false },
		{ "a root cut off",
		  STR_INIT("\1\1"
			   "0123456789abcdef"),
		  false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (state_row_valid(cases[i].data, 9) != cases[i].valid)
			fail_msg("%s", cases[i].why);
	}
	assert_false(state_row_valid(cases[0].data, 0));
}

/* Whatever bytes a row has, reading ends, with an answer or an error. */
static void survives_flipped_bytes(void **state UNUSED)
{
	struct state_entry all[KEYS];
	struct world world;
	int64_t root, id;
	struct str *data;
	size_t faults = 0;

	world_open(&world, 5);
	for (size_t i = 0; i < KEYS; i++)
		all[i] = (struct state_entry){ key_at(i), (nid_t)i + 100, i % 10 ? MEMBERSHIP_JOIN : MEMBERSHIP_NONE };
	root = apply(&world, 0, all, KEYS);
	for (size_t at = 0; (data = idmap_next(&world.rows, &at, &id));) {
		for (size_t i = 0; i < data->len; i += 1 + (size_t)draw(&world, 40)) {
			CLEANUP(arena_free) struct arena *arena = arena_new();
			struct str whole = *data;
			char *bytes = arena_alloc(arena, whole.len);
			struct state_entry *entries;
			struct state_delta *deltas;
			struct state_build build;
			struct err err = { 0 };
			const char *fault = NULL;
			size_t count;

			memcpy(bytes, whole.ptr, whole.len);
			bytes[i] = (char)(bytes[i] ^ 1 << draw(&world, 8));
			data->ptr = bytes;
			(void)state_load(&world.source, ROOM, root, arena, &entries, &count, &err);
			(void)state_diff(&world.source, ROOM, 0, root, arena, &deltas, &count, &err);
			(void)state_apply(&world.source, ROOM, root, all, 1, STATE_PARTIAL, arena, &build, &err);
			faults += !state_verify(&world.source, ROOM, 0, root, &fault, &err) || fault;
			*data = whole;
		}
	}
	assert_true(faults > 100);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_a_naive_map),
		cmocka_unit_test(equality_does_not_depend_on_history),
		cmocka_unit_test(what_changes_nothing_gives_the_same_root),
		cmocka_unit_test(a_root_is_partial_until_said_otherwise),
		cmocka_unit_test(one_change_of_a_big_room_is_one_small_row),
		cmocka_unit_test(reads_no_more_than_it_must),
		cmocka_unit_test(holds_the_greatest_numbers),
		cmocka_unit_test(refuses_damaged_rows),
		cmocka_unit_test(survives_flipped_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
