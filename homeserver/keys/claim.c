#include "journal/journal.h"
#include "keys/keys_internal.h"

/* The oldest key of each that nobody else is taking at this moment: none is given out twice, and nobody waits. */
static const struct db_statement TAKE_ONE_TIME = {
	"keys_take_one_time",
	"WITH picked AS MATERIALIZED (SELECT w.at, k.device_nid, k.algorithm, k.key_id"
	" FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w (user_id, device_id, algorithm, at)"
	" JOIN users u ON u.user_id = w.user_id JOIN devices d ON d.user_nid = u.user_nid"
	" AND d.device_id = w.device_id CROSS JOIN LATERAL (SELECT o.device_nid, o.algorithm, o.key_id"
	" FROM one_time_keys o WHERE o.device_nid = d.device_nid AND o.algorithm = w.algorithm AND NOT o.claimed ORDER BY o.age"
	" LIMIT 1 FOR UPDATE SKIP LOCKED) k), taken AS (UPDATE one_time_keys o SET claimed = true FROM picked p"
	" WHERE o.device_nid = p.device_nid AND o.algorithm = p.algorithm AND o.key_id = p.key_id"
	" RETURNING p.at, o.device_nid, o.key_id, o.json)"
	" SELECT t.at, t.key_id, t.json, t.device_nid, d.user_nid, true FROM taken t JOIN devices d"
	" USING (device_nid)",
};
/* Locked in one order. The last column: it has not been used before. */
static const struct db_statement SELECT_FALLBACK = {
	"keys_select_fallback",
	"SELECT w.at, f.key_id, f.json, f.device_nid, d.user_nid, NOT f.used"
	" FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w (user_id, device_id, algorithm, at)"
	" JOIN users u ON u.user_id = w.user_id JOIN devices d ON d.user_nid = u.user_nid"
	" AND d.device_id = w.device_id JOIN fallback_keys f ON f.device_nid = d.device_nid"
	" AND f.algorithm = w.algorithm ORDER BY f.device_nid, f.algorithm FOR NO KEY UPDATE OF f",
};
static const struct db_statement MARK_FALLBACK = {
	"keys_mark_fallback",
	"UPDATE fallback_keys f SET used = true"
	" FROM unnest($1::bigint[], $2::text[]) AS u (device, algorithm) WHERE f.device_nid = u.device"
	" AND f.algorithm = u.algorithm",
};

struct claim {
	const struct key_wish *wishes;
	bool *granted;
	json_t *keys;
	struct arena *arena;
	struct journal_entry *entries; /* one a device whose counts change */
	size_t entry_count, entry_cap;
	nid_t *fallback_devices; /* of fallback keys that are used for the first time */
	struct str *fallback_algorithms;
	size_t fallback_count;
};

static json_t *member_object(json_t *object, struct str key)
{
	json_t *member = json_object_getn(object, key.ptr, key.len);

	if (!member) {
		member = json_object();
		json_object_setn_new(object, key.ptr, key.len, member);
	}
	return member;
}

static void grant(struct claim *claim, size_t at, struct str key_id, struct str json)
{
	const struct key_wish *wish = &claim->wishes[at];
	json_t *of_device = member_object(member_object(claim->keys, wish->user_id), wish->device_id);
	struct str name = str_printf(claim->arena, "%.*s:%.*s", STR_ARG(wish->algorithm), STR_ARG(key_id));

	json_object_setn_new(of_device, name.ptr, name.len, json_loadb(json.ptr, json.len, JSON_DECODE_ANY, NULL));
	claim->granted[at] = true;
}

static void take_rows(struct claim *claim, struct db_rows *rows, const size_t *places)
{
	while (db_next(rows)) {
		size_t row = (size_t)db_get_int(rows, 0) - 1, at = places ? places[row] : row;

		grant(claim, at, db_get_str(rows, 1), db_get_str(rows, 2));
		if (!db_get_bool(rows, 5))
			continue;
		*ARENA_PUSH(claim->arena, claim->entries, claim->entry_count, claim->entry_cap) =
			(struct journal_entry){ .kind = JOURNAL_ONE_TIME_KEYS,
						.user = db_get_nid(rows, 4),
						.device = db_get_nid(rows, 3) };
		if (places) {
			claim->fallback_devices[claim->fallback_count] = db_get_nid(rows, 3);
			claim->fallback_algorithms[claim->fallback_count++] = claim->wishes[at].algorithm;
		}
	}
}

/* Of the wishes that `granted` doesn't have (NULL: of all), as parameters. */
static struct db_params wish_params(const struct claim *claim, size_t count, size_t *places, size_t *ret_left)
{
	struct str *columns[3];
	struct db_param *params = ARENA_ARRAY(claim->arena, 3, struct db_param);
	size_t left = 0;

	for (size_t i = 0; i < 3; i++)
		columns[i] = ARENA_ARRAY(claim->arena, count, struct str);
	for (size_t i = 0; i < count; i++) {
		if (claim->granted[i])
			continue;
		columns[0][left] = claim->wishes[i].user_id;
		columns[1][left] = claim->wishes[i].device_id;
		columns[2][left] = claim->wishes[i].algorithm;
		places[left++] = i;
	}
	for (size_t i = 0; i < 3; i++)
		params[i] = db_texts(columns[i], left);
	*ret_left = left;
	return (struct db_params){ params, 3 };
}

/* client-server-api "One-time and fallback keys": when no other key is left, and as often as it is asked for. */
static bool claim_fallbacks(struct db *db, struct claim *claim, size_t count, size_t *places, struct err *err)
{
	struct db_params params = wish_params(claim, count, places, &count);
	struct db_rows *rows;

	if (count == 0)
		return true;
	claim->fallback_devices = ARENA_ARRAY(claim->arena, count, nid_t);
	claim->fallback_algorithms = ARENA_ARRAY(claim->arena, count, struct str);
	if (!db_query(db, &SELECT_FALLBACK, params, claim->arena, &rows, err))
		return false;
	take_rows(claim, rows, places);
	return !claim->fallback_count || db_exec(db, &MARK_FALLBACK,
						 DB_PARAMS(db_ints(claim->fallback_devices, claim->fallback_count),
							   db_texts(claim->fallback_algorithms, claim->fallback_count)),
						 NULL, err);
}

static bool claim_all(struct server *server, struct claim *claim, size_t count, struct err *err)
{
	size_t *places = ARENA_ARRAY(claim->arena, count, size_t);
	struct db_params params = wish_params(claim, count, places, &count);
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	if (!db_acquire(server->pool, &db, err) || !db_begin(db, err) ||
	    !db_query(db, &TAKE_ONE_TIME, params, claim->arena, &rows, err))
		return false;
	take_rows(claim, rows, NULL);
	if (!claim_fallbacks(db, claim, count, places, err))
		return false;
	return !claim->entry_count ||
	       journal_append(server->journal, db, claim->entries, claim->entry_count, NULL, err);
}

bool keys_claim(struct server *server, const struct key_wish *wishes, size_t count, struct arena *arena,
		json_t **ret_keys, struct err *err)
{
	struct claim claim = {
		.wishes = wishes, .granted = ARENA_ARRAY(arena, count, bool), .keys = json_object(), .arena = arena
	};

	if (count && !claim_all(server, &claim, count, err)) {
		json_decref(claim.keys);
		return err_detail(err, "claim keys");
	}
	*ret_keys = claim.keys;
	return true;
}
