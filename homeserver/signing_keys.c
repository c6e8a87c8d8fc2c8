#include "signing_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define MAX_KEY_FILE 65536

static bool cannot(struct err *err, const char *what, struct str path)
{
	return err_set(err, M_UNKNOWN, "Signing key %.*s: cannot %s it: %s", STR_ARG(path), what, strerror(errno));
}

static bool write_key(int fd, struct arena *arena)
{
	struct str version = str_lower_ascii(arena, str_concat(arena, STR("a_"), random_string(arena, 6)));
	CLEANUP(signing_key_free) struct signing_key *key = signing_key_generate(version);
	struct str line = str_concat(arena, str_trim(signing_key_line(key, arena)), STR("\n"));

	return write(fd, line.ptr, line.len) == (ssize_t)line.len && fsync(fd) == 0;
}

/* Written under another name and linked, so that nobody reads half a key, and the first of two stays. */
bool signing_key_create(struct str path, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const char *name = str_cstr(arena, path);
	char *unfinished = str_cstr(arena, str_printf(arena, "%s.XXXXXX", name));
	bool ok;
	int fd;

	if (access(name, F_OK) == 0)
		return true;
	fd = mkostemp(unfinished, O_CLOEXEC); /* mode 0600 */
	if (fd < 0)
		return cannot(err, "create", path);
	ok = write_key(fd, arena) && (link(unfinished, name) == 0 || errno == EEXIST);
	if (!ok)
		cannot(err, "write", path);
	close(fd);
	unlink(unfinished);
	return ok;
}

static bool read_keys(struct str path, struct arena *arena, struct str *ret_text, struct err *err)
{
	char *text = arena_alloc(arena, MAX_KEY_FILE);
	FILE *file = fopen(str_cstr(arena, path), "re");
	size_t len;

	if (!file)
		return cannot(err, "read", path);
	len = fread(text, 1, MAX_KEY_FILE, file);
	fclose(file);
	*ret_text = (struct str){ text, len };
	return true;
}

static bool parse_first(struct str text, struct signing_key **ret_key, struct err *err)
{
	struct str line;

	while (str_split(&text, '\n', &line)) {
		line = str_trim(line);
		if (line.len && line.ptr[0] != '#')
			return signing_key_parse(line, ret_key, err);
	}
	return err_set(err, M_UNKNOWN, "There is no key in it");
}

bool signing_key_load(const struct domain_options *domain, struct signing_key **ret_key, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str text = domain->signing_key;
	struct err cause;

	if (!text.len && (!signing_key_create(domain->signing_key_path, err) ||
			  !read_keys(domain->signing_key_path, arena, &text, err)))
		return false;
	if (parse_first(text, ret_key, &cause))
		return true;
	return err_set(err, M_UNKNOWN, "Signing key %.*s: %s",
		       STR_ARG(domain->signing_key.len ? STR("of the configuration") : domain->signing_key_path),
		       cause.message);
}
