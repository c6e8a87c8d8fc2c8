/* The numbered SQL files of this folder, in order, as migrate() wants them: migrate(db, hearth_migrations,
 * hearth_migration_count, …). */
#pragma once

#include "db/migrate.h"

extern const struct migration hearth_migrations[];
extern const size_t hearth_migration_count;
