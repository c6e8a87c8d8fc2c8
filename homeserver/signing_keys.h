/*
 * The keys that a server name signs with, as the configuration names them. Files hold lines of `ed25519 ID SEED`, as
 * Synapse's; the first key signs.
 */
#pragma once

#include "matrix/signing.h"
#include "options.h"

/* Reads the signing key, from a file that is made first where there is none. The error's message is for the operator.
 */
bool signing_key_load(const struct domain_options *domain, struct signing_key **ret_key, struct err *err);
/* Makes the file with a new key, for its owner alone to read. One that is there stays as it is, also when two processes
 * try at once. */
bool signing_key_create(struct str path, struct err *err);
