/*
 * JSON without a tree: one strict pass over foreign bytes checks them, and values are then read as slices of those
 * bytes. Used for events, whose exact bytes matter (hashes, signatures, old room versions' numbers); request bodies go
 * through jansson (lib/json).
 *
 * A slice is the exact text of one value, without white space around it. All functions but slice_parse expect bytes
 * that slice_parse has accepted: they cannot fail in other ways than "not that type" or "not there". Slices point into
 * the parsed bytes.
 */
#pragma once

#include "base/base.h"

/* Arrays and objects within each other: as many as Synapse takes, so that no room parts over an event too deep. */
#define SLICE_MAX_DEPTH 127

/* Checks `text`: one JSON value in UTF-8, within SLICE_MAX_DEPTH, no key twice, no lone surrogates. M_NOT_JSON. */
bool slice_parse(struct str text, struct str *ret_value, struct err *err);

enum slice_type { SLICE_NULL, SLICE_BOOL, SLICE_NUMBER, SLICE_STRING, SLICE_ARRAY, SLICE_OBJECT };
enum slice_type slice_type(struct str value);

/* The member of an object (keys are compared unescaped). false: no object, or no such member. */
bool slice_get(struct str object, struct str key, struct str *ret_value);
/* Several members in one pass: ret_values[i] of keys[i], empty where there is none. */
void slice_get_many(struct str object, const struct str *keys, size_t count, struct str *ret_values);
/* Along a path of keys: slice_path(pdu, &v, STR("content"), STR("m.relates_to")). */
#define slice_path(object, ret_value, ...)                                                                             \
	slice_path_n((object), (const struct str[]){ __VA_ARGS__ },                                                    \
		     sizeof((const struct str[]){ __VA_ARGS__ }) / sizeof(struct str), (ret_value))
bool slice_path_n(struct str object, const struct str *keys, size_t count, struct str *ret_value);

/* A string's value, unescaped into the arena only where it has escapes. false: no string. */
bool slice_string(struct str value, struct arena *arena, struct str *ret_text);
bool slice_get_string(struct str object, struct str key, struct arena *arena, struct str *ret_text);
bool slice_string_eq(struct str value, struct str text); /* a string with that value */
/* An integer as canonical JSON has them: no fraction, no exponent, within ±(2^53−1). */
bool slice_int(struct str value, int64_t *ret_value);
bool slice_get_int(struct str object, struct str key, int64_t *ret_value);
bool slice_bool(struct str value, bool *ret_value);
bool slice_get_bool(struct str object, struct str key, bool *ret_value);

/*
 * Iteration: struct slice_iter it = slice_iter(v); while (slice_member(&it, &key, &value)) … ; keys are slices (with
 * their quotes). What is neither array nor object has nothing in it, an array no members, an object no items.
 */
struct slice_iter {
	struct str rest;
	bool object;
};
struct slice_iter slice_iter(struct str array_or_object);
bool slice_member(struct slice_iter *iter, struct str *ret_key, struct str *ret_value);
bool slice_item(struct slice_iter *iter, struct str *ret_value);

/*
 * The next token of *rest, which it leaves: a bracket or brace, or a whole string, number or word; commas and colons
 * are passed over. For those who walk a value to its depth once instead of slicing it level by level. false: nothing is
 * left.
 */
bool slice_token(struct str *rest, struct str *ret_token);

/* Writes `text` as a JSON string, with its quotes, as canonical JSON has it: only what must be is escaped. */
void slice_write_string(struct buf *buf, struct str text);
