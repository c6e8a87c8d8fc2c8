#include "config/config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct port {
	struct str name;
	int64_t port;
	bool tls;
};

struct key {
	struct str id;
	struct str key;
	int64_t expired_ts;
};

struct example {
	struct str name, folder, secret, made_up, extra;
	bool enabled;
	int64_t count, lifetime, ever, room, mode, depth;
	int format;
	struct config_rate limit;
	struct config_strings words;
	CONFIG_ARRAY_OF(struct port) ports;
	CONFIG_ARRAY_OF(struct key) keys;
};

static const char *const formats[] = { "text", "json", "true", "false", NULL };

static const struct config_option port_options[] = {
	{ "name", CONFIG_AT(STRING, struct port, name), .doc = "A name." },
	{ "port", CONFIG_AT(INT, struct port, port), .max = 65535, .flags = CONFIG_REQUIRED, .doc = "A port." },
	{ "tls", CONFIG_AT(BOOL, struct port, tls), .fallback = "true", .doc = "Whether it speaks TLS." },
	{ 0 },
};

static const struct config_option key_options[] = {
	{ "key", CONFIG_AT(STRING, struct key, key), .flags = CONFIG_REQUIRED, .doc = "A public key." },
	{ "expired_ts", CONFIG_AT(INT, struct key, expired_ts), .doc = "When it ended." },
	{ 0 },
};

static void no_odd_ports(struct config *config, const struct config_place *place, const void *value)
{
	const struct port *port = value;

	if (port->port % 2)
		config_raise(config, place, CONFIG_ERROR, "Port %" PRId64 " is odd", port->port);
}

static const struct config_option options[] = {
	{ .type = CONFIG_SECTION, .doc = "Everything" },
	{ "name", CONFIG_AT(STRING, struct example, name), .flags = CONFIG_REQUIRED, .example = "example.org",
	  .doc = "A name." },
	{ "folder", CONFIG_AT(PATH, struct example, folder), .fallback = "data", .doc = "A folder." },
	{ "secret", CONFIG_AT(SECRET, struct example, secret), .example = "abc", .doc = "A secret." },
	{ "made_up", CONFIG_AT(SECRET, struct example, made_up), .flags = CONFIG_CREATE, .example = "def",
	  .doc = "Another." },
	{ "enabled", CONFIG_AT(BOOL, struct example, enabled), .fallback = "false", .flags = CONFIG_RELOAD,
	  .doc = "Whether." },
	{ "count", CONFIG_AT(INT, struct example, count), .fallback = "3", .min = 1, .max = 9, .doc = "How many." },
	{ "lifetime", CONFIG_AT(DURATION, struct example, lifetime), .fallback = "5m", .doc = "How long." },
	{ "ever", CONFIG_AT(DURATION, struct example, ever), .fallback = "7d", .flags = CONFIG_NULL_IS_FOREVER,
	  .doc = "How long, or for ever." },
	{ "room", CONFIG_AT(SIZE, struct example, room), .fallback = "50M", .flags = CONFIG_RELOAD,
	  .doc = "How large." },
	{ "mode", CONFIG_AT(MODE, struct example, mode), .fallback = "666", .doc = "Permissions." },
	{ "log.format", CONFIG_AT(ENUM, struct example, format), .fallback = "text", .choices = formats,
	  .doc = "For whom." },
	{ "log.inner.depth", CONFIG_AT(INT, struct example, depth), .fallback = "0", .doc = "Nested twice." },
	{ "limit", CONFIG_AT(RATE, struct example, limit), .fallback = "{per_second: 0.2, burst_count: 10}",
	  .doc = "How often." },
	{ "words", CONFIG_AT(STRINGS, struct example, words), .fallback = "[a, b]", .doc = "Words." },
	{ "ports", CONFIG_EACH(LIST, struct example, ports, port_options), .check = no_odd_ports,
	  .example = "\n- name: web\n  port: 8008", .doc = "Ports." },
	{ "keys", CONFIG_EACH(MAP, struct example, keys, key_options), .fallback = "{}", .doc = "Keys." },
	{ "extra", CONFIG_AT(JSON, struct example, extra), .example = "{a: 1}", .doc = "Anything." },
	{ "old", CONFIG_UNUSED, .doc = "there is no need" },
	{ "worker_*", CONFIG_UNUSED, .flags = CONFIG_WARN, .doc = "there are no workers" },
	{ 0 },
};

static struct config *read_text(struct arena *arena, struct str text, struct example *ret_example)
{
	struct config *config = config_new(arena);

	*ret_example = (struct example){ 0 };
	config_add_text(config, STR("/etc/hearth/test.yaml"), text);
	config_read(config, options, ret_example);
	return config;
}

/* "ERROR 3 text|…" */
static struct str faults_of(struct arena *arena, struct config *config)
{
	static const char *const severities[] = {
		[CONFIG_ERROR] = "error", [CONFIG_WARNING] = "warning", [CONFIG_INFO] = "info"
	};
	CLEANUP(buf_done) struct buf buf = buf_init(65536);
	const struct config_fault *faults;
	size_t count;

	faults = config_faults(config, &count);
	for (size_t i = 0; i < count; i++)
		buf_printf(&buf, "%s%s %zu %.*s", i ? "|" : "", severities[faults[i].severity], faults[i].line,
			   STR_ARG(faults[i].text));
	return str_dup(arena, buf_str(&buf));
}

static void assert_str(struct str got, struct str expected)
{
	if (!str_eq(got, expected))
		fail_msg("got: %.*s\nexpected: %.*s", STR_ARG(got), STR_ARG(expected));
}

static void defaults_are_read_from_the_table(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct example e;
	struct config *config = read_text(arena, STR("name: example.org\n"), &e);

	assert_str(faults_of(arena, config), STR(""));
	assert_str(e.name, STR("example.org"));
	assert_str(e.folder, STR("/etc/hearth/data"));
	assert_false(e.enabled);
	assert_int_equal(e.count, 3);
	assert_int_equal(e.lifetime, 300000);
	assert_int_equal(e.room, 50 << 20);
	assert_int_equal(e.mode, 0666);
	assert_int_equal(e.format, 0);
	assert_true(e.limit.per_second > 0.19 && e.limit.per_second < 0.21);
	assert_int_equal((int)e.limit.burst_count, 10);
	assert_int_equal(e.words.count, 2);
	assert_int_equal(e.ports.count, 0);
	assert_true(config_given(config, "name"));
	assert_false(config_given(config, "count"));
}

static void reads_every_type(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct example e;
	struct config *config = read_text(arena,
					  STR("name: 'quoted: name'\n"
					      "folder: /srv/x\n"
					      "secret: s3cret\n"
					      "enabled: yes\n"
					      "count: 0x7\n"
					      "lifetime: 1y\n"
					      "room: 87KiB\n"
					      "mode: 0o640\n"
					      "log:\n"
					      "  format: json\n"
					      "  inner: {depth: 4}\n"
					      "limit:\n"
					      "  per_second: 1_000\n"
					      "words: single\n"
					      "ports:\n"
					      "- port: 80\n"
					      "- {port: 444, tls: off, name: web}\n"
					      "keys:\n"
					      "  ed25519:a_1: {key: abc, expired_ts: 1576767829750}\n"
					      "extra:\n"
					      "  text: \"a\\n\\\"b\\\"\"\n"
					      "  list: [1, 0x10, 010, 1.5, 1e3, ~, True, '1', -7, 2024-01-01]\n"),
					  &e);

	assert_str(faults_of(arena, config), STR(""));
	assert_str(e.name, STR("quoted: name"));
	assert_str(e.folder, STR("/srv/x"));
	assert_str(e.secret, STR("s3cret"));
	assert_true(e.enabled);
	assert_int_equal(e.count, 7);
	assert_int_equal(e.lifetime, INT64_C(365) * 86400 * 1000);
	assert_int_equal(e.room, 87 * 1024);
	assert_int_equal(e.mode, 0640);
	assert_int_equal(e.format, 1);
	assert_int_equal(e.depth, 4);
	assert_int_equal((int)e.limit.per_second, 1000);
	assert_int_equal((int)e.limit.burst_count, 10); /* the default's, as it is not named */
	assert_int_equal(e.words.count, 1);
	assert_str(e.words.items[0], STR("single"));
	assert_int_equal(e.ports.count, 2);
	assert_true(e.ports.items[0].tls);
	assert_false(e.ports.items[1].tls);
	assert_str(e.ports.items[1].name, STR("web"));
	assert_int_equal(e.keys.count, 1);
	assert_str(e.keys.items[0].id, STR("ed25519:a_1"));
	assert_int_equal(e.keys.items[0].expired_ts, INT64_C(1576767829750));
	assert_str(e.extra, STR("{\"text\":\"a\\u000a\\\"b\\\"\",\"list\":[1,16,8,1.5,\"1e3\",null,true,\"1\",-7,"
				"\"2024-01-01\"]}"));
}

/* Each text begins in line 1; `faults` are all that may be found. */
static void finds_all_faults_with_their_lines(void **state UNUSED)
{
	static const struct {
		struct str text, faults;
	} cases[] = {
		{ STR_INIT(""), STR_INIT("error 0 'name' is missing") },
		{ STR_INIT("name:\n"), STR_INIT("error 0 'name' is missing") },
		{ STR_INIT("- a\n- b\n"), STR_INIT("error 1 The file has to be a map of options: 'server_name: "
						   "example.org'|error 0 'name' is missing") },
		{ STR_INIT("name: a\n\ncount: 12\nlifetime: 5 minutes\nenabled: perhaps\n"),
		  STR_INIT("error 3 'count' must be from 1 to 9|error 4 'lifetime' must be a duration: a number of "
			   "milliseconds, or a "
			   "number followed by s, m, h, d, w or y|error 5 'enabled' must be true or false") },
		{ STR_INIT("name: a\nlifetime: -1\n"), STR_INIT("error 2 'lifetime' must be 0 or more") },
		{ STR_INIT("name: a\nlifetime: 300000000y\n"),
		  STR_INIT("error 2 'lifetime' must be a duration: a number of milliseconds, or a number followed by "
			   "s, m, h, d, w or y") },
		{ STR_INIT("name: a\nroom: 5MB\n"),
		  STR_INIT("error 2 'room' must be a size: a number of bytes, or a number followed by K, M, G or T") },
		{ STR_INIT("name: [a]\n"), STR_INIT("error 1 'name' must be a text") },
		{ STR_INIT("name: \"a\\0b\"\n"), STR_INIT("error 1 'name' must be a text without NUL") },
		{ STR_INIT("name: a\nmode: 888\n"), STR_INIT("error 2 'mode' must be octal permissions such as 660") },
		{ STR_INIT("name: a\nlog:\n  format: xml\n  colour: red\n"),
		  STR_INIT("error 3 'log.format' must be one of text, json, true, false|warning 4 Unknown option "
			   "'log.colour'") },
		{ STR_INIT("name: a\nlog: text\n"), STR_INIT("error 2 'log' must be a map") },
		{ STR_INIT("name: a\nlog.format: json\n"), STR_INIT("warning 2 Unknown option 'log.format'") },
		{ STR_INIT("name: a\nlimit: 3\n"),
		  STR_INIT("error 2 'limit' must be a map of per_second and burst_count") },
		{ STR_INIT("name: a\nlimit:\n  per_second: -1\n"),
		  STR_INIT("error 3 'limit' must be numbers of 0 or more") },
		{ STR_INIT("name: a\nlimit:\n  burst: 1\n"), STR_INIT("warning 3 Unknown option 'limit.burst'") },
		{ STR_INIT("name: a\nwords: {a: b}\n"), STR_INIT("error 2 'words' must be a list of texts") },
		{ STR_INIT("name: a\nwords:\n- a\n- [b]\n"), STR_INIT("error 4 'words' must be a text") },
		{ STR_INIT("name: a\nports: 80\n"), STR_INIT("error 2 'ports' must be a list of maps") },
		{ STR_INIT("name: a\nports:\n- port: 80\n- 81\n- tls: maybe\n  colour: red\n- port: 83\n"),
		  STR_INIT("error 4 'ports' must be a list of maps|error 5 'ports[2].tls' must be true or false|"
			   "warning 6 Unknown option 'ports[2].colour'|error 5 'ports[2].port' is missing|error 7 Port "
			   "83 is odd") },
		{ STR_INIT("name: a\nkeys:\n  x: {}\n"), STR_INIT("error 3 'keys.x.key' is missing") },
		{ STR_INIT("name: a\nname: b\n"),
		  STR_INIT("warning 2 'name' stands here a second time (first in line 1); this one counts") },
		{ STR_INIT("name: a\nnaem: b\nworker_app: c\nold: d\n"),
		  STR_INIT("warning 2 Unknown option 'naem'|warning 3 'worker_app' is not used here: there are no "
			   "workers|"
			   "info 4 'old' is not used here: there is no need") },
		{ STR_INIT("name: a\nsecret: b\nsecret_path: /nowhere\n"),
		  STR_INIT("error 3 'secret' and 'secret_path' are both given") },
		{ STR_INIT("name: a\nsecret_path: /nowhere\nsecret: b\n"),
		  STR_INIT("error 2 The secret file /nowhere cannot be read: No such file or directory|"
			   "error 3 'secret' and 'secret_path' are both given") },
		{ STR_INIT("name: a\nsecret_path: [b]\n"), STR_INIT("error 2 'secret_path' must be a path") },
		{ STR_INIT("name: a\n b: c: d\n"),
		  STR_INIT("error 2 mapping values are not allowed in this context|error 0 'name' is missing") },
		{ STR_INIT("name: *a\n"),
		  STR_INIT(
			  "error 1 This alias names nothing that stands complete above it|error 0 'name' is missing") },
		{ STR_INIT("name: &a\n  b: *a\n"),
		  STR_INIT(
			  "error 2 This alias names nothing that stands complete above it|error 0 'name' is missing") },
		{ STR_INIT("name: a\n---\nname: b\n"), STR_INIT("error 2 A second document begins here; one file is "
								"one document|error 0 'name' is missing") },
		{ STR_INIT("[a]: b\n"),
		  STR_INIT("error 1 A key is a plain word here, no list and no map|error 0 'name' is missing") },
		{ STR_INIT("name: a\nextra: \xff\n"),
		  STR_INIT("error 2 invalid leading UTF-8 octet|error 0 'name' is missing") },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct example e;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_str(faults_of(arena, read_text(arena, cases[i].text, &e)), cases[i].faults);
}

static void aliases_and_merge_keys_mean_what_they_say(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct example e;
	struct config *config = read_text(arena,
					  STR("name: &name example.org\n"
					      "words: [*name]\n"
					      "extra:\n"
					      "  a: &a {x: 1, y: 2}\n"
					      "  b: {<<: *a, y: 3}\n"),
					  &e);

	assert_str(faults_of(arena, config), STR(""));
	assert_str(e.words.items[0], STR("example.org"));
	assert_str(e.extra, STR("{\"a\":{\"x\":1,\"y\":2},\"b\":{\"y\":3,\"x\":1}}"));
}

static void refuses_what_is_too_large(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(buf_done) struct buf bomb = buf_init(65536), deep = buf_init(65536), many = buf_init(65536);
	struct example e;

	BUF_LIT(&bomb, "name: a\nextra:\n- &a0 [x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 12; i++)
		buf_printf(&bomb, "- &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i - 1, i - 1, i - 1,
			   i - 1, i - 1, i - 1, i - 1, i - 1);
	assert_str(faults_of(arena, read_text(arena, buf_str(&bomb), &e)),
		   STR("error 8 This is too large for a configuration|error 0 'name' is missing"));
	BUF_LIT(&deep, "extra: ");
	for (int i = 0; i < 1000; i++)
		buf_char(&deep, '[');
	assert_str(faults_of(arena, read_text(arena, buf_str(&deep), &e)),
		   STR("error 1 This is nested too deeply|error 0 'name' is missing"));
	BUF_LIT(&many, "name: a\n");
	for (int i = 0; i < 1000; i++)
		buf_printf(&many, "unknown%d: 1\n", i);
	assert_true(str_ends_with(faults_of(arena, read_text(arena, buf_str(&many), &e)),
				  STR("There is more to say, which is left out")));
}

static struct str write_file(struct arena *arena, const char *folder, const char *name, struct str text)
{
	struct str path = str_printf(arena, "%s/%s", folder, name);
	FILE *file = fopen(str_cstr(arena, path), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text.ptr, 1, text.len, file), text.len);
	assert_int_equal(fclose(file), 0);
	return path;
}

static char *new_folder(struct arena *arena)
{
	char *folder = str_cstr(arena, STR("/tmp/hearth-config-test-XXXXXX"));

	assert_non_null(mkdtemp(folder));
	return folder;
}

static void secrets_stand_in_files_of_their_own(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const char *folder = new_folder(arena);
	struct str path =
		write_file(arena, folder, "main.yaml", STR("name: a\nsecret_path: secret\nmade_up_path: made_up\n"));
	struct str secret_path = write_file(arena, folder, "secret", STR("  from a file\n\n")), made_up_path;
	struct example e = { 0 }, again = { 0 };
	struct config *config = config_new(arena);
	struct stat status;

	config_add_file(config, path);
	assert_true(config_read(config, options, &e));
	assert_str(e.secret, STR("from a file"));
	assert_int_equal(e.made_up.len, 0); /* reading alone leaves no traces */

	for (int i = 0; i < 2; i++) {
		config = config_new(arena);
		config_may_create(config);
		config_add_file(config, path);
		assert_true(config_read(config, options, i ? &again : &e));
	}
	assert_int_equal(e.made_up.len, 64);
	assert_str(again.made_up, e.made_up);
	made_up_path = str_printf(arena, "%s/made_up", folder);
	assert_int_equal(stat(str_cstr(arena, made_up_path), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);

	assert_int_equal(unlink(str_cstr(arena, made_up_path)), 0);
	assert_int_equal(unlink(str_cstr(arena, secret_path)), 0);
	assert_int_equal(unlink(str_cstr(arena, path)), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void later_files_replace_top_level_keys(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const char *folder = new_folder(arena);
	struct str paths[] = {
		write_file(arena, folder, "10-first.yaml", STR("name: a\nlog: {format: json, inner: {depth: 3}}\n")),
		write_file(arena, folder, "20-second.yaml", STR("name: b\nlog: {format: text}\ncount: 99\n")),
		write_file(arena, folder, "not-read.yml", STR("name: c\n")),
	};
	struct config *config = config_new(arena);
	const struct config_fault *faults;
	struct example e = { 0 };
	size_t count;

	config_add_file(config, str_of(folder));
	assert_false(config_read(config, options, &e));
	assert_str(e.name, STR("b"));
	assert_int_equal(e.format, 0);
	assert_int_equal(e.depth, 0);
	faults = config_faults(config, &count);
	assert_int_equal(count, 1);
	assert_str(faults[0].file, paths[1]);
	assert_int_equal(faults[0].line, 3);
	assert_str(config_resolve(config, STR("x")), str_printf(arena, "%s/x", folder));

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		assert_int_equal(unlink(str_cstr(arena, paths[i])), 0);
	config = config_new(arena);
	config_add_file(config, str_of(folder));
	faults = config_faults(config, &count);
	assert_int_equal(count, 1);
	assert_str(faults[0].file, str_of(folder));
	assert_str(faults[0].text, STR("The directory has no *.yaml"));
	assert_int_equal(rmdir(folder), 0);
	config = config_new(arena);
	config_add_file(config, paths[0]);
	assert_false(config_ok(config));
}

static void a_running_server_keeps_what_cannot_change(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct example running, fresh;
	struct config *config;

	read_text(arena, STR("name: a\nwords: [x]\nports: [{port: 80}]\nkeys: {k: {key: v}}\n"), &running);
	config = read_text(
		arena, STR("name: a\nwords: [y]\nroom: 1K\nenabled: true\nports: [{port: 82}]\nkeys: {k: {key: v}}\n"),
		&fresh);
	config_keep(config, options, &running, &fresh);
	assert_str(faults_of(arena, config), STR("warning 2 A new value of 'words' counts from the next start|"
						 "warning 5 A new value of 'ports' counts from the next start"));
	assert_true(fresh.enabled);
	assert_int_equal(fresh.room, 1024);
	assert_str(fresh.words.items[0], STR("x"));
	assert_int_equal(fresh.ports.items[0].port, 80);
}

static void the_sample_comes_from_the_table(void **state UNUSED)
{
	static const struct config_setting set[] = {
		{ "name", STR_INIT("example.org") },
		{ "log.inner.depth", STR_INIT("2") },
		{ "ports", STR_INIT("- port: 90\n- port: 92") },
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	CLEANUP(buf_done) struct buf buf = buf_init(65536);
	struct config *config;
	struct example e;

	config_write_sample(options, set, ARRAY_LEN(set), &buf);
	assert_true(str_starts_with(buf_str(&buf), STR("\n######## Everything ########\n\n## A name.\nname: "
						       "example.org\n\n## A folder.\n#folder: data\n")));
	assert_true(str_find(buf_str(&buf), STR("\nlog:\n  ## For whom.\n#  format: text\n\n  inner:\n    ## Nested "
						"twice.\n    depth: 2\n")) > 0);
	assert_true(str_find(buf_str(&buf), STR("\nports:\n  - port: 90\n  - port: 92\n")) > 0);
	config = read_text(arena, buf_str(&buf), &e);
	assert_str(faults_of(arena, config), STR(""));
	assert_int_equal(e.depth, 2);
	assert_int_equal(e.ports.items[1].port, 92);
}

static void quotes_what_needs_it(void **state UNUSED)
{
	static const struct str texts[] = {
		STR_INIT("example.org"),
		STR_INIT("/var/lib/hearth"),
		STR_INIT(""),
		STR_INIT("yes"),
		STR_INIT("null"),
		STR_INIT("8008"),
		STR_INIT("a: b # c"),
		STR_INIT("tab\tquote\"back\\slash\nline"),
		STR_INIT("1.2.3.4:8448"),
		STR_INIT("日本"),
		STR_INIT("*a"),
	};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct example e;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct str quoted = config_quote(arena, texts[i]);

		read_text(arena, str_printf(arena, "secret: %.*s\n", STR_ARG(quoted)), &e);
		assert_str(e.secret, texts[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_read_from_the_table),
		cmocka_unit_test(reads_every_type),
		cmocka_unit_test(finds_all_faults_with_their_lines),
		cmocka_unit_test(aliases_and_merge_keys_mean_what_they_say),
		cmocka_unit_test(refuses_what_is_too_large),
		cmocka_unit_test(secrets_stand_in_files_of_their_own),
		cmocka_unit_test(later_files_replace_top_level_keys),
		cmocka_unit_test(a_running_server_keeps_what_cannot_change),
		cmocka_unit_test(the_sample_comes_from_the_table),
		cmocka_unit_test(quotes_what_needs_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
