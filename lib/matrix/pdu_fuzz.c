/*
 * The first byte chooses the room version, the rest is an event. What can be read is read to the same again from its
 * canonical form, pdu_view agrees, and redaction keeps the event's ID.
 */
#include "matrix/canonical.h"
#include "matrix/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static bool same_ids(const struct str *a, const struct str *b, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!str_eq(a[i], b[i]))
			return false;
	}
	return true;
}

static void check_same(const struct pdu *a, const struct pdu *b)
{
	check(str_eq(a->json, b->json) && a->version == b->version && str_eq(a->event_id, b->event_id) &&
	      str_eq(a->room_id, b->room_id) && str_eq(a->type, b->type) && str_eq(a->sender, b->sender) &&
	      str_eq(a->state_key, b->state_key) && a->is_state == b->is_state && a->depth == b->depth &&
	      a->origin_server_ts == b->origin_server_ts && str_eq(a->content, b->content) &&
	      str_eq(a->redacts, b->redacts));
	check(a->prev_count == b->prev_count && same_ids(a->prev_events, b->prev_events, a->prev_count));
	check(a->auth_count == b->auth_count && same_ids(a->auth_events, b->auth_events, a->auth_count));
}

static void check_redaction(const struct pdu *pdu, struct arena *arena)
{
	struct str redacted = event_redact(pdu->version, pdu->json, arena);
	struct pdu again;
	struct err err;

	check(pdu_read(pdu->version, redacted, arena, &again, &err));
	check(str_eq(again.json, redacted) && str_eq(again.event_id, pdu->event_id) &&
	      str_eq(again.room_id, pdu->room_id));
	check(str_eq(event_redact(pdu->version, redacted, arena), redacted));
	check(str_eq(again.content, event_redact_content(pdu->version, pdu->type, pdu->content, arena)));
	check(str_eq(event_reference_hash(pdu->version, redacted, arena),
		     event_reference_hash(pdu->version, pdu->json, arena)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t some_key[32] = { 1 };
	CLEANUP(arena_free) struct arena *arena = arena_new();
	const struct room_version *version;
	struct pdu pdu, again;
	struct err err;

	if (size == 0)
		return 0;
	version = room_version_at(data[0] % room_version_count());
	if (!pdu_read(version, (struct str){ (const char *)data + 1, size - 1 }, arena, &pdu, &err))
		return 0;
	check(pdu_read(version, pdu.json, arena, &again, &err));
	check_same(&pdu, &again);
	pdu_view(version, pdu.json, pdu.event_id, pdu.room_id, arena, &again);
	check_same(&pdu, &again);
	check_redaction(&pdu, arena);
	pdu_hash_matches(&pdu, arena);
	pdu_signature_verifies(&pdu, STR("domain"), STR("ed25519:1"), some_key, arena);
	return 0;
}
