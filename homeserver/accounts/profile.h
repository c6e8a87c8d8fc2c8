/* Profiles (client-server-api "Profiles"): any fields, 64 KiB together. */
#pragma once

#include "accounts/accounts.h"

/* `value`: JSON text; empty: the field goes. M_PROFILE_TOO_LARGE. A changed name or avatar is then told to all rooms
 * that the user is in. */
bool profile_set(struct server *server, const struct user *user, struct str field, struct str value, struct err *err);
