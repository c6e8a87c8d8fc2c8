#include "sync/sync.h"

/* Numbers with a `_` between, `min` of them at least. Those that are not there are left as they were. */
static bool parse_numbers(struct str text, char sigil, int64_t *const *numbers, size_t min, size_t max)
{
	struct str part;
	size_t count = 0;

	if (!text.len || text.ptr[0] != sigil)
		return false;
	text = str_from(text, 1);
	while (count < max && str_split(&text, '_', &part)) {
		if (!str_to_int64(part, numbers[count++]))
			return false;
	}
	return count >= min && !text.ptr;
}

bool sync_token_parse(struct str text, struct sync_token *ret_token)
{
	struct sync_token token = { 0 };
	int64_t *const numbers[] = { &token.pos, &token.ephemeral, &token.device, &token.to_device };

	if (!parse_numbers(text, 's', numbers, 2, ARRAY_LEN(numbers)) || token.pos < 0 || token.ephemeral < 0 || token.device < 0 || token.to_device < 0)
		return false;
	*ret_token = token;
	return true;
}

struct str sync_token_text(struct sync_token token, struct arena *arena)
{
	if (token.to_device)
		return str_printf(arena, "s%" PRId64 "_%" PRId64 "_%" PRId64 "_%" PRId64, token.pos, token.ephemeral, token.device, token.to_device);
	return str_printf(arena, "s%" PRId64 "_%" PRId64, token.pos, token.ephemeral);
}

bool order_token_parse(struct str text, struct event_order *ret_order)
{
	struct event_order order;
	int64_t *const numbers[] = { &order.seq, &order.sub };

	if (!parse_numbers(text, 't', numbers, 2, 2) || order.seq < 0 || order.sub < INT32_MIN || order.sub > INT32_MAX)
		return false;
	*ret_order = order;
	return true;
}

struct str order_token_text(struct event_order order, struct arena *arena)
{
	return str_printf(arena, "t%" PRId64 "_%" PRId64, order.seq, order.sub);
}

static const struct db_statement SELECT_POINTS = {
	"sync_room_points",
	"SELECT r.at, j.seq, j.root_after FROM unnest($1::bigint[]) WITH ORDINALITY AS r (room, at)"
	" CROSS JOIN LATERAL (SELECT seq, root_after FROM journal WHERE room_nid = r.room AND pos <= $2 AND kind IN (1, 2) ORDER BY pos DESC LIMIT 1) j",
};

bool room_points_at(struct server *server, const nid_t *rooms, size_t count, int64_t pos, struct arena *arena, struct room_point *ret_points,
                    struct err *err)
{
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	for (size_t i = 0; i < count; i++)
		ret_points[i] = (struct room_point){ .room = rooms[i] };
	if (count == 0)
		return true;
	if (!db_acquire(server->pool, &db, err) || !db_query(db, &SELECT_POINTS, DB_PARAMS(db_ints(rooms, count), db_int(pos)), arena, &rows, err))
		return err_detail(err, "points of %zu rooms", count);
	while (db_next(rows)) {
		struct room_point *point = &ret_points[db_get_int(rows, 0) - 1];

		point->seq = db_get_int(rows, 1);
		point->root = db_get_int(rows, 2);
	}
	return true;
}
