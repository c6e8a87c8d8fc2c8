/* serve: from the start to the end of a server process. */
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "accounts/accounts.h"
#include "cli.h"
#include "deployment.h"
#include "notify.h"
#include "observe.h"

#define SPARE_FILES        64 /* listeners, logs, media, threads' own */
#define FEWEST_CONNECTIONS 16

struct running {
	struct notify notify;
	struct deployment deployment;
	struct arena *reloads; /* holds all later options: requests may still use earlier ones */
};

static void log_err(const struct err *err)
{
	log_error("%s%s%s", err->message, *err->detail ? ": " : "", err->detail);
}

static void log_faults(const struct config *config)
{
	const struct config_fault *faults;
	size_t count;

	faults = config_faults(config, &count);
	for (size_t i = 0; i < count; i++) {
		enum log_level level = faults[i].severity == CONFIG_INFO ? LOG_INFO : LOG_WARNING;

		if (faults[i].line)
			log_at(level, "%.*s:%zu: %.*s", STR_ARG(faults[i].file), faults[i].line,
			       STR_ARG(faults[i].text));
		else
			log_at(level, "%.*s: %.*s", STR_ARG(faults[i].file), STR_ARG(faults[i].text));
	}
}

/* How many descriptors we may have, which is how many clients. */
static void raise_file_limit(int64_t wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = wanted ? MIN((rlim_t)wanted, limit.rlim_max) : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning("cannot have %ju files open: %m", (uintmax_t)limit.rlim_cur);
}

/* Clients that took all descriptors would leave none for files and for the database. */
static void bound_connections(struct server_setup *setup)
{
	size_t others = SPARE_FILES + setup->database.size + 4 * setup->workers, most = FEWEST_CONNECTIONS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_cur > others + FEWEST_CONNECTIONS)
		most = (size_t)limit.rlim_cur - others;
	if (setup->max_connections <= most)
		return;
	log_info("there can be %zu client connections, not the %zu of max_connections: soft_file_limit, or the "
		    "system, allows %ju open files",
		    most, setup->max_connections, (uintmax_t)limit.rlim_cur);
	setup->max_connections = most;
}

/*
 * The C library gives each thread a heap, up to eight a processor, and what one has freed is of no use to the others. Two a processor lose no speed, and a sixth of
 * the memory less is kept.
 */
static void bound_heaps(void)
{
	mallopt(M_ARENA_MAX, 2 * (int)MAX(sysconf(_SC_NPROCESSORS_ONLN), 2));
}

/* A machine may be without IPv6 altogether. */
static bool has_ipv6(void)
{
	const struct sockaddr_in6 loopback = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&loopback, sizeof(loopback)) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

static bool is_ipv6(const struct http_listener *listener)
{
	return !str_starts_with(listener->address, STR("/")) && str_find_char(listener->address, ':') >= 0;
}

/* Leaves out IPv6 listeners where there is no IPv6, as long as the same port is served by IPv4. */
static void leave_out_ipv6(struct server_setup *setup, struct arena *arena)
{
	struct http_listener *kept = ARENA_ARRAY(arena, setup->listener_count, struct http_listener);
	size_t count = 0;

	if (has_ipv6())
		return;
	for (size_t i = 0; i < setup->listener_count; i++) {
		const struct http_listener *listener = &setup->listeners[i];
		bool served = false;

		for (size_t j = 0; j < setup->listener_count; j++)
			served |= !is_ipv6(&setup->listeners[j]) && setup->listeners[j].port == listener->port;
		if (!is_ipv6(listener) || !served)
			kept[count++] = *listener;
	}
	setup->listeners = kept;
	setup->listener_count = count;
}

static void log_listeners(const struct server_setup *setup)
{
	for (size_t i = 0; i < setup->listener_count; i++) {
		const struct http_listener *listener = &setup->listeners[i];

		log_with(LOG_INFO,
			 LOG_FIELDS(LOG_STR("address", listener->address), LOG_INT("port", listener->port),
				    LOG_STR("tls", listener->tls ? STR("yes") : STR("no"))),
			 "listening");
	}
}

/* SIGHUP: log file, certificates and all options that can change. What cannot be read stays as it was. */
static void reload(struct running *running)
{
	struct deployment *deployment = &running->deployment;
	struct options *fresh;
	struct config *config;
	struct err err = { 0 };

	notify_reloading(&running->notify);
	if (!log_reopen(&err))
		log_err(&err);
	if (options_reload(&deployment->files, deployment->options, running->reloads, &fresh, &config)) {
		deployment->options = fresh;
		deployment->server->options = fresh;
		log_set_level((enum log_level)fresh->log.level);
		log_info("the configuration was read again");
	} else {
		log_error("the configuration has errors: it stays as it was");
	}
	log_faults(config);
	if (deployment->tls && !tls_reload(deployment->tls, &err))
		log_err(&err);
	notify_ready(&running->notify);
}

static sigset_t handled_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	return signals;
}

/* Until somebody asks us to end. */
static void run(struct running *running)
{
	const sigset_t signals = handled_signals();
	int64_t interval = running->notify.watchdog_interval_ms;
	const struct timespec pause = { .tv_sec = interval / 1000, .tv_nsec = interval % 1000 * 1000000 };

	for (;;) {
		int signal = interval ? sigtimedwait(&signals, NULL, &pause) : sigwaitinfo(&signals, NULL);

		if (signal == SIGTERM || signal == SIGINT)
			return;
		if (signal == SIGHUP)
			reload(running);
		notify_watchdog(&running->notify);
	}
}

/* Whoever asks a second time does not want to wait. */
static void end_at_the_next_signal(void)
{
	const sigset_t signals = handled_signals();

	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &signals, NULL);
}

static bool listen_and_run(struct running *running, struct err *err)
{
	struct deployment *deployment = &running->deployment;
	bool ok;

	observe_start(deployment->server);
	ok = server_listen(deployment->server, err);
	if (ok) {
		log_listeners(&deployment->setup);
		log_info("Hearth %s serves %.*s", HEARTH_VERSION, STR_ARG(deployment->options->domains[0].name));
		notify_ready(&running->notify);
		run(running);
		notify_stopping(&running->notify);
		log_info("stopping");
		end_at_the_next_signal();
	}
	server_stop(deployment->server);
	observe_stop(deployment->server);
	return ok;
}

/* The first start of a server that asks for a registration token makes one; only standard output is told. */
static bool print_first_token(const struct deployment *deployment, struct err *err)
{
	const struct options *options = deployment->options;
	bool wanted = false, made;
	struct str token;

	for (size_t i = 0; i < options->domain_count; i++)
		wanted |= options->domains[i].registration.enabled && options->domains[i].registration.requires_token;
	if (!wanted)
		return true;
	if (!registration_token_make_first(deployment->server, deployment->arena, &token, &made, err))
		return false;
	if (made) {
		printf("Registration token: %.*s\n", STR_ARG(token));
		fflush(stdout);
	}
	return true;
}

static bool serve(struct running *running, struct err *err)
{
	struct deployment *deployment = &running->deployment;

	if (!deployment_connect(deployment, err))
		return false;
	leave_out_ipv6(&deployment->setup, deployment->arena);
	bound_connections(&deployment->setup);
	deployment->setup.hooks =
		(struct http_hooks){ .begin = observe_begin, .finished = observe_finished, .failed = observe_failed };
	return deployment_open(deployment, err) && print_first_token(deployment, err) && listen_and_run(running, err);
}

static bool open_log(const struct options *options, struct err *err)
{
	const struct log_config config = {
		.level = (enum log_level)options->log.level,
		.format = (enum log_format)options->log.format,
		.file = options->log.file,
	};

	return log_open(&config, err);
}

static int start(struct config_strings files, const struct http_listener *listeners, size_t listener_count)
{
	const sigset_t signals = handled_signals();
	struct running running = { .notify = notify_open(), .reloads = arena_new() };
	struct err err = { 0 };
	bool ok, to_file = false;

	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	bound_heaps();
	ok = deployment_read_to_serve(&running.deployment, files, listeners, listener_count, &err) &&
	     open_log(running.deployment.options, &err);
	if (ok) {
		to_file = running.deployment.options->log.file.len > 0;
		raise_file_limit(running.deployment.options->soft_file_limit);
		ok = serve(&running, &err);
	}
	if (!ok)
		log_err(&err);
	if (!ok && to_file)
		cli_error(&err); /* who started it by hand looks here */
	deployment_close(&running.deployment);
	arena_free(running.reloads);
	return ok ? CLI_DONE : CLI_FAILED;
}

int cli_serve(const struct command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "listen", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct config_strings files = { 0 };
	struct http_listener *listeners = NULL;
	size_t count = 0, cap = 0;
	struct err err;
	int option;

	while ((option = getopt_long(argc, argv, "c:l:h", options, NULL)) != -1) {
		if (option == 'c')
			cli_add_config(&files, optarg, arena);
		else if (option == 'h')
			return cli_print_usage(stdout, command), CLI_DONE;
		else if (option != 'l')
			return cli_misused(command);
		else if (!options_parse_listen(str_of(optarg), ARENA_PUSH(arena, listeners, count, cap), &err))
			return cli_error(&err), CLI_USAGE;
	}
	if (optind < argc)
		return cli_misused(command);
	cli_default_config(&files, arena);
	return start(files, listeners, count);
}
