/* client-server-api "Room creation": the events that a new room starts with, in the order that the specification gives. */
#include "base/utf8.h"
#include "limits/limits.h"
#include "matrix/identifiers.h"
#include "options.h"
#include "rooms/aliases.h"
#include "rooms/member_content.h"
#include "rooms/rooms_api.h"

#define MAX_DRAFTS  200
#define MAX_INVITES 100

struct create_body {
	struct str visibility, room_alias_name, name, topic, room_version, preset;
	json_t *invite, *invite_3pid, *creation_content, *initial_state, *power_level_content_override;
	bool is_direct;
};

static const struct json_field create_fields[] = {
	JSON_FIELD(struct create_body, visibility, JSON_OPTIONAL),
	JSON_FIELD(struct create_body, room_alias_name, JSON_OPTIONAL),
	JSON_FIELD(struct create_body, name, JSON_OPTIONAL),
	JSON_FIELD(struct create_body, topic, JSON_OPTIONAL),
	JSON_FIELD(struct create_body, room_version, JSON_OPTIONAL),
	JSON_FIELD(struct create_body, preset, JSON_OPTIONAL),
	JSON_FIELD_ARR(struct create_body, invite, JSON_OPTIONAL),
	JSON_FIELD_ARR(struct create_body, invite_3pid, JSON_OPTIONAL),
	JSON_FIELD_OBJ(struct create_body, creation_content, JSON_OPTIONAL),
	JSON_FIELD_ARR(struct create_body, initial_state, JSON_OPTIONAL),
	JSON_FIELD_OBJ(struct create_body, power_level_content_override, JSON_OPTIONAL),
	JSON_FIELD(struct create_body, is_direct, JSON_OPTIONAL),
	{ 0 },
};

struct preset {
	struct str name, join_rule, history_visibility, guest_access;
};

static const struct preset presets[] = {
	{ STR_INIT("private_chat"), STR_INIT("invite"), STR_INIT("shared"), STR_INIT("can_join") },
	{ STR_INIT("trusted_private_chat"), STR_INIT("invite"), STR_INIT("shared"), STR_INIT("can_join") },
	{ STR_INIT("public_chat"), STR_INIT("public"), STR_INIT("shared"), STR_INIT("forbidden") },
};

/* A room on its way to be made. */
struct creating {
	struct request *req;
	struct create_body body;
	const struct room_version *version;
	const struct preset *preset;
	struct str room_alias; /* empty: none */
	struct event_draft drafts[MAX_DRAFTS];
	size_t count;
};

static bool add_state(struct creating *creating, struct str type, struct str state_key, struct str content, struct err *err)
{
	if (creating->count == MAX_DRAFTS)
		return err_set(err, M_TOO_LARGE, "A room cannot start with so many events");
	creating->drafts[creating->count++] = (struct event_draft){ .type = type, .is_state = true, .state_key = state_key, .content = content };
	return true;
}

/* Takes the json_t. */
static bool add_json(struct creating *creating, struct str type, struct str state_key, json_t *content, struct err *err)
{
	struct str text = json_text(content, creating->req->arena);

	json_decref(content);
	return add_state(creating, type, state_key, text, err);
}

static bool choose_version(struct creating *creating, struct err *err)
{
	const struct options *options = creating->req->server->options;

	creating->version = json_object_get(creating->req->body, "room_version") ? room_version_find(creating->body.room_version) : room_version_find(options->default_room_version);
	if (!creating->version)
		return err_set(err, M_UNSUPPORTED_ROOM_VERSION, "This room version is not supported");
	return true;
}

static bool choose_preset(struct creating *creating, struct err *err)
{
	struct str name = creating->body.preset;

	if (creating->body.visibility.len && !str_eq(creating->body.visibility, STR("public")) && !str_eq(creating->body.visibility, STR("private")))
		return err_set(err, M_BAD_JSON, "visibility is public or private");
	if (!name.len)
		name = str_eq(creating->body.visibility, STR("public")) ? STR("public_chat") : STR("private_chat");
	for (size_t i = 0; i < ARRAY_LEN(presets); i++) {
		if (str_eq(presets[i].name, name))
			creating->preset = &presets[i];
	}
	if (!creating->preset)
		return err_set(err, M_BAD_JSON, "This preset is not known");
	return true;
}

static bool check_invites(struct creating *creating, struct err *err)
{
	const json_t *invite = creating->body.invite;

	if (json_array_size(creating->body.invite_3pid))
		return err_status(err, 400, M_UNRECOGNIZED, "Invitations by e-mail or phone are not supported");
	if (json_array_size(invite) && !member_may_invite(creating->req, err))
		return false;
	if (json_array_size(invite) > MAX_INVITES)
		return err_set(err, M_TOO_LARGE, "At most %d users can be invited at once", MAX_INVITES);
	for (size_t i = 0; i < json_array_size(invite); i++) {
		if (!json_is_string(json_array_get(invite, i)) || !user_id_valid(json_str(json_array_get(invite, i))))
			return err_set(err, M_INVALID_PARAM, "invite has something that is no user ID");
		if (!server_domain_of_user(creating->req->server, json_str(json_array_get(invite, i))))
			return err_set(err, M_FORBIDDEN, "Users of other servers cannot be invited yet");
		if (!limit_invite(creating->req, STR(""), err) ||
		    !limit_take(creating->req->server->limits, LIMIT_INVITE_USER, json_str(json_array_get(invite, i)), err))
			return false;
	}
	return true;
}

static bool is_trusted(const struct creating *creating)
{
	return str_eq(creating->preset->name, STR("trusted_private_chat"));
}

/* trusted_private_chat: whoever is invited stands as high as the creator; from version 12 as further creators. */
static void add_trusted_creators(struct creating *creating, json_t *content)
{
	json_t *creators = json_object_get(content, "additional_creators");

	if (!creators) {
		creators = json_array();
		json_object_set_new(content, "additional_creators", creators);
	}
	for (size_t i = 0; i < json_array_size(creating->body.invite); i++) {
		json_t *invited = json_array_get(creating->body.invite, i);
		bool listed = false;

		for (size_t j = 0; j < json_array_size(creators) && !listed; j++)
			listed = json_equal(json_array_get(creators, j), invited);
		if (!listed)
			json_array_append(creators, invited);
	}
}

static bool check_additional_creators(const json_t *creators, struct err *err)
{
	if (creators && !json_is_array(creators))
		return err_set(err, M_BAD_JSON, "additional_creators is no list");
	for (size_t i = 0; i < json_array_size(creators); i++) {
		if (!json_is_string(json_array_get(creators, i)) || !user_id_valid(json_str(json_array_get(creators, i))))
			return err_set(err, M_INVALID_PARAM, "additional_creators has something that is no user ID");
	}
	return true;
}

static bool add_create(struct creating *creating, struct err *err)
{
	json_t *content = creating->body.creation_content ? json_deep_copy(creating->body.creation_content) : json_object();

	if (creating->version->privileged_creators) {
		if (!check_additional_creators(json_object_get(content, "additional_creators"), err)) {
			json_decref(content);
			return false;
		}
		if (is_trusted(creating) && json_array_size(creating->body.invite))
			add_trusted_creators(creating, content);
	}
	json_object_set_new(content, "room_version", json_new_str(creating->version->name));
	if (creating->version->creator_is_sender)
		json_object_del(content, "creator");
	else
		json_object_set_new(content, "creator", json_new_str(creating->req->user->user_id));
	return add_json(creating, STR("m.room.create"), STR(""), content, err);
}

static bool add_member(struct creating *creating, struct str user_id, struct str membership, struct err *err)
{
	const struct member_wish wish = {
		.membership = membership,
		.with_profile = true,
		.is_direct = creating->body.is_direct && !str_eq(membership, STR("join")),
	};
	struct str content;

	return member_content(creating->req->server, user_id, &wish, creating->req->arena, &content, err) &&
	       add_state(creating, STR("m.room.member"), user_id, content, err);
}

static json_t *default_power_levels(const struct creating *creating)
{
	bool creators_are_above = creating->version->privileged_creators;
	json_t *users = json_object();
	json_t *events = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "m.room.name", 50, "m.room.power_levels", 100,
	                           "m.room.history_visibility", 100, "m.room.canonical_alias", 50, "m.room.avatar", 50, "m.room.tombstone",
	                           creators_are_above ? 150 : 100, "m.room.server_acl", 100, "m.room.encryption", 100);

	if (!creators_are_above) {
		json_object_set_new(users, str_cstr(creating->req->arena, creating->req->user->user_id), json_integer(100));
		for (size_t i = 0; is_trusted(creating) && i < json_array_size(creating->body.invite); i++)
			json_object_set_new(users, json_string_value(json_array_get(creating->body.invite, i)), json_integer(100));
	}
	return json_pack("{s:o, s:i, s:o, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "users", users, "users_default", 0, "events", events, "events_default", 0,
	                 "state_default", 50, "ban", 50, "kick", 50, "redact", 50, "invite", 0, "historical", 100);
}

static bool add_power_levels(struct creating *creating, struct err *err)
{
	json_t *content = default_power_levels(creating);

	if (creating->body.power_level_content_override)
		json_object_update(content, creating->body.power_level_content_override);
	return add_json(creating, STR("m.room.power_levels"), STR(""), content, err);
}

static bool in_initial_state(const struct creating *creating, struct str type)
{
	for (size_t i = 0; i < json_array_size(creating->body.initial_state); i++) {
		const json_t *event = json_array_get(creating->body.initial_state, i);

		if (str_eq(json_get_str(event, "type"), type) && json_get_str(event, "state_key").len == 0)
			return true;
	}
	return false;
}

/* What initial_state gives goes before what the preset would. */
static bool add_preset_state(struct creating *creating, struct str type, const char *member, struct str value, struct err *err)
{
	return in_initial_state(creating, type) || add_json(creating, type, STR(""), json_pack("{s:o}", member, json_new_str(value)), err);
}

static bool add_preset(struct creating *creating, struct err *err)
{
	if (creating->room_alias.len && !add_json(creating, STR("m.room.canonical_alias"), STR(""),
	                                          json_pack("{s:o}", "alias", json_new_str(creating->room_alias)), err))
		return false;
	return add_preset_state(creating, STR("m.room.join_rules"), "join_rule", creating->preset->join_rule, err) &&
	       add_preset_state(creating, STR("m.room.history_visibility"), "history_visibility", creating->preset->history_visibility, err) &&
	       add_preset_state(creating, STR("m.room.guest_access"), "guest_access", creating->preset->guest_access, err);
}

static bool add_initial_state(struct creating *creating, struct err *err)
{
	for (size_t i = 0; i < json_array_size(creating->body.initial_state); i++) {
		const json_t *event = json_array_get(creating->body.initial_state, i), *content = json_object_get(event, "content");
		const json_t *type = json_object_get(event, "type"), *state_key = json_object_get(event, "state_key");

		if (!json_is_string(type) || !json_is_object(content) || (state_key && !json_is_string(state_key)))
			return err_set(err, M_BAD_JSON, "initial_state has something that is no state event");
		if (!add_state(creating, json_str(type), json_str(state_key), json_text(content, creating->req->arena), err))
			return false;
	}
	return true;
}

static bool add_names(struct creating *creating, struct err *err)
{
	if (creating->body.name.len && !add_json(creating, STR("m.room.name"), STR(""), json_pack("{s:o}", "name", json_new_str(creating->body.name)), err))
		return false;
	if (creating->body.topic.len &&
	    !add_json(creating, STR("m.room.topic"), STR(""),
	              json_pack("{s:o, s:{s:[{s:o}]}}", "topic", json_new_str(creating->body.topic), "m.topic", "m.text", "body",
	                        json_new_str(creating->body.topic)),
	              err))
		return false;
	return true;
}

static bool add_invites(struct creating *creating, struct err *err)
{
	for (size_t i = 0; i < json_array_size(creating->body.invite); i++) {
		if (!add_member(creating, json_str(json_array_get(creating->body.invite, i)), STR("invite"), err))
			return false;
	}
	return true;
}

static bool name_alias(struct creating *creating, struct err *err)
{
	struct request *req = creating->req;
	struct identifier id;

	if (!creating->body.room_alias_name.len)
		return true;
	creating->room_alias = str_printf(req->arena, "#%.*s:%.*s", STR_ARG(creating->body.room_alias_name), STR_ARG(identifier_domain(req->user->user_id)));
	if (!room_alias_parse(creating->room_alias, &id) || str_find_char(creating->body.room_alias_name, ':') >= 0)
		return err_set(err, M_INVALID_PARAM, "This is no name for an alias");
	return alias_require_free(req->server, creating->room_alias, req->arena, err);
}

/* The alias and the room come to be in one commit. */
static bool add_rows(void *context, struct write_set *set, nid_t room, struct err *err UNUSED)
{
	const struct creating *creating = context;

	if (creating->room_alias.len)
		alias_add_row(set, creating->room_alias, room, creating->req->user->nid);
	if (str_eq(creating->body.visibility, STR("public")))
		directory_add_row(set, room);
	return true;
}

static bool draft_events(struct creating *creating, struct err *err)
{
	return add_create(creating, err) && add_member(creating, creating->req->user->user_id, STR("join"), err) && add_power_levels(creating, err) &&
	       add_preset(creating, err) && add_initial_state(creating, err) && add_names(creating, err) && add_invites(creating, err);
}

/* Why there is no room: the events that were asked for do not go together, or another room was faster to take the alias. */
static bool explain(const struct creating *creating, struct err *err)
{
	struct err why = *err, taken = { 0 };

	if (why.code == M_FORBIDDEN || why.code == M_BAD_JSON)
		return err_set(err, M_INVALID_ROOM_STATE, "%s", why.message);
	if (creating->room_alias.len && !alias_require_free(creating->req->server, creating->room_alias, creating->req->arena, &taken) &&
	    taken.code == M_ROOM_IN_USE)
		*err = taken;
	return false;
}

static bool post_create_room(struct request *req, struct err *err)
{
	struct sender sender = { req->user->nid, req->user->user_id, 0 };
	struct creating *creating = ARENA_NEW(req->arena, struct creating);
	struct room_creation creation = { .drafts = creating->drafts, .add_rows = add_rows, .context = creating };
	struct room_info room;

	creating->req = req;
	if (!json_read(req->body, create_fields, &creating->body, err) || !choose_version(creating, err) || !choose_preset(creating, err) ||
	    !check_invites(creating, err) || !name_alias(creating, err) || !draft_events(creating, err))
		return false;
	creation.version = creating->version;
	creation.count = creating->count;
	if (!creating->version->room_id_is_create_hash)
		creation.room_id = str_printf(req->arena, "!%.*s:%.*s", STR_ARG(random_string(req->arena, 18)), STR_ARG(identifier_domain(req->user->user_id)));
	if (!room_create(req->server, &sender, &creation, req->arena, &room, err))
		return explain(creating, err);
	return reply_field(req, "room_id", room.room_id);
}

const struct route create_routes[] = {
	{ HTTP_POST, "/_matrix/client/v3/createRoom", AUTH_USER, LIMIT_ROOM_CREATION, post_create_room },
	{ 0 },
};
