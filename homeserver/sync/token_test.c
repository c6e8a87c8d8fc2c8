#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "sync/sync.h"

static void reads_what_it_writes(void **state UNUSED)
{
	static const struct {
		struct sync_token token;
		struct str text;
	} cases[] = {
		{ { .pos = 0 }, STR_INIT("s0_0") },
		{ { .pos = 7, .ephemeral = 3 }, STR_INIT("s7_3") },
		{ { .pos = 7, .ephemeral = 3, .device = 2048, .to_device = 9 }, STR_INIT("s7_3_2048_9") },
		{ { .pos = INT64_MAX, .ephemeral = 1 }, STR_INIT("s9223372036854775807_1") },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct sync_token token;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(str_eq(sync_token_text(cases[i].token, arena), cases[i].text));
		assert_true(sync_token_parse(cases[i].text, &token));
		assert_memory_equal(&token, &cases[i].token, sizeof(token));
	}
	/* A device that was handed out nothing need not be named. */
	assert_true(str_eq(sync_token_text((struct sync_token){ .pos = 1, .device = 5 }, arena), STR("s1_0")));
}

static void refuses_what_is_no_token(void **state UNUSED)
{
	static const struct str texts[] = {
		STR_INIT(""),          STR_INIT("s"),          STR_INIT("s1"),
		STR_INIT("s1_"),       STR_INIT("s_1"),        STR_INIT("t1_2"),
		STR_INIT("s1_2x"),     STR_INIT("s-1_2"),      STR_INIT("s1_-2"),
		STR_INIT("s1_2_"),     STR_INIT("s1 _2"),      STR_INIT("s1_2_3_"),
		STR_INIT("s1_2_-3_4"), STR_INIT("s1_2_3_4_5"), STR_INIT("s99999999999999999999_1"),
	};
	struct sync_token token;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_false(sync_token_parse(texts[i], &token));
}

static void reads_places_in_a_timeline(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct event_order order = { 12, -3 };

	assert_true(str_eq(order_token_text(order, arena), STR("t12_-3")));
	order = (struct event_order){ 0 };
	assert_true(order_token_parse(STR("t12_-3"), &order));
	assert_int_equal(order.seq, 12);
	assert_int_equal(order.sub, -3);
	assert_false(order_token_parse(STR("t12_-3_4"), &order));
	assert_false(order_token_parse(STR("t12"), &order));
	assert_false(order_token_parse(STR("t-1_0"), &order));
	assert_false(order_token_parse(STR("t1_9999999999"), &order));
	assert_false(order_token_parse(STR("s1_2"), &order));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_it_writes),
		cmocka_unit_test(refuses_what_is_no_token),
		cmocka_unit_test(reads_places_in_a_timeline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
