/*
 * What users keep on the server for their clients: account data (client-server-api modules/account_data.md), the tags
 * of rooms, which are the account data m.tag (modules/tags.md), and filters ("Filtering"). A content is the text of an
 * object, as the client sent it.
 *
 * m.fully_read is read like any other account data, and written by receipts; m.push_rules belongs to the push rules.
 */
#pragma once

#include "base/cache.h"
#include "server.h"

#define ACCOUNT_DATA_MAX_TYPE 255

/* room 0: of the account as a whole. *ret_content is empty when there is none. */
bool account_data_get(struct server *server, nid_t user, nid_t room, struct str type, struct arena *arena,
		      struct str *ret_content, struct err *err);
bool account_data_put(struct server *server, nid_t user, nid_t room, struct str type, struct str content,
		      struct err *err);

/* The text of an m.tag event's content with `tag` set to `value` (the text of an object), or without it when `value` is
 * empty. Pure. */
struct str tags_with(struct str content, struct str tag, struct str value, struct arena *arena);

/* Filters that were stored; immutable, so cached. */
struct filters;
struct filters *filters_new(size_t cache_bytes);
void filters_free(struct filters *filters);
struct cache_stats filters_cache_stats(struct filters *filters);
/* *ret_definition is empty when the user has no such filter. */
bool filter_get(struct server *server, nid_t user, struct str filter_id, struct arena *arena,
		struct str *ret_definition, struct err *err);

extern const struct route account_data_routes[], tag_routes[], filter_routes[];
