#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "matrix/slice.h"
#include "userdata/userdata.h"

static void sets_and_takes_away(void **state UNUSED)
{
	static const struct {
		struct str before, tag, value, after;
	} cases[] = {
		{ STR_INIT(""), STR_INIT("u.work"), STR_INIT("{}"), STR_INIT("{\"tags\":{\"u.work\":{}}}") },
		{ STR_INIT("{\"tags\":{\"u.work\":{}}}"), STR_INIT("m.favourite"), STR_INIT("{\"order\":0.10}"),
		  STR_INIT("{\"tags\":{\"u.work\":{},\"m.favourite\":{\"order\":0.10}}}") },
		{ STR_INIT("{\"tags\":{\"u.work\":{\"order\":1}}}"), STR_INIT("u.work"), STR_INIT("{}"),
		  STR_INIT("{\"tags\":{\"u.work\":{}}}") },
		{ STR_INIT("{\"tags\":{\"a\":{},\"b\":{}}}"), STR_INIT("a"), STR_INIT(""),
		  STR_INIT("{\"tags\":{\"b\":{}}}") },
		{ STR_INIT("{\"tags\":{\"a\":{}}}"), STR_INIT("b"), STR_INIT(""), STR_INIT("{\"tags\":{\"a\":{}}}") },
		{ STR_INIT("{\"tags\":{\"\\u0061\":{}}}"), STR_INIT("a"), STR_INIT(""), STR_INIT("{\"tags\":{}}") },
		{ STR_INIT("{\"tags\":{}}"), STR_INIT("\"\n"), STR_INIT("{}"),
		  STR_INIT("{\"tags\":{\"\\\"\\n\":{}}}") },
		{ STR_INIT("{\"tags\":5}"), STR_INIT("a"), STR_INIT("{}"), STR_INIT("{\"tags\":{\"a\":{}}}") },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_true(str_eq(tags_with(cases[i].before, cases[i].tag, cases[i].value, arena), cases[i].after));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_and_takes_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
