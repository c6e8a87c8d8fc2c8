/* Scrolling through a room: /messages, /context, /event. */
#pragma once

#include "http/http.h"

extern const struct route timeline_routes[];
