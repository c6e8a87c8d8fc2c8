/*
 * The command line. Each subcommand is a function in a cli_*.c of its own, which returns the exit status: 0 done, 1
 * failed, 2 not understood. What it has to say goes to standard error, what it was asked for to standard output.
 */
#pragma once

#include <getopt.h>

#include "options.h"

struct command {
	const char *name;
	const char *arguments; /* as the usage line shows them */
	const char *summary;
	const char *help; /* one line an option */
	int (*run)(const struct command *command, int argc, char **argv);
};

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

int cli_serve(const struct command *command, int argc, char **argv);
int cli_generate_config(const struct command *command, int argc, char **argv);
int cli_check_config(const struct command *command, int argc, char **argv);
int cli_check_database(const struct command *command, int argc, char **argv);
int cli_migrate(const struct command *command, int argc, char **argv);
int cli_create_user(const struct command *command, int argc, char **argv);
int cli_routes(const struct command *command, int argc, char **argv);
int cli_version(const struct command *command, int argc, char **argv);

void cli_print_usage(FILE *to, const struct command *command);
/* What getopt_long did not understand has been said; says how it is done. CLI_USAGE. */
int cli_misused(const struct command *command);
/* For a fault: the words, CLI_FAILED. */
int cli_failed(const char *fmt, ...) PRINTF_LIKE(1, 2);
int cli_error(const struct err *err); /* its message, and its detail if there is one */

const char *cli_absolute(const char *path, struct arena *arena);
/* The --config arguments as absolute paths; without any, homeserver.yaml here, or else the one in /etc/hearth. */
void cli_add_config(struct config_strings *files, const char *path, struct arena *arena);
void cli_default_config(struct config_strings *files, struct arena *arena);
/* FILE:LINE: what is wrong, for each fault as grave as `least`, or graver. */
void cli_print_faults(FILE *to, const struct config *config, enum config_severity least);
