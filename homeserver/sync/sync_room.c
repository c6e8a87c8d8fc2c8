/* One room's section: its timeline, the state that goes with it, and what else belongs to the room. */
#include "interned/interned.h"
#include "state/state_store.h"
#include "sync/sync_internal.h"

struct timeline {
	struct event *events; /* oldest first, those to show */
	size_t count;
	bool limited;
	bool unrelated; /* no event relates to one of these */
	struct event_order prev_batch;
	int64_t root_before; /* the state before the first event shown; with none, the room's now */
};

int64_t sync_timeline_limit(const struct sync *sync)
{
	int64_t limit = sync->filter.timeline.limit >= 0 ? sync->filter.timeline.limit : DEFAULT_TIMELINE;

	return MIN(limit, sync->server->options->filter_timeline_limit);
}

static bool wanted(const struct sync *sync, const struct event_filter *filter, const struct event *event)
{
	struct str type = STR(""), sender = STR(""), content = STR("");

	if (event_filter_is_plain(filter))
		return true;
	slice_get_string(event->json, STR("type"), sync->arena, &type);
	slice_get_string(event->json, STR("sender"), sync->arena, &sender);
	slice_get(event->json, STR("content"), &content);
	return event_filter_wants(filter, type, sender, content);
}

/* Of a page (newest first) what passes the filter and may be seen; appended to the timeline, newest first too. */
static bool take_page(struct sync *sync, const struct room_section *section, const struct event *page, size_t count, size_t limit,
                      struct timeline *timeline, struct err *err)
{
	bool *visible = ARENA_ARRAY(sync->arena, count, bool);

	if (!visibility_filter(sync->server, &section->info, &section->reader, page, count, sync->arena, visible, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!visible[i] || !wanted(sync, &sync->filter.timeline, &page[i]))
			continue;
		if (timeline->count == limit) {
			timeline->limited = true;
			break;
		}
		timeline->prev_batch = page[i].order;
		timeline->root_before = page[i].head_before;
		timeline->events[timeline->count++] = page[i];
	}
	return true;
}

static void reverse(struct event *events, size_t count)
{
	for (size_t i = 0; i < count / 2; i++) {
		struct event swapped = events[i];

		events[i] = events[count - 1 - i];
		events[count - 1 - i] = swapped;
	}
}

static int newest_first(const void *a, const void *b)
{
	return event_order_cmp(((const struct event *)b)->order, ((const struct event *)a)->order);
}

/* The timeline of a gap whose events the journal's tail has told: they are at hand, and what relates to them came after them. */
static bool read_fresh(struct sync *sync, const struct room_section *section, size_t limit, struct timeline *timeline, struct err *err)
{
	const struct room_gap *gap = &section->gap;
	struct event *events = ARENA_ARRAY(sync->arena, gap->fresh_count, struct event);
	struct str relates_to;
	size_t count = 0;

	if (!events_load(sync->server->events, gap->fresh, gap->fresh_count, sync->arena, events, err))
		return false;
	timeline->unrelated = true;
	for (size_t i = 0; i < gap->fresh_count; i++) {
		if (events[i].verdict != VERDICT_ACCEPTED || events[i].order.seq <= gap->seq_before || events[i].order.seq > gap->seq_now)
			continue;
		timeline->unrelated &= !slice_path(events[i].json, &relates_to, STR("content"), STR("m.relates_to"));
		events[count++] = events[i];
	}
	qsort(events, count, sizeof(*events), newest_first);
	if (!take_page(sync, section, events, count, limit, timeline, err))
		return false;
	reverse(timeline->events, timeline->count);
	return true;
}

/* In a first sync the newest page is at hand. */
static bool read_page(struct sync *sync, const struct room_section *section, const struct event_page *page, struct event **ret_events, size_t *ret_count,
                      bool *ret_unrelated, struct err *err)
{
	const struct first_page *first = sync->initial ? first_page_find(sync, section->info.nid, page) : NULL;

	if (!first) {
		*ret_unrelated = false;
		return events_page(sync->server->events, section->info.nid, page, sync->arena, ret_events, ret_count, err);
	}
	*ret_events = first->events;
	*ret_count = first->count;
	*ret_unrelated = !first->related;
	return true;
}

/* The newest events of the gap, up to the limit. With `from_start` (newly joined, first sync) as far back as the user may see. */
static bool read_timeline(struct sync *sync, const struct room_section *section, struct timeline *ret_timeline, struct err *err)
{
	bool from_start = sync->initial || section->gap.newly_joined;
	size_t limit = (size_t)sync_timeline_limit(sync), pages = 0;
	struct timeline timeline = { .root_before = section->gap.root_now, .prev_batch = { section->gap.seq_now + 1, 0 } };
	struct event_page page = {
		.from = { section->gap.seq_now + 1, INT32_MIN },
		.to = { from_start ? 0 : section->gap.seq_before, INT32_MAX },
		.backwards = true,
		.limit = (int64_t)limit + 1,
	};
	struct event *events;
	size_t count;

	*ret_timeline = timeline;
	if ((!from_start && section->gap.seq_now == section->gap.seq_before) || !event_filter_wants_room(&sync->filter.timeline, section->info.room_id))
		return true;
	timeline.events = ARENA_ARRAY(sync->arena, limit + 1, struct event);
	if (section->only) {
		if (limit && section->only->nid && wanted(sync, &sync->filter.timeline, section->only))
			timeline.events[timeline.count++] = *section->only;
		*ret_timeline = timeline;
		return true;
	}
	if (!from_start && section->gap.fresh_known) {
		if (!read_fresh(sync, section, limit, &timeline, err))
			return false;
		*ret_timeline = timeline;
		return true;
	}
	if (from_start)
		page.to = EVENT_ORDER_START;
	else
		page.to = (struct event_order){ section->gap.seq_before + 1, INT32_MIN };
	do {
		if (!read_page(sync, section, &page, &events, &count, &timeline.unrelated, err) ||
		    !take_page(sync, section, events, count, limit, &timeline, err))
			return false;
		if (count)
			page.from = events[count - 1].order;
	} while (!timeline.limited && count == (size_t)page.limit && ++pages < 10); /* a filter that lets little through ends somewhere */
	if (count == (size_t)page.limit && !timeline.limited)
		timeline.limited = true;
	reverse(timeline.events, timeline.count);
	/* What a client has of an earlier stay does not follow on. */
	timeline.limited |= section->gap.newly_joined && !sync->initial;
	*ret_timeline = timeline;
	return true;
}

/* --- state --- */

struct state_list {
	nid_t *events;
	size_t count, cap;
};

static bool add_member_key(struct sync *sync, struct str user_id, nid_t *keys, size_t *count, struct err *err)
{
	nid_t key;

	if (!find_key(sync->server->interned, STR("m.room.member"), user_id, &key, err))
		return false;
	for (size_t i = 0; i < *count && key; i++) {
		if (keys[i] == key)
			return true;
	}
	if (key)
		keys[(*count)++] = key;
	return true;
}

/* The members that come with lazy loading: the timeline's senders and the summary's heroes, with whole states the reader too. */
static bool lazy_member_keys(struct sync *sync, const struct room_section *section, const struct timeline *timeline, bool whole, nid_t **ret_keys,
                             size_t *ret_count, struct err *err)
{
	const struct room_summary *summary = section->gap.summary;
	nid_t *keys = ARENA_ARRAY(sync->arena, timeline->count + SUMMARY_HEROES + 1, nid_t);
	struct str sender = STR("");
	size_t count = 0;

	for (size_t i = 0; i < timeline->count; i++) {
		slice_get_string(timeline->events[i].json, STR("sender"), sync->arena, &sender);
		if (!add_member_key(sync, sender, keys, &count, err))
			return false;
	}
	for (size_t i = 0; summary && i < summary->hero_count; i++) {
		if (!add_member_key(sync, summary->hero_ids[i], keys, &count, err))
			return false;
	}
	if (whole && !add_member_key(sync, sync->user->user_id, keys, &count, err))
		return false;
	*ret_keys = keys;
	*ret_count = count;
	return true;
}

static bool contains_key(const nid_t *keys, size_t count, nid_t key)
{
	for (size_t i = 0; i < count; i++) {
		if (keys[i] == key)
			return true;
	}
	return false;
}

static bool is_in_timeline(const struct timeline *timeline, nid_t event)
{
	for (size_t i = 0; i < timeline->count; i++) {
		if (timeline->events[i].nid == event)
			return true;
	}
	return false;
}

/* A whole state: with lazy loading only the members that are needed. */
static bool add_whole_state(struct sync *sync, const struct room_section *section, int64_t root, const struct timeline *timeline,
                            struct state_list *list, struct err *err)
{
	struct state_source source = state_store_source(sync->server->states);
	bool lazy = sync->filter.state.lazy_load_members;
	struct state_entry *entries;
	size_t count, key_count;
	nid_t *keys;

	if (!state_load(&source, section->info.nid, root, sync->arena, &entries, &count, err) ||
	    (lazy && !lazy_member_keys(sync, section, timeline, true, &keys, &key_count, err)))
		return false;
	for (size_t i = 0; i < count; i++) {
		bool is_member = entries[i].key >> 32 != 0;

		if (!lazy || !is_member || contains_key(keys, key_count, entries[i].key))
			*ARENA_PUSH(sync->arena, list->events, list->count, list->cap) = entries[i].event;
	}
	return true;
}

/* With lazy loading members go along though they did not change: nothing remembers what was sent before. */
static bool add_lazy_members(struct sync *sync, const struct room_section *section, int64_t root, const struct timeline *timeline,
                             struct state_list *list, struct err *err)
{
	struct state_source source = state_store_source(sync->server->states);
	struct state_entry *entries;
	size_t count;
	nid_t *keys;

	if (!lazy_member_keys(sync, section, timeline, false, &keys, &count, err))
		return false;
	entries = ARENA_ARRAY(sync->arena, count, struct state_entry);
	if (count && !state_get(&source, section->info.nid, root, keys, count, entries, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		bool listed = !entries[i].event;

		for (size_t j = 0; j < list->count && !listed; j++)
			listed = list->events[j] == entries[i].event;
		if (!listed)
			*ARENA_PUSH(sync->arena, list->events, list->count, list->cap) = entries[i].event;
	}
	return true;
}

static bool add_difference(struct sync *sync, const struct room_section *section, int64_t before, int64_t after, struct state_list *list,
                           struct err *err)
{
	struct state_source source = state_store_source(sync->server->states);
	struct state_delta *deltas;
	size_t count;

	if (before == after)
		return true;
	if (!state_diff(&source, section->info.nid, before, after, sync->arena, &deltas, &count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (deltas[i].after)
			*ARENA_PUSH(sync->arena, list->events, list->count, list->cap) = deltas[i].after;
	}
	return true;
}

/* `state` stands before the timeline, `state_after` after it; both beside what the client has from `since`. */
static bool collect_state(struct sync *sync, const struct room_section *section, const struct timeline *timeline, struct state_list *list,
                          struct err *err)
{
	int64_t root = sync->state_after ? section->gap.root_now : timeline->root_before;

	if (!event_filter_wants_room(&sync->filter.state, section->info.room_id))
		return true;
	if (section->only) {
		*ARENA_PUSH(sync->arena, list->events, list->count, list->cap) = section->only->nid;
		return true;
	}
	if (sync->initial || section->gap.newly_joined || sync->full_state)
		return add_whole_state(sync, section, root, timeline, list, err);
	return add_difference(sync, section, section->gap.root_before, root, list, err) &&
	       (!sync->filter.state.lazy_load_members || add_lazy_members(sync, section, root, timeline, list, err));
}

static bool load_state_events(struct sync *sync, const struct state_list *list, const struct timeline *timeline, struct event **ret_events,
                              size_t *ret_count, struct err *err)
{
	struct event *events = ARENA_ARRAY(sync->arena, list->count, struct event);
	size_t kept = 0;

	if (!events_load(sync->server->events, list->events, list->count, sync->arena, events, err))
		return false;
	for (size_t i = 0; i < list->count; i++) {
		/* In `state`, what the timeline shows is not repeated. */
		if (events[i].nid && wanted(sync, &sync->filter.state, &events[i]) && (sync->state_after || !is_in_timeline(timeline, events[i].nid)))
			events[kept++] = events[i];
	}
	*ret_events = events;
	*ret_count = kept;
	return true;
}

/* --- writing --- */

/* As servers have it (client-server-api "Filtering", event_format). */
static void write_pdus(struct sync *sync, const struct room_section *section, const struct event *events, size_t count, struct buf *out)
{
	bool first = true;

	for (size_t i = 0; i < count; i++) {
		sync_comma(out, &first);
		buf_append(out, events[i].redacted_by ? event_redact(section->info.version, events[i].json, sync->arena) : events[i].json);
	}
}

static bool write_events(struct sync *sync, const struct room_section *section, const struct event *events, size_t count, bool without_relations,
                         struct buf *out, struct err *err)
{
	const struct event_view view = {
		.server = sync->server,
		.room = &section->info,
		.reader = &section->reader,
		.device = sync->user->device,
		.omit_room_id = true,
		.without_relations = without_relations,
		.federation_format = sync->filter.federation_format,
		.only = sync->filter.event_fields.given ? sync->filter.event_fields.items : NULL,
		.only_count = sync->filter.event_fields.count,
	};

	BUF_LIT(out, "{\"events\":[");
	if (sync->filter.federation_format)
		write_pdus(sync, section, events, count, out);
	else if (!event_view_write(&view, out, events, count, sync->arena, err))
		return false;
	BUF_LIT(out, "]");
	return true;
}

static bool write_timeline(struct sync *sync, const struct room_section *section, const struct timeline *timeline, struct buf *out, struct err *err)
{
	if (!write_events(sync, section, timeline->events, timeline->count, timeline->unrelated, out, err))
		return false;
	buf_printf(out, ",\"limited\":%s,\"prev_batch\":\"t%" PRId64 "_%" PRId64 "\"}", timeline->limited ? "true" : "false", timeline->prev_batch.seq,
	           timeline->prev_batch.sub);
	return true;
}

void ephemeral_begin(struct ephemeral *ephemeral, const char *type)
{
	buf_append(ephemeral->out, ephemeral->any ? STR(",") : STR(",\"ephemeral\":{\"events\":["));
	ephemeral->any = true;
	buf_printf(ephemeral->out, "{\"type\":\"%s\",\"content\":", type);
}

static bool write_ephemeral(const struct sync *sync, const struct room_section *section, struct buf *out, bool *news, struct err *err)
{
	struct ephemeral ephemeral = { .out = out };

	if (section->left || !event_filter_wants_room(&sync->filter.ephemeral, section->info.room_id))
		return true;
	receipts_write(sync, &section->gap, &ephemeral);
	if (!typing_write(sync, &section->gap, &ephemeral, err))
		return false;
	if (ephemeral.any)
		BUF_LIT(out, "]}");
	*news |= ephemeral.any;
	return true;
}

static const char *state_name(const struct sync *sync)
{
	return sync->unstable_state_after ? "org.matrix.msc4222.state_after" : sync->state_after ? "state_after" : "state";
}

bool sync_write_room(struct sync *sync, const struct room_section *section, struct buf *out, bool *ret_news, struct err *err)
{
	struct state_list list = { 0 };
	struct timeline timeline;
	struct event *state;
	size_t state_count;
	bool news;

	if (!read_timeline(sync, section, &timeline, err) || !collect_state(sync, section, &timeline, &list, err) ||
	    !load_state_events(sync, &list, &timeline, &state, &state_count, err))
		return false;
	buf_printf(out, "\"%s\":", state_name(sync));
	if (!write_events(sync, section, state, state_count, true, out, err))
		return false;
	BUF_LIT(out, "},\"timeline\":");
	if (!write_timeline(sync, section, &timeline, out, err))
		return false;
	summary_write(section->gap.summary, out);
	news = account_data_write_room(sync, &section->info, out);
	if (!write_ephemeral(sync, section, out, &news, err))
		return false;
	if (!section->left && !unread_write(sync, section->info.nid, out, err))
		return false;
	*ret_news = news || timeline.count || state_count || sync->initial || section->gap.newly_joined || section->left;
	return true;
}
