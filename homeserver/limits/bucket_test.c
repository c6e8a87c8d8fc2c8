#include "limits/bucket.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void holds_a_burst_and_leaks(void **state UNUSED)
{
	struct config_rate rate = { .per_second = 2, .burst_count = 3 };
	int64_t empty = 0, wait = 0, now = 1000000;

	for (int i = 0; i < 3; i++)
		assert_true(bucket_take(rate, empty, now, &empty, &wait));
	assert_false(bucket_take(rate, empty, now, &empty, &wait));
	assert_in_range(wait, 499999, 500002);
	assert_true(bucket_take(rate, empty, now + wait, &empty, &wait));
	assert_false(bucket_take(rate, empty, now + 500001, &empty, &wait));
	for (int i = 0; i < 3; i++)
		assert_true(bucket_take(rate, empty, now + 60000000, &empty, &wait));
}

static void a_rate_of_nothing_lets_the_burst_through(void **state UNUSED)
{
	struct config_rate rate = { .per_second = 0, .burst_count = 1 };
	int64_t empty = 0, wait = 0;

	assert_true(bucket_take(rate, empty, 5, &empty, &wait));
	assert_false(bucket_take(rate, empty, 1000000000000, &empty, &wait));
	assert_true(wait > 0);
}

static void processes_share_a_rate(void **state UNUSED)
{
	struct config_rate share = bucket_share((struct config_rate){ .per_second = 3, .burst_count = 12 }, 3);

	assert_true(share.per_second == 1 && share.burst_count == 4);
	assert_true(bucket_share((struct config_rate){ .per_second = 1, .burst_count = 2 }, 4).burst_count == 1);
	assert_true(bucket_share((struct config_rate){ .per_second = 1, .burst_count = 2 }, 0).burst_count == 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_a_burst_and_leaks),
		cmocka_unit_test(a_rate_of_nothing_lets_the_burst_through),
		cmocka_unit_test(processes_share_a_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
