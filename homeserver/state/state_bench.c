/*
 * What the trie costs: state_bench CONNINFO MEMBERS SERVERS [one-by-one]. Wants an empty database of its own in a
 * cluster that flushes and writes full pages; a superuser, for CHECKPOINT. Prints what it measures. Members' and
 * events' numbers are spread as on a server that knows a million users and ten million events; every change is a
 * member's, committed alone. one-by-one: the room's members came one by one, not at once.
 */
#include <math.h>

#include "db/migrate.h"
#include "migrations/migrations.h"
#include "state/state_store.h"

#define ROOM        1
#define USERS       1000000
#define EVENTS      10000000
#define CHANGES     1000
#define CACHE_BYTES (256 * 1024 * 1024)

struct bench {
	struct arena *arena;
	struct db_pool *pool;
	struct db *db;
	struct state_store *store;
	struct state_store_on on;
	struct state_source source;
	struct state_entry *members;
	size_t member_count, server_count;
	uint64_t random;
	struct err err;
};

static void must(const struct bench *bench, bool ok)
{
	if (ok)
		return;
	fprintf(stderr, "%s: %s\n", bench->err.message, bench->err.detail);
	exit(1);
}

static uint64_t draw(struct bench *bench, uint64_t below)
{
	return id_hash((int64_t)++bench->random) % below;
}

static void cold(struct bench *bench)
{
	state_store_free(bench->store);
	bench->store = state_store_new(bench->pool, CACHE_BYTES);
	bench->on = (struct state_store_on){ bench->store, bench->db };
	bench->source = state_store_source_on(&bench->on);
}

static void open_database(struct bench *bench, struct str conninfo)
{
	size_t applied;

	bench->arena = arena_new();
	bench->pool = db_pool_new(&(struct db_pool_config){ .conninfo = conninfo, .size = 1, .timeout_ms = 60000 });
	must(bench, db_acquire(bench->pool, &bench->db, &bench->err));
	must(bench, migrate(bench->db, hearth_migrations, hearth_migration_count, &applied, &bench->err));
	cold(bench);
}

static int64_t ask(struct bench *bench, const struct db_statement *statement)
{
	struct db_rows *rows;

	must(bench, db_query(bench->db, statement, DB_NO_PARAMS, bench->arena, &rows, &bench->err));
	db_next(rows);
	return db_get_int(rows, 0);
}

/* Servers are of very different size: the r-th has a share like 1/r. */
static nid_t draw_server(struct bench *bench)
{
	double u = (double)draw(bench, 1 << 30) / (1 << 30);

	return bench->server_count == 1 ? 1 : 1 + (nid_t)(pow((double)bench->server_count, u) - 1);
}

static void make_members(struct bench *bench, size_t count)
{
	bench->members = ARENA_ARRAY(bench->arena, count, struct state_entry);
	bench->member_count = count;
	for (size_t i = 0; i < count; i++)
		bench->members[i] =
			(struct state_entry){ draw_server(bench) << 32 |
						      (nid_t)(1 + i * (USERS / count) + draw(bench, USERS / count)),
					      1 + (nid_t)draw(bench, EVENTS), MEMBERSHIP_JOIN };
}

static void store_rows(struct bench *bench, const struct state_build *build, struct arena *arena)
{
	int64_t *rooms = ARENA_ARRAY(arena, build->row_count, int64_t),
		*ids = ARENA_ARRAY(arena, build->row_count, int64_t);
	struct str *data = ARENA_ARRAY(arena, build->row_count, struct str);

	for (size_t i = 0; i < build->row_count; i++) {
		rooms[i] = ROOM;
		ids[i] = build->rows[i].row_id;
		data[i] = build->rows[i].data;
	}
	must(bench, db_exec(bench->db, &STATE_ROW_INSERT,
			    DB_PARAMS(db_ints(rooms, build->row_count), db_ints(ids, build->row_count),
				      db_bytes_array(data, build->row_count)),
			    NULL, &bench->err));
	state_store_pin(bench->store, build);
	state_store_unpin(bench->store, build, true);
}

struct totals {
	size_t rows, bytes;
	int64_t apply_us;
};

static int64_t apply(struct bench *bench, int64_t root, const struct state_entry *changes, size_t count,
		     struct totals *totals)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	int64_t start_us = clock_mono_us();
	struct state_build build;

	must(bench,
	     state_apply(&bench->source, ROOM, root, changes, count, STATE_AS_BEFORE, arena, &build, &bench->err));
	totals->apply_us += clock_mono_us() - start_us;
	for (size_t i = 0; i < build.row_count; i++)
		totals->bytes += build.rows[i].data.len;
	totals->rows += build.row_count;
	store_rows(bench, &build, arena);
	return build.root;
}

/* Other rooms take row numbers too: one in ten is ours. */
static void skip_row_ids(struct bench *bench)
{
	int64_t id;

	for (int i = 0; i < 9; i++)
		must(bench, bench->source.next_row_id(bench->source.context, &id, &bench->err));
}

static int64_t change_members(struct bench *bench, int64_t root, size_t count, struct totals *totals)
{
	for (size_t i = 0; i < count; i++) {
		struct state_entry *member = &bench->members[draw(bench, bench->member_count)];

		member->event = EVENTS + (nid_t)++bench->random;
		member->membership = member->membership == MEMBERSHIP_JOIN ? MEMBERSHIP_LEAVE : MEMBERSHIP_JOIN;
		skip_row_ids(bench);
		root = apply(bench, root, member, 1, totals);
	}
	return root;
}

static const struct db_statement RELATION_BYTES = { "relation_bytes", "SELECT pg_total_relation_size('state_rows')" };
static const struct db_statement WAL_BYTES = { "wal_bytes", "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint" };

/* The first writes to a page after a checkpoint log the whole page: of the table's and of the index' last one. */
static int64_t measure_first_change(struct bench *bench, int64_t root)
{
	struct totals totals = { 0 };
	int64_t wal;

	must(bench, db_exec_script(bench->db, STR("CHECKPOINT"), &bench->err));
	wal = ask(bench, &WAL_BYTES);
	root = change_members(bench, root, 1, &totals);
	printf("%-34s %6.0f WAL\n", "first change after a checkpoint", (double)(ask(bench, &WAL_BYTES) - wal));
	return root;
}

static int64_t measure_changes(struct bench *bench, int64_t root, const char *what)
{
	struct totals totals = { 0 };
	int64_t disk = ask(bench, &RELATION_BYTES), wal = ask(bench, &WAL_BYTES), start_us = clock_mono_us();

	root = change_members(bench, root, CHANGES, &totals);
	printf("%-34s %6.0f bytes a change in rows, %5.2f rows, %6.0f on disk, %6.0f WAL, apply %4.0f µs, with commit "
	       "%5.0f µs\n",
	       what, (double)totals.bytes / CHANGES, (double)totals.rows / CHANGES,
	       (double)(ask(bench, &RELATION_BYTES) - disk) / CHANGES, (double)(ask(bench, &WAL_BYTES) - wal) / CHANGES,
	       (double)totals.apply_us / CHANGES, (double)(clock_mono_us() - start_us) / CHANGES);
	return root;
}

static int64_t load_us(struct bench *bench, int64_t root)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct state_entry *entries;
	size_t count;
	int64_t start_us = clock_mono_us();

	must(bench, state_load(&bench->source, ROOM, root, arena, &entries, &count, &bench->err));
	return clock_mono_us() - start_us;
}

static void measure_loads(struct bench *bench, int64_t root)
{
	int64_t us[2] = { INT64_MAX, INT64_MAX };

	for (int i = 0; i < 20; i++) {
		int64_t taken_us;

		if (i % 2 == 0)
			cold(bench);
		taken_us = load_us(bench, root);
		us[i % 2] = MIN(us[i % 2], taken_us);
	}
	printf("%-34s %6.1f ms from the database, %5.1f ms from the cache; best of 10\n", "load all",
	       (double)us[0] / 1000, (double)us[1] / 1000);
}

static void measure_gets(struct bench *bench, int64_t root)
{
	enum { COLD = 200, WARM = 20000 };
	int64_t start_us, cold_us = 0;
	struct state_entry entry;

	for (int i = 0; i < COLD; i++) {
		cold(bench);
		start_us = clock_mono_us();
		must(bench, state_get(&bench->source, ROOM, root, &bench->members[draw(bench, bench->member_count)].key,
				      1, &entry, &bench->err));
		cold_us += clock_mono_us() - start_us;
	}
	load_us(bench, root);
	start_us = clock_mono_us();
	for (int i = 0; i < WARM; i++)
		must(bench, state_get(&bench->source, ROOM, root, &bench->members[draw(bench, bench->member_count)].key,
				      1, &entry, &bench->err));
	printf("%-34s %6.0f µs from the database, %5.2f µs from the cache\n", "get one", (double)cold_us / COLD,
	       (double)(clock_mono_us() - start_us) / WARM);
}

static void measure_diff(struct bench *bench, int64_t before, int64_t after)
{
	int64_t us[2] = { INT64_MAX, INT64_MAX }, start_us, taken_us;
	size_t count = 0;

	for (int i = 0; i < 10; i++) {
		CLEANUP(arena_free) struct arena *arena = arena_new();
		struct state_delta *deltas;

		if (i % 2 == 0)
			cold(bench);
		start_us = clock_mono_us();
		must(bench, state_diff(&bench->source, ROOM, before, after, arena, &deltas, &count, &bench->err));
		taken_us = clock_mono_us() - start_us;
		us[i % 2] = MIN(us[i % 2], taken_us);
	}
	printf("%-34s %6.1f ms from the database, %5.1f ms from the cache; best of 5; %zu differences\n",
	       "diff over 1,000 changes", (double)us[0] / 1000, (double)us[1] / 1000, count);
}

static int64_t build_room(struct bench *bench, bool one_by_one)
{
	struct totals totals = { 0 };
	int64_t root = 0;

	if (!one_by_one) {
		root = apply(bench, 0, bench->members, bench->member_count, &totals);
	} else {
		must(bench, db_begin(bench->db, &bench->err));
		for (size_t i = 0; i < bench->member_count; i++) {
			skip_row_ids(bench);
			root = apply(bench, root, &bench->members[i], 1, &totals);
		}
		must(bench, db_commit(bench->db, &bench->err));
	}
	printf("%-34s %6.1f ms, %zu rows, %.0f kB in rows, %.0f kB on disk\n",
	       one_by_one ? "build one by one" : "build at once", (double)totals.apply_us / 1000, totals.rows,
	       (double)totals.bytes / 1000, (double)ask(bench, &RELATION_BYTES) / 1000);
	return root;
}

int main(int argc, char **argv)
{
	struct bench bench = { 0 };
	int64_t member_count, before, after;

	if (argc < 4 || !str_to_int64(str_of(argv[2]), &member_count) ||
	    !str_to_int64(str_of(argv[3]), (int64_t *)&bench.server_count) || member_count < 1 ||
	    member_count > USERS) {
		fprintf(stderr, "state_bench CONNINFO MEMBERS SERVERS [one-by-one]\n");
		return 1;
	}
	open_database(&bench, str_of(argv[1]));
	make_members(&bench, (size_t)member_count);
	before = build_room(&bench, argc > 4);
	before = measure_first_change(&bench, before);
	before = measure_changes(&bench, before, "the 1,000 changes after it");
	after = measure_changes(&bench, before, "1,000 changes further on");
	measure_loads(&bench, after);
	measure_gets(&bench, after);
	measure_diff(&bench, before, after);
	state_store_free(bench.store);
	db_release(bench.db);
	db_pool_free(bench.pool);
	arena_free(bench.arena);
	return 0;
}
