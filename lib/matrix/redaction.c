/*
 * A redaction strips an event of all keys but some, and its content of all keys but some that depend on the type: those
 * that event authorization and state resolution need, so that a room stays the same room when an event is redacted.
 */
#include "matrix/redaction.h"

#include "matrix/canonical.h"

#define LAST 12

/* Room versions in which a key stays. */
struct kept {
	struct str key;
	int from, to;
};

static const struct kept top_keys[] = {
	{ STR_INIT("auth_events"), 1, LAST }, { STR_INIT("content"), 1, LAST },
	{ STR_INIT("depth"), 1, LAST },       { STR_INIT("event_id"), 1, LAST },
	{ STR_INIT("hashes"), 1, LAST },      { STR_INIT("membership"), 1, 10 },
	{ STR_INIT("origin"), 1, 10 },        { STR_INIT("origin_server_ts"), 1, LAST },
	{ STR_INIT("prev_events"), 1, LAST }, { STR_INIT("prev_state"), 1, 10 },
	{ STR_INIT("room_id"), 1, LAST },     { STR_INIT("sender"), 1, LAST },
	{ STR_INIT("signatures"), 1, LAST },  { STR_INIT("state_key"), 1, LAST },
	{ STR_INIT("type"), 1, LAST },
};

/* A kept key of a type's content. */
static const struct {
	struct str type;
	struct kept kept;
} content_keys[] = {
	{ STR_INIT("m.room.aliases"), { STR_INIT("aliases"), 1, 5 } },
	{ STR_INIT("m.room.create"), { STR_INIT("creator"), 1, 10 } }, /* from 11 on all keys stay */
	{ STR_INIT("m.room.history_visibility"), { STR_INIT("history_visibility"), 1, LAST } },
	{ STR_INIT("m.room.join_rules"), { STR_INIT("join_rule"), 1, LAST } },
	{ STR_INIT("m.room.join_rules"), { STR_INIT("allow"), 8, LAST } },
	{ STR_INIT("m.room.member"), { STR_INIT("membership"), 1, LAST } },
	{ STR_INIT("m.room.member"), { STR_INIT("join_authorised_via_users_server"), 9, LAST } },
	{ STR_INIT("m.room.member"), { STR_INIT("third_party_invite"), 11, LAST } }, /* its `signed` only */
	{ STR_INIT("m.room.power_levels"), { STR_INIT("ban"), 1, LAST } },
	{ STR_INIT("m.room.power_levels"), { STR_INIT("events"), 1, LAST } },
	{ STR_INIT("m.room.power_levels"), { STR_INIT("events_default"), 1, LAST } },
	{ STR_INIT("m.room.power_levels"), { STR_INIT("invite"), 11, LAST } },
	{ STR_INIT("m.room.power_levels"), { STR_INIT("kick"), 1, LAST } },
	{ STR_INIT("m.room.power_levels"), { STR_INIT("redact"), 1, LAST } },
	{ STR_INIT("m.room.power_levels"), { STR_INIT("state_default"), 1, LAST } },
	{ STR_INIT("m.room.power_levels"), { STR_INIT("users"), 1, LAST } },
	{ STR_INIT("m.room.power_levels"), { STR_INIT("users_default"), 1, LAST } },
	{ STR_INIT("m.room.redaction"), { STR_INIT("redacts"), 11, LAST } },
};

static bool keeps(const struct kept *kept, const struct room_version *version, struct str key)
{
	return version->number >= kept->from && version->number <= kept->to && slice_string_eq(key, kept->key);
}

static bool keeps_top(const struct room_version *version, struct str key)
{
	for (size_t i = 0; i < ARRAY_LEN(top_keys); i++) {
		if (keeps(&top_keys[i], version, key))
			return true;
	}
	return false;
}

/* The kept keys of `type` are content_keys[first] up to, and without, content_keys[*ret_end]. */
static size_t content_keys_of(struct str type, size_t *ret_end)
{
	size_t first = 0, end;

	while (first < ARRAY_LEN(content_keys) && !str_eq(content_keys[first].type, type))
		first++;
	for (end = first; end < ARRAY_LEN(content_keys) && str_eq(content_keys[end].type, type);)
		end++;
	*ret_end = end;
	return first;
}

/* Of a third-party invite, `signed` stays. */
static void keep_third_party_invite(struct buf *out, struct str key, struct str invite)
{
	CLEANUP(buf_done) struct buf kept = buf_init(invite.len);
	struct str value;

	if (slice_type(invite) != SLICE_OBJECT)
		return;
	buf_char(&kept, '{');
	if (slice_get(invite, STR("signed"), &value))
		canonical_member(&kept, STR("\"signed\""), value);
	buf_char(&kept, '}');
	canonical_member(out, key, buf_str(&kept));
}

static void write_content(struct buf *out, const struct room_version *version, struct str type, struct str content)
{
	struct slice_iter iter = slice_iter(content);
	size_t end, first = content_keys_of(type, &end);
	struct str key, value;

	if (version->redacts_in_content && str_eq(type, STR("m.room.create"))) {
		buf_append(out, content);
		return;
	}
	buf_char(out, '{');
	while (first < end && slice_member(&iter, &key, &value)) {
		for (size_t i = first; i < end; i++) {
			if (!keeps(&content_keys[i].kept, version, key))
				continue;
			if (str_eq(content_keys[i].kept.key, STR("third_party_invite")))
				keep_third_party_invite(out, key, value);
			else
				canonical_member(out, key, value);
		}
	}
	buf_char(out, '}');
}

struct str redact_canonical_content(const struct room_version *version, struct str type, struct str content,
				    struct arena *arena)
{
	CLEANUP(buf_done) struct buf out = buf_init(content.len + 2);

	write_content(&out, version, type, content);
	assert(buf_ok(&out));
	return str_dup(arena, buf_str(&out));
}

struct str redact_canonical(const struct room_version *version, struct str event, bool bare, struct arena *arena)
{
	CLEANUP(buf_done) struct buf out = buf_init(event.len + 2);
	struct slice_iter iter = slice_iter(event);
	struct str type = { 0 }, key, value;

	slice_get_string(event, STR("type"), arena, &type);
	buf_char(&out, '{');
	while (slice_member(&iter, &key, &value)) {
		if (!keeps_top(version, key) || (bare && slice_string_eq(key, STR("signatures"))))
			continue;
		if (slice_string_eq(key, STR("content"))) {
			canonical_member(&out, key, (struct str){ 0 });
			write_content(&out, version, type, value);
		} else {
			canonical_member(&out, key, value);
		}
	}
	buf_char(&out, '}');
	assert(buf_ok(&out));
	return str_dup(arena, buf_str(&out));
}
