#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/utf8.h"

static char folder[] = "/tmp/hearth-log-test-XXXXXX";
static char path[64];

static int set_up(void **state UNUSED)
{
	if (!folder[0] || !mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/log", folder);
	return 0;
}

static int tear_down(void **state UNUSED)
{
	struct err err;

	return log_open(&(struct log_config){ .level = LOG_INFO }, &err) && unlink(path) == 0 && rmdir(folder) == 0
		       ? 0
		       : -1;
}

static void open_log(enum log_level level, enum log_format format)
{
	struct err err;

	unlink(path);
	assert_true(log_open(&(struct log_config){ level, format, str_of(path) }, &err));
}

static struct str written(struct arena *arena)
{
	char *text = arena_alloc(arena, 1 << 20);
	FILE *file = fopen(path, "r");
	size_t len;

	assert_non_null(file);
	len = fread(text, 1, 1 << 20, file);
	fclose(file);
	return (struct str){ text, len };
}

static size_t count_lines(struct str text)
{
	struct str line;
	size_t count = 0;

	while (str_split(&text, '\n', &line))
		count += line.len > 0;
	return count;
}

static void assert_ends(struct str text, struct str end)
{
	if (!str_ends_with(text, end))
		fail_msg("got: %.*s\nexpected at its end: %.*s", STR_ARG(text), STR_ARG(end));
}

static void writes_json_lines(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();

	open_log(LOG_INFO, LOG_JSON);
	errno = EBUSY;
	log_info("hello %d", 1);
	assert_int_equal(errno, EBUSY);
	assert_ends(written(arena), STR("Z\",\"level\":\"info\",\"message\":\"hello 1\"}\n"));
	assert_true(str_starts_with(written(arena), STR("{\"time\":\"20")));
	log_context(STR("r1"), STR("@ana:example.org"), STR(""));
	log_context_room(STR("!room"));
	log_with(LOG_ERROR, LOG_FIELDS(LOG_STR("path", STR("/sync")), LOG_INT("status", -500)),
		 "a \"quoted\"\nline\x7f");
	log_context_clear();
	assert_ends(written(arena),
		    STR("\"level\":\"error\",\"message\":\"a \\\"quoted\\\"\\u000aline\\u007f\",\"request_id\":\"r1\","
			"\"user\":\"@ana:example.org\",\"room\":\"!room\",\"path\":\"/sync\",\"status\":-500}\n"));
	log_with(LOG_INFO, LOG_FIELDS(LOG_STR("v", STR("日\xff"))), "x");
	assert_ends(written(arena),
		    STR("\"message\":\"x\",\"v\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}\n"));
}

static void writes_lines_for_people(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();

	open_log(LOG_DEBUG, LOG_TEXT);
	log_with(LOG_DEBUG,
		 LOG_FIELDS(LOG_STR("a", STR("plain/text")), LOG_STR("b", STR("two words")), LOG_STR("c", STR("")),
			    LOG_INT("d", 7)),
		 "one\ntwo");
	assert_ends(written(arena), STR("Z DEBUG   one\\u000atwo a=plain/text b=\"two words\" c=\"\" d=7\n"));
	assert_int_equal(count_lines(written(arena)), 1);
}

static void leaves_out_what_is_below_the_level(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();

	open_log(LOG_WARNING, LOG_TEXT);
	log_info("no");
	log_debug("no");
	log_warning("yes");
	log_set_level(LOG_INFO);
	log_info("yes");
	assert_int_equal(count_lines(written(arena)), 2);
	assert_false(log_enabled(LOG_DEBUG));
}

static void a_long_line_keeps_its_form(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	char *text = arena_alloc(arena, 9001);
	struct str value = { text, 9000 }, line;

	for (size_t i = 0; i < 9000; i++)
		text[i] = "\xe6\x97\xa5"[i % 3];
	open_log(LOG_INFO, LOG_JSON);
	log_context(value, value, value);
	log_with(LOG_INFO, LOG_FIELDS(LOG_STR("a", value), LOG_STR("b", value), LOG_INT("c", 1)), "%s", text);
	log_context_clear();
	line = written(arena);
	assert_true(line.len <= LOG_MAX_LINE + 64);
	assert_true(utf8_valid(line));
	assert_ends(line, STR(",\"c\":1}\n"));
	memset(text, 1, 9000);
	open_log(LOG_INFO, LOG_JSON);
	log_with(LOG_INFO, LOG_FIELDS(LOG_STR("a", value), LOG_INT("c", 1)), "%s", text);
	line = written(arena);
	assert_true(line.len <= (size_t)2 * LOG_MAX_LINE);
	assert_ends(line, STR("}\n"));
}

/* The sum of what the lines say was suppressed before them. */
static int64_t count_suppressed(struct str text)
{
	static const struct str key = STR_INIT("\"suppressed\":");
	int64_t sum = 0, number;

	for (ptrdiff_t at; (at = str_find(text, key)) >= 0;) {
		size_t digits = 0;

		text = str_from(text, (size_t)at + key.len);
		while (text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
			digits++;
		assert_true(str_to_int64(str_sub(text, 0, digits), &number));
		sum += number;
	}
	return sum;
}

static void complain(int times)
{
	for (int i = 0; i < times; i++)
		log_error("the database is gone: %d", i);
}

static void a_flood_is_bounded_and_counted(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const struct timespec pause = { .tv_sec = 1, .tv_nsec = 10000000 };
	struct str line, text;
	size_t lines;

	open_log(LOG_INFO, LOG_JSON);
	complain(1000);
	lines = count_lines(written(arena));
	/* It may have taken several seconds; one of the few lines before may have shared the bound. */
	assert_in_range(lines, LOG_BURST - 3, 5 * LOG_BURST);
	nanosleep(&pause, NULL);
	complain(1);
	text = written(arena);
	assert_int_equal(count_lines(text), lines + 1);
	assert_int_equal(count_suppressed(text), 1000 - (int64_t)lines);
	for (int i = 0; i < 1000; i++)
		log_info("an ordinary line");
	assert_int_equal(count_lines(written(arena)), lines + 1001);
	while (str_split(&text, '\n', &line))
		assert_true(line.len == 0 || str_ends_with(line, STR("}")));
}

static void a_renamed_file_is_left_behind(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	char moved[80];
	struct err err;

	snprintf(moved, sizeof(moved), "%s.1", path);
	open_log(LOG_INFO, LOG_TEXT);
	log_info("old");
	assert_int_equal(rename(path, moved), 0);
	assert_true(log_reopen(&err));
	log_info("new");
	assert_ends(written(arena), STR("new\n"));
	assert_int_equal(count_lines(written(arena)), 1);
	assert_int_equal(unlink(moved), 0);
}

static void a_bad_file_is_an_error(void **state UNUSED)
{
	struct err err = { 0 };

	open_log(LOG_INFO, LOG_TEXT);
	assert_false(log_open(&(struct log_config){ .file = STR("/nowhere/log") }, &err));
	assert_string_equal(err.detail, "log file /nowhere/log: No such file or directory");
}

static void *write_much(void *unused UNUSED)
{
	log_context(STR("thread"), STR(""), STR(""));
	for (int i = 0; i < 500; i++) {
		log_with(LOG_INFO, LOG_FIELDS(LOG_INT("i", i)), "a line of many");
		log_warning("a warning of many");
	}
	return NULL;
}

static void threads_do_not_mix_their_lines(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	pthread_t threads[4];
	struct str text, line;

	open_log(LOG_INFO, LOG_JSON);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		threads[i] = thread_start("log", write_much, NULL);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		thread_join(threads[i]);
	text = written(arena);
	assert_true(count_lines(text) >= 2000);
	while (str_split(&text, '\n', &line))
		assert_true(line.len == 0 ||
			    (str_starts_with(line, STR("{\"time\":")) && str_ends_with(line, STR("}"))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_json_lines),
		cmocka_unit_test(writes_lines_for_people),
		cmocka_unit_test(leaves_out_what_is_below_the_level),
		cmocka_unit_test(a_long_line_keeps_its_form),
		cmocka_unit_test(a_flood_is_bounded_and_counted),
		cmocka_unit_test(a_renamed_file_is_left_behind),
		cmocka_unit_test(a_bad_file_is_an_error),
		cmocka_unit_test(threads_do_not_mix_their_lines),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
