/* What the files of the event store share; nobody else includes it. */
#pragma once

#include <stdatomic.h>

#include "base/cache.h"
#include "base/map.h"
#include "base/sync.h"
#include "events/events.h"

struct events {
	struct db_pool *pool;
	struct cache *cache;      /* by nid: struct packed, event ID, transaction ID, JSON */
	struct cache *ids;        /* by hash of the event ID: nid, event ID */
	_Atomic uint64_t changes; /* redactions seen: what was read before the last one is not cached */
	struct mutex lock;        /* of what follows; nothing else is locked under it */
	struct idmap pinned;      /* struct pinned by nid */
};
