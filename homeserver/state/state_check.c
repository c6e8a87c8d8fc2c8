#include "state/state_row.h"
#include "state/state_store.h"

#define PAGE        "500"
#define CACHE_BYTES ((size_t)64 * 1024 * 1024)

struct checker {
	struct db *db;
	nid_t room;
	const struct state_check *check;
	struct arena *arena;
	struct idmap node_counts; /* of the rows that decode: id → unsigned */
};

static struct checker checker_init(struct db *db, nid_t room, const struct state_check *check)
{
	return (struct checker){ .db = db, .room = room, .check = check, .arena = arena_new() };
}

static void checker_done_cleanup(struct checker *checker)
{
	idmap_done(&checker->node_counts);
	arena_free(checker->arena);
}

#define REPORT(checker, ...)                                                                                           \
	(checker)->check->report((checker)->check->context, str_printf((checker)->arena, __VA_ARGS__))

static const struct db_statement SELECT_PAGE = {
	.name = "state_rows_page",
	.sql = "SELECT row_id, data FROM state_rows WHERE room_nid = $1 AND row_id > $2 ORDER BY row_id LIMIT " PAGE,
};

static bool each_row(struct checker *checker, void (*fn)(struct checker *checker, int64_t row_id, struct str data),
		     struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct db_rows *rows;
	int64_t last = INT64_MIN;

	do {
		arena_reset(arena);
		if (!db_query(checker->db, &SELECT_PAGE, DB_PARAMS(db_int(checker->room), db_int(last)), arena, &rows,
			      err))
			return false;
		while (db_next(rows)) {
			last = db_get_int(rows, 0);
			fn(checker, last, db_get_str(rows, 1));
		}
	} while (db_row_count(rows));
	return true;
}

static void check_row(struct checker *checker, int64_t row_id, struct str data)
{
	struct state_row row;
	unsigned *node_count;

	if (!state_row_valid(data, row_id) || !state_row_open(data, row_id, &row)) {
		REPORT(checker, "state row %" PRId64 " of room %" PRId64 " does not decode", row_id, checker->room);
		return;
	}
	node_count = ARENA_NEW(checker->arena, unsigned);
	*node_count = row.node_count;
	idmap_put(&checker->node_counts, row_id, node_count);
}

static void check_branch(struct checker *checker, struct state_node *branch)
{
	state_ref ref;

	for (unsigned i = 0; i < branch->count && state_branch_next(branch, &ref); i++) {
		const unsigned *node_count = idmap_get(&checker->node_counts, state_ref_row(ref));

		if (!node_count || ref % STATE_ROW_NODES >= *node_count)
			REPORT(checker,
			       "state row %" PRId64 " of room %" PRId64 " refers to node %" PRId64 " of row %" PRId64
			       ", which is missing",
			       branch->row->id, checker->room, ref % STATE_ROW_NODES, state_ref_row(ref));
	}
}

static void check_references(struct checker *checker, int64_t row_id, struct str data)
{
	struct state_node node;
	struct state_row row;

	if (!idmap_get(&checker->node_counts, row_id) || !state_row_open(data, row_id, &row))
		return;
	for (unsigned i = row.is_root ? 0 : 1; i < row.node_count; i++) {
		if (state_node_open(&row, i, &node) && node.is_branch)
			check_branch(checker, &node);
	}
}

/* Each root is compared with the one before it, so that a history costs what it changed. */
static bool check_roots(struct checker *checker, const int64_t *roots, size_t count, struct err *err)
{
	CLEANUP(state_store_free) struct state_store *store = state_store_new(NULL, CACHE_BYTES);
	struct state_store_on on = { store, checker->db };
	struct state_source source = state_store_source_on(&on);
	int64_t known = 0;

	for (size_t i = 0; i < count; i++) {
		const char *fault;

		if (!state_verify(&source, checker->room, known, roots[i], &fault, err)) {
			if (db_is_broken(checker->db))
				return false;
			fault = err->detail;
		}
		if (fault)
			REPORT(checker, "state root %" PRId64 " of room %" PRId64 ": %s", roots[i], checker->room,
			       fault);
		else
			known = roots[i];
	}
	return true;
}

bool state_store_check(struct db *db, nid_t room, const int64_t *roots, size_t count, const struct state_check *check,
		       struct err *err)
{
	CLEANUP(checker_done) struct checker checker = checker_init(db, room, check);

	return each_row(&checker, check_row, err) && each_row(&checker, check_references, err) &&
	       check_roots(&checker, roots, count, err);
}
