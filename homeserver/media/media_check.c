/* What check-database looks at here: the rows against the folder. Contents are not read, of which there may be
 * terabytes. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "media/media_internal.h"

#define CONTENTS_AT_ONCE 1000

static const struct db_statement SELECT_CONTENTS = {
	"media_contents",
	"SELECT DISTINCT sha256, size FROM media WHERE sha256 > $1 AND octet_length(sha256) = 32 ORDER BY sha256 LIMIT $2",
};

struct checking {
	const struct check *check;
	int contents; /* the folder; -1: it is not there */
	size_t problems;
	uint8_t last[SHA256_BYTES]; /* what was looked at; none at the start */
	size_t last_len;
};

static void check_content(struct checking *checking, int64_t size, struct arena *arena)
{
	char path[MEDIA_CONTENT_PATH_SIZE];
	const char *fault = NULL;
	struct stat status;

	media_content_path(checking->last, path);
	if (checking->contents < 0)
		fault = "there is no folder of contents";
	else if (fstatat(checking->contents, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
		fault = strerror(errno);
	else if (!S_ISREG(status.st_mode) || status.st_size != size)
		fault = "not the file that was uploaded";
	if (fault && ++checking->problems <= CHECK_MOST)
		checking->check->report(checking->check->context,
					str_printf(arena, "media: content %s: %s", path, fault));
}

static bool check_page(struct checking *checking, struct db *db, bool *ret_more, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str last = { (const char *)checking->last, checking->last_len };
	struct db_rows *rows;

	if (!db_query(db, &SELECT_CONTENTS, DB_PARAMS(db_bytes(last), db_int(CONTENTS_AT_ONCE)), arena, &rows, err))
		return err_detail(err, "contents of media");
	while (db_next(rows)) {
		struct str sha256 = db_get_str(rows, 0);

		memcpy(checking->last, sha256.ptr, SHA256_BYTES);
		checking->last_len = SHA256_BYTES;
		check_content(checking, db_get_int(rows, 1), arena);
	}
	*ret_more = db_row_count(rows) == CONTENTS_AT_ONCE;
	return true;
}

bool media_check(struct db_pool *pool, struct str folder, const struct check *check, size_t *ret_problems,
		 struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str path = str_printf(arena, "%.*s/contents", STR_ARG(folder));
	struct checking checking = { .check = check };
	CLEANUP(db_release) struct db *db = NULL;
	bool more = true;

	if (!db_acquire(pool, &db, err))
		return false;
	checking.contents = open(str_cstr(arena, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (more && check_page(&checking, db, &more, err))
		;
	if (checking.contents >= 0)
		close(checking.contents);
	*ret_problems = checking.problems;
	return !more;
}
