/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "driver_ring.h"
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NEXT	  1
#define WRITE	  2
#define INDIRECT  4
#define ALIGNMENT 64

struct entry {
	uint64_t addr;
	uint64_t rest; /* len, flags, next */
};

/* What we remember of a descriptor; those of the ring aren't read back. */
struct memo {
	uint16_t next;	 /* in its chain, or in the list of free ones */
	uint16_t last;	 /* of the chain that begins here */
	uint16_t count;	 /* 0: no chain in flight begins here */
	uint32_t length; /* bytes that the device may write */
};

struct driver_ring {
	struct entry *descriptors;
	uint16_t *avail; /* flags, index, ring, used_event */
	uint16_t *used;	 /* flags, index, and behind them the elements */
	uint32_t *elements;
	struct entry *tables;
	struct memo *memo;
	uint64_t gpa;
	struct driver_layout layout;
	uint32_t num;
	uint32_t table_entries;
	uint32_t free_count;
	uint32_t inflight; /* chains */
	uint16_t free_head;
	uint16_t avail_next;
	uint16_t avail_shown;
	uint16_t kick_base; /* avail_shown at the last decision */
	uint16_t used_next;
	bool event_idx;
};

static size_t align(size_t size)
{
	return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static void store16(uint16_t *p, uint16_t value)
{
	__atomic_store_n(p, htole16(value), __ATOMIC_RELAXED);
}

static uint16_t load16(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

/* A store, then a load that must not pass it. */
static void full_fence(void)
{
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
}

struct driver_layout driver_layout(uint32_t num, uint32_t table_entries)
{
	struct driver_layout layout = {.descriptors = 0};

	layout.avail = align((size_t)num * 16);
	layout.used = layout.avail + align(6 + (size_t)num * 2);
	layout.tables = layout.used + align(6 + (size_t)num * 8);
	layout.size = layout.tables + align((size_t)num * table_entries * 16);
	return layout;
}

struct driver_ring *driver_ring_new(const struct driver_ring_opts *opts)
{
	struct driver_ring *ring = calloc(1, sizeof(*ring));
	char *block = opts->block;

	if (!ring)
		return NULL;
	ring->memo = calloc(opts->num, sizeof(*ring->memo));
	if (!ring->memo) {
		free(ring);
		return NULL;
	}
	ring->layout = driver_layout(opts->num, opts->table_entries);
	ring->descriptors = (void *)(block + ring->layout.descriptors);
	ring->avail = (void *)(block + ring->layout.avail);
	ring->used = (void *)(block + ring->layout.used);
	ring->elements = (void *)(block + ring->layout.used + 4);
	ring->tables = (void *)(block + ring->layout.tables);
	ring->gpa = opts->gpa;
	ring->num = opts->num;
	ring->table_entries = opts->table_entries;
	ring->event_idx = opts->event_idx;
	ring->free_count = opts->num;
	for (uint32_t i = 0; i < opts->num; i++)
		ring->memo[i].next = (uint16_t)(i + 1);
	ring->avail_next = opts->base;
	ring->avail_shown = opts->base;
	ring->kick_base = opts->base;
	ring->used_next = opts->base;
	memset(block, 0, ring->layout.size);
	store16(&ring->avail[1], opts->base);
	store16(&ring->used[1], opts->base);
	if (opts->event_idx) /* a call for the first completion */
		store16(&ring->avail[2 + ring->num], opts->base);
	return ring;
}

void driver_ring_free(struct driver_ring *ring)
{
	if (!ring)
		return;
	free(ring->memo);
	free(ring);
}

uint64_t driver_ring_descriptors(const struct driver_ring *ring)
{
	return ring->gpa + ring->layout.descriptors;
}

uint64_t driver_ring_avail(const struct driver_ring *ring)
{
	return ring->gpa + ring->layout.avail;
}

uint64_t driver_ring_used(const struct driver_ring *ring)
{
	return ring->gpa + ring->layout.used;
}

static void fill(struct entry *entry, uint64_t addr, uint32_t length,
		 unsigned int flags, unsigned int next)
{
	__atomic_store_n(&entry->addr, htole64(addr), __ATOMIC_RELAXED);
	__atomic_store_n(
	    &entry->rest,
	    htole64(length | (uint64_t)flags << 32 | (uint64_t)next << 48),
	    __ATOMIC_RELAXED);
}

/* Writes the buffers into free descriptors; returns the last one. */
static uint16_t fill_direct(struct driver_ring *ring,
			    const struct driver_buffer *buffers,
			    unsigned int count)
{
	uint16_t at = ring->free_head;

	for (unsigned int i = 0;; i++) {
		bool more = i + 1 < count;
		uint16_t next = ring->memo[at].next;

		fill(&ring->descriptors[at], buffers[i].gpa, buffers[i].length,
		     (buffers[i].write ? WRITE : 0) | (more ? NEXT : 0),
		     more ? next : 0);
		if (!more)
			return at;
		at = next;
	}
}

/* Writes the buffers into the table that belongs to the next descriptor. */
static uint16_t fill_indirect(struct driver_ring *ring,
			      const struct driver_buffer *buffers,
			      unsigned int count)
{
	uint16_t at = ring->free_head;
	size_t first = (size_t)at * ring->table_entries;

	for (unsigned int i = 0; i < count; i++) {
		bool more = i + 1 < count;

		fill(&ring->tables[first + i], buffers[i].gpa,
		     buffers[i].length,
		     (buffers[i].write ? WRITE : 0) | (more ? NEXT : 0),
		     more ? i + 1 : 0);
	}
	fill(&ring->descriptors[at],
	     ring->gpa + ring->layout.tables + first * 16, count * 16, INDIRECT,
	     0);
	return at;
}

int driver_ring_add(struct driver_ring *ring,
		    const struct driver_buffer *buffers, unsigned int count,
		    bool indirect)
{
	unsigned int needed = indirect ? 1 : count;
	uint16_t head = ring->free_head;
	struct memo *memo = &ring->memo[head];
	uint32_t length = 0;

	if (!count || (indirect && count > ring->table_entries))
		return -EINVAL;
	if (needed > ring->free_count)
		return -ENOSPC;
	for (unsigned int i = 0; i < count; i++)
		if (buffers[i].write)
			length += buffers[i].length;
	memo->last = indirect ? fill_indirect(ring, buffers, count)
			      : fill_direct(ring, buffers, count);
	memo->count = (uint16_t)needed;
	memo->length = length;
	ring->free_head = ring->memo[memo->last].next;
	ring->free_count -= needed;
	ring->inflight++;
	store16(&ring->avail[2 + (ring->avail_next & (ring->num - 1))], head);
	ring->avail_next++;
	return head;
}

void driver_ring_publish(struct driver_ring *ring)
{
	/* Pairs with the device's acquire of the available index. */
	__atomic_store_n(&ring->avail[1], htole16(ring->avail_next),
			 __ATOMIC_RELEASE);
	ring->avail_shown = ring->avail_next;
}

bool driver_ring_needs_kick(struct driver_ring *ring)
{
	uint16_t old = ring->kick_base;
	uint16_t now = ring->avail_shown;
	uint16_t event;

	if (old == now)
		return false;
	ring->kick_base = now;
	/* Pairs with the device's fence after it asked for kicks. */
	full_fence();
	if (!ring->event_idx)
		return !(load16(&ring->used[0]) & 1);
	event = load16(&ring->used[2 + 4 * ring->num]);
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

/* Checks one completion and takes its descriptors back. */
static bool take_back(struct driver_ring *ring, const struct driver_used *used)
{
	struct memo *memo;

	if (used->id >= ring->num)
		return false;
	memo = &ring->memo[used->id];
	if (!memo->count || used->length > memo->length)
		return false;
	ring->memo[memo->last].next = ring->free_head;
	ring->free_head = (uint16_t)used->id;
	ring->free_count += memo->count;
	ring->inflight--;
	memo->count = 0;
	return true;
}

int driver_ring_collect(struct driver_ring *ring, struct driver_used *used,
			unsigned int max)
{
	/* Pairs with the device's release of the used index. */
	uint16_t index =
	    le16toh(__atomic_load_n(&ring->used[1], __ATOMIC_ACQUIRE));
	unsigned int count = (uint16_t)(index - ring->used_next);

	if (count > ring->inflight)
		return -EPROTO;
	if (count > max)
		count = max;
	for (unsigned int i = 0; i < count; i++) {
		const uint32_t *element =
		    &ring->elements[2 * (ring->used_next & (ring->num - 1))];

		used[i].id =
		    le32toh(__atomic_load_n(&element[0], __ATOMIC_RELAXED));
		used[i].length =
		    le32toh(__atomic_load_n(&element[1], __ATOMIC_RELAXED));
		if (!take_back(ring, &used[i]))
			return -EPROTO;
		ring->used_next++;
	}
	return (int)count;
}

void driver_ring_disable_calls(struct driver_ring *ring)
{
	/* used_event falls behind by itself, but for the first time round. */
	if (ring->event_idx)
		store16(&ring->avail[2 + ring->num],
			(uint16_t)(ring->used_next - 1));
	else
		store16(&ring->avail[0], 1);
}

bool driver_ring_enable_calls(struct driver_ring *ring)
{
	if (ring->event_idx)
		store16(&ring->avail[2 + ring->num], ring->used_next);
	else
		store16(&ring->avail[0], 0);
	/* Pairs with the device's fence after it stored the used index. */
	full_fence();
	return load16(&ring->used[1]) != ring->used_next;
}

unsigned int driver_ring_inflight(const struct driver_ring *ring)
{
	return ring->inflight;
}
