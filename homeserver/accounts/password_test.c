#include "accounts/accounts_internal.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void without_a_policy_only_the_length_counts(void **state UNUSED)
{
	const struct options options = { 0 };
	static char long_text[MAX_PASSWORD + 1];
	struct err err = { 0 };

	memset(long_text, 'x', sizeof(long_text));
	assert_true(password_acceptable(&options, STR("x"), &err));
	assert_true(password_acceptable(&options, (struct str){ long_text, MAX_PASSWORD }, &err));
	assert_false(password_acceptable(&options, (struct str){ long_text, sizeof(long_text) }, &err));
	assert_int_equal(err.code, M_INVALID_PARAM);
	assert_false(password_acceptable(&options, STR(""), &err));
}

static void each_rule_of_a_policy_counts(void **state UNUSED)
{
	const struct options options = { .password_policy = { .enabled = true,
							      .minimum_length = 8,
							      .require_digit = true,
							      .require_symbol = true,
							      .require_lowercase = true,
							      .require_uppercase = true } };
	static const struct {
		struct str password;
		bool acceptable;
		enum errcode code;
	} cases[] = {
		{ STR_INIT("Passw0rd!"), true, M_UNKNOWN },
		{ STR_INIT("Pässw0rD"), true, M_UNKNOWN }, /* eight characters, of which ä counts as a symbol */
		{ STR_INIT("Pw0rd!ä"), false, M_PASSWORD_TOO_SHORT }, /* eight bytes, seven characters */
		{ STR_INIT("Password!"), false, M_WEAK_PASSWORD },
		{ STR_INIT("Passw0rdd"), false, M_WEAK_PASSWORD },
		{ STR_INIT("PASSW0RD!"), false, M_WEAK_PASSWORD },
		{ STR_INIT("passw0rd!"), false, M_WEAK_PASSWORD },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = { .code = M_UNKNOWN };

		assert_int_equal(password_acceptable(&options, cases[i].password, &err), cases[i].acceptable);
		assert_int_equal(err.code, cases[i].code);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_policy_only_the_length_counts),
		cmocka_unit_test(each_rule_of_a_policy_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
