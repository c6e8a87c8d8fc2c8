#include "interned/interned.h"
#include "keys/keys_internal.h"
#include "matrix/canonical.h"

static const struct db_statement SELECT_DEVICES = {
	"keys_select_devices",
	"SELECT w.at, d.device_id, d.display_name, k.json"
	" FROM unnest($1::text[]) WITH ORDINALITY AS w (user_id, at) JOIN users u ON u.user_id = w.user_id"
	" JOIN device_keys k ON k.user_nid = u.user_nid JOIN devices d USING (device_nid)"
	" ORDER BY w.at, d.device_id",
};
static const struct db_statement SELECT_CROSS_SIGNING = {
	"keys_select_cross_signing",
	"SELECT w.at, c.usage, c.public_key, c.json"
	" FROM unnest($1::text[]) WITH ORDINALITY AS w (user_id, at) JOIN users u ON u.user_id = w.user_id"
	" JOIN cross_signing_keys c ON c.user_nid = u.user_nid WHERE c.usage <> 2 OR c.user_nid = $2"
	" ORDER BY c.usage, w.at",
};
/* client-server-api "Key and signature security": what one user says of another's key is that user's alone to see. */
static const struct db_statement SELECT_SIGNATURES = {
	"keys_select_signatures",
	"SELECT w.at, s.target, g.user_id, s.signer_key, s.signature"
	" FROM unnest($1::text[]) WITH ORDINALITY AS w (user_id, at) JOIN users u ON u.user_id = w.user_id"
	" JOIN key_signatures s ON s.user_nid = u.user_nid JOIN users g ON g.user_nid = s.signer_nid"
	" WHERE s.signer_nid = s.user_nid OR s.signer_nid = $2",
};

/* What has been added to one key: {signer: {key ID: signature}}. */
struct added {
	struct str place;
	json_t *signatures;
};

struct answer {
	const struct key_question *questions;
	struct arena *arena;
	struct buf *out;
	struct map added; /* struct added by user and key */
};

static struct str place_of(const struct answer *answer, int64_t at, struct str target)
{
	return str_printf(answer->arena, "%" PRId64 " %.*s", at, STR_ARG(target));
}

static struct added *added_to(struct answer *answer, struct str place)
{
	struct added *added = map_get(&answer->added, place);

	if (!added) {
		added = ARENA_NEW(answer->arena, struct added);
		*added = (struct added){ place, json_object() };
		arena_defer(answer->arena, (void (*)(void *))json_decref, added->signatures);
		map_put(&answer->added, place, added);
	}
	return added;
}

static void read_signatures(struct answer *answer, struct db_rows *rows)
{
	while (db_next(rows)) {
		struct added *added = added_to(answer, place_of(answer, db_get_int(rows, 0), db_get_str(rows, 1)));
		struct str signer = db_get_str(rows, 2), key = db_get_str(rows, 3);
		json_t *of_signer = json_object_getn(added->signatures, signer.ptr, signer.len);

		if (!of_signer) {
			of_signer = json_object();
			json_object_setn_new(added->signatures, signer.ptr, signer.len, of_signer);
		}
		json_object_setn_new(of_signer, key.ptr, key.len, json_new_str(db_get_str(rows, 4)));
	}
}

/* The key with the signatures that were added to it. */
static struct str with_signatures(const struct answer *answer, struct str json, int64_t at, struct str target)
{
	const struct added *added = map_get(&answer->added, place_of(answer, at, target));
	struct str own = STR("{}"), merged;
	json_t *signatures;

	if (!added)
		return json;
	slice_get(json, STR("signatures"), &own);
	signatures = json_loadb(own.ptr, own.len, 0, NULL);
	if (!json_is_object(signatures))
		return json;
	json_object_update_recursive(signatures, added->signatures);
	merged = json_text_sorted(signatures, answer->arena);
	json_decref(signatures);
	return canonical_set(json, STR("signatures"), merged, answer->arena);
}

static bool is_asked_for(const struct key_question *question, struct str device_id)
{
	size_t count = json_array_size(question->devices);

	for (size_t i = 0; i < count; i++) {
		if (str_eq(json_str(json_array_get(question->devices, i)), device_id))
			return true;
	}
	return count == 0;
}

static void write_device(struct answer *answer, struct db_rows *rows)
{
	struct str device_id = db_get_str(rows, 1), name = db_get_str(rows, 2);
	struct str json = with_signatures(answer, db_get_str(rows, 3), db_get_int(rows, 0), device_id);

	slice_write_string(answer->out, device_id);
	buf_char(answer->out, ':');
	buf_append(answer->out, str_sub(json, 0, json.len - 1));
	BUF_LIT(answer->out, ",\"unsigned\":{");
	if (name.len) {
		BUF_LIT(answer->out, "\"device_display_name\":");
		slice_write_string(answer->out, name);
	}
	BUF_LIT(answer->out, "}}");
}

/* Every user who was asked for has an object, be it empty. */
static void write_devices(struct answer *answer, size_t count, struct db_rows *rows)
{
	bool there = db_next(rows);

	BUF_LIT(answer->out, "\"device_keys\":{");
	for (size_t i = 0; i < count; i++) {
		bool first = true;

		if (i)
			buf_char(answer->out, ',');
		slice_write_string(answer->out, answer->questions[i].user_id);
		BUF_LIT(answer->out, ":{");
		for (; there && (size_t)db_get_int(rows, 0) == i + 1; there = db_next(rows)) {
			if (!is_asked_for(&answer->questions[i], db_get_str(rows, 1)))
				continue;
			if (!first)
				buf_char(answer->out, ',');
			first = false;
			write_device(answer, rows);
		}
		buf_char(answer->out, '}');
	}
	buf_char(answer->out, '}');
}

static void write_cross_signing(struct answer *answer, struct db_rows *rows)
{
	static const char *const names[KEY_USAGE_COUNT] = { "master_keys", "self_signing_keys", "user_signing_keys" };
	bool there = db_next(rows);

	for (int64_t usage = 0; usage < KEY_USAGE_COUNT; usage++) {
		bool first = true;

		buf_printf(answer->out, ",\"%s\":{", names[usage]);
		for (; there && db_get_int(rows, 1) == usage; there = db_next(rows)) {
			int64_t at = db_get_int(rows, 0);

			if (!first)
				buf_char(answer->out, ',');
			first = false;
			slice_write_string(answer->out, answer->questions[at - 1].user_id);
			buf_char(answer->out, ':');
			buf_append(answer->out, with_signatures(answer, db_get_str(rows, 3), at, db_get_str(rows, 2)));
		}
		buf_char(answer->out, '}');
	}
}

bool keys_write_query(struct server *server, nid_t asker, const struct key_question *questions, size_t count,
		      struct arena *arena, struct buf *out, struct err *err)
{
	struct str *user_ids = ARENA_ARRAY(arena, count, struct str);
	struct answer answer = { .questions = questions, .arena = arena, .out = out };
	struct db_rows *devices, *cross_signing, *signatures;
	CLEANUP(db_release) struct db *db = NULL;

	for (size_t i = 0; i < count; i++)
		user_ids[i] = questions[i].user_id;
	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_DEVICES, DB_PARAMS(db_texts(user_ids, count)), arena, &devices, err) ||
	    !db_query(db, &SELECT_CROSS_SIGNING, DB_PARAMS(db_texts(user_ids, count), db_int(asker)), arena,
		      &cross_signing, err) ||
	    !db_query(db, &SELECT_SIGNATURES, DB_PARAMS(db_texts(user_ids, count), db_int(asker)), arena, &signatures,
		      err))
		return err_detail(err, "query the keys of %zu users", count);
	read_signatures(&answer, signatures);
	write_devices(&answer, count, devices);
	write_cross_signing(&answer, cross_signing);
	map_done(&answer.added);
	return true;
}
