/* Parameters in PostgreSQL's binary format. Text and bytes stay where they are; numbers and arrays are written into the
 * encoder's buffer. */
#include "internal.h"

#include <endian.h>

/* Of the server's 1 GB message limit: nothing of ours comes near it. */
#define MAX_BYTES  ((size_t)256 * 1024 * 1024)
#define KEEP_BYTES ((size_t)1024 * 1024)

/* The header of a one-dimensional array: dimensions, "has nulls", element type, length, lower bound. An empty one has
 * no dimension. */
#define ARRAY_HEADER       20
#define EMPTY_ARRAY_HEADER 12

/* From the server's catalog/pg_type.dat: these never change. */
enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25, OID_FLOAT8 = 701 };
enum { OID_BOOL_ARRAY = 1000, OID_BYTEA_ARRAY = 1001, OID_TEXT_ARRAY = 1009, OID_INT8_ARRAY = 1016 };

Oid param_oid(enum db_type type)
{
	switch (type) {
	case DB_INT:
		return OID_INT8;
	case DB_BOOL:
		return OID_BOOL;
	case DB_TEXT:
		return OID_TEXT;
	case DB_BYTES:
		return OID_BYTEA;
	case DB_DOUBLE:
		return OID_FLOAT8;
	case DB_INTS:
		return OID_INT8_ARRAY;
	case DB_TEXTS:
		return OID_TEXT_ARRAY;
	case DB_BYTES_ARRAY:
		return OID_BYTEA_ARRAY;
	case DB_BOOLS:
		return OID_BOOL_ARRAY;
	case DB_NULL:
		break;
	}
	return 0; /* the server infers it */
}

static Oid item_oid(enum db_type type)
{
	switch (type) {
	case DB_INTS:
		return OID_INT8;
	case DB_TEXTS:
		return OID_TEXT;
	case DB_BYTES_ARRAY:
		return OID_BYTEA;
	default:
		return OID_BOOL;
	}
}

static bool item_is_null(const struct db_param *param, size_t i)
{
	return param->array.nulls && param->array.nulls[i];
}

static size_t item_size(const struct db_param *param, size_t i)
{
	if (item_is_null(param, i))
		return 0;
	switch (param->type) {
	case DB_INTS:
		return 8;
	case DB_BOOLS:
		return 1;
	default:
		return ((const struct str *)param->array.items)[i].len;
	}
}

/* The bytes that a parameter takes in the buffer; more than MAX_BYTES when it is too large. */
static size_t encoded_size(const struct db_param *param)
{
	size_t size;

	if (param->is_null)
		return 0;
	switch (param->type) {
	case DB_INT:
	case DB_DOUBLE:
		return 8;
	case DB_BOOL:
		return 1;
	case DB_TEXT:
	case DB_BYTES:
	case DB_NULL:
		return 0;
	case DB_INTS:
	case DB_TEXTS:
	case DB_BYTES_ARRAY:
	case DB_BOOLS:
		break;
	}
	if (param->array.count == 0)
		return EMPTY_ARRAY_HEADER;
	size = ARRAY_HEADER;
	for (size_t i = 0; i < param->array.count && size <= MAX_BYTES; i++)
		size += 4 + MIN(item_size(param, i), MAX_BYTES);
	return size;
}

static char *put_bytes(char *at, const void *bytes, size_t len)
{
	if (len)
		memcpy(at, bytes, len);
	return at + len;
}

static char *put_int32(char *at, size_t value)
{
	uint32_t wire = htobe32((uint32_t)value);

	return put_bytes(at, &wire, sizeof(wire));
}

static char *put_int64(char *at, int64_t value)
{
	uint64_t wire = htobe64((uint64_t)value);

	return put_bytes(at, &wire, sizeof(wire));
}

static char *put_double(char *at, double value)
{
	int64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return put_int64(at, bits);
}

static char *put_item(char *at, const struct db_param *param, size_t i)
{
	const struct str *text;

	if (item_is_null(param, i))
		return put_int32(at, UINT32_MAX);
	at = put_int32(at, item_size(param, i));
	switch (param->type) {
	case DB_INTS:
		return put_int64(at, ((const int64_t *)param->array.items)[i]);
	case DB_BOOLS:
		*at = ((const bool *)param->array.items)[i] ? 1 : 0;
		return at + 1;
	default:
		text = (const struct str *)param->array.items + i;
		return put_bytes(at, text->ptr, text->len);
	}
}

static char *put_array(char *at, const struct db_param *param)
{
	at = put_int32(at, param->array.count ? 1 : 0);
	at = put_int32(at, param->array.nulls ? 1 : 0);
	at = put_int32(at, item_oid(param->type));
	if (param->array.count == 0)
		return at;
	at = put_int32(at, param->array.count);
	at = put_int32(at, 1);
	for (size_t i = 0; i < param->array.count; i++)
		at = put_item(at, param, i);
	return at;
}

static char *put_param(char *at, const struct db_param *param)
{
	switch (param->type) {
	case DB_INT:
		return put_int64(at, param->integer);
	case DB_DOUBLE:
		return put_double(at, param->number);
	case DB_BOOL:
		*at = param->boolean ? 1 : 0;
		return at + 1;
	default:
		return put_array(at, param);
	}
}

static void grow(struct encoder *encoder, size_t count, size_t bytes)
{
	if (count > encoder->cap) {
		encoder->values = x_realloc(encoder->values, count * sizeof(*encoder->values));
		encoder->lengths = x_realloc(encoder->lengths, count * sizeof(*encoder->lengths));
		encoder->formats = x_realloc(encoder->formats, count * sizeof(*encoder->formats));
		encoder->types = x_realloc(encoder->types, count * sizeof(*encoder->types));
		for (size_t i = 0; i < count; i++)
			encoder->formats[i] = 1;
		encoder->cap = count;
	}
	if (bytes > encoder->bytes_cap) {
		encoder->bytes_cap = MAX(bytes, encoder->bytes_cap * 2);
		free(encoder->bytes);
		encoder->bytes = x_malloc(encoder->bytes_cap);
	}
}

bool params_encode(struct encoder *encoder, struct db_params params, struct err *err)
{
	size_t total = 0, views = 0;
	char *at;

	for (size_t i = 0; i < params.count; i++) {
		const struct db_param *param = &params.items[i];

		total += encoded_size(param);
		if (param->type == DB_TEXT || param->type == DB_BYTES)
			views += MIN(param->text.len, MAX_BYTES + 1);
		if (total + views > MAX_BYTES)
			return err_internal(err, "the parameters are larger than %zu bytes", MAX_BYTES);
	}
	grow(encoder, params.count, total);
	at = encoder->bytes;
	for (size_t i = 0; i < params.count; i++) {
		const struct db_param *param = &params.items[i];
		char *start = at;

		encoder->values[i] = start;
		encoder->lengths[i] = 0;
		if (param->is_null || param->type == DB_NULL) {
			encoder->values[i] = NULL;
		} else if (param->type == DB_TEXT || param->type == DB_BYTES) {
			encoder->values[i] = param->text.ptr ? param->text.ptr : "";
			encoder->lengths[i] = (int)param->text.len;
		} else {
			at = put_param(at, param);
			encoder->lengths[i] = (int)(at - start);
		}
	}
	return true;
}

void encoder_trim(struct encoder *encoder)
{
	if (encoder->bytes_cap <= KEEP_BYTES)
		return;
	free(encoder->bytes);
	encoder->bytes = NULL;
	encoder->bytes_cap = 0;
}

void encoder_done(struct encoder *encoder)
{
	free(encoder->values);
	free(encoder->lengths);
	free(encoder->formats);
	free(encoder->types);
	free(encoder->bytes);
	*encoder = (struct encoder){ 0 };
}
