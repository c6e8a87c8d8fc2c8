/* Passwords: argon2id; bcrypt, as Synapse stores it, is accepted. The pepper is Synapse's too: a text added before
 * hashing. */
#include <crypt.h>
#include <sodium.h>

#include "accounts/accounts_internal.h"
#include "base/utf8.h"
#include "limits/limits.h"

/* Each takes 64 MiB for a moment: so many at once, so that a wave of logins does not take the memory that the rest
 * needs. */
#define MAX_HASHING 2

/* `bcrypt_rounds` on its own scale: a step less is half the memory, a step more twice the passes. */
#define USUAL_ROUNDS 12

static void hashing_enter(struct accounts *accounts)
{
	LOCKED(&accounts->hashing_lock);

	while (accounts->hashing >= MAX_HASHING)
		cond_wait(&accounts->hashing_free, &accounts->hashing_lock);
	accounts->hashing++;
}

static void hashing_leave(struct accounts *accounts)
{
	LOCKED(&accounts->hashing_lock);

	accounts->hashing--;
	cond_signal(&accounts->hashing_free);
}

static struct str peppered(struct server *server, struct str password, struct arena *arena)
{
	return str_concat(arena, password, server->options->password_pepper);
}

struct str password_hash_new(struct server *server, struct str password, struct arena *arena)
{
	int64_t rounds = server->options->bcrypt_rounds;
	size_t memory = crypto_pwhash_MEMLIMIT_INTERACTIVE >> (rounds < USUAL_ROUNDS ? USUAL_ROUNDS - rounds : 0);
	unsigned long long passes = crypto_pwhash_OPSLIMIT_INTERACTIVE
				    << (rounds > USUAL_ROUNDS ? MIN(rounds - USUAL_ROUNDS, 6) : 0);
	char *hash = arena_alloc(arena, crypto_pwhash_STRBYTES);
	int status;

	password = peppered(server, password, arena);
	hashing_enter(server->accounts);
	status = crypto_pwhash_str(hash, password.ptr, password.len, passes, MAX(memory, crypto_pwhash_MEMLIMIT_MIN));
	hashing_leave(server->accounts);
	if (status != 0)
		abort(); /* out of memory */
	return str_of(hash);
}

static bool bcrypt_matches(struct str hash, struct str password, struct arena *arena)
{
	struct crypt_data *data = ARENA_NEW(arena, struct crypt_data);
	const char *computed = crypt_r(str_cstr(arena, password), str_cstr(arena, hash), data);

	return computed && strlen(computed) == hash.len && sodium_memcmp(computed, hash.ptr, hash.len) == 0;
}

bool password_matches(struct server *server, struct str hash, struct str password, struct arena *arena)
{
	bool matches;

	if (password.len > MAX_PASSWORD || (password.len && memchr(password.ptr, 0, password.len)))
		return false;
	if (!hash.len) {
		password_hash_new(server, password, arena);
		return false;
	}
	password = peppered(server, password, arena);
	hashing_enter(server->accounts);
	matches = str_starts_with(hash, STR("$2"))
			  ? bcrypt_matches(hash, password, arena)
			  : crypto_pwhash_str_verify(str_cstr(arena, hash), password.ptr, password.len) == 0;
	hashing_leave(server->accounts);
	return matches;
}

/* --- what may be one --- */

struct characters {
	bool digit, symbol, lowercase, uppercase;
};

static struct characters characters_of(struct str password)
{
	struct characters found = { 0 };
	uint32_t c;

	while (utf8_next(&password, &c)) {
		if (c >= '0' && c <= '9')
			found.digit = true;
		else if (c >= 'a' && c <= 'z')
			found.lowercase = true;
		else if (c >= 'A' && c <= 'Z')
			found.uppercase = true;
		else
			found.symbol = true;
	}
	return found;
}

bool password_acceptable(const struct options *options, struct str password, struct err *err)
{
	const struct password_policy *policy = &options->password_policy;
	struct characters found = characters_of(password);

	if (!password.len || password.len > MAX_PASSWORD)
		return err_set(err, M_INVALID_PARAM, "A password has 1 to %d bytes", MAX_PASSWORD);
	if (!policy->enabled)
		return true;
	if (utf8_length(password) < (size_t)policy->minimum_length)
		return err_set(err, M_PASSWORD_TOO_SHORT, "A password has at least %" PRId64 " characters",
			       policy->minimum_length);
	if (policy->require_digit && !found.digit)
		return err_set(err, M_WEAK_PASSWORD, "A password needs a digit");
	if (policy->require_symbol && !found.symbol)
		return err_set(err, M_WEAK_PASSWORD, "A password needs a symbol");
	if (policy->require_lowercase && !found.lowercase)
		return err_set(err, M_WEAK_PASSWORD, "A password needs a small letter");
	if (policy->require_uppercase && !found.uppercase)
		return err_set(err, M_WEAK_PASSWORD, "A password needs a capital letter");
	return true;
}

/* --- who comes with one --- */

struct claim {
	struct str user, password;
	json_t *identifier;
};

static const struct json_field claim_fields[] = {
	JSON_FIELD(struct claim, user, JSON_OPTIONAL),
	JSON_FIELD(struct claim, password, JSON_REQUIRED),
	JSON_FIELD_OBJ(struct claim, identifier, JSON_OPTIONAL),
	{ 0 },
};

struct identifier_body {
	struct str type, user;
};

static const struct json_field identifier_fields[] = {
	JSON_FIELD(struct identifier_body, type, JSON_REQUIRED),
	JSON_FIELD(struct identifier_body, user, JSON_OPTIONAL),
	{ 0 },
};

/* A full user ID, or a localpart of the server name that was called. */
static struct str full_user_id(struct request *req, struct str user)
{
	if (user.len && user.ptr[0] == '@')
		return user;
	return str_printf(req->arena, "@%.*s:%.*s", STR_ARG(user), STR_ARG(request_domain(req)->name));
}

/* "Identifier types". Addresses and phone numbers are bound to no account here. */
static bool claimed_user(struct request *req, const struct claim *claim, struct str fallback, struct str *ret_user_id,
			 struct err *err)
{
	struct identifier_body identifier = { .user = claim->user };

	if (claim->identifier && !json_read(claim->identifier, identifier_fields, &identifier, err))
		return false;
	if (str_eq(identifier.type, STR("m.id.thirdparty")) || str_eq(identifier.type, STR("m.id.phone")))
		return err_set(err, M_FORBIDDEN, "Wrong user name or password");
	if (claim->identifier && !str_eq(identifier.type, STR("m.id.user")))
		return err_status(err, 400, M_UNKNOWN, "This kind of identifier is not supported");
	if (!identifier.user.len && !fallback.len)
		return err_set(err, M_MISSING_PARAM, "It is not said whose password this is");
	*ret_user_id = identifier.user.len ? full_user_id(req, identifier.user) : fallback;
	return true;
}

/* Imported accounts may have capital letters; else they do not count. */
static bool find_any_case(struct server *server, struct str user_id, struct arena *arena, struct account *ret_account,
			  struct err *err)
{
	return account_find(server, user_id, arena, ret_account, err) &&
	       (ret_account->user || account_find(server, str_lower_ascii(arena, user_id), arena, ret_account, err));
}

bool password_login(struct request *req, const json_t *json, struct str fallback, nid_t only,
		    struct account *ret_account, struct err *err)
{
	struct server *server = req->server;
	struct claim claim = { 0 };
	struct account account;
	struct str user_id, key;

	if (!json_read(json, claim_fields, &claim, err) || !claimed_user(req, &claim, fallback, &user_id, err) ||
	    !find_any_case(server, user_id, req->arena, &account, err))
		return false;
	if (only && account.user != only)
		return err_set(err, M_FORBIDDEN, "It is not this user's password that is asked for");
	key = account.user ? account.user_id : str_sub(user_id, 0, 255);
	if (!limit_login_failures(server, key, req->arena, err))
		return false;
	if (!server->options->password_local || account.deactivated)
		account.password_hash = STR("");
	if (!password_matches(server, account.password_hash, claim.password, req->arena)) {
		limit_login_failed(server, key);
		return err_set(err, M_FORBIDDEN, "Wrong user name or password");
	}
	*ret_account = account;
	return true;
}
