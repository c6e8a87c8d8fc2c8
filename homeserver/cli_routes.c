/* routes. */
#include "cli.h"
#include "routes.h"

int cli_routes(const struct command *command, int argc, char **argv)
{
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return cli_print_usage(stdout, command), CLI_DONE;
	if (argc > 1)
		return cli_misused(command);
	for (const struct route *const *table = server_routes; *table; table++) {
		for (const struct route *route = *table; route->path; route++)
			printf("%s\t%s\t%s\n", route_method_name(route->method), route->path,
			       route_auth_name(route->auth));
	}
	return CLI_DONE;
}
