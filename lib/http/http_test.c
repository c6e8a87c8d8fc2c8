/* Routing, parameters, bodies, errors, files: what a client sees of plain requests. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/test_client.h"

/* ---- routes for the tests ---- */

static bool get_hello(struct request *req, struct err *err UNUSED)
{
	return reply_field(req, "hello", STR("world"));
}

static bool echo(struct request *req, struct err *err UNUSED)
{
	return reply_json(req, 200, json_incref(req->body));
}

static bool get_params(struct request *req, struct err *err UNUSED)
{
	return reply_json(req, 200,
			  json_pack("{s:o,s:o}", "room", json_new_str(path_param(req, "roomId")), "type",
				    json_new_str(path_param(req, "type"))));
}

static bool get_name(struct request *req, struct err *err UNUSED)
{
	return reply_field(req, "name", path_param(req, "name"));
}

static bool get_rest(struct request *req, struct err *err UNUSED)
{
	return reply_field(req, "rest", path_param(req, "rest"));
}

static bool get_literal(struct request *req, struct err *err UNUSED)
{
	return reply_field(req, "literal", str_of(req->route->path));
}

static bool get_query(struct request *req, struct err *err)
{
	struct str *all;
	size_t count = query_params(req, "q", &all);
	json_t *values = json_array();
	int64_t limit;
	bool flag;

	for (size_t i = 0; i < count; i++)
		json_array_append_new(values, json_new_str(all[i]));
	if (!query_int(req, "limit", 1, 100, 10, &limit, err) || !query_bool(req, "flag", true, &flag, err)) {
		json_decref(values);
		return false;
	}
	return reply_json(req, 200,
			  json_pack("{s:I,s:b,s:o,s:b}", "limit", (json_int_t)limit, "flag", flag, "q", values,
				    "absent", query_param(req, "no").ptr == NULL));
}

static bool get_text(struct request *req, struct err *err UNUSED)
{
	return reply_text(req, 200, STR("text/plain"), req->body_text);
}

static bool get_who(struct request *req, struct err *err UNUSED)
{
	return reply_json(req, 200,
			  json_pack("{s:o,s:o,s:o}", "address", json_new_str(req->remote_address), "id",
				    json_new_str(req->request_id), "token", json_new_str(req->token)));
}

static bool get_error(struct request *req UNUSED, struct err *err)
{
	err_limited(err, 1500);
	return err_extra(err, "\"soft_logout\":true");
}

static bool get_fault(struct request *req UNUSED, struct err *err)
{
	return err_internal(err, "the database is on fire");
}

static bool get_cut_message(struct request *req UNUSED, struct err *err)
{
	char text[sizeof(err->message) + 1];

	memset(text, 'x', sizeof(text));
	memcpy(&text[sizeof(err->message) - 2], "é", 2); /* cut in the middle */
	text[sizeof(err->message)] = 0;
	return err_set(err, M_UNKNOWN, "%s", text);
}

static bool get_file(struct request *req, struct err *err)
{
	char path[] = "/tmp/http_test_XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || write(fd, "0123456789", 10) != 10)
		return err_internal(err, "cannot write");
	unlink(path);
	reply_header(req, "Content-Type", STR("text/plain"));
	reply_header(req, "ETag", STR("\"tag\""));
	return reply_file(req, fd, 10);
}

static atomic_int failures;

static const struct route routes[] = {
	{ HTTP_GET, "/hello", .handler = get_hello },
	{ HTTP_POST, "/echo", .handler = echo },
	{ HTTP_PUT, "/echo", .handler = echo, .max_body = 100 },
	{ HTTP_DELETE, "/echo", .handler = echo, .body = BODY_JSON },
	{ HTTP_GET, "/rooms/{roomId}/state/{type}", .handler = get_params },
	{ HTTP_GET, "/rooms/{name}/name", .handler = get_name },
	{ HTTP_GET, "/rooms/literal/state/also", .handler = get_literal },
	{ HTTP_GET, "/rooms/literal/members", .handler = get_literal },
	{ HTTP_GET, "/static/{rest+}", .handler = get_rest },
	{ HTTP_GET, "/pushrules/", .handler = get_literal },
	{ HTTP_GET, "/", .handler = get_literal },
	{ HTTP_GET, "/query", .handler = get_query },
	{ HTTP_POST, "/text", .handler = get_text, .body = BODY_TEXT },
	{ HTTP_POST, "/ignored", .handler = get_hello, .body = BODY_NONE },
	{ HTTP_GET, "/who", .handler = get_who },
	{ HTTP_GET, "/user", .auth = AUTH_USER, .limit = LIMIT_MESSAGE, .handler = get_who },
	{ HTTP_GET, "/optional", .auth = AUTH_OPTIONAL, .handler = get_who },
	{ HTTP_GET, "/error", .handler = get_error },
	{ HTTP_GET, "/fault", .handler = get_fault },
	{ HTTP_GET, "/cut", .handler = get_cut_message },
	{ HTTP_GET, "/file", .handler = get_file },
	{ HTTP_GET, "/bare", .handler = get_hello, .flags = ROUTE_NO_CORS },
	{ 0 },
};

static bool authenticate(struct request *req, struct err *err)
{
	if (!str_eq(req->token, STR("good")))
		return err_set(err, M_UNKNOWN_TOKEN, "Unknown token");
	return true;
}

static bool rate_limit(struct request *req, struct err *err)
{
	return query_param(req, "often").ptr ? err_limited(err, 2001) : true;
}

static void failed(const struct request *req UNUSED, const struct err *err UNUSED)
{
	failures++;
}

static struct test_server server;

static int start(void **state UNUSED)
{
	test_server_init(&server, routes);
	server.config.hooks =
		(struct http_hooks){ .authenticate = authenticate, .rate_limit = rate_limit, .failed = failed };
	server.config.max_body = 10000;
	test_server_start(&server);
	return 0;
}

static int stop(void **state UNUSED)
{
	test_server_stop(&server);
	return 0;
}

static const char *text_of(const struct test_reply *reply, const char *key)
{
	const char *text = json_string_value(json_object_get(reply->json, key));

	return text ? text : "";
}

/* ---- paths ---- */

static void finds_routes(void **state UNUSED)
{
	static const struct {
		const char *target, *key, *value;
	} cases[] = {
		{ "/hello", "hello", "world" },
		{ "/hello/", "hello", "world" },
		{ "/hello?x=1", "hello", "world" },
		{ "/h%65llo", "hello", "world" },
		{ "http://example.org/hello", "hello", "world" },
		{ "/", "literal", "/" },
		{ "/pushrules", "literal", "/pushrules/" },
		{ "/pushrules/", "literal", "/pushrules/" },
		{ "/rooms/!a%2Fb:c/state/m.room.name", "room", "!a/b:c" },
		{ "/rooms/!a:b/state/m.room.name", "type", "m.room.name" },
		{ "/rooms/%C3%A9+/state/x", "room", "é+" },
		{ "/rooms/literal/state/also", "literal", "/rooms/literal/state/also" },
		{ "/rooms/literal/state/other", "room", "literal" }, /* back from the literal */
		{ "/rooms/literal/name", "name", "literal" },
		{ "/static/a/b%20c/d", "rest", "a/b c/d" },
		{ "/static/a", "rest", "a" },
		{ "/static/a//", "rest", "a/" },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_reply reply = test_once(&server, arena, "GET", cases[i].target, NULL, NULL);

		assert_int_equal(reply.status, 200);
		assert_string_equal(text_of(&reply, cases[i].key), cases[i].value);
	}
}

static void refuses_other_paths(void **state UNUSED)
{
	static const struct {
		const char *method, *target;
		int status;
		const char *errcode;
	} cases[] = {
		{ "GET", "/nothing", 404, "M_UNRECOGNIZED" },
		{ "GET", "/hello/more", 404, "M_UNRECOGNIZED" },
		{ "GET", "/hello//", 404, "M_UNRECOGNIZED" },
		{ "GET", "//hello", 404, "M_UNRECOGNIZED" },
		{ "GET", "/Hello", 404, "M_UNRECOGNIZED" },
		{ "GET", "hello", 404, "M_UNRECOGNIZED" },
		{ "GET", "*", 404, "M_UNRECOGNIZED" },
		{ "GET", "/rooms//state/x", 404, "M_UNRECOGNIZED" },
		{ "GET", "/static", 404, "M_UNRECOGNIZED" },
		{ "GET", "/static/", 404, "M_UNRECOGNIZED" },
		{ "POST", "/hello", 405, "M_UNRECOGNIZED" },
		{ "FOO", "/hello", 405, "M_UNRECOGNIZED" },
		{ "FOO", "/nothing", 404, "M_UNRECOGNIZED" },
		{ "DELETE", "/rooms/literal/state/also", 405, "M_UNRECOGNIZED" },
		{ "GET", "/rooms/%/state/x", 400, "M_INVALID_PARAM" },
		{ "GET", "/rooms/%4/state/x", 400, "M_INVALID_PARAM" },
		{ "GET", "/rooms/%zz/state/x", 400, "M_INVALID_PARAM" },
		{ "GET", "/rooms/%ff/state/x", 400, "M_INVALID_PARAM" },
		{ "GET", "/rooms/\xff/state/x", 400, "M_INVALID_PARAM" },
		{ "GET", "/rooms/%00/state/x", 400, "M_INVALID_PARAM" },
		{ "GET", "/rooms/%ed%a0%80/state/x", 400, "M_INVALID_PARAM" }, /* a surrogate */
		{ "GET", "/query?q=%ff", 400, "M_INVALID_PARAM" },
		{ "GET", "/query?q=%0", 400, "M_INVALID_PARAM" },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_reply reply = test_once(&server, arena, cases[i].method, cases[i].target, NULL, NULL);

		test_assert_error(&reply, cases[i].status, cases[i].errcode);
	}
}

static void names_the_allowed_methods(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct test_reply reply = test_once(&server, arena, "GET", "/echo", NULL, NULL);

	test_assert_error(&reply, 405, "M_UNRECOGNIZED");
	assert_true(str_eq(test_header(&reply, "Allow"), STR("PUT, POST, DELETE, OPTIONS")));
}

static void reads_queries(void **state UNUSED)
{
	static const struct {
		const char *target;
		int status;
		const char *body;
	} cases[] = {
		{ "/query", 200, "{\"limit\":10,\"flag\":true,\"q\":[],\"absent\":true}" },
		{ "/query?q=a+b%2Bc&q=%C3%A9&q&q=&&limit=100&flag=false", 200,
		  "{\"limit\":100,\"flag\":false,\"q\":[\"a b+c\",\"é\",\"\",\"\"],\"absent\":true}" },
		{ "/query?%71=x=y?z", 200, "{\"limit\":10,\"flag\":true,\"q\":[\"x=y?z\"],\"absent\":true}" },
		{ "/query?limit=0", 400, NULL },
		{ "/query?limit=101", 400, NULL },
		{ "/query?limit=ten", 400, NULL },
		{ "/query?limit=", 400, NULL },
		{ "/query?flag=1", 400, NULL },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_reply reply = test_once(&server, arena, "GET", cases[i].target, NULL, NULL);

		assert_int_equal(reply.status, cases[i].status);
		if (cases[i].body)
			assert_true(str_eq(reply.body, str_of(cases[i].body)));
		else
			test_assert_error(&reply, 400, "M_INVALID_PARAM");
	}
}

static void takes_long_queries(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(buf_done) struct buf target = buf_init(20000);
	struct test_client client;
	struct test_reply reply;

	BUF_LIT(&target, "/query?");
	for (int i = 0; i < 200; i++)
		buf_printf(&target, "q=server%d.example.org&", i);
	buf_char(&target, 0);
	reply = test_once(&server, arena, "GET", target.ptr, NULL, NULL);
	assert_int_equal(reply.status, 200);
	assert_int_equal(json_array_size(json_object_get(reply.json, "q")), 200);

	for (size_t len = 1000; len < 20000; len += 1000) { /* too long: refused, in whatever form */
		buf_clear(&target);
		BUF_LIT(&target, "GET /query?q=");
		for (size_t i = 0; i < len; i++)
			buf_char(&target, 'x');
		BUF_LIT(&target, " HTTP/1.1\r\nHost: t\r\n\r\n");
		test_connect(&client, &server, 0);
		test_send(&client, buf_str(&target));
		reply = test_receive(&client, false);
		assert_true(len > 8000 ? reply.status != 200 || len < 10000 : reply.status == 200);
		test_close(&client);
	}
}

/* ---- headers of answers ---- */

static void allows_browsers(void **state UNUSED)
{
	static const char *const targets[] = { "/hello", "/nothing", "/error", "/file", "/rooms/%/state/x" };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct test_reply reply;

	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		reply = test_once(&server, arena, "GET", targets[i], NULL, NULL);
		assert_true(str_eq(test_header(&reply, "Access-Control-Allow-Origin"), STR("*")));
		assert_true(str_find(test_header(&reply, "Access-Control-Allow-Methods"), STR("DELETE")) >= 0);
		assert_true(str_find(test_header(&reply, "Access-Control-Allow-Headers"), STR("Authorization")) >= 0);

		reply = test_once(&server, arena, "OPTIONS", targets[i], NULL, NULL);
		assert_int_equal(reply.status, 204);
		assert_true(str_eq(test_header(&reply, "Access-Control-Allow-Origin"), STR("*")));
	}
	reply = test_once(&server, arena, "GET", "/bare", NULL, NULL);
	assert_int_equal(reply.status, 200);
	assert_null(test_header(&reply, "Access-Control-Allow-Origin").ptr);
}

static void serves_head(void **state UNUSED)
{
	struct test_client client;
	struct test_reply reply;

	test_connect(&client, &server, 0);
	reply = test_ask(&client, "HEAD", "/hello", NULL, NULL);
	assert_int_equal(reply.status, 200);
	assert_true(str_eq(test_header(&reply, "Content-Length"), STR("17")));
	reply = test_ask(&client, "GET", "/hello", NULL, NULL);
	assert_true(str_eq(reply.body, STR("{\"hello\":\"world\"}")));
	test_close(&client);
}

static void reports_errors(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct test_reply reply = test_once(&server, arena, "GET", "/error", NULL, NULL);
	int before = failures;

	test_assert_error(&reply, 429, "M_LIMIT_EXCEEDED");
	assert_int_equal(json_integer_value(json_object_get(reply.json, "retry_after_ms")), 1500);
	assert_true(json_is_true(json_object_get(reply.json, "soft_logout")));
	assert_true(str_eq(test_header(&reply, "Retry-After"), STR("2")));
	assert_int_equal(failures, before);

	reply = test_once(&server, arena, "GET", "/fault", NULL, NULL);
	test_assert_error(&reply, 500, "M_UNKNOWN");
	assert_true(str_find(reply.body, STR("fire")) < 0);
	assert_int_equal(failures, before + 1);

	reply = test_once(&server, arena, "GET", "/cut", NULL, NULL);
	test_assert_error(&reply, 500, "M_UNKNOWN");
}

/* ---- who asks ---- */

static void finds_the_token(void **state UNUSED)
{
	static const struct {
		const char *target, *headers;
		int status;
		const char *errcode;
	} cases[] = {
		{ "/user", NULL, 401, "M_MISSING_TOKEN" },
		{ "/user", "Authorization: Basic good\r\n", 401, "M_MISSING_TOKEN" },
		{ "/user", "Authorization: Bearer bad\r\n", 401, "M_UNKNOWN_TOKEN" },
		{ "/user", "Authorization: Bearer good\r\n", 200, NULL },
		{ "/user", "authorization: bearer good\r\n", 200, NULL },
		{ "/user?access_token=good", NULL, 200, NULL },
		{ "/user?access_token=good", "Authorization: Bearer bad\r\n", 401, "M_UNKNOWN_TOKEN" },
		{ "/user?access_token=good&often", NULL, 429, "M_LIMIT_EXCEEDED" },
		{ "/optional", NULL, 200, NULL },
		{ "/optional?access_token=good", NULL, 200, NULL },
		{ "/optional?access_token=bad", NULL, 401, "M_UNKNOWN_TOKEN" },
		{ "/who?access_token=bad", NULL, 200, NULL },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_reply reply = test_once(&server, arena, "GET", cases[i].target, cases[i].headers, NULL);

		assert_int_equal(reply.status, cases[i].status);
		if (cases[i].errcode)
			test_assert_error(&reply, cases[i].status, cases[i].errcode);
	}
}

static void trusts_proxies_where_told(void **state UNUSED)
{
	const char *headers = "X-Forwarded-For: 2001:db8::1, 10.0.0.1\r\nX-Request-Id: abc\r\n";
	const char *forged = "X-Forwarded-For: nonsense\r\n";
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct test_server behind_proxy;
	struct test_reply reply;

	reply = test_once(&server, arena, "GET", "/who", headers, NULL);
	assert_string_equal(text_of(&reply, "address"), "127.0.0.1");
	assert_string_not_equal(text_of(&reply, "id"), "abc");

	test_server_init(&behind_proxy, routes);
	behind_proxy.listeners[0].x_forwarded = true;
	behind_proxy.listeners[0].request_id_header = STR("X-Request-Id");
	test_server_start(&behind_proxy);
	reply = test_once(&behind_proxy, arena, "GET", "/who", headers, NULL);
	assert_string_equal(text_of(&reply, "address"), "2001:db8::1");
	assert_string_equal(text_of(&reply, "id"), "abc");
	reply = test_once(&behind_proxy, arena, "GET", "/who", forged, NULL);
	assert_string_equal(text_of(&reply, "address"), "127.0.0.1");
	test_server_stop(&behind_proxy);
}

/* ---- bodies ---- */

static void reads_bodies(void **state UNUSED)
{
	static const struct {
		const char *method, *target, *headers, *body;
		int status;
		const char *text; /* the answer, or its errcode */
	} cases[] = {
		{ "POST", "/echo", NULL, "{\"a\":1}", 200, "{\"a\":1}" },
		{ "POST", "/echo", "Content-Type: text/plain\r\n", "[]", 200, "[]" },
		{ "POST", "/echo", NULL, NULL, 200, "{}" },
		{ "POST", "/echo", NULL, "", 200, "{}" },
		{ "DELETE", "/echo", NULL, "{\"b\":2}", 200, "{\"b\":2}" },
		{ "POST", "/echo", NULL, "{", 400, "M_NOT_JSON" },
		{ "POST", "/echo", NULL, "{\"a\":\"\xff\"}", 400, "M_NOT_JSON" },
		{ "POST", "/echo", NULL, " ", 400, "M_NOT_JSON" },
		{ "POST", "/text", NULL, "a=b&c", 200, "a=b&c" },
		{ "POST", "/ignored", NULL, "not json", 200, "{\"hello\":\"world\"}" },
		{ "GET", "/hello", NULL, "a body", 200, "{\"hello\":\"world\"}" },
		{ "POST", "/nothing", NULL, "{}", 404, "M_UNRECOGNIZED" },
	};
	struct test_client client;

	test_connect(&client, &server, 0); /* one connection: it is kept through errors */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_reply reply =
			test_ask(&client, cases[i].method, cases[i].target, cases[i].headers, cases[i].body);

		assert_int_equal(reply.status, cases[i].status);
		if (cases[i].status == 200)
			assert_true(str_eq(reply.body, str_of(cases[i].text)));
		else
			test_assert_error(&reply, cases[i].status, cases[i].text);
	}
	test_close(&client);
}

static void bounds_bodies(void **state UNUSED)
{
	char body[10002];
	struct test_client client;
	struct test_reply reply;

	memset(body, ' ', sizeof(body));
	body[0] = '1';
	body[10001] = 0;
	test_connect(&client, &server, 0);
	reply = test_ask(&client, "POST", "/echo", NULL, body); /* 10,001 bytes */
	test_assert_error(&reply, 413, "M_TOO_LARGE");
	body[10000] = 0;
	reply = test_ask(&client, "POST", "/echo", NULL, body);
	assert_int_equal(reply.status, 200);
	body[101] = 0;
	reply = test_ask(&client, "PUT", "/echo", NULL, body);
	test_assert_error(&reply, 413, "M_TOO_LARGE");
	body[100] = 0;
	reply = test_ask(&client, "PUT", "/echo", NULL, body);
	assert_int_equal(reply.status, 200);
	test_close(&client);
}

static void refuses_before_the_body_is_sent(void **state UNUSED)
{
	struct test_client client;
	struct test_reply reply;

	test_connect(&client, &server, 0);
	test_sendf(&client, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 20000\r\nExpect: 100-continue\r\n\r\n");
	reply = test_receive(&client, false);
	test_assert_error(&reply, 413, "M_TOO_LARGE");
	assert_true(test_at_end(&client));
	test_close(&client);

	test_connect(&client, &server, 0);
	test_sendf(&client, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999\r\n\r\n");
	reply = test_receive(&client, false);
	test_assert_error(&reply, 413, "M_TOO_LARGE");
	test_close(&client);

	test_connect(&client, &server, 0);
	test_sendf(&client, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
	reply = test_receive(&client, false);
	assert_int_equal(reply.status, 100);
	test_send(&client, STR("[]"));
	reply = test_receive(&client, false);
	assert_int_equal(reply.status, 200);
	test_close(&client);
}

static void reads_chunks(void **state UNUSED)
{
	struct test_client client;
	struct test_reply reply;

	test_connect(&client, &server, 0);
	test_sendf(&client, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
	test_send(&client, STR("3\r\n{\"a\r\n"));
	usleep(10000);
	test_send(&client, STR("4\r\n\":1}\r\n0\r\n\r\n"));
	reply = test_receive(&client, false);
	assert_true(str_eq(reply.body, STR("{\"a\":1}")));

	test_sendf(&client, "PUT /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 20; i++)
		test_send(&client, STR("a\r\n0123456789\r\n"));
	test_send(&client, STR("0\r\n\r\n"));
	reply = test_receive(&client, false);
	test_assert_error(&reply, 413, "M_TOO_LARGE");
	reply = test_ask(&client, "GET", "/hello", NULL, NULL);
	assert_int_equal(reply.status, 200);
	test_close(&client);
}

/* RFC 9112, sections 5.1 and 11.2: request smuggling. */
static void refuses_unclear_lengths(void **state UNUSED)
{
	static const char *const headers[] = {
		"Content-Length: 2\r\nContent-Length: 2\r\n", "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: gzip, chunked\r\n",       "Transfer-Encoding: identity\r\n",
		"Content-Length: 0\r\nContent-Length: 5\r\n",     "Content-Length : 2\r\n",
		"Transfer-Encoding\t: chunked\r\n",              "X-Anything : 1\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		struct test_client client;
		struct test_reply reply;

		test_connect(&client, &server, 0);
		test_sendf(&client, "POST /echo HTTP/1.1\r\nHost: t\r\n%s\r\n", headers[i]);
		reply = test_receive(&client, false);
		test_assert_error(&reply, 400, "M_UNKNOWN");
		assert_true(test_at_end(&client));
		test_close(&client);
	}
}

static void keeps_connections(void **state UNUSED)
{
	struct test_client client;

	test_connect(&client, &server, 0);
	for (int i = 0; i < 50; i++) /* all at once: the answers come in order */
		test_sendf(&client, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n[%d]", i < 10 ? 3 : 4,
			   i);
	for (int i = 0; i < 50; i++) {
		struct test_reply reply = test_receive(&client, false);

		assert_int_equal(json_integer_value(json_array_get(reply.json, 0)), i);
	}
	test_close(&client);
}

static void takes_requests_byte_by_byte(void **state UNUSED)
{
	const struct str request = STR("POST /echo?x=y HTTP/1.1\r\nHost: t\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
	struct test_client client;
	struct test_reply reply;

	test_connect(&client, &server, 0);
	for (size_t i = 0; i < request.len; i++) {
		test_send(&client, str_sub(request, i, 1));
		usleep(200);
	}
	reply = test_receive(&client, false);
	assert_true(str_eq(reply.body, STR("{\"a\":1}")));
	test_close(&client);
}

/* ---- files ---- */

static void serves_files(void **state UNUSED)
{
	static const struct {
		const char *headers;
		int status;
		const char *body, *range;
	} cases[] = {
		{ NULL, 200, "0123456789", NULL },
		{ "Range: bytes=2-4\r\n", 206, "234", "bytes 2-4/10" },
		{ "Range: bytes=7-\r\n", 206, "789", "bytes 7-9/10" },
		{ "Range: bytes=7-100\r\n", 206, "789", "bytes 7-9/10" },
		{ "Range: bytes=-2\r\n", 206, "89", "bytes 8-9/10" },
		{ "Range: bytes=-20\r\n", 206, "0123456789", "bytes 0-9/10" },
		{ "Range: bytes=10-\r\n", 416, NULL, "bytes */10" },
		{ "Range: bytes=-0\r\n", 416, NULL, "bytes */10" },
		{ "Range: bytes=4-2\r\n", 200, "0123456789", NULL },
		{ "Range: bytes=1-2,4-5\r\n", 200, "0123456789", NULL },
		{ "Range: lines=1-2\r\n", 200, "0123456789", NULL },
		{ "Range: bytes=-\r\n", 200, "0123456789", NULL },
		{ "Range: bytes=99999999999999999999-\r\n", 200, "0123456789", NULL },
		{ "Range: bytes=2-4\r\nIf-Range: \"tag\"\r\n", 206, "234", "bytes 2-4/10" },
		{ "Range: bytes=2-4\r\nIf-Range: \"old\"\r\n", 200, "0123456789", NULL },
		{ "If-None-Match: \"old\"\r\n", 200, "0123456789", NULL },
		{ "If-None-Match: \"old\", W/\"tag\"\r\n", 304, "", NULL },
		{ "If-None-Match: *\r\n", 304, "", NULL },
	};
	struct test_client client;

	test_connect(&client, &server, 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_reply reply = test_ask(&client, "GET", "/file", cases[i].headers, NULL);

		assert_int_equal(reply.status, cases[i].status);
		if (cases[i].body)
			assert_true(str_eq(reply.body, str_of(cases[i].body)));
		assert_true(str_eq(test_header(&reply, "Content-Range"), str_of(cases[i].range)));
		/* The headers given beforehand describe the file, not a refusal. */
		assert_true(str_eq(test_header(&reply, "ETag"), cases[i].status == 416 ? STR("") : STR("\"tag\"")));
	}
	test_close(&client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_routes),
		cmocka_unit_test(refuses_other_paths),
		cmocka_unit_test(names_the_allowed_methods),
		cmocka_unit_test(reads_queries),
		cmocka_unit_test(takes_long_queries),
		cmocka_unit_test(allows_browsers),
		cmocka_unit_test(serves_head),
		cmocka_unit_test(reports_errors),
		cmocka_unit_test(finds_the_token),
		cmocka_unit_test(trusts_proxies_where_told),
		cmocka_unit_test(reads_bodies),
		cmocka_unit_test(bounds_bodies),
		cmocka_unit_test(refuses_before_the_body_is_sent),
		cmocka_unit_test(reads_chunks),
		cmocka_unit_test(refuses_unclear_lengths),
		cmocka_unit_test(keeps_connections),
		cmocka_unit_test(takes_requests_byte_by_byte),
		cmocka_unit_test(serves_files),
	};

	json_setup();
	return cmocka_run_group_tests(tests, start, stop);
}
