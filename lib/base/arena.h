/*
 * Arenas: memory that belongs to a life (a request, a turn of a loop) and goes with it. Allocation never fails: the process aborts
 * when the system has no memory left, so every input is bounded before it is read. An arena belongs to one thread at a time.
 *
 * Sanitizer builds make each allocation a malloc of its own, so that overruns between neighbours are seen.
 */
#pragma once

#include "base/attributes.h"

struct arena;

struct arena *arena_new(void) RETURNS_NONNULL;
/* Runs the deferred functions, latest first, and frees everything. */
void arena_free(struct arena *arena);
DEFINE_CLEANUP(struct arena *, arena_free)

/* As new: everything freed but the first block, which loops reuse. */
void arena_reset(struct arena *arena);

/* Zeroed memory, aligned for any type. */
void *arena_alloc(struct arena *arena, size_t size) RETURNS_NONNULL;
/* Zeroed; aborts when count × size overflows. */
void *arena_array(struct arena *arena, size_t count, size_t size) RETURNS_NONNULL;
#define ARENA_NEW(arena, type)          ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, count, type) ((type *)arena_array((arena), (count), sizeof(type)))

/* A list that grows in an arena: makes room for one more of `*items` (whose room is *cap), moving them if needed. */
void *arena_grow(struct arena *arena, void *items, size_t count, size_t *cap, size_t size) RETURNS_NONNULL;
#define ARENA_PUSH(arena, items, count, cap)                                                                           \
	((items) = arena_grow((arena), (items), (count), &(cap), sizeof(__typeof__(*(items)))), &(items)[(count)++])

/* Has `fn(object)` called when the arena ends: foreign objects join its life. */
void arena_defer(struct arena *arena, void (*fn)(void *object), void *object);

/* The bytes handed out so far. */
size_t arena_used(const struct arena *arena);

/* malloc, calloc and realloc that do not return NULL, for what lives longer than a request. */
void *x_malloc(size_t size) RETURNS_NONNULL;
void *x_calloc(size_t count, size_t size) RETURNS_NONNULL;
void *x_realloc(void *p, size_t size) RETURNS_NONNULL;
#define X_NEW(type) ((type *)x_calloc(1, sizeof(type)))
