/*
 * Restricted rooms (client-server-api "Restricted rooms", rooms/v8.md): who is not invited joins by the rooms that they are in, and a member who could invite
 * vouches for it.
 */
#pragma once

#include "http/http.h"
#include "rooms/memberships.h"

/*
 * For the caller, who stands in the room as `member` says. *ret_authoriser: who vouches; empty where nobody needs to. M_FORBIDDEN: the caller is in none of the
 * rooms; M_UNABLE_TO_GRANT_JOIN: nobody here may vouch.
 */
bool restricted_authorise(struct request *req, const struct room_info *room, const struct user_room *member, struct str *ret_authoriser, struct err *err);
