#include "base/arena.h"

#define FIRST_BLOCK 4096
#define MAX_BLOCK   (256 * 1024)

struct block {
	struct block *prev;
	size_t size, used; /* of data */
	max_align_t data[];
};

struct deferred {
	struct deferred *prev;
	void (*fn)(void *object);
	void *object;
};

struct arena {
	struct block *block;
	struct deferred *deferred;
	size_t used;
};

void *x_malloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		abort();
	return p;
}

void *x_calloc(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);

	if (!p)
		abort();
	return p;
}

void *x_realloc(void *p, size_t size)
{
	p = realloc(p, size ? size : 1);
	if (!p)
		abort();
	return p;
}

struct arena *arena_new(void)
{
	return X_NEW(struct arena);
}

static void run_deferred(struct arena *arena)
{
	/* A deferred function may defer no more, but the list lives in the blocks: walk it before they go. */
	for (struct deferred *d = arena->deferred; d; d = d->prev)
		d->fn(d->object);
	arena->deferred = NULL;
}

void arena_free(struct arena *arena)
{
	if (!arena)
		return;
	run_deferred(arena);
	for (struct block *b = arena->block, *prev; b; b = prev) {
		prev = b->prev;
		free(b);
	}
	free(arena);
}

void arena_reset(struct arena *arena)
{
	struct block *b = arena->block;

	run_deferred(arena);
#ifndef HEARTH_SANITIZED
	for (struct block *prev; b && b->prev; b = prev) {
		prev = b->prev;
		free(b);
	}
	if (b)
		b->used = 0;
#else
	for (struct block *prev; b; b = prev) {
		prev = b->prev;
		free(b);
	}
#endif
	arena->block = b;
	arena->used = 0;
}

static struct block *block_add(struct arena *arena, size_t size)
{
	struct block *b = x_malloc(sizeof(*b) + size);

	b->prev = arena->block;
	b->size = size;
	b->used = 0;
	arena->block = b;
	return b;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	const size_t align = _Alignof(max_align_t);
	size_t rounded;
	struct block *b = arena->block;
	void *p;

	if (size > SIZE_MAX / 2)
		abort();
	rounded = (size + align - 1) / align * align;
	arena->used += rounded;
#ifdef HEARTH_SANITIZED
	b = block_add(arena, size);
	b->used = size;
	return memset(b->data, 0, size);
#endif
	if (!b || b->size - b->used < rounded) {
		size_t next = b ? MIN(b->size * 2, (size_t)MAX_BLOCK) : FIRST_BLOCK;

		b = block_add(arena, MAX(next, rounded));
	}
	p = (char *)b->data + b->used;
	b->used += rounded;
	return memset(p, 0, size);
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		abort();
	return arena_alloc(arena, total);
}

void *arena_grow(struct arena *arena, void *items, size_t count, size_t *cap, size_t size)
{
	void *grown;

	if (count < *cap)
		return items;
	*cap = *cap ? *cap * 2 : 8;
	grown = arena_array(arena, *cap, size);
	if (count)
		memcpy(grown, items, count * size);
	return grown;
}

void arena_defer(struct arena *arena, void (*fn)(void *object), void *object)
{
	struct deferred *d = ARENA_NEW(arena, struct deferred);

	*d = (struct deferred){ arena->deferred, fn, object };
	arena->deferred = d;
}

size_t arena_used(const struct arena *arena)
{
	return arena->used;
}
