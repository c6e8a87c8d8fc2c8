/* Building events: each form of one (to be hashed, to be signed, whole) is written out from the same draft. */
#include "base/utf8.h"
#include "matrix/base64.h"
#include "matrix/canonical.h"
#include "matrix/event_internal.h"
#include "matrix/identifiers.h"
#include "matrix/redaction.h"

/* An event that is being built: what an author gave, and what is added in steps. Empty: not yet there, or not to be
 * there. */
struct draft {
	const struct room_version *version;
	const struct event_fields *fields;
	struct str event_id, content, redacts, hash;
	struct str server_name, key_id, signature;
};

/* The name of a field as a key; the value is to follow. */
static void put_key(struct buf *out, enum field field)
{
	buf_char(out, out->len ? ',' : '{');
	buf_char(out, '"');
	buf_append(out, event_fields_known[field].name);
	BUF_LIT(out, "\":");
}

static void put_string(struct buf *out, enum field field, struct str text)
{
	put_key(out, field);
	slice_write_string(out, text);
}

static void put_int(struct buf *out, enum field field, int64_t number)
{
	put_key(out, field);
	buf_int(out, number);
}

static void put_pair(struct buf *out, struct str id, const struct str *hash)
{
	buf_char(out, '[');
	slice_write_string(out, id);
	BUF_LIT(out, ",{");
	if (hash) {
		BUF_LIT(out, "\"sha256\":");
		slice_write_string(out, *hash);
	}
	BUF_LIT(out, "}]");
}

static void put_event_list(struct buf *out, const struct draft *draft, enum field field, const struct str *ids,
			   const struct str *hashes, size_t count)
{
	put_key(out, field);
	buf_char(out, '[');
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_char(out, ',');
		if (has_pairs(draft->version))
			put_pair(out, ids[i], hashes ? &hashes[i] : NULL);
		else
			slice_write_string(out, ids[i]);
	}
	buf_char(out, ']');
}

static void put_signature(struct buf *out, const struct draft *draft)
{
	put_key(out, SIGNATURES);
	buf_char(out, '{');
	slice_write_string(out, draft->server_name);
	BUF_LIT(out, ":{");
	slice_write_string(out, draft->key_id);
	buf_char(out, ':');
	slice_write_string(out, draft->signature);
	BUF_LIT(out, "}}");
}

/* The canonical form of what is there: members in order. */
static bool draft_json(const struct draft *draft, struct arena *arena, struct str *ret_json, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(EVENT_MAX_SIZE);
	const struct event_fields *f = draft->fields;

	put_event_list(&out, draft, AUTH_EVENTS, f->auth_events, f->auth_hashes, f->auth_count);
	put_key(&out, CONTENT);
	buf_append(&out, draft->content);
	put_int(&out, DEPTH, MIN(f->depth, EVENT_MAX_DEPTH));
	if (draft->event_id.len)
		put_string(&out, EVENT_ID, draft->event_id);
	if (draft->hash.len) {
		put_key(&out, HASHES);
		BUF_LIT(&out, "{\"sha256\":");
		slice_write_string(&out, draft->hash);
		buf_char(&out, '}');
	}
	put_int(&out, ORIGIN_SERVER_TS, f->origin_server_ts);
	put_event_list(&out, draft, PREV_EVENTS, f->prev_events, f->prev_hashes, f->prev_count);
	if (draft->redacts.len)
		put_string(&out, REDACTS, draft->redacts);
	if (f->room_id.len)
		put_string(&out, ROOM_ID, f->room_id);
	put_string(&out, SENDER, f->sender);
	if (draft->signature.len)
		put_signature(&out, draft);
	if (f->is_state)
		put_string(&out, STATE_KEY, f->state_key);
	put_string(&out, TYPE, f->type);
	buf_char(&out, '}');
	if (!buf_ok(&out))
		return err_set(err, M_TOO_LARGE, "The event is too large");
	*ret_json = str_dup(arena, buf_str(&out));
	return true;
}

/* The content as the version has it: canonical in all versions, since what receivers of old ones make of other numbers
 * varies. */
static bool draft_content(struct draft *draft, struct arena *arena, struct err *err)
{
	const struct event_fields *f = draft->fields;
	struct str value;

	if (f->content.len > EVENT_MAX_TEXT)
		return err_set(err, M_TOO_LARGE, "The event is too large");
	if (!slice_parse(f->content, &value, err))
		return false;
	if (slice_type(value) != SLICE_OBJECT)
		return event_malformed(err, CONTENT, "is no object");
	if (!canonical_value(value, CANONICAL_INTEGERS, NULL, 0, arena, &draft->content, err))
		return false;
	if (f->redacts.len == 0)
		return true;
	if (draft->version->redacts_in_content) {
		CLEANUP(buf_done) struct buf id = buf_init(SIZE_MAX);

		slice_write_string(&id, f->redacts);
		draft->content = canonical_set(draft->content, STR("redacts"), buf_str(&id), arena);
	} else {
		draft->redacts = f->redacts;
	}
	return true;
}

/* What the slices of a finished event can no longer tell. */
static bool check_fields(const struct event_fields *fields, struct err *err)
{
	const int64_t max = (INT64_C(1) << 53) - 1;

	if (!utf8_valid(fields->type))
		return event_malformed(err, TYPE, "is not UTF-8");
	if (!utf8_valid(fields->state_key))
		return event_malformed(err, STATE_KEY, "is not UTF-8");
	if (fields->redacts.len && !event_id_valid(fields->redacts))
		return event_malformed(err, REDACTS, "is not an event ID");
	if (fields->origin_server_ts < -max || fields->origin_server_ts > max)
		return event_malformed(err, ORIGIN_SERVER_TS, "is out of range");
	return true;
}

bool event_build(const struct room_version *version, const struct event_fields *fields, struct str server_name,
		 const struct signing_key *key, struct str random_id, struct arena *arena, struct pdu *ret_pdu,
		 struct err *err)
{
	struct draft draft = { version, fields, .server_name = server_name, .key_id = signing_key_id(key) }, redacted;
	struct signature signature;
	struct str covered = { 0 }, bare = { 0 }, json = { 0 };

	if (has_pairs(version))
		draft.event_id = str_printf(arena, "$%.*s:%.*s", STR_ARG(random_id), STR_ARG(server_name));
	if (!check_fields(fields, err) || !draft_content(&draft, arena, err) ||
	    !draft_json(&draft, arena, &covered, err))
		return false;
	draft.hash = event_hash(covered, false, arena);
	redacted = draft;
	redacted.content = redact_canonical_content(version, fields->type, draft.content, arena);
	redacted.redacts = (struct str){ 0 };
	if (!draft_json(&redacted, arena, &bare, err))
		return false;
	signature = signing_sign(key, bare);
	draft.signature = base64_encode(arena, signature.bytes, sizeof(signature.bytes));
	return draft_json(&draft, arena, &json, err) && event_finish(version, json, bare, arena, ret_pdu, err);
}
