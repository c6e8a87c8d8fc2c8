/* All tables of routes, NULL-terminated. */
#pragma once

#include "http/http.h"

extern const struct route *const server_routes[];
