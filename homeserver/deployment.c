#include "deployment.h"

#include <unistd.h>

#include "cli.h"
#include "privileges.h"
#include "server_names.h"
#include "signing_keys.h"

static bool bad_config(struct err *err)
{
	return err_set(err, M_UNKNOWN, "The configuration cannot be used%s", geteuid() == 0 ? "" : " by this user");
}

/* Faults are printed once, the second time only what the user may not read or make. */
static bool read_options(struct deployment *deployment, bool again, struct err *err)
{
	struct config *config;
	bool ok = options_load(&deployment->files, again, deployment->arena, &deployment->options, &config);

	if (!again || !ok)
		cli_print_faults(stderr, config, ok ? CONFIG_WARNING : CONFIG_ERROR);
	return ok || bad_config(err);
}

static bool read_as_starter(struct deployment *deployment, struct config_strings files, struct err *err)
{
	deployment->arena = arena_new();
	deployment->files = files;
	return read_options(deployment, false, err);
}

static bool read_as_server(struct deployment *deployment, struct err *err)
{
	return privileges_drop(deployment->options, &deployment->files, err) && read_options(deployment, true, err);
}

bool deployment_read(struct deployment *deployment, struct config_strings files, struct err *err)
{
	return read_as_starter(deployment, files, err) && read_as_server(deployment, err);
}

static bool replace_listeners(struct deployment *deployment, const struct http_listener *listeners, size_t count,
			      struct err *err)
{
	return count == 0 || options_listen(deployment->options, listeners, count, err);
}

static bool load_certificate(struct deployment *deployment, struct err *err)
{
	const struct options *options = deployment->options;
	bool needed = false;

	for (size_t i = 0; i < options->listener_count; i++)
		needed |= options->listeners[i].tls;
	return !needed || tls_new(options->tls_certificate_path, options->tls_private_key_path, &deployment->tls, err);
}

bool deployment_read_to_serve(struct deployment *deployment, struct config_strings files,
			      const struct http_listener *listeners, size_t count, struct err *err)
{
	return read_as_starter(deployment, files, err) && replace_listeners(deployment, listeners, count, err) &&
	       load_certificate(deployment, err) && read_as_server(deployment, err) &&
	       replace_listeners(deployment, listeners, count, err);
}

static bool load_keys(struct deployment *deployment, struct err *err)
{
	const struct options *options = deployment->options;

	deployment->domains = ARENA_ARRAY(deployment->arena, options->domain_count, struct domain);
	for (size_t i = 0; i < options->domain_count; i++) {
		deployment->domains[i].name = options->domains[i].name;
		if (!signing_key_load(&options->domains[i], &deployment->domains[i].key, err))
			return false;
	}
	return true;
}

static bool find_database(struct deployment *deployment, struct str *ret_conninfo, struct err *err)
{
	const struct options *options = deployment->options;
	const struct embedded_config config = { .data_directory = options->data_directory };

	if (options->postgresql.len) {
		*ret_conninfo = options->postgresql;
		return true;
	}
	if (!embedded_start(&config, &deployment->postgres, err))
		return err_detail(err, "embedded PostgreSQL");
	*ret_conninfo = embedded_conninfo(deployment->postgres);
	return true;
}

bool deployment_connect(struct deployment *deployment, struct err *err)
{
	const struct options *options = deployment->options;
	struct str conninfo;

	if (!load_keys(deployment, err) || !find_database(deployment, &conninfo, err))
		return false;
	deployment->setup = (struct server_setup){
		.options = options,
		.domains = deployment->domains,
		.domain_count = options->domain_count,
		.database = { .conninfo = conninfo, .size = (size_t)options->database_connections },
		.cache_bytes = (size_t)options->cache_memory,
		.listeners = options->listeners,
		.listener_count = options->listener_count,
		.tls = deployment->tls,
		.max_connections = (size_t)options->max_connections,
		.workers = (size_t)options->workers,
		.queue_length = (size_t)options->max_queue,
	};
	return true;
}

bool deployment_open(struct deployment *deployment, struct err *err)
{
	return server_open(&deployment->setup, &deployment->server, err) && server_names_keep(deployment->server, err);
}

void deployment_close(struct deployment *deployment)
{
	if (deployment->server)
		server_close(deployment->server);
	for (size_t i = 0; deployment->domains && i < deployment->options->domain_count; i++)
		signing_key_free(deployment->domains[i].key);
	if (deployment->postgres)
		embedded_stop(deployment->postgres);
	tls_free(deployment->tls);
	if (deployment->arena)
		arena_free(deployment->arena);
	*deployment = (struct deployment){ 0 };
}
