/* The domain's part of the server, and the downloads that wait in it for what is still to be uploaded. */
#include "journal/journal.h"
#include "media/media_internal.h"
#include "options.h"

#define BUSY_MS 1000 /* what one is asked to wait who has too many uploads under way */

/* Called with the journal's apply lock. */
static void observe(void *context, const struct journal_entry *entry)
{
	struct media *media = context;

	if (entry->kind != JOURNAL_MEDIA)
		return;
	LOCKED(&media->lock);
	media->changes++;
	for (struct media_wait *wait = media->waiting; wait; wait = wait->next) {
		if (str_eq(str_of(wait->id), entry->data))
			request_wake(wait->parked);
	}
}

bool media_new(struct server *server, struct media **ret_media, struct err *err)
{
	struct media *media = X_NEW(struct media);

	if (!media_folder_open(server->options->media_store_path, &media->folder, err)) {
		free(media);
		return false;
	}
	mutex_init(&media->lock);
	journal_observe(server->journal, observe, media);
	*ret_media = media;
	return true;
}

void media_free(struct media *media)
{
	if (!media)
		return;
	media_folder_close(&media->folder);
	idmap_done(&media->uploads);
	mutex_done(&media->lock);
	free(media);
}

bool media_upload_begin(struct media *media, nid_t user, size_t max, struct err *err)
{
	uintptr_t count;
	LOCKED(&media->lock);

	count = (uintptr_t)idmap_get(&media->uploads, user);
	if (count >= max)
		return err_limited(err, BUSY_MS);
	idmap_put(&media->uploads, user, (void *)(count + 1));
	return true;
}

void media_upload_end(struct media *media, nid_t user)
{
	uintptr_t count;
	LOCKED(&media->lock);

	count = (uintptr_t)idmap_remove(&media->uploads, user);
	assert(count > 0);
	if (count > 1)
		idmap_put(&media->uploads, user, (void *)(count - 1));
}

struct str media_entry_id(struct str server_name, struct str media_id, struct arena *arena)
{
	return str_printf(arena, "%.*s/%.*s", STR_ARG(server_name), STR_ARG(media_id));
}

uint64_t media_changes(struct media *media)
{
	LOCKED(&media->lock);
	return media->changes;
}

struct media_wait *media_wait_new(struct media *media, struct str id, const struct user *user, uint64_t changes, int64_t deadline_ms)
{
	struct media_wait *wait = X_NEW(struct media_wait);

	*wait = (struct media_wait){
		.media = media,
		.changes = changes,
		.deadline_ms = deadline_ms,
		.id = x_strdup(id),
		.user = user ? user_copy(user) : NULL,
	};
	return wait;
}

void media_wait_free(void *state)
{
	struct media_wait *wait = state;

	free(wait->id);
	free(wait->user);
	free(wait);
}

void media_wait_file(struct parked *parked, void *state)
{
	struct media_wait *wait = state;
	struct media *media = wait->media;

	LOCKED(&media->lock);
	wait->parked = parked;
	wait->prev = NULL;
	wait->next = media->waiting;
	if (wait->next)
		wait->next->prev = wait;
	media->waiting = wait;
	if (media->changes != wait->changes) /* since it looked: it looks again */
		request_wake(parked);
}

void media_wait_take_out(struct parked *parked UNUSED, void *state)
{
	struct media_wait *wait = state;

	LOCKED(&wait->media->lock);
	if (wait->next)
		wait->next->prev = wait->prev;
	if (wait->prev)
		wait->prev->next = wait->next;
	else
		wait->media->waiting = wait->next;
	wait->parked = NULL;
}
