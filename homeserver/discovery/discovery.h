/* What clients ask before they know anybody, and what this server can do. */
#pragma once

#include "options.h"
#include "server.h"

/* The server name that a request was sent to, as far as its Host header tells (the name itself, or public_baseurl's
 * host); else the first. */
const struct domain_options *request_domain(const struct request *req);

extern const struct route discovery_routes[];
