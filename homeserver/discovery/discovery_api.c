/* client-server-api "Server Discovery", "API Versions", "Capabilities negotiation". */
#include "discovery/discovery.h"

#include "matrix/room_version.h"

/* Every one by name: clients look for the literal that they want. */
static const char *const versions[] = {
	"r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1", "v1.1",
	"v1.2",   "v1.3",   "v1.4",   "v1.5",   "v1.6",   "v1.7",   "v1.8",   "v1.9",   "v1.10",
	"v1.11",  "v1.12",  "v1.13",  "v1.14",  "v1.15",  "v1.16",  "v1.17",  "v1.18",  "v1.19",
};

/* What clients look for under these names, and is there as a whole. */
static const char *const unstable_features[] = {
	"org.matrix.e2e_cross_signing", "org.matrix.msc2285.stable", "org.matrix.msc3440.stable", "org.matrix.msc3771",
	"org.matrix.msc3773",           "org.matrix.msc3916.stable", "uk.tcpip.msc4133.stable",
};

static bool get_versions(struct request *req, struct err *err UNUSED)
{
	enum default_encryption encrypt = (enum default_encryption)req->server->options->default_encryption;
	json_t *list = json_array(), *features = json_object();

	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		json_array_append_new(list, json_string(versions[i]));
	for (size_t i = 0; i < ARRAY_LEN(unstable_features); i++)
		json_object_set_new(features, unstable_features[i], json_true());
	json_object_set_new(features, "io.element.e2ee_forced.public", json_boolean(encrypt == ENCRYPT_ALL));
	json_object_set_new(features, "io.element.e2ee_forced.private", json_boolean(encrypt != ENCRYPT_NONE));
	json_object_set_new(features, "io.element.e2ee_forced.trusted_private", json_boolean(encrypt != ENCRYPT_NONE));
	return reply_json(req, 200, json_pack("{s:o, s:o}", "versions", list, "unstable_features", features));
}

static bool get_well_known_client(struct request *req, struct err *err)
{
	const struct domain_options *domain = request_domain(req);
	json_t *answer = NULL;

	if (domain->well_known_client.len) {
		if (!json_parse(domain->well_known_client, req->arena, &answer, err))
			return err_detail(err, "extra_well_known_client_content");
		json_incref(answer);
	} else {
		answer = json_object();
	}
	if (!json_object_get(answer, "m.homeserver"))
		json_object_set_new(answer, "m.homeserver",
				    json_pack("{s:o}", "base_url", json_new_str(domain->public_baseurl)));
	return reply_json(req, 200, answer);
}

static bool get_well_known_server(struct request *req, struct err *err)
{
	const struct domain_options *domain = request_domain(req);

	if (!domain->serve_well_known)
		return err_set(err, M_NOT_FOUND, "This server does not say here where it is");
	return reply_field(req, "m.server", str_printf(req->arena, "%.*s:443", STR_ARG(domain->name)));
}

static json_t *enabled(bool yes)
{
	return json_pack("{s:b}", "enabled", yes);
}

static json_t *room_versions(const struct options *options)
{
	struct str usual =
		options->default_room_version.len ? options->default_room_version : room_version_default()->name;
	json_t *available = json_object();

	for (size_t i = 0; i < room_version_count(); i++) {
		struct str name = room_version_at(i)->name;

		json_object_setn_new(available, name.ptr, name.len, json_string("stable"));
	}
	return json_pack("{s:o, s:o}", "default", json_new_str(usual), "available", available);
}

static json_t *profile_fields(const struct options *options)
{
	json_t *fields = enabled(true), *disallowed = json_array();

	if (!options->enable_set_displayname)
		json_array_append_new(disallowed, json_string("displayname"));
	if (!options->enable_set_avatar_url)
		json_array_append_new(disallowed, json_string("avatar_url"));
	if (json_array_size(disallowed))
		json_object_set(fields, "disallowed", disallowed);
	json_decref(disallowed);
	return fields;
}

static bool get_capabilities(struct request *req, struct err *err UNUSED)
{
	const struct options *options = req->server->options;
	json_t *list = json_object();

	json_object_set_new(list, "m.change_password",
			    enabled(options->password_login != PASSWORD_OFF && options->password_local));
	json_object_set_new(list, "m.room_versions", room_versions(options));
	json_object_set_new(list, "m.set_displayname", enabled(options->enable_set_displayname));
	json_object_set_new(list, "m.set_avatar_url", enabled(options->enable_set_avatar_url));
	json_object_set_new(list, "m.profile_fields", profile_fields(options));
	json_object_set_new(list, "uk.tcpip.msc4133.profile_fields", profile_fields(options));
	json_object_set_new(list, "m.3pid_changes", enabled(false));
	json_object_set_new(list, "m.get_login_token", enabled(options->login_via_existing_session.enabled));
	json_object_set_new(list, "m.forget_forced_upon_leave", enabled(options->forget_rooms_on_leave));
	return reply_json(req, 200, json_pack("{s:o}", "capabilities", list));
}

const struct route discovery_routes[] = {
	{ HTTP_GET, "/_matrix/client/versions", AUTH_NONE, LIMIT_NONE, get_versions },
	{ HTTP_GET, "/.well-known/matrix/client", AUTH_NONE, LIMIT_NONE, get_well_known_client },
	{ HTTP_GET, "/.well-known/matrix/server", AUTH_NONE, LIMIT_NONE, get_well_known_server,
	  .flags = ROUTE_UNLISTED },
	{ HTTP_GET, "/_matrix/client/v3/capabilities", AUTH_USER, LIMIT_NONE, get_capabilities },
	{ 0 },
};
