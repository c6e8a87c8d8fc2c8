/* Guests in rooms (client-server-api "Guest Access"): they are where m.room.guest_access says can_join, and nowhere
 * else. */
#pragma once

#include "http/http.h"
#include "rooms/rooms.h"

/* Before the caller joins: M_GUEST_ACCESS_FORBIDDEN for a guest whom the room does not let in. */
bool guest_check_join(struct request *req, const struct room_info *room, struct err *err);
/* After a new m.room.guest_access: our guests leave when it shuts them out. */
bool guests_follow_access(struct server *server, const struct room_info *room, struct arena *arena, struct err *err);
