/* What the tests of events share. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "matrix/event.h"

#define OF_255                                                                                                         \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaa"                                                                                                     \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaa"                                                                                                     \
	"aaaaaaaaaaaaaaaaaaaaaaa"

static inline const struct room_version *version_of(int number)
{
	return room_version_at((size_t)number - 1);
}

static inline void same_pdu(const struct pdu *a, const struct pdu *b)
{
	assert_true(str_eq(a->json, b->json));
	assert_ptr_equal(a->version, b->version);
	assert_true(str_eq(a->event_id, b->event_id));
	assert_true(str_eq(a->room_id, b->room_id));
	assert_true(str_eq(a->type, b->type));
	assert_true(str_eq(a->sender, b->sender));
	assert_int_equal(a->is_state, b->is_state);
	assert_true(str_eq(a->state_key, b->state_key));
	assert_int_equal(a->depth, b->depth);
	assert_int_equal(a->origin_server_ts, b->origin_server_ts);
	assert_true(str_eq(a->content, b->content));
	assert_true(str_eq(a->redacts, b->redacts));
	assert_int_equal(a->prev_count, b->prev_count);
	assert_int_equal(a->auth_count, b->auth_count);
	for (size_t i = 0; i < a->prev_count; i++)
		assert_true(str_eq(a->prev_events[i], b->prev_events[i]));
	for (size_t i = 0; i < a->auth_count; i++)
		assert_true(str_eq(a->auth_events[i], b->auth_events[i]));
}
