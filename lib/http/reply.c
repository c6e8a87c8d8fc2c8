/* Answers. A worker builds the whole response, headers and all; the I/O thread only queues it. */
#include <unistd.h>

#include "base/utf8.h"
#include "http/internal.h"

struct header_line {
	struct header_line *next;
	const char *name, *value;
};

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
	(void)MHD_add_response_header(response, name, value); /* refuses control characters */
}

/* Client-server API, "Web Browser Clients". */
static void add_cors(struct MHD_Response *response)
{
	add_header(response, "Access-Control-Allow-Origin", "*");
	add_header(response, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");
	add_header(response, "Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization, Date");
}

struct MHD_Response *preflight_response(void)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);

	assert(response);
	add_cors(response);
	add_header(response, "Access-Control-Max-Age", "86400");
	return response;
}

bool err_stopping(struct err *err)
{
	err_status(err, 503, M_UNKNOWN, "The server is stopping");
	err->retry_after_ms = 2000;
	return false;
}

static bool answer(struct call *call, int status, struct MHD_Response *response, uint64_t bytes)
{
	struct exchange *ex = call->ex;
	const struct route *route = call->req.route;

	assert(response && !ex->response && !call->parked);
	if (!route || !(route->flags & ROUTE_NO_CORS))
		add_cors(response);
	for (const struct header_line *line = call->headers; line; line = line->next)
		add_header(response, line->name, line->value);
	if (exchange_http(ex)->stopping)
		add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	ex->response = response;
	ex->status = (unsigned)status;
	call->bytes = bytes;
	return true;
}

void reply_header(struct request *req, const char *name, struct str value)
{
	struct header_line *line = ARENA_NEW(req->arena, struct header_line);
	struct header_line **end = &call_of(req)->headers;

	if (str_find_char(value, 0) >= 0)
		return;
	*line = (struct header_line){ .name = name, .value = str_cstr(req->arena, value) };
	while (*end)
		end = &(*end)->next;
	*end = line;
}

bool reply_buf(struct request *req, int status, const char *content_type, struct buf *buf)
{
	size_t len;
	char *bytes = buf_take(buf, &len);
	struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback(len, bytes, free);

	assert(response);
	add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
	return answer(call_of(req), status, response, len);
}

bool reply_text(struct request *req, int status, struct str content_type, struct str text)
{
	struct buf buf = buf_init(text.len);

	buf_append(&buf, text);
	return reply_buf(req, status, str_cstr(req->arena, content_type), &buf);
}

static bool reply_json_buf(struct request *req, int status, struct buf *buf)
{
	return reply_buf(req, status, "application/json", buf);
}

bool reply_json(struct request *req, int status, json_t *json)
{
	struct buf buf = buf_init(SIZE_MAX / 2);

	json_write(&buf, json);
	json_decref(json);
	return reply_json_buf(req, status, &buf);
}

bool reply_empty(struct request *req)
{
	struct buf buf = buf_init(2);

	BUF_LIT(&buf, "{}");
	return reply_json_buf(req, 200, &buf);
}

bool reply_field(struct request *req, const char *name, struct str value)
{
	struct buf buf = buf_init(SIZE_MAX / 2);

	buf_char(&buf, '{');
	json_write_str(&buf, str_of(name));
	buf_char(&buf, ':');
	json_write_str(&buf, value);
	buf_char(&buf, '}');
	return reply_json_buf(req, 200, &buf);
}

/* ---- errors ---- */

/* Where the message's buffer ended, it may have been cut inside a character. */
static struct str message_of(const struct err *err)
{
	struct str message = str_of(err->message);

	for (int i = 0; i < 3 && !utf8_valid(message); i++)
		message.len--;
	return utf8_valid(message) ? message : STR("Error");
}

/* Client-server API, "Standard error response" and "Rate limiting". */
static void write_error(struct buf *buf, const struct err *err)
{
	BUF_LIT(buf, "{\"errcode\":");
	json_write_str(buf, str_of(errcode_name(err->code)));
	BUF_LIT(buf, ",\"error\":");
	json_write_str(buf, message_of(err));
	if (err->extra[0]) {
		buf_char(buf, ',');
		buf_append(buf, str_of(err->extra));
	}
	if (err->retry_after_ms > 0) {
		BUF_LIT(buf, ",\"retry_after_ms\":");
		buf_int(buf, err->retry_after_ms);
	}
	buf_char(buf, '}');
}

bool reply_error(struct request *req, const struct err *err)
{
	struct buf buf = buf_init(4096);
	char seconds[24];

	write_error(&buf, err);
	reply_json_buf(req, err->status, &buf);
	if (err->retry_after_ms > 0) {
		snprintf(seconds, sizeof(seconds), "%" PRId64, (err->retry_after_ms + 999) / 1000);
		add_header(call_of(req)->ex->response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
	}
	return true;
}

/* ---- files ---- */

static struct str header_set(const struct call *call, const char *name)
{
	for (const struct header_line *line = call->headers; line; line = line->next) {
		if (str_eq_ascii_nocase(str_of(line->name), str_of(name)))
			return str_of(line->value);
	}
	return (struct str){ 0 };
}

/* RFC 9110, section 13.1.2: a list of entity tags, compared weakly, or "*". */
static bool etag_listed(struct str list, struct str etag)
{
	struct str one;

	while (str_split(&list, ',', &one)) {
		one = str_trim(one);
		if (str_starts_with(one, STR("W/")))
			one = str_from(one, 2);
		if (str_eq(one, etag) || str_eq(one, STR("*")))
			return true;
	}
	return false;
}

enum range_result { RANGE_WHOLE, RANGE_PART, RANGE_UNSATISFIABLE };

/* RFC 9110, section 14.2: one range of bytes. What is anything else is ignored, as it may be: the whole is sent. */
static enum range_result parse_range(struct str text, uint64_t size, uint64_t *ret_first, uint64_t *ret_last)
{
	const struct str unit = STR("bytes=");
	int64_t first = 0, last = INT64_MAX;
	struct str from, to;
	ptrdiff_t dash;

	if (!str_starts_with(text, unit))
		return RANGE_WHOLE;
	text = str_trim(str_from(text, unit.len));
	dash = str_find_char(text, '-');
	if (dash < 0)
		return RANGE_WHOLE;
	from = str_sub(text, 0, (size_t)dash);
	to = str_from(text, (size_t)dash + 1);
	if ((from.len && !str_to_int64(from, &first)) || (to.len && !str_to_int64(to, &last)) || first < 0 || last < 0)
		return RANGE_WHOLE;
	if (from.len == 0) { /* the last so many */
		if (to.len == 0)
			return RANGE_WHOLE;
		if (last == 0 || size == 0)
			return RANGE_UNSATISFIABLE;
		*ret_first = (uint64_t)last < size ? size - (uint64_t)last : 0;
		*ret_last = size - 1;
		return RANGE_PART;
	}
	if (last < first)
		return RANGE_WHOLE;
	if ((uint64_t)first >= size)
		return RANGE_UNSATISFIABLE;
	*ret_first = (uint64_t)first;
	*ret_last = MIN((uint64_t)last, size - 1);
	return RANGE_PART;
}

static bool reply_unsatisfiable(struct request *req, uint64_t size)
{
	struct err err;

	call_of(req)->headers = NULL; /* they describe the file */
	reply_header(req, MHD_HTTP_HEADER_CONTENT_RANGE, str_printf(req->arena, "bytes */%" PRIu64, size));
	err_status(&err, 416, M_INVALID_PARAM, "The range cannot be satisfied");
	return reply_error(req, &err);
}

static bool reply_part(struct request *req, int status, int fd, uint64_t first, uint64_t len)
{
	struct MHD_Response *response;

	if (len == 0) {
		close(fd);
		response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	} else {
		response = MHD_create_response_from_fd_at_offset64(len, fd, first);
	}
	assert(response);
	add_header(response, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
	return answer(call_of(req), status, response, len);
}

bool reply_file(struct request *req, int fd, uint64_t size)
{
	struct str etag = header_set(call_of(req), MHD_HTTP_HEADER_ETAG);
	struct str if_range = header(req, MHD_HTTP_HEADER_IF_RANGE);
	uint64_t first = 0, last = 0;
	enum range_result range = RANGE_WHOLE;

	if (etag.len && etag_listed(header(req, MHD_HTTP_HEADER_IF_NONE_MATCH), etag))
		return reply_part(req, 304, fd, 0, 0);
	if (!if_range.ptr || str_eq(if_range, etag))
		range = parse_range(header(req, MHD_HTTP_HEADER_RANGE), size, &first, &last);
	if (range == RANGE_UNSATISFIABLE) {
		close(fd);
		return reply_unsatisfiable(req, size);
	}
	if (range == RANGE_WHOLE)
		return reply_part(req, 200, fd, 0, size);
	reply_header(req, MHD_HTTP_HEADER_CONTENT_RANGE,
		     str_printf(req->arena, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, last, size));
	return reply_part(req, 206, fd, first, last - first + 1);
}
