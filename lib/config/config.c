/* The files, the faults, and the reading of trees by tables. */
#include "config/config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/tree.h"

#define MAX_FAULTS    100
#define MAX_FILE      ((size_t)1 << 20)
#define MAX_SECRET    ((size_t)1 << 16)
#define MAX_JSON_TEXT ((size_t)1 << 16)
#define MAX_ITEMS     10000
#define SECRET_LENGTH 64

struct given {
	const char *path;
	struct config_place place;
	const struct node *node;
};

struct config {
	struct arena *arena;
	bool may_create;
	struct config_place first; /* the first file as a whole */
	struct node *root;         /* the top-level keys of all files */
	struct config_fault *faults;
	size_t fault_count, faults_cap, errors;
	struct given *given;
	size_t given_count, given_cap;
};

/* A map and the struct that it is read into. */
struct scope {
	struct config *config;
	const struct config_option *table;
	struct str label; /* what stands before the paths in faults: "listeners[1]." */
	bool *given;      /* one an option */
	bool is_root;
	void *out;
};

struct config *config_new(struct arena *arena)
{
	struct config *config = ARENA_NEW(arena, struct config);

	config->arena = arena;
	config->root = ARENA_NEW(arena, struct node);
	config->root->type = NODE_MAP;
	return config;
}

struct arena *config_arena(struct config *config)
{
	return config->arena;
}

void config_may_create(struct config *config)
{
	config->may_create = true;
}

const struct config_fault *config_faults(const struct config *config, size_t *ret_count)
{
	*ret_count = config->fault_count;
	return config->faults;
}

bool config_ok(const struct config *config)
{
	return config->errors == 0;
}

bool config_raise(struct config *config, const struct config_place *place, enum config_severity severity,
		  const char *fmt, ...)
{
	char text[1024];
	va_list args;

	config->errors += severity == CONFIG_ERROR;
	if (config->fault_count >= MAX_FAULTS)
		return false;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (config->fault_count == MAX_FAULTS - 1)
		snprintf(text, sizeof(text), "There is more to say, which is left out");
	*ARENA_PUSH(config->arena, config->faults, config->fault_count, config->faults_cap) =
		(struct config_fault){ .severity = severity,
				       .file = place->file,
				       .line = place->line,
				       .text = str_dup(config->arena, str_of(text)) };
	return false;
}

/* Files */

static struct str absolute(struct arena *arena, struct str folder, struct str path)
{
	if (str_starts_with(path, STR("/")) || folder.len == 0)
		return path;
	return str_printf(arena, "%.*s/%.*s", STR_ARG(folder), STR_ARG(path));
}

struct str config_resolve(const struct config *config, struct str path)
{
	return absolute(config->arena, config->first.folder, path);
}

static struct config_place file_place(struct config *config, struct str path)
{
	struct config_place place = { .file = str_dup(config->arena, path) };
	char *cwd = get_current_dir_name();
	struct str full = absolute(config->arena, str_of(cwd), place.file);
	size_t slash = full.len;

	while (slash > 0 && full.ptr[slash - 1] != '/')
		slash--;
	place.folder = str_dup(config->arena, str_sub(full, 0, slash > 1 ? slash - 1 : slash));
	free(cwd);
	if (!config->first.file.len)
		config->first = place;
	return place;
}

static void add_root_member(struct config *config, struct node *key, struct node *value)
{
	struct node *root = config->root;
	size_t keys = root->count;

	for (size_t i = 0; i < root->count; i++) {
		if (str_eq(root->keys[i]->text, key->text)) {
			root->keys[i] = key;
			root->items[i] = value;
			return;
		}
	}
	*ARENA_PUSH(config->arena, root->keys, keys, root->keys_cap) = key;
	*ARENA_PUSH(config->arena, root->items, root->count, root->items_cap) = value;
}

static void add_text(struct config *config, const struct config_place *place, struct str text)
{
	struct node *root = yaml_read(config, place, text);

	if (node_is_null(root))
		return;
	if (root->type != NODE_MAP) {
		config_raise(config, &root->place, CONFIG_ERROR,
			     "The file has to be a map of options: 'server_name: example.org'");
		return;
	}
	for (size_t i = 0; i < root->count; i++)
		add_root_member(config, root->keys[i], root->items[i]);
}

void config_add_text(struct config *config, struct str name, struct str text)
{
	struct config_place place = file_place(config, name);

	add_text(config, &place, text);
}

/* The bytes of a file of at most `max`; false with errno. */
static bool read_file(struct arena *arena, struct str path, size_t max, struct str *ret_text)
{
	CLEANUP(buf_done) struct buf text = buf_init(max);
	int fd = open(str_cstr(arena, path), O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char chunk[4096];
	ssize_t got;

	if (fd < 0)
		return false;
	while ((got = read(fd, chunk, sizeof(chunk))) > 0 && buf_ok(&text))
		buf_append(&text, (struct str){ chunk, (size_t)got });
	close(fd);
	if (!buf_ok(&text))
		errno = EFBIG;
	*ret_text = str_dup(arena, buf_str(&text));
	return got >= 0 && buf_ok(&text);
}

static void add_file(struct config *config, struct str path)
{
	struct config_place place = file_place(config, path);
	struct str text;

	if (read_file(config->arena, path, MAX_FILE, &text))
		add_text(config, &place, text);
	else
		config_raise(config, &place, CONFIG_ERROR, "The file cannot be read: %s", strerror(errno));
}

static int is_yaml(const struct dirent *entry)
{
	struct str name = str_of(entry->d_name);

	return name.len > 5 && name.ptr[0] != '.' && str_ends_with(name, STR(".yaml"));
}

void config_add_file(struct config *config, struct str path)
{
	struct dirent **entries;
	int count = scandir(str_cstr(config->arena, path), &entries, is_yaml, alphasort);

	if (count < 0) { /* no directory, then: whatever else is wrong, opening the file will tell */
		add_file(config, path);
		return;
	}
	if (count == 0) {
		struct config_place place = file_place(config, path);

		config_raise(config, &place, CONFIG_ERROR, "The directory has no *.yaml");
	}
	for (int i = 0; i < count; i++) {
		add_file(config, str_printf(config->arena, "%.*s/%s", STR_ARG(path), entries[i]->d_name));
		free(entries[i]);
	}
	free(entries);
}

/* Values */

static void *member(const struct scope *scope, const struct config_option *option)
{
	return (char *)scope->out + option->offset;
}

static bool wrong(const struct scope *scope, const struct config_option *option, const struct node *node,
		  const char *what)
{
	return config_raise(scope->config, &node->place, CONFIG_ERROR, "'%.*s%s' must be %s", STR_ARG(scope->label),
			    option->path, what);
}

static bool read_string(const struct scope *scope, const struct config_option *option, const struct node *node,
			struct str *out)
{
	if (node->type != NODE_SCALAR)
		return wrong(scope, option, node, "a text");
	if (memchr(node->text.ptr, 0, node->text.len))
		return wrong(scope, option, node, "a text without NUL");
	*out = node->text;
	if (option->type == CONFIG_PATH && out->len)
		*out = absolute(scope->config->arena, node->place.folder, *out);
	return true;
}

static bool read_bool(const struct scope *scope, const struct config_option *option, const struct node *node, bool *out)
{
	return (node->type == NODE_SCALAR && config_bool(node->text, out)) ||
	       wrong(scope, option, node, "true or false");
}

static bool in_range(const struct scope *scope, const struct config_option *option, const struct node *node,
		     int64_t value, int64_t *out)
{
	char what[96];

	if (value >= option->min && (!option->max || value <= option->max)) {
		*out = value;
		return true;
	}
	if (option->max)
		snprintf(what, sizeof(what), "from %" PRId64 " to %" PRId64, option->min, option->max);
	else
		snprintf(what, sizeof(what), "%" PRId64 " or more", option->min);
	return wrong(scope, option, node, what);
}

static bool read_number(const struct scope *scope, const struct config_option *option, const struct node *node,
			int64_t *out)
{
	static const struct {
		bool (*parse)(struct str text, int64_t *ret_value);
		const char *what;
	} kinds[] = {
		[CONFIG_INT] = { yaml_integer, "a whole number" },
		[CONFIG_DURATION] = { config_duration, "a duration: a number of milliseconds, or a number followed by "
						       "s, m, h, d, w or y" },
		[CONFIG_SIZE] = { config_size, "a size: a number of bytes, or a number followed by K, M, G or T" },
	};
	int64_t value;

	if (node_is_null(node) && option->flags & CONFIG_NULL_IS_FOREVER) {
		*out = CONFIG_FOREVER;
		return true;
	}
	if (node->type != NODE_SCALAR || !kinds[option->type].parse(node->text, &value))
		return wrong(scope, option, node, kinds[option->type].what);
	return in_range(scope, option, node, value, out);
}

/* Octal however it is written: 660, 0660, 0o660. */
static bool read_mode(const struct scope *scope, const struct config_option *option, const struct node *node,
		      int64_t *out)
{
	struct str digits = str_from(node->text, str_starts_with(node->text, STR("0o")) ? 2 : 0);
	int64_t mode = 0;

	for (size_t i = 0; i < digits.len && mode <= 0777; i++)
		mode = digits.ptr[i] >= '0' && digits.ptr[i] <= '7' ? mode * 8 + (digits.ptr[i] - '0') : 01000;
	if (node->type != NODE_SCALAR || digits.len == 0 || mode > 0777)
		return wrong(scope, option, node, "octal permissions such as 660");
	*out = mode;
	return true;
}

/* `off` is a boolean to YAML, and a choice to us. */
static bool is_choice(const struct node *node, struct str choice)
{
	bool said, meant;

	if (node->type != NODE_SCALAR)
		return false;
	return str_eq(node->text, choice) ||
	       (node->plain && config_bool(node->text, &said) && config_bool(choice, &meant) && said == meant);
}

static bool read_enum(const struct scope *scope, const struct config_option *option, const struct node *node, int *out)
{
	CLEANUP(buf_done) struct buf what = buf_init(512);

	BUF_LIT(&what, "one of");
	for (int i = 0; option->choices[i]; i++) {
		if (is_choice(node, str_of(option->choices[i]))) {
			*out = i;
			return true;
		}
		buf_printf(&what, "%s %s", i ? "," : "", option->choices[i]);
	}
	return wrong(scope, option, node, str_cstr(scope->config->arena, buf_str(&what)));
}

static bool read_rate(const struct scope *scope, const struct config_option *option, const struct node *node,
		      struct config_rate *out)
{
	if (node->type != NODE_MAP)
		return wrong(scope, option, node, "a map of per_second and burst_count");
	for (size_t i = 0; i < node->count; i++) {
		struct str key = node->keys[i]->text;
		const struct node *value = node->items[i];
		double number;

		if (!str_eq(key, STR("per_second")) && !str_eq(key, STR("burst_count"))) {
			config_raise(scope->config, &node->keys[i]->place, CONFIG_WARNING,
				     "Unknown option '%.*s%s.%.*s'", STR_ARG(scope->label), option->path, STR_ARG(key));
			continue;
		}
		if (node_is_null(value))
			continue;
		if (value->type != NODE_SCALAR || !yaml_number(value->text, &number) || number < 0)
			return wrong(scope, option, value, "numbers of 0 or more");
		*(str_eq(key, STR("per_second")) ? &out->per_second : &out->burst_count) = number;
	}
	return true;
}

static bool read_strings(const struct scope *scope, const struct config_option *option, const struct node *node,
			 struct config_strings *out)
{
	bool single = node->type == NODE_SCALAR;
	size_t count = single ? 1 : node->count;
	struct str *items;

	if (node->type == NODE_MAP || count > MAX_ITEMS)
		return wrong(scope, option, node, "a list of texts");
	items = ARENA_ARRAY(scope->config->arena, count, struct str);
	for (size_t i = 0; i < count; i++) {
		if (!read_string(scope, option, single ? node : node->items[i], &items[i]))
			return false;
	}
	*out = (struct config_strings){ items, count };
	return true;
}

static bool read_json(const struct scope *scope, const struct config_option *option, const struct node *node,
		      struct str *out)
{
	CLEANUP(buf_done) struct buf buf = buf_init(MAX_JSON_TEXT);

	if (!node_json(node, &buf))
		return wrong(scope, option, node, "smaller");
	*out = str_dup(scope->config->arena, buf_str(&buf));
	return true;
}

static bool read_scope(struct scope *scope, const struct node *map);

struct array {
	void *items;
	size_t count;
};
static_assert(sizeof(struct array) == sizeof(CONFIG_ARRAY_OF(int)), "read_items writes what CONFIG_ARRAY_OF declares");

static bool read_item(const struct scope *scope, const struct config_option *option, const struct node *node,
		      size_t index, void *out)
{
	bool is_map = option->type == CONFIG_MAP;
	const struct node *item = node->items[index];
	struct scope inner = { .config = scope->config, .table = option->items, .out = out };

	if (is_map) {
		inner.label = str_printf(scope->config->arena, "%.*s%s.%.*s.", STR_ARG(scope->label), option->path,
					 STR_ARG(node->keys[index]->text));
		*(struct str *)out = node->keys[index]->text;
	} else {
		inner.label =
			str_printf(scope->config->arena, "%.*s%s[%zu].", STR_ARG(scope->label), option->path, index);
	}
	if (item->type != NODE_MAP)
		return wrong(scope, option, item, is_map ? "a map of maps" : "a list of maps");
	if (!read_scope(&inner, item))
		return false;
	if (option->check)
		option->check(scope->config, &item->place, out);
	return true;
}

static bool read_items(const struct scope *scope, const struct config_option *option, const struct node *node,
		       struct array *out)
{
	struct array array = { 0 };
	bool ok = true;

	if (node->type != (option->type == CONFIG_MAP ? NODE_MAP : NODE_LIST) || node->count > MAX_ITEMS)
		return wrong(scope, option, node, option->type == CONFIG_MAP ? "a map of maps" : "a list of maps");
	array.items = arena_array(scope->config->arena, node->count, option->item_size);
	array.count = node->count;
	for (size_t i = 0; i < node->count; i++)
		ok &= read_item(scope, option, node, i, (char *)array.items + i * option->item_size);
	*out = array;
	return ok;
}

static bool read_typed(const struct scope *scope, const struct config_option *option, const struct node *node)
{
	switch (option->type) {
	case CONFIG_SECTION:
	case CONFIG_UNUSED:
		return false;
	case CONFIG_STRING:
	case CONFIG_PATH:
	case CONFIG_SECRET:
		return read_string(scope, option, node, member(scope, option));
	case CONFIG_BOOL:
		return read_bool(scope, option, node, member(scope, option));
	case CONFIG_INT:
	case CONFIG_DURATION:
	case CONFIG_SIZE:
		return read_number(scope, option, node, member(scope, option));
	case CONFIG_MODE:
		return read_mode(scope, option, node, member(scope, option));
	case CONFIG_ENUM:
		return read_enum(scope, option, node, member(scope, option));
	case CONFIG_RATE:
		return read_rate(scope, option, node, member(scope, option));
	case CONFIG_STRINGS:
		return read_strings(scope, option, node, member(scope, option));
	case CONFIG_LIST:
	case CONFIG_MAP:
		return read_items(scope, option, node, member(scope, option));
	case CONFIG_JSON:
		return read_json(scope, option, node, member(scope, option));
	}
	return false;
}

/* Tables */

/* Options that are not used may be named by what they begin with: `worker_*`. */
static bool matches(const struct config_option *option, struct str path)
{
	struct str name = str_of(option->path);

	if (option->type == CONFIG_UNUSED && str_ends_with(name, STR("*")))
		return str_starts_with(path, str_sub(name, 0, name.len - 1));
	return option->path && str_eq(path, name);
}

static const struct config_option *find_option(const struct config_option *table, struct str path)
{
	for (; table->path || table->doc; table++) {
		if (matches(table, path))
			return table;
	}
	return NULL;
}

/* `x`, given `x_path`. */
static const struct config_option *find_secret_of(const struct config_option *table, struct str path)
{
	const struct config_option *option;

	if (!str_ends_with(path, STR("_path")))
		return NULL;
	option = find_option(table, str_sub(path, 0, path.len - 5));
	return option && option->type == CONFIG_SECRET ? option : NULL;
}

static bool is_group(const struct config_option *table, struct str path)
{
	for (; table->path || table->doc; table++) {
		struct str other = str_of(table->path);

		if (other.len > path.len && str_starts_with(other, path) && other.ptr[path.len] == '.')
			return true;
	}
	return false;
}

static void mark_given(struct scope *scope, const struct config_option *option, const struct node *key, const struct node *node)
{
	struct config *config = scope->config;

	scope->given[option - scope->table] = true;
	if (scope->is_root)
		*ARENA_PUSH(config->arena, config->given, config->given_count, config->given_cap) =
			(struct given){ option->path, key->place, node };
}

static void read_value(struct scope *scope, const struct config_option *option, const struct node *key,
		       const struct node *node)
{
	if (option->type == CONFIG_UNUSED)
		config_raise(scope->config, &key->place, option->flags & CONFIG_WARN ? CONFIG_WARNING : CONFIG_INFO,
			     "'%.*s%.*s' is not used here: %s", STR_ARG(scope->label), STR_ARG(key->text), option->doc);
	if (option->type == CONFIG_UNUSED || (node_is_null(node) && !(option->flags & CONFIG_NULL_IS_FOREVER)))
		return; /* `old_signing_keys:` and nothing: as if it were not there */
	mark_given(scope, option, key, node);
	if (read_typed(scope, option, node) && option->check && !option->items)
		option->check(scope->config, &node->place, member(scope, option));
}

static bool create_secret(struct config *config, struct str path, struct str *ret_secret)
{
	struct str secret = random_string(config->arena, SECRET_LENGTH);
	struct str line = str_concat(config->arena, secret, STR("\n"));
	int fd = open(str_cstr(config->arena, path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, line.ptr, line.len) == (ssize_t)line.len && fsync(fd) == 0;
	ok &= close(fd) == 0;
	*ret_secret = secret;
	return ok;
}

static void read_secret_file(struct scope *scope, const struct config_option *option, const struct node *key,
			     const struct node *node)
{
	struct config *config = scope->config;
	struct str path, text = { 0 };

	if (node_is_null(node))
		return;
	if (scope->given[option - scope->table]) {
		config_raise(config, &key->place, CONFIG_ERROR, "'%.*s%s' and '%s_path' are both given",
			     STR_ARG(scope->label), option->path, option->path);
		return;
	}
	mark_given(scope, option, key, node);
	if (node->type != NODE_SCALAR || !node->text.len || memchr(node->text.ptr, 0, node->text.len)) {
		config_raise(config, &node->place, CONFIG_ERROR, "'%.*s%s_path' must be a path", STR_ARG(scope->label),
			     option->path);
		return;
	}
	path = absolute(config->arena, node->place.folder, node->text);
	if (!read_file(config->arena, path, MAX_SECRET, &text)) {
		if (errno == ENOENT && option->flags & CONFIG_CREATE && !config->may_create)
			return;
		if (errno != ENOENT || !(option->flags & CONFIG_CREATE) || !create_secret(config, path, &text)) {
			config_raise(config, &node->place, CONFIG_ERROR, "The secret file %.*s cannot be read: %s",
				     STR_ARG(path), strerror(errno));
			return;
		}
	}
	text = str_trim(text);
	if (!text.len || memchr(text.ptr, 0, text.len))
		config_raise(config, &node->place, CONFIG_ERROR, "The secret file %.*s holds no text", STR_ARG(path));
	*(struct str *)member(scope, option) = text;
}

static void read_map(struct scope *scope, struct str prefix, const struct node *map);

static void read_member(struct scope *scope, struct str path, const struct node *key, const struct node *node)
{
	const struct config_option *option = find_option(scope->table, path), *secret;

	if (option) {
		if (scope->given[option - scope->table])
			config_raise(scope->config, &key->place, CONFIG_ERROR, "'%.*s%s' and '%s_path' are both given",
				     STR_ARG(scope->label), option->path, option->path);
		else
			read_value(scope, option, key, node);
	} else if ((secret = find_secret_of(scope->table, path))) {
		read_secret_file(scope, secret, key, node);
	} else if (!is_group(scope->table, path)) {
		config_raise(scope->config, &key->place, CONFIG_WARNING, "Unknown option '%.*s%.*s'",
			     STR_ARG(scope->label), STR_ARG(path));
	} else if (node->type == NODE_MAP) {
		read_map(scope, path, node);
	} else if (!node_is_null(node)) {
		config_raise(scope->config, &node->place, CONFIG_ERROR, "'%.*s%.*s' must be a map",
			     STR_ARG(scope->label), STR_ARG(path));
	}
}

static void read_map(struct scope *scope, struct str prefix, const struct node *map)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct node *key = map->keys[i];
		struct str path =
			prefix.len ? str_printf(scope->config->arena, "%.*s.%.*s", STR_ARG(prefix), STR_ARG(key->text))
				   : key->text;

		if (str_find_char(key->text, '.') >= 0 ||
		    memchr(key->text.ptr, 0, key->text.len)) /* not a path, though it may look like one */
			config_raise(scope->config, &key->place, CONFIG_WARNING, "Unknown option '%.*s%.*s'",
				     STR_ARG(scope->label), STR_ARG(path));
		else
			read_member(scope, path, key, map->items[i]);
	}
}

/* A default that does not read is our mistake. */
static void apply_default(const struct scope *scope, const struct config_option *option)
{
	size_t errors = scope->config->errors;
	struct node *node;

	if (!option->fallback)
		return;
	node = yaml_read(scope->config, &scope->config->first, str_of(option->fallback));
	if (!node_is_null(node) || option->flags & CONFIG_NULL_IS_FOREVER)
		read_typed(scope, option, node);
	assert(scope->config->errors == errors);
}

static bool read_scope(struct scope *scope, const struct node *map)
{
	size_t errors = scope->config->errors, count = 0;

	for (const struct config_option *option = scope->table; option->path || option->doc; option++, count++) {
		if (option->path)
			apply_default(scope, option);
	}
	scope->given = ARENA_ARRAY(scope->config->arena, count, bool);
	read_map(scope, STR(""), map);
	for (const struct config_option *option = scope->table; option->path || option->doc; option++) {
		if (option->flags & CONFIG_REQUIRED && !scope->given[option - scope->table])
			config_raise(scope->config, scope->is_root ? &scope->config->first : &map->place, CONFIG_ERROR,
				     "'%.*s%s' is missing", STR_ARG(scope->label), option->path);
	}
	return scope->config->errors == errors;
}

bool config_read(struct config *config, const struct config_option *table, void *out)
{
	struct scope scope = { .config = config, .table = table, .is_root = true, .out = out };

	read_scope(&scope, config->root);
	return config_ok(config);
}

static const struct given *find_given(const struct config *config, const char *path)
{
	assert(path);
	for (size_t i = 0; i < config->given_count; i++) {
		if (strcmp(config->given[i].path, path) == 0)
			return &config->given[i];
	}
	return NULL;
}

bool config_given(const struct config *config, const char *path)
{
	return find_given(config, path) != NULL;
}

const struct config_place *config_place(const struct config *config, const char *path)
{
	const struct given *given = find_given(config, path);

	return given ? &given->place : &config->first;
}

const struct config_place *config_item_place(const struct config *config, const char *path, size_t index)
{
	const struct given *given = find_given(config, path);

	return given && index < given->node->count ? &given->node->items[index]->place : config_place(config, path);
}

/* Reloading */

static size_t value_size(enum config_type type)
{
	static const size_t sizes[] = {
		[CONFIG_STRING] = sizeof(struct str),
		[CONFIG_PATH] = sizeof(struct str),
		[CONFIG_SECRET] = sizeof(struct str),
		[CONFIG_JSON] = sizeof(struct str),
		[CONFIG_BOOL] = sizeof(bool),
		[CONFIG_INT] = sizeof(int64_t),
		[CONFIG_DURATION] = sizeof(int64_t),
		[CONFIG_SIZE] = sizeof(int64_t),
		[CONFIG_MODE] = sizeof(int64_t),
		[CONFIG_ENUM] = sizeof(int),
		[CONFIG_RATE] = sizeof(struct config_rate),
		[CONFIG_STRINGS] = sizeof(struct config_strings),
		[CONFIG_LIST] = sizeof(struct array),
		[CONFIG_MAP] = sizeof(struct array),
	};

	return (size_t)type < ARRAY_LEN(sizes) ? sizes[type] : 0;
}

static bool strings_equal(const struct config_strings *a, const struct config_strings *b)
{
	for (size_t i = 0; a->count == b->count && i < a->count; i++) {
		if (!str_eq(a->items[i], b->items[i]))
			return false;
	}
	return a->count == b->count;
}

static bool value_equal(const struct config_option *option, const void *a, const void *b);

static bool items_equal(const struct config_option *option, const struct array *a, const struct array *b)
{
	bool equal = a->count == b->count;

	for (size_t i = 0; equal && i < a->count; i++) {
		const char *left = (const char *)a->items + i * option->item_size,
			   *right = (const char *)b->items + i * option->item_size;

		if (option->type == CONFIG_MAP)
			equal = str_eq(*(const struct str *)left, *(const struct str *)right);
		for (const struct config_option *inner = option->items; equal && (inner->path || inner->doc); inner++)
			equal = value_equal(inner, left + inner->offset, right + inner->offset);
	}
	return equal;
}

static bool value_equal(const struct config_option *option, const void *a, const void *b)
{
	switch (option->type) {
	case CONFIG_STRING:
	case CONFIG_PATH:
	case CONFIG_SECRET:
	case CONFIG_JSON:
		return str_eq(*(const struct str *)a, *(const struct str *)b);
	case CONFIG_STRINGS:
		return strings_equal(a, b);
	case CONFIG_LIST:
	case CONFIG_MAP:
		return items_equal(option, a, b);
	default:
		return memcmp(a, b, value_size(option->type)) == 0;
	}
}

void config_keep(struct config *config, const struct config_option *table, const void *running, void *fresh)
{
	for (; table->path || table->doc; table++) {
		const void *old = (const char *)running + table->offset;
		void *new = (char *)fresh + table->offset;
		size_t size = value_size(table->type);

		if (size == 0 || table->flags & CONFIG_RELOAD)
			continue;
		if (!value_equal(table, old, new))
			config_raise(config, config_place(config, table->path), CONFIG_WARNING,
				     "A new value of '%s' counts from the next start", table->path);
		memcpy(new, old, size);
	}
}
