#include <setjmp.h>
#include <stdarg.h>

#include "media/media_internal.h"

#include <cmocka.h>

static void tells_how_to_show_and_what_to_call_a_file(void **state UNUSED)
{
	static const struct {
		struct str type, name, disposition;
	} cases[] = {
		{ STR_INIT("image/png"), STR_INIT(""), STR_INIT("inline") },
		{ STR_INIT("Text/Plain; charset=utf-8"), STR_INIT("a.txt"), STR_INIT("inline; filename=a.txt") },
		{ STR_INIT("text/html"), STR_INIT("a.html"), STR_INIT("attachment; filename=a.html") },
		{ STR_INIT("image/svg+xml"), STR_INIT("a b"), STR_INIT("attachment; filename*=utf-8''a%20b") },
		{ STR_INIT("image/png2"), STR_INIT("\"a\";%"), STR_INIT("attachment; filename*=utf-8''%22a%22%3B%25") },
		{ STR_INIT(""), STR_INIT("\r\nX: \xc3\xbc"),
		  STR_INIT("attachment; filename*=utf-8''%0D%0AX%3A%20%C3%BC") },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str given = media_disposition(cases[i].type, cases[i].name, arena);

		assert_int_equal(given.len, cases[i].disposition.len);
		assert_memory_equal(given.ptr, cases[i].disposition.ptr, given.len);
	}
}

static void takes_types_that_may_stand_in_a_header(void **state UNUSED)
{
	char long_type[300];

	memset(long_type, 'a', sizeof(long_type));
	assert_true(str_eq(media_type_of(STR(" video/mp4 ")), STR("video/mp4")));
	assert_true(str_eq(media_type_of(STR("nonsense")), STR("nonsense")));
	assert_true(str_eq(media_type_of(STR("")), STR("application/octet-stream")));
	assert_true(str_eq(media_type_of(STR("a/\xc3\xbc")), STR("application/octet-stream")));
	assert_true(str_eq(media_type_of(STR("a/b\r\nX: y")), STR("application/octet-stream")));
	assert_true(
		str_eq(media_type_of((struct str){ long_type, sizeof(long_type) }), STR("application/octet-stream")));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_how_to_show_and_what_to_call_a_file),
		cmocka_unit_test(takes_types_that_may_stand_in_a_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
