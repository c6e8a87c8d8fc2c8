#include "options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define SAMPLE_MAX ((size_t)1 << 20)

static char folder[] = "/tmp/hearth-options-test-XXXXXX";
static char path[64];

static int set_up(void **state UNUSED)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/homeserver.yaml", folder);
	return 0;
}

static int tear_down(void **state UNUSED)
{
	return unlink(path) == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static struct options *load(struct arena *arena, struct str text, struct config **ret_config)
{
	struct str file = str_of(path);
	struct options *options = NULL;
	FILE *stream = fopen(path, "w");

	assert_non_null(stream);
	assert_int_equal(fwrite(text.ptr, 1, text.len, stream), text.len);
	assert_int_equal(fclose(stream), 0);
	if (!options_load(&(struct config_strings){ &file, 1 }, false, arena, &options, ret_config))
		return NULL;
	return options;
}

/* "error 3 text|…" */
static struct str faults_of(struct arena *arena, struct config *config)
{
	static const char *const severities[] = {
		[CONFIG_ERROR] = "error", [CONFIG_WARNING] = "warning", [CONFIG_INFO] = "info"
	};
	CLEANUP(buf_done) struct buf buf = buf_init(65536);
	const struct config_fault *faults;
	size_t count;

	faults = config_faults(config, &count);
	for (size_t i = 0; i < count; i++)
		buf_printf(&buf, "%s%s %zu %.*s", i ? "|" : "", severities[faults[i].severity], faults[i].line,
			   STR_ARG(faults[i].text));
	return str_dup(arena, buf_str(&buf));
}

static void assert_str(struct str got, struct str expected)
{
	if (!str_eq(got, expected))
		fail_msg("got: %.*s\nexpected: %.*s", STR_ARG(got), STR_ARG(expected));
}

static const struct http_listener *find_listener(const struct options *options, struct str address)
{
	for (size_t i = 0; i < options->listener_count; i++) {
		if (str_eq(options->listeners[i].address, address))
			return &options->listeners[i];
	}
	fail_msg("no listener on %.*s", STR_ARG(address));
	return NULL;
}

static bool serves(const struct http_listener *listener, const char *resource)
{
	for (const char *const *name = listener->resources; *name; name++) {
		if (strcmp(*name, resource) == 0)
			return true;
	}
	return false;
}

static void a_name_is_enough(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct config *config;
	struct options *options = load(arena, STR("server_name: example.org\n"), &config);

	assert_non_null(options);
	assert_str(faults_of(arena, config), STR(""));
	assert_int_equal(options->domain_count, 1);
	assert_str(options->domains[0].name, STR("example.org"));
	assert_str(options->domains[0].public_baseurl, STR("https://example.org/"));
	assert_str(options->domains[0].signing_key_path, str_printf(arena, "%s/example.org.signing.key", folder));
	assert_false(options->domains[0].registration.enabled);
	assert_str(options->data_directory, STR("/var/lib/hearth"));
	assert_str(options->media_store_path, STR("/var/lib/hearth/media_store"));
	assert_int_equal(options->postgresql.len, 0);
	assert_str(options->default_room_version, STR("12"));
	assert_int_equal(options->listener_count, 2);
	assert_int_equal(find_listener(options, STR("::"))->port, 8008);
	assert_true(serves(find_listener(options, STR("0.0.0.0")), "client"));
	assert_false(serves(find_listener(options, STR("0.0.0.0")), "metrics"));
	assert_int_equal(options->max_upload_size, 50 << 20);
	assert_int_equal(options->refreshable_token_lifetime, 300000);
	assert_true(options->session_lifetime == CONFIG_FOREVER && options->refresh_token_lifetime == CONFIG_FOREVER);
	assert_true(options->rates.admin_redaction.per_second > 0.19 &&
		    options->rates.admin_redaction.per_second < 0.21);
	assert_int_equal(options->password_login, PASSWORD_ON);
	assert_int_equal(options->presence, PRESENCE_ON);
	assert_int_equal(options->default_encryption, ENCRYPT_NONE);
	assert_int_equal(options->log.level, LOG_INFO);
	assert_int_equal(options->log.format, LOG_TEXT);
	assert_str(options->default_power_levels, STR("{}"));
}

/* What `generate_config` of Synapse and Debian's package write, with the options that most operators set. */
static void a_synapse_configuration_is_read_as_it_is(void **state UNUSED)
{
	static const struct str text = STR_INIT(
		"server_name: \"example.org\"\n"
		"pid_file: /var/run/matrix-synapse.pid\n"
		"public_baseurl: https://matrix.example.org\n"
		"listeners:\n"
		"  - port: 8008\n"
		"    tls: false\n"
		"    type: http\n"
		"    x_forwarded: true\n"
		"    bind_addresses: ['::1', '127.0.0.1']\n"
		"    resources:\n"
		"      - names: [client, federation]\n"
		"        compress: false\n"
		"  - path: /run/synapse/main.sock\n"
		"    mode: 660\n"
		"    resources: [{names: [media]}]\n"
		"  - port: 9000\n"
		"    type: metrics\n"
		"    bind_address: '127.0.0.2'\n"
		"enable_metrics: true\n"
		"database:\n"
		"  name: psycopg2\n"
		"  txn_limit: 10000\n"
		"  args: {user: synapse, password: secret, dbname: synapse, host: localhost, cp_min: 5, cp_max: 10}\n"
		"log_config: \"/etc/matrix-synapse/log.yaml\"\n"
		"media_store_path: media\n"
		"registration_shared_secret: \"shared\"\n"
		"report_stats: true\n"
		"macaroon_secret_key: \"m\"\n"
		"form_secret: \"f\"\n"
		"signing_key_path: \"/etc/matrix-synapse/homeserver.signing.key\"\n"
		"old_signing_keys:\n"
		"  \"ed25519:id\": {key: \"base64string\", expired_ts: 123456789123}\n"
		"trusted_key_servers:\n"
		"  - server_name: \"matrix.org\"\n"
		"suppress_key_server_warning: true\n"
		"enable_registration: true\n"
		"registration_requires_token: true\n"
		"max_upload_size: 100M\n"
		"redaction_retention_period: null\n"
		"password_config:\n"
		"  pepper: \"salt\"\n"
		"  enabled: only_for_reauth\n"
		"  policy: {enabled: true, minimum_length: 15, require_digit: true}\n"
		"rc_message: {per_second: 5, burst_count: 50.5}\n"
		"rc_login:\n"
		"  address: {per_second: 0.17}\n"
		"presence:\n"
		"  enabled: false\n"
		"  idle_timeout: 5m\n"
		"encryption_enabled_by_default_for_room_type: off\n"
		"room_prejoin_state:\n"
		"  additional_event_types: [org.example.a, [org.example.b, foo]]\n"
		"turn_uris: [ \"turn:turn.example.org\" ]\n"
		"app_service_config_files: []\n"
		"experimental_features: {msc3026_enabled: true}\n"
		"worker_app: synapse.app.generic_worker\n"
		"no_such_option: 1\n");
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct config *config;
	struct options *options = load(arena, text, &config);
	const struct http_listener *listener;
	struct str faults = faults_of(arena, config);

	if (!options) {
		fail_msg("faults: %.*s", STR_ARG(faults));
		return;
	}
	assert_int_equal(str_find(faults, STR("error")), -1);
	assert_true(str_find(faults, STR("warning 57 Unknown option 'no_such_option'")) > 0);
	assert_true(str_find(faults, STR("info 20 'database' is not used here")) > 0);
	assert_true(str_find(faults, STR("warning 53 'turn_uris' is not used here")) > 0);
	assert_str(options->domains[0].public_baseurl, STR("https://matrix.example.org/"));
	assert_int_equal(options->listener_count, 4);
	listener = find_listener(options, STR("::1"));
	assert_true(listener->x_forwarded && serves(listener, "client") && serves(listener, "media") &&
		    serves(listener, "openid"));
	listener = find_listener(options, STR("/run/synapse/main.sock"));
	assert_true(listener->x_forwarded && serves(listener, "media") && !serves(listener, "client") &&
		    listener->mode == 0660);
	listener = find_listener(options, STR("127.0.0.2"));
	assert_true(listener->port == 9000 && serves(listener, "metrics") && !serves(listener, "client"));
	assert_str(options->media_store_path, str_printf(arena, "%s/media", folder));
	assert_str(options->domains[0].registration.shared_secret, STR("shared"));
	assert_int_equal(options->domains[0].old_signing_keys.items[0].expired_ts, INT64_C(123456789123));
	assert_int_equal(options->password_login, PASSWORD_REAUTH_ONLY);
	assert_int_equal(options->password_policy.minimum_length, 15);
	assert_int_equal(options->presence, PRESENCE_OFF);
	assert_true(options->rates.admin_redaction.per_second > 4.9);
	assert_true(options->rates.login_address.burst_count > 4.9);
}

static void contradictions_have_lines(void **state UNUSED)
{
	static const struct {
		struct str text, faults;
	} cases[] = {
		{ STR_INIT("server_name: 'not a name'\n"), STR_INIT("error 1 'not a name' is no server name: a host "
								    "name or an IP address, and a port if need be") },
		{ STR_INIT("server_name: a\npublic_baseurl: example.org\n"),
		  STR_INIT("error 2 'public_baseurl' must begin with https:// or http://") },
		{ STR_INIT("server_name: a\ndefault_room_version: 99\n"),
		  STR_INIT("error 2 There is no room version '99'") },
		{ STR_INIT("server_name: a\nlisteners: [{port: 1, tls: true}]\n"),
		  STR_INIT("error 2 A listener with TLS needs tls_certificate_path and tls_private_key_path") },
		{ STR_INIT("server_name: a\nlisteners: [{port: 1, bind_addresses: [here]}]\n"),
		  STR_INIT("error 2 'here' is no IP address to listen on") },
		{ STR_INIT("server_name: a\nlisteners: [{port: 1, type: metrics}]\n"),
		  STR_INIT("warning 2 A listener of type metrics shows nothing without 'enable_metrics: true'") },
		{ STR_INIT("server_name: a\nlisteners: [{port: 1, resources: [{names: [clients]}]}]\n"),
		  STR_INIT("warning 2 Unknown resource 'clients'") },
		{ STR_INIT("server_name: a\nextra_well_known_client_content: 5\n"),
		  STR_INIT("error 2 'extra_well_known_client_content' must be a map") },
		{ STR_INIT("server_name: a\nenable_registration: true\n"),
		  STR_INIT("error 2 'enable_registration' needs 'registration_requires_token', or "
			   "'enable_registration_without_verification' if "
			   "everybody, spammers included, is to be let in") },
		{ STR_INIT("server_name: a\nenable_registration: true\nenable_registration_without_verification: true\n"
			   "registrations_require_3pid: [email]\n"),
		  STR_INIT("warning 4 Sign-up is off, for this release cannot check what 'registrations_require_3pid' "
			   "asks for") },
		{ STR_INIT("server_name: a\nlisteners:\n- port: 1\n- port: 2\n  bind_addresses: [here]\n"),
		  STR_INIT("error 4 'here' is no IP address to listen on") },
		{ STR_INIT("server_name: a\nlisteners:\n- {port: 1}\n\n- {port: 2, tls: true}\n"),
		  STR_INIT("error 5 A listener with TLS needs tls_certificate_path and tls_private_key_path") },
		{ STR_INIT("server_name: a\npostgresql: 'postgresql://u:secret@[::1/db'\n"),
		  STR_INIT("error 2 'postgresql' is no connection string or URI of libpq") },
		{ STR_INIT("server_name: a\npostgresql: 'password=secret host'\n"),
		  STR_INIT("error 2 'postgresql' is no connection string or URI of libpq") },
		{ STR_INIT("server_name: a\ndatabase_connections: 3\n"), /* all taken by threads of the server's own */
		  STR_INIT("error 2 'database_connections' must be from 4 to 1000") },
		{ STR_INIT("server_name: a\ncache_memory: 5\n"),
		  STR_INIT("error 2 'cache_memory' must be 1048576 or more") },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct config *config;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		load(arena, cases[i].text, &config);
		assert_str(faults_of(arena, config), cases[i].faults);
	}
}

static void the_command_line_replaces_listeners(void **state UNUSED)
{
	static const struct str given[] = {
		STR_INIT("127.0.0.1:8010"),       STR_INIT("[::1]:8448,tls"),          STR_INIT("/run/x.sock"),
		STR_INIT("0.0.0.0:9000,metrics"), STR_INIT("127.0.0.2:0,x_forwarded"),
	};
	static const struct str wrong[] = {
		STR_INIT(""),
		STR_INIT("8008"),
		STR_INIT("localhost:8008"),
		STR_INIT("127.0.0.1"),
		STR_INIT("127.0.0.1:65536"),
		STR_INIT("::1:8008"),
		STR_INIT("[::1]"),
		STR_INIT("127.0.0.1:"),
		STR_INIT("127.0.0.1:1,tsl"),
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct http_listener l[ARRAY_LEN(given)];
	struct config *config;
	struct options *options =
		load(arena, STR("server_name: a\ntls_certificate_path: c\ntls_private_key_path: k\n"), &config);
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(given); i++)
		assert_true(options_parse_listen(given[i], &l[i], &err));
	assert_true(l[0].port == 8010 && !l[0].x_forwarded && serves(&l[0], "client"));
	assert_true(l[1].tls);
	assert_str(l[1].address, STR("::1"));
	assert_true(l[2].x_forwarded && serves(&l[2], "client"));
	assert_true(serves(&l[3], "metrics") && !serves(&l[3], "client"));
	assert_true(l[4].x_forwarded && l[4].port == 0);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(options_parse_listen(wrong[i], &l[0], &err));

	assert_true(options_listen(options, l, ARRAY_LEN(given), &err));
	assert_int_equal(options->listener_count, 5);
	options = load(arena, STR("server_name: a\n"), &config);
	assert_false(options_listen(options, l, ARRAY_LEN(given), &err));
}

static void reloading_changes_what_can_change(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str file = str_of(path);
	struct config *config;
	struct options *running = load(arena, STR("server_name: a\nfilter_timeline_limit: 7\n"), &config), *fresh;

	load(arena,
	     STR("server_name: a\npresence: {enabled: no}\nfilter_timeline_limit: 9\nlog: {level: debug, format: "
		 "json}\n"),
	     &config);
	assert_true(options_reload(&(struct config_strings){ &file, 1 }, running, arena, &fresh, &config));
	assert_str(faults_of(arena, config),
		   STR("warning 4 A new value of 'log.format' counts from the next start|"
		       "warning 2 A new value of 'presence.enabled' counts from the next start"));
	assert_int_equal(fresh->filter_timeline_limit, 9);
	assert_int_equal(fresh->presence, PRESENCE_ON);
	assert_ptr_equal(fresh->listeners, running->listeners);
	assert_int_equal(fresh->log.level, LOG_DEBUG);
	assert_int_equal(fresh->log.format, LOG_TEXT);
}

/* The sample with every option counting: what it shows must be right, too. */
static struct str uncomment(struct arena *arena, struct str sample)
{
	CLEANUP(buf_done) struct buf buf = buf_init(SAMPLE_MAX);
	struct str line;

	while (str_split(&sample, '\n', &line)) {
		bool words = str_starts_with(str_trim(line), STR("##")) || str_eq(line, STR("#")) ||
			     (str_starts_with(line, STR("# ")) && !str_starts_with(line, STR("#  ")));

		buf_append(&buf, words ? STR("") : str_from(line, str_starts_with(line, STR("#"))));
		buf_char(&buf, '\n');
	}
	return str_dup(arena, buf_str(&buf));
}

static void the_sample_is_right(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(buf_done) struct buf sample = buf_init(SAMPLE_MAX);
	struct config *config;
	struct options *options;
	struct str faults;

	options_write_sample(&sample);
	assert_true(buf_ok(&sample));
	assert_non_null(load(arena, buf_str(&sample), &config));
	assert_str(faults_of(arena, config), STR(""));
	options = load(arena, uncomment(arena, buf_str(&sample)), &config);
	faults = faults_of(arena, config); /* what the example listens on for metrics needs another option */
	assert_true(str_find_char(faults, '|') < 0 && str_starts_with(faults, STR("warning ")));
	assert_true(str_ends_with(faults, STR(" shows nothing without 'enable_metrics: true'")));
	assert_non_null(options);
	assert_int_equal(options->listener_count, 4);
	for (const struct config_option *option = options_table; option->path || option->doc; option++) {
		if (option->type != CONFIG_SECTION && option->type != CONFIG_UNUSED &&
		    !config_given(config, option->path))
			fail_msg("%s is not in the sample", option->path);
		if (option->type != CONFIG_SECTION && !str_ends_with(str_of(option->doc), STR(".")) &&
		    option->type != CONFIG_UNUSED)
			fail_msg("the words about %s do not end", option->path);
	}
}

static void a_new_configuration_is_fit_to_start_with(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(buf_done) struct buf local = buf_init(SAMPLE_MAX), public = buf_init(SAMPLE_MAX);
	struct config *config;
	struct options *options;

	options_write_new(STR("localhost"), STR("/srv/my data"), &local);
	options = load(arena, buf_str(&local), &config);
	assert_str(faults_of(arena, config), STR(""));
	assert_str(options->domains[0].public_baseurl, STR("http://localhost:8008/"));
	assert_str(options->data_directory, STR("/srv/my data"));
	assert_str(options->domains[0].signing_key_path, STR("/srv/my data/localhost.signing.key"));
	assert_true(options->domains[0].registration.enabled && options->domains[0].registration.requires_token);
	assert_int_equal(options->listener_count, 2);
	assert_false(find_listener(options, STR("127.0.0.1"))->x_forwarded);

	options_write_new(STR("[::1]:8448"), STR("/srv"), &public);
	options = load(arena, buf_str(&public), &config);
	assert_str(faults_of(arena, config), STR(""));
	assert_str(options->domains[0].name, STR("[::1]:8448"));
	assert_true(find_listener(options, STR("::1"))->x_forwarded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_enough),
		cmocka_unit_test(a_synapse_configuration_is_read_as_it_is),
		cmocka_unit_test(contradictions_have_lines),
		cmocka_unit_test(the_command_line_replaces_listeners),
		cmocka_unit_test(reloading_changes_what_can_change),
		cmocka_unit_test(the_sample_is_right),
		cmocka_unit_test(a_new_configuration_is_fit_to_start_with),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
