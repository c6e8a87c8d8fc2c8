/* What a server does beside serving: its keys, and what it tells the service manager. */
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "notify.h"
#include "signing_keys.h"

static char folder[] = "/tmp/hearth-service-test-XXXXXX";

static int set_up(void **state UNUSED)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state UNUSED)
{
	return rmdir(folder);
}

static int open_manager(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(address.sun_path, path, strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = 0;
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))),
			 0);
	setenv("NOTIFY_SOCKET", path, 1);
	return fd;
}

static void assert_told(int fd, const char *expected)
{
	char text[256] = { 0 };

	assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
	if (!str_starts_with(str_of(text), str_of(expected)))
		fail_msg("got: %s, expected: %s", text, expected);
}

static void the_service_manager_is_told(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const char *paths[] = {
		str_cstr(arena, str_printf(arena, "%s/notify", folder)),
		str_cstr(arena, str_printf(arena, "@%s", folder)),
	};
	struct notify notify;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		int fd = open_manager(paths[i]);

		notify = notify_open();
		assert_null(getenv("NOTIFY_SOCKET"));
		notify_ready(&notify);
		assert_told(fd, "READY=1\n");
		notify_reloading(&notify);
		assert_told(fd, "RELOADING=1\nMONOTONIC_USEC=");
		notify_watchdog(&notify);
		assert_told(fd, "WATCHDOG=1\n");
		notify_stopping(&notify);
		assert_told(fd, "STOPPING=1\n");
		close(fd);
	}
	unlink(paths[0]);
	notify_ready(&notify); /* nobody listens: no harm */
	notify = notify_open();
	assert_int_equal(strlen(notify.path), 0);
	notify_ready(&notify);
}

static int64_t interval_of(const char *usec, const char *pid)
{
	setenv("WATCHDOG_USEC", usec, 1);
	if (pid)
		setenv("WATCHDOG_PID", pid, 1);
	return notify_open().watchdog_interval_ms;
}

static void the_watchdog_is_fed_twice_in_its_time(void **state UNUSED)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_int_equal(notify_open().watchdog_interval_ms, 0);
	assert_int_equal(interval_of("30000000", NULL), 15000);
	assert_int_equal(interval_of("30000000", pid), 15000);
	assert_int_equal(interval_of("30000000", "1"), 0);
	assert_int_equal(interval_of("soon", NULL), 0);
	assert_null(getenv("WATCHDOG_USEC"));
}

static struct str key_id_of(const struct domain_options *domain, struct arena *arena)
{
	CLEANUP(signing_key_free) struct signing_key *key = NULL;
	struct err err = { 0 };

	if (!signing_key_load(domain, &key, &err))
		fail_msg("%s", err.message);
	return str_dup(arena, signing_key_id(key));
}

static void a_key_is_made_once(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str path = str_printf(arena, "%s/key", folder);
	const struct domain_options domain = { .signing_key_path = path };
	struct str id = key_id_of(&domain, arena);
	struct stat status;
	struct err err;

	assert_true(str_starts_with(id, STR("ed25519:a_")));
	assert_int_equal(stat(str_cstr(arena, path), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_true(signing_key_create(path, &err));
	assert_true(str_eq(key_id_of(&domain, arena), id));
	assert_int_equal(unlink(str_cstr(arena, path)), 0);
	assert_false(signing_key_create(STR("/nowhere/key"), &err));
	assert_string_equal(err.message, "Signing key /nowhere/key: cannot create it: No such file or directory");
}

/* Appendices, "Cryptographic Test Vectors": the seed is theirs. */
static void a_key_may_stand_in_the_configuration(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const struct domain_options good = {
		.signing_key = STR("# of 2020\n\ned25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1\ned25519 2 "
				   "not-looked-at\n"),
	};
	const struct domain_options empty = { .signing_key = STR("# nothing\n") },
				    bad = { .signing_key = STR("ed25519 1 short") };
	struct signing_key *key;
	struct err err;

	assert_true(str_eq(key_id_of(&good, arena), STR("ed25519:1")));
	assert_false(signing_key_load(&empty, &key, &err));
	assert_string_equal(err.message, "Signing key of the configuration: There is no key in it");
	assert_false(signing_key_load(&bad, &key, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_service_manager_is_told),
		cmocka_unit_test(the_watchdog_is_fed_twice_in_its_time),
		cmocka_unit_test(a_key_is_made_once),
		cmocka_unit_test(a_key_may_stand_in_the_configuration),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
