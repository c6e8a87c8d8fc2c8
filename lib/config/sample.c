/* The commented sample, out of the table. */
#include "config/config.h"
#include "config/tree.h"

#define WIDTH 100

struct writer {
	const struct config_option *table;
	const struct config_setting *set;
	size_t set_count;
	struct buf *buf;
};

static void indent(struct buf *buf, size_t depth)
{
	for (size_t i = 0; i < depth; i++)
		BUF_LIT(buf, "  ");
}

/* Words in lines of comment, broken at blanks. */
static void write_words(struct buf *buf, size_t depth, struct str words)
{
	struct str word;
	size_t column = 0;

	while (str_split(&words, ' ', &word)) {
		if (column && column + 1 + word.len > WIDTH) {
			buf_char(buf, '\n');
			column = 0;
		}
		if (column == 0) {
			indent(buf, depth);
			BUF_LIT(buf, "##");
			column = 2 * depth + 2;
		}
		buf_char(buf, ' ');
		buf_append(buf, word);
		column += 1 + word.len;
	}
	buf_char(buf, '\n');
}

static const struct config_setting *find_setting(const struct writer *writer, const char *path)
{
	assert(path);
	for (size_t i = 0; i < writer->set_count; i++) {
		if (strcmp(writer->set[i].path, path) == 0)
			return &writer->set[i];
	}
	return NULL;
}

/* Whether something is set below `path`, a prefix that ends before a dot. */
static bool group_is_set(const struct writer *writer, struct str path)
{
	for (size_t i = 0; i < writer->set_count; i++) {
		struct str other = str_of(writer->set[i].path);

		if (other.len > path.len && str_starts_with(other, path) && other.ptr[path.len] == '.')
			return true;
	}
	return false;
}

/* The start of a line of the file: a '#' where it is not to count. It goes first, so that the indentation is right
 * without it. */
static void begin_line(struct buf *buf, bool live, size_t depth)
{
	if (!live)
		buf_char(buf, '#');
	indent(buf, depth);
}

/* The heads of the groups that `path` lies in and the option before it did not: `log:` before `log.level`. */
static size_t write_groups(const struct writer *writer, struct str path, struct str previous)
{
	size_t depth = 0;

	for (size_t i = 0, start = 0; i < path.len; i++) {
		struct str group = str_sub(path, 0, i);

		if (path.ptr[i] != '.')
			continue;
		if (!str_starts_with(previous, str_sub(path, 0, i + 1))) {
			begin_line(writer->buf, group_is_set(writer, group), depth);
			buf_append(writer->buf, str_from(group, start));
			BUF_LIT(writer->buf, ":\n");
		}
		start = i + 1;
		depth++;
	}
	return depth;
}

static void write_lines(struct buf *buf, struct str yaml, bool live, size_t depth)
{
	struct str line;

	buf_char(buf, '\n');
	while (str_split(&yaml, '\n', &line)) {
		if (line.len == 0)
			continue;
		begin_line(buf, live, depth);
		buf_append(buf, line);
		buf_char(buf, '\n');
	}
}

static void write_option(const struct writer *writer, const struct config_option *option, struct str previous)
{
	const struct config_setting *setting = find_setting(writer, option->path);
	struct str path = str_of(option->path), name = path;
	struct str yaml = setting ? setting->yaml : str_of(option->example ? option->example : option->fallback);
	size_t depth = write_groups(writer, path, previous);

	for (ptrdiff_t dot; (dot = str_find_char(name, '.')) >= 0;)
		name = str_from(name, (size_t)dot + 1);
	write_words(writer->buf, depth, str_of(option->doc));
	begin_line(writer->buf, setting, depth);
	buf_append(writer->buf, name);
	buf_char(writer->buf, ':');
	if (str_find_char(yaml, '\n') >= 0) {
		write_lines(writer->buf, yaml, setting, depth + 1);
		return;
	}
	if (yaml.len)
		buf_char(writer->buf, ' ');
	buf_append(writer->buf, yaml);
	buf_char(writer->buf, '\n');
}

void config_write_sample(const struct config_option *table, const struct config_setting *set, size_t set_count,
			 struct buf *buf)
{
	struct writer writer = { table, set, set_count, buf };
	struct str previous = { 0 };

	for (const struct config_option *option = table; option->path || option->doc; option++) {
		if (option->type == CONFIG_UNUSED)
			continue;
		if (option->type == CONFIG_SECTION)
			buf_printf(buf, "\n######## %s ########\n", option->doc);
		else {
			if (!str_eq(previous, STR("")) || option != table)
				buf_char(buf, '\n');
			write_option(&writer, option, previous);
			previous = str_of(option->path);
		}
	}
}

/* What reads as a string without quotes, seen strictly: letters and a few signs, led by a letter or a slash, no word of
 * another meaning. */
static bool is_plain(struct str text)
{
	struct node node = { .type = NODE_SCALAR, .plain = true, .text = text };
	bool truth;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/';

		if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_')))
			return false;
	}
	return !node_is_null(&node) && !config_bool(text, &truth);
}

struct str config_quote(struct arena *arena, struct str text)
{
	CLEANUP(buf_done) struct buf buf = buf_init(text.len * 6 + 2);

	if (is_plain(text))
		return text;
	tree_write_string(text, &buf);
	return str_dup(arena, buf_str(&buf));
}
