/*
 * What the operator decides: the configuration file as typed values. options_table.c says what each option is called,
 * means and defaults to; names, syntax and meaning are Synapse's wherever it has the option too, so that its
 * homeserver.yaml can be read as it is.
 *
 * The values are read once and do not change. SIGHUP makes a second set (options_reload), which takes the place of the
 * first and points into it: a set lives as long as the process. Any thread may read one.
 *
 * Durations are in milliseconds, CONFIG_FOREVER where there is no end; sizes in bytes.
 */
#pragma once

#include "config/config.h"
#include "http/http.h"
#include "log/log.h"

enum password_login { PASSWORD_ON, PASSWORD_OFF, PASSWORD_REAUTH_ONLY };
enum presence_mode { PRESENCE_ON, PRESENCE_OFF, PRESENCE_UNTRACKED };
enum default_encryption { ENCRYPT_NONE, ENCRYPT_INVITE, ENCRYPT_ALL };

/* A public key that this server signed with once. */
struct old_key {
	struct str id;  /* "ed25519:a_1" */
	struct str key; /* unpadded base64 */
	int64_t expired_ts;
};

/* Who may sign up, with which checks. */
struct registration_options {
	bool enabled, without_verification, requires_token, captcha;
	struct config_strings requires_3pid;
	struct str shared_secret; /* of the scripted sign-up; empty: none */
	bool guests;
	bool hide_user_in_use; /* inhibit_user_in_use_error */
};

/* A server name that this deployment is. */
struct domain_options {
	struct str name;
	struct str public_baseurl;    /* with a slash at its end */
	bool serve_well_known;        /* /.well-known/matrix/server */
	struct str well_known_client; /* JSON object: more members of /.well-known/matrix/client; empty: none */
	struct str signing_key_path;
	struct str signing_key; /* the lines of such a file, instead of one */
	CONFIG_ARRAY_OF(struct old_key) old_signing_keys;
	struct registration_options registration;
};

struct password_policy {
	bool enabled;
	int64_t minimum_length;
	bool require_digit, require_symbol, require_lowercase, require_uppercase;
};

struct auto_join_options {
	struct config_strings rooms; /* aliases or ids */
	bool guests;
	struct str localpart; /* who invites to those that are not open; empty: nobody */
};

struct rate_options {
	struct config_rate message, admin_redaction, registration, token_validity;
	struct config_rate login_address, login_account, login_failed;
	struct config_rate join_local, join_remote, join_room;
	struct config_rate invite_room, invite_user, invite_issuer;
	struct config_rate room_creation, media_create, user_directory, report;
};

/* A listener as the file has it; `listeners` of struct options is what comes of it. */
struct listener_row {
	int64_t port;
	struct config_strings bind_addresses;
	struct str path;
	int64_t mode;
	int type;
	bool tls;
	int x_forwarded;
	struct str request_id_header;
	CONFIG_ARRAY_OF(struct listener_resources {
		struct config_strings names;
		bool compress;
	})
	resources;
};

struct options {
	/* The server names: `domains` is the set. `first` is the one that the file's top level describes. */
	const struct domain_options *domains;
	size_t domain_count;
	struct domain_options first;

	struct str data_directory;
	struct str postgresql; /* libpq connection string; empty: the embedded one */
	int64_t database_connections;
	int64_t max_connections, workers, max_queue;
	int64_t soft_file_limit;
	int64_t cache_memory;

	const struct http_listener *listeners; /* one an address */
	size_t listener_count;
	CONFIG_ARRAY_OF(struct listener_row) listener_rows;
	struct str tls_certificate_path, tls_private_key_path;

	struct {
		int level, format; /* enum log_level, enum log_format */
		struct str file;
	} log;
	bool enable_metrics;

	/* Accounts */
	int password_login; /* enum password_login */
	bool password_local;
	struct str password_pepper;
	struct password_policy password_policy;
	int64_t bcrypt_rounds;
	int64_t session_lifetime, refreshable_token_lifetime, refresh_token_lifetime, nonrefreshable_token_lifetime;
	int64_t ui_auth_session_timeout;
	struct {
		bool enabled, require_ui_auth;
		int64_t token_timeout;
	} login_via_existing_session;
	struct auto_join_options auto_join;
	bool enable_set_displayname, enable_set_avatar_url;
	bool require_auth_for_profiles, limit_profiles_to_shared_rooms;

	/* Rooms */
	struct str default_room_version;
	int default_encryption;          /* enum default_encryption */
	struct str default_power_levels; /* JSON: preset → content; "{}" */
	bool profile_in_invites, block_non_admin_invites;
	bool require_membership_for_aliases;
	bool forget_rooms_on_leave;
	struct config_strings exclude_rooms_from_sync;
	int64_t filter_timeline_limit;
	int presence; /* enum presence_mode */

	/* Media */
	struct str media_store_path;
	int64_t max_upload_size;
	bool authenticated_media;
	int64_t max_pending_uploads, pending_upload_lifetime;

	struct rate_options rates;
};

/*
 * Reads the files. `config` then holds what is to be said about them; false: there are errors, and no options. Both
 * live in the arena. With may_create, secrets whose files do not exist are made.
 */
bool options_load(const struct config_strings *files, bool may_create, struct arena *arena,
		  struct options **ret_options, struct config **ret_config);
/* Reads them again in a running server: like options_load, but what cannot change now keeps its value, with a warning
 * where it differs. */
bool options_reload(const struct config_strings *files, const struct options *running, struct arena *arena,
		    struct options **ret_options, struct config **ret_config);

/*
 * A listener of the command line: `ADDRESS:PORT`, `[IPV6]:PORT` or `/PATH`, followed by any of `,tls`, `,x_forwarded`
 * and `,metrics`. A view into `text`. The message of the error says what is wrong.
 */
bool options_parse_listen(struct str text, struct http_listener *ret_listener, struct err *err);
/* Puts such listeners, which live as long as the options, in the place of those of the file. */
bool options_listen(struct options *options, const struct http_listener *listeners, size_t count, struct err *err);

/* The commented sample, and what a new deployment is to begin with: this name, this folder, sign-up with a token, plain
 * HTTP on loopback. */
void options_write_sample(struct buf *buf);
void options_write_new(struct str server_name, struct str data_directory, struct buf *buf);

extern const struct config_option options_table[];
