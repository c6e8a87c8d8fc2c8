/*
 * What a message costs does not depend on how many are in the room: the statements, the rows and the WAL of a send are the same with 10 members and with
 * 50,000, whom the messages notify.
 */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "counts/counts.h"
#include "db/test_postgres.h"
#include "interned/interned.h"
#include "journal/journal.h"
#include "options.h"
#include "rooms/memberships.h"
#include "state/state_store.h"

#define SENDS 10

static struct test_postgres *postgres;

struct fixture {
	struct arena *arena;
	char folder[64]; /* of media, of which there are none */
	struct options options;
	struct domain domain;
	struct server_setup setup;
	struct server *server;
	struct sender sender;
	struct err err;
};

static void must(struct fixture *f, bool ok)
{
	if (!ok)
		fail_msg("%s (%s)", f->err.message, f->err.detail);
}

static int set_up(void **state)
{
	struct fixture *f = X_NEW(struct fixture);

	f->arena = arena_new();
	snprintf(f->folder, sizeof(f->folder), "/tmp/hearth-counts-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	f->options.media_store_path = str_of(f->folder);
	f->domain = (struct domain){ STR("hearth.test"), signing_key_generate(STR("1")) };
	f->setup = (struct server_setup){
		.options = &f->options,
		.domains = &f->domain,
		.domain_count = 1,
		.database = { .conninfo = test_postgres_database(postgres, f->arena), .size = 4, .timeout_ms = 10000 },
		.cache_bytes = 64 << 20,
	};
	must(f, server_open(&f->setup, &f->server, &f->err));
	f->sender.user_id = STR("@ana:hearth.test");
	must(f, intern_user(f->server->interned, f->sender.user_id, &f->sender.nid, &f->err));
	*state = f;
	return 0;
}

static int remove_entry(const char *path, const struct stat *info UNUSED, int type UNUSED, struct FTW *at UNUSED)
{
	return remove(path);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	server_close(f->server);
	signing_key_free(f->domain.key);
	nftw(f->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	arena_free(f->arena);
	free(f);
	return 0;
}

static int64_t ask(struct fixture *f, const struct db_statement *statement)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	must(f, db_acquire(f->server->pool, &db, &f->err) && db_query(db, statement, DB_NO_PARAMS, f->arena, &rows, &f->err) && db_next(rows));
	return db_get_int(rows, 0);
}

/* Joined members as the state has them, beside those who made the room. */
static void add_members(struct fixture *f, nid_t room, size_t count)
{
	static const struct db_statement set_root = { "test_set_root", "UPDATE room_heads SET state_root = $2 WHERE room_nid = $1" };
	struct state_entry *entries = ARENA_ARRAY(f->arena, count, struct state_entry);
	struct state_source source = state_store_source(f->server->states);
	CLEANUP(db_release) struct db *db = NULL;
	struct state_build build;
	int64_t root;

	for (size_t i = 0; i < count; i++)
		entries[i] = (struct state_entry){ (nid_t)(1 + i % 100) << 32 | (nid_t)(1000000 + i), (nid_t)(1000000 + i), MEMBERSHIP_JOIN };
	must(f, room_state_root(f->server->rooms, room, &root, &f->err) &&
			state_apply(&source, room, root, entries, count, STATE_AS_BEFORE, f->arena, &build, &f->err) &&
			db_acquire(f->server->pool, &db, &f->err) && db_begin(db, &f->err));
	for (size_t i = 0; i < build.row_count; i++)
		must(f, db_exec(db, &STATE_ROW_INSERT,
		                DB_PARAMS(db_ints(&room, 1), db_ints(&build.rows[i].row_id, 1), db_bytes_array(&build.rows[i].data, 1)), NULL, &f->err));
	must(f, db_exec(db, &set_root, DB_PARAMS(db_int(room), db_int(build.root)), NULL, &f->err) && db_commit(db, &f->err));
}

static struct room_info make_room(struct fixture *f, size_t members)
{
	const struct event_draft drafts[] = {
		{ .type = STR("m.room.create"), .is_state = true, .content = STR("{\"room_version\":\"12\"}") },
		{ .type = STR("m.room.member"), .is_state = true, .state_key = f->sender.user_id, .content = STR("{\"membership\":\"join\"}") },
		{ .type = STR("m.room.join_rules"), .is_state = true, .content = STR("{\"join_rule\":\"public\"}") },
	};
	const struct room_creation creation = { .version = room_version_find(STR("12")), .drafts = drafts, .count = ARRAY_LEN(drafts) };
	struct room_info room;

	must(f, room_create(f->server, &f->sender, &creation, f->arena, &room, &f->err));
	add_members(f, room.nid, members - 1);
	return room;
}

static void send(struct fixture *f, const struct room_info *room)
{
	const struct event_draft draft = { .type = STR("m.room.message"), .content = STR("{\"body\":\"Hello to all of you\",\"msgtype\":\"m.text\"}") };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str event_id;

	must(f, room_send(f->server, room, &f->sender, &draft, 1, arena, &event_id, &f->err));
}

struct cost {
	int64_t statements, wal, rows;
};

/* The least of several: a process also tells now and then that it lives. */
static struct cost cost_of_send(struct fixture *f, const struct room_info *room)
{
	static const struct db_statement wal = { "test_wal", "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint" };
	static const struct db_statement rows = {
		"test_rows",
		"SELECT sum((xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I', tablename), false, true, '')))[1]::text::bigint)::bigint"
		" FROM pg_tables WHERE schemaname = 'public'",
	};
	struct cost least = { INT64_MAX, INT64_MAX, INT64_MAX };

	for (int i = 0; i < SENDS; i++) {
		int64_t rows_before = ask(f, &rows), wal_before = ask(f, &wal);
		int64_t statements = (int64_t)db_pool_stats(f->server->pool).statements;

		send(f, room);
		least.statements = MIN(least.statements, (int64_t)db_pool_stats(f->server->pool).statements - statements);
		least.wal = MIN(least.wal, ask(f, &wal) - wal_before);
		least.rows = MIN(least.rows, ask(f, &rows) - rows_before);
	}
	return least;
}

static void costs_the_same_in_rooms_of_any_size(void **state)
{
	struct fixture *f = *state;
	struct room_info small = make_room(f, 10), large = make_room(f, 50000);
	struct cost in_small, in_large;

	send(f, &small);
	send(f, &large);
	in_small = cost_of_send(f, &small);
	in_large = cost_of_send(f, &large);
	print_message("10 members: %" PRId64 " statements, %" PRId64 " rows, %" PRId64 " bytes of WAL; 50,000: %" PRId64 ", %" PRId64 ", %" PRId64 "\n",
	              in_small.statements, in_small.rows, in_small.wal, in_large.statements, in_large.rows, in_large.wal);
	assert_int_equal(in_large.statements, in_small.statements);
	assert_int_equal(in_large.rows, in_small.rows);
	assert_true(in_large.wal < in_small.wal * 5 / 4); /* numbers grow longer, pages split */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(costs_the_same_in_rooms_of_any_size, set_up, tear_down),
	};
	int failed;

	postgres = test_postgres_start();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	test_postgres_stop(postgres);
	return failed;
}
