#include "metrics/metrics.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const methods[] = { "GET", "PUT" };
static const char *const paths[] = { "/a\"b\\c\nd", "/x", "/y" };
static const struct metric_label labels[] = {
	{ "method", methods, ARRAY_LEN(methods) },
	{ "path", paths, ARRAY_LEN(paths) },
	{ 0 },
};

static struct str page(struct arena *arena, struct metrics *metrics)
{
	CLEANUP(buf_done) struct buf buf = buf_init(1 << 20);

	metrics_write(metrics, &buf);
	assert_true(buf_ok(&buf));
	return str_dup(arena, buf_str(&buf));
}

static void assert_page(struct metrics *metrics, struct str expected)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str got = page(arena, metrics);

	if (!str_eq(got, expected))
		fail_msg("got:\n%.*s\nexpected:\n%.*s", STR_ARG(got), STR_ARG(expected));
}

static void counters_count_by_label(void **state UNUSED)
{
	CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
	struct metric *plain = metrics_counter(metrics, "hearth_x_total", "Plain: a \\ and\na line.", NULL);
	struct metric *labelled = metrics_counter(metrics, "hearth_y_total", "Labelled.", labels);

	metric_add(labelled, metric_cell(labelled, 0, 0, 0), 1);
	metric_add(labelled, metric_cell(labelled, 1, 2, 0), INT64_C(5000000000));
	metric_add(plain, 0, 0);
	assert_page(metrics, STR("# HELP hearth_x_total Plain: a \\\\ and\\na line.\n"
				 "# TYPE hearth_x_total counter\n"
				 "hearth_x_total 0\n"
				 "# HELP hearth_y_total Labelled.\n"
				 "# TYPE hearth_y_total counter\n"
				 "hearth_y_total{method=\"GET\",path=\"/a\\\"b\\\\c\\nd\"} 1\n"
				 "hearth_y_total{method=\"PUT\",path=\"/y\"} 5000000000\n"));
}

static double sample_half(void *context, size_t cell)
{
	return *(double *)context + (double)cell;
}

static void gauges_show_the_moment(void **state UNUSED)
{
	CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
	struct metric *gauge = metrics_gauge(metrics, "hearth_g", "G.", NULL);
	static const char *const pools[] = { "client", "background" };
	double half = 0.5;

	metrics_sampled(metrics, METRIC_GAUGE, "hearth_s", "S.", (struct metric_label[]){ { "pool", pools, 2 }, { 0 } },
			sample_half, &half);
	metric_set(gauge, 0, 7);
	metric_add(gauge, 0, -9);
	assert_page(metrics, STR("# HELP hearth_g G.\n# TYPE hearth_g gauge\nhearth_g -2\n"
				 "# HELP hearth_s S.\n# TYPE hearth_s gauge\nhearth_s{pool=\"client\"} "
				 "0.5\nhearth_s{pool=\"background\"} 1.5\n"));
}

static void histograms_are_cumulative(void **state UNUSED)
{
	static const int64_t bounds[] = { 1000, 250000, 1000000 };
	CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
	struct metric *histogram =
		metrics_histogram(metrics, "hearth_h", "H.", NULL, &(struct metric_buckets){ bounds, 3, 6 });
	struct metric *silent = metrics_histogram(metrics, "hearth_q", "Q.", labels, &METRIC_LATENCY);

	metric_observe(histogram, 0, 1000);
	metric_observe(histogram, 0, 1001);
	metric_observe(histogram, 0, 2000000);
	assert_non_null(silent);
	assert_page(metrics, STR("# HELP hearth_h H.\n# TYPE hearth_h histogram\n"
				 "hearth_h_bucket{le=\"0.001\"} 1\n"
				 "hearth_h_bucket{le=\"0.25\"} 2\n"
				 "hearth_h_bucket{le=\"1\"} 2\n"
				 "hearth_h_bucket{le=\"+Inf\"} 3\n"
				 "hearth_h_sum 2.002001\n"
				 "hearth_h_count 3\n"
				 "# HELP hearth_q Q.\n# TYPE hearth_q histogram\n"));
	metric_observe(silent, metric_cell(silent, 0, 1, 0), 3);
	{
		CLEANUP(arena_free) struct arena *arena = arena_new();

		assert_true(str_find(page(arena, metrics),
				     STR("hearth_q_bucket{method=\"GET\",path=\"/x\",le=\"0.001\"} 1\n")) > 0);
	}
}

/* Takes an identifier off the front. */
static bool skip_name(struct str *s)
{
	size_t len = 0;

	while (len < s->len &&
	       (s->ptr[len] == '_' || (s->ptr[len] >= 'a' && s->ptr[len] <= 'z') ||
		(s->ptr[len] >= 'A' && s->ptr[len] <= 'Z') || (len && s->ptr[len] >= '0' && s->ptr[len] <= '9')))
		len++;
	*s = str_from(*s, len);
	return len > 0;
}

static bool skip_char(struct str *s, char c)
{
	bool there = s->len && s->ptr[0] == c;

	*s = str_from(*s, there);
	return there;
}

static bool skip_quoted(struct str *s)
{
	if (!skip_char(s, '"'))
		return false;
	while (s->len && s->ptr[0] != '"') {
		if (s->ptr[0] == '\\' && (s->len < 2 || (s->ptr[1] != '\\' && s->ptr[1] != '"' && s->ptr[1] != 'n')))
			return false;
		*s = str_from(*s, s->ptr[0] == '\\' ? 2 : 1);
	}
	return skip_char(s, '"');
}

static bool is_number(struct str s)
{
	char text[64], *end;

	if (s.len == 0 || s.len >= sizeof(text) || s.ptr[0] == ' ')
		return false;
	snprintf(text, sizeof(text), "%.*s", STR_ARG(s));
	strtod(text, &end);
	return *end == 0;
}

/* name{label="value",…} number */
static bool is_sample(struct str line)
{
	if (!skip_name(&line))
		return false;
	if (skip_char(&line, '{')) {
		do {
			if (!skip_name(&line) || !skip_char(&line, '=') || !skip_quoted(&line))
				return false;
		} while (skip_char(&line, ','));
		if (!skip_char(&line, '}'))
			return false;
	}
	return skip_char(&line, ' ') && is_number(line);
}

/* Each line is of the format's grammar; samples follow the TYPE of their family; no series comes twice. */
static void assert_well_formed(struct str text)
{
	struct str line, family = { 0 };
	struct map series = { 0 };

	assert_true(str_ends_with(text, STR("\n")));
	text.len--;
	while (str_split(&text, '\n', &line)) {
		struct str name = str_sub(line, 0, (size_t)MAX(str_find_char(line, ' '), 0)), rest = str_from(line, 7);

		if (str_starts_with(line, STR("# TYPE "))) {
			family = str_sub(rest, 0, (size_t)str_find_char(rest, ' '));
		} else if (!str_starts_with(line, STR("# HELP "))) {
			if (!is_sample(line) || !str_starts_with(line, family) || map_get(&series, name))
				fail_msg("not well formed: %.*s", STR_ARG(line));
			map_put(&series, name, (void *)line.ptr);
		}
	}
	map_done(&series);
}

static void the_page_is_well_formed(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
	struct metric *counter = metrics_counter(metrics, "hearth_c_total", "C.", labels);
	struct metric *histogram = metrics_histogram(metrics, "hearth_h_seconds", "H.", labels, &METRIC_LATENCY);
	struct str text;

	metrics_process(metrics);
	for (size_t i = 0; i < 6; i++) {
		metric_add(counter, i, 1);
		metric_observe(histogram, i, (int64_t)i * 100000);
	}
	text = page(arena, metrics);
	assert_well_formed(text);
	assert_true(str_find(text, STR("\nprocess_resident_memory_bytes ")) > 0);
	assert_int_equal(str_find(text, STR("NaN")), -1);
}

static void *count_much(void *metric)
{
	for (int i = 0; i < 10000; i++)
		metric_add(metric, 0, 1);
	return NULL;
}

static void threads_count_together(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
	struct metric *counter = metrics_counter(metrics, "hearth_c_total", "C.", NULL);
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		threads[i] = thread_start("count", count_much, counter);
	page(arena, metrics);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		thread_join(threads[i]);
	assert_true(str_ends_with(page(arena, metrics), STR("hearth_c_total 40000\n")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_count_by_label),   cmocka_unit_test(gauges_show_the_moment),
		cmocka_unit_test(histograms_are_cumulative), cmocka_unit_test(the_page_is_well_formed),
		cmocka_unit_test(threads_count_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
