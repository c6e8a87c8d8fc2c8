#include "cli.h"

#include <stdarg.h>
#include <unistd.h>

#define SYSTEM_CONFIG "/etc/hearth/homeserver.yaml"

void cli_print_usage(FILE *to, const struct command *command)
{
	fprintf(to, "Usage: hearth %s%s%s\n%s.\n", command->name, *command->arguments ? " " : "", command->arguments,
		command->summary);
	if (*command->help)
		fprintf(to, "\n%s", command->help);
}

int cli_misused(const struct command *command)
{
	cli_print_usage(stderr, command);
	return CLI_USAGE;
}

int cli_failed(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "hearth: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	return CLI_FAILED;
}

int cli_error(const struct err *err)
{
	return cli_failed("%s%s%s", err->message, *err->detail ? ": " : "", err->detail);
}

const char *cli_absolute(const char *path, struct arena *arena)
{
	char *cwd = get_current_dir_name();
	struct str absolute = path[0] == '/' || !cwd ? str_of(path) : str_printf(arena, "%s/%s", cwd, path);

	free(cwd);
	return str_cstr(arena, absolute);
}

void cli_add_config(struct config_strings *files, const char *path, struct arena *arena)
{
	struct str *items = ARENA_ARRAY(arena, files->count + 1, struct str);

	for (size_t i = 0; i < files->count; i++)
		items[i] = files->items[i];
	items[files->count] = str_of(cli_absolute(path, arena));
	*files = (struct config_strings){ items, files->count + 1 };
}

void cli_default_config(struct config_strings *files, struct arena *arena)
{
	if (files->count == 0)
		cli_add_config(files, access("homeserver.yaml", F_OK) == 0 ? "homeserver.yaml" : SYSTEM_CONFIG, arena);
}

void cli_print_faults(FILE *to, const struct config *config, enum config_severity least)
{
	static const char *const severities[] = {
		[CONFIG_ERROR] = "error", [CONFIG_WARNING] = "warning", [CONFIG_INFO] = "note"
	};
	const struct config_fault *faults;
	size_t count;

	faults = config_faults(config, &count);
	for (size_t i = 0; i < count; i++) {
		const struct config_fault *fault = &faults[i];

		if (fault->severity > least)
			continue;
		fprintf(to, "%.*s:", STR_ARG(fault->file));
		if (fault->line)
			fprintf(to, "%zu:", fault->line);
		fprintf(to, " %s: %.*s\n", severities[fault->severity], STR_ARG(fault->text));
	}
}
