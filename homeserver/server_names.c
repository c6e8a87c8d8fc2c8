#include "server_names.h"

static const struct db_statement SELECT_LOST = {
	"server_names_select_lost",
	"SELECT name FROM server_names WHERE name <> ALL ($1) ORDER BY name LIMIT 1",
};
static const struct db_statement INSERT_NAMES = {
	"server_names_insert",
	"INSERT INTO server_names (name) SELECT unnest($1) ON CONFLICT DO NOTHING",
};

bool server_names_keep(struct server *server, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(db_release) struct db *db = NULL;
	struct str *names = ARENA_ARRAY(arena, server->domain_count, struct str);
	struct db_rows *rows;

	for (size_t i = 0; i < server->domain_count; i++)
		names[i] = server->domains[i].name;
	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_LOST, DB_PARAMS(db_texts(names, server->domain_count)), arena, &rows, err))
		return err_detail(err, "look up server names");
	if (db_next(rows))
		return err_set(err, M_UNKNOWN, "This database is of the server %.*s: server_name cannot be changed",
			       STR_ARG(db_get_str(rows, 0)));
	return db_exec(db, &INSERT_NAMES, DB_PARAMS(db_texts(names, server->domain_count)), NULL, err) ||
	       err_detail(err, "remember server names");
}
