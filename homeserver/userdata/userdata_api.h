/* What the handlers of this folder share. */
#pragma once

#include "rooms/rooms.h"
#include "userdata/userdata.h"

/* The path's userId is who calls: M_FORBIDDEN otherwise. */
bool userdata_require_self(struct request *req, struct err *err);
/* The path's roomId: M_INVALID_PARAM when it is none, M_NOT_FOUND when the room is unknown here. */
bool userdata_require_room(struct request *req, struct room_info *ret_room, struct err *err);
