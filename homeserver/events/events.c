#include "events/events.h"

enum visibility visibility_parse(struct str name)
{
	if (str_eq(name, STR("invited")))
		return VISIBILITY_INVITED;
	if (str_eq(name, STR("joined")))
		return VISIBILITY_JOINED;
	if (str_eq(name, STR("world_readable")))
		return VISIBILITY_WORLD_READABLE;
	return VISIBILITY_SHARED;
}

int event_order_cmp(struct event_order a, struct event_order b)
{
	if (a.seq != b.seq)
		return a.seq < b.seq ? -1 : 1;
	return (a.sub > b.sub) - (a.sub < b.sub);
}

void event_pdu(const struct room_version *version, const struct event *event, struct str room_id, struct arena *arena, struct pdu *ret_pdu)
{
	pdu_view(version, event->json, event->event_id, room_id, arena, ret_pdu);
}

/* One member of an object that is being written. */
static void key(struct buf *buf, bool *first, const char *name)
{
	if (!*first)
		buf_char(buf, ',');
	*first = false;
	buf_char(buf, '"');
	buf_append(buf, str_of(name));
	BUF_LIT(buf, "\":");
}

static void raw_member(struct buf *buf, bool *first, const char *name, struct str value)
{
	key(buf, first, name);
	buf_append(buf, value);
}

static void string_member(struct buf *buf, bool *first, const char *name, struct str text)
{
	key(buf, first, name);
	slice_write_string(buf, text);
}

/* Of a redaction by PUT …/redact/{eventId}/{txnId} the ID of the event is kept before the transaction's, which is of that path alone. */
static struct str shown_txn_id(const struct event *event)
{
	ptrdiff_t space = str_find_char(event->txn_id, ' ');

	return space > 0 && event->txn_id.ptr[0] == '$' ? str_from(event->txn_id, (size_t)space + 1) : event->txn_id;
}

static void write_unsigned(struct buf *buf, const struct event *event, const struct client_form *form)
{
	bool first = true;

	buf_char(buf, '{');
	key(buf, &first, "age");
	buf_int(buf, MAX(form->now_ms - event->origin_server_ts, 0));
	if (form->device && event->txn_device == form->device && event->txn_id.len)
		string_member(buf, &first, "transaction_id", shown_txn_id(event));
	if (form->membership.len)
		string_member(buf, &first, "membership", form->membership);
	if (form->prev_content.len)
		raw_member(buf, &first, "prev_content", form->prev_content);
	if (form->prev_sender.len)
		string_member(buf, &first, "prev_sender", form->prev_sender);
	if (form->replaces_state.len)
		string_member(buf, &first, "replaces_state", form->replaces_state);
	if (form->redacted_because.len)
		raw_member(buf, &first, "redacted_because", form->redacted_because);
	if (form->relations.len)
		raw_member(buf, &first, "m.relations", form->relations);
	buf_char(buf, '}');
}

/* What the event says, redacted if it was. */
static struct str shown_json(const struct event *event, const struct client_form *form, struct arena *arena)
{
	return event->redacted_by ? event_redact(form->version, event->json, arena) : event->json;
}

/* What clients see of an event, as slices; empty: it is not there. */
struct parts {
	struct str content, redacts, sender, state_key, type;
};

static struct parts parts_of(struct str json)
{
	static const struct str keys[] = { STR_INIT("content"), STR_INIT("redacts"), STR_INIT("sender"), STR_INIT("state_key"), STR_INIT("type") };
	struct str values[ARRAY_LEN(keys)];

	slice_get_many(json, keys, ARRAY_LEN(keys), values);
	return (struct parts){ values[0].len ? values[0] : STR("{}"), values[1], values[2], values[3], values[4] };
}

/* Old clients look for `redacts` at the top level, new ones in the content: serve both (client-server-api "m.room.redaction"). */
static void write_redacts(struct buf *buf, bool *first, const struct parts *parts)
{
	struct str redacts = parts->redacts;

	if (redacts.len || slice_get(parts->content, STR("redacts"), &redacts))
		raw_member(buf, first, "redacts", redacts);
}

static struct str content_of(const struct event *event, const struct parts *parts, const struct client_form *form, struct arena *arena)
{
	struct str content = parts->content, redacts = parts->redacts;

	if (event->redacted_by || form->version->redacts_in_content || !redacts.len)
		return content;
	/* Below version 11, `redacts` is shown in the content too. */
	if (content.len <= 2)
		return str_printf(arena, "{\"redacts\":%.*s}", STR_ARG(redacts));
	return str_printf(arena, "%.*s,\"redacts\":%.*s}", (int)content.len - 1, content.ptr, STR_ARG(redacts));
}

static bool wanted(const struct client_form *form, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < form->only_count; i++) {
		struct str field = form->only[i];

		if (field.len >= len && !memcmp(field.ptr, name, len) && (field.len == len || field.ptr[len] == '.'))
			return true;
	}
	return !form->only;
}

/* event_fields names paths into the content, with dots escaped by a backslash: only those members are kept. */
static struct str kept_content(struct str content, const struct client_form *form, struct arena *arena)
{
	CLEANUP(buf_done) struct buf buf = buf_init(EVENT_MAX_SIZE * 2);
	struct slice_iter iter = slice_iter(content);
	struct str name, value, text;
	bool first = true;

	if (!form->only)
		return content;
	for (size_t i = 0; i < form->only_count; i++) {
		if (str_eq(form->only[i], STR("content")))
			return content;
	}
	buf_char(&buf, '{');
	while (slice_member(&iter, &name, &value)) {
		bool keep = false;

		slice_string(name, arena, &text);
		for (size_t i = 0; i < form->only_count && !keep; i++) {
			struct str field = form->only[i];

			if (!str_starts_with(field, STR("content.")))
				continue;
			field = str_from(field, 8);
			keep = str_eq(field, text) || (str_starts_with(field, text) && field.ptr[text.len] == '.');
		}
		if (!keep)
			continue;
		if (!first)
			buf_char(&buf, ',');
		first = false;
		buf_append(&buf, name);
		buf_char(&buf, ':');
		buf_append(&buf, value);
	}
	buf_char(&buf, '}');
	return str_dup(arena, buf_str(&buf));
}

/* The stored object's members, its ID where the version leaves it out, and `unsigned`. */
static void write_federation(struct buf *buf, const struct event *event, struct str json, const struct client_form *form)
{
	struct str event_id;

	buf_append(buf, str_sub(json, 0, json.len - 1));
	if (!slice_get(json, STR("event_id"), &event_id)) {
		BUF_LIT(buf, ",\"event_id\":");
		slice_write_string(buf, event->event_id);
	}
	BUF_LIT(buf, ",\"unsigned\":");
	write_unsigned(buf, event, form);
	buf_char(buf, '}');
}

void event_write_client(struct buf *buf, const struct event *event, const struct client_form *form, struct arena *arena)
{
	struct str json = shown_json(event, form, arena);
	struct parts parts;
	bool first = true;

	if (form->federation_format) {
		write_federation(buf, event, json, form);
		return;
	}
	parts = parts_of(json);
	buf_char(buf, '{');
	if (wanted(form, "content"))
		raw_member(buf, &first, "content", kept_content(content_of(event, &parts, form, arena), form, arena));
	if (wanted(form, "event_id"))
		string_member(buf, &first, "event_id", event->event_id);
	if (wanted(form, "origin_server_ts")) {
		key(buf, &first, "origin_server_ts");
		buf_int(buf, event->origin_server_ts);
	}
	if (!event->redacted_by && parts.type.len && slice_string_eq(parts.type, STR("m.room.redaction")) && wanted(form, "redacts"))
		write_redacts(buf, &first, &parts);
	if (!form->omit_room_id && wanted(form, "room_id"))
		string_member(buf, &first, "room_id", form->room_id);
	if (wanted(form, "sender") && parts.sender.len)
		raw_member(buf, &first, "sender", parts.sender);
	if (wanted(form, "state_key") && parts.state_key.len)
		raw_member(buf, &first, "state_key", parts.state_key);
	if (wanted(form, "type") && parts.type.len)
		raw_member(buf, &first, "type", parts.type);
	if (wanted(form, "unsigned")) {
		key(buf, &first, "unsigned");
		write_unsigned(buf, event, form);
	}
	buf_char(buf, '}');
}

void event_write_stripped(struct buf *buf, const struct event *event)
{
	struct parts parts = parts_of(event->json);
	bool first = true;

	buf_char(buf, '{');
	raw_member(buf, &first, "content", parts.content);
	if (parts.sender.len)
		raw_member(buf, &first, "sender", parts.sender);
	if (parts.state_key.len)
		raw_member(buf, &first, "state_key", parts.state_key);
	if (parts.type.len)
		raw_member(buf, &first, "type", parts.type);
	buf_char(buf, '}');
}
