/* The redaction algorithm of each room version, as a table: rooms/vN.md "Redactions". event.h takes any JSON. */
#pragma once

#include "matrix/room_version.h"
#include "matrix/slice.h"

/*
 * An event in canonical form less what a redaction takes away; canonical. `bare` leaves out `signatures` too: this is
 * what signatures and the reference hash are made of. (`unsigned` never stays.)
 */
struct str redact_canonical(const struct room_version *version, struct str event, bool bare, struct arena *arena);
/* The same for the content, an object in canonical form, of an event of that type. */
struct str redact_canonical_content(const struct room_version *version, struct str type, struct str content,
				    struct arena *arena);
