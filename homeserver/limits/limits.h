/*
 * Rate limits (client-server-api "Rate limiting"; the options rc_*): leaky buckets by user, address, account or room. A
 * bucket holds burst_count drops and loses per_second of them. Each process has buckets of its own, smaller by the
 * number of processes; only failed logins, where each one counts, are rows.
 *
 * The HTTP hook serves the classes of the route table, as far as who calls and the path tell. Handlers add what only
 * they know. Thread-safe.
 */
#pragma once

#include "server.h"

struct limits;
struct limits *limits_new(struct server *server);
void limits_free(struct limits *limits);

enum limit_kind {
	LIMIT_SENDING,       /* rc_message, by user */
	LIMIT_SIGN_UP,       /* rc_registration, by address: accounts made */
	LIMIT_SIGN_UP_STEPS, /* the same twentyfold: requests on the way there */
	LIMIT_ASK_TOKEN,     /* rc_registration_token_validity, by address */
	LIMIT_LOGIN_ADDRESS, /* rc_login.address */
	LIMIT_LOGIN_ACCOUNT, /* rc_login.account, by user ID */
	LIMIT_JOIN_USER,     /* rc_joins.local */
	LIMIT_JOIN_REMOTE,   /* rc_joins.remote, by user */
	LIMIT_JOIN_ROOM,     /* rc_joins_per_room, by room ID */
	LIMIT_INVITE_ROOM,   /* rc_invites.per_room, by room ID */
	LIMIT_INVITE_USER,   /* rc_invites.per_user, by the invited user's ID */
	LIMIT_INVITE_ISSUER, /* rc_invites.per_issuer, by user */
	LIMIT_CREATE_ROOM,   /* rc_room_creation, by user */
	LIMIT_CREATE_MEDIA,  /* rc_media_create, by user */
	LIMIT_SEARCH_USERS,  /* rc_user_directory, by user */
	LIMIT_REPORTS,       /* rc_reports, by user */
};

/* One drop more, or M_LIMIT_EXCEEDED. */
bool limit_take(struct limits *limits, enum limit_kind kind, struct str key, struct err *err);
/* Whether there is room for one, without taking it. */
bool limit_check(struct limits *limits, enum limit_kind kind, struct str key, struct err *err);
/* A join, or an invite, of the caller's to a room; the room empty: one that is being made. */
bool limit_join(struct request *req, struct str room_id, struct err *err);
bool limit_invite(struct request *req, struct str room_id, struct err *err);
/* What addresses are counted by: an IPv6 address stands for its /64, which is one customer's. */
struct str limit_address(const struct request *req);

/* Failed logins to an account, on all processes together. M_LIMIT_EXCEEDED after too many. */
bool limit_login_failures(struct server *server, struct str user_id, struct arena *arena, struct err *err);
void limit_login_failed(struct server *server, struct str user_id);

/* HTTP hook. LIMIT_REGISTRATION takes a step and checks whether there is room for an account: making one takes that. */
bool limits_hook(struct request *req, struct err *err);
