/* Room versions 1 to 12: what each one changes, as data. Specification: rooms/index.md and rooms/vN.md. */
#pragma once

#include "base/base.h"

enum event_id_format { EVENT_ID_GIVEN, EVENT_ID_BASE64, EVENT_ID_URLSAFE };
enum state_resolution { STATE_RES_V1, STATE_RES_V2, STATE_RES_V2_1 };

struct room_version {
	struct str name; /* "1" to "12" */
	int number;
	enum event_id_format event_id_format;
	enum state_resolution state_resolution;
	bool enforce_signing_key_validity; /* 5 */
	bool strict_canonical_json;        /* 6: integers in range, no floats */
	bool special_aliases_auth;         /* 1 to 5: m.room.aliases has a rule and a redaction of its own */
	bool notification_power_levels;    /* 6: "notifications" of m.room.power_levels is checked */
	bool knock;                        /* 7 */
	bool restricted_join;              /* 8 */
	bool redact_keeps_authorised_via;  /* 9 */
	bool knock_restricted;             /* 10 */
	bool integer_power_levels;         /* 10 */
	bool redacts_in_content;           /* 11, with its redaction rules, and no `creator` in m.room.create */
	bool creator_is_sender;            /* 11 */
	bool privileged_creators;          /* 12: infinite power, additional_creators, no create event in auth_events */
	bool room_id_is_create_hash;       /* 12 */
};

const struct room_version *room_version_find(struct str name); /* NULL: unknown */
const struct room_version *room_version_default(void);         /* 12 */
size_t room_version_count(void);
const struct room_version *room_version_at(size_t index);
