/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Slots: taken by pop, given back by push; and their order, if it counts. */
#ifndef VIRTQUEUE_SLOT_H
#define VIRTQUEUE_SLOT_H

#include "queue.h"
#include <base/check.h>

static ALWAYS_INLINE struct slot *slot_of(struct vh_chain *chain)
{
	return VHI_CONTAINER_OF(chain, struct slot, chain);
}

/*
 * The slot for the next chain of a burst in which so many were taken. Every
 * slot in use belongs to a head that is taken, so there is a free one for
 * each head that isn't.
 */
static ALWAYS_INLINE struct slot *slot_next(const struct vh_virtqueue *queue,
					    unsigned int taken)
{
	return queue->free_slots[queue->free_count - 1 - taken];
}

static inline uint16_t slot_number(const struct vh_virtqueue *queue,
				   const struct slot *slot)
{
	return (uint16_t)(slot - queue->slots);
}

static ALWAYS_INLINE bool keeps_order(const struct vh_virtqueue *queue,
				      struct mode mode)
{
	return mode.in_order || (mode.careful && queue->is_in_order);
}

/*
 * The walk, over so many of the ring's descriptors, filled it: it is the
 * device's from now on. It is the next after the number of slots that were
 * taken of the burst; slots_taken() counts them, once for all.
 */
static ALWAYS_INLINE void slot_take(struct vh_virtqueue *queue,
				    struct slot *slot, uint32_t descriptors,
				    unsigned int taken, struct mode mode)
{
	queue->taken[slot->head] = (uint16_t)descriptors;
	if (keeps_order(queue, mode))
		queue->order[(queue->order_last + taken) & queue->order_mask] =
		    slot;
}

static ALWAYS_INLINE void slots_taken(struct vh_virtqueue *queue,
				      unsigned int taken, struct mode mode)
{
	queue->free_count -= taken;
	queue->epoch->inflight += taken;
	if (keeps_order(queue, mode))
		queue->order_last = (uint16_t)(queue->order_last + taken);
}

/* Chains of one buffer may be done at once, without slots. */
static ALWAYS_INLINE bool takes_buffers(const struct vh_virtqueue *queue,
					struct mode mode)
{
	return !mode.careful &&
	       (!mode.in_order || queue->order_first == queue->order_last);
}

static ALWAYS_INLINE uint32_t buffer_written(const struct vh_buffer *buffer,
					     uint32_t written)
{
	uint32_t most = buffer->is_writable ? buffer->size : 0;

	return written < most ? written : most;
}

/* What a burst of completions changes, in registers meanwhile. */
struct returns {
	uint32_t free_count;
	uint32_t left; /* chains of the current epoch */
	uint16_t order_first;
	struct run run;
};

static ALWAYS_INLINE struct returns
returns_begin(const struct vh_virtqueue *queue)
{
	return (struct returns){
	    .free_count = queue->free_count,
	    .order_first = queue->order_first,
	    .run = queue->run,
	};
}

static ALWAYS_INLINE void returns_end(struct vh_virtqueue *queue,
				      struct returns returns, struct mode mode)
{
	queue->free_count = returns.free_count;
	queue->epoch->inflight -= returns.left;
	if (!keeps_order(queue, mode))
		return;
	queue->order_first = returns.order_first;
	queue->run = returns.run;
}

static ALWAYS_INLINE void slot_put(struct vh_virtqueue *queue,
				   struct slot *slot, struct returns *returns)
{
	if (UNLIKELY(slot->state & SLOT_AREA)) {
		queue->area_free[queue->areas_left++] =
		    queue->area_taken[slot_number(queue, slot)];
		queue->starved = false;
	}
	slot->state = 0;
	queue->taken[slot->head] = 0;
	queue->free_slots[returns->free_count++] = slot;
}

/* The device has let go of the chain's memory. */
static ALWAYS_INLINE void epoch_leave(struct vh_virtqueue *queue,
				      const struct slot *slot,
				      struct returns *returns)
{
	if (LIKELY(slot->epoch == queue->epoch_number))
		returns->left++;
	else
		epoch_leave_old(queue, &queue->epochs[slot->epoch]);
}

static ALWAYS_INLINE bool is_busy(const struct slot *slot)
{
	return (slot->state & (SLOT_BUSY | SLOT_DONE)) == SLOT_BUSY;
}

static ALWAYS_INLINE uint32_t bytes_written(const struct slot *slot,
					    uint32_t written)
{
	uint32_t most = slot->writable_size;

	return written < most ? written : most;
}

/*
 * IN_ORDER: adds a completion to the run, of a chain of so many of the ring's
 * descriptors. True if an entry must be written for it, since whoever is
 * skipped counts as written in full.
 */
static ALWAYS_INLINE bool run_add(struct run *run, uint16_t head,
				  uint32_t descriptors, uint32_t written,
				  bool full)
{
	run->count++;
	run->descriptors += descriptors;
	run->head = head;
	run->written = written;
	return !full;
}

/*
 * It has to wait for those before it. How much was written is noted where the
 * size of the room was.
 */
static ALWAYS_INLINE void slot_done(struct vh_virtqueue *queue,
				    struct slot *slot, uint32_t written)
{
	slot->state |=
	    written == slot->writable_size ? SLOT_DONE | SLOT_FULL : SLOT_DONE;
	slot->writable_size = written;
	queue->done_early++;
}

static ALWAYS_INLINE struct slot *order_at(const struct vh_virtqueue *queue,
					   uint16_t place)
{
	return queue->order[place & queue->order_mask];
}

/* The one at a place in order, if it is done. */
static ALWAYS_INLINE struct slot *order_done(struct vh_virtqueue *queue,
					     uint16_t place)
{
	struct slot *slot;

	if (LIKELY(!queue->done_early))
		return NULL;
	slot = order_at(queue, place);
	if (!(slot->state & SLOT_DONE))
		return NULL;
	queue->done_early--;
	return slot;
}

#endif
