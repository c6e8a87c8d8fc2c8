/*
 * Metrics in Prometheus' text format. A metric is a family of numbers (cells), one for each combination of its labels'
 * values, all named when it is registered: counting is an addition to an array element, without locks or look-ups, from
 * any thread.
 *
 * Register before there are other threads; names, help and label values are not copied. Numbers are integers of a small
 * unit (microseconds, bytes); `decimals` moves the point where they are shown: 6 makes seconds of microseconds.
 */
#pragma once

#include "base/base.h"

#define METRICS_MAX_LABELS 3

struct metrics;
struct metric;

struct metric_label {
	const char *name;
	const char *const *values;
	size_t count;
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

struct metrics *metrics_new(void) RETURNS_NONNULL;
void metrics_free(struct metrics *metrics);
DEFINE_CLEANUP(struct metrics *, metrics_free)

/*
 * `labels` ends with an all-zero row; NULL: one cell. Counters only grow and their names end in _total. Cells of
 * labelled counters and histograms are shown once they have counted something.
 */
struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *help,
			       const struct metric_label *labels) RETURNS_NONNULL;
struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *help,
			     const struct metric_label *labels) RETURNS_NONNULL;

/* Buckets end at `bounds`, which rise; the last one, without end, goes without saying. */
struct metric_buckets {
	const int64_t *bounds;
	size_t count;
	unsigned decimals;
};
/* Latencies in microseconds, shown in seconds: 1 ms to 10 s. */
extern const struct metric_buckets METRIC_LATENCY;
struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *help,
				 const struct metric_label *labels,
				 const struct metric_buckets *buckets) RETURNS_NONNULL;

/* A metric that is asked for when somebody looks. `sample` is called for each cell by the thread that writes the page.
 */
void metrics_sampled(struct metrics *metrics, enum metric_kind kind, const char *name, const char *help,
		     const struct metric_label *labels, double (*sample)(void *context, size_t cell), void *context);

/* process_*: processor time, memory, descriptors, threads, start. */
void metrics_process(struct metrics *metrics);

/* The cell of a label's values by their places in the lists, in the order of the labels; 0 for labels that there are
 * not. */
size_t metric_cell(const struct metric *metric, size_t first, size_t second, size_t third);

void metric_add(struct metric *metric, size_t cell, int64_t amount);    /* counters: amount ≥ 0 */
void metric_set(struct metric *metric, size_t cell, int64_t value);     /* gauges */
void metric_observe(struct metric *metric, size_t cell, int64_t value); /* histograms */

/* All of it, for a reply of this type. */
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
void metrics_write(struct metrics *metrics, struct buf *buf);
