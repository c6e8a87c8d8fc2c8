#include "json/json.h"

#define INT_MAX_JSON ((INT64_C(1) << 53) - 1) /* appendices, "Canonical JSON": what every peer can hold exactly */

void json_setup(void)
{
	json_set_alloc_funcs(x_malloc, free);
	json_object_seed(0);
}

/*
 * The depth of nested arrays and objects, judged by their opening brackets alone. jansson's own limit (2,048) is fixed
 * when it is built, and code that walks a value recurses as deep as the value is.
 */
static bool too_deep(struct str text)
{
	size_t depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > JSON_MAX_DEPTH)
				return true;
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		}
	}
	return false;
}

static void decref(void *json)
{
	json_decref(json);
}

bool json_parse(struct str text, struct arena *arena, json_t **ret_json, struct err *err)
{
	json_error_t fault;
	json_t *json;

	if (too_deep(text))
		return err_set(err, M_NOT_JSON, "JSON is nested too deeply");
	json = json_loadb(text.ptr ? text.ptr : "", text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &fault);
	if (!json) {
		if (json_error_code(&fault) == json_error_numeric_overflow)
			return err_set(err, M_BAD_JSON, "A number is out of range");
		return err_set(err, M_NOT_JSON, "Not JSON: at byte %d", fault.position);
	}
	arena_defer(arena, decref, json);
	*ret_json = json;
	return true;
}

static bool wrong_type(const struct json_field *field, const char *wanted, struct err *err)
{
	return err_set(err, M_BAD_JSON, "'%s' must be %s", field->name, wanted);
}

static bool read_str(const struct json_field *field, const json_t *value, struct str *out, struct err *err)
{
	struct str text = json_str(value);

	if (!json_is_string(value))
		return wrong_type(field, "a string", err);
	if (str_find_char(text, 0) >= 0)
		return err_set(err, M_BAD_JSON, "'%s' contains a NUL character", field->name);
	*out = text;
	return true;
}

static bool read_int(const struct json_field *field, const json_t *value, int64_t *out, struct err *err)
{
	int64_t number = json_integer_value(value);

	if (!json_is_integer(value))
		return wrong_type(field, "an integer", err);
	if (number < -INT_MAX_JSON || number > INT_MAX_JSON)
		return err_set(err, M_BAD_JSON, "'%s' is out of range", field->name);
	*out = number;
	return true;
}

static bool read_field(const struct json_field *field, json_t *value, void *out, struct err *err)
{
	switch (field->type) {
	case JSON_FIELD_STR:
		return read_str(field, value, out, err);
	case JSON_FIELD_INT:
		return read_int(field, value, out, err);
	case JSON_FIELD_BOOL:
		if (!json_is_boolean(value))
			return wrong_type(field, "a boolean", err);
		*(bool *)out = json_is_true(value);
		return true;
	case JSON_FIELD_OBJECT:
		if (!json_is_object(value))
			return wrong_type(field, "an object", err);
		break;
	case JSON_FIELD_ARRAY:
		if (!json_is_array(value))
			return wrong_type(field, "an array", err);
		break;
	case JSON_FIELD_ANY:
		break;
	}
	*(json_t **)out = value;
	return true;
}

bool json_read(const json_t *object, const struct json_field *fields, void *out, struct err *err)
{
	if (!json_is_object(object))
		return err_set(err, M_BAD_JSON, "The content must be a JSON object");
	for (const struct json_field *field = fields; field->name; field++) {
		json_t *value = json_object_get(object, field->name);
		bool required = field->presence == JSON_REQUIRED;

		if (json_is_null(value) && !(required && field->type == JSON_FIELD_ANY))
			value = NULL;
		if (!value && required)
			return err_set(err, M_MISSING_PARAM, "Missing '%s'", field->name);
		if (value && !read_field(field, value, (char *)out + field->offset, err))
			return false;
	}
	return true;
}

struct str json_str(const json_t *string)
{
	if (!json_is_string(string))
		return (struct str){ 0 };
	return (struct str){ json_string_value(string), json_string_length(string) };
}

struct str json_get_str(const json_t *object, const char *key)
{
	return json_str(json_object_get(object, key));
}

json_t *json_new_str(struct str text)
{
	json_t *string = json_stringn(text.ptr ? text.ptr : "", text.len);

	assert(string); /* NULL: not UTF-8 */
	return string;
}

static int append_chunk(const char *bytes, size_t len, void *buf)
{
	buf_append(buf, (struct str){ bytes, len });
	return 0;
}

static void write_json(struct buf *buf, const json_t *json, size_t flags)
{
	int failed = json_dump_callback(json, append_chunk, buf, JSON_COMPACT | JSON_ENCODE_ANY | flags);

	assert(failed == 0); /* a value that contains itself */
}

void json_write(struct buf *buf, const json_t *json)
{
	write_json(buf, json, 0);
}

static struct str text_of(const json_t *json, struct arena *arena, size_t flags)
{
	struct buf buf CLEANUP(buf_done) = buf_init(SIZE_MAX / 2);

	write_json(&buf, json, flags);
	return str_dup(arena, buf_str(&buf));
}

struct str json_text(const json_t *json, struct arena *arena)
{
	return text_of(json, arena, 0);
}

struct str json_text_sorted(const json_t *json, struct arena *arena)
{
	return text_of(json, arena, JSON_SORT_KEYS);
}

void json_write_str(struct buf *buf, struct str text)
{
	size_t done = 0;

	buf_char(buf, '"');
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_append(buf, str_sub(text, done, i - done));
		if (c < 0x20)
			buf_printf(buf, "\\u%04x", c);
		else
			buf_append(buf, c == '"' ? STR("\\\"") : STR("\\\\"));
		done = i + 1;
	}
	buf_append(buf, str_from(text, done));
	buf_char(buf, '"');
}
