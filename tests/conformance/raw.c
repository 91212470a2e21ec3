/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "raw.h"

static void *at(struct fixture *f, uint64_t gpa)
{
	return guest_at(&f->session.guest, gpa, 1);
}

void raw_attach(struct raw_ring *ring, struct fixture *f, unsigned int queue)
{
	const struct session_queue *q = &f->session.queues[queue];

	memset(ring, 0, sizeof(*ring));
	ring->f = f;
	ring->queue = queue;
	ring->size = q->size;
	ring->desc = at(f, driver_ring_descriptors(q->ring));
	ring->avail = at(f, driver_ring_avail(q->ring));
	ring->used = at(f, driver_ring_used(q->ring));
	ring->in = guest_alloc(&f->session.guest, 4096, 4096);
	ring->out = guest_alloc(&f->session.guest, 4096, 4096);
	ring->table = guest_alloc(&f->session.guest, 4096, 4096);
	assert_true(ring->in && ring->out && ring->table);
}

void raw_set(struct raw_ring *ring, unsigned int index, struct raw_desc desc)
{
	ring->desc[index] = desc;
}

void raw_set_index(struct raw_ring *ring, uint16_t index)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	ring->avail[1] = index;
	must(session_kick(&ring->f->session, ring->queue));
}

void raw_offer(struct raw_ring *ring, const uint16_t heads[],
	       unsigned int count)
{
	uint16_t index = ring->avail[1];
	unsigned int i;

	for (i = 0; i < count; i++, index++)
		ring->avail[2 + index % ring->size] = heads[i];
	raw_set_index(ring, index);
}

void raw_offer_one(struct raw_ring *ring, uint16_t head)
{
	raw_offer(ring, &head, 1);
}

uint16_t raw_used(const struct raw_ring *ring)
{
	return ring->used[1];
}

void raw_good_chain(struct raw_ring *ring, uint16_t first)
{
	raw_set(
	    ring, first,
	    (struct raw_desc){ring->in, 64, DESC_NEXT, (uint16_t)(first + 1)});
	raw_set(ring, first + 1u,
		(struct raw_desc){ring->out, 64, DESC_WRITE, 0});
}
