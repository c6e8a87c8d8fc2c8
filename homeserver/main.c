/* The program: one subcommand after another. */
#include "cli.h"

#define CONFIG_HELP                                                                                                    \
	"  -c, --config FILE     the configuration, or a folder of *.yaml; may be repeated, later files win\n"
#define HELP_HELP "  -h, --help            this text\n"

static const struct command commands[] = {
	{ "serve", "[--config FILE]... [--listen ADDRESS:PORT]...", "Runs the server",
	  CONFIG_HELP
	  "  -l, --listen ADDRESS  listen here instead of where the configuration says: ADDRESS:PORT, [IPV6]:PORT or\n"
	  "                        /PATH, followed by any of ,tls ,x_forwarded ,metrics; may be repeated\n" HELP_HELP
	  "\nA second one on the same database, with other listeners, shares the load.\n",
	  cli_serve },
	{ "generate-config", "--server-name NAME [--data-directory FOLDER] [--output FILE]",
	  "Writes a configuration to begin with, every option explained, and makes the signing key",
	  "  -s, --server-name NAME       the domain part of all identifiers; it can never be changed\n"
	  "  -d, --data-directory FOLDER  where the server keeps its data (/var/lib/hearth)\n"
	  "  -o, --output FILE            where to write it, never over a file that is there; by default standard "
	  "output,\n"
	  "                               and no key is made\n"
	  "      --sample                 every option with its default instead\n"
	  "  -h, --help                   this text\n",
	  cli_generate_config },
	{ "check-config", "[FILE]...", "Reads a configuration and says what is wrong with it, line by line",
	  CONFIG_HELP HELP_HELP, cli_check_config },
	{ "check-database", "[--config FILE]...", "Verifies every invariant of the database", CONFIG_HELP HELP_HELP,
	  cli_check_database },
	{ "migrate", "[--config FILE]...", "Brings the database up to date, as the server does when it starts",
	  CONFIG_HELP HELP_HELP, cli_migrate },
	{ "create-user", "[--config FILE]... [NAME]", "Creates an account",
	  CONFIG_HELP "      --admin           a server admin\n"
		      "  -p, --password-file FILE  whose first line is the password; - is standard input\n" HELP_HELP
		      "\nAsks for what is not given.\n",
	  cli_create_user },
	{ "routes", "", "Prints method, path and authentication of every endpoint", HELP_HELP, cli_routes },
	{ "version", "", "Prints the version", HELP_HELP, cli_version },
};

static int print_commands(FILE *to, int status)
{
	fprintf(to, "Usage: hearth COMMAND [OPTION]...\nA Matrix homeserver.\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(to, "  %-16s %s\n", commands[i].name, commands[i].summary);
	fprintf(to, "\n`hearth COMMAND --help` tells more.\n");
	return status;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
		return print_commands(stdout, CLI_DONE);
	if (strcmp(name, "--version") == 0)
		name = "version";
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].run(&commands[i], argc - 1, argv + 1);
	}
	if (*name)
		fprintf(stderr, "hearth: there is no command '%s'\n", name);
	return print_commands(stderr, CLI_USAGE);
}
