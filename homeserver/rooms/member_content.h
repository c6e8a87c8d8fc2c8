/* The content of member events that this server writes. */
#pragma once

#include "rooms/rooms.h"

struct member_wish {
	struct str membership;
	struct str reason;   /* empty: none */
	bool is_direct;
	struct str authorised_via; /* join_authorised_via_users_server; empty: none */
	bool with_profile;   /* display name and avatar of the member, if they are a user of ours */
};
/* Whether users like this one may invite at all, rooms and their power levels apart. M_FORBIDDEN. */
bool member_may_invite(const struct request *req, struct err *err);
/* JSON text. Takes a connection of the pool. */
bool member_content(struct server *server, struct str user_id, const struct member_wish *wish, struct arena *arena, struct str *ret_content, struct err *err);
