/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The split ring ("Split Virtqueues"): what is next, what is done, and who
 * wants to hear of it.
 */
#include "chain.h"
#include "fence.h"
#include "slot.h"
#include "variant.h"

int split_start(struct vh_virtqueue *queue, struct vh_fault *fault)
{
	struct split_ring *ring = &queue->split;

	(void)fault;
	ring->avail_next = (uint16_t)queue->base;
	ring->avail_seen = ring->avail_next;
	ring->used_next = vhi_load_le16(&ring->used->index);
	ring->used_shown = ring->used_next;
	return 0;
}

static uint16_t *avail_event(const struct vh_virtqueue *queue)
{
	/* It lies behind the last element, 4 bytes aligned like those. */
	return (uint16_t *)(void *)&queue->split.used->ring[queue->num];
}

static COLD int fail_index(struct vh_virtqueue *queue, unsigned int count)
{
	vh_virtqueue_break(queue, VH_FAULT_RING_INDEX, "virtio, Updating idx",
			   "queue %u: the available index is %u, %u above the "
			   "next one to be popped, in a queue of %u",
			   queue->index, queue->split.avail_seen, count,
			   queue->num);
	return -EPROTO;
}

/* How many of at most max chains are there; -EPROTO if it can't be. */
static ALWAYS_INLINE int available(struct vh_virtqueue *queue, unsigned int max)
{
	struct split_ring *ring = &queue->split;
	unsigned int count = (uint16_t)(ring->avail_seen - ring->avail_next);

	if (count < max) {
		/*
		 * Acquire: pairs with the driver's barrier before it stores
		 * the index (the release in its "Updating idx"), so that we
		 * see the heads and descriptors behind the index, and
		 * whatever else it wrote before.
		 */
		ring->avail_seen = vhi_load_acquire_le16(&ring->avail->index);
		count = (uint16_t)(ring->avail_seen - ring->avail_next);
		if (UNLIKELY(count > queue->num))
			return fail_index(queue, count);
	}
	return (int)(count < max ? count : max);
}

static COLD bool fail_head(struct vh_virtqueue *queue, uint16_t head)
{
	if (head >= queue->num)
		vh_virtqueue_break(queue, VH_FAULT_RING_HEAD,
				   "virtio, The Virtqueue Available Ring",
				   "queue %u: head %u in the available ring "
				   "of a queue of %u",
				   queue->index, head, queue->num);
	else
		vh_virtqueue_break(queue, VH_FAULT_RING_BUSY,
				   "virtio, The Virtqueue Available Ring",
				   "queue %u: head %u is made available "
				   "again, but is still in flight",
				   queue->index, head);
	return false;
}

/* Number done of a burst. */
static ALWAYS_INLINE bool pop_one(struct vh_virtqueue *queue, uint16_t head,
				  struct vh_chain *chains[], int done,
				  struct mode mode)
{
	const struct list list = {queue->split.descriptors, queue->num, head};
	struct slot *slot;
	uint32_t count;

	if (UNLIKELY(head >= queue->num || queue->taken[head]))
		return fail_head(queue, head);
	slot = slot_next(queue, (unsigned int)done);
	count = walk_chain(queue, slot, list,
			   descriptor_copy(&list.table[head]), mode);
	if (!count)
		return false;
	slot_take(queue, slot, count, (unsigned int)done, mode);
	chains[done] = &slot->chain;
	return true;
}

/* What a process before us took and didn't give back comes first. */
static COLD int pop_again(struct vh_virtqueue *queue, struct vh_chain *chains[],
			  unsigned int max)
{
	const struct mode mode = {.careful = true};
	struct inflight *inflight = &queue->inflight;
	int done = 0;

	while (done < (int)max && vh_virtqueue_unrecovered(queue) &&
	       pop_one(queue, inflight->resend[inflight->resend_next], chains,
		       done, mode)) {
		inflight->resend_next++;
		done++;
	}
	slots_taken(queue, (unsigned int)done, mode);
	return done || !queue->broken ? done : -EPROTO;
}

/* How many chains later a descriptor is looked at that was asked for. */
#define AHEAD 4

static ALWAYS_INLINE uint16_t head_at(const struct vh_virtqueue *queue,
				      uint16_t place)
{
	return vhi_load_le16(&queue->split.avail->ring[place & queue->mask]);
}

static ALWAYS_INLINE int pop(struct vh_virtqueue *queue,
			     struct vh_chain *chains[], unsigned int max,
			     const struct mode mode)
{
	struct split_ring *ring = &queue->split;
	int count, done;

	if (mode.careful && queue->waits)
		return 0;
	if (mode.careful && UNLIKELY(vh_virtqueue_unrecovered(queue)))
		return pop_again(queue, chains, max);
	count = available(queue, max);
	if (count <= 0)
		return count;
	for (done = 0; done < count; done++) {
		uint16_t place = (uint16_t)(ring->avail_next + done);
		uint16_t head = head_at(queue, place);

		/* A line that the driver has just written: ask in time. */
		__builtin_prefetch(
		    &ring->descriptors[head_at(queue,
					       (uint16_t)(place + AHEAD)) &
				       queue->mask]);
		if (!pop_one(queue, head, chains, done, mode))
			break;
		if (mode.careful && queue->inflight.area)
			inflight_take(&queue->inflight, head);
	}
	ring->avail_next = (uint16_t)(ring->avail_next + done);
	slots_taken(queue, (unsigned int)done, mode);
	return done || !queue->broken ? done : -EPROTO;
}

static ALWAYS_INLINE int pop_buffers(struct vh_virtqueue *queue,
				     struct vh_buffer buffers[],
				     unsigned int max, const struct mode mode)
{
	struct split_ring *ring = &queue->split;
	int count, done;

	if (!takes_buffers(queue, mode))
		return 0;
	count = available(queue, max);
	for (done = 0; done < count; done++) {
		uint16_t head =
		    head_at(queue, (uint16_t)(ring->avail_next + done));
		uint32_t index = head & queue->mask;

		if (!walk_buffer(queue,
				 descriptor_copy(&ring->descriptors[index]),
				 head, &buffers[done], mode))
			break;
	}
	ring->avail_next = (uint16_t)(ring->avail_next + done);
	return count < 0 ? count : done;
}

/* What complete.h wants. */
typedef uint16_t used_place;

static ALWAYS_INLINE used_place *used_place_of(struct vh_virtqueue *queue)
{
	return &queue->split.used_next;
}

static ALWAYS_INLINE void write_used(struct vh_virtqueue *queue,
				     used_place *next, struct run run,
				     const struct mode mode)
{
	uint32_t place = *next & queue->mask;
	struct used_element *used = &queue->split.used->ring[place];

	vhi_store_le32(&used->id, run.head);
	vhi_store_le32(&used->length, run.written);
	*next = (uint16_t)(*next + run.count);
	if (mode.careful && queue->log.on)
		log_ring(queue, 4 + sizeof(*used) * (uint64_t)place,
			 sizeof(*used));
}

static ALWAYS_INLINE void note_given(struct vh_virtqueue *queue,
				     const struct slot *slot)
{
	inflight_give(&queue->inflight, slot->head, queue->num);
}

#include "complete.h"

/* Of what was shown since old, does the driver want to hear? */
static ALWAYS_INLINE bool wants_call(struct vh_virtqueue *queue, uint16_t old)
{
	const struct avail_ring *avail = queue->split.avail;
	uint16_t now = queue->split.used_next;
	uint16_t event;

	if (!queue->event_idx)
		return !(vhi_load_le16(&avail->flags) & AVAIL_NO_INTERRUPT);
	if (UNLIKELY(!queue->shown_once)) {
		/* Who was before us may have left a notification out. */
		queue->shown_once = true;
		return true;
	}
	event = vhi_load_le16(&avail->ring[queue->num]);
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

static ALWAYS_INLINE int publish(struct vh_virtqueue *queue,
				 const struct mode mode)
{
	struct split_ring *ring = &queue->split;
	uint16_t old = ring->used_shown;
	bool call;

	if (keeps_order(queue, mode) && queue->run.count)
		write_run(queue, &ring->used_next, &queue->run, mode);
	if (ring->used_next == old)
		return 0;
	if (mode.careful)
		log_flush(queue);
	/*
	 * Release: pairs with the driver's acquire of the used index. What
	 * was written to the buffers and to the used ring is seen by who
	 * sees the index.
	 */
	vhi_store_release_le16(&ring->used->index, ring->used_next);
	ring->used_shown = ring->used_next;
	if (mode.careful && queue->inflight.area)
		inflight_shown(&queue->inflight, ring->used_next);
	/*
	 * Pairs with the driver's fence between asking for interrupts
	 * (used_event or flags) and looking at the used index once more:
	 * either we see that it asks, or it sees our index.
	 */
	full_fence();
	call = wants_call(queue, old);
	if (mode.careful) {
		log_ring_now(queue, 2, 2);
		ring_detach_if_idle(queue);
	}
	return call;
}

bool split_pending(const struct vh_virtqueue *queue)
{
	const struct split_ring *ring = &queue->split;

	/* No acquire: vh_virtqueue_pop() does it before it looks further. */
	return vhi_load_le16(&ring->avail->index) != ring->avail_next;
}

bool split_ask(struct vh_virtqueue *queue)
{
	struct split_ring *ring = &queue->split;
	uint16_t next = ring->avail_next;

	if (queue->kick == KICK_ON &&
	    (!queue->event_idx || ring->kick_event == next))
		return false;
	if (queue->event_idx)
		vhi_store_le16(avail_event(queue), next);
	else
		vhi_store_le16(&ring->used->flags, 0);
	ring->kick_event = next;
	if (queue->event_idx)
		log_ring_now(queue,
			     4 + sizeof(struct used_element) * queue->num, 2);
	else
		log_ring_now(queue, 0, 2);
	return true;
}

void split_unask(struct vh_virtqueue *queue)
{
	/* avail_event falls behind by itself. */
	if (queue->event_idx || queue->kick == KICK_OFF)
		return;
	/* Advice only: it may be seen at any time, so it needs no order. */
	vhi_store_le16(&queue->split.used->flags, USED_NO_NOTIFY);
	log_ring_now(queue, 0, 2);
	queue->kick = KICK_OFF;
}

VARIANT(plain, .packed = false)
VARIANT(in_order, .in_order = true)
VARIANT(careful, .careful = true)

const struct ring_ops *const split_ops[VARIANTS] = {
    [PLAIN] = &ops_plain,
    [IN_ORDER] = &ops_in_order,
    [CAREFUL] = &ops_careful,
};
