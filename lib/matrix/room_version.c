#include "matrix/room_version.h"

/* What each version adds to the one before it; rooms/vN.md, the paragraphs marked "added in" and "changed in". */
#define ADDED_IN_5  .enforce_signing_key_validity = true
#define ADDED_IN_6  ADDED_IN_5, .strict_canonical_json = true, .notification_power_levels = true
#define ADDED_IN_7  ADDED_IN_6, .knock = true
#define ADDED_IN_8  ADDED_IN_7, .restricted_join = true
#define ADDED_IN_9  ADDED_IN_8, .redact_keeps_authorised_via = true
#define ADDED_IN_10 ADDED_IN_9, .knock_restricted = true, .integer_power_levels = true
#define ADDED_IN_11 ADDED_IN_10, .redacts_in_content = true, .creator_is_sender = true
#define ADDED_IN_12 ADDED_IN_11, .privileged_creators = true, .room_id_is_create_hash = true

#define VERSION(n, ids, resolution)                                                                                    \
	.name = STR_INIT(#n), .number = (n), .event_id_format = (ids), .state_resolution = (resolution)

static const struct room_version versions[] = {
	{ VERSION(1, EVENT_ID_GIVEN, STATE_RES_V1), .special_aliases_auth = true },
	{ VERSION(2, EVENT_ID_GIVEN, STATE_RES_V2), .special_aliases_auth = true },
	{ VERSION(3, EVENT_ID_BASE64, STATE_RES_V2), .special_aliases_auth = true },
	{ VERSION(4, EVENT_ID_URLSAFE, STATE_RES_V2), .special_aliases_auth = true },
	{ VERSION(5, EVENT_ID_URLSAFE, STATE_RES_V2), .special_aliases_auth = true, ADDED_IN_5 },
	{ VERSION(6, EVENT_ID_URLSAFE, STATE_RES_V2), ADDED_IN_6 },
	{ VERSION(7, EVENT_ID_URLSAFE, STATE_RES_V2), ADDED_IN_7 },
	{ VERSION(8, EVENT_ID_URLSAFE, STATE_RES_V2), ADDED_IN_8 },
	{ VERSION(9, EVENT_ID_URLSAFE, STATE_RES_V2), ADDED_IN_9 },
	{ VERSION(10, EVENT_ID_URLSAFE, STATE_RES_V2), ADDED_IN_10 },
	{ VERSION(11, EVENT_ID_URLSAFE, STATE_RES_V2), ADDED_IN_11 },
	{ VERSION(12, EVENT_ID_URLSAFE, STATE_RES_V2_1), ADDED_IN_12 },
};

const struct room_version *room_version_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		if (str_eq(versions[i].name, name))
			return &versions[i];
	}
	return NULL;
}

const struct room_version *room_version_default(void)
{
	return &versions[ARRAY_LEN(versions) - 1];
}

size_t room_version_count(void)
{
	return ARRAY_LEN(versions);
}

const struct room_version *room_version_at(size_t index)
{
	assert(index < ARRAY_LEN(versions));
	return &versions[index];
}
