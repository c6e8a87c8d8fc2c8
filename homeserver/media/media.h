/*
 * Uploaded files (client-server-api "Content repository"). A media ID is a row; its content is a file in the folder
 * `media_store_path`, which all processes share:
 *
 *   contents/ab/cdef…   by the SHA-256 of what is in them, so equal content is there once
 *   incoming/           uploads under way, each locked by its process; what a killed one left goes at the next start
 *
 * A content is on disk, under its name, before the row that refers to it is committed, and that before the upload is
 * acknowledged. A crash between the two leaves a whole file that the next upload of the same bytes takes up.
 *
 * An ID may be reserved and its content uploaded later: the journal tells all processes (JOURNAL_MEDIA), where
 * downloads of it may be waiting.
 */
#pragma once

#include "check/check.h"
#include "server.h"

struct media;

/* Makes the folder where there is none (its parent exists). After journal_open. */
bool media_new(struct server *server, struct media **ret_media, struct err *err);
void media_free(struct media *media); /* NULL is fine. */

/* For check-database: every content that a row names is a file of its size in the folder. */
bool media_check(struct db_pool *pool, struct str folder, const struct check *check, size_t *ret_problems,
		 struct err *err);

extern const struct route media_routes[];
