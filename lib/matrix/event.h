/*
 * Events in the form that servers exchange (PDUs): reading, building, hashing, signing, redacting. Pure: no I/O, no
 * clock. Specification: rooms/vN.md "Event format", server-server-api "Signing Events", appendices "Canonical JSON".
 */
#pragma once

#include "matrix/room_version.h"
#include "matrix/signing.h"
#include "matrix/slice.h"

#define EVENT_MAX_SIZE  65536 /* canonical bytes of a PDU with its signatures, without `unsigned` */
#define EVENT_MAX_TEXT  ((size_t)8 * EVENT_MAX_SIZE) /* bytes of JSON text that are read at all */
#define EVENT_MAX_PREV  20
#define EVENT_MAX_AUTH  10
#define EVENT_MAX_DEPTH ((INT64_C(1) << 53) - 1) /* of what we build; up to version 5 others may go up to 2^63−1 */

/*
 * A PDU that has been read. All views point into `json` or the arena it was read with. A state event has `is_state`.
 * The event ID is given in room versions 1 and 2, else computed (reference hash); in version 12 a create event's
 * room_id is computed from its ID.
 */
struct pdu {
	struct str json; /* canonical, as stored: with hashes and signatures, without `unsigned` */
	const struct room_version *version;
	struct str event_id, room_id, type, sender, state_key;
	bool is_state;
	int64_t depth, origin_server_ts;
	struct str content; /* slice of the object */
	struct str redacts; /* of m.room.redaction: an event ID, from where the room version has it; empty: none */
	const struct str *prev_events, *auth_events; /* event IDs */
	size_t prev_count, auth_count;
};

/*
 * Reads a PDU: `json` any JSON text. Checks the event format of the version (types and lengths of all fields, ID
 * grammar, numbers in range, size), makes it canonical, computes the event ID. `unsigned` is dropped unread; an
 * `event_id` where the version has none is an error. Neither hash nor signatures are checked here. M_BAD_JSON,
 * M_NOT_JSON, M_TOO_LARGE.
 */
bool pdu_read(const struct room_version *version, struct str json, struct arena *arena, struct pdu *ret_pdu,
	      struct err *err);
/* Reads what pdu_read made before (bytes of our own database): no checks but asserts, no copies, IDs given. Fast. */
void pdu_view(const struct room_version *version, struct str json, struct str event_id, struct str room_id,
	      struct arena *arena, struct pdu *ret_pdu);

/* What an author decides; the rest comes from the room's head. */
struct event_fields {
	struct str room_id; /* empty for a version 12 create event */
	struct str type, sender;
	bool is_state;
	struct str state_key;
	struct str content; /* JSON text of the object (any form) */
	struct str redacts; /* empty: none; put where the room version wants it */
	int64_t depth, origin_server_ts;
	const struct str *prev_events, *auth_events;
	size_t prev_count, auth_count;
	/* Versions 1 and 2 alone: event_reference_hash of each; NULL leaves them out. */
	const struct str *prev_hashes, *auth_hashes;
};

/*
 * Builds, hashes, signs (as `server_name` with `key`) and reads back a PDU. M_BAD_JSON: content is not canonical-able
 * (floats, range) or fields break the format; M_TOO_LARGE. In versions 1 and 2 makes an event ID of `random_id` (18
 * random characters or so). A depth beyond EVENT_MAX_DEPTH becomes that.
 */
bool event_build(const struct room_version *version, const struct event_fields *fields, struct str server_name,
		 const struct signing_key *key, struct str random_id, struct arena *arena, struct pdu *ret_pdu,
		 struct err *err);

/* The content hash agrees with `hashes.sha256`. */
bool pdu_hash_matches(const struct pdu *pdu, struct arena *arena);
/*
 * The following take any JSON object that slice_parse accepts (which pdu->json always is), not only whole PDUs.
 * The redacted form, canonical. Rules: rooms/vN.md "Redactions".
 */
struct str event_redact(const struct room_version *version, struct str json, struct arena *arena);
/* Only what stays of `content` when an event of that type is redacted, canonical. */
struct str event_redact_content(const struct room_version *version, struct str type, struct str content,
				struct arena *arena);
/* The reference hash in unpadded standard Base64. */
struct str event_reference_hash(const struct room_version *version, struct str json, struct arena *arena);
/* The event ID that it makes: `$` and unpadded Base64, URL-safe from version 4 on. Not for versions 1 and 2. */
struct str event_reference_id(const struct room_version *version, struct str json, struct arena *arena);
/* A signature of `server_name` under `key_id` on the redacted form verifies. */
bool pdu_signature_verifies(const struct pdu *pdu, struct str server_name, struct str key_id,
			    const uint8_t public_key[32], struct arena *arena);
