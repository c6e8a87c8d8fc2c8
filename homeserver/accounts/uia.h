/*
 * User-interactive authentication (client-server-api "User-Interactive Authentication API"): an endpoint asks for it
 * first thing, once it has read its body; what it does happens when `*ret_done`. A session is a row, so any process can
 * go on with it; it is good for the user and the operation (method and path) that it was begun for, and once.
 */
#pragma once

#include "accounts/accounts.h"

/* In the order in which clients are to take them. */
enum uia_stage { UIA_REGISTRATION_TOKEN = 1, UIA_PASSWORD = 2, UIA_DUMMY = 4 };

#define UIA_MAX_FLOWS 4
struct uia {
	unsigned flows[UIA_MAX_FLOWS]; /* each a set of stages */
	size_t flow_count;
	bool may_be_recent; /* ui_auth.session_timeout counts: an authentication of a moment ago covers this one too */
};

struct uia_result {
	struct str session;            /* empty: there was none, all went in one request */
	struct str registration_token; /* of that stage */
};

/*
 * false: *err is raised. true with !*ret_done: the request has been answered with 401 and what is asked for; the
 * handler returns true. `ret_result` may be NULL. Takes connections of the pool.
 */
bool uia_check(struct request *req, const struct uia *uia, struct uia_result *ret_result, bool *ret_done,
	       struct err *err);
/* The same for what users do to their own account: their password. M_FORBIDDEN when they have none. */
bool uia_check_password(struct request *req, bool may_be_recent, bool *ret_done, struct err *err);
/* The user whom the registration that the request's session belongs to has made; empty: none yet. */
bool uia_registered_user(struct request *req, struct str *ret_user_id, struct err *err);
