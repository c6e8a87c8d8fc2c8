/* The endpoints of rooms. */
#pragma once

#include "http/http.h"

extern const struct route rooms_routes[];
