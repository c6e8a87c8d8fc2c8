/* Results in PostgreSQL's binary format. The types of the columns follow from our own statements: a wrong one is our
 * mistake. */
#include "internal.h"

#include <endian.h>

enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_CHAR = 18,
	OID_NAME = 19,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TEXT = 25
};
enum { OID_JSON = 114, OID_FLOAT8 = 701, OID_BPCHAR = 1042, OID_VARCHAR = 1043 };

struct db_rows {
	PGresult *result;
	int row, count;
};

static void clear(void *result)
{
	PQclear(result);
}

struct db_rows *rows_new(struct arena *arena, PGresult *result)
{
	struct db_rows *rows = ARENA_NEW(arena, struct db_rows);

	*rows = (struct db_rows){ result, -1, PQntuples(result) };
	arena_defer(arena, clear, result);
	return rows;
}

bool db_next(struct db_rows *rows)
{
	if (rows->row + 1 >= rows->count)
		return false;
	rows->row++;
	return true;
}

void db_rewind(struct db_rows *rows)
{
	rows->row = -1;
}

size_t db_row_count(const struct db_rows *rows)
{
	return (size_t)rows->count;
}

int64_t result_affected(PGresult *result)
{
	int64_t count = 0;

	str_to_int64(str_of(PQcmdTuples(result)), &count); /* empty for statements that count nothing */
	return count;
}

int64_t db_affected(const struct db_rows *rows)
{
	return result_affected(rows->result);
}

static struct str field(const struct db_rows *rows, int column)
{
	assert(rows->row >= 0 && column >= 0 && column < PQnfields(rows->result));
	return (struct str){ PQgetvalue(rows->result, rows->row, column),
			     (size_t)PQgetlength(rows->result, rows->row, column) };
}

bool db_is_null(const struct db_rows *rows, int column)
{
	assert(rows->row >= 0 && column >= 0 && column < PQnfields(rows->result));
	return PQgetisnull(rows->result, rows->row, column);
}

static uint32_t get_u32(const char *at)
{
	uint32_t wire;

	memcpy(&wire, at, sizeof(wire));
	return be32toh(wire);
}

static uint64_t get_u64(const char *at)
{
	uint64_t wire;

	memcpy(&wire, at, sizeof(wire));
	return be64toh(wire);
}

static int64_t get_integer(Oid type, struct str value)
{
	uint16_t small;

	switch (type) {
	case OID_INT8:
		assert(value.len == 8);
		return (int64_t)get_u64(value.ptr);
	case OID_INT4:
		assert(value.len == 4);
		return (int32_t)get_u32(value.ptr);
	default:
		assert(type == OID_INT2 && value.len == 2);
		memcpy(&small, value.ptr, sizeof(small));
		return (int16_t)be16toh(small);
	}
}

static bool is_text(Oid type)
{
	switch (type) {
	case OID_BYTEA:
	case OID_CHAR:
	case OID_NAME:
	case OID_TEXT:
	case OID_JSON:
	case OID_BPCHAR:
	case OID_VARCHAR:
		return true;
	default:
		return false;
	}
}

int64_t db_get_int(const struct db_rows *rows, int column)
{
	if (db_is_null(rows, column))
		return 0;
	return get_integer(PQftype(rows->result, column), field(rows, column));
}

bool db_get_bool(const struct db_rows *rows, int column)
{
	if (db_is_null(rows, column))
		return false;
	assert(PQftype(rows->result, column) == OID_BOOL);
	return field(rows, column).ptr[0] != 0;
}

double db_get_double(const struct db_rows *rows, int column)
{
	uint64_t bits;
	double number;

	if (db_is_null(rows, column))
		return 0;
	assert(PQftype(rows->result, column) == OID_FLOAT8);
	bits = get_u64(field(rows, column).ptr);
	memcpy(&number, &bits, sizeof(number));
	return number;
}

struct str db_get_str(const struct db_rows *rows, int column)
{
	if (db_is_null(rows, column))
		return (struct str){ "", 0 };
	assert(is_text(PQftype(rows->result, column)));
	return field(rows, column);
}

/* An array's items, one after the other: dimensions, "has nulls", element type, a length and a lower bound for each
 * dimension, items. */
struct array {
	struct str rest;
	size_t count;
	Oid type;
};

static uint32_t take_u32(struct str *rest)
{
	uint32_t value;

	assert(rest->len >= 4);
	value = get_u32(rest->ptr);
	*rest = str_from(*rest, 4);
	return value;
}

static struct array array_open(const struct db_rows *rows, int column)
{
	struct array array = { 0 };
	uint32_t dimensions;

	if (db_is_null(rows, column))
		return array;
	array.rest = field(rows, column);
	dimensions = take_u32(&array.rest);
	assert(dimensions <= 1);
	take_u32(&array.rest);
	array.type = take_u32(&array.rest);
	if (dimensions == 0)
		return array;
	array.count = take_u32(&array.rest);
	take_u32(&array.rest);
	return array;
}

/* false: NULL. */
static bool array_next(struct array *array, struct str *ret_item)
{
	uint32_t len = take_u32(&array->rest);

	if (len == UINT32_MAX)
		return false;
	assert(len <= array->rest.len);
	*ret_item = str_sub(array->rest, 0, len);
	array->rest = str_from(array->rest, len);
	return true;
}

size_t db_get_ints(const struct db_rows *rows, int column, struct arena *arena, int64_t **ret_items)
{
	struct array array = array_open(rows, column);
	int64_t *items = ARENA_ARRAY(arena, array.count, int64_t);
	struct str item;

	for (size_t i = 0; i < array.count; i++) {
		if (array_next(&array, &item))
			items[i] = get_integer(array.type, item);
	}
	*ret_items = items;
	return array.count;
}

size_t db_get_strs(const struct db_rows *rows, int column, struct arena *arena, struct str **ret_items)
{
	struct array array = array_open(rows, column);
	struct str *items = ARENA_ARRAY(arena, array.count, struct str);

	assert(array.count == 0 || is_text(array.type));
	for (size_t i = 0; i < array.count; i++) {
		if (!array_next(&array, &items[i]))
			items[i] = (struct str){ "", 0 };
	}
	*ret_items = items;
	return array.count;
}
