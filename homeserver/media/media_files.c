/* The folder of the media store. */
#include "media/media_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_LENGTH 24

struct media_file {
	const struct media_folder *folder;
	crypto_hash_sha256_state hash;
	uint64_t size;
	int fd;
	bool kept;
	char name[NAME_LENGTH + 1]; /* in incoming/ */
};

/* ---- opening ---- */

static bool unusable(struct err *err, const char *what)
{
	return err_set(err, M_UNKNOWN, "media_store_path: %s: %s", what, strerror(errno));
}

static bool open_folder(int parent, const char *name, int *ret_fd, struct err *err)
{
	if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return unusable(err, name);
	*ret_fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd >= 0 || unusable(err, name);
}

static bool sync_folder(int fd, struct err *err)
{
	return fsync(fd) == 0 || err_internal(err, "sync a folder of the media store: %s", strerror(errno));
}

/* contents/00 to contents/ff, so that a new file has only its own folder to be written to disk with. */
static bool make_content_folders(int contents, struct err *err)
{
	char name[3];

	for (unsigned i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "%02x", i);
		if (mkdirat(contents, name, 0700) < 0 && errno != EEXIST)
			return unusable(err, name);
	}
	return sync_folder(contents, err);
}

/*
 * Uploads hold a lock on their file: what can be locked was left by a process that was killed. An upload that has made
 * its file and not locked it yet loses it, and makes another.
 */
static void remove_if_abandoned(int incoming, const char *name)
{
	int fd = openat(incoming, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		unlinkat(incoming, name, 0);
	close(fd);
}

static bool remove_abandoned(int incoming, struct err *err)
{
	int fd = openat(incoming, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!folder)
		return unusable(err, "incoming");
	while ((entry = readdir(folder))) {
		if (strlen(entry->d_name) == NAME_LENGTH)
			remove_if_abandoned(incoming, entry->d_name);
	}
	closedir(folder);
	return true;
}

static bool open_folders(int root, struct media_folder *folder, struct err *err)
{
	return open_folder(root, "contents", &folder->contents, err) &&
	       open_folder(root, "incoming", &folder->incoming, err) && make_content_folders(folder->contents, err) &&
	       sync_folder(root, err) && remove_abandoned(folder->incoming, err);
}

bool media_folder_open(struct str path, struct media_folder *ret_folder, struct err *err)
{
	struct media_folder folder = { -1, -1 };
	char *name = x_strdup(path);
	int root;
	bool ok;

	ok = open_folder(AT_FDCWD, name, &root, err);
	free(name);
	if (!ok)
		return false;
	ok = open_folders(root, &folder, err);
	close(root);
	if (ok)
		*ret_folder = folder;
	else
		media_folder_close(&folder);
	return ok;
}

void media_folder_close(struct media_folder *folder)
{
	if (folder->contents >= 0)
		close(folder->contents);
	if (folder->incoming >= 0)
		close(folder->incoming);
}

/* ---- writing ---- */

static bool failed(struct err *err, const char *what)
{
	return err_internal(err, "%s a file of the media store: %s", what, strerror(errno));
}

static bool create(struct media_file *file, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str name = random_string(arena, NAME_LENGTH);

	memcpy(file->name, name.ptr, NAME_LENGTH);
	file->fd = openat(file->folder->incoming, file->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return file->fd >= 0 || failed(err, "make");
}

/* Whether the file is ours: no process that starts just now took it for an abandoned one. */
static bool claim(const struct media_file *file, bool *ret_ours, struct err *err)
{
	struct stat status;

	while (flock(file->fd, LOCK_EX) < 0) {
		if (errno != EINTR)
			return failed(err, "lock");
	}
	if (fstat(file->fd, &status) < 0)
		return failed(err, "look at");
	*ret_ours = status.st_nlink > 0;
	return true;
}

bool media_file_new(const struct media_folder *folder, struct media_file **ret_file, struct err *err)
{
	CLEANUP(media_file_free) struct media_file *file = X_NEW(struct media_file);
	bool ours = false;

	file->folder = folder;
	file->fd = -1;
	crypto_hash_sha256_init(&file->hash);
	while (!ours) {
		if (file->fd >= 0)
			close(file->fd);
		if (!create(file, err) || !claim(file, &ours, err))
			return false;
	}
	*ret_file = TAKE(file);
	return true;
}

bool media_file_write(struct media_file *file, struct str bytes, struct err *err)
{
	crypto_hash_sha256_update(&file->hash, (const unsigned char *)bytes.ptr, bytes.len);
	file->size += bytes.len;
	while (bytes.len) {
		ssize_t written = write(file->fd, bytes.ptr, bytes.len);

		if (written < 0 && errno != EINTR)
			return failed(err, "write");
		if (written > 0)
			bytes = str_from(bytes, (size_t)written);
	}
	return true;
}

uint64_t media_file_size(const struct media_file *file)
{
	return file->size;
}

void media_content_path(const uint8_t sha256[SHA256_BYTES], char path[MEDIA_CONTENT_PATH_SIZE])
{
	sodium_bin2hex(path + 1, MEDIA_CONTENT_PATH_SIZE - 1, sha256, SHA256_BYTES);
	path[0] = path[1];
	path[1] = path[2];
	path[2] = '/';
}

static bool sync_content_folder(const struct media_folder *folder, const char *path, struct err *err)
{
	char name[3] = { path[0], path[1], 0 };
	int fd = openat(folder->contents, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return failed(err, "find the folder of");
	ok = sync_folder(fd, err);
	close(fd);
	return ok;
}

/* Where the content is there already, one equal file takes the place of another. */
bool media_file_keep(struct media_file *file, struct media_content *ret_content, struct err *err)
{
	char path[MEDIA_CONTENT_PATH_SIZE];

	crypto_hash_sha256_final(&file->hash, ret_content->sha256);
	ret_content->size = file->size;
	media_content_path(ret_content->sha256, path);
	if (fsync(file->fd) < 0)
		return failed(err, "write");
	if (renameat(file->folder->incoming, file->name, file->folder->contents, path) < 0)
		return failed(err, "keep");
	file->kept = true;
	return sync_content_folder(file->folder, path, err);
}

void media_file_free(struct media_file *file)
{
	if (!file)
		return;
	if (file->fd >= 0) {
		if (!file->kept)
			unlinkat(file->folder->incoming, file->name, 0);
		close(file->fd);
	}
	free(file);
}

/* ---- reading ---- */

bool media_content_open(const struct media_folder *folder, const struct media_content *content, int *ret_fd,
			struct err *err)
{
	char path[MEDIA_CONTENT_PATH_SIZE];
	struct stat status;
	int fd;

	media_content_path(content->sha256, path);
	fd = openat(folder->contents, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_internal(err, "open %s of the media store: %s", path, strerror(errno));
	if (fstat(fd, &status) < 0 || (uint64_t)status.st_size != content->size) {
		close(fd);
		return err_internal(err, "%s of the media store is not of %" PRIu64 " bytes", path, content->size);
	}
	*ret_fd = fd;
	return true;
}
