#include "limits/limits.h"

#include <arpa/inet.h>

#include "journal/journal.h"
#include "limits/bucket.h"
#include "log/log.h"
#include "options.h"

#define STEPS       20 /* requests that a sign-up may take, with mistakes on the way */
#define FIRST_SWEEP 65536
#define MAX_BUCKETS (1 << 20)

struct limits {
	struct server *server;
	struct mutex lock;    /* of what follows */
	struct idmap buckets; /* by hash of kind and key: the moment at which it is empty, as a number */
	size_t sweep_at;
};

struct limits *limits_new(struct server *server)
{
	struct limits *limits = X_NEW(struct limits);

	limits->server = server;
	limits->sweep_at = FIRST_SWEEP;
	mutex_init(&limits->lock);
	return limits;
}

void limits_free(struct limits *limits)
{
	if (!limits)
		return;
	idmap_done(&limits->buckets);
	mutex_done(&limits->lock);
	free(limits);
}

static struct config_rate rate_of(const struct rate_options *rates, enum limit_kind kind)
{
	switch (kind) {
	case LIMIT_SENDING:
		return rates->message;
	case LIMIT_SIGN_UP:
		return rates->registration;
	case LIMIT_SIGN_UP_STEPS:
		return (struct config_rate){ rates->registration.per_second * STEPS,
					     rates->registration.burst_count * STEPS };
	case LIMIT_ASK_TOKEN:
		return rates->token_validity;
	case LIMIT_LOGIN_ADDRESS:
		return rates->login_address;
	case LIMIT_LOGIN_ACCOUNT:
		return rates->login_account;
	case LIMIT_JOIN_USER:
		return rates->join_local;
	case LIMIT_JOIN_REMOTE:
		return rates->join_remote;
	case LIMIT_JOIN_ROOM:
		return rates->join_room;
	case LIMIT_INVITE_ROOM:
		return rates->invite_room;
	case LIMIT_INVITE_USER:
		return rates->invite_user;
	case LIMIT_INVITE_ISSUER:
		return rates->invite_issuer;
	case LIMIT_CREATE_ROOM:
		return rates->room_creation;
	case LIMIT_CREATE_MEDIA:
		return rates->media_create;
	case LIMIT_SEARCH_USERS:
		return rates->user_directory;
	case LIMIT_REPORTS:
		return rates->report;
	}
	abort();
}

/* Drops what has run empty. When that does not help, somebody makes keys faster than they empty: forgetting all is the
 * lesser evil. */
static void sweep(struct limits *limits, int64_t now_us)
{
	struct idmap kept = { 0 };
	size_t at = 0;
	int64_t key;
	void *value;

	while ((value = idmap_next(&limits->buckets, &at, &key))) {
		if ((int64_t)(intptr_t)value > now_us)
			idmap_put(&kept, key, value);
	}
	if (kept.count > MAX_BUCKETS) {
		idmap_done(&kept);
		kept = (struct idmap){ 0 };
	}
	idmap_done(&limits->buckets);
	limits->buckets = kept;
	limits->sweep_at = MAX(kept.count * 2, FIRST_SWEEP);
}

static bool pour(struct limits *limits, enum limit_kind kind, struct str key, bool take, struct err *err)
{
	struct config_rate rate = bucket_share(rate_of(&limits->server->options->rates, kind),
					       journal_stats(limits->server->journal).processes);
	int64_t id = (int64_t)(str_hash(key) ^ id_hash((int64_t)kind + 1)), now_us = clock_mono_us(), empty_us, wait_us;
	LOCKED(&limits->lock);

	if (!bucket_take(rate, (int64_t)(intptr_t)idmap_get(&limits->buckets, id), now_us, &empty_us, &wait_us))
		return err_limited(err, wait_us / 1000 + 1);
	if (!take)
		return true;
	idmap_put(&limits->buckets, id, (void *)(intptr_t)empty_us);
	if (limits->buckets.count > limits->sweep_at)
		sweep(limits, now_us);
	return true;
}

bool limit_take(struct limits *limits, enum limit_kind kind, struct str key, struct err *err)
{
	return pour(limits, kind, key, true, err);
}

bool limit_check(struct limits *limits, enum limit_kind kind, struct str key, struct err *err)
{
	return pour(limits, kind, key, false, err);
}

struct str limit_address(const struct request *req)
{
	struct in6_addr address;
	char text[INET6_ADDRSTRLEN];

	if (req->remote_address.len >= sizeof(text))
		return req->remote_address;
	memcpy(text, req->remote_address.ptr, req->remote_address.len);
	text[req->remote_address.len] = 0;
	if (inet_pton(AF_INET6, text, &address) != 1)
		return req->remote_address;
	return hex_encode(req->arena, &address, 8);
}

/* --- failed logins --- */

static const struct db_statement SELECT_FAILURES = {
	"login_failures_select",
	"SELECT empty_ts FROM login_failures WHERE user_id = $1",
};
/* $2 is now, $3 what one more adds. Sweeps a few that have run empty. */
static const struct db_statement ADD_FAILURE = {
	"login_failure_add",
	"WITH old AS (DELETE FROM login_failures WHERE user_id IN (SELECT user_id FROM login_failures WHERE empty_ts < "
	"$2 AND user_id <> $1"
	" ORDER BY empty_ts LIMIT 20 FOR UPDATE SKIP LOCKED))"
	" INSERT INTO login_failures AS f (user_id, empty_ts) VALUES ($1, $2 + $3)"
	" ON CONFLICT (user_id) DO UPDATE SET empty_ts = greatest(f.empty_ts, $2) + $3",
};

bool limit_login_failures(struct server *server, struct str user_id, struct arena *arena, struct err *err)
{
	int64_t now_ms = clock_wall_ms(), empty_ms, after_us, wait_us;
	CLEANUP(db_release) struct db *db = NULL;
	struct db_rows *rows;

	if (!db_acquire(server->pool, &db, err) ||
	    !db_query(db, &SELECT_FAILURES, DB_PARAMS(db_text(user_id)), arena, &rows, err))
		return err_detail(err, "count failed logins");
	empty_ms = db_next(rows) ? db_get_int(rows, 0) : 0;
	/* From now on, so that the numbers stay far from the end of what a double holds exactly. */
	return bucket_take(server->options->rates.login_failed, MAX(empty_ms - now_ms, 0) * 1000, 0, &after_us,
			   &wait_us) ||
	       err_limited(err, wait_us / 1000 + 1);
}

/* A count that fails is worth a line, not a login's answer. */
void limit_login_failed(struct server *server, struct str user_id)
{
	double drop_ms = 1000 / MAX(server->options->rates.login_failed.per_second, BUCKET_SLOWEST);
	CLEANUP(db_release) struct db *db = NULL;
	struct err err = { 0 };

	if (!db_acquire(server->pool, &db, &err) ||
	    !db_exec(db, &ADD_FAILURE, DB_PARAMS(db_text(user_id), db_int(clock_wall_ms()), db_int((int64_t)drop_ms)),
		     NULL, &err))
		log_warning("a failed login was not counted: %s", err.detail);
}

/* --- the classes of the route table --- */

static bool path_has(const struct request *req, const char *param)
{
	return strstr(req->route->path, param) != NULL;
}

bool limit_join(struct request *req, struct str room_id, struct err *err)
{
	return limit_take(req->server->limits, LIMIT_JOIN_USER, req->user->user_id, err) &&
	       limit_take(req->server->limits, LIMIT_JOIN_ROOM, room_id, err);
}

bool limit_invite(struct request *req, struct str room_id, struct err *err)
{
	return limit_take(req->server->limits, LIMIT_INVITE_ISSUER, req->user->user_id, err) &&
	       (!room_id.len || limit_take(req->server->limits, LIMIT_INVITE_ROOM, room_id, err));
}

bool limits_hook(struct request *req, struct err *err)
{
	struct limits *limits = req->server->limits;
	struct str who = req->user ? req->user->user_id : limit_address(req);

	switch (req->route->limit) {
	case LIMIT_NONE:
	case LIMIT_COUNT:
		return true;
	case LIMIT_MESSAGE:
		return limit_take(limits, LIMIT_SENDING, who, err);
	case LIMIT_REGISTRATION:
		return limit_take(limits, LIMIT_SIGN_UP_STEPS, limit_address(req), err) &&
		       limit_check(limits, LIMIT_SIGN_UP, limit_address(req), err);
	case LIMIT_TOKEN_VALIDITY:
		return limit_take(limits, LIMIT_ASK_TOKEN, limit_address(req), err);
	case LIMIT_LOGIN:
		return limit_take(limits, LIMIT_LOGIN_ADDRESS, limit_address(req), err);
	case LIMIT_JOIN:
		return limit_join(req, path_param(req, path_has(req, "{roomIdOrAlias}") ? "roomIdOrAlias" : "roomId"), err);
	case LIMIT_INVITE:
		return limit_invite(req, path_has(req, "{roomId}") ? path_param(req, "roomId") : STR(""), err);
	case LIMIT_ROOM_CREATION:
		return limit_take(limits, LIMIT_CREATE_ROOM, who, err);
	case LIMIT_MEDIA_CREATE:
		return limit_take(limits, LIMIT_CREATE_MEDIA, who, err);
	case LIMIT_USER_DIRECTORY:
		return limit_take(limits, LIMIT_SEARCH_USERS, who, err);
	case LIMIT_REPORT:
		return limit_take(limits, LIMIT_REPORTS, who, err);
	}
	abort();
}
