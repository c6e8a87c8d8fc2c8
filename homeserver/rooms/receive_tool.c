/*
 * For tests: lets events into rooms as if another server had sent them and their signatures had been checked. One more process on the deployment's database,
 * without listeners. A line `ROOM_ID<TAB>PDU` of standard input is answered by one of standard output: `VERDICT<TAB>EVENT_ID` or `ERRCODE<TAB>WORDS`.
 */
#include "cli.h"
#include "deployment.h"
#include "rooms/rooms.h"

/* By the caller's doing it is waiting for this line. */
static void answer(const char *word, struct str more)
{
	printf("%s\t%.*s\n", word, STR_ARG(more));
	fflush(stdout);
}

static bool receive(struct server *server, struct str line, struct arena *arena, enum verdict *ret_verdict, struct str *ret_event_id, struct err *err)
{
	struct room_info room;
	struct str room_id;

	if (!str_split(&line, '\t', &room_id))
		return err_set(err, M_BAD_JSON, "A line is a room ID, a tab and an event");
	return room_require(server->rooms, room_id, arena, &room, err) && room_receive(server, &room, line, arena, ret_verdict, ret_event_id, err);
}

static void receive_line(struct server *server, struct str line)
{
	static const char *const verdicts[] = {
		[VERDICT_ACCEPTED] = "accepted",
		[VERDICT_SOFT_FAILED] = "soft-failed",
		[VERDICT_REJECTED] = "rejected",
		[VERDICT_OUTLIER] = "outlier",
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	enum verdict verdict;
	struct err err = { 0 };
	struct str event_id;

	if (receive(server, line, arena, &verdict, &event_id, &err))
		answer(verdicts[verdict], event_id);
	else
		answer(errcode_name(err.code), str_printf(arena, "%s%s%s", err.message, *err.detail ? ": " : "", err.detail));
}

static void receive_lines(struct server *server)
{
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;

	while ((length = getline(&line, &capacity, stdin)) > 0) {
		struct str text = { line, (size_t)length };

		if (str_ends_with(text, STR("\n")))
			text.len--;
		receive_line(server, text);
	}
	free(line);
}

int main(int argc, char **argv)
{
	CLEANUP(deployment_close) struct deployment deployment = { 0 };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct config_strings files = { 0 };
	struct err err = { 0 };

	if (argc != 2) {
		fprintf(stderr, "Usage: hearth-receive CONFIG\n");
		return CLI_USAGE;
	}
	cli_add_config(&files, argv[1], arena);
	if (!deployment_read(&deployment, files, &err) || !deployment_connect(&deployment, &err) || !deployment_open(&deployment, &err))
		return cli_error(&err);
	receive_lines(deployment.server);
	return CLI_DONE;
}
