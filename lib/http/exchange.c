/*
 * libmicrohttpd's callbacks: a request from its first line to its end, in its connection's I/O thread.
 *
 * libmicrohttpd calls for each request: exchange_begin; exchange_step when the headers are in, for each part of the
 * body, and when all has come; exchange_end. A response that is queued before the body has come ends the connection, so
 * errors wait for the body to be dropped, unless it is large or the client waits for 100-continue.
 */
#include "http/internal.h"

#define DRAIN_LIMIT    ((uint64_t)8 * 1024 * 1024)
#define MAX_BODY_BYTES ((size_t)256 * 1024 * 1024) /* of all bodies being collected or waiting for a worker */

struct http *exchange_http(const struct exchange *ex)
{
	return ex->listener->http;
}

/*
 * libmicrohttpd would parse the query string now, into the connection's small memory, and take no more of it where it
 * ends (some 70 `via` parameters). We have our copy: leave it nothing to parse. `target` is in that memory, and not
 * constant.
 */
static void hide_query(const char *target)
{
	char *query = strchr(target, '?');

	if (query && query[1])
		query[1] = 0;
}

static void resolve_alias(const struct http *http, struct exchange *ex)
{
	for (size_t i = 0; i < http->alias_count; i++) {
		const struct http_alias *alias = &http->aliases[i];

		assert(alias->name.len == alias->meant.len);
		if (!str_starts_with(ex->path, alias->name))
			continue;
		memcpy(ex->target + (ex->path.ptr - ex->target), alias->meant.ptr, alias->meant.len);
		return;
	}
}

void *exchange_begin(void *cls UNUSED, const char *target, struct MHD_Connection *connection)
{
	size_t len = target ? strlen(target) : 0;
	struct exchange *ex = x_calloc(1, sizeof(*ex) + len + 1);
	struct http *http;

	memcpy(ex->target, target ? target : "", len);
	if (target)
		hide_query(target);
	ex->connection = connection;
	ex->listener = connection_peer(connection)->listener;
	ex->started_us = clock_mono_us();
	http = exchange_http(ex);
	ex->serial = ++http->serial;
	uri_split((struct str){ ex->target, len }, &ex->path, &ex->query);
	resolve_alias(http, ex);
	return ex;
}

static void drop_response(struct exchange *ex)
{
	if (ex->response && ex->response != exchange_http(ex)->preflight)
		MHD_destroy_response(ex->response);
	ex->response = NULL;
}

void drop_body(struct exchange *ex)
{
	exchange_http(ex)->body_bytes -= ex->body_cap;
	free(ex->body);
	ex->body = NULL;
	ex->body_len = ex->body_cap = 0;
}

/* From now on a stop waits for it: it is being answered. */
static void engage(struct exchange *ex)
{
	if (!ex->engaged)
		exchange_http(ex)->engaged++;
	ex->engaged = true;
}

void exchange_free(struct exchange *ex)
{
	struct http *http = exchange_http(ex);

	bool engaged = ex->engaged;

	drop_response(ex);
	drop_body(ex);
	upload_free(http, ex->upload);
	free(ex);
	if (engaged && --http->engaged == 0 && http->stopping) {
		LOCKED(&http->lock);
		cond_signal(&http->idle);
	}
}

void exchange_end(void *cls UNUSED, struct MHD_Connection *connection UNUSED, void **context,
		  enum MHD_RequestTerminationCode why UNUSED)
{
	struct exchange *ex = *context;

	*context = NULL;
	if (ex && (!ex->upload || upload_closed(ex))) /* else its worker has it, and frees it */
		exchange_free(ex);
}

/* ---- answers ---- */

static enum MHD_Result send_answer(struct exchange *ex)
{
	enum MHD_Result queued = MHD_queue_response(ex->connection, ex->status, ex->response);

	drop_response(ex);
	return queued;
}

static void finished(struct call *call)
{
	const struct http_hooks *hooks = &exchange_http(call->ex)->hooks;

	if (hooks->finished)
		hooks->finished(&call->req, (int)call->ex->status, call->bytes);
}

/* An answer without a worker. */
static void answer_error(struct exchange *ex, const struct err *err)
{
	struct call call;

	engage(ex);
	call_init(&call, ex, NULL);
	reply_error(&call.req, err);
	finished(&call);
}

static void answer_preflight(struct exchange *ex)
{
	struct call call;

	engage(ex);
	ex->response = exchange_http(ex)->preflight;
	ex->status = MHD_HTTP_NO_CONTENT;
	call_init(&call, ex, NULL);
	finished(&call);
}

/* The headers are in and the answer is ready: it goes out after the body, or at once, which ends the connection. */
static enum MHD_Result answer_early(struct exchange *ex)
{
	bool drain = !ex->expects_continue && ex->announced <= DRAIN_LIMIT;

	if (ex->has_body && !drain)
		return send_answer(ex);
	ex->stage = ex->has_body ? STAGE_DRAIN : STAGE_ANSWERED;
	return MHD_YES;
}

/* false: more than we are ready to drop. Nothing can be answered here; the connection ends. */
static enum MHD_Result drain(struct exchange *ex, size_t *size)
{
	ex->drained += *size;
	*size = 0;
	return ex->drained <= DRAIN_LIMIT ? MHD_YES : MHD_NO;
}

/* ---- the headers ---- */

static enum http_method parse_method(struct str name)
{
	static const struct {
		struct str name;
		enum http_method method;
	} methods[] = {
		{ STR_INIT("GET"), HTTP_GET },         { STR_INIT("PUT"), HTTP_PUT },
		{ STR_INIT("POST"), HTTP_POST },       { STR_INIT("DELETE"), HTTP_DELETE },
		{ STR_INIT("HEAD"), HTTP_GET },        { STR_INIT("PATCH"), HTTP_PATCH },
		{ STR_INIT("OPTIONS"), HTTP_OPTIONS },
	};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (str_eq(methods[i].name, name))
			return methods[i].method;
	}
	return 0;
}

struct framing {
	struct str length, encoding;
	unsigned lengths, encodings;
	bool expects_continue, bad_name;
};

static enum MHD_Result read_framing(void *context, enum MHD_ValueKind kind UNUSED, const char *name, size_t name_len,
				    const char *value, size_t value_len)
{
	struct framing *framing = context;
	struct str key = { name, name_len }, text = { value, value_len };

	framing->bad_name |= str_ends_with(key, STR(" ")) || str_ends_with(key, STR("\t"));
	if (str_eq_ascii_nocase(key, STR("Content-Length"))) {
		framing->length = text;
		framing->lengths++;
	} else if (str_eq_ascii_nocase(key, STR("Transfer-Encoding"))) {
		framing->encoding = text;
		framing->encodings++;
	} else if (str_eq_ascii_nocase(key, STR("Expect"))) {
		framing->expects_continue = str_eq_ascii_nocase(text, STR("100-continue"));
	}
	return MHD_YES;
}

/*
 * RFC 9112, section 6.3. libmicrohttpd takes the first Content-Length, and chunks before a length: where the two
 * disagree, a proxy in front may have seen another end of this request, and what follows may not be what it seems. The
 * same where it does not know a header for the space before its colon (section 5.1).
 */
static bool check_framing(struct exchange *ex, struct err *err)
{
	struct framing framing = { 0 };
	int64_t length = 0;

	MHD_get_connection_values_n(ex->connection, MHD_HEADER_KIND, read_framing, &framing);
	if (framing.bad_name || framing.lengths + framing.encodings > 1 ||
	    (framing.lengths && !str_to_int64(framing.length, &length)) ||
	    (framing.encodings && !str_eq_ascii_nocase(framing.encoding, STR("chunked"))))
		return err_status(err, 400, M_UNKNOWN, "The length of the body is not clear");
	ex->has_length = framing.lengths;
	ex->announced = (uint64_t)length;
	ex->has_body = length > 0 || framing.encodings;
	ex->expects_continue = ex->has_body && framing.expects_continue;
	return true;
}

static bool find_route(struct exchange *ex, unsigned *ret_methods, struct err *err)
{
	struct match match;

	if (!uri_valid(ex->path))
		return err_set(err, M_INVALID_PARAM, "The path is not valid percent-encoded UTF-8");
	switch (router_match(exchange_http(ex)->router, ex->method, ex->path, ex->listener->resources, &match)) {
	case MATCH_NONE:
		return err_set(err, M_UNRECOGNIZED, "Unrecognized request");
	case MATCH_METHOD:
		*ret_methods = match.methods;
		return err_status(err, 405, M_UNRECOGNIZED, "Unrecognized request: method not allowed");
	case MATCH_FOUND:
		break;
	}
	ex->route = match.route;
	ex->pool = exchange_http(ex)->pools[match.route->pool];
	for (size_t i = 0; i < match.param_count; i++) {
		ex->params[i].at = (uint16_t)(match.params[i].ptr - ex->target);
		ex->params[i].len = (uint16_t)match.params[i].len;
	}
	return true;
}

static bool admit(struct exchange *ex, unsigned *ret_methods, struct err *err)
{
	if (exchange_http(ex)->stopping)
		return err_stopping(err);
	if (!find_route(ex, ret_methods, err))
		return false;
	if (ex->announced > ex->route->max_body)
		return err_set(err, M_TOO_LARGE, "The body is too large");
	return true;
}

/* RFC 9110, section 15.5.6. */
static void add_allow(struct exchange *ex, unsigned methods)
{
	struct buf buf CLEANUP(buf_done) = buf_init(128);

	if (methods & HTTP_GET)
		BUF_LIT(&buf, "GET, HEAD, ");
	if (methods & HTTP_PUT)
		BUF_LIT(&buf, "PUT, ");
	if (methods & HTTP_POST)
		BUF_LIT(&buf, "POST, ");
	if (methods & HTTP_DELETE)
		BUF_LIT(&buf, "DELETE, ");
	if (methods & HTTP_PATCH)
		BUF_LIT(&buf, "PATCH, ");
	BUF_LIT(&buf, "OPTIONS");
	buf_char(&buf, 0);
	MHD_add_response_header(ex->response, MHD_HTTP_HEADER_ALLOW, buf.ptr);
}

/* A queue that is full says so at once: a client is asked to come later, another server or an upload to try again. */
static bool overloaded(const struct exchange *ex, struct err *err)
{
	if (exchange_http(ex)->stopping)
		return err_stopping(err);
	if (ex->route->pool == POOL_CLIENT)
		return err_limited(err, 1000);
	err_status(err, 503, M_UNKNOWN, "The server is busy");
	err->retry_after_ms = 2000;
	return false;
}

static enum MHD_Result begin_upload(struct exchange *ex)
{
	struct err err;

	if (!pool_reserve(ex->pool)) {
		overloaded(ex, &err);
		answer_error(ex, &err);
		return answer_early(ex);
	}
	engage(ex);
	ex->upload = upload_new(exchange_http(ex));
	ex->stage = STAGE_UPLOAD_HEADERS;
	MHD_suspend_connection(ex->connection);
	pool_push(ex->pool, ex);
	return MHD_YES;
}

static enum MHD_Result headers_in(struct exchange *ex, const char *method)
{
	unsigned methods = 0;
	struct err err;

	ex->method_name = str_of(method);
	ex->method = parse_method(ex->method_name);
	if (!check_framing(ex, &err)) {
		answer_error(ex, &err);
		return send_answer(ex);
	}
	if (ex->method == HTTP_OPTIONS) {
		answer_preflight(ex);
		return answer_early(ex);
	}
	if (!admit(ex, &methods, &err)) {
		answer_error(ex, &err);
		if (methods)
			add_allow(ex, methods);
		return answer_early(ex);
	}
	if (ex->route->body == BODY_STREAM)
		return begin_upload(ex);
	ex->stage = STAGE_BODY;
	return MHD_YES;
}

/* ---- the body ---- */

/* Room for a body of `wanted` bytes, by doubling up to what was announced. false: all bodies together are too much. */
static bool grow_body(struct exchange *ex, size_t wanted)
{
	struct http *http = exchange_http(ex);
	size_t cap = MAX(wanted, MAX(ex->body_cap * 2, (size_t)4096));

	if (ex->announced)
		cap = MAX(wanted, MIN(cap, (size_t)ex->announced));
	if (atomic_fetch_add(&http->body_bytes, cap - ex->body_cap) > MAX_BODY_BYTES) {
		http->body_bytes -= cap - ex->body_cap;
		return false;
	}
	ex->body = x_realloc(ex->body, cap);
	ex->body_cap = cap;
	return true;
}

static enum MHD_Result refuse_body(struct exchange *ex, const struct err *err, size_t *size)
{
	answer_error(ex, err);
	drop_body(ex);
	ex->stage = STAGE_DRAIN;
	return drain(ex, size);
}

static enum MHD_Result collect(struct exchange *ex, const char *data, size_t *size)
{
	size_t wanted = ex->body_len + *size;
	struct err err;

	if (wanted + ex->drained > ex->route->max_body) {
		err_set(&err, M_TOO_LARGE, "The body is too large");
		return refuse_body(ex, &err, size);
	}
	if (ex->route->body == BODY_NONE)
		return drain(ex, size);
	if (wanted > ex->body_cap && !grow_body(ex, wanted)) {
		overloaded(ex, &err);
		return refuse_body(ex, &err, size);
	}
	memcpy(ex->body + ex->body_len, data, *size);
	ex->body_len = wanted;
	*size = 0;
	return MHD_YES;
}

static enum MHD_Result body_in(struct exchange *ex)
{
	struct err err;

	if (!pool_reserve(ex->pool)) {
		overloaded(ex, &err);
		answer_error(ex, &err);
		return send_answer(ex);
	}
	engage(ex);
	ex->stage = STAGE_WORKER;
	MHD_suspend_connection(ex->connection);
	pool_push(ex->pool, ex);
	return MHD_YES;
}

/* ---- uploads ---- */

/* The worker has asked for the body, or answered without it. */
static enum MHD_Result upload_begun(struct exchange *ex)
{
	if (upload_answered(ex))
		return answer_early(ex);
	ex->stage = STAGE_UPLOAD;
	return MHD_YES;
}

static enum MHD_Result upload_more(struct exchange *ex, const char *data, size_t *size)
{
	if (*size > 0)
		return upload_data(ex, data, size) ? MHD_YES : drain(ex, size);
	return upload_end(ex) ? send_answer(ex) : MHD_YES;
}

enum MHD_Result exchange_step(void *cls UNUSED, struct MHD_Connection *connection UNUSED, const char *url UNUSED,
			      const char *method, const char *version UNUSED, const char *data, size_t *size,
			      void **context)
{
	struct exchange *ex = *context;

	switch (ex->stage) {
	case STAGE_HEADERS:
		return headers_in(ex, method);
	case STAGE_BODY:
		return *size > 0 ? collect(ex, data, size) : body_in(ex);
	case STAGE_DRAIN:
		return *size > 0 ? drain(ex, size) : send_answer(ex);
	case STAGE_UPLOAD_HEADERS:
		return upload_begun(ex);
	case STAGE_UPLOAD:
		return upload_more(ex, data, size);
	case STAGE_ANSWERED:
		return send_answer(ex);
	case STAGE_WORKER:
	case STAGE_ABANDON:
		break;
	}
	return MHD_NO;
}
