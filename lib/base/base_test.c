#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/cache.h"
#include "base/utf8.h"

static void reads_whole_decimal_numbers_only(void **state UNUSED)
{
	static const struct {
		struct str text;
		bool ok;
		int64_t value;
	} cases[] = {
		{ STR_INIT("0"), true, 0 },
		{ STR_INIT("-7"), true, -7 },
		{ STR_INIT("9223372036854775807"), true, INT64_MAX },
		{ STR_INIT("-9223372036854775808"), true, INT64_MIN },
		{ STR_INIT("9223372036854775808"), false, 0 },
		{ STR_INIT(""), false, 0 },
		{ STR_INIT("-"), false, 0 },
		{ STR_INIT("+1"), false, 0 },
		{ STR_INIT("1 "), false, 0 },
		{ STR_INIT("1.0"), false, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t value = 0;

		assert_int_equal(str_to_int64(cases[i].text, &value), cases[i].ok);
		assert_int_equal(value, cases[i].value);
	}
}

static void splits_into_parts(void **state UNUSED)
{
	struct str rest = STR("a,,b,"), part;
	char joined[16] = { 0 };
	size_t len = 0;

	while (str_split(&rest, ',', &part)) {
		if (part.len)
			memcpy(joined + len, part.ptr, part.len);
		len += part.len;
		joined[len++] = '|';
	}
	assert_string_equal(joined, "a||b||");
}

static void finds_and_cuts(void **state UNUSED)
{
	struct str s = STR("@ana:example.org");

	assert_int_equal(str_find_char(s, ':'), 4);
	assert_int_equal(str_find(s, STR("example")), 5);
	assert_int_equal(str_find(s, STR("nobody")), -1);
	assert_true(str_eq(str_from(s, 5), STR("example.org")));
	assert_true(str_eq(str_from(s, 500), STR("")));
	assert_true(str_eq(str_trim(STR(" \t a b\n")), STR("a b")));
	assert_true(str_cmp(STR("a"), STR("ab")) < 0 && str_cmp(STR("b"), STR("ab")) > 0);
	assert_true(str_eq_ascii_nocase(STR("Bearer"), STR("bEARER")));
}

static void knows_valid_utf8(void **state UNUSED)
{
	static const struct {
		struct str text;
		bool valid;
	} cases[] = {
		{ STR_INIT(""), true },
		{ STR_INIT("plain ascii text"), true },
		{ STR_INIT("日本語 \xf0\x9f\x94\xa5"), true },
		{ STR_INIT("\xc0\xaf"), false },         /* overlong */
		{ STR_INIT("\xed\xa0\x80"), false },     /* surrogate */
		{ STR_INIT("\xf4\x90\x80\x80"), false }, /* above U+10FFFF */
		{ STR_INIT("abcdefgh\xe6\x97"), false }, /* cut off */
		{ STR_INIT("\x80"), false },
	};
	struct str fire = STR("\xf0\x9f\x94\xa5");
	uint32_t c = 0;
	char out[4];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(utf8_valid(cases[i].text), cases[i].valid);
	assert_int_equal(utf8_length(STR("日本")), 2);
	assert_true(utf8_next(&fire, &c) && c == 0x1f525 && fire.len == 0);
	assert_int_equal(utf8_encode(c, out), 4);
	assert_memory_equal(out, "\xf0\x9f\x94\xa5", 4);
}

static void a_buffer_stops_at_its_maximum(void **state UNUSED)
{
	CLEANUP(buf_done) struct buf buf = buf_init(10);

	buf_int(&buf, INT64_C(-123));
	buf_printf(&buf, "%s", "456");
	assert_true(buf_ok(&buf) && str_eq(buf_str(&buf), STR("-123456")));
	BUF_LIT(&buf, "too much");
	assert_false(buf_ok(&buf));
	buf_clear(&buf);
	buf_int(&buf, 0);
	assert_true(str_eq(buf_str(&buf), STR("0")));
}

static void maps_keep_what_was_put(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct map map = { 0 };
	struct idmap ids = { 0 };
	size_t seen = 0, at = 0;

	for (int64_t i = 1; i <= 1000; i++) {
		struct str key = str_printf(arena, "key %" PRId64, i);

		map_put(&map, key, (void *)(uintptr_t)i);
		idmap_put(&ids, i * 1024, (void *)(uintptr_t)i);
	}
	for (int64_t i = 1; i <= 1000; i += 2) {
		assert_ptr_equal(map_remove(&map, str_printf(arena, "key %" PRId64, i)), (void *)(uintptr_t)i);
		assert_ptr_equal(idmap_remove(&ids, i * 1024), (void *)(uintptr_t)i);
	}
	for (int64_t i = 1; i <= 1000; i++) {
		void *expected = i % 2 ? NULL : (void *)(uintptr_t)i;

		assert_ptr_equal(map_get(&map, str_printf(arena, "key %" PRId64, i)), expected);
		assert_ptr_equal(idmap_get(&ids, i * 1024), expected);
	}
	while (map_next(&map, &at))
		seen++;
	assert_int_equal(seen, 500);
	map_done(&map);
	idmap_done(&ids);
}

static void a_cache_is_bounded(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct cache *cache = cache_new(64 * 1024);
	char bytes[200] = "value";
	struct str got;

	for (int64_t i = 0; i < 10000; i++)
		cache_put(cache, i, (struct str){ bytes, sizeof(bytes) });
	assert_true(cache_stats(cache).bytes <= 64 * 1024);
	assert_true(cache_stats(cache).entries > 100);
	assert_true(cache_get(cache, 9999, arena, &got) && got.len == sizeof(bytes));
	cache_remove(cache, 9999);
	assert_false(cache_get(cache, 9999, arena, &got));
	cache_free(cache);
}

static void errors_carry_words_for_both_sides(void **state UNUSED)
{
	struct err err = { 0 };

	assert_false(err_set(&err, M_FORBIDDEN, "You are not in %s", "this room"));
	assert_int_equal(err.status, 403);
	err_detail(&err, "bottom");
	err_detail(&err, "top");
	err_extra(&err, "\"a\":1");
	err_extra(&err, "\"b\":2");
	assert_string_equal(err.message, "You are not in this room");
	assert_string_equal(err.detail, "top: bottom");
	assert_string_equal(err.extra, "\"a\":1,\"b\":2");
	assert_string_equal(errcode_name(err.code), "M_FORBIDDEN");
}

static void count_up(void *counter)
{
	++*(int *)counter;
}

static void an_arena_runs_what_was_deferred(void **state UNUSED)
{
	struct arena *arena = arena_new();
	size_t count = 0, cap = 0;
	int *items = NULL, calls = 0;

	arena_defer(arena, count_up, &calls);
	for (int i = 0; i < 100; i++)
		*ARENA_PUSH(arena, items, count, cap) = i;
	assert_int_equal(items[99], 99);
	arena_reset(arena);
	assert_int_equal(calls, 1);
	arena_defer(arena, count_up, &calls);
	arena_free(arena);
	assert_int_equal(calls, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_whole_decimal_numbers_only), cmocka_unit_test(splits_into_parts),
		cmocka_unit_test(finds_and_cuts),                   cmocka_unit_test(knows_valid_utf8),
		cmocka_unit_test(a_buffer_stops_at_its_maximum),    cmocka_unit_test(maps_keep_what_was_put),
		cmocka_unit_test(a_cache_is_bounded),               cmocka_unit_test(errors_carry_words_for_both_sides),
		cmocka_unit_test(an_arena_runs_what_was_deferred),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
