/* generate-config, check-config, version. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

#include "matrix/identifiers.h"
#include "privileges.h"
#include "signing_keys.h"

#define CONFIG_MAX             ((size_t)1 << 20)
#define DEFAULT_DATA_DIRECTORY "/var/lib/hearth"

static int print_config(const struct buf *text)
{
	struct str config = buf_str(text);

	if (fwrite(config.ptr, 1, config.len, stdout) != config.len || fflush(stdout) != 0)
		return cli_failed("cannot write: %s", strerror(errno));
	return CLI_DONE;
}

static bool make_key(const char *data_directory, const char *server_name, struct arena *arena, struct err *err)
{
	struct str path = str_printf(arena, "%s/%s.signing.key", data_directory, server_name);

	if (access(str_cstr(arena, path), F_OK) == 0)
		return true;
	return privileges_make_folder(data_directory, 0700, err) && signing_key_create(path, err) &&
	       privileges_give(str_cstr(arena, path), err);
}

/* Readable by its owner alone: secrets may be put into it. */
static bool write_config(const char *path, const struct buf *text, struct arena *arena, struct err *err)
{
	struct str config = buf_str(text);
	const char *folder = dirname(str_cstr(arena, str_of(path)));
	bool ok;
	int fd;

	if (!privileges_make_folder(folder, 0755, err))
		return false;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return err_set(err, M_UNKNOWN, "%s is there already, and stays as it is", path);
	if (fd < 0)
		return err_set(err, M_UNKNOWN, "Cannot write %s: %s", path, strerror(errno));
	ok = write(fd, config.ptr, config.len) == (ssize_t)config.len && fsync(fd) == 0;
	if (!ok)
		err_set(err, M_UNKNOWN, "Cannot write %s: %s", path, strerror(errno));
	close(fd);
	return ok && privileges_give(path, err);
}

static int generate(const char *server_name, const char *data_directory, const char *output)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(buf_done) struct buf text = buf_init(CONFIG_MAX);
	const char *folder = cli_absolute(data_directory, arena);
	struct err err;

	if (!server_name_valid(str_of(server_name)))
		return cli_failed("'%s' is no server name: a host name or an IP address, and a port if need be",
				  server_name);
	options_write_new(str_of(server_name), str_of(folder), &text);
	if (!output)
		return print_config(&text);
	if (!make_key(folder, server_name, arena, &err) ||
	    !write_config(cli_absolute(output, arena), &text, arena, &err))
		return cli_error(&err);
	return CLI_DONE;
}

int cli_generate_config(const struct command *command, int argc, char **argv)
{
	enum { OPTION_SAMPLE = 256 };
	static const struct option options[] = {
		{ "server-name", required_argument, NULL, 's' },
		{ "data-directory", required_argument, NULL, 'd' },
		{ "output", required_argument, NULL, 'o' },
		{ "sample", no_argument, NULL, OPTION_SAMPLE },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *server_name = NULL, *data_directory = DEFAULT_DATA_DIRECTORY, *output = NULL;
	bool sample = false;
	int option;

	while ((option = getopt_long(argc, argv, "s:d:o:h", options, NULL)) != -1) {
		if (option == 's')
			server_name = optarg;
		else if (option == 'd')
			data_directory = optarg;
		else if (option == 'o')
			output = optarg;
		else if (option == OPTION_SAMPLE)
			sample = true;
		else if (option == 'h')
			return cli_print_usage(stdout, command), CLI_DONE;
		else
			return cli_misused(command);
	}
	if (optind < argc || sample == (server_name != NULL))
		return cli_misused(command);
	if (sample) {
		CLEANUP(buf_done) struct buf text = buf_init(CONFIG_MAX);

		options_write_sample(&text);
		return print_config(&text);
	}
	return generate(server_name, data_directory, output);
}

/* What a start would stumble over, too. Who is not root may be kept from reading what the server may read. */
static void check_certificate(struct config *config, const struct options *options)
{
	struct tls *tls = NULL;
	struct err err;
	bool needed = false;

	for (size_t i = 0; i < options->listener_count; i++)
		needed |= options->listeners[i].tls;
	if (needed && !tls_new(options->tls_certificate_path, options->tls_private_key_path, &tls, &err))
		config_raise(config, config_place(config, "tls_certificate_path"),
			     geteuid() == 0 ? CONFIG_ERROR : CONFIG_WARNING, "%s", err.message);
	tls_free(tls);
}

int cli_check_config(const struct command *command, int argc, char **argv)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct config_strings files = { 0 };
	struct options *read = NULL;
	struct config *config;
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (option == 'c')
			cli_add_config(&files, optarg, arena);
		else if (option == 'h')
			return cli_print_usage(stdout, command), CLI_DONE;
		else
			return cli_misused(command);
	}
	while (optind < argc)
		cli_add_config(&files, argv[optind++], arena);
	cli_default_config(&files, arena);
	if (options_load(&files, false, arena, &read, &config))
		check_certificate(config, read);
	cli_print_faults(stdout, config, CONFIG_INFO);
	if (!config_ok(config))
		return CLI_FAILED;
	printf("%.*s: fit to start with\n", STR_ARG(files.items[0]));
	return CLI_DONE;
}

int cli_version(const struct command *command, int argc, char **argv)
{
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return cli_print_usage(stdout, command), CLI_DONE;
	if (argc > 1)
		return cli_misused(command);
	printf("Hearth %s\n", HEARTH_VERSION);
	return CLI_DONE;
}
