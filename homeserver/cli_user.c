/* create-user. */
#include <errno.h>
#include <termios.h>
#include <unistd.h>

#include "accounts/accounts.h"
#include "cli.h"
#include "deployment.h"

#define MAX_LINE 1024

struct new_user {
	struct str name, password;
	bool admin;
};

/* A line without its end; false: there is none, or it is too long. */
static bool read_line(FILE *from, struct arena *arena, struct str *ret_line)
{
	char *line = arena_alloc(arena, MAX_LINE);

	if (!fgets(line, MAX_LINE, from))
		return false;
	*ret_line = str_of(line);
	if (!str_ends_with(*ret_line, STR("\n")) && !feof(from))
		return false;
	while (str_ends_with(*ret_line, STR("\n")) || str_ends_with(*ret_line, STR("\r")))
		ret_line->len--;
	return true;
}

static bool ask(FILE *terminal, const char *what, bool hidden, struct arena *arena, struct str *ret_answer)
{
	struct termios shown, silent;
	bool ok;

	/* Silent before it asks, and without throwing away what was typed ahead: an answer may come as soon as the question shows. */
	hidden = hidden && tcgetattr(fileno(terminal), &shown) == 0;
	if (hidden) {
		silent = shown;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(fileno(terminal), TCSADRAIN, &silent);
	}
	fprintf(terminal, "%s: ", what);
	fflush(terminal);
	ok = read_line(terminal, arena, ret_answer);
	if (hidden) {
		tcsetattr(fileno(terminal), TCSADRAIN, &shown);
		fprintf(terminal, "\n");
	}
	return ok;
}

/* What is missing, from whoever sits at the terminal. */
static int ask_for_missing(struct new_user *user, struct arena *arena)
{
	FILE *terminal;
	struct str again;
	bool ok = true;

	if (user->name.len && user->password.len)
		return CLI_DONE;
	terminal = fopen("/dev/tty", "r+e");
	if (!terminal)
		return cli_failed("there is no terminal to ask at: give the name, and --password-file");
	if (!user->name.len)
		ok = ask(terminal, "Name", false, arena, &user->name);
	if (ok && !user->password.len)
		ok = ask(terminal, "Password", true, arena, &user->password) &&
		     ask(terminal, "Again", true, arena, &again);
	else
		again = user->password;
	fclose(terminal);
	if (!ok || !user->name.len || !user->password.len)
		return cli_failed("there was no answer");
	return str_eq(user->password, again) ? CLI_DONE : cli_failed("the passwords differ");
}

static int read_password(const char *path, struct arena *arena, struct str *ret_password)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	bool ok;

	if (!file)
		return cli_failed("cannot read %s: %s", path, strerror(errno));
	ok = read_line(file, arena, ret_password) && ret_password->len;
	if (file != stdin)
		fclose(file);
	return ok ? CLI_DONE : cli_failed("there is no password in %s", path);
}

/* `ana` or `@ana:example.org`. */
static bool create(struct deployment *deployment, const struct new_user *user, struct str *ret_user_id, struct err *err)
{
	struct server *server = deployment->server;
	struct str localpart = user->name, domain = server->domains[0].name;
	struct new_account account = { .password = user->password, .admin = user->admin };
	nid_t nid;

	if (str_starts_with(localpart, STR("@"))) {
		ptrdiff_t colon = str_find_char(localpart, ':');

		domain = colon < 0 ? domain : str_from(localpart, (size_t)colon + 1);
		localpart = str_sub(localpart, 1, colon < 0 ? localpart.len : (size_t)colon - 1);
	}
	if (!server_domain(server, domain))
		return err_set(err, M_INVALID_USERNAME, "%.*s is not a name of this server", STR_ARG(domain));
	if (!account_check_localpart(server, localpart, domain, deployment->arena, &account.user_id, err) ||
	    !account_create(server, &account, &nid, err))
		return false;
	*ret_user_id = account.user_id;
	return true;
}

static int open_and_create(struct config_strings files, const struct new_user *user)
{
	CLEANUP(deployment_close) struct deployment deployment = { 0 };
	struct str user_id = { 0 };
	struct err err = { 0 };

	if (!deployment_read(&deployment, files, &err) || !deployment_connect(&deployment, &err) ||
	    !deployment_open(&deployment, &err) || !create(&deployment, user, &user_id, &err))
		return cli_error(&err);
	printf("%.*s\n", STR_ARG(user_id));
	return CLI_DONE;
}

int cli_create_user(const struct command *command, int argc, char **argv)
{
	enum { OPTION_ADMIN = 256 };
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "admin", no_argument, NULL, OPTION_ADMIN },
		{ "password-file", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct config_strings files = { 0 };
	struct new_user user = { 0 };
	const char *password_file = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "c:p:h", options, NULL)) != -1) {
		if (option == 'c')
			cli_add_config(&files, optarg, arena);
		else if (option == 'p')
			password_file = optarg;
		else if (option == OPTION_ADMIN)
			user.admin = true;
		else if (option == 'h')
			return cli_print_usage(stdout, command), CLI_DONE;
		else
			return cli_misused(command);
	}
	if (argc - optind > 1)
		return cli_misused(command);
	user.name = str_of(argv[optind]);
	cli_default_config(&files, arena);
	if (password_file && read_password(password_file, arena, &user.password) != CLI_DONE)
		return CLI_FAILED;
	if (ask_for_missing(&user, arena) != CLI_DONE)
		return CLI_FAILED;
	return open_and_create(files, &user);
}
