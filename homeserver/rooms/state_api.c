/* client-server-api "Getting events for a room", "Sending events to a room": state, members, sending, redacting. */
#include "interned/interned.h"
#include "journal/journal.h"
#include "limits/limits.h"
#include "matrix/identifiers.h"
#include "relations/relations.h"
#include "rooms/aliases.h"
#include "rooms/event_view.h"
#include "rooms/guests.h"
#include "rooms/member_content.h"
#include "rooms/restricted.h"
#include "rooms/rooms_api.h"
#include "state/state_store.h"
#include "sync/sync.h"

#define MAX_ANSWER ((size_t)512 << 20)
#define MAX_NAME   255 /* bytes of an event type or a state key (client-server-api "Size limits") */

static struct sender sender_of(const struct request *req)
{
	return (struct sender){ req->user->nid, req->user->user_id, req->user->device };
}

/* --- reading --- */

/* What of the room the caller may see: its state now, or at their leave. */
struct look {
	struct room_info room;
	struct reader reader;
	int64_t root;
	struct event_order until;
};

static bool look_into(struct request *req, struct look *ret_look, struct err *err)
{
	return room_require(req->server->rooms, path_param(req, "roomId"), req->arena, &ret_look->room, err) &&
	       reader_of(req->server, req->user, ret_look->room.nid, req->arena, &ret_look->reader, err) &&
	       visibility_require_room(req->server, &ret_look->room, &ret_look->reader, req->arena, &ret_look->root, &ret_look->until, err);
}

static bool reply_events(struct request *req, const struct look *look, const struct event *events, size_t count, const char *before, const char *after,
                         struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(MAX_ANSWER);
	const struct event_view view = {
		.server = req->server, .room = &look->room, .reader = &look->reader, .device = req->user->device, .without_relations = true,
	};

	buf_append(&out, str_of(before));
	if (!event_view_write(&view, &out, events, count, req->arena, err))
		return false;
	buf_append(&out, str_of(after));
	return reply_buf(req, 200, "application/json", &out);
}

static bool get_state(struct request *req, struct err *err)
{
	struct event *events;
	struct look look;
	size_t count;

	return look_into(req, &look, err) && room_state_events(req->server, look.room.nid, look.root, req->arena, &events, &count, err) &&
	       reply_events(req, &look, events, count, "[", "]", err);
}

/* The empty one where the path has none. */
static struct str state_key_of(struct request *req)
{
	return str_find(str_of(req->route->path), STR("{stateKey}")) < 0 ? STR("") : path_param(req, "stateKey");
}

static bool get_state_event(struct request *req, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(EVENT_MAX_SIZE * 2);
	struct str content = STR("{}"), format = query_param(req, "format");
	struct event event;
	struct look look;

	if (format.len && !str_eq(format, STR("event")) && !str_eq(format, STR("content")))
		return err_set(err, M_INVALID_PARAM, "format is event or content");
	if (!look_into(req, &look, err) || !room_state_event(req->server, look.room.nid, look.root, path_param(req, "eventType"),
	                                                     state_key_of(req), req->arena, &event, err))
		return false;
	if (!event.nid)
		return err_set(err, M_NOT_FOUND, "The room has no such state");
	if (str_eq(format, STR("event")))
		return reply_events(req, &look, &event, 1, "", "", err);
	slice_get(event.redacted_by ? event_redact(look.room.version, event.json, req->arena) : event.json, STR("content"), &content);
	buf_append(&out, content);
	return reply_buf(req, 200, "application/json", &out);
}

/* The place that `at`, a token of sync or of a timeline, stands for; *ret_root: of the state there, 0: that after the event before it. */
static bool read_at(struct request *req, const struct look *look, struct str at, struct event_order *ret_place, int64_t *ret_root, struct err *err)
{
	struct sync_token token;
	struct room_point point;

	*ret_root = 0;
	if (order_token_parse(at, ret_place))
		return true;
	if (!sync_token_parse(at, &token))
		return err_set(err, M_INVALID_PARAM, "at is no token of this server");
	if (!room_points_at(req->server, &look->room.nid, 1, token.pos, req->arena, &point, err))
		return false;
	*ret_place = (struct event_order){ point.seq + 1, INT32_MIN };
	*ret_root = point.root;
	return true;
}

/*
 * The event before a place. Before all of a room's timeline there is none: then the join that rooms begin with, after their creation, so that who asks for
 * the members at a whole timeline's prev_batch gets the creator. nid 0: none at all.
 */
static bool event_before(struct request *req, const struct look *look, struct event_order place, struct event *ret_event, struct err *err)
{
	struct event_page before = { .from = place, .to = EVENT_ORDER_START, .backwards = true, .limit = 1 };
	struct event_page first = { .from = EVENT_ORDER_START, .to = EVENT_ORDER_END, .limit = 2 };
	struct event *events;
	size_t count;

	if (!events_page(req->server->events, look->room.nid, &before, req->arena, &events, &count, err) ||
	    (count == 0 && !events_page(req->server->events, look->room.nid, &first, req->arena, &events, &count, err)))
		return false;
	*ret_event = count ? events[count - 1] : (struct event){ 0 };
	return true;
}

/* The state then, if it was the caller's to see; else that which they see at last. */
static bool root_at(struct request *req, struct look *look, struct err *err)
{
	struct str at = query_param(req, "at");
	struct event_order place;
	bool visible = false;
	struct event event;
	int64_t root;

	if (!at.len)
		return true;
	if (!read_at(req, look, at, &place, &root, err))
		return false;
	if (event_order_cmp(place, look->until) >= 0)
		return true;
	if (!event_before(req, look, place, &event, err) ||
	    !visibility_filter(req->server, &look->room, &look->reader, &event, event.nid ? 1 : 0, req->arena, &visible, err))
		return false;
	if (visible)
		look->root = root ? root : event.root_after;
	return true;
}

static bool membership_of_name(struct str name, enum membership *ret_membership)
{
	for (int m = MEMBERSHIP_INVITE; m <= MEMBERSHIP_KNOCK; m++) {
		if (str_eq(membership_name((enum membership)m), name)) {
			*ret_membership = (enum membership)m;
			return true;
		}
	}
	return false;
}

static bool read_membership(struct request *req, const char *param, enum membership *ret_membership, struct err *err)
{
	struct str name = query_param(req, param);

	*ret_membership = MEMBERSHIP_NONE;
	if (name.len && !membership_of_name(name, ret_membership))
		return err_set(err, M_INVALID_PARAM, "%s is no membership", param);
	return true;
}

static bool get_members(struct request *req, struct err *err)
{
	struct state_source source = state_store_source(req->server->states);
	enum membership only, not;
	struct state_entry *entries;
	struct event *events;
	struct look look;
	size_t count, kept = 0;
	nid_t *nids;

	if (!read_membership(req, "membership", &only, err) || !read_membership(req, "not_membership", &not, err) || !look_into(req, &look, err) ||
	    !root_at(req, &look, err) || !state_load(&source, look.room.nid, look.root, req->arena, &entries, &count, err))
		return false;
	nids = ARENA_ARRAY(req->arena, count, nid_t);
	events = ARENA_ARRAY(req->arena, count, struct event);
	for (size_t i = 0; i < count; i++) {
		enum membership membership = entries[i].membership;
		/* With both, either is enough (the specification's "or"). */
		bool wanted = only && not ? membership == only || membership != not : (!only || membership == only) && (!not || membership != not);

		if (membership != MEMBERSHIP_NONE && wanted)
			nids[kept++] = entries[i].event;
	}
	return events_load(req->server->events, nids, kept, req->arena, events, err) && reply_events(req, &look, events, kept, "{\"chunk\":[", "]}", err);
}

static bool get_joined_members(struct request *req, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(MAX_ANSWER);
	struct state_source source = state_store_source(req->server->states);
	struct state_entry *entries;
	struct event *events;
	struct look look;
	size_t count, kept = 0;
	bool first = true;
	nid_t *nids;

	if (!look_into(req, &look, err) || !membership_require_joined(req->server, req->user->nid, look.room.nid, req->arena, err) ||
	    !state_load(&source, look.room.nid, look.root, req->arena, &entries, &count, err))
		return false;
	nids = ARENA_ARRAY(req->arena, count, nid_t);
	events = ARENA_ARRAY(req->arena, count, struct event);
	for (size_t i = 0; i < count; i++) {
		if (entries[i].membership == MEMBERSHIP_JOIN)
			nids[kept++] = entries[i].event;
	}
	if (!events_load(req->server->events, nids, kept, req->arena, events, err))
		return false;
	BUF_LIT(&out, "{\"joined\":{");
	for (size_t i = 0; i < kept; i++) {
		struct str content = STR("{}"), state_key = STR("\"\""), name, avatar;
		bool has_name;

		slice_get(events[i].json, STR("state_key"), &state_key);
		slice_get(events[i].json, STR("content"), &content);
		buf_printf(&out, "%s%.*s:{", first ? "" : ",", STR_ARG(state_key));
		first = false;
		has_name = slice_get(content, STR("displayname"), &name) && slice_type(name) == SLICE_STRING;
		if (has_name)
			buf_printf(&out, "\"display_name\":%.*s", STR_ARG(name));
		if (slice_get(content, STR("avatar_url"), &avatar) && slice_type(avatar) == SLICE_STRING)
			buf_printf(&out, "%s\"avatar_url\":%.*s", has_name ? "," : "", STR_ARG(avatar));
		buf_char(&out, '}');
	}
	BUF_LIT(&out, "}}");
	return reply_buf(req, 200, "application/json", &out);
}

/* --- writing --- */

static bool check_names(struct str type, struct str state_key, struct err *err)
{
	if (type.len > MAX_NAME || state_key.len > MAX_NAME)
		return err_set(err, M_TOO_LARGE, "An event type or state key has at most %d bytes", MAX_NAME);
	if (memchr(type.ptr, 0, type.len) || (state_key.len && memchr(state_key.ptr, 0, state_key.len)))
		return err_set(err, M_INVALID_PARAM, "An event type or state key has a NUL");
	return true;
}

/* Bodies are checked where clients rely on them: memberships have a known name; canonical aliases exist and lead here. */
static bool check_alias(struct request *req, const struct room_info *room, const json_t *alias, struct err *err)
{
	struct room_info target;
	nid_t creator;

	if (!json_is_string(alias))
		return err_set(err, M_INVALID_PARAM, "An alias is a string");
	if (!room_alias_valid(json_str(alias)))
		return err_set(err, M_INVALID_PARAM, "This is no room alias");
	if (!alias_find(req->server, json_str(alias), req->arena, &target, &creator, err))
		return false;
	if (target.nid != room->nid)
		return err_set(err, M_BAD_ALIAS, "This alias does not lead to this room");
	return true;
}

static bool had_alias(const json_t *before, const json_t *alias)
{
	const json_t *list = json_object_get(before, "alt_aliases");

	if (json_equal(json_object_get(before, "alias"), alias))
		return true;
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (json_equal(json_array_get(list, i), alias))
			return true;
	}
	return false;
}

static bool check_canonical_alias(struct request *req, const struct room_info *room, struct err *err)
{
	const json_t *alias = json_object_get(req->body, "alias"), *others = json_object_get(req->body, "alt_aliases");
	struct str content;
	int64_t root;
	struct event event;
	json_t *before = NULL;

	if (!room_state_root(req->server->rooms, room->nid, &root, err) ||
	    !room_state_event(req->server, room->nid, root, STR("m.room.canonical_alias"), STR(""), req->arena, &event, err))
		return false;
	if (event.nid && slice_get(event.json, STR("content"), &content) && !json_parse(content, req->arena, &before, err))
		return false;
	if (alias && !json_is_null(alias) && !(json_is_string(alias) && json_str(alias).len == 0) && !had_alias(before, alias) &&
	    !check_alias(req, room, alias, err))
		return false;
	if (others && !json_is_array(others))
		return err_set(err, M_INVALID_PARAM, "alt_aliases is no list");
	for (size_t i = 0; i < json_array_size(others); i++) {
		if (!had_alias(before, json_array_get(others, i)) && !check_alias(req, room, json_array_get(others, i), err))
			return false;
	}
	return true;
}

static bool check_state_body(struct request *req, const struct room_info *room, struct str type, struct str state_key, struct err *err)
{
	enum membership membership;

	if (str_eq(type, STR("m.room.canonical_alias")) && !state_key.len)
		return check_canonical_alias(req, room, err);
	if (str_eq(type, STR("m.room.member"))) {
		if (!membership_of_name(json_get_str(req->body, "membership"), &membership))
			return err_set(err, M_BAD_JSON, "A member event has a membership");
		if (!user_id_valid(state_key))
			return err_set(err, M_INVALID_PARAM, "The state key of a member event is a user ID");
		if (membership == MEMBERSHIP_INVITE && (!member_may_invite(req, err) || !limit_invite(req, room->room_id, err) ||
		                                        !limit_take(req->server->limits, LIMIT_INVITE_USER, state_key, err)))
			return false;
		if (!server_domain_of_user(req->server, state_key) && membership == MEMBERSHIP_INVITE)
			return err_set(err, M_FORBIDDEN, "Users of other servers cannot be invited yet");
	}
	return true;
}

static bool require_content(const struct request *req, struct err *err)
{
	if (!req->body_text.len)
		return err_set(err, M_NOT_JSON, "An event has a content");
	if (!json_is_object(req->body))
		return err_set(err, M_BAD_JSON, "An event's content is an object");
	return true;
}

/* A join by a state event is one as by POST …/join: who vouches for it is not the client's to say. */
static bool prepare_join(struct request *req, const struct room_info *room, struct str *content, struct err *err)
{
	struct user_room member;
	struct str authoriser;

	if (!membership_get(req->server, req->user->nid, room->nid, req->arena, &member, err) || !guest_check_join(req, room, err) ||
	    (member.membership != MEMBERSHIP_JOIN && !limit_join(req, room->room_id, err)) || !restricted_authorise(req, room, &member, &authoriser, err))
		return false;
	json_object_del(req->body, "join_authorised_via_users_server");
	if (authoriser.len)
		json_object_set_new(req->body, "join_authorised_via_users_server", json_new_str(authoriser));
	*content = json_text(req->body, req->arena);
	return true;
}

static bool put_state(struct request *req, struct err *err)
{
	struct event_draft draft = {
		.type = path_param(req, "eventType"),
		.is_state = true,
		.state_key = state_key_of(req),
		.content = req->body_text,
		.skip_if_same = !str_eq(path_param(req, "eventType"), STR("m.room.create")),
	};
	struct sender sender = sender_of(req);
	struct room_info room;
	struct str event_id;

	if (!require_content(req, err))
		return false;
	if (!check_names(draft.type, draft.state_key, err) || !room_require(req->server->rooms, path_param(req, "roomId"), req->arena, &room, err))
		return false;
	/* Who joins by a state event is not in the room yet: there the auth rules judge alone. */
	if (!str_eq(draft.type, STR("m.room.member")) && !membership_require_joined(req->server, req->user->nid, room.nid, req->arena, err))
		return false;
	if (str_eq(draft.type, STR("m.room.member")) && str_eq(draft.state_key, req->user->user_id) &&
	    str_eq(json_get_str(req->body, "membership"), STR("join")) && !prepare_join(req, &room, &draft.content, err))
		return false;
	if (!check_state_body(req, &room, draft.type, draft.state_key, err) ||
	    !room_send(req->server, &room, &sender, &draft, 1, req->arena, &event_id, err))
		return false;
	if (str_eq(draft.type, STR("m.room.guest_access")) && !guests_follow_access(req->server, &room, req->arena, err))
		return false;
	return reply_field(req, "event_id", event_id);
}

/* Of a request that is repeated its event; from who may send no more, too. *ret_event_id empty: it was not sent before, and the sender is in the room. */
static bool find_sent(struct request *req, const struct room_info *room, const struct event_draft *draft, struct str *ret_event_id, struct err *err)
{
	struct user_room member;

	*ret_event_id = STR("");
	if (!membership_get(req->server, req->user->nid, room->nid, req->arena, &member, err))
		return false;
	if (member.membership == MEMBERSHIP_JOIN)
		return true;
	return room_find_sent(req->server, room->nid, req->user->device, draft->type, draft->txn_id, req->arena, ret_event_id, err) &&
	       (ret_event_id->len || err_set(err, M_FORBIDDEN, "You are not in this room"));
}

/* A repeated request is no second annotation: the transaction is looked up when the event is written, so only what was not sent before is refused here. */
static bool check_relation(struct request *req, const struct room_info *room, const struct event_draft *draft, struct err *err)
{
	struct str sent;

	if (!json_object_get(req->body, "m.relates_to"))
		return true;
	if (!room_find_sent(req->server, room->nid, req->user->device, draft->type, draft->txn_id, req->arena, &sent, err))
		return false;
	return sent.len || relations_check(req->server, room->nid, req->user->nid, draft->type, draft->content, req->arena, err);
}

static bool put_send(struct request *req, struct err *err)
{
	struct event_draft draft = { .type = path_param(req, "eventType"), .content = req->body_text, .txn_id = path_param(req, "txnId") };
	struct sender sender = sender_of(req);
	struct room_info room;
	struct str event_id;

	if (!require_content(req, err))
		return false;
	if (str_eq(draft.type, STR("m.room.redaction")))
		draft.redacts = json_get_str(req->body, "redacts");
	if (!check_names(draft.type, draft.txn_id, err) || !room_require(req->server->rooms, path_param(req, "roomId"), req->arena, &room, err) ||
	    !find_sent(req, &room, &draft, &event_id, err))
		return false;
	if (!event_id.len && (!check_relation(req, &room, &draft, err) || !room_send(req->server, &room, &sender, &draft, 1, req->arena, &event_id, err)))
		return false;
	return reply_field(req, "event_id", event_id);
}

struct redact_body {
	struct str reason;
};

static const struct json_field redact_fields[] = {
	JSON_FIELD(struct redact_body, reason, JSON_OPTIONAL),
	{ 0 },
};

static bool put_redact(struct request *req, struct err *err)
{
	struct event_draft draft = { .type = STR("m.room.redaction"), .redacts = path_param(req, "eventId") };
	struct sender sender = sender_of(req);
	struct redact_body body = { 0 };
	struct room_info room;
	struct str event_id;
	json_t *content;

	/* A transaction ID counts for one path: that of the redacted event (event_shown_txn_id). */
	draft.txn_id = str_printf(req->arena, "%.*s %.*s", STR_ARG(draft.redacts), STR_ARG(path_param(req, "txnId")));
	if (!json_read(req->body, redact_fields, &body, err) || !check_names(draft.type, path_param(req, "txnId"), err) ||
	    !room_require(req->server->rooms, path_param(req, "roomId"), req->arena, &room, err) || !find_sent(req, &room, &draft, &event_id, err))
		return false;
	if (event_id.len)
		return reply_field(req, "event_id", event_id);
	content = body.reason.len ? json_pack("{s:o}", "reason", json_new_str(body.reason)) : json_object();
	draft.content = json_text(content, req->arena);
	json_decref(content);
	return room_send(req->server, &room, &sender, &draft, 1, req->arena, &event_id, err) && reply_field(req, "event_id", event_id);
}

const struct route state_routes[] = {
	{ HTTP_GET, "/_matrix/client/v3/rooms/{roomId}/state", AUTH_USER, LIMIT_NONE, get_state, .flags = ROUTE_GUEST },
	{ HTTP_GET, "/_matrix/client/v3/rooms/{roomId}/state/{eventType}", AUTH_USER, LIMIT_NONE, get_state_event, .flags = ROUTE_GUEST | ROUTE_UNLISTED },
	{ HTTP_GET, "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}", AUTH_USER, LIMIT_NONE, get_state_event, .flags = ROUTE_GUEST },
	{ HTTP_PUT, "/_matrix/client/v3/rooms/{roomId}/state/{eventType}", AUTH_USER, LIMIT_MESSAGE, put_state, .flags = ROUTE_GUEST | ROUTE_UNLISTED },
	{ HTTP_PUT, "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}", AUTH_USER, LIMIT_MESSAGE, put_state, .flags = ROUTE_GUEST },
	{ HTTP_PUT, "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}", AUTH_USER, LIMIT_MESSAGE, put_send, .flags = ROUTE_GUEST },
	{ HTTP_PUT, "/_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}", AUTH_USER, LIMIT_MESSAGE, put_redact },
	{ HTTP_GET, "/_matrix/client/v3/rooms/{roomId}/members", AUTH_USER, LIMIT_NONE, get_members, .flags = ROUTE_GUEST },
	{ HTTP_GET, "/_matrix/client/v3/rooms/{roomId}/joined_members", AUTH_USER, LIMIT_NONE, get_joined_members, .flags = ROUTE_GUEST },
	{ 0 },
};
