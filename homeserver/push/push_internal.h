/* What the files of this domain share; nobody else includes it. */
#pragma once

#include "push/push.h"

/*
 * Changes the ruleset under a lock on the user's row: `change` is given the ruleset as it stands and refuses (false), or changes it, after which it is stored and
 * told to all. It may not wait for anything.
 */
typedef bool (*push_rules_change)(void *context, struct push_ruleset *rules, struct err *err);
bool push_rules_update(struct server *server, nid_t user, struct str user_id, struct arena *arena, push_rules_change change, void *context, struct err *err);
