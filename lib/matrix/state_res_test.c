#include "matrix/state_res.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/*
 * The cases are in state_res_vectors.txt (the argument): rooms, each with events in an order in which none comes before
 * its auth events, and then states of that room with what they resolve to.
 *
 *   # comment
 *   room VERSION
 *   ID TYPE STATE_KEY SENDER ORIGIN_SERVER_TS DEPTH AUTH_EVENTS CONTENT      an event
 *   s ID ID ...                                                             a state, at least two
 *   r ID ID ...                                                             the state that those resolve to
 *
 * IDs stand without their `$`. Types are short: c(reate) p(ower levels) j(oin rules) m(ember) t(opic) n(ame), or as
 * they are. Users are letters: a and b on server x, all others on server y. `-` is nothing: the empty state_key, no
 * auth events, an empty state, {}; content of m and j is the membership or rule alone.
 */
#define MAX_EVENTS 512
#define MAX_SETS   8

struct room {
	const struct room_version *version;
	struct arena *arena;
	struct pdu pdus[MAX_EVENTS];
	struct res_event events[MAX_EVENTS]; /* the number of an event is its place here + 1 */
	size_t count;
	struct map by_id;
	struct str keys[MAX_EVENTS]; /* the number of a (type, state_key) is the place here + 1 */
	size_t key_count;
};

struct set {
	bool has[MAX_EVENTS]; /* by the event's number */
};

/* One resolution: the full states, and what is told of them. */
struct attempt {
	const struct room *room;
	struct set sets[MAX_SETS];
	size_t set_count;
	size_t fetched, asked;
	int64_t unconflicted[MAX_EVENTS]; /* by key */
};

static const char *vectors_path;

static struct str user_id(struct arena *arena, struct str letter)
{
	if (letter.len != 1 || letter.ptr[0] < 'a' || letter.ptr[0] > 'z')
		return str_eq(letter, STR("-")) ? STR("") : letter;
	return str_printf(arena, "@%c:%c", letter.ptr[0], letter.ptr[0] <= 'b' ? 'x' : 'y');
}

static struct str full_type(struct str type)
{
	static const struct {
		char letter;
		struct str type;
	} types[] = {
		{ 'c', STR_INIT("m.room.create") },     { 'p', STR_INIT("m.room.power_levels") },
		{ 'j', STR_INIT("m.room.join_rules") }, { 'm', STR_INIT("m.room.member") },
		{ 't', STR_INIT("m.room.topic") },      { 'n', STR_INIT("m.room.name") },
	};

	for (size_t i = 0; type.len == 1 && i < ARRAY_LEN(types); i++) {
		if (types[i].letter == type.ptr[0])
			return types[i].type;
	}
	return type;
}

static struct str full_content(struct arena *arena, struct str type, struct str content)
{
	struct str value;
	struct err err;

	if (str_eq(content, STR("-")))
		content = STR("{}");
	else if (str_eq(type, STR("m")))
		content = str_printf(arena, "{\"membership\":\"%.*s\"}", STR_ARG(content));
	else if (str_eq(type, STR("j")))
		content = str_printf(arena, "{\"join_rule\":\"%.*s\"}", STR_ARG(content));
	assert_true(slice_parse(content, &value, &err));
	return value;
}

static struct str take(struct str *rest)
{
	struct str part = { 0 };

	assert_true(str_split(rest, ' ', &part));
	return part;
}

static int64_t take_int(struct str *rest)
{
	int64_t value;

	assert_true(str_to_int64(take(rest), &value));
	return value;
}

static int64_t nid_of(const struct room *room, struct str id)
{
	const struct res_event *event = map_get(&room->by_id, id);

	if (!event)
		fail_msg("no event %.*s", STR_ARG(id));
	return event ? event->nid : 0;
}

static int64_t key_of(struct room *room, struct str type, struct str state_key)
{
	struct str key = str_printf(room->arena, "%.*s %.*s", STR_ARG(type), STR_ARG(state_key));

	for (size_t i = 0; i < room->key_count; i++) {
		if (str_eq(room->keys[i], key))
			return (int64_t)i + 1;
	}
	room->keys[room->key_count++] = key;
	return (int64_t)room->key_count;
}

static void read_auth(struct room *room, struct res_event *event, struct str ids)
{
	int64_t *auth = NULL;
	size_t count = 0, cap = 0;
	struct str id;

	while (!str_eq(ids, STR("-")) && str_split(&ids, ',', &id)) {
		int64_t nid = nid_of(room, id);

		*ARENA_PUSH(room->arena, auth, count, cap) = nid;
		event->auth_gen = MAX(event->auth_gen, room->events[nid - 1].auth_gen + 1);
	}
	event->auth = auth;
	event->auth_count = count;
}

static void read_event(struct room *room, struct str line)
{
	struct pdu *pdu = &room->pdus[room->count];
	struct res_event *event = &room->events[room->count];
	struct str id = take(&line), type = take(&line), state_key = take(&line), sender = take(&line);
	int64_t ts = take_int(&line), depth = take_int(&line);

	assert_true(++room->count <= MAX_EVENTS);
	*pdu = (struct pdu){
		.json = STR("{}"),
		.version = room->version,
		.event_id = str_printf(room->arena, "$%.*s", STR_ARG(id)),
		.type = full_type(type),
		.is_state = true,
		.state_key = user_id(room->arena, state_key),
		.sender = user_id(room->arena, sender),
		.origin_server_ts = ts,
		.depth = depth,
	};
	pdu->room_id = !room->version->room_id_is_create_hash
			       ? STR("!r:x")
			       : str_printf(room->arena, "!%.*s", STR_ARG(str_from(room->pdus[0].event_id, 1)));
	*event = (struct res_event){
		.pdu = pdu,
		.nid = (int64_t)room->count,
		.key = key_of(room, pdu->type, pdu->state_key),
	};
	read_auth(room, event, take(&line));
	pdu->content = full_content(room->arena, type, line);
	if (event->auth_count == 0 && room->version->room_id_is_create_hash && room->count > 1)
		event->auth_gen = 1; /* the create event is implied */
	if (str_eq(type, STR("m")) &&
	    event->auth_gen == 1) { /* it can only be the creator's, right after the create event */
		pdu->prev_events = &room->pdus[0].event_id;
		pdu->prev_count = 1;
	}
	map_put(&room->by_id, id, event);
}

static struct set read_set(const struct room *room, struct str ids)
{
	struct set set = { 0 };
	struct str id;

	while (!str_eq(ids, STR("-")) && str_split(&ids, ' ', &id))
		set.has[nid_of(room, id) - 1] = true;
	return set;
}

static bool fetch(void *context, const int64_t *nids, size_t count, const struct res_event **ret_events,
		  struct err *err UNUSED)
{
	struct attempt *attempt = context;

	for (size_t i = 0; i < count; i++) {
		assert_in_range(nids[i], 1, attempt->room->count);
		ret_events[i] = &attempt->room->events[nids[i] - 1];
	}
	attempt->fetched += count;
	return true;
}

static int64_t unconflicted(void *context, struct str type, struct str state_key)
{
	struct attempt *attempt = context;

	for (size_t key = 0; key < attempt->room->key_count; key++) {
		int64_t nid = attempt->unconflicted[key];

		if (nid && str_eq(attempt->room->pdus[nid - 1].type, type) &&
		    str_eq(attempt->room->pdus[nid - 1].state_key, state_key))
			return nid;
	}
	return 0;
}

static bool in_unconflicted_chains(void *context, const int64_t *nids, size_t count, bool *ret_in, struct err *err)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct attempt *attempt = context;
	const struct res_source source = { fetch, attempt };
	int64_t from[MAX_EVENTS];
	size_t from_count = 0;

	attempt->asked++;
	for (size_t key = 0; key < attempt->room->key_count; key++) {
		if (attempt->unconflicted[key])
			from[from_count++] = attempt->unconflicted[key];
	}
	return state_res_reach(&source, from, from_count, nids, count, ret_in, arena, err);
}

/* The event that all sets have for a key, or 0. */
static int64_t agreed_event(const struct attempt *attempt, int64_t key)
{
	for (size_t i = 0; i < attempt->room->count; i++) {
		size_t having = 0;

		for (size_t s = 0; attempt->room->events[i].key == key && s < attempt->set_count; s++)
			having += attempt->sets[s].has[i];
		if (having == attempt->set_count)
			return (int64_t)i + 1;
	}
	return 0;
}

static int entry_order(const void *a, const void *b)
{
	const struct res_entry *x = a, *y = b;

	return (x->key > y->key) - (x->key < y->key);
}

/* The entries of a set; without those that all sets have, unless `whole`. */
static struct res_state entries_of(const struct attempt *attempt, size_t s, bool whole, struct arena *arena)
{
	struct res_entry *entries = ARENA_ARRAY(arena, attempt->room->count, struct res_entry);
	size_t count = 0;

	for (size_t i = 0; i < attempt->room->count; i++) {
		const struct res_event *event = &attempt->room->events[i];

		if (attempt->sets[s].has[i] && (whole || attempt->unconflicted[event->key - 1] != event->nid))
			entries[count++] = (struct res_entry){ event->key, event->nid };
	}
	qsort(entries, count, sizeof(*entries), entry_order);
	return (struct res_state){ entries, count };
}

/* Resolves and gives the whole resulting state. With `whole`, the sets are given with what they agree on, and no
 * look-up. */
static struct set resolve(struct attempt *attempt, bool whole)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct res_state states[MAX_SETS];
	struct res_input input = {
		.version = attempt->room->version,
		.sets = states,
		.set_count = attempt->set_count,
		.unconflicted = unconflicted,
		.in_unconflicted_chains = in_unconflicted_chains,
		.context = attempt,
		.source = { fetch, attempt },
	};
	struct res_entry *entries;
	struct set result = { 0 };
	size_t count;
	struct err err = { 0 };

	attempt->fetched = attempt->asked = 0;
	for (size_t key = 0; key < attempt->room->key_count; key++) {
		attempt->unconflicted[key] = agreed_event(attempt, (int64_t)key + 1);
		if (attempt->unconflicted[key])
			result.has[attempt->unconflicted[key] - 1] = true;
	}
	for (size_t s = 0; s < attempt->set_count; s++)
		states[s] = entries_of(attempt, s, whole, arena);
	if (!state_resolve(&input, arena, &entries, &count, &err))
		fail_msg("%s", err.message);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(attempt->room->events[entries[i].event - 1].key, entries[i].key);
		if (i)
			assert_true(entries[i - 1].key < entries[i].key);
		result.has[entries[i].event - 1] = true;
	}
	return result;
}

static void check_equal(const struct room *room, const struct set *result, const struct set *expected, size_t line,
			const char *how)
{
	for (size_t i = 0; i < room->count; i++) {
		if (result->has[i] != expected->has[i])
			fail_msg("line %zu, %s: %.*s %s", line, how, STR_ARG(room->pdus[i].event_id),
				 result->has[i] ? "got in" : "is missing");
	}
}

/* The result must be the expected one, in whatever order and completeness the sets are given. */
static void check_attempt(struct attempt *attempt, const struct set *expected, size_t line)
{
	struct set result = resolve(attempt, false);

	check_equal(attempt->room, &result, expected, line, "conflicts only");
	result = resolve(attempt, true);
	check_equal(attempt->room, &result, expected, line, "whole sets");
	for (size_t i = 0; i + 1 < attempt->set_count; i++) {
		struct set first = attempt->sets[0];

		memmove(&attempt->sets[0], &attempt->sets[1], (attempt->set_count - 1) * sizeof(struct set));
		attempt->sets[attempt->set_count - 1] = first;
		result = resolve(attempt, false);
		check_equal(attempt->room, &result, expected, line, "another order");
	}
	attempt->sets[attempt->set_count++] = attempt->sets[0];
	result = resolve(attempt, false);
	check_equal(attempt->room, &result, expected, line, "a set twice");
}

static struct str read_file(const char *path, struct arena *arena)
{
	FILE *file = fopen(path, "r");
	size_t size = 32 << 20;
	char *text = arena_alloc(arena, size);

	if (!file)
		fail_msg("%s: can't be read", path);
	size = fread(text, 1, size, file);
	fclose(file);
	return (struct str){ text, size };
}

static void room_reset(struct room *room)
{
	map_done(&room->by_id);
	if (room->arena)
		arena_free(room->arena);
	*room = (struct room){ .arena = arena_new() };
}

static void resolves_as_expected(void **state UNUSED)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct str text = read_file(vectors_path, arena), line;
	struct room *room = ARENA_NEW(arena, struct room);
	struct attempt *attempt = ARENA_NEW(arena, struct attempt);
	size_t number = 0, cases = 0;

	while (str_split(&text, '\n', &line)) {
		number++;
		if (!line.len || line.ptr[0] == '#')
			continue;
		if (str_starts_with(line, STR("room "))) {
			room_reset(room);
			room->version = room_version_find(str_from(line, 5));
			assert_non_null(room->version);
		} else if (str_starts_with(line, STR("s "))) {
			attempt->room = room;
			assert_true(attempt->set_count + 2 <= MAX_SETS);
			attempt->sets[attempt->set_count++] = read_set(room, str_from(line, 2));
		} else if (str_starts_with(line, STR("r "))) {
			struct set expected = read_set(room, str_from(line, 2));

			check_attempt(attempt, &expected, number);
			attempt->set_count = 0;
			cases++;
		} else {
			read_event(room, line);
		}
	}
	room_reset(room);
	arena_free(room->arena);
	assert_true(cases > 0);
}

/* A room of version 11 in which everybody may send state, and two states of it. */
struct fixture {
	struct room room;
	struct attempt attempt;
};

static const char fixture_events[] = "create c - a 1 1 - {}\n"
				     "alice m a a 2 2 create join\n"
				     "levels p - a 3 3 create,alice {\"users\":{\"@a:x\":100},\"state_default\":0}\n"
				     "rules j - a 4 4 create,alice,levels public\n"
				     "bob m b b 5 5 create,levels,rules join\n"
				     "topic1 t - a 6 6 create,levels,alice -\n"
				     "topic2 t - a 7 7 create,levels,alice -\n"
				     "topic3 t - b 8 8 create,levels,bob -";

static int fixture_new(void **state)
{
	struct fixture *f = X_NEW(struct fixture);
	struct str text = str_of(fixture_events), line;

	room_reset(&f->room);
	f->room.version = room_version_find(STR("11"));
	while (str_split(&text, '\n', &line))
		read_event(&f->room, line);
	f->attempt.room = &f->room;
	*state = f;
	return 0;
}

static int fixture_free(void **state)
{
	struct fixture *f = *state;

	map_done(&f->room.by_id);
	arena_free(f->room.arena);
	free(f);
	return 0;
}

static void fixture_sets(struct fixture *f, struct str first, struct str second)
{
	f->attempt.sets[0] = read_set(&f->room, first);
	f->attempt.sets[1] = read_set(&f->room, second);
	f->attempt.set_count = 2;
}

static void check_fixture(struct fixture *f, struct str expected)
{
	struct set result = resolve(&f->attempt, false), wanted = read_set(&f->room, expected);

	check_equal(&f->room, &result, &wanted, 0, "fixture");
}

static void fixture_reject(struct fixture *f, struct str id)
{
	f->room.events[nid_of(&f->room, id) - 1].rejected = true;
}

static void keeps_rejected_events_out(void **state)
{
	struct fixture *f = *state;

	fixture_sets(f, STR("create alice levels rules topic1"), STR("create alice levels rules topic2"));
	check_fixture(f, STR("create alice levels rules topic2"));
	fixture_reject(f, STR("topic2"));
	check_fixture(f, STR("create alice levels rules topic1"));
}

/* No state has b's membership: it comes from the auth_events, and into the state, unless it was rejected. */
static void uses_auth_events_unless_rejected(void **state)
{
	struct fixture *f = *state;

	fixture_sets(f, STR("create alice levels rules topic1"), STR("create alice levels rules topic3"));
	check_fixture(f, STR("create alice levels rules bob topic3"));
	fixture_reject(f, STR("bob"));
	check_fixture(f, STR("create alice levels rules topic1"));
}

static void has_nothing_to_do_without_conflicts(void **state)
{
	struct fixture *f = *state;

	fixture_sets(f, STR("create alice levels"), STR("create alice levels"));
	check_fixture(f, STR("create alice levels"));
	assert_int_equal(f->attempt.fetched, 0);
}

static bool fail_to_fetch(void *context, const int64_t *nids, size_t count, const struct res_event **ret_events,
			  struct err *err)
{
	struct attempt *attempt = context;

	if (attempt->fetched + count > attempt->asked)
		return err_internal(err, "the limit of this test");
	return fetch(context, nids, count, ret_events, err);
}

/* Wherever a fetch fails, the resolution fails, and says so. */
static void fails_where_a_fetch_fails(void **state)
{
	struct fixture *f = *state;
	size_t allowed = 0;
	bool ok = false;

	fixture_sets(f, STR("create alice levels rules topic1"), STR("create alice levels rules topic3"));
	check_fixture(f, STR("create alice levels rules bob topic3"));
	for (; !ok && allowed < 100; allowed++) {
		CLEANUP(arena_free) struct arena *arena = arena_new();
		struct res_state states[] = { entries_of(&f->attempt, 0, false, arena),
					      entries_of(&f->attempt, 1, false, arena) };
		struct res_input input = {
			.version = f->room.version,
			.sets = states,
			.set_count = 2,
			.unconflicted = unconflicted,
			.context = &f->attempt,
			.source = { fail_to_fetch, &f->attempt },
		};
		struct res_entry *entries;
		struct err err = { 0 };
		size_t count;

		f->attempt.fetched = 0;
		f->attempt.asked = allowed; /* here: the limit */
		ok = state_resolve(&input, arena, &entries, &count, &err);
		assert_int_equal(ok, err.status == 0);
	}
	assert_in_range(allowed, 4, 99);
}

/* Masks of more than one word: 130 sets, of which the last has something of its own. */
static void resolves_many_sets(void **state)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct fixture *f = *state;
	struct res_state states[130];
	struct res_input input = {
		.version = f->room.version,
		.sets = states,
		.set_count = ARRAY_LEN(states),
		.unconflicted = unconflicted,
		.context = &f->attempt,
		.source = { fetch, &f->attempt },
	};
	struct res_entry *entries;
	struct err err = { 0 };
	size_t count;

	fixture_sets(f, STR("create alice levels rules topic1"), STR("create alice levels rules topic3"));
	(void)resolve(&f->attempt, false);
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		states[i] = entries_of(&f->attempt, i == ARRAY_LEN(states) - 1, false, arena);
	assert_true(state_resolve(&input, arena, &entries, &count, &err));
	assert_int_equal(count, 2);
	assert_int_equal(entries[0].event, nid_of(&f->room, STR("bob")));
	assert_int_equal(entries[1].event, nid_of(&f->room, STR("topic3")));
}

/*
 * A big room: b to whatever number of members have joined under 50 successive power levels. Two forks of it: on one the
 * power levels and the topic change and somebody is banned, on the other a topic changes and somebody joins.
 */
struct big_room {
	struct arena *arena;
	const struct room_version *version;
	struct pdu *pdus;
	struct res_event *events;
	int64_t *auth;
	size_t count, fetched, fetches;
	struct map state; /* the unconflicted one, by type and state_key */
};

static int64_t big_add(struct big_room *b, struct str type, struct str state_key, struct str sender,
		       const char *content, const int64_t *auth, size_t auth_count)
{
	struct res_event *event = &b->events[b->count];
	struct pdu *pdu = &b->pdus[b->count];
	struct err err;

	*pdu = (struct pdu){
		.json = STR("{}"),
		.version = b->version,
		.event_id = str_printf(b->arena, "$%zu", b->count),
		.room_id = STR("!r:x"),
		.type = type,
		.is_state = true,
		.state_key = state_key,
		.sender = sender,
		.origin_server_ts = (int64_t)b->count,
	};
	assert_true(slice_parse(str_of(content), &pdu->content, &err));
	*event = (struct res_event){ .pdu = pdu, .nid = (int64_t)++b->count, .auth_count = auth_count };
	event->key = event->nid;
	event->auth = auth_count ? memcpy(ARENA_ARRAY(b->arena, auth_count, int64_t), auth, auth_count * sizeof(*auth))
				 : NULL;
	for (size_t i = 0; i < auth_count; i++)
		event->auth_gen = MAX(event->auth_gen, b->events[auth[i] - 1].auth_gen + 1);
	return event->nid;
}

static struct str big_key(struct arena *arena, struct str type, struct str state_key)
{
	return str_printf(arena, "%.*s %.*s", STR_ARG(type), STR_ARG(state_key));
}

static int64_t big_put(struct big_room *b, int64_t nid)
{
	struct res_event *event = &b->events[nid - 1];

	map_put(&b->state, big_key(b->arena, event->pdu->type, event->pdu->state_key), event);
	return nid;
}

static bool big_fetch(void *context, const int64_t *nids, size_t count, const struct res_event **ret_events,
		      struct err *err UNUSED)
{
	struct big_room *b = context;

	for (size_t i = 0; i < count; i++)
		ret_events[i] = &b->events[nids[i] - 1];
	b->fetched += count;
	b->fetches++;
	return true;
}

static int64_t big_unconflicted(void *context, struct str type, struct str state_key)
{
	struct big_room *b = context;
	const struct res_event *event = map_get(&b->state, big_key(b->arena, type, state_key));

	return event ? event->nid : 0;
}

static struct str member_id(struct big_room *b, size_t i)
{
	return str_printf(b->arena, "@m%zu:x", i);
}

static int64_t big_member(struct big_room *b, struct str user, struct str sender, const char *membership,
			  const int64_t *auth, size_t auth_count)
{
	return big_add(b, STR("m.room.member"), user, sender,
		       str_printf(b->arena, "{\"membership\":\"%s\"}", membership).ptr, auth, auth_count);
}

static int64_t big_levels(struct big_room *b, int64_t create, int64_t alice, int64_t levels, int ban)
{
	const char *content =
		str_printf(b->arena, "{\"users\":{\"@a:x\":100},\"state_default\":0,\"ban\":%d}", ban).ptr;

	return big_add(b, STR("m.room.power_levels"), STR(""), STR("@a:x"), content,
		       (const int64_t[]){ create, alice, levels }, levels ? 3 : 2);
}

static int64_t big_topic(struct big_room *b, struct str sender, const int64_t auth[3])
{
	return big_add(b, STR("m.room.topic"), STR(""), sender, "{}", auth, 3);
}

static struct res_entry big_entry(struct big_room *b, int64_t key, int64_t nid)
{
	b->events[nid - 1].key = key;
	return (struct res_entry){ key, nid };
}

/* Resolves the two forks in a room of that many members; how many events were fetched for it. */
static size_t cost_of_two_forks(size_t members, size_t *ret_fetches)
{
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct big_room b = { .arena = arena, .version = room_version_find(STR("11")) };
	struct res_entry first[3], second[3], *entries;
	int64_t create, alice, levels = 0, rules, victim = 0;
	struct res_state states[] = { { first, 3 }, { second, 3 } };
	struct res_input input = {
		.version = b.version,
		.sets = states,
		.set_count = 2,
		.unconflicted = big_unconflicted,
		.context = &b,
		.source = { big_fetch, &b },
	};
	struct err err = { 0 };
	size_t count;

	b.pdus = ARENA_ARRAY(arena, members + 100, struct pdu);
	b.events = ARENA_ARRAY(arena, members + 100, struct res_event);
	create = big_put(&b, big_add(&b, STR("m.room.create"), STR(""), STR("@a:x"), "{}", NULL, 0));
	alice = big_put(&b, big_member(&b, STR("@a:x"), STR("@a:x"), "join", &create, 1));
	levels = big_levels(&b, create, alice, 0, 50);
	rules = big_put(&b, big_add(&b, STR("m.room.join_rules"), STR(""), STR("@a:x"), "{\"join_rule\":\"public\"}",
				    (const int64_t[]){ create, alice, levels }, 3));
	for (size_t i = 0; i < members; i++) {
		if (i % (members / 50) == 0)
			levels = big_levels(&b, create, alice, levels, 50);
		victim = big_member(&b, member_id(&b, i), member_id(&b, i), "join",
				    (const int64_t[]){ create, levels, rules }, 3);
		if (i + 1 < members)
			big_put(&b, victim);
	}

	/* The keys: 1 power levels, 2 the victim, 3 the topic. */
	first[0] = big_entry(&b, 1, big_levels(&b, create, alice, levels, 60));
	first[1] = big_entry(&b, 2,
			     big_member(&b, member_id(&b, members - 1), STR("@a:x"), "ban",
					(const int64_t[]){ create, first[0].event, alice, victim }, 4));
	first[2] = big_entry(&b, 3, big_topic(&b, STR("@a:x"), (const int64_t[]){ create, first[0].event, alice }));
	second[0] = big_entry(&b, 1, levels);
	second[1] = big_entry(&b, 2, victim);
	second[2] = big_entry(&b, 3,
			      big_topic(&b, member_id(&b, members - 1), (const int64_t[]){ create, levels, victim }));
	assert_true(state_resolve(&input, arena, &entries, &count, &err));
	assert_int_equal(count, 3);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(entries[i].event, first[i].event);
	map_done(&b.state);
	*ret_fetches = b.fetches;
	return b.fetched;
}

/* What it costs depends on what differs, not on the members. */
static void costs_what_differs(void **state UNUSED)
{
	size_t small_fetches, big_fetches, small = cost_of_two_forks(100, &small_fetches);

	assert_int_equal(cost_of_two_forks(20000, &big_fetches), small);
	assert_int_equal(big_fetches, small_fetches);
	assert_in_range(small, 1, 16);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resolves_as_expected),
		cmocka_unit_test_setup_teardown(keeps_rejected_events_out, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(uses_auth_events_unless_rejected, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(has_nothing_to_do_without_conflicts, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(fails_where_a_fetch_fails, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(resolves_many_sets, fixture_new, fixture_free),
		cmocka_unit_test(costs_what_differs),
	};

	if (argc != 2)
		return 2;
	vectors_path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
