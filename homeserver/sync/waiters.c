#include "sync/waiters.h"

#include "journal/journal.h"
#include "typing/typing.h"

#define MAX_PER_DEVICE 10

/* The waiters of a room, without order. */
struct room_waiters {
	struct waiter **items;
	size_t count, cap;
};

struct waiters {
	struct server *server;
	struct mutex lock;
	struct idmap rooms; /* struct room_waiters */
	struct idmap users; /* the first struct waiter of the user */
	struct parked **due; /* to be woken together, of waiters that are filed */
	size_t due_count, due_cap;
	uint64_t age;
};

static void wake(struct waiters *waiters, struct waiter *waiter)
{
	if (waiter->woken)
		return;
	waiter->woken = true;
	if (waiters->due_count == waiters->due_cap) {
		waiters->due_cap = waiters->due_cap ? waiters->due_cap * 2 : 64;
		waiters->due = x_realloc(waiters->due, waiters->due_cap * sizeof(struct parked *));
	}
	waiters->due[waiters->due_count++] = waiter->parked;
}

static void wake_due(struct waiters *waiters)
{
	assert(mutex_held(&waiters->lock));
	request_wake_all(waiters->due, waiters->due_count);
	waiters->due_count = 0;
}

/* It is resumed for another reason before it was woken. */
static void forget_due(struct waiters *waiters, const struct parked *parked)
{
	for (size_t i = 0; i < waiters->due_count; i++) {
		if (waiters->due[i] == parked) {
			waiters->due[i] = waiters->due[--waiters->due_count];
			return;
		}
	}
}

static void wake_room(struct waiters *waiters, nid_t room, int64_t pos)
{
	struct room_waiters *list = idmap_get(&waiters->rooms, room);

	for (size_t i = 0; list && i < list->count; i++) {
		if (list->items[i]->looked_at < pos)
			wake(waiters, list->items[i]);
	}
}

static void wake_user(struct waiters *waiters, nid_t user, int64_t pos)
{
	for (struct waiter *waiter = idmap_get(&waiters->users, user); waiter; waiter = waiter->next_of_user) {
		if (waiter->looked_at < pos)
			wake(waiters, waiter);
	}
}

static void wake_everybody(struct waiters *waiters, int64_t pos)
{
	size_t at = 0;
	int64_t user;

	while (idmap_next(&waiters->users, &at, &user))
		wake_user(waiters, user, pos);
}

/*
 * Called under the journal's apply lock, so a waiter that is filed afterwards sees the new position when it checks (waiter_check). Whom it concerns is woken when
 * the lock is free again (on_applied): they would all run into it.
 */
static void observe(void *context, const struct journal_entry *entry)
{
	struct waiters *waiters = context;
	LOCKED(&waiters->lock);

	switch (entry->kind) {
	case JOURNAL_EVENT:
	case JOURNAL_STATE:
		if (entry->key && entry->target)
			wake_user(waiters, entry->target, entry->pos);
		wake_room(waiters, entry->room, entry->pos);
		break;
	case JOURNAL_RECEIPT:
		if (entry->membership == 1)
			wake_user(waiters, entry->user, entry->pos);
		else
			wake_room(waiters, entry->room, entry->pos);
		break;
	case JOURNAL_DEVICE_LIST:
		/* Who shares a room with the user is not known here: those that wait look for themselves. Device changes are rare. */
		wake_everybody(waiters, entry->pos);
		break;
	case JOURNAL_ACCOUNT_DATA:
	case JOURNAL_TO_DEVICE:
	case JOURNAL_ONE_TIME_KEYS:
	case JOURNAL_FORGET:
	case JOURNAL_TOKEN:
	case JOURNAL_ACCOUNT:
	case JOURNAL_PUSH_RULES:
		wake_user(waiters, entry->user, entry->pos);
		break;
	default:
		break;
	}
}

static void on_applied(void *context, int64_t pos UNUSED)
{
	struct waiters *waiters = context;
	LOCKED(&waiters->lock);

	wake_due(waiters);
}

struct waiters *waiters_new(struct server *server)
{
	struct waiters *waiters = X_NEW(struct waiters);

	waiters->server = server;
	mutex_init(&waiters->lock);
	journal_observe(server->journal, observe, waiters);
	journal_on_applied(server->journal, on_applied, waiters);
	return waiters;
}

void waiters_free(struct waiters *waiters)
{
	struct room_waiters *list;
	size_t at = 0;

	if (!waiters)
		return;
	while ((list = idmap_next(&waiters->rooms, &at, NULL))) {
		free(list->items);
		free(list);
	}
	idmap_done(&waiters->rooms);
	idmap_done(&waiters->users);
	free(waiters->due);
	mutex_done(&waiters->lock);
	free(waiters);
}

static void add_to_room(struct waiters *waiters, nid_t room, struct waiter *waiter)
{
	struct room_waiters *list = idmap_get(&waiters->rooms, room);

	if (!list) {
		list = X_NEW(struct room_waiters);
		idmap_put(&waiters->rooms, room, list);
	}
	if (list->count == list->cap) {
		list->cap = list->cap ? list->cap * 2 : 4;
		list->items = x_realloc(list->items, list->cap * sizeof(*list->items));
	}
	list->items[list->count++] = waiter;
}

static void remove_from_room(struct waiters *waiters, nid_t room, const struct waiter *waiter)
{
	struct room_waiters *list = idmap_get(&waiters->rooms, room);

	for (size_t i = 0; list && i < list->count; i++) {
		if (list->items[i] == waiter) {
			list->items[i] = list->items[--list->count];
			break;
		}
	}
	if (list && list->count == 0) {
		idmap_remove(&waiters->rooms, room);
		free(list->items);
		free(list);
	}
}

static void add_to_user(struct waiters *waiters, struct waiter *waiter)
{
	struct waiter *first = idmap_get(&waiters->users, waiter->user), *oldest = NULL;
	size_t of_device = 0;

	for (struct waiter *w = first; w; w = w->next_of_user) {
		if (w->device != waiter->device || w->woken)
			continue;
		of_device++;
		if (!oldest || w->age < oldest->age)
			oldest = w;
	}
	if (of_device >= MAX_PER_DEVICE) {
		oldest->ended = true;
		wake(waiters, oldest);
		wake_due(waiters);
	}
	waiter->previous_of_user = NULL;
	waiter->next_of_user = first;
	if (first)
		first->previous_of_user = waiter;
	idmap_put(&waiters->users, waiter->user, waiter);
}

void waiter_file(struct waiters *waiters, struct waiter *waiter, struct parked *parked)
{
	LOCKED(&waiters->lock);

	waiter->parked = parked;
	waiter->woken = false;
	waiter->filed = true;
	waiter->age = ++waiters->age;
	for (size_t i = 0; i < waiter->room_count; i++)
		add_to_room(waiters, waiter->rooms[i], waiter);
	add_to_user(waiters, waiter);
}

void waiter_check(struct waiters *waiters, struct waiter *waiter)
{
	/* Not under our lock: the journal calls us with its own held. What is applied from here on finds the waiter filed. */
	int64_t position = journal_position(waiters->server->journal), ephemeral = typing_position(waiters->server->typing);
	LOCKED(&waiters->lock);

	if (waiter->filed && (position > waiter->looked_at || ephemeral > waiter->looked_at_ephemeral))
		wake(waiters, waiter);
	wake_due(waiters);
}

void waiter_take_out(struct waiters *waiters, struct waiter *waiter)
{
	LOCKED(&waiters->lock);

	if (!waiter->filed)
		return;
	waiter->filed = false;
	if (waiter->woken)
		forget_due(waiters, waiter->parked);
	for (size_t i = 0; i < waiter->room_count; i++)
		remove_from_room(waiters, waiter->rooms[i], waiter);
	if (waiter->next_of_user)
		waiter->next_of_user->previous_of_user = waiter->previous_of_user;
	if (waiter->previous_of_user)
		waiter->previous_of_user->next_of_user = waiter->next_of_user;
	else if (waiter->next_of_user)
		idmap_put(&waiters->users, waiter->user, waiter->next_of_user);
	else
		idmap_remove(&waiters->users, waiter->user);
}

void waiters_wake_room(struct waiters *waiters, nid_t room)
{
	LOCKED(&waiters->lock);

	wake_room(waiters, room, INT64_MAX);
	wake_due(waiters);
}
