/* What Prometheus' client libraries agree on about a process (instrumentation guide, "Process metrics"). */
#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include "metrics/metrics.h"

static double cpu_seconds(void *context UNUSED, size_t cell UNUSED)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* proc(5): statm begins with the sizes of the program and of its resident part, in pages. */
static double memory_bytes(bool resident)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long long pages;
	char line[256], *rest;

	if (!file)
		return __builtin_nan("");
	rest = fgets(line, sizeof(line), file);
	fclose(file);
	if (!rest)
		return __builtin_nan("");
	pages = strtoull(rest, &rest, 10);
	if (resident)
		pages = strtoull(rest, &rest, 10);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double resident_bytes(void *context UNUSED, size_t cell UNUSED)
{
	return memory_bytes(true);
}

static double virtual_bytes(void *context UNUSED, size_t cell UNUSED)
{
	return memory_bytes(false);
}

static double count_entries(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	double count = 0;

	if (!folder)
		return __builtin_nan("");
	while ((entry = readdir(folder)))
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

static double open_fds(void *context UNUSED, size_t cell UNUSED)
{
	return count_entries("/proc/self/fd") - 1; /* the one that counts */
}

static double thread_count(void *context UNUSED, size_t cell UNUSED)
{
	return count_entries("/proc/self/task");
}

static double max_fds(void *context UNUSED, size_t cell UNUSED)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (double)limit.rlim_cur : __builtin_nan("");
}

void metrics_process(struct metrics *metrics)
{
	struct metric *start =
		metrics_gauge(metrics, "process_start_time_seconds", "When the process started, in Unix time.", NULL);

	metric_set(start, 0, clock_wall_ms() / 1000);
	metrics_sampled(metrics, METRIC_COUNTER, "process_cpu_seconds_total", "Processor time used, user and system.",
			NULL, cpu_seconds, NULL);
	metrics_sampled(metrics, METRIC_GAUGE, "process_resident_memory_bytes", "Memory in use.", NULL, resident_bytes,
			NULL);
	metrics_sampled(metrics, METRIC_GAUGE, "process_virtual_memory_bytes", "Address space in use.", NULL,
			virtual_bytes, NULL);
	metrics_sampled(metrics, METRIC_GAUGE, "process_open_fds", "Open file descriptors.", NULL, open_fds, NULL);
	metrics_sampled(metrics, METRIC_GAUGE, "process_max_fds", "File descriptors that may be open.", NULL, max_fds,
			NULL);
	metrics_sampled(metrics, METRIC_GAUGE, "process_threads", "Threads.", NULL, thread_count, NULL);
}
