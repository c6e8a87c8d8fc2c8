/* Drives a fuzz target without libFuzzer: runs it once on each file that is named, and on each file in a folder that is
 * named. */
#include <dirent.h>
#include <errno.h>

#include "base/base.h"

#define MAX_FILE ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes;
	size_t len;

	if (!file) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	bytes = x_malloc(MAX_FILE);
	len = fread(bytes, 1, MAX_FILE, file);
	fclose(file);
	bytes = x_realloc(bytes, len); /* so that a sanitizer sees a step beyond the end */
	LLVMFuzzerTestOneInput(bytes, len);
	free(bytes);
	return true;
}

static bool replay(const char *path)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	DIR *folder = opendir(path);
	struct dirent *entry;
	bool ok = true;

	if (!folder)
		return replay_file(path);
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] != '.')
			ok &= replay_file(str_cstr(arena, str_printf(arena, "%s/%s", path, entry->d_name)));
	}
	closedir(folder);
	return ok;
}

int main(int argc, char **argv)
{
	bool ok = true;

	for (int i = 1; i < argc; i++)
		ok &= replay(argv[i]);
	return ok ? 0 : 1;
}
