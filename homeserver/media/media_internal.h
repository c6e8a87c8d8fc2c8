/* The inside of the domain. */
#pragma once

#include "media/media.h"

/* ---- the folder: media_files.c ---- */

#define SHA256_BYTES 32

struct media_folder {
	int contents, incoming; /* descriptors of the folders */
};

struct media_content {
	uint8_t sha256[SHA256_BYTES];
	uint64_t size;
};

/* Where a content is, from contents/ on: "ab/cdef…", two digits a byte. */
#define MEDIA_CONTENT_PATH_SIZE (2 * SHA256_BYTES + 2)
void media_content_path(const uint8_t sha256[SHA256_BYTES], char path[MEDIA_CONTENT_PATH_SIZE]);

/* false: the folder cannot be made or used; the message is for the operator. */
bool media_folder_open(struct str path, struct media_folder *ret_folder, struct err *err);
void media_folder_close(struct media_folder *folder);

/* A file that is being written. Freed before it was kept, it is gone. */
struct media_file;
bool media_file_new(const struct media_folder *folder, struct media_file **ret_file, struct err *err);
bool media_file_write(struct media_file *file, struct str bytes, struct err *err);
uint64_t media_file_size(const struct media_file *file);
/* On disk and under its name when this returns. Once, after the last write. */
bool media_file_keep(struct media_file *file, struct media_content *ret_content, struct err *err);
void media_file_free(struct media_file *file);
DEFINE_CLEANUP(struct media_file *, media_file_free)

/* Of a content that was kept. The caller closes *ret_fd. */
bool media_content_open(const struct media_folder *folder, const struct media_content *content, int *ret_fd,
			struct err *err);

/* ---- the rows: media_store.c ---- */

struct media_row {
	struct str server_name, media_id;
	nid_t user;
	int64_t expires_ts; /* of a reserved ID: it has no content yet. 0: it has, and what follows is filled in */
	bool authenticated;
	struct media_content content;
	struct str content_type;
	struct str file_name; /* empty: none was given */
};

/* *ret_found is false for an ID that does not exist, and for one whose reservation is over. */
bool media_find(struct server *server, struct str server_name, struct str media_id, struct arena *arena,
		struct media_row *ret_row, bool *ret_found, struct err *err);
bool media_insert(struct server *server, const struct media_row *row, struct err *err);
/* Until row->expires_ts. M_LIMIT_EXCEEDED: the user has reserved `max` already. */
bool media_reserve(struct server *server, const struct media_row *row, int64_t max, struct err *err);
/* Gives a reserved ID its content. *ret_filled is false if it is not reserved (any more). */
bool media_fill(struct server *server, const struct media_row *row, bool *ret_filled, struct err *err);

/* ---- uploads under way, and downloads that wait for a content: media.c ---- */

struct media {
	struct media_folder folder;
	struct mutex lock; /* guards what follows */
	struct idmap uploads; /* by user: how many are under way */
	uint64_t changes;  /* seen in the journal */
	struct media_wait *waiting;
};

struct media_wait {
	struct media *media;
	struct media_wait *next, *prev;
	struct parked *parked; /* NULL: not filed */
	uint64_t changes;      /* media->changes before the one who waits looked */
	int64_t deadline_ms;
	char *id; /* media_entry_id's */
	struct user *user; /* NULL: nobody that is known */
};

/* An upload holds a worker for as long as its client takes: M_LIMIT_EXCEEDED is for who has `max` of them under way. */
bool media_upload_begin(struct media *media, nid_t user, size_t max, struct err *err);
void media_upload_end(struct media *media, nid_t user);

/* What the journal calls a media ID. */
struct str media_entry_id(struct str server_name, struct str media_id, struct arena *arena);
uint64_t media_changes(struct media *media);
struct media_wait *media_wait_new(struct media *media, struct str id, const struct user *user, uint64_t changes, int64_t deadline_ms);
/* For struct park. */
void media_wait_free(void *state);
void media_wait_file(struct parked *parked, void *state);
void media_wait_take_out(struct parked *parked, void *state);

/* ---- what an answer says of a file: media_headers.c ---- */

/* Content-Disposition: whether browsers may show it, and its name (empty: none). */
struct str media_disposition(struct str content_type, struct str file_name, struct arena *arena);
/* A media type as it may stand in a header; application/octet-stream for what may not, and for none. */
struct str media_type_of(struct str given);
