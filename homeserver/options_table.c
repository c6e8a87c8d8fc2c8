/* The options. Sections, words and order are those of the sample. */
#include "options.h"

#define AT(kind, member)          CONFIG_AT(kind, struct options, member)
#define LISTENER_AT(kind, member) CONFIG_AT(kind, struct listener_row, member)
#define KEY_AT(kind, member)      CONFIG_AT(kind, struct old_key, member)

#define SECTION(words)                                                                                                 \
	{                                                                                                              \
		.type = CONFIG_SECTION, .doc = (words)                                                                 \
	}
#define UNUSED_HERE(path, why)                                                                                         \
	{                                                                                                              \
		(path), CONFIG_UNUSED, .doc = (why)                                                                    \
	}
/* What people will miss: said as a warning. */
#define MISSED_HERE(path, why)                                                                                         \
	{                                                                                                              \
		(path), CONFIG_UNUSED, .flags = CONFIG_WARN, .doc = (why)                                              \
	}
#define RATE_ROW(path, member, rate, words)                                                                            \
	{                                                                                                              \
		(path), AT(RATE, rates.member), .fallback = (rate), .flags = CONFIG_RELOAD, .doc = (words)             \
	}

static const char *const on_off_reauth[] = { "true", "false", "only_for_reauth", NULL };
static const char *const on_off_untracked[] = { "true", "false", "untracked", NULL };
static const char *const encryption_choices[] = { "off", "invite", "all", NULL };
static const char *const level_choices[] = { "debug", "info", "warning", "error", NULL };
static const char *const format_choices[] = { "text", "json", NULL };
const char *const listener_type_choices[] = { "http", "metrics", "manhole", NULL };
static const char *const auto_choices[] = { "auto", "true", "false", NULL };

static const struct config_option old_key_options[] = {
	{ "key", KEY_AT(STRING, key), .flags = CONFIG_REQUIRED, .doc = "The public key, unpadded base64." },
	{ "expired_ts", KEY_AT(INT, expired_ts), .flags = CONFIG_REQUIRED,
	  .doc = "When it was last used, in milliseconds since 1970." },
	{ 0 },
};

static const struct config_option resource_options[] = {
	{ "names", CONFIG_AT(STRINGS, struct listener_resources, names), .doc = "What is served." },
	{ "compress", CONFIG_AT(BOOL, struct listener_resources, compress), .fallback = "false", .doc = "Accepted." },
	{ 0 },
};

static const struct config_option listener_options[] = {
	{ "port", LISTENER_AT(INT, port), .max = 65535, .doc = "A TCP port." },
	{ "bind_addresses", LISTENER_AT(STRINGS, bind_addresses),
	  .doc = "Addresses, IPv4 or IPv6; all if there are none." },
	{ "bind_address", LISTENER_AT(STRINGS, bind_addresses), .doc = "The same, by its old name." },
	{ "path", LISTENER_AT(PATH, path), .doc = "A Unix socket." },
	{ "mode", LISTENER_AT(MODE, mode), .fallback = "666", .doc = "Its permissions." },
	{ "type", LISTENER_AT(ENUM, type), .fallback = "http", .choices = listener_type_choices, .doc = "What kind." },
	{ "tls", LISTENER_AT(BOOL, tls), .fallback = "false", .doc = "Whether it speaks TLS." },
	{ "x_forwarded", LISTENER_AT(ENUM, x_forwarded), .fallback = "auto", .choices = auto_choices,
	  .doc = "Whether a proxy is in front." },
	{ "request_id_header", LISTENER_AT(STRING, request_id_header), .doc = "The proxy's name for a request." },
	{ "resources", CONFIG_EACH(LIST, struct listener_row, resources, resource_options), .doc = "What is served." },
	{ "tag", CONFIG_UNUSED, .doc = "logs tell requests apart by their id" },
	{ "additional_resources", CONFIG_UNUSED, .flags = CONFIG_WARN, .doc = "it names Python code" },
	{ 0 },
};

const struct config_option options_table[] = {
	SECTION("Server"),
	{ "server_name", AT(STRING, first.name), .flags = CONFIG_REQUIRED, .example = "example.org",
	  .doc = "The domain part of all user, room and event ids. It can never be changed. Others find the server "
		 "under this name: by "
		 "/.well-known/matrix/server on it, or a SRV record, or port 8448." },
	{ "public_baseurl", AT(STRING, first.public_baseurl), .example = "https://matrix.example.org/",
	  .doc = "The URL at which clients reach this server, without /_matrix. By default https:// and the server "
		 "name." },
	{ "serve_server_wellknown", AT(BOOL, first.serve_well_known), .fallback = "false",
	  .doc = "Whether to answer /.well-known/matrix/server with port 443 of this name, for a proxy there that "
		 "passes /_matrix on." },
	{ "extra_well_known_client_content", AT(JSON, first.well_known_client), .flags = CONFIG_RELOAD,
	  .example = "\nio.element.e2ee:\n  default: true", .doc = "More members of /.well-known/matrix/client." },
	{ "data_directory", AT(PATH, data_directory), .fallback = "/var/lib/hearth",
	  .doc = "Where this server keeps what is its own: the embedded database, uploads. Relative paths, here and "
		 "below, count from the "
		 "folder of this file." },
	{ "soft_file_limit", AT(INT, soft_file_limit), .fallback = "0", .max = 10000000,
	  .doc = "How many files and connections may be open at once; 0: as many as the system lets us." },

	SECTION("Listeners"),
	{ "listeners", CONFIG_EACH(LIST, struct options, listener_rows, listener_options),
	  .example = "\n- port: 8008\n  bind_addresses: ['127.0.0.1', '::1']\n  type: http\n  tls: false\n  "
		     "x_forwarded: true\n  resources:\n"
		     "    - names: [client]\n- path: /run/hearth/client.sock\n  mode: 660\n- port: 9090\n  "
		     "bind_addresses: ['127.0.0.1']\n"
		     "  type: metrics",
	  .doc = "Where connections are taken. type: http or metrics. tls: needs the two files below. x_forwarded: "
		 "trust the X-Forwarded-For "
		 "of a proxy in front, as is the default on Unix sockets. request_id_header: a header with the proxy's "
		 "id of a request. "
		 "resources: client brings media, static and health along; without any all are served. Without "
		 "listeners: port 8008 of all "
		 "addresses." },
	{ "tls_certificate_path", AT(PATH, tls_certificate_path), .example = "/etc/hearth/fullchain.pem",
	  .doc = "Certificate and chain for listeners with TLS, PEM. Read at the start, by root if it starts the "
		 "server, and "
		 "at SIGHUP, by the user that the server runs as." },
	{ "tls_private_key_path", AT(PATH, tls_private_key_path), .example = "/etc/hearth/privkey.pem",
	  .doc = "Its key, PEM." },
	{ "max_connections", AT(INT, max_connections), .fallback = "20000", .min = 100, .max = 1000000,
	  .doc = "Client connections at most. A waiting sync is one, and costs some 10 kB." },
	{ "workers", AT(INT, workers), .fallback = "16", .min = 1, .max = 256, .doc = "Threads that answer requests." },
	{ "max_queue", AT(INT, max_queue), .fallback = "1000", .min = 10, .max = 100000,
	  .doc = "Requests that may wait for a worker; beyond these the answer is to come again later." },

	SECTION("Database"),
	{ "postgresql", AT(SECRET, postgresql), .example = "host=/run/postgresql dbname=hearth",
	  .doc = "A libpq connection string or URI of a PostgreSQL 15 or newer, encoding UTF8, collation C. Several "
		 "servers on one database "
		 "share the load. By default Hearth runs a PostgreSQL of its own in its data directory. Or "
		 "postgresql_path: a file that holds it." },
	{ "database_connections", AT(INT, database_connections), .fallback = "12", .min = 4, .max = 1000,
	  .doc = "Connections to the database at most. Three are in use all the time." },
	{ "cache_memory", AT(SIZE, cache_memory), .fallback = "32M", .min = 1 << 20,
	  .doc = "What all caches may take together." },

	SECTION("Log and metrics"),
	{ "log.level", AT(ENUM, log.level), .fallback = "info", .choices = level_choices, .flags = CONFIG_RELOAD,
	  .doc = "The least to be logged: debug, info, warning or error." },
	{ "log.format", AT(ENUM, log.format), .fallback = "text", .choices = format_choices,
	  .doc = "text for people, json for programs." },
	{ "log.file", AT(PATH, log.file), .example = "/var/log/hearth/hearth.log",
	  .doc = "By default standard error. Opened again at SIGHUP." },
	{ "enable_metrics", AT(BOOL, enable_metrics), .fallback = "false",
	  .doc = "Whether listeners of type metrics, or with the resource metrics, serve Prometheus metrics at "
		 "/metrics." },

	SECTION("Keys"),
	{ "signing_key_path", AT(PATH, first.signing_key_path), .example = "/var/lib/hearth/example.org.signing.key",
	  .doc = "What this server signs with: lines of `ed25519 ID SEED`, created when missing. Keep it safe: it is "
		 "the server's identity. "
		 "By default the server name and .signing.key, beside this file." },
	{ "signing_key", AT(SECRET, first.signing_key), .example = "ed25519 a_1 BASE64",
	  .doc = "The same, here instead of in a file." },
	{ "old_signing_keys", CONFIG_EACH(MAP, struct options, first.old_signing_keys, old_key_options),
	  .flags = CONFIG_RELOAD, .example = "\ned25519:a_0:\n  key: BASE64\n  expired_ts: 1576767829750",
	  .doc = "Public keys of former signing keys, so that what they signed can still be verified." },

	SECTION("Registration"),
	{ "enable_registration", AT(BOOL, first.registration.enabled), .fallback = "false", .flags = CONFIG_RELOAD,
	  .doc = "Whether people may sign up by themselves. One of the next two has to be set as well." },
	{ "registration_requires_token", AT(BOOL, first.registration.requires_token), .fallback = "false",
	  .flags = CONFIG_RELOAD,
	  .doc = "Sign-up needs a registration token. The first start makes one and prints it." },
	{ "enable_registration_without_verification", AT(BOOL, first.registration.without_verification),
	  .fallback = "false", .flags = CONFIG_RELOAD, .doc = "Sign-up is open to everybody, spammers included." },
	{ "registration_shared_secret", AT(SECRET, first.registration.shared_secret),
	  .flags = CONFIG_RELOAD | CONFIG_CREATE, .example = "SECRET",
	  .doc = "Who knows it can create accounts by /_synapse/admin/v1/register, also where sign-up is off. Or "
		 "registration_shared_secret_path: a file that holds it, created when missing." },
	{ "registrations_require_3pid", AT(STRINGS, first.registration.requires_3pid), .fallback = "[]",
	  .flags = CONFIG_RELOAD,
	  .doc = "Addresses that sign-up asks for. This release cannot verify any: with this option sign-up is off." },
	{ "enable_registration_captcha", AT(BOOL, first.registration.captcha), .fallback = "false",
	  .flags = CONFIG_RELOAD,
	  .doc = "Whether sign-up shows a reCAPTCHA. This release has none: with this option sign-up is off." },
	{ "allow_guest_access", AT(BOOL, first.registration.guests), .fallback = "false", .flags = CONFIG_RELOAD,
	  .doc = "Whether clients may make guest accounts, which need no sign-up and can do little." },
	{ "inhibit_user_in_use_error", AT(BOOL, first.registration.hide_user_in_use), .fallback = "false",
	  .flags = CONFIG_RELOAD, .doc = "Whether not to tell, before sign-up, that a name is taken." },
	{ "auto_join_rooms", AT(STRINGS, auto_join.rooms), .fallback = "[]", .flags = CONFIG_RELOAD,
	  .example = "\n- '#welcome:example.org'", .doc = "Aliases or ids of rooms that new users join." },
	{ "auto_join_mxid_localpart", AT(STRING, auto_join.localpart), .flags = CONFIG_RELOAD, .example = "system",
	  .doc = "Who invites new users to those that are not open to all." },
	{ "auto_join_rooms_for_guests", AT(BOOL, auto_join.guests), .fallback = "true", .flags = CONFIG_RELOAD,
	  .doc = "Whether guests join them too." },

	SECTION("Login and sessions"),
	{ "password_config.enabled", AT(ENUM, password_login), .fallback = "true", .choices = on_off_reauth,
	  .flags = CONFIG_RELOAD, .doc = "Login with a password: true, false or only_for_reauth." },
	{ "password_config.localdb_enabled", AT(BOOL, password_local), .fallback = "true", .flags = CONFIG_RELOAD,
	  .doc = "Whether the passwords in the database count." },
	{ "password_config.pepper", AT(SECRET, password_pepper), .example = "SECRET",
	  .doc = "A text added to each password before it is hashed. It must not change once there are accounts." },
	{ "password_config.policy.enabled", AT(BOOL, password_policy.enabled), .fallback = "false",
	  .flags = CONFIG_RELOAD, .doc = "Whether the following is asked of new passwords." },
	{ "password_config.policy.minimum_length", AT(INT, password_policy.minimum_length), .fallback = "0", .max = 512,
	  .flags = CONFIG_RELOAD, .doc = "Characters at least." },
	{ "password_config.policy.require_digit", AT(BOOL, password_policy.require_digit), .fallback = "false",
	  .flags = CONFIG_RELOAD, .doc = "A digit at least." },
	{ "password_config.policy.require_symbol", AT(BOOL, password_policy.require_symbol), .fallback = "false",
	  .flags = CONFIG_RELOAD, .doc = "A character at least that is neither letter nor digit." },
	{ "password_config.policy.require_lowercase", AT(BOOL, password_policy.require_lowercase), .fallback = "false",
	  .flags = CONFIG_RELOAD, .doc = "A small letter at least." },
	{ "password_config.policy.require_uppercase", AT(BOOL, password_policy.require_uppercase), .fallback = "false",
	  .flags = CONFIG_RELOAD, .doc = "A capital letter at least." },
	{ "bcrypt_rounds", AT(INT, bcrypt_rounds), .fallback = "12", .min = 4, .max = 31, .flags = CONFIG_RELOAD,
	  .doc = "What hashing a password costs, on bcrypt's scale: less than 12 is cheaper than is good, for tests. "
		 "The hash is argon2id." },
	{ "session_lifetime", AT(DURATION, session_lifetime), .fallback = "~", .min = 1000,
	  .flags = CONFIG_RELOAD | CONFIG_NULL_IS_FOREVER, .example = "24h",
	  .doc = "How long a login lasts at all. By default for ever." },
	{ "refreshable_access_token_lifetime", AT(DURATION, refreshable_token_lifetime), .fallback = "5m", .min = 1000,
	  .flags = CONFIG_RELOAD, .doc = "How long an access token counts that can be refreshed." },
	{ "refresh_token_lifetime", AT(DURATION, refresh_token_lifetime), .fallback = "~", .min = 1000,
	  .flags = CONFIG_RELOAD | CONFIG_NULL_IS_FOREVER, .example = "24h",
	  .doc = "How long a refresh token counts that is not used. By default for ever." },
	{ "nonrefreshable_access_token_lifetime", AT(DURATION, nonrefreshable_token_lifetime), .fallback = "~",
	  .min = 1000, .flags = CONFIG_RELOAD | CONFIG_NULL_IS_FOREVER, .example = "24h",
	  .doc = "How long an access token counts that cannot be refreshed. By default for ever." },
	{ "ui_auth.session_timeout", AT(DURATION, ui_auth_session_timeout), .fallback = "0", .flags = CONFIG_RELOAD,
	  .doc = "How long a confirmed password covers further requests that ask for it; 0: each asks again." },
	{ "login_via_existing_session.enabled", AT(BOOL, login_via_existing_session.enabled), .fallback = "false",
	  .flags = CONFIG_RELOAD, .doc = "Whether a session may log another device in." },
	{ "login_via_existing_session.require_ui_auth", AT(BOOL, login_via_existing_session.require_ui_auth),
	  .fallback = "true", .flags = CONFIG_RELOAD, .doc = "Whether that asks for the password." },
	{ "login_via_existing_session.token_timeout", AT(DURATION, login_via_existing_session.token_timeout),
	  .fallback = "5m", .min = 1000, .flags = CONFIG_RELOAD, .doc = "How long the other device has for it." },

	SECTION("Users and rooms"),
	{ "enable_set_displayname", AT(BOOL, enable_set_displayname), .fallback = "true", .flags = CONFIG_RELOAD,
	  .doc = "Whether users may change their display name." },
	{ "enable_set_avatar_url", AT(BOOL, enable_set_avatar_url), .fallback = "true", .flags = CONFIG_RELOAD,
	  .doc = "Whether users may change their picture." },
	{ "require_auth_for_profile_requests", AT(BOOL, require_auth_for_profiles), .fallback = "false",
	  .flags = CONFIG_RELOAD, .doc = "Whether profiles are shown to users of this server only." },
	{ "limit_profile_requests_to_users_who_share_rooms", AT(BOOL, limit_profiles_to_shared_rooms),
	  .fallback = "false", .flags = CONFIG_RELOAD,
	  .doc = "Whether profiles are shown only to those who share a room with the user." },
	{ "include_profile_data_on_invite", AT(BOOL, profile_in_invites), .fallback = "true", .flags = CONFIG_RELOAD,
	  .doc = "Whether an invite tells name and picture of the invited." },
	{ "block_non_admin_invites", AT(BOOL, block_non_admin_invites), .fallback = "false", .flags = CONFIG_RELOAD,
	  .doc = "Whether only server admins may invite." },
	{ "presence.enabled", AT(ENUM, presence), .fallback = "true", .choices = on_off_untracked,
	  .doc = "Who is online: true; false; or untracked, which keeps it only if clients say so." },
	{ "default_room_version", AT(STRING, default_room_version), .fallback = "'12'", .flags = CONFIG_RELOAD,
	  .doc = "The version of new rooms, 1 to 12." },
	{ "encryption_enabled_by_default_for_room_type", AT(ENUM, default_encryption), .fallback = "off",
	  .choices = encryption_choices, .flags = CONFIG_RELOAD,
	  .doc = "Which new rooms are encrypted though their makers did not say so: off, invite (private ones) or "
		 "all." },
	{ "default_power_level_content_override", AT(JSON, default_power_levels), .fallback = "{}",
	  .flags = CONFIG_RELOAD, .example = "\nprivate_chat:\n  events_default: 0\n  invite: 50",
	  .doc = "Power levels of new rooms by preset: each key replaces the usual one." },
	{ "require_membership_for_aliases", AT(BOOL, require_membership_for_aliases), .fallback = "true",
	  .flags = CONFIG_RELOAD, .doc = "Whether only members may add aliases to a room." },
	{ "forget_rooms_on_leave", AT(BOOL, forget_rooms_on_leave), .fallback = "false", .flags = CONFIG_RELOAD,
	  .doc = "Whether leaving a room forgets it too." },
	{ "exclude_rooms_from_sync", AT(STRINGS, exclude_rooms_from_sync), .fallback = "[]", .flags = CONFIG_RELOAD,
	  .example = "\n- '!id:example.org'", .doc = "Rooms that no sync shows." },
	{ "filter_timeline_limit", AT(INT, filter_timeline_limit), .fallback = "100", .min = 1, .max = 1000,
	  .flags = CONFIG_RELOAD, .doc = "Events of a room in one answer at most." },

	SECTION("Media"),
	{ "media_store_path", AT(PATH, media_store_path), .example = "/var/lib/hearth/media_store",
	  .doc = "The folder of uploaded files. By default media_store in the data directory. Servers that share a "
		 "database share it as well." },
	{ "max_upload_size", AT(SIZE, max_upload_size), .fallback = "50M", .min = 1024, .flags = CONFIG_RELOAD,
	  .doc = "The largest upload." },
	{ "enable_authenticated_media", AT(BOOL, authenticated_media), .fallback = "true", .flags = CONFIG_RELOAD,
	  .doc = "Whether what is uploaded from now on is shown only to those who are logged in." },
	{ "max_pending_media_uploads", AT(INT, max_pending_uploads), .fallback = "5", .max = 1000,
	  .flags = CONFIG_RELOAD, .doc = "Media ids that a user may reserve before uploading." },
	{ "unused_expiration_time", AT(DURATION, pending_upload_lifetime), .fallback = "24h", .min = 1000,
	  .flags = CONFIG_RELOAD, .doc = "How long such an id is reserved." },

	SECTION("Rate limits"),
	RATE_ROW("rc_message", message, "{per_second: 0.2, burst_count: 10}",
		 "What an account may send: burst_count at once, then per_second. Limits are shared by the servers on "
		 "a database."),
	{ "rc_admin_redaction", AT(RATE, rates.admin_redaction), .flags = CONFIG_RELOAD,
	  .example = "{per_second: 1, burst_count: 50}",
	  .doc = "Redactions by those who moderate a room. By default as rc_message." },
	RATE_ROW("rc_registration", registration, "{per_second: 0.17, burst_count: 3}", "Sign-ups from an address."),
	RATE_ROW("rc_registration_token_validity", token_validity, "{per_second: 0.1, burst_count: 5}",
		 "Questions from an address whether a registration token is good."),
	RATE_ROW("rc_login.address", login_address, "{per_second: 0.003, burst_count: 5}", "Logins from an address."),
	RATE_ROW("rc_login.account", login_account, "{per_second: 0.003, burst_count: 5}", "Logins to an account."),
	RATE_ROW("rc_login.failed_attempts", login_failed, "{per_second: 0.17, burst_count: 3}",
		 "Failed logins to an account."),
	RATE_ROW("rc_joins.local", join_local, "{per_second: 0.1, burst_count: 10}",
		 "Joins to rooms that this server is in."),
	RATE_ROW("rc_joins.remote", join_remote, "{per_second: 0.01, burst_count: 10}", "Joins to others."),
	RATE_ROW("rc_joins_per_room", join_room, "{per_second: 1, burst_count: 10}", "Joins of all users to a room."),
	RATE_ROW("rc_invites.per_room", invite_room, "{per_second: 0.3, burst_count: 10}", "Invites to a room."),
	RATE_ROW("rc_invites.per_user", invite_user, "{per_second: 0.003, burst_count: 5}",
		 "Invites that a user gets."),
	RATE_ROW("rc_invites.per_issuer", invite_issuer, "{per_second: 0.3, burst_count: 10}",
		 "Invites that a user sends."),
	RATE_ROW("rc_room_creation", room_creation, "{per_second: 0.016, burst_count: 10}", "Rooms that a user makes."),
	RATE_ROW("rc_media_create", media_create, "{per_second: 10, burst_count: 50}",
		 "Media ids that a user reserves."),
	RATE_ROW("rc_user_directory", user_directory, "{per_second: 0.016, burst_count: 200}", "Searches for users."),
	RATE_ROW("rc_reports", report, "{per_second: 1, burst_count: 5}", "Reports of rooms, users and events."),

	/* Known to Synapse. What an operator would miss is a warning. */
	UNUSED_HERE("database", "it is where an import reads from, and never written; `postgresql` names the database, "
				"or the embedded one is used"),
	UNUSED_HERE("databases", "it is where an import reads from, and never written"),
	UNUSED_HERE("experimental_features", "what works is on"),
	UNUSED_HERE("pid_file", "the service manager knows the process"),
	UNUSED_HERE("daemonize", "the service manager keeps the server in the background"),
	UNUSED_HERE("print_pidfile", "there is no such file"),
	UNUSED_HERE("user_agent_suffix", "the server makes no requests of its own in this release"),
	UNUSED_HERE("report_stats", "nothing is ever reported"),
	UNUSED_HERE("report_stats_endpoint", "nothing is ever reported"),
	UNUSED_HERE("server_context", "nothing is ever reported"),
	UNUSED_HERE("web_client_location", "/ shows a page of the server's own"),
	UNUSED_HERE("use_frozen_dicts", "it is about Python"),
	UNUSED_HERE("gc_*", "it is about Python"),
	UNUSED_HERE("manhole*", "it is about Python"),
	UNUSED_HERE("log_config", "`log` says what is logged, how and where"),
	UNUSED_HERE("event_cache_size", "`cache_memory` bounds all caches"),
	UNUSED_HERE("caches", "`cache_memory` bounds all caches"),
	UNUSED_HERE("metrics_flags", "all metrics are always there"),
	UNUSED_HERE("sentry", "errors are in the log"),
	UNUSED_HERE("opentracing", "requests are in the log and in the metrics"),
	UNUSED_HERE("background_updates", "migrations pace themselves"),
	UNUSED_HERE("stats", "they are always counted"),
	UNUSED_HERE("macaroon_secret_key", "tokens are random, none is derived"),
	UNUSED_HERE("form_secret", "links carry random tokens"),
	UNUSED_HERE("enable_media_repo", "media are always served"),
	UNUSED_HERE("enable_local_media_storage", "files are always kept on disk"),
	UNUSED_HERE("account_threepid_delegates", "addresses are not verified in this release"),
	UNUSED_HERE("allow_underscore_prefixed_registration", "names that begin with _ are for application services"),
	UNUSED_HERE("worker_*", "there are no workers: more processes on the same database share the load"),
	UNUSED_HERE("instance_map", "there are no workers: more processes on the same database share the load"),
	UNUSED_HERE("stream_writers", "there are no workers: more processes on the same database share the load"),
	UNUSED_HERE("redis", "PostgreSQL is all that processes share"),
	UNUSED_HERE("start_pushers", "any process does any work"),
	UNUSED_HERE("pusher_instances", "any process does any work"),
	UNUSED_HERE("send_federation", "any process does any work"),
	UNUSED_HERE("federation_sender_instances", "any process does any work"),
	UNUSED_HERE("outbound_federation_restricted_to", "any process does any work"),
	UNUSED_HERE("run_background_tasks_on", "any process does any work"),
	UNUSED_HERE("update_user_directory_from_worker", "any process does any work"),
	UNUSED_HERE("notify_appservices_from_worker", "any process does any work"),
	UNUSED_HERE("media_instance_running_background_jobs", "any process does any work"),
	UNUSED_HERE("limit_usage_by_mau", "active users are not limited"),
	UNUSED_HERE("max_mau_value", "active users are not limited"),
	UNUSED_HERE("mau_*", "active users are not limited"),

	/* There is no federation in this release. */
	UNUSED_HERE("federation*", "this release does not federate"),
	UNUSED_HERE("ip_range_*", "this release makes no requests to other servers"),
	UNUSED_HERE("allow_profile_lookup_over_federation", "this release does not federate"),
	UNUSED_HERE("allow_device_name_lookup_over_federation", "this release does not federate"),
	UNUSED_HERE("http_proxy", "this release makes no requests to other servers"),
	UNUSED_HERE("https_proxy", "this release makes no requests to other servers"),
	UNUSED_HERE("no_proxy_hosts", "this release makes no requests to other servers"),
	UNUSED_HERE("limit_remote_rooms", "this release does not federate"),
	UNUSED_HERE("dummy_events_threshold", "this release does not federate"),
	UNUSED_HERE("key_refresh_interval", "this release does not federate"),
	UNUSED_HERE("trusted_key_servers", "this release does not federate"),
	UNUSED_HERE("key_server_signing_keys_path", "this release is no notary"),
	UNUSED_HERE("suppress_key_server_warning", "there is no such warning"),
	UNUSED_HERE("rc_federation", "this release does not federate"),

	/* Not in this release, or not at all. */
	UNUSED_HERE("admin_contact", "accounts are not limited in this release"),
	UNUSED_HERE("autocreate_auto_join_*", "rooms that new users join have to exist in this release"),
	MISSED_HERE("allow_per_room_profiles", "users may have another name in each room"),
	MISSED_HERE("room_prejoin_state", "the invited see the usual seven types of state"),
	UNUSED_HERE("allow_public_rooms_*", "this release has no room directory"),
	MISSED_HERE("redaction_retention_period",
		    "the originals of redacted events stay in the database of this release"),
	UNUSED_HERE("user_ips_max_age", "addresses of devices are not kept in this release"),
	MISSED_HERE("modules", "they are Python code; logins may depend on them"),
	MISSED_HERE("password_providers", "they are Python code; logins may depend on them"),
	MISSED_HERE("ldap_config", "logins may depend on it"),
	MISSED_HERE("spam_checker", "it is Python code"),
	MISSED_HERE("third_party_event_rules", "it is Python code"),
	MISSED_HERE("hs_disabled*", "a server that is to refuse everybody is better stopped"),
	MISSED_HERE("oidc_providers", "this release has no single sign-on"),
	MISSED_HERE("oidc_config", "this release has no single sign-on"),
	MISSED_HERE("saml2_config", "there is no SAML"),
	MISSED_HERE("cas_config", "there is no CAS"),
	MISSED_HERE("jwt_config", "this release has no login by JWT"),
	MISSED_HERE("sso", "this release has no single sign-on"),
	MISSED_HERE("matrix_authentication_service", "this release keeps login to itself"),
	MISSED_HERE("email", "this release sends no mail"),
	MISSED_HERE("app_service_config_files", "this release has no application services"),
	UNUSED_HERE("use_appservice_legacy_authorization", "this release has no application services"),
	UNUSED_HERE("track_*", "this release has no application services"),
	MISSED_HERE("turn_*", "this release hands out no TURN credentials: calls may not connect"),
	MISSED_HERE("retention", "this release deletes no old messages"),
	MISSED_HERE("media_retention", "this release deletes no old media"),
	MISSED_HERE("forgotten_room_retention_period", "this release purges no rooms"),
	MISSED_HERE("media_storage_providers", "this release keeps media in media_store_path alone"),
	MISSED_HERE("media_upload_limits", "this release has no quotas"),
	MISSED_HERE("user_consent", "this release does not ask for consent"),
	MISSED_HERE("server_notices", "this release sends no notices"),
	MISSED_HERE("alias_creation_rules", "this release lets members make aliases"),
	MISSED_HERE("delete_stale_devices_after", "this release keeps idle devices"),
	UNUSED_HERE("disable_msisdn_registration", "phone numbers are never asked for"),
	UNUSED_HERE("allowed_local_3pids", "addresses are not verified in this release"),
	UNUSED_HERE("enable_3pid_*", "addresses are not verified in this release"),
	UNUSED_HERE("default_identity_server", "addresses are not verified in this release"),
	UNUSED_HERE("recaptcha_*", "this release has no captcha"),
	UNUSED_HERE("request_token_inhibit_3pid_errors", "this release sends no mail"),
	UNUSED_HERE("next_link_domain_whitelist", "this release sends no mail"),
	UNUSED_HERE("user_types", "accounts are of one kind in this release"),
	UNUSED_HERE("presence.*", "only `presence.enabled` counts"),
	UNUSED_HERE("room_list_publication_rules", "this release has no room directory"),
	UNUSED_HERE("enable_room_list_search", "this release has no room directory"),
	UNUSED_HERE("max_avatar_size", "this release does not look into pictures"),
	UNUSED_HERE("allowed_avatar_mimetypes", "this release does not look into pictures"),
	UNUSED_HERE("exclude_rooms_from_presence", "presence is the same in all rooms"),
	UNUSED_HERE("enable_search", "this release has no search"),
	UNUSED_HERE("user_directory", "this release has no user directory"),
	UNUSED_HERE("max_event_delay_duration", "this release has no delayed events"),
	UNUSED_HERE("auto_accept_invites", "invites are accepted by people"),
	UNUSED_HERE("matrix_rtc", "this release announces no call servers"),
	UNUSED_HERE("push", "this release sends no push notifications"),
	UNUSED_HERE("max_image_pixels", "this release makes no thumbnails"),
	UNUSED_HERE("dynamic_thumbnails", "this release makes no thumbnails"),
	UNUSED_HERE("thumbnail_sizes", "this release makes no thumbnails"),
	UNUSED_HERE("remote_media_*", "this release does not federate"),
	UNUSED_HERE("prevent_media_downloads_from", "this release does not federate"),
	UNUSED_HERE("url_preview_*", "this release makes no previews"),
	UNUSED_HERE("max_spider_size", "this release makes no previews"),
	UNUSED_HERE("oembed", "this release makes no previews"),
	UNUSED_HERE("templates", "this release has no pages and mails to be replaced"),
	UNUSED_HERE("rc_third_party_invite", "addresses are not verified in this release"),
	UNUSED_HERE("rc_3pid_validation", "addresses are not verified in this release"),
	UNUSED_HERE("rc_presence", "presence is not limited"),
	UNUSED_HERE("rc_delayed_event_mgmt", "this release has no delayed events"),
	MISSED_HERE("use_presence", "its name today is presence.enabled"),
	MISSED_HERE("restrict_public_rooms_to_local_users",
		    "today that is said by allow_public_rooms_without_auth and …_over_federation"),
	MISSED_HERE("room_invite_state_types", "its name today is room_prejoin_state"),
	MISSED_HERE("rc_message*", "its name today is rc_message"),
	MISSED_HERE("bind_*", "listeners say this today"),
	MISSED_HERE("unsecure_port", "listeners say this today"),
	MISSED_HERE("no_tls", "listeners say this today"),
	MISSED_HERE("metrics_port", "listeners say this today"),
	MISSED_HERE("disable_registration", "its name today is enable_registration, the other way round"),
	UNUSED_HERE("perspectives", "its name today is trusted_key_servers"),
	{ 0 },
};
