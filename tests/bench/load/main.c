/* hearth-load: makes requests of a Matrix homeserver and says how fast they were answered. The driver is ../run. */
#include "modes.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const char USAGE[] = "usage: hearth-load MODE HOST:PORT [options] < requests\n"
			    "\n"
			    "  repeat     every connection repeats its share of the requests\n"
			    "  fan-out    the GET requests are syncs that listen for what the other one sends\n"
			    "  park       every request is a poll that stays parked, until SIGTERM\n"
			    "\n"
			    "  --connections N   default 1 (repeat)\n"
			    "  --seconds S       default 5\n"
			    "  --warm-up S       default 0 (repeat)\n"
			    "  --rate N          requests a second, default as fast as they are answered\n"
			    "  --count N         end after so many requests (repeat)\n"
			    "\n"
			    "Requests are lines of METHOD, TARGET, TOKEN (- for none) and BODY, separated by tabs; {n} "
			    "becomes a number of its own.\n";

void tally_add(struct tally *tally, const struct http_response *response, uint64_t us)
{
	if (response->status / 100 == 2) {
		samples_add(&tally->times, us);
		tally->bytes += response->body_len;
		return;
	}
	if (tally->errors++ == 0)
		fprintf(stderr, "hearth-load: %d %.*s\n", response->status,
			(int)(response->body_len < 500 ? response->body_len : 500), response->body);
}

void tally_print(struct tally *tally, double seconds, const char *more)
{
	struct samples *times = &tally->times;

	samples_sort(times);
	printf("{\"seconds\": %.3f, \"answers\": %zu, \"errors\": %" PRIu64 ", \"bytes\": %" PRIu64
	       ", \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f%s}\n",
	       seconds, times->count, tally->errors, tally->bytes, samples_ms(times, 0.5), samples_ms(times, 0.99),
	       samples_ms(times, 1), more);
}

static double number(const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= 0 && value <= 1e9)) {
		fprintf(stderr, "hearth-load: not a number: %s\n", text);
		exit(2);
	}
	return value;
}

static struct options read_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "connections", required_argument, NULL, 'c' },
		{ "seconds", required_argument, NULL, 's' },
		{ "warm-up", required_argument, NULL, 'w' },
		{ "rate", required_argument, NULL, 'r' },
		{ "count", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options options = { .connections = 1, .seconds = 5 };

	for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		switch (option) {
		case 'c':
			options.connections = (size_t)number(optarg);
			break;
		case 's':
			options.seconds = number(optarg);
			break;
		case 'w':
			options.warm_up = number(optarg);
			break;
		case 'r':
			options.rate = number(optarg);
			break;
		case 'n':
			options.count = (uint64_t)number(optarg);
			break;
		case 'h':
			fputs(USAGE, stdout);
			exit(0);
		default:
			fputs(USAGE, stderr);
			exit(2);
		}
	}
	return options;
}

/* Thousands of connections want as many descriptors. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct http_loop *loop, const struct request_list *requests, const struct options *options);
	} modes[] = { { "repeat", mode_repeat }, { "fan-out", mode_fan_out }, { "park", mode_park } };
	struct options options = read_options(argc, argv);
	struct request_list requests;
	struct http_loop *loop;
	size_t mode = 0;

	while (optind < argc && mode < sizeof(modes) / sizeof(*modes) && strcmp(argv[optind], modes[mode].name) != 0)
		mode++;
	if (optind + 2 != argc || mode == sizeof(modes) / sizeof(*modes) || options.connections == 0) {
		fputs(USAGE, stderr);
		return 2;
	}
	raise_descriptor_limit();
	requests = requests_read(stdin);
	loop = http_loop_new(argv[optind + 1]);
	modes[mode].run(loop, &requests, &options);
	http_loop_free(loop);
	requests_done(&requests);
	return 0;
}
