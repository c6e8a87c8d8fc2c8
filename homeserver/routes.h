/* All tables of routes, NULL-terminated. */
#pragma once

#include "http/http.h"

extern const struct route *const server_routes[];

const char *route_method_name(enum http_method method); /* "GET" */
const char *route_auth_name(enum route_auth auth);      /* "none", "optional", "user", "admin", "server" */
