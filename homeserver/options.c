/* What follows from the options together, and what contradicts itself. */
#include "options.h"

#include <arpa/inet.h>

#include "db/db.h"
#include "matrix/identifiers.h"
#include "matrix/room_version.h"

#define DEFAULT_PORT     8008
#define ALL_IPV4         "0.0.0.0"
#define ALL_IPV6         "::"
#define MAX_RESOURCES    16
#define LISTENER_HTTP    0
#define LISTENER_MANHOLE 2
#define FORWARDED_AUTO   0
#define FORWARDED_TRUE   1

static const char *const metrics_resources[] = { "metrics", "health", NULL };
static const char *const all_resources[] = { "client",  "media",  "keys",   "federation", "openid",
					     "consent", "static", "health", NULL };
/* What Synapse serves along with a resource of this name. */
static const char *const client_resources[] = { "client", "media", "static", "consent", NULL };
static const char *const federation_resources[] = { "federation", "media", "keys", "openid", NULL };
static const char *const single_resources[] = { "media",   "keys",   "openid", "consent",
						"metrics", "static", "health", NULL };

static bool contains(const char *const *names, struct str name)
{
	for (; *names; names++) {
		if (str_eq(name, str_of(*names)))
			return true;
	}
	return false;
}

/* Listeners */

struct listeners {
	struct arena *arena;
	struct config *config;
	const struct config_place *place;
	struct http_listener *items;
	size_t count, cap;
};

static void add_resources(const char **names, const char *const *added)
{
	size_t count = 0;

	while (names[count])
		count++;
	for (; *added; added++) {
		if (!contains(names, str_of(*added)) && count < MAX_RESOURCES)
			names[count++] = *added;
	}
}

static void add_resource(struct listeners *listeners, const char **names, struct str name)
{
	const char *const single[] = { str_cstr(listeners->arena, name), NULL };

	if (str_eq(name, STR("client")))
		add_resources(names, client_resources);
	else if (str_eq(name, STR("federation")))
		add_resources(names, federation_resources);
	else if (contains(single_resources, name))
		add_resources(names, single);
	else if (str_eq(name, STR("replication")))
		config_raise(listeners->config, listeners->place, CONFIG_INFO,
			     "The resource 'replication' is not used here: there are no workers");
	else
		config_raise(listeners->config, listeners->place, CONFIG_WARNING, "Unknown resource '%.*s'",
			     STR_ARG(name));
}

static const char *const *resources_of(struct listeners *listeners, const struct listener_row *row)
{
	const char **names;

	if (row->type != LISTENER_HTTP)
		return metrics_resources;
	if (row->resources.count == 0)
		return all_resources;
	names = ARENA_ARRAY(listeners->arena, MAX_RESOURCES + 1, const char *);
	for (size_t i = 0; i < row->resources.count; i++) {
		for (size_t j = 0; j < row->resources.items[i].names.count; j++)
			add_resource(listeners, names, row->resources.items[i].names.items[j]);
	}
	add_resources(names, (const char *const[]){ "health", NULL });
	return names;
}

static bool is_ip_address(struct str text)
{
	char address[INET6_ADDRSTRLEN];
	struct in6_addr parsed;

	if (text.len >= sizeof(address))
		return false;
	snprintf(address, sizeof(address), "%.*s", STR_ARG(text));
	return inet_pton(AF_INET, address, &parsed) == 1 || inet_pton(AF_INET6, address, &parsed) == 1;
}

static void add_address(struct listeners *listeners, const struct http_listener *like, struct str address)
{
	struct http_listener *listener;

	if (!is_ip_address(address)) {
		config_raise(listeners->config, listeners->place, CONFIG_ERROR, "'%.*s' is no IP address to listen on",
			     STR_ARG(address));
		return;
	}
	listener = ARENA_PUSH(listeners->arena, listeners->items, listeners->count, listeners->cap);
	*listener = *like;
	listener->address = address;
}

/* One listener for each address; an empty address is any, as is none. */
static void add_row(struct listeners *listeners, const struct listener_row *row)
{
	struct http_listener like = {
		.port = (uint16_t)row->port,
		.mode = (unsigned)row->mode,
		.tls = row->tls,
		.x_forwarded =
			row->x_forwarded == FORWARDED_TRUE || (row->x_forwarded == FORWARDED_AUTO && row->path.len),
		.request_id_header = row->request_id_header,
		.resources = resources_of(listeners, row),
	};

	if (row->path.len) {
		like.address = row->path;
		like.port = 0;
		*ARENA_PUSH(listeners->arena, listeners->items, listeners->count, listeners->cap) = like;
		return;
	}
	for (size_t i = 0; i < row->bind_addresses.count; i++) {
		if (row->bind_addresses.items[i].len)
			add_address(listeners, &like, row->bind_addresses.items[i]);
	}
	if (row->bind_addresses.count && row->bind_addresses.items[0].len)
		return;
	add_address(listeners, &like, STR(ALL_IPV6));
	add_address(listeners, &like, STR(ALL_IPV4));
}

static void check_row(struct listeners *listeners, const struct options *options, const struct listener_row *row)
{
	if (row->tls && (!options->tls_certificate_path.len || !options->tls_private_key_path.len))
		config_raise(listeners->config, listeners->place, CONFIG_ERROR,
			     "A listener with TLS needs tls_certificate_path and tls_private_key_path");
	if (row->type != LISTENER_HTTP && !options->enable_metrics)
		config_raise(listeners->config, listeners->place, CONFIG_WARNING,
			     "A listener of type metrics shows nothing without 'enable_metrics: true'");
}

static void make_listeners(struct config *config, struct options *options, struct arena *arena)
{
	static const struct listener_row fallback = { .port = DEFAULT_PORT };
	struct listeners listeners = { .arena = arena, .config = config };

	for (size_t i = 0; i < options->listener_rows.count; i++) {
		const struct listener_row *row = &options->listener_rows.items[i];

		if (row->type == LISTENER_MANHOLE)
			continue;
		listeners.place = config_item_place(config, "listeners", i);
		check_row(&listeners, options, row);
		add_row(&listeners, row);
	}
	if (options->listener_rows.count == 0)
		add_row(&listeners, &fallback);
	options->listeners = listeners.items;
	options->listener_count = listeners.count;
}

/* Takes `,word` off the end; false: something else stands there. */
static bool read_listen_word(struct str word, struct http_listener *listener)
{
	if (str_eq(word, STR("tls")))
		listener->tls = true;
	else if (str_eq(word, STR("x_forwarded")))
		listener->x_forwarded = true;
	else if (str_eq(word, STR("metrics")))
		listener->resources = metrics_resources;
	else
		return false;
	return true;
}

/* `ADDRESS:PORT`, `[ADDRESS]:PORT`. */
static bool read_address_port(struct str text, struct http_listener *listener)
{
	ptrdiff_t colon = -1;
	int64_t port;

	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == ':')
			colon = (ptrdiff_t)i;
	}
	if (colon < 0 || !str_to_int64(str_from(text, (size_t)colon + 1), &port) || port < 0 || port > 65535)
		return false;
	listener->port = (uint16_t)port;
	listener->address = str_sub(text, 0, (size_t)colon);
	if (str_starts_with(listener->address, STR("[")) && str_ends_with(listener->address, STR("]")))
		listener->address = str_sub(listener->address, 1, listener->address.len - 2);
	else if (str_find_char(listener->address, ':') >= 0)
		return false;
	return is_ip_address(listener->address);
}

bool options_parse_listen(struct str text, struct http_listener *ret_listener, struct err *err)
{
	struct http_listener listener = { .mode = 0666, .resources = all_resources };
	struct str rest = text, address, word;

	str_split(&rest, ',', &address);
	if (str_starts_with(address, STR("/"))) {
		listener.address = address;
		listener.x_forwarded = true;
	} else if (!read_address_port(address, &listener)) {
		return err_set(err, M_INVALID_PARAM, "'%.*s' is not ADDRESS:PORT, [IPV6]:PORT or the path of a socket",
			       STR_ARG(address));
	}
	while (str_split(&rest, ',', &word)) {
		if (!read_listen_word(word, &listener))
			return err_set(err, M_INVALID_PARAM, "'%.*s' is not tls, x_forwarded or metrics",
				       STR_ARG(word));
	}
	*ret_listener = listener;
	return true;
}

bool options_listen(struct options *options, const struct http_listener *listeners, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		if (listeners[i].tls && (!options->tls_certificate_path.len || !options->tls_private_key_path.len))
			return err_set(err, M_INVALID_PARAM,
				       "A listener with TLS needs tls_certificate_path and tls_private_key_path in the "
				       "configuration");
	}
	options->listeners = listeners;
	options->listener_count = count;
	return true;
}

/* The rest */

static void finish_domain(struct config *config, struct domain_options *domain, struct arena *arena)
{
	struct str url = domain->public_baseurl;

	if (!server_name_valid(domain->name))
		config_raise(config, config_place(config, "server_name"), CONFIG_ERROR,
			     "'%.*s' is no server name: a host name or an IP address, and a port if need be",
			     STR_ARG(domain->name));
	if (!url.len)
		url = str_printf(arena, "https://%.*s/", STR_ARG(domain->name));
	else if (!str_starts_with(url, STR("https://")) && !str_starts_with(url, STR("http://")))
		config_raise(config, config_place(config, "public_baseurl"), CONFIG_ERROR,
			     "'public_baseurl' must begin with https:// or http://");
	domain->public_baseurl = str_ends_with(url, STR("/")) ? url : str_concat(arena, url, STR("/"));
	if (!domain->signing_key_path.len)
		domain->signing_key_path = config_resolve(config, str_concat(arena, domain->name, STR(".signing.key")));
	if (domain->well_known_client.len && domain->well_known_client.ptr[0] != '{')
		config_raise(config, config_place(config, "extra_well_known_client_content"), CONFIG_ERROR,
			     "'extra_well_known_client_content' must be a map");
}

/* Sign-up has to be checked somehow, or open on purpose; checks that we cannot make close it. */
static void finish_registration(struct config *config, struct registration_options *registration)
{
	const char *check = registration->captcha               ? "enable_registration_captcha"
			    : registration->requires_3pid.count ? "registrations_require_3pid"
								: NULL;

	if (!registration->enabled)
		return;
	if (check) {
		config_raise(config, config_place(config, check), CONFIG_WARNING,
			     "Sign-up is off, for this release cannot check what '%s' asks for", check);
		registration->enabled = false;
	} else if (!registration->requires_token && !registration->without_verification) {
		config_raise(config, config_place(config, "enable_registration"), CONFIG_ERROR,
			     "'enable_registration' needs 'registration_requires_token', or "
			     "'enable_registration_without_verification' if "
			     "everybody, spammers included, is to be let in");
	}
}

static void finish(struct config *config, struct options *options, struct arena *arena)
{
	options->domains = &options->first;
	options->domain_count = 1;
	finish_domain(config, &options->first, arena);
	finish_registration(config, &options->first.registration);
	if (!room_version_find(options->default_room_version))
		config_raise(config, config_place(config, "default_room_version"), CONFIG_ERROR,
			     "There is no room version '%.*s'", STR_ARG(options->default_room_version));
	if (options->postgresql.len && !db_conninfo_valid(options->postgresql))
		config_raise(config, config_place(config, "postgresql"), CONFIG_ERROR,
			     "'postgresql' is no connection string or URI of libpq");
	if (!options->media_store_path.len)
		options->media_store_path = str_printf(arena, "%.*s/media_store", STR_ARG(options->data_directory));
	if (!config_given(config, "rc_admin_redaction"))
		options->rates.admin_redaction = options->rates.message;
	if (options->default_power_levels.ptr[0] != '{')
		config_raise(config, config_place(config, "default_power_level_content_override"), CONFIG_ERROR,
			     "'default_power_level_content_override' must be a map");
	make_listeners(config, options, arena);
}

static bool load(const struct config_strings *files, bool may_create, const struct options *running,
		 struct arena *arena, struct options **ret_options, struct config **ret_config)
{
	struct options *options = ARENA_NEW(arena, struct options);
	struct config *config = config_new(arena);

	*ret_config = config;
	if (may_create)
		config_may_create(config);
	for (size_t i = 0; i < files->count; i++)
		config_add_file(config, files->items[i]);
	if (!config_ok(config) || !config_read(config, options_table, options))
		return false;
	finish(config, options, arena);
	if (running) {
		config_keep(config, options_table, running, options);
		options->listeners = running->listeners;
		options->listener_count = running->listener_count;
	}
	*ret_options = options;
	return config_ok(config);
}

bool options_load(const struct config_strings *files, bool may_create, struct arena *arena,
		  struct options **ret_options, struct config **ret_config)
{
	return load(files, may_create, NULL, arena, ret_options, ret_config);
}

bool options_reload(const struct config_strings *files, const struct options *running, struct arena *arena,
		    struct options **ret_options, struct config **ret_config)
{
	return load(files, true, running, arena, ret_options, ret_config);
}

/* Samples */

static void write_sample(const struct config_setting *set, size_t count, struct buf *buf)
{
	BUF_LIT(buf, "# Hearth's configuration. What is commented out shows the default, or an example where there is "
		     "none.\n"
		     "#\n"
		     "# Options that Synapse has too are called as there and mean the same. Durations are numbers of "
		     "milliseconds, or numbers\n"
		     "# followed by s, m, h, d, w or y; sizes are numbers of bytes, or numbers followed by K, M, G or "
		     "T. Rate limits allow\n"
		     "# burst_count at once and per_second from then on. A secret x may stand in a file of its own, "
		     "named by x_path.\n"
		     "#\n"
		     "# `hearth check-config FILE` checks it. SIGHUP has a running server read it again.\n");
	config_write_sample(options_table, set, count, buf);
}

void options_write_sample(struct buf *buf)
{
	write_sample((const struct config_setting[]){ { "server_name", STR("example.org") } }, 1, buf);
}

void options_write_new(struct str server_name, struct str data_directory, struct buf *buf)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct server_name name = { 0 };
	bool local = server_name_parse(server_name, &name) && str_eq(name.host, STR("localhost"));
	struct str key_path = str_printf(arena, "%.*s/%.*s.signing.key", STR_ARG(data_directory), STR_ARG(server_name));
	struct str url = local ? str_printf(arena, "http://localhost:%d/", DEFAULT_PORT)
			       : str_printf(arena, "https://%.*s/", STR_ARG(server_name));
	struct str listeners = str_printf(arena,
					  "- port: %d\n"
					  "  bind_addresses: ['127.0.0.1', '::1']\n"
					  "  x_forwarded: %s\n"
					  "  resources:\n"
					  "    - names: [client]\n",
					  DEFAULT_PORT, local ? "false" : "true");
	const struct config_setting set[] = {
		{ "server_name", config_quote(arena, server_name) },
		{ "public_baseurl", config_quote(arena, url) },
		{ "data_directory", config_quote(arena, data_directory) },
		{ "signing_key_path", config_quote(arena, key_path) },
		{ "listeners", listeners },
		{ "enable_registration", STR("true") },
		{ "registration_requires_token", STR("true") },
	};

	write_sample(set, ARRAY_LEN(set), buf);
}
