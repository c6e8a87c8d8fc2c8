#include "matrix/identifiers.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define A50  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A245 A50 A50 A50 A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* appendices, "Server Name": its examples first */
static void takes_server_names_apart(void **state UNUSED)
{
	static const struct {
		struct str text, host;
		enum server_name_kind kind;
		int port;
	} cases[] = {
		{ STR_INIT("matrix.org"), STR_INIT("matrix.org"), SERVER_NAME_DNS, -1 },
		{ STR_INIT("matrix.org:8888"), STR_INIT("matrix.org"), SERVER_NAME_DNS, 8888 },
		{ STR_INIT("1.2.3.4"), STR_INIT("1.2.3.4"), SERVER_NAME_IPV4, -1 },
		{ STR_INIT("1.2.3.4:1234"), STR_INIT("1.2.3.4"), SERVER_NAME_IPV4, 1234 },
		{ STR_INIT("[1234:5678::abcd]"), STR_INIT("1234:5678::abcd"), SERVER_NAME_IPV6, -1 },
		{ STR_INIT("[1234:5678::abcd]:5678"), STR_INIT("1234:5678::abcd"), SERVER_NAME_IPV6, 5678 },

		{ STR_INIT("localhost"), STR_INIT("localhost"), SERVER_NAME_DNS, -1 },
		{ STR_INIT("LocalHost:00080"), STR_INIT("LocalHost"), SERVER_NAME_DNS, 80 },
		{ STR_INIT("1.2.3"), STR_INIT("1.2.3"), SERVER_NAME_DNS, -1 },
		{ STR_INIT("1.2.3.4.5"), STR_INIT("1.2.3.4.5"), SERVER_NAME_DNS, -1 },
		{ STR_INIT("1.2.3.a"), STR_INIT("1.2.3.a"), SERVER_NAME_DNS, -1 },
		{ STR_INIT("[::]"), STR_INIT("::"), SERVER_NAME_IPV6, -1 },
		{ STR_INIT("[::ffff:1.2.3.4]:65535"), STR_INIT("::ffff:1.2.3.4"), SERVER_NAME_IPV6, 65535 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct server_name name = { 0 };

		assert_true(server_name_parse(cases[i].text, &name));
		assert_true(str_eq(name.host, cases[i].host));
		assert_int_equal(name.kind, cases[i].kind);
		assert_int_equal(name.port, cases[i].port);
	}
}

static void refuses_what_is_no_server_name(void **state UNUSED)
{
	static const struct str cases[] = {
		STR_INIT(""),
		STR_INIT(":80"),
		STR_INIT("example.org:"),
		STR_INIT("example.org:123456"),
		STR_INIT("example.org:65536"),
		STR_INIT("example.org:8a"),
		STR_INIT("example.org:-1"),
		STR_INIT("example.org:80:80"),
		STR_INIT("exa_mple.org"),
		STR_INIT("example.org/"),
		STR_INIT("exam ple.org"),
		STR_INIT("ex\0mple.org"),
		STR_INIT("ex\xc3\xa4mple.org"),
		STR_INIT("@a:example.org"),
		STR_INIT("256.1.1.1"),
		STR_INIT("1.2..4"),
		STR_INIT("1.2.3.0004"),
		STR_INIT("::1"),
		STR_INIT("["),
		STR_INIT("[]"),
		STR_INIT("[::1"),
		STR_INIT("[::1]x"),
		STR_INIT("[::1]:"),
		STR_INIT("[:::]"),
		STR_INIT("[1.2.3.4]"),
		STR_INIT("[fe80::1%eth0]"),
		STR_INIT("[::1\0]"),
		STR_INIT("[12345::]"),
		STR_INIT(A245 "aaaaaaaaaaa"),
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (server_name_valid(cases[i]))
			fail_msg("%.*s", STR_ARG(cases[i]));
	}
	assert_true(server_name_valid(STR(A245 "aaaaaaaaaa")));
}

static void knows_user_ids(void **state UNUSED)
{
	static const struct {
		struct str text;
		bool valid, compliant;
		struct str localpart, domain;
	} cases[] = {
		{ STR_INIT("@john.doe:example.com"), true, true, STR_INIT("john.doe"), STR_INIT("example.com") },
		{ STR_INIT("@a=b/c+d-e_f.0:[::1]:8448"), true, true, STR_INIT("a=b/c+d-e_f.0"),
		  STR_INIT("[::1]:8448") },
		/* "Historical User IDs" */
		{ STR_INIT("@USER!#*:matrix.org"), true, true, STR_INIT("USER!#*"), STR_INIT("matrix.org") },
		{ STR_INIT("@:matrix.org"), true, false, STR_INIT(""), STR_INIT("matrix.org") },
		{ STR_INIT("@a b:matrix.org"), true, false, STR_INIT("a b"), STR_INIT("matrix.org") },
		{ STR_INIT("@\x01\x7f:matrix.org"), true, false, STR_INIT("\x01\x7f"), STR_INIT("matrix.org") },
		{ STR_INIT("@日本:matrix.org"), true, false, STR_INIT("日本"), STR_INIT("matrix.org") },
		{ STR_INIT("@@a:matrix.org"), true, true, STR_INIT("@a"), STR_INIT("matrix.org") },
		{ STR_INIT("@" A245 ":b.com.uk"), true, true, STR_INIT(A245), STR_INIT("b.com.uk") },
		{ STR_INIT("@" A245 ":bb.com.uk"), false, false, STR_INIT(""), STR_INIT("") },
		{ STR_INIT(""), false, false, STR_INIT(""), STR_INIT("") },
		{ STR_INIT("@"), false, false, STR_INIT(""), STR_INIT("") },
		{ STR_INIT("@a"), false, false, STR_INIT(""), STR_INIT("") },
		{ STR_INIT("@a:"), false, false, STR_INIT(""), STR_INIT("") },
		{ STR_INIT("a:matrix.org"), false, false, STR_INIT(""), STR_INIT("") },
		{ STR_INIT(":matrix.org"), false, false, STR_INIT(""), STR_INIT("") },
		{ STR_INIT("#a:matrix.org"), false, false, STR_INIT(""), STR_INIT("") },
		{ STR_INIT("@a:b:c"), false, false, STR_INIT(""), STR_INIT("") },
		{ STR_INIT("@a\0b:matrix.org"), false, false, STR_INIT(""), STR_INIT("") },
		{ STR_INIT("@\xff:matrix.org"), false, false, STR_INIT(""), STR_INIT("") },
		{ STR_INIT("@\xed\xa0\x80:matrix.org"), false, false, STR_INIT(""), STR_INIT("") },
		{ STR_INIT("@a:matrix.org "), false, false, STR_INIT(""), STR_INIT("") },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct identifier id = { 0 };

		if (user_id_parse(cases[i].text, &id) != cases[i].valid ||
		    user_id_compliant(cases[i].text) != cases[i].compliant)
			fail_msg("%.*s", STR_ARG(cases[i].text));
		assert_int_equal(user_id_valid(cases[i].text), cases[i].valid);
		assert_true(str_eq(id.localpart, cases[i].localpart));
		assert_true(str_eq(id.domain, cases[i].domain));
	}
}

static void knows_localparts_for_new_users(void **state UNUSED)
{
	assert_true(user_localpart_valid(STR("abcxyz0189._=-/+")));
	assert_false(user_localpart_valid(STR("")));
	assert_false(user_localpart_valid(STR("Ana")));
	assert_false(user_localpart_valid(STR("a:b")));
	assert_false(user_localpart_valid(STR("a b")));
	assert_false(user_localpart_valid(STR("a\0")));
	assert_false(user_localpart_valid(STR("\xc3\xa1")));
}

static void knows_room_ids_aliases_and_event_ids(void **state UNUSED)
{
	static const struct {
		struct str text;
		bool room, alias, event, domain;
	} cases[] = {
		{ STR_INIT("!UcYsUzyxTGDxLBEvLy:example.org"), true, false, false, true },
		{ STR_INIT("!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ"), true, false, false, false },
		{ STR_INIT("!日\n:example.org"), true, false, false, true },
		{ STR_INIT("!:example.org"), true, false, false, true },
		{ STR_INIT("!"), false, false, false, false },
		{ STR_INIT("!a:"), false, false, false, false },
		{ STR_INIT("!a:b c"), false, false, false, false },
		{ STR_INIT("!a\0b"), false, false, false, false },
		{ STR_INIT("!\xff"), false, false, false, false },
		{ STR_INIT("#room:example.org"), false, true, false, true },
		{ STR_INIT("#Räume & mehr:example.org:8448"), false, true, false, true },
		{ STR_INIT("#room"), false, false, false, false },
		{ STR_INIT("$a4ecee13e2accdadf56c1025:example.com"), false, false, true, true },
		{ STR_INIT("$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk"), false, false, true, false },
		{ STR_INIT("$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"), false, false, true, false },
		{ STR_INIT("$"), false, false, false, false },
		{ STR_INIT("$a:"), false, false, false, false },
		{ STR_INIT("$" A245 "aaaaaaaaa"), false, false, true, false },
		{ STR_INIT("$" A245 "aaaaaaaaaa"), false, false, false, false },
		{ STR_INIT("!" A245 "aaaaaaaaaa"), false, false, false, false },
		{ STR_INIT("@a:example.org"), false, false, false, false },
		{ STR_INIT(""), false, false, false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str text = cases[i].text;
		struct identifier id = { 0 };

		if (room_id_valid(text) != cases[i].room || room_alias_valid(text) != cases[i].alias ||
		    event_id_valid(text) != cases[i].event)
			fail_msg("%.*s", STR_ARG(text));
		assert_int_equal(room_id_parse(text, &id) || room_alias_parse(text, &id) || event_id_parse(text, &id),
				 cases[i].room || cases[i].alias || (cases[i].event && cases[i].domain));
		assert_int_equal(id.domain.len > 0, cases[i].domain);
		if (cases[i].domain)
			assert_true(str_eq(identifier_domain(text), id.domain));
	}
}

static void finds_domains(void **state UNUSED)
{
	assert_true(str_eq(identifier_domain(STR("@a:example.org:80")), STR("example.org:80")));
	assert_int_equal(identifier_domain(STR("$abc")).len, 0);
	assert_int_equal(identifier_domain(STR("")).len, 0);
}

static void knows_the_common_grammars(void **state UNUSED)
{
	assert_true(namespaced_id_valid(STR("com.example.identifier")));
	assert_true(namespaced_id_valid(STR("m.x-y_0")));
	assert_false(namespaced_id_valid(STR("")));
	assert_false(namespaced_id_valid(STR("0a")));
	assert_false(namespaced_id_valid(STR("Com.example")));
	assert_false(namespaced_id_valid(STR("com/example")));
	assert_true(namespaced_id_valid(STR(A245 "0123456789")));
	assert_false(namespaced_id_valid(STR(A245 "01234567890")));
	assert_true(opaque_id_valid(STR("AZaz09-._~")));
	assert_false(opaque_id_valid(STR("")));
	assert_false(opaque_id_valid(STR("a b")));
	assert_false(opaque_id_valid(STR("a\0")));
	assert_false(opaque_id_valid(STR("a/b")));
	assert_false(opaque_id_valid(STR(A245 "01234567890")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_server_names_apart),
		cmocka_unit_test(refuses_what_is_no_server_name),
		cmocka_unit_test(knows_user_ids),
		cmocka_unit_test(knows_localparts_for_new_users),
		cmocka_unit_test(knows_room_ids_aliases_and_event_ids),
		cmocka_unit_test(finds_domains),
		cmocka_unit_test(knows_the_common_grammars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
