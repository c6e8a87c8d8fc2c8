/* What handlers see of a request, and a worker's turn with it. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/utf8.h"
#include "http/internal.h"

/* ---- reading ---- */

static struct str header_of(const struct exchange *ex, const char *name)
{
	struct str value = { 0 };

	MHD_lookup_connection_value_n(ex->connection, MHD_HEADER_KIND, name, strlen(name), &value.ptr, &value.len);
	return value;
}

struct str header(struct request *req, const char *name)
{
	return header_of(call_of(req)->ex, name);
}

struct str path_param(struct request *req, const char *name)
{
	const struct exchange *ex = call_of(req)->ex;
	struct str raw;
	size_t i = 0;
	char *out;

	while (i < ex->route->param_count && !str_eq(ex->route->param_names[i], str_of(name)))
		i++;
	assert(i < ex->route->param_count); /* the route's path has no such parameter */
	raw = (struct str){ ex->target + ex->params[i].at, ex->params[i].len };
	out = arena_alloc(req->arena, raw.len);
	return (struct str){ out, uri_decode(raw, false, out) };
}

struct str query_param(struct request *req, const char *name)
{
	const struct call *call = call_of(req);
	struct str wanted = str_of(name);

	for (size_t i = 0; i < call->query_count; i++) {
		if (str_eq(call->query[i].name, wanted))
			return call->query[i].value;
	}
	return (struct str){ 0 };
}

size_t query_params(struct request *req, const char *name, struct str **ret_values)
{
	const struct call *call = call_of(req);
	struct str wanted = str_of(name), *values = NULL;
	size_t count = 0, cap = 0;

	for (size_t i = 0; i < call->query_count; i++) {
		if (str_eq(call->query[i].name, wanted))
			*ARENA_PUSH(req->arena, values, count, cap) = call->query[i].value;
	}
	*ret_values = values;
	return count;
}

bool query_int(struct request *req, const char *name, int64_t min, int64_t max, int64_t absent, int64_t *ret_value,
	       struct err *err)
{
	struct str text = query_param(req, name);
	int64_t value = absent;

	if (text.ptr && !str_to_int64(text, &value))
		return err_set(err, M_INVALID_PARAM, "'%s' must be an integer", name);
	if (text.ptr && (value < min || value > max))
		return err_set(err, M_INVALID_PARAM, "'%s' must be between %" PRId64 " and %" PRId64, name, min, max);
	*ret_value = value;
	return true;
}

bool query_bool(struct request *req, const char *name, bool absent, bool *ret_value, struct err *err)
{
	struct str text = query_param(req, name);

	if (text.ptr && !str_eq(text, STR("true")) && !str_eq(text, STR("false")))
		return err_set(err, M_INVALID_PARAM, "'%s' must be true or false", name);
	*ret_value = text.ptr ? str_eq(text, STR("true")) : absent;
	return true;
}

bool request_content_length(struct request *req, uint64_t *ret_length)
{
	const struct exchange *ex = call_of(req)->ex;

	if (ex->has_length)
		*ret_length = ex->announced;
	return ex->has_length;
}

bool request_park(struct request *req, const struct park *park)
{
	struct call *call = call_of(req);

	assert(!call->parked && !call->ex->response && !call->ex->upload);
	if (call->last) {
		if (park->free_state && park->state != call->ex->parked.park.state)
			park->free_state(park->state);
		return false;
	}
	call->parked = true;
	lot_enter(call->ex, park);
	return true;
}

/* ---- who, and under which name ---- */

static struct str socket_address(const struct exchange *ex, char *out, size_t size)
{
	const struct sockaddr *from =
		MHD_get_connection_info(ex->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
	const void *bytes = NULL;
	int family = from->sa_family;

	if (family == AF_INET) {
		bytes = &((const struct sockaddr_in *)(const void *)from)->sin_addr;
	} else if (family == AF_INET6) {
		const struct in6_addr *address = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;

		bytes = address;
		if (IN6_IS_ADDR_V4MAPPED(address)) {
			family = AF_INET;
			bytes = &address->s6_addr[12];
		}
	}
	if (!bytes || !inet_ntop(family, bytes, out, (socklen_t)size))
		return STR("unix");
	return str_of(out);
}

/* The first of the list, as Synapse takes it: the proxy in front has to set the header, not to append to one. */
static struct str forwarded_address(const struct exchange *ex, char *out, size_t size)
{
	struct str list = header_of(ex, "X-Forwarded-For"), first;
	unsigned char parsed[sizeof(struct in6_addr)];

	if (!str_split(&list, ',', &first))
		return (struct str){ 0 };
	first = str_trim(first);
	if (first.len == 0 || first.len >= size)
		return (struct str){ 0 };
	memcpy(out, first.ptr, first.len);
	out[first.len] = 0;
	if (inet_pton(AF_INET, out, parsed) != 1 && inet_pton(AF_INET6, out, parsed) != 1)
		return (struct str){ 0 };
	return (struct str){ out, first.len };
}

static struct str remote_address(struct call *call)
{
	struct str address = { 0 };

	if (call->ex->listener->x_forwarded)
		address = forwarded_address(call->ex, call->address, sizeof(call->address));
	return address.len ? address : socket_address(call->ex, call->address, sizeof(call->address));
}

static struct str request_id(struct call *call)
{
	const struct exchange *ex = call->ex;
	struct str given = { 0 };

	if (ex->listener->request_id_header)
		given = header_of(ex, ex->listener->request_id_header);
	if (given.len > 0 && given.len <= 128 && utf8_valid(given))
		return given;
	snprintf(call->id, sizeof(call->id), "%" PRIu64, ex->serial);
	return str_of(call->id);
}

/* Client-server API, "Client Authentication". X-Matrix is the application's to read. */
static struct str access_token(const struct call *call)
{
	const struct str scheme = STR("Bearer ");
	struct str given = header_of(call->ex, MHD_HTTP_HEADER_AUTHORIZATION);

	if (given.len > scheme.len && str_eq_ascii_nocase(str_sub(given, 0, scheme.len), scheme))
		return str_trim(str_from(given, scheme.len));
	if (given.ptr)
		return (struct str){ 0 };
	for (size_t i = 0; i < call->query_count; i++) {
		if (str_eq(call->query[i].name, STR("access_token")))
			return call->query[i].value;
	}
	return (struct str){ 0 };
}

void call_init(struct call *call, struct exchange *ex, struct arena *arena)
{
	struct http *http = exchange_http(ex);

	*call = (struct call){
		.ex = ex,
		.req = {
			.http = http,
			.server = http->server,
			.route = ex->route ? ex->route->route : NULL,
			.arena = arena,
			.method = ex->method_name,
			.path = ex->path,
			.body_text = { ex->body, ex->body_len },
			.started_us = ex->started_us,
		},
	};
	call->req.remote_address = remote_address(call);
	call->req.request_id = request_id(call);
}

/* ---- a worker's turn ---- */

static bool read_query(struct call *call, struct err *err)
{
	struct exchange *ex = call->ex;

	if (ex->query.len > 0 && !uri_parse_query(ex->query, call->req.arena, &call->query, &call->query_count, err))
		return false;
	call->req.token = access_token(call);
	return true;
}

static bool authenticate(struct call *call, struct err *err)
{
	const struct http_hooks *hooks = &exchange_http(call->ex)->hooks;
	enum route_auth auth = call->req.route->auth;

	if (auth == AUTH_NONE || (auth == AUTH_OPTIONAL && call->req.token.len == 0))
		return true;
	if (auth != AUTH_SERVER && call->req.token.len == 0)
		return err_set(err, M_MISSING_TOKEN, "Missing access token");
	if (!hooks->authenticate)
		return err_internal(err, "no authenticate hook");
	return hooks->authenticate(&call->req, err);
}

static bool begin(struct call *call)
{
	const struct http_hooks *hooks = &exchange_http(call->ex)->hooks;

	if (hooks->begin)
		hooks->begin(&call->req);
	return true;
}

static bool rate_limit(struct call *call, struct err *err)
{
	const struct http_hooks *hooks = &exchange_http(call->ex)->hooks;

	if (call->req.route->limit == LIMIT_NONE || !hooks->rate_limit)
		return true;
	return hooks->rate_limit(&call->req, err);
}

static bool parse_body(struct call *call, struct err *err)
{
	struct request *req = &call->req;

	if (call->ex->route->body != BODY_JSON)
		return true;
	return json_parse(req->body_text.len ? req->body_text : STR("{}"), req->arena, &req->body, err);
}

static bool handle(struct call *call, struct err *err)
{
	return read_query(call, err) && authenticate(call, err) && begin(call) && rate_limit(call, err) &&
	       parse_body(call, err) && call->req.route->handler(&call->req, err);
}

static void answer_error(struct call *call, struct err *err)
{
	const struct http_hooks *hooks = &exchange_http(call->ex)->hooks;

	assert(!call->parked && !call->ex->response);
	if (err->status == 0)
		err_internal(err, "a handler failed without an error");
	if (err->status >= 500 && hooks->failed)
		hooks->failed(&call->req, err);
	reply_error(&call->req, err);
}

/* Gives the exchange back to its I/O thread, or to the lot. It is no longer ours afterwards. */
static void finish(struct call *call)
{
	struct exchange *ex = call->ex;
	const struct http *http = exchange_http(ex);

	if (ex->response && http->hooks.finished)
		http->hooks.finished(&call->req, (int)ex->status, call->bytes);
	arena_reset(call->req.arena);
	drop_body(ex);
	if (call->parked) {
		lot_settle(http->lot, ex);
	} else if (ex->upload) {
		upload_answer(ex);
	} else {
		ex->stage = ex->response ? STAGE_ANSWERED : STAGE_ABANDON;
		MHD_resume_connection(ex->connection);
	}
}

void call_run(struct exchange *ex, struct arena *arena)
{
	struct err err = { 0 };
	struct call call;

	assert(ex->route);
	call_init(&call, ex, arena);
	if (!handle(&call, &err))
		answer_error(&call, &err);
	assert(call.parked != (ex->response != NULL)); /* a handler answers once, or parks */
	finish(&call);
}

void call_resume(struct exchange *ex, struct arena *arena)
{
	struct park park = ex->parked.park;
	enum wake_cause cause = lot_leave(exchange_http(ex)->lot, ex);
	struct err err = { 0 };
	struct call call;
	bool resumed, goes_on;

	call_init(&call, ex, arena);
	call.req.user = park.user;
	call.last = cause == WAKE_HANGUP || cause == WAKE_STOPPING;
	resumed = read_query(&call, &err) && begin(&call) && park.resume(&call.req, park.state, cause, &err);
	goes_on = call.parked && ex->parked.park.state == park.state; /* with the same state */
	if (!resumed && cause == WAKE_STOPPING && err.status == 0)
		err_stopping(&err);
	if (!resumed && cause != WAKE_HANGUP)
		answer_error(&call, &err);
	assert(cause == WAKE_HANGUP || call.parked != (ex->response != NULL));
	finish(&call);
	if (park.free_state && !goes_on)
		park.free_state(park.state);
}
