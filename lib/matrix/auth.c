/*
 * Event authorization. Specification: rooms/vN.md "Authorization rules", server-server-api "Auth events selection".
 *
 * The rules of the versions differ in a few steps only, which `struct room_version` tells apart. In short, and numbered
 * as in version 12 (earlier versions lack step 2 and number the rest one lower; up to version 5 a step on
 * m.room.aliases precedes the one on members):
 *
 *  1. m.room.create: no prev_events; the room ID fits; a known room_version; a creator (up to 10); well-formed
 * additional_creators (12).
 *  2. The room ID is the hash of the create event (12).
 *  3. auth_events are what the selection asks for: auth_check_selection().
 *  4. m.federate false: only senders of the creator's server.
 *  5. m.room.member: by membership; see below.
 *  6. The sender is joined.
 *  7. m.room.third_party_invite: the invite level.
 *  8. The level that the event's type requires.
 *  9. A state_key that starts with @ is the sender's own.
 * 10. m.room.power_levels: power_levels.c.
 * 11. Allow. (In versions 1 and 2, after a check on m.room.redaction.)
 *
 * Signatures are checked before, with keys: also the one that "join_authorised_via_users_server" demands (5.2).
 */
#include "matrix/auth.h"

#include "matrix/base64.h"
#include "matrix/identifiers.h"
#include "matrix/power_levels.h"

/* An invite to a third-party identifier is checked for every pair of a key and a signature: no honest event has more
 * than a few. */
#define MAX_THIRD_PARTY_VERIFICATIONS 64

enum membership {
	MEMBERSHIP_NONE,
	MEMBERSHIP_INVITE,
	MEMBERSHIP_JOIN,
	MEMBERSHIP_KNOCK,
	MEMBERSHIP_LEAVE,
	MEMBERSHIP_BAN,
	MEMBERSHIP_UNKNOWN
};

/* What one check looks at. */
struct check {
	const struct pdu *event;
	const struct room_version *version;
	const struct auth_state *state;
	const struct pdu *create;
	struct power_levels *levels;
	struct arena *arena;
	struct err *err;
};

static bool reject(const struct check *c, const char *why)
{
	return err_set(c->err, M_FORBIDDEN, "%s", why);
}

static const struct pdu *state_get(const struct check *c, struct str type, struct str state_key)
{
	return c->state->get(c->state->context, type, state_key);
}

static enum membership membership_read(struct str content)
{
	static const struct {
		struct str name;
		enum membership membership;
	} names[] = {
		{ STR_INIT("invite"), MEMBERSHIP_INVITE }, { STR_INIT("join"), MEMBERSHIP_JOIN },
		{ STR_INIT("knock"), MEMBERSHIP_KNOCK },   { STR_INIT("leave"), MEMBERSHIP_LEAVE },
		{ STR_INIT("ban"), MEMBERSHIP_BAN },
	};
	struct str value;

	if (!slice_get(content, STR("membership"), &value))
		return MEMBERSHIP_NONE;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (slice_string_eq(value, names[i].name))
			return names[i].membership;
	}
	return MEMBERSHIP_UNKNOWN;
}

static enum membership membership_of(const struct check *c, struct str user_id)
{
	const struct pdu *member = state_get(c, STR("m.room.member"), user_id);

	return member ? membership_read(member->content) : MEMBERSHIP_NONE;
}

static bool has_level(const struct check *c, struct str user_id, struct str action)
{
	return power_level_of(c->levels, user_id) >= power_level_action(c->levels, action);
}

/* 1.4 of version 12: an array of strings, each as valid a user ID as a sender has to be. */
static bool additional_creators_valid(struct str content, struct arena *arena)
{
	struct str creators, item, user_id;
	struct slice_iter iter;

	if (!slice_get(content, STR("additional_creators"), &creators))
		return true;
	if (slice_type(creators) != SLICE_ARRAY)
		return false;
	iter = slice_iter(creators);
	while (slice_item(&iter, &item)) {
		if (!slice_string(item, arena, &user_id) || !user_id_valid(user_id))
			return false;
	}
	return true;
}

/* 1. */
static bool check_create(const struct pdu *event, struct arena *arena, struct err *err)
{
	const struct room_version *version = event->version;
	struct str value, name;

	if (event->prev_count)
		return err_set(err, M_BAD_JSON, "The create event has prev_events");
	if (version->room_id_is_create_hash) {
		if (slice_get(event->json, STR("room_id"), &value))
			return err_set(err, M_BAD_JSON, "The create event has a room_id");
	} else if (!str_eq(identifier_domain(event->room_id), identifier_domain(event->sender))) {
		return err_set(err, M_BAD_JSON, "The room ID is not of the creator's server");
	}
	if (slice_get(event->content, STR("room_version"), &value) &&
	    (!slice_string(value, arena, &name) || !room_version_find(name)))
		return err_set(err, M_BAD_JSON, "The room version is not known");
	if (!version->creator_is_sender && !slice_get(event->content, STR("creator"), &value))
		return err_set(err, M_BAD_JSON, "The create event names no creator");
	if (version->privileged_creators && !additional_creators_valid(event->content, arena))
		return err_set(err, M_BAD_JSON, "\"additional_creators\" is not a list of user IDs");
	return true;
}

/* 2 and 4; and that there is a create event at all, which up to version 11 step 3 says. */
static bool check_room(const struct check *c)
{
	struct str federate;
	bool federated;

	if (!c->create)
		return reject(c, "The room has no create event");
	if (c->version->room_id_is_create_hash &&
	    !str_eq(str_from(c->event->room_id, 1), str_from(c->create->event_id, 1)))
		return reject(c, "The create event is another room's");
	if (slice_get(c->create->content, STR("m.federate"), &federate) && slice_bool(federate, &federated) &&
	    !federated && !str_eq(identifier_domain(c->event->sender), identifier_domain(c->create->sender)))
		return reject(c, "The room is closed to other servers");
	return true;
}

/* 5.3.1: the user whom the create event's author is, joining right after it. */
static bool is_first_join(const struct check *c)
{
	struct str creator;

	if (c->event->prev_count != 1 || !str_eq(c->event->prev_events[0], c->create->event_id))
		return false;
	if (c->version->creator_is_sender)
		return str_eq(c->event->state_key, c->create->sender);
	return slice_get(c->create->content, STR("creator"), &creator) && slice_string_eq(creator, c->event->state_key);
}

enum join_rule {
	JOIN_RULE_PUBLIC,
	JOIN_RULE_INVITE,
	JOIN_RULE_KNOCK,
	JOIN_RULE_RESTRICTED,
	JOIN_RULE_KNOCK_RESTRICTED,
	JOIN_RULE_UNKNOWN
};

/* The rule in force, as far as the room version knows it. A room without one is invite-only. */
static enum join_rule join_rule_of(const struct check *c)
{
	const struct pdu *event = state_get(c, STR("m.room.join_rules"), STR(""));
	struct str rule;

	if (!event || !slice_get(event->content, STR("join_rule"), &rule) || slice_string_eq(rule, STR("invite")))
		return JOIN_RULE_INVITE;
	if (slice_string_eq(rule, STR("public")))
		return JOIN_RULE_PUBLIC;
	if (c->version->knock && slice_string_eq(rule, STR("knock")))
		return JOIN_RULE_KNOCK;
	if (c->version->restricted_join && slice_string_eq(rule, STR("restricted")))
		return JOIN_RULE_RESTRICTED;
	if (c->version->knock_restricted && slice_string_eq(rule, STR("knock_restricted")))
		return JOIN_RULE_KNOCK_RESTRICTED;
	return JOIN_RULE_UNKNOWN;
}

/* 5.3.5.2: somebody joined who may invite has let the user in. */
static bool check_restricted_join(const struct check *c)
{
	struct str authoriser;

	if (!slice_get_string(c->event->content, STR("join_authorised_via_users_server"), c->arena, &authoriser))
		return reject(c, "You are neither invited nor let in by a member");
	if (membership_of(c, authoriser) != MEMBERSHIP_JOIN)
		return reject(c, "The user who lets you in is not in the room");
	if (!has_level(c, authoriser, STR("invite")))
		return reject(c, "The user who lets you in may not invite");
	return true;
}

/* 5.3 */
static bool check_join(const struct check *c)
{
	enum membership now = membership_of(c, c->event->sender);
	bool expected = now == MEMBERSHIP_JOIN || now == MEMBERSHIP_INVITE;

	if (is_first_join(c))
		return true;
	if (!str_eq(c->event->sender, c->event->state_key))
		return reject(c, "Nobody can join for another user");
	if (now == MEMBERSHIP_BAN)
		return reject(c, "You are banned from this room");
	switch (join_rule_of(c)) {
	case JOIN_RULE_PUBLIC:
		return true;
	case JOIN_RULE_INVITE:
	case JOIN_RULE_KNOCK:
		return expected || reject(c, "You are not invited to this room");
	case JOIN_RULE_RESTRICTED:
	case JOIN_RULE_KNOCK_RESTRICTED:
		return expected || check_restricted_join(c);
	case JOIN_RULE_UNKNOWN:
		break;
	}
	return reject(c, "The room's join rule lets nobody in");
}

/* Identity servers write their keys in either alphabet of Base64. */
static bool public_key_read(struct str text, struct arena *arena, uint8_t ret_key[32])
{
	struct str bytes;

	if (base64_decode_exactly(text, ret_key, 32))
		return true;
	if (!base64url_decode(text, arena, &bytes) || bytes.len != 32)
		return false;
	memcpy(ret_key, bytes.ptr, 32);
	return true;
}

/* 5.4.1.7, for one key: any signature of `signed_part` is its. */
static bool key_signed(const struct check *c, struct str signed_part, struct str key_text, int *budget)
{
	uint8_t key[32];
	struct str signatures, signer, of_signer, key_id, value, signer_name, key_name;
	struct slice_iter signers, keys;

	if (!public_key_read(key_text, c->arena, key) || !slice_get(signed_part, STR("signatures"), &signatures) ||
	    slice_type(signatures) != SLICE_OBJECT)
		return false;
	signers = slice_iter(signatures);
	while (slice_member(&signers, &signer, &of_signer)) {
		if (slice_type(of_signer) != SLICE_OBJECT)
			continue;
		keys = slice_iter(of_signer);
		while (slice_member(&keys, &key_id, &value)) {
			if (!slice_string(signer, c->arena, &signer_name) ||
			    !slice_string(key_id, c->arena, &key_name) || !str_starts_with(key_name, STR("ed25519:")))
				continue;
			if (--*budget < 0)
				return false;
			if (json_verify(signed_part, signer_name, key_name, key, c->arena))
				return true;
		}
	}
	return false;
}

/* 5.4.1.7: the keys are in `public_key` and in the `public_key` of each of `public_keys`. */
static bool any_key_signed(const struct check *c, struct str signed_part, const struct pdu *invite)
{
	int budget = MAX_THIRD_PARTY_VERIFICATIONS;
	struct str keys, item, key;
	struct slice_iter iter;

	if (slice_get_string(invite->content, STR("public_key"), c->arena, &key) &&
	    key_signed(c, signed_part, key, &budget))
		return true;
	if (!slice_get(invite->content, STR("public_keys"), &keys) || slice_type(keys) != SLICE_ARRAY)
		return false;
	iter = slice_iter(keys);
	while (slice_item(&iter, &item)) {
		if (slice_get_string(item, STR("public_key"), c->arena, &key) &&
		    key_signed(c, signed_part, key, &budget))
			return true;
	}
	return false;
}

/* 5.4.1 */
static bool check_third_party_invite(const struct check *c, struct str third_party_invite)
{
	struct str signed_part, mxid, token;
	const struct pdu *invite;

	if (membership_of(c, c->event->state_key) == MEMBERSHIP_BAN)
		return reject(c, "The user is banned from this room");
	if (!slice_get(third_party_invite, STR("signed"), &signed_part))
		return reject(c, "The third-party invite is not signed");
	if (!slice_get_string(signed_part, STR("mxid"), c->arena, &mxid) ||
	    !slice_get_string(signed_part, STR("token"), c->arena, &token))
		return reject(c, "The third-party invite lacks a user ID or a token");
	if (!str_eq(mxid, c->event->state_key))
		return reject(c, "The third-party invite is for another user");
	invite = state_get(c, STR("m.room.third_party_invite"), token);
	if (!invite)
		return reject(c, "The room has no third-party invite of that token");
	if (!str_eq(invite->sender, c->event->sender))
		return reject(c, "The third-party invite is another sender's");
	return any_key_signed(c, signed_part, invite) || reject(c, "The third-party invite has no valid signature");
}

/* 5.4 */
static bool check_invite(const struct check *c)
{
	struct str third_party_invite;
	enum membership target;

	if (slice_get(c->event->content, STR("third_party_invite"), &third_party_invite))
		return check_third_party_invite(c, third_party_invite);
	if (membership_of(c, c->event->sender) != MEMBERSHIP_JOIN)
		return reject(c, "You are not in this room");
	target = membership_of(c, c->event->state_key);
	if (target == MEMBERSHIP_JOIN)
		return reject(c, "The user is already in the room");
	if (target == MEMBERSHIP_BAN)
		return reject(c, "The user is banned from this room");
	return has_level(c, c->event->sender, STR("invite")) || reject(c, "You don't have permission to invite users");
}

/* The last condition of 5.5 and 5.6. */
static bool outranks_target(const struct check *c)
{
	return power_level_of(c->levels, c->event->state_key) < power_level_of(c->levels, c->event->sender);
}

/* 5.5 */
static bool check_leave(const struct check *c)
{
	enum membership own = membership_of(c, c->event->sender);

	if (str_eq(c->event->sender, c->event->state_key))
		return own == MEMBERSHIP_INVITE || own == MEMBERSHIP_JOIN ||
		       (c->version->knock && own == MEMBERSHIP_KNOCK) || reject(c, "You are not in this room");
	if (own != MEMBERSHIP_JOIN)
		return reject(c, "You are not in this room");
	if (membership_of(c, c->event->state_key) == MEMBERSHIP_BAN && !has_level(c, c->event->sender, STR("ban")))
		return reject(c, "You don't have permission to unban users");
	return (has_level(c, c->event->sender, STR("kick")) && outranks_target(c)) ||
	       reject(c, "You don't have permission to remove this user");
}

/* 5.6 */
static bool check_ban(const struct check *c)
{
	if (membership_of(c, c->event->sender) != MEMBERSHIP_JOIN)
		return reject(c, "You are not in this room");
	return (has_level(c, c->event->sender, STR("ban")) && outranks_target(c)) ||
	       reject(c, "You don't have permission to ban this user");
}

/* 5.7 */
static bool check_knock(const struct check *c)
{
	enum join_rule rule = join_rule_of(c);

	if (rule != JOIN_RULE_KNOCK && rule != JOIN_RULE_KNOCK_RESTRICTED)
		return reject(c, "The room does not allow knocking");
	if (!str_eq(c->event->sender, c->event->state_key))
		return reject(c, "Nobody can knock for another user");
	switch (membership_of(c, c->event->sender)) {
	case MEMBERSHIP_BAN:
		return reject(c, "You are banned from this room");
	case MEMBERSHIP_INVITE:
		return reject(c, "You are already invited to this room");
	case MEMBERSHIP_JOIN:
		return reject(c, "You are already in this room");
	default:
		return true;
	}
}

/* 5. */
static bool check_member(const struct check *c)
{
	if (!c->event->is_state)
		return reject(c, "A membership is a state event");
	switch (membership_read(c->event->content)) {
	case MEMBERSHIP_NONE:
		return reject(c, "The event has no membership");
	case MEMBERSHIP_JOIN:
		return check_join(c);
	case MEMBERSHIP_INVITE:
		return check_invite(c);
	case MEMBERSHIP_LEAVE:
		return check_leave(c);
	case MEMBERSHIP_BAN:
		return check_ban(c);
	case MEMBERSHIP_KNOCK:
		if (c->version->knock)
			return check_knock(c);
		break;
	case MEMBERSHIP_UNKNOWN:
		break;
	}
	return reject(c, "The membership is unknown");
}

/* 4 of versions 1 to 5. */
static bool check_aliases(const struct check *c)
{
	if (!c->event->is_state)
		return reject(c, "Aliases are a state event");
	return str_eq(identifier_domain(c->event->sender), c->event->state_key) ||
	       reject(c, "The aliases are another server's");
}

/* 11 of versions 1 and 2. From version 3 on, whether a redaction applies is decided apart from the rules ("Handling
 * redactions"). */
static bool check_redaction(const struct check *c)
{
	return has_level(c, c->event->sender, STR("redact")) ||
	       str_eq(identifier_domain(c->event->redacts), identifier_domain(c->event->event_id)) ||
	       reject(c, "You don't have permission to redact events");
}

/* 6 to 11. */
static bool check_other(const struct check *c)
{
	const struct pdu *event = c->event;
	int64_t sender_level;

	if (membership_of(c, event->sender) != MEMBERSHIP_JOIN)
		return reject(c, "You are not in this room");
	if (str_eq(event->type, STR("m.room.third_party_invite")))
		return has_level(c, event->sender, STR("invite")) ||
		       reject(c, "You don't have permission to invite users");
	sender_level = power_level_of(c->levels, event->sender);
	if (power_level_needed(c->levels, event->type, event->is_state) > sender_level)
		return reject(c, "Your power level is too low for this event");
	if (event->is_state && str_starts_with(event->state_key, STR("@")) && !str_eq(event->state_key, event->sender))
		return reject(c, "This state belongs to another user");
	if (str_eq(event->type, STR("m.room.power_levels")))
		return power_levels_check_change(c->levels, event, c->arena, c->err);
	if (event->version->event_id_format == EVENT_ID_GIVEN && str_eq(event->type, STR("m.room.redaction")))
		return check_redaction(c);
	return true;
}

bool auth_check(const struct pdu *event, const struct auth_state *state, struct arena *arena, struct err *err)
{
	struct check c = { .event = event, .version = event->version, .state = state, .arena = arena, .err = err };

	if (str_eq(event->type, STR("m.room.create")))
		return check_create(event, arena, err);
	c.create = state_get(&c, STR("m.room.create"), STR(""));
	if (!check_room(&c))
		return false;
	c.levels = power_levels_read(event->version, state, arena);
	if (event->version->special_aliases_auth && str_eq(event->type, STR("m.room.aliases")))
		return check_aliases(&c);
	if (str_eq(event->type, STR("m.room.member")))
		return check_member(&c);
	return check_other(&c);
}

/* A growing selection, without duplicates. */
struct selection {
	struct auth_key *keys;
	size_t count, cap;
	struct arena *arena;
};

static void select_key(struct selection *s, struct str type, struct str state_key)
{
	for (size_t i = 0; i < s->count; i++) {
		if (str_eq(s->keys[i].type, type) && str_eq(s->keys[i].state_key, state_key))
			return;
	}
	*ARENA_PUSH(s->arena, s->keys, s->count, s->cap) = (struct auth_key){ type, state_key };
}

/* "If type is m.room.member". */
static void select_for_member(struct selection *s, const struct room_version *version, struct str state_key,
			      struct str content)
{
	enum membership membership = membership_read(content);
	struct str invite, user_id, token;

	select_key(s, STR("m.room.member"), state_key);
	if (membership == MEMBERSHIP_JOIN || membership == MEMBERSHIP_INVITE || membership == MEMBERSHIP_KNOCK)
		select_key(s, STR("m.room.join_rules"), STR(""));
	if (membership == MEMBERSHIP_INVITE && slice_path(content, &invite, STR("third_party_invite"), STR("signed")) &&
	    slice_get_string(invite, STR("token"), s->arena, &token))
		select_key(s, STR("m.room.third_party_invite"), token);
	if (membership == MEMBERSHIP_JOIN && version->restricted_join &&
	    slice_get_string(content, STR("join_authorised_via_users_server"), s->arena, &user_id))
		select_key(s, STR("m.room.member"), user_id);
}

size_t auth_keys_for(const struct room_version *version, struct str type, bool is_state, struct str state_key,
		     struct str sender, struct str content, struct arena *arena, struct auth_key **ret_keys)
{
	struct selection s = { .arena = arena };

	if (!str_eq(type, STR("m.room.create"))) {
		if (!version->privileged_creators) /* in version 12 the room ID stands for it */
			select_key(&s, STR("m.room.create"), STR(""));
		select_key(&s, STR("m.room.power_levels"), STR(""));
		select_key(&s, STR("m.room.member"), sender);
		if (is_state && str_eq(type, STR("m.room.member")))
			select_for_member(&s, version, state_key, content);
	}
	*ret_keys = s.keys;
	return s.count;
}

/* The place of an auth event in the selection, or -1. */
static ptrdiff_t selection_find(const struct auth_key *keys, size_t count, const struct pdu *auth_event)
{
	for (size_t i = 0; auth_event->is_state && i < count; i++) {
		if (str_eq(keys[i].type, auth_event->type) && str_eq(keys[i].state_key, auth_event->state_key))
			return (ptrdiff_t)i;
	}
	return -1;
}

bool auth_check_selection(const struct pdu *event, const struct pdu *const *auth_events, size_t count,
			  struct arena *arena, struct err *err)
{
	struct auth_key *keys;
	size_t key_count;
	bool *seen, has_create = false;

	if (str_eq(event->type, STR("m.room.create"))) /* allowed or not by rule 1 alone */
		return true;
	key_count = auth_keys_for(event->version, event->type, event->is_state, event->state_key, event->sender,
				  event->content, arena, &keys);
	seen = ARENA_ARRAY(arena, key_count, bool);
	for (size_t i = 0; i < count; i++) {
		ptrdiff_t at = selection_find(keys, key_count, auth_events[i]);

		if (at < 0)
			return err_set(err, M_FORBIDDEN, "auth_events has an event that is not needed");
		if (seen[at])
			return err_set(err, M_FORBIDDEN, "auth_events has two events for the same state");
		if (!str_eq(auth_events[i]->room_id, event->room_id))
			return err_set(err, M_FORBIDDEN, "auth_events has an event of another room");
		seen[at] = true;
		has_create = has_create || str_eq(auth_events[i]->type, STR("m.room.create"));
	}
	if (!has_create && !event->version->room_id_is_create_hash)
		return err_set(err, M_FORBIDDEN, "auth_events lacks the create event");
	return true;
}
