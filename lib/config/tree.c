/*
 * YAML 1.1 as PyYAML's safe loader reads it, for the reason that operators' files were written for that one: aliases,
 * merge keys and the many spellings of booleans included; tags beyond `!!str`, dates and sexagesimal numbers are not
 * interpreted.
 */
#include "config/tree.h"

#include <yaml.h>

#define MAX_DEPTH  32
#define MAX_WEIGHT 200000 /* nodes of a document: a bound for aliases of aliases */
#define STRING_TAG "tag:yaml.org,2002:str"

struct anchor {
	struct anchor *next;
	struct str name;
	struct node *node;
};

struct reader {
	struct config *config;
	struct arena *arena;
	const struct config_place *file;
	struct str text;
	yaml_parser_t parser;
	struct anchor *anchors;
	bool failed;
};

static bool is_one_of(struct str text, const char *const *spellings)
{
	for (; *spellings; spellings++) {
		if (str_eq(text, str_of(*spellings)))
			return true;
	}
	return false;
}

bool config_bool(struct str text, bool *ret_value)
{
	static const char *const yes[] = { "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", NULL };
	static const char *const no[] = { "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", NULL };

	if (is_one_of(text, yes))
		*ret_value = true;
	else if (is_one_of(text, no))
		*ret_value = false;
	else
		return false;
	return true;
}

bool node_is_null(const struct node *node)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };

	return !node || (node->type == NODE_SCALAR && node->plain && is_one_of(node->text, nulls));
}

struct node *node_get(const struct node *map, struct str key)
{
	for (size_t i = 0; map->type == NODE_MAP && i < map->count; i++) {
		if (str_eq(map->keys[i]->text, key))
			return map->items[i];
	}
	return NULL;
}

static struct config_place place_of(const struct reader *reader, const yaml_mark_t *mark)
{
	struct config_place place = *reader->file;

	place.line = mark->line + 1;
	return place;
}

static struct node *fail(struct reader *reader, const yaml_mark_t *mark, const char *what)
{
	struct config_place place = place_of(reader, mark);

	if (!reader->failed)
		config_raise(reader->config, &place, CONFIG_ERROR, "%s", what);
	reader->failed = true;
	return NULL;
}

static size_t count_lines(struct str text)
{
	size_t lines = 0;

	for (size_t i = 0; i < text.len; i++)
		lines += text.ptr[i] == '\n';
	return lines;
}

static bool next_event(struct reader *reader, yaml_event_t *ret_event)
{
	const yaml_parser_t *parser = &reader->parser;
	yaml_mark_t mark;

	if (yaml_parser_parse(&reader->parser, ret_event))
		return true;
	mark = parser->problem_mark;
	if (parser->error == YAML_READER_ERROR) /* a fault of the encoding has no mark, only an offset */
		mark.line = count_lines(str_sub(reader->text, 0, parser->problem_offset));
	fail(reader, &mark, parser->problem ? parser->problem : "This is not YAML");
	return false;
}

static struct str event_text(struct reader *reader, const yaml_char_t *text, size_t len)
{
	return str_dup(reader->arena, (struct str){ (const char *)text, len });
}

static void remember_anchor(struct reader *reader, const yaml_char_t *name, struct node *node)
{
	struct anchor *anchor;

	if (!name)
		return;
	anchor = ARENA_NEW(reader->arena, struct anchor);
	*anchor = (struct anchor){ reader->anchors, event_text(reader, name, strlen((const char *)name)), node };
	reader->anchors = anchor;
}

static struct node *read_alias(struct reader *reader, const yaml_event_t *event)
{
	struct str name = str_of((const char *)event->data.alias.anchor);

	for (struct anchor *anchor = reader->anchors; anchor; anchor = anchor->next) {
		if (str_eq(anchor->name, name))
			return anchor->node;
	}
	return fail(reader, &event->start_mark, "This alias names nothing that stands complete above it");
}

static struct node *read_scalar(struct reader *reader, const yaml_event_t *event)
{
	struct node *node = ARENA_NEW(reader->arena, struct node);

	*node = (struct node){
		.type = NODE_SCALAR,
		.plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
			 !(event->data.scalar.tag && strcmp((const char *)event->data.scalar.tag, STRING_TAG) == 0),
		.place = place_of(reader, &event->start_mark),
		.text = event_text(reader, event->data.scalar.value, event->data.scalar.length),
		.weight = 1,
	};
	remember_anchor(reader, event->data.scalar.anchor, node);
	return node;
}

static struct node *read_node(struct reader *reader, unsigned depth, yaml_event_t *event);

/* Adds the weight of a child, and refuses what grows beyond all reason. */
static bool grow(struct reader *reader, struct node *node, const struct node *child, const yaml_mark_t *mark)
{
	node->weight += child->weight;
	return node->weight <= MAX_WEIGHT || fail(reader, mark, "This is too large for a configuration");
}

/* The next node; NULL at the end of the collection or after a fault. */
static struct node *read_child(struct reader *reader, unsigned depth, yaml_mark_t *ret_mark)
{
	struct node *child = NULL;
	yaml_event_t event;

	if (!next_event(reader, &event))
		return NULL;
	*ret_mark = event.start_mark;
	if (event.type != YAML_SEQUENCE_END_EVENT && event.type != YAML_MAPPING_END_EVENT)
		child = read_node(reader, depth, &event);
	yaml_event_delete(&event);
	return child;
}

static void read_list(struct reader *reader, unsigned depth, struct node *list)
{
	struct node *item;
	yaml_mark_t mark;

	while ((item = read_child(reader, depth, &mark)) && grow(reader, list, item, &mark))
		*ARENA_PUSH(reader->arena, list->items, list->count, list->items_cap) = item;
}

/* A map while it is read: `keys` finds the key of a name. */
struct map_reader {
	struct reader *reader;
	struct node *map;
	struct map keys;
};

static void map_add(struct map_reader *into, struct node *key, struct node *value)
{
	struct node *map = into->map;
	size_t keys = map->count;

	key->index = keys;
	*ARENA_PUSH(into->reader->arena, map->keys, keys, map->keys_cap) = key;
	*ARENA_PUSH(into->reader->arena, map->items, map->count, map->items_cap) = value;
	map_put(&into->keys, key->text, key);
}

/* Somebody who repeats an option by mistake does not see that only one counts. */
static void map_replace(struct map_reader *into, size_t index, struct node *key, struct node *value)
{
	config_raise(into->reader->config, &key->place, CONFIG_WARNING,
		     "'%.*s' stands here a second time (first in line %zu); this one counts", STR_ARG(key->text),
		     into->map->keys[index]->place.line);
	key->index = index;
	into->map->keys[index] = key;
	map_put(&into->keys, key->text, key);
	into->map->items[index] = value;
}

/* `<<: *other`: the members of another map, or of several, that this one does not have itself. */
static void map_merge(struct map_reader *into, const struct node *from)
{
	for (size_t i = 0; from->type == NODE_LIST && i < from->count; i++) {
		if (from->items[i]->type == NODE_MAP)
			map_merge(into, from->items[i]);
	}
	for (size_t i = 0; from->type == NODE_MAP && i < from->count; i++) {
		if (!map_get(&into->keys, from->keys[i]->text))
			map_add(into, from->keys[i], from->items[i]);
	}
}

/* An alias may be the key of several maps, and have another place in each. */
static struct node *copy_of(struct reader *reader, const struct node *node)
{
	struct node *copy = ARENA_NEW(reader->arena, struct node);

	*copy = *node;
	return copy;
}

static bool read_member(struct map_reader *into, unsigned depth, struct node **merged)
{
	struct reader *reader = into->reader;
	struct node *key, *value;
	const struct node *before;
	yaml_mark_t mark;

	if (!(key = read_child(reader, depth, &mark)) || !grow(reader, into->map, key, &mark))
		return false;
	if (key->type != NODE_SCALAR)
		return fail(reader, &mark, "A key is a plain word here, no list and no map");
	key = copy_of(reader, key);
	if (!(value = read_child(reader, depth, &mark)) || !grow(reader, into->map, value, &mark))
		return false;
	before = map_get(&into->keys, key->text);
	if (key->plain && str_eq(key->text, STR("<<")))
		*merged = value;
	else if (before)
		map_replace(into, before->index, key, value);
	else
		map_add(into, key, value);
	return true;
}

static void read_map(struct reader *reader, unsigned depth, struct node *map)
{
	struct map_reader into = { .reader = reader, .map = map };
	struct node *merged = NULL;

	while (read_member(&into, depth, &merged))
		;
	if (merged && !reader->failed)
		map_merge(&into, merged);
	map_done(&into.keys);
}

static struct node *read_collection(struct reader *reader, unsigned depth, const yaml_event_t *event)
{
	bool is_map = event->type == YAML_MAPPING_START_EVENT;
	struct node *node;

	if (depth >= MAX_DEPTH)
		return fail(reader, &event->start_mark, "This is nested too deeply");
	node = ARENA_NEW(reader->arena, struct node);
	*node = (struct node){ .type = is_map ? NODE_MAP : NODE_LIST,
			       .place = place_of(reader, &event->start_mark),
			       .weight = 1 };
	if (is_map)
		read_map(reader, depth + 1, node);
	else
		read_list(reader, depth + 1, node);
	if (reader->failed)
		return NULL;
	remember_anchor(reader, is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor, node);
	return node;
}

static struct node *read_node(struct reader *reader, unsigned depth, yaml_event_t *event)
{
	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return read_alias(reader, event);
	case YAML_SCALAR_EVENT:
		return read_scalar(reader, event);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return read_collection(reader, depth, event);
	default:
		return fail(reader, &event->start_mark, "This is not YAML");
	}
}

/* The stream's first document; that there is a second is a fault, since it would be passed over in silence. */
static struct node *read_stream(struct reader *reader)
{
	struct node *root = NULL;
	bool end = false;
	yaml_event_t event;

	while (!end && !reader->failed && next_event(reader, &event)) {
		if (event.type == YAML_DOCUMENT_START_EVENT && root)
			fail(reader, &event.start_mark, "A second document begins here; one file is one document");
		else if (event.type == YAML_STREAM_END_EVENT)
			end = true;
		else if (event.type == YAML_ALIAS_EVENT || event.type == YAML_SCALAR_EVENT ||
			 event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_MAPPING_START_EVENT)
			root = read_node(reader, 0, &event);
		yaml_event_delete(&event);
	}
	return reader->failed ? NULL : root;
}

struct node *yaml_read(struct config *config, const struct config_place *file, struct str text)
{
	struct reader reader = { .config = config, .arena = config_arena(config), .file = file, .text = text };
	struct node *root;

	if (!yaml_parser_initialize(&reader.parser))
		abort();
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)(text.ptr ? text.ptr : ""), text.len);
	root = read_stream(&reader);
	yaml_parser_delete(&reader.parser);
	return root;
}

void tree_write_string(struct str text, struct buf *buf)
{
	buf_char(buf, '"');
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c == '"' || c == '\\')
			buf_char(buf, '\\');
		if (c < 0x20)
			buf_printf(buf, "\\u%04x", c);
		else
			buf_char(buf, (char)c);
	}
	buf_char(buf, '"');
}

static void json_scalar(const struct node *node, struct buf *buf)
{
	int64_t integer;
	double number;
	bool truth;

	if (node_is_null(node))
		BUF_LIT(buf, "null");
	else if (node->plain && config_bool(node->text, &truth))
		buf_append(buf, truth ? STR("true") : STR("false"));
	else if (node->plain && yaml_integer(node->text, &integer))
		buf_int(buf, integer);
	else if (node->plain && yaml_float(node->text, &number))
		buf_printf(buf, "%.17g", number);
	else
		tree_write_string(node->text, buf);
}

bool node_json(const struct node *node, struct buf *buf)
{
	bool is_map = node->type == NODE_MAP;

	if (node->type == NODE_SCALAR) {
		json_scalar(node, buf);
		return buf_ok(buf);
	}
	buf_char(buf, is_map ? '{' : '[');
	for (size_t i = 0; i < node->count && buf_ok(buf); i++) {
		if (i)
			buf_char(buf, ',');
		if (is_map) {
			tree_write_string(node->keys[i]->text, buf);
			buf_char(buf, ':');
		}
		node_json(node->items[i], buf);
	}
	buf_char(buf, is_map ? '}' : ']');
	return buf_ok(buf);
}
