/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The driver side of a split virtqueue, for tests and benchmarks.
 *
 * It works on a block of memory that the caller gives, at a guest address
 * that the caller chooses, and shares no code with the library: an error in
 * one of the two shows. One thread uses a ring. The fast calls are add,
 * publish and collect; they make no system call and allocate nothing, so
 * that a polling loop does tens of millions of requests a second:
 *
 *	while (running) {
 *		while (driver_ring_add(ring, buffers, count, false) >= 0)
 *			;
 *		driver_ring_publish(ring);
 *		if (driver_ring_needs_kick(ring))
 *			kick();
 *		n = driver_ring_collect(ring, used, 32);
 *	}
 *
 * It distrusts the device: whatever comes back is checked against what was
 * posted.
 */
#ifndef TESTS_SUPPORT_DRIVER_RING_H
#define TESTS_SUPPORT_DRIVER_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the parts are in the block: offsets in bytes, and its whole size. */
struct driver_layout {
	size_t descriptors;
	size_t avail;
	size_t used;
	size_t tables;
	size_t size;
};

/*
 * Lays out a ring of num descriptors with room for a table of table_entries
 * indirect descriptors for each of them (0: none). The block must be
 * aligned to 64 bytes, in guest addresses too.
 */
struct driver_layout driver_layout(uint32_t num, uint32_t table_entries);

struct driver_buffer {
	uint64_t gpa;
	uint32_t length;
	bool write; /* the device writes it */
};

struct driver_used {
	uint32_t id;	 /* what driver_ring_add() returned */
	uint32_t length; /* bytes that the device says it wrote */
};

struct driver_ring_opts {
	void *block;
	uint64_t gpa; /* of the block */
	uint32_t num; /* a power of two, up to 32768 */
	uint32_t table_entries;
	bool event_idx;
	/* where both indices begin; 0 as after a reset */
	uint16_t base;
};

struct driver_ring;

/* Zeroes the block and sets both indices in it. NULL: no memory. */
struct driver_ring *driver_ring_new(const struct driver_ring_opts *opts);
void driver_ring_free(struct driver_ring *ring);

/* Guest addresses of the three parts, as a device wants to be told them. */
uint64_t driver_ring_descriptors(const struct driver_ring *ring);
uint64_t driver_ring_avail(const struct driver_ring *ring);
uint64_t driver_ring_used(const struct driver_ring *ring);

/*
 * Writes a chain of count buffers, the readable ones first, and puts it into
 * the available ring; the device sees it after driver_ring_publish().
 * Returns its id, or -ENOSPC if there are too few free descriptors, or
 * -EINVAL if count is 0 or more than a table has.
 */
int driver_ring_add(struct driver_ring *ring,
		    const struct driver_buffer *buffers, unsigned int count,
		    bool indirect);

/* Makes visible what was added. */
void driver_ring_publish(struct driver_ring *ring);

/*
 * True if the device wants a kick for what was published since the last
 * call of this function. Call it once after a publish.
 */
bool driver_ring_needs_kick(struct driver_ring *ring);

/*
 * Takes up to max completions. Returns their number, or -EPROTO if the
 * device named an id that isn't posted, a length beyond the writable bytes
 * that were posted, or an index beyond what is in flight; the ring is of no
 * use then.
 */
int driver_ring_collect(struct driver_ring *ring, struct driver_used *used,
			unsigned int max);

/* Asks the device to be silent; it may call once more nevertheless. */
void driver_ring_disable_calls(struct driver_ring *ring);

/*
 * Asks for a call at the next completion. True if there are some already:
 * collect before waiting.
 */
bool driver_ring_enable_calls(struct driver_ring *ring);

/* Chains that are posted and not collected. */
unsigned int driver_ring_inflight(const struct driver_ring *ring);

#endif
