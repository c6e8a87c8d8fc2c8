/* GET /sync: looks, answers, or parks until the journal moves or the time is over. */
#include "accounts/accounts.h"
#include "keys/keys.h"
#include "sync/sync_internal.h"
#include "typing/typing.h"
#include "userdata/userdata.h"

#define MAX_TIMEOUT_MS  120000

/* What a parked sync keeps: no arena, no thread, no connection of the database. */
struct parked_sync {
	struct waiter waiter;
	struct waiters *waiters;
	struct user *user;
	struct sync_token since;
	bool full_state, state_after, unstable_state_after;
	int64_t deadline_ms;
	char *filter; /* JSON; NULL: none */
};

/* What was asked for; views into the request or the parked state. */
struct question {
	const struct user *user;
	struct sync_token since;
	bool initial, full_state, state_after, unstable_state_after;
	struct str filter;
	int64_t deadline_ms;
};

static void free_parked(void *state)
{
	struct parked_sync *parked = state;

	free((void *)(uintptr_t)parked->waiter.rooms);
	free(parked->filter);
	free(parked->user);
	free(parked);
}

static void on_parked(struct parked *handle, void *state)
{
	struct parked_sync *parked = state;

	waiter_file(parked->waiters, &parked->waiter, handle);
	waiter_check(parked->waiters, &parked->waiter);
}

static void on_resumed(struct parked *handle UNUSED, void *state)
{
	struct parked_sync *parked = state;

	waiter_take_out(parked->waiters, &parked->waiter);
}

static bool resume(struct request *req, void *state, enum wake_cause cause, struct err *err);

static nid_t *joined_rooms(const struct sync *sync, size_t *ret_count)
{
	nid_t *rooms = x_calloc(sync->room_count, sizeof(*rooms));

	*ret_count = 0;
	for (size_t i = 0; i < sync->room_count; i++) {
		if (sync->rooms[i].membership == MEMBERSHIP_JOIN)
			rooms[(*ret_count)++] = sync->rooms[i].room;
	}
	return rooms;
}

static bool park(struct request *req, const struct question *question, const struct sync *sync)
{
	struct parked_sync *parked = X_NEW(struct parked_sync);

	parked->waiters = req->server->waiters;
	parked->user = user_copy(question->user);
	parked->since = question->since;
	parked->full_state = question->full_state;
	parked->state_after = question->state_after;
	parked->unstable_state_after = question->unstable_state_after;
	parked->deadline_ms = question->deadline_ms;
	parked->filter = question->filter.len ? x_strdup(question->filter) : NULL;
	parked->waiter = (struct waiter){ .user = question->user->nid, .device = question->user->device, .looked_at = sync->now.pos,
					     .looked_at_ephemeral = sync->now.ephemeral };
	parked->waiter.rooms = joined_rooms(sync, &parked->waiter.room_count);
	return request_park(req, &(struct park){ .state = parked, .resume = resume, .free_state = free_parked, .on_parked = on_parked,
	                                         .on_resumed = on_resumed, .deadline_ms = parked->deadline_ms, .user = parked->user });
}

static bool parse_filter(struct sync *sync, struct str text, struct err *err)
{
	json_t *json = NULL;

	if (text.len && !json_parse(text, sync->arena, &json, err))
		return false;
	return filter_parse(json, sync->arena, &sync->filter, err);
}

/* In every answer, for clients upload keys by them. */
static bool write_key_counts(struct sync *sync, struct err *err)
{
	struct key_counts counts;

	if (!sync->user->device)
		return true;
	if (!key_counts_get(sync->server, sync->user->device, sync->arena, &counts, err))
		return false;
	BUF_LIT(sync->out, ",\"device_one_time_keys_count\":");
	buf_append(sync->out, counts.one_time);
	BUF_LIT(sync->out, ",\"device_unused_fallback_key_types\":");
	buf_append(sync->out, counts.unused_fallback);
	sync->news |= sync->gap.one_time_keys;
	return true;
}

static bool write_answer(struct sync *sync, struct err *err)
{
	struct buf *out = sync->out;

	BUF_LIT(out, "{\"next_batch\":");
	slice_write_string(out, sync_token_text(sync->now, sync->arena));
	if (!account_data_write_global(sync, err))
		return false;
	sync_write_to_device(sync);
	if (!sync_write_device_list_section(sync, err) || !write_key_counts(sync, err))
		return false;
	BUF_LIT(out, ",\"rooms\":");
	if (!sync_write_rooms(sync, err))
		return false;
	BUF_LIT(out, "}");
	return buf_ok(out) || err_internal(err, "an answer to /sync of more than %zu bytes", SYNC_MAX_RESPONSE);
}

static bool read_gap(struct sync *sync, struct err *err)
{
	if (!gap_read(sync, err))
		return false;
	typing_add_to_gap(sync);
	return true;
}

static bool look(struct sync *sync, struct err *err)
{
	return memberships_of_user(sync->server, sync->user->nid, sync->arena, &sync->rooms, &sync->room_count, err) &&
	       ignored_users_get(sync->server, sync->user->nid, sync->arena, &sync->ignored, err) && read_gap(sync, err) &&
	       sync_complete_gaps(sync, err) && sync_fetch_first(sync, err) && summaries_load(sync, err) && account_data_load(sync, err) &&
	       receipts_load(sync, err) && unread_load(sync, err) && sync_take_to_device(sync, err) && write_answer(sync, err);
}

/* Looks once; answers if there is news or no time left. */
static bool answer(struct request *req, const struct question *question, bool may_park, struct err *err)
{
	CLEANUP(buf_done) struct buf out = buf_init(SYNC_MAX_RESPONSE);
	struct sync sync = {
		.server = req->server,
		.user = question->user,
		.arena = req->arena,
		.since = question->since,
		.initial = question->initial,
		.full_state = question->full_state,
		.state_after = question->state_after,
		.unstable_state_after = question->unstable_state_after,
		.out = &out,
	};
	bool ok;

	if (!parse_filter(&sync, question->filter, err))
		return false;
	sync.now.pos = journal_position(req->server->journal);
	/* Another process may have given the token out, and be ahead. */
	sync.now.ephemeral = MAX(typing_position(req->server->typing), sync.since.ephemeral);
	ok = look(&sync, err);
	gap_done(&sync.gap);
	if (!ok)
		return false;
	if (!sync.news && !sync.initial && !sync.full_state && may_park && clock_mono_ms() < question->deadline_ms)
		return park(req, question, &sync);
	return reply_buf(req, 200, "application/json", &out);
}

static bool resume(struct request *req, void *state, enum wake_cause cause, struct err *err)
{
	struct parked_sync *parked = state;
	struct question question = {
		.user = parked->user,
		.since = parked->since,
		.full_state = parked->full_state,
		.state_after = parked->state_after,
		.unstable_state_after = parked->unstable_state_after,
		.filter = str_of(parked->filter),
		.deadline_ms = parked->deadline_ms,
	};

	if (cause == WAKE_HANGUP)
		return reply_empty(req); /* nobody hears it */
	if (cause != WAKE_STOPPING && (!journal_barrier(req->server->journal, err) || !session_alive(req->server, parked->user, req->arena, err)))
		return false;
	return answer(req, &question, cause == WAKE_EVENT && !parked->waiter.ended, err);
}

static bool read_since(struct request *req, struct question *question, struct err *err)
{
	struct str since = query_param(req, "since");
	bool reached = false;

	question->initial = !since.len;
	if (question->initial)
		return true;
	if (sync_token_parse(since, &question->since) && !journal_reach(req->server->journal, question->since.pos, &reached, err))
		return false;
	return reached || err_set(err, M_INVALID_PARAM, "since is no token of this server");
}

static bool read_filter(struct request *req, struct question *question, struct err *err)
{
	struct str filter = query_param(req, "filter");

	if (!filter.len)
		return true;
	if (filter.ptr[0] == '{') {
		question->filter = filter;
		return true;
	}
	if (!filter_get(req->server, req->user->nid, filter, req->arena, &question->filter, err))
		return false;
	return question->filter.len || err_set(err, M_INVALID_PARAM, "There is no such filter");
}

static bool check_presence(struct request *req, struct err *err)
{
	static const struct str known[] = { STR_INIT("offline"), STR_INIT("online"), STR_INIT("unavailable"), STR_INIT("org.matrix.msc3026.busy") };
	struct str presence = query_param(req, "set_presence");
	bool found = !presence.ptr;

	for (size_t i = 0; i < ARRAY_LEN(known) && !found; i++)
		found = str_eq(presence, known[i]);
	return found || err_set(err, M_INVALID_PARAM, "There is no such presence");
}

static bool get_sync(struct request *req, struct err *err)
{
	struct question question = { .user = req->user };
	int64_t timeout_ms;

	if (!query_int(req, "timeout", 0, INT64_MAX, 0, &timeout_ms, err) || !query_bool(req, "full_state", false, &question.full_state, err) ||
	    !query_bool(req, "use_state_after", false, &question.state_after, err) ||
	    !query_bool(req, "org.matrix.msc4222.use_state_after", false, &question.unstable_state_after, err) || !check_presence(req, err) || !read_since(req, &question, err) ||
	    !read_filter(req, &question, err))
		return false;
	question.state_after |= question.unstable_state_after;
	question.deadline_ms = clock_mono_ms() + MIN(timeout_ms, MAX_TIMEOUT_MS);
	return answer(req, &question, true, err);
}

const struct route sync_routes[] = {
	{ HTTP_GET, "/_matrix/client/v3/sync", AUTH_USER, LIMIT_NONE, get_sync, .flags = ROUTE_GUEST },
	{ 0 },
};
