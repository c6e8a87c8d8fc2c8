#include "discovery/discovery.h"

#include "matrix/identifiers.h"

static bool is_host_of(struct str host, struct str authority)
{
	struct server_name name;

	return server_name_parse(authority, &name) && str_eq_ascii_nocase(name.host, host);
}

/* `https://matrix.example.org/` → `matrix.example.org` */
static struct str authority_of(struct str url)
{
	ptrdiff_t scheme = str_find(url, STR("://"));
	struct str rest = scheme < 0 ? url : str_from(url, (size_t)scheme + 3);
	ptrdiff_t slash = str_find_char(rest, '/');

	return slash < 0 ? rest : str_sub(rest, 0, (size_t)slash);
}

const struct domain_options *request_domain(const struct request *req)
{
	const struct options *options = req->server->options;
	struct server_name host;

	/* header() reads: the request is not changed by it. */
	if (options->domain_count > 1 && server_name_parse(header((struct request *)(uintptr_t)req, "Host"), &host)) {
		for (size_t i = 0; i < options->domain_count; i++) {
			const struct domain_options *domain = &options->domains[i];

			if (is_host_of(host.host, domain->name) ||
			    is_host_of(host.host, authority_of(domain->public_baseurl)))
				return domain;
		}
	}
	return &options->domains[0];
}
