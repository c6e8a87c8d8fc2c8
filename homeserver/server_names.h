/* The server names that a database belongs to. They are part of every identifier in it, so they stay. */
#pragma once

#include "server.h"

/*
 * Remembers the configured names; refuses a configuration that lacks one which was remembered before. The error's
 * message is for the operator. After server_open.
 */
bool server_names_keep(struct server *server, struct err *err);
