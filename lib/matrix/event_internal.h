/* What the reading and the building of events share. */
#pragma once

#include "matrix/event.h"

/* The members of a PDU that mean something to us, in canonical order. */
enum field {
	AUTH_EVENTS,
	CONTENT,
	DEPTH,
	EVENT_ID,
	HASHES,
	ORIGIN_SERVER_TS,
	PREV_EVENTS,
	REDACTS,
	ROOM_ID,
	SENDER,
	SIGNATURES,
	STATE_KEY,
	TYPE,
	FIELD_COUNT
};

struct event_field {
	struct str name;
	enum slice_type type;
};
extern const struct event_field event_fields_known[FIELD_COUNT];

/* Versions 1 and 2: events have an ID of their own, and name others as [id, {"sha256": hash}]. */
static inline bool has_pairs(const struct room_version *version)
{
	return version->event_id_format == EVENT_ID_GIVEN;
}

/* M_BAD_JSON: The event's `field` `how`. */
bool event_malformed(struct err *err, enum field field, const char *how);
struct str event_hash(struct str bytes, bool urlsafe, struct arena *arena); /* SHA-256 in unpadded Base64 */

/*
 * From the canonical form, and the bare one (what signatures cover, which is also what the reference hash is made of),
 * to a PDU, if the format is right.
 */
bool event_finish(const struct room_version *version, struct str json, struct str bare, struct arena *arena,
		  struct pdu *ret_pdu, struct err *err);
