#include "metrics/metrics.h"

#include <stdatomic.h>

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

struct metric {
	struct metric *next;
	enum kind kind;
	const char *name, *help;
	struct metric_label labels[METRICS_MAX_LABELS];
	size_t label_count, cells;
	struct metric_buckets buckets;
	double (*sample)(void *context, size_t cell);
	void *context;
	/* Of counters and gauges one a cell; of histograms the buckets, the last one, and the sum of what was observed.
	 */
	_Atomic int64_t *values;
	size_t stride;
};

struct metrics {
	struct metric *first, **end;
};

static const int64_t latency_bounds[] = { 1000,   2500,   5000,    10000,   25000,   50000,   100000,
					  250000, 500000, 1000000, 2500000, 5000000, 10000000 };
const struct metric_buckets METRIC_LATENCY = { latency_bounds, ARRAY_LEN(latency_bounds), 6 };

struct metrics *metrics_new(void)
{
	struct metrics *metrics = X_NEW(struct metrics);

	metrics->end = &metrics->first;
	return metrics;
}

void metrics_free(struct metrics *metrics)
{
	struct metric *next;

	for (struct metric *metric = metrics->first; metric; metric = next) {
		next = metric->next;
		free((void *)metric->values);
		free(metric);
	}
	free(metrics);
}

/* A letter or underscore, then digits too. */
static bool is_name(const char *name)
{
	for (const char *c = name; *c; c++) {
		bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';

		if (!letter && (c == name || *c < '0' || *c > '9'))
			return false;
	}
	return *name != 0;
}

static void set_labels(struct metric *metric, const struct metric_label *labels)
{
	metric->cells = 1;
	for (; labels && labels->name; labels++) {
		assert(metric->label_count < METRICS_MAX_LABELS && is_name(labels->name) && labels->count);
		metric->labels[metric->label_count++] = *labels;
		metric->cells *= labels->count;
	}
}

static struct metric *add(struct metrics *metrics, enum kind kind, const char *name, const char *help,
			  const struct metric_label *labels, size_t stride)
{
	struct metric *metric = X_NEW(struct metric);

	assert(is_name(name) && (kind != KIND_COUNTER || str_ends_with(str_of(name), STR("_total"))));
	for (const struct metric *other = metrics->first; other; other = other->next)
		assert(strcmp(other->name, name) != 0);
	*metric = (struct metric){ .kind = kind, .name = name, .help = help, .stride = stride };
	set_labels(metric, labels);
	if (stride)
		metric->values = x_calloc(metric->cells * stride, sizeof(*metric->values));
	*metrics->end = metric;
	metrics->end = &metric->next;
	return metric;
}

struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *help,
			       const struct metric_label *labels)
{
	return add(metrics, KIND_COUNTER, name, help, labels, 1);
}

struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *help,
			     const struct metric_label *labels)
{
	return add(metrics, KIND_GAUGE, name, help, labels, 1);
}

struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *help,
				 const struct metric_label *labels, const struct metric_buckets *buckets)
{
	struct metric *metric = add(metrics, KIND_HISTOGRAM, name, help, labels, buckets->count + 2);

	metric->buckets = *buckets;
	for (size_t i = 1; i < buckets->count; i++)
		assert(buckets->bounds[i] > buckets->bounds[i - 1]);
	return metric;
}

void metrics_sampled(struct metrics *metrics, enum metric_kind kind, const char *name, const char *help,
		     const struct metric_label *labels, double (*sample)(void *context, size_t cell), void *context)
{
	struct metric *metric = add(metrics, kind == METRIC_COUNTER ? KIND_COUNTER : KIND_GAUGE, name, help, labels, 0);

	metric->sample = sample;
	metric->context = context;
}

size_t metric_cell(const struct metric *metric, size_t first, size_t second, size_t third)
{
	const size_t indices[METRICS_MAX_LABELS] = { first, second, third };
	size_t cell = 0;

	for (size_t i = 0; i < METRICS_MAX_LABELS; i++) {
		assert(i < metric->label_count ? indices[i] < metric->labels[i].count : indices[i] == 0);
		if (i < metric->label_count)
			cell = cell * metric->labels[i].count + indices[i];
	}
	return cell;
}

static _Atomic int64_t *value_at(const struct metric *metric, size_t cell, size_t index)
{
	assert(cell < metric->cells && index < metric->stride);
	return &metric->values[cell * metric->stride + index];
}

static int64_t load(const struct metric *metric, size_t cell, size_t index)
{
	return atomic_load_explicit(value_at(metric, cell, index), memory_order_relaxed);
}

void metric_add(struct metric *metric, size_t cell, int64_t amount)
{
	assert(metric->kind == KIND_GAUGE || (metric->kind == KIND_COUNTER && amount >= 0));
	atomic_fetch_add_explicit(value_at(metric, cell, 0), amount, memory_order_relaxed);
}

void metric_set(struct metric *metric, size_t cell, int64_t value)
{
	assert(metric->kind == KIND_GAUGE);
	atomic_store_explicit(value_at(metric, cell, 0), value, memory_order_relaxed);
}

void metric_observe(struct metric *metric, size_t cell, int64_t value)
{
	size_t bucket = 0;

	assert(metric->kind == KIND_HISTOGRAM);
	while (bucket < metric->buckets.count && value > metric->buckets.bounds[bucket])
		bucket++;
	atomic_fetch_add_explicit(value_at(metric, cell, bucket), 1, memory_order_relaxed);
	atomic_fetch_add_explicit(value_at(metric, cell, metric->stride - 1), value, memory_order_relaxed);
}

/* The page */

static void write_escaped(struct buf *buf, const char *text, bool quotes)
{
	for (; *text; text++) {
		if (*text == '\n')
			BUF_LIT(buf, "\\n");
		else if (*text == '\\' || (quotes && *text == '"'))
			buf_printf(buf, "\\%c", *text);
		else
			buf_char(buf, *text);
	}
}

/* An integer with its point moved, exactly and without zeros at the end. */
static void write_decimal(struct buf *buf, int64_t value, unsigned decimals)
{
	uint64_t unit = 1, rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
	char digits[24];
	int len;

	for (unsigned i = 0; i < decimals; i++)
		unit *= 10;
	if (value < 0)
		buf_char(buf, '-');
	buf_printf(buf, "%" PRIu64, rest / unit);
	if (rest % unit == 0)
		return;
	len = snprintf(digits, sizeof(digits), "%0*" PRIu64, (int)decimals, rest % unit);
	while (digits[len - 1] == '0')
		len--;
	buf_printf(buf, ".%.*s", len, digits);
}

static void write_double(struct buf *buf, double value)
{
	if (__builtin_isnan(value))
		BUF_LIT(buf, "NaN");
	else if (__builtin_isinf(value))
		buf_append(buf, value < 0 ? STR("-Inf") : STR("+Inf"));
	else
		buf_printf(buf, "%.15g", value);
}

/* NAME{label="value",…,le="bound"}; the bound NULL where there is none. */
static void write_series(struct buf *buf, const struct metric *metric, const char *suffix, size_t cell,
			 const char *bound)
{
	size_t divisor = metric->cells;

	buf_printf(buf, "%s%s", metric->name, suffix);
	for (size_t i = 0; i < metric->label_count; i++) {
		const struct metric_label *label = &metric->labels[i];

		divisor /= label->count;
		buf_printf(buf, "%c%s=\"", i ? ',' : '{', label->name);
		write_escaped(buf, label->values[cell / divisor % label->count], true);
		buf_char(buf, '"');
	}
	if (bound)
		buf_printf(buf, "%cle=\"%s\"", metric->label_count ? ',' : '{', bound);
	if (bound || metric->label_count)
		buf_char(buf, '}');
	buf_char(buf, ' ');
}

static void write_histogram(struct buf *buf, const struct metric *metric, size_t cell)
{
	size_t buckets = metric->buckets.count + 1;
	struct buf bound = buf_init(64);
	int64_t count = 0, sum = load(metric, cell, metric->stride - 1);

	for (size_t i = 0; i < buckets; i++)
		count += load(metric, cell, i);
	if (count == 0 && metric->label_count)
		return;
	count = 0;
	for (size_t i = 0; i < buckets; i++) {
		buf_clear(&bound);
		if (i + 1 < buckets)
			write_decimal(&bound, metric->buckets.bounds[i], metric->buckets.decimals);
		else
			BUF_LIT(&bound, "+Inf");
		buf_char(&bound, 0);
		count += load(metric, cell, i);
		write_series(buf, metric, "_bucket", cell, bound.ptr);
		buf_printf(buf, "%" PRId64 "\n", count);
	}
	write_series(buf, metric, "_sum", cell, NULL);
	write_decimal(buf, sum, metric->buckets.decimals);
	buf_char(buf, '\n');
	write_series(buf, metric, "_count", cell, NULL);
	buf_printf(buf, "%" PRId64 "\n", count); /* what the last bucket said, though more may have come in since */
	buf_done(&bound);
}

static void write_cell(struct buf *buf, const struct metric *metric, size_t cell)
{
	int64_t value;

	if (metric->sample) {
		write_series(buf, metric, "", cell, NULL);
		write_double(buf, metric->sample(metric->context, cell));
	} else {
		value = load(metric, cell, 0);
		if (value == 0 && metric->label_count && metric->kind == KIND_COUNTER)
			return;
		write_series(buf, metric, "", cell, NULL);
		buf_int(buf, value);
	}
	buf_char(buf, '\n');
}

void metrics_write(struct metrics *metrics, struct buf *buf)
{
	static const char *const types[] = {
		[KIND_COUNTER] = "counter", [KIND_GAUGE] = "gauge", [KIND_HISTOGRAM] = "histogram"
	};

	for (const struct metric *metric = metrics->first; metric; metric = metric->next) {
		buf_printf(buf, "# HELP %s ", metric->name);
		write_escaped(buf, metric->help, false);
		buf_printf(buf, "\n# TYPE %s %s\n", metric->name, types[metric->kind]);
		for (size_t cell = 0; cell < metric->cells; cell++) {
			if (metric->kind == KIND_HISTOGRAM)
				write_histogram(buf, metric, cell);
			else
				write_cell(buf, metric, cell);
		}
	}
}
