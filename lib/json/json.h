/*
 * JSON of requests and responses, on jansson: bounded parsing, field tables, and small helpers for writing. Events have
 * their own reader (matrix/slice.h). jansson's allocations abort rather than fail (json_setup).
 */
#pragma once

#include <jansson.h>

#include "base/base.h"

#define JSON_MAX_DEPTH 64

void json_setup(void); /* once, before any thread */

/*
 * Parses one value of any type; *ret_json joins the arena. M_NOT_JSON: not JSON, bad UTF-8, deeper than JSON_MAX_DEPTH,
 * a NUL inside a key. M_BAD_JSON: an integer beyond 64 bits, a real beyond a double. Of equal keys the last one counts.
 */
MUST_USE bool json_parse(struct str text, struct arena *arena, json_t **ret_json, struct err *err);

enum json_field_type {
	JSON_FIELD_STR,    /* struct str without NUL bytes (no database column takes them); a view into the json_t */
	JSON_FIELD_INT,    /* int64_t within ±(2^53−1) */
	JSON_FIELD_BOOL,   /* bool */
	JSON_FIELD_OBJECT, /* json_t *, borrowed */
	JSON_FIELD_ARRAY,  /* json_t *, borrowed */
	JSON_FIELD_ANY,    /* json_t *, borrowed */
};
enum json_presence { JSON_OPTIONAL, JSON_REQUIRED };

struct json_field {
	const char *name; /* NULL ends the table */
	enum json_field_type type;
	enum json_presence presence;
	size_t offset;
};

/*
 * The type comes from the struct's member: struct str, int64_t, bool, or json_t * (any value; use the _OBJ and _ARR
 * forms to demand one).
 */
#define JSON_FIELD_TYPE(type, member)                                                                                  \
	_Generic(((type *)0)->member,                                                                                  \
		struct str: JSON_FIELD_STR,                                                                            \
		int64_t: JSON_FIELD_INT,                                                                               \
		bool: JSON_FIELD_BOOL,                                                                                 \
		json_t *: JSON_FIELD_ANY)
#define JSON_FIELD_NAMED(type, member, name, presence)                                                                 \
	{                                                                                                              \
		name, JSON_FIELD_TYPE(type, member), presence, offsetof(type, member)                                  \
	}
#define JSON_FIELD(type, member, presence) JSON_FIELD_NAMED(type, member, #member, presence)
#define JSON_FIELD_OBJ(type, member, presence)                                                                         \
	{                                                                                                              \
#member, JSON_FIELD_OBJECT, presence, offsetof(type, member)                                           \
	}
#define JSON_FIELD_ARR(type, member, presence)                                                                         \
	{                                                                                                              \
#member, JSON_FIELD_ARRAY, presence, offsetof(type, member)                                            \
	}

/*
 * Reads an object into a struct by its table. Absent optional members (and explicit nulls) leave the struct as it was.
 * M_BAD_JSON: no object, or a member of another type; M_MISSING_PARAM: a required one is absent. The message names the
 * member. A required JSON_FIELD_ANY may be null.
 */
MUST_USE bool json_read(const json_t *object, const struct json_field *fields, void *out, struct err *err);

/* json_t's strings as views. */
struct str json_str(const json_t *string); /* no string: empty */
struct str json_get_str(const json_t *object, const char *key);
json_t *json_new_str(struct str text); /* text is valid UTF-8 */

/* Compact JSON text, in the arena. */
struct str json_text(const json_t *json, struct arena *arena);
/* The same with its members in the order of their keys' code points, for what is compared or signed. */
struct str json_text_sorted(const json_t *json, struct arena *arena);
/* The same at the end of a buffer, and a JSON string with its quotes (text is valid UTF-8). */
void json_write(struct buf *buf, const json_t *json);
void json_write_str(struct buf *buf, struct str text);
