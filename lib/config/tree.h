/* Inside lib/config: YAML text as a tree of nodes that know their lines. */
#pragma once

#include "config/config.h"

struct config_place {
	struct str file;
	struct str folder; /* that relative paths count from */
	size_t line;
};

enum node_type { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
	enum node_type type;
	bool plain; /* a scalar without quotes or tag: may be null, a boolean, a number */
	struct config_place place;
	struct str text;     /* of a scalar */
	struct node **keys;  /* of a map: scalars, each once */
	struct node **items; /* of a list, or the values of a map */
	size_t count, keys_cap, items_cap;
	size_t index;  /* of a key: its place in the map that it was read into */
	size_t weight; /* nodes below it and itself, aliases counted as often as they are used */
};

/* The tree of a text; NULL when it is empty, or not YAML, which is a fault then. */
struct node *yaml_read(struct config *config, const struct config_place *file, struct str text);

/* Whether a node is null in one of its spellings; absent nodes are. */
bool node_is_null(const struct node *node);
struct node *node_get(const struct node *map, struct str key);
/* JSON text of a node, by the types of YAML 1.1 (as PyYAML has them). false: it has no JSON form or is too large. */
bool node_json(const struct node *node, struct buf *buf);

void tree_write_string(struct str text, struct buf *buf); /* in quotes */

/* Numbers of YAML 1.1: integers are decimal, 0x…, 0b… or octal with a leading 0; floats need a point, and a sign in the
 * exponent. */
bool yaml_integer(struct str text, int64_t *ret_value);
bool yaml_float(struct str text, double *ret_value);
bool yaml_number(struct str text, double *ret_value); /* one of them */

struct arena *config_arena(struct config *config);
