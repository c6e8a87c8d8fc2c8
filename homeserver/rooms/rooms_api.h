/* The endpoints of rooms: creation, membership, state and sending, aliases. */
#pragma once

#include "http/http.h"

extern const struct route create_routes[], membership_routes[], state_routes[], alias_routes[];
