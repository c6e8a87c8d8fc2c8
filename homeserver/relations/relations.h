/*
 * Relations between events (client-server-api "Relationships between events", modules/event_replacements.md, threading.md, event_annotations.md,
 * reference_relations.md): kept as rows beside the events, bundled with the events that they are about, listed.
 */
#pragma once

#include "rooms/adders.h"
#include "rooms/event_view.h"

/* An event_adder. */
bool relations_add(struct write_set *set, const struct event_added *added, struct err *err);

/* Which of these have relations that are bundled; by the index alone. */
bool relations_find(struct server *server, const nid_t *rooms, const struct str *event_ids, size_t count, struct arena *arena, bool *ret_related,
                    struct err *err);
/*
 * What is bundled with each of `events`: ret_bundles[i] is the JSON of unsigned.m.relations, empty where there is nothing. One query for all. Redacted events are
 * bundled with threads only.
 */
bool relations_bundle(const struct event_view *view, const struct event *events, size_t count, struct arena *arena, struct str *ret_bundles,
                      struct err *err);
/* 400 M_DUPLICATE_ANNOTATION when the sender has annotated the event with this key already; 400 M_UNKNOWN for a thread that begins at a related event. */
bool relations_check(struct server *server, nid_t room, nid_t sender, struct str type, struct str content, struct arena *arena, struct err *err);

extern const struct route relations_routes[];
