/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The packed ring ("Packed Virtqueues"): what is next, what is done, and who
 * wants to hear of it.
 *
 * Places count descriptors of the ring, and each side's wrap counter is kept
 * as the two flag bits that it stands for.
 */
#include "chain.h"
#include "fence.h"
#include "slot.h"
#include "variant.h"

#include <base/fault.h>

#define AVAIL PACKED_FLAGS(DESCRIPTOR_AVAIL)
#define USED  PACKED_FLAGS(DESCRIPTOR_USED)

/* Of a descriptor that is available, or used, while a counter is wrap. */
static uint64_t available_bits(bool wrap)
{
	return wrap ? AVAIL : USED;
}

static uint64_t used_bits(bool wrap)
{
	return wrap ? AVAIL | USED : 0;
}

static bool avail_wrap(const struct packed_ring *ring)
{
	return ring->avail_bits & AVAIL;
}

static bool used_wrap(const struct packed_ring *ring)
{
	return ring->used.bits & AVAIL;
}

/*
 * Some front-ends begin any ring at 0, as they do a split one. As a place in
 * a packed ring that is one after a whole number of rounds, the last with its
 * wrap counters at 1, and so the descriptor that was used last has its USED
 * bit set, whatever came after it. In a ring that was never used none has.
 */
static bool is_fresh(const struct vh_virtqueue *queue)
{
	const struct raw_descriptor *ring = queue->packed.descriptors;

	if (queue->base)
		return false;
	for (uint32_t i = 0; i < queue->num; i++)
		if (vhi_load_le64(&ring[i].rest) & USED)
			return false;
	return true;
}

int packed_start(struct vh_virtqueue *queue, struct vh_fault *fault)
{
	if (is_fresh(queue))
		queue->base = VH_VIRTQUEUE_FRESH_PACKED;
	return packed_restart(queue, fault);
}

int packed_restart(struct vh_virtqueue *queue, struct vh_fault *fault)
{
	struct packed_ring *ring = &queue->packed;
	uint32_t base = queue->base;

	ring->avail_next = base & 0x7fff;
	ring->avail_bits = available_bits(base >> 15 & 1);
	ring->used.next = base >> 16 & 0x7fff;
	ring->used.bits = used_bits(base >> 31);
	if (ring->avail_next < queue->num && ring->used.next < queue->num)
		return 0;
	vhi_fault(fault, VH_FAULT_MSG_FIELD, -EINVAL, "vhost-user, Vring base",
		  "queue %u: base 0x%x names places %u and %u of a ring of %u",
		  queue->index, base, ring->avail_next, ring->used.next,
		  queue->num);
	if (fault)
		fault->queue = queue->index;
	return -EINVAL;
}

uint32_t packed_base(const struct vh_virtqueue *queue)
{
	const struct packed_ring *ring = &queue->packed;

	return ring->avail_next | (uint32_t)avail_wrap(ring) << 15 |
	       (uint32_t)ring->used.next << 16 |
	       (uint32_t)used_wrap(ring) << 31;
}

static COLD bool fail_id(struct vh_virtqueue *queue, uint16_t place,
			 uint16_t id)
{
	if (id >= queue->num)
		vh_virtqueue_break(queue, VH_FAULT_RING_HEAD,
				   "virtio, The Virtqueue Descriptor Format",
				   "queue %u, chain at %u: buffer id %u in a "
				   "queue of %u",
				   queue->index, place, id, queue->num);
	else
		vh_virtqueue_break(queue, VH_FAULT_RING_BUSY,
				   "virtio, The Virtqueue Descriptor Format",
				   "queue %u, chain at %u: buffer id %u is "
				   "made available again, but is still in "
				   "flight",
				   queue->index, place, id);
	return false;
}

/* All ids or all descriptors are in flight, and here is one more. */
static COLD uint32_t fail_full(struct vh_virtqueue *queue, uint16_t place)
{
	vh_virtqueue_break(queue, VH_FAULT_RING_BUSY,
			   "virtio, The Virtqueue Descriptor Format",
			   "queue %u, chain at %u: more is made available "
			   "than fits into a ring of %u",
			   queue->index, place, queue->num);
	return 0;
}

/* What a burst is made of. */
struct burst {
	struct vh_chain **chains;
	unsigned int done;
	uint32_t out; /* see struct packed_ring */
};

/* For a chain from the ring, or from what a process before us left. */
static ALWAYS_INLINE bool take_slot(struct vh_virtqueue *queue,
				    struct slot *slot, uint32_t descriptors,
				    uint16_t place, struct burst *burst,
				    struct mode mode)
{
	uint16_t id = slot->head;

	if (UNLIKELY(id >= queue->num || queue->taken[id]))
		return fail_id(queue, place, id);
	/* So no run of completions is longer than the ring. */
	if (UNLIKELY(descriptors > queue->num - burst->out))
		return fail_full(queue, place);
	burst->out += descriptors;
	slot_take(queue, slot, descriptors, burst->done, mode);
	burst->chains[burst->done++] = &slot->chain;
	return true;
}

/* What a process before us took and didn't give back comes first. */
static COLD int pop_again(struct vh_virtqueue *queue, struct vh_chain *chains[],
			  unsigned int max)
{
	const struct mode mode = {.packed = true, .careful = true};
	struct burst burst = {.chains = chains, .out = queue->packed.out};
	struct list list = {.start = 0};
	struct slot *slot;
	uint32_t count;

	while (burst.done < max && vh_virtqueue_unrecovered(queue)) {
		slot = slot_next(queue, burst.done);
		list.table = inflight_packed_resend(queue, slot, &list.limit);
		count = walk_carefully(queue, slot, list);
		if (!count || !take_slot(queue, slot, count, 0, &burst, mode))
			break;
		queue->inflight.resend_next++;
	}
	queue->packed.out = burst.out;
	slots_taken(queue, burst.done, mode);
	return burst.done || !queue->broken ? (int)burst.done : -EPROTO;
}

static ALWAYS_INLINE void advance(const struct vh_virtqueue *queue,
				  uint16_t *place, uint64_t *bits, uint32_t by)
{
	uint32_t next = *place + by;

	if (next >= queue->num) {
		next -= queue->num;
		*bits ^= AVAIL | USED;
	}
	*place = (uint16_t)next;
}

/* True and a chain's first descriptor, if there is one. */
static ALWAYS_INLINE bool available(const struct packed_ring *ring,
				    uint16_t place, uint64_t bits,
				    struct descriptor *ret_first)
{
	const struct raw_descriptor *raw = &ring->descriptors[place];
	/*
	 * Acquire: pairs with the driver's barrier before it stores the
	 * flags of a chain's first descriptor ("Updating flags"), so that we
	 * see the others, and the buffers. The load has length and id, too.
	 */
	uint64_t rest = vhi_load_acquire_le64(&raw->rest);

	if ((rest & (AVAIL | USED)) != bits)
		return false;
	*ret_first = (struct descriptor){
	    .address = vhi_load_le64(&raw->address), .rest = rest};
	return true;
}

/* Returns how many descriptors it took, or 0. */
static ALWAYS_INLINE uint32_t pop_one(struct vh_virtqueue *queue,
				      uint16_t place, struct descriptor d,
				      struct burst *burst, struct mode mode)
{
	const struct list list = {queue->packed.descriptors, queue->num, place};
	struct slot *slot;
	uint32_t count;

	/* Else a slot is free: each that isn't stands for a descriptor. */
	if (UNLIKELY(burst->out == queue->num))
		return fail_full(queue, place);
	slot = slot_next(queue, burst->done);
	count = walk_chain(queue, slot, list, d, mode);
	if (!count)
		return 0;
	if (!take_slot(queue, slot, count, place, burst, mode))
		return 0;
	if (mode.careful && queue->inflight.area)
		inflight_packed_take(queue, slot, place);
	return count;
}

static ALWAYS_INLINE int pop(struct vh_virtqueue *queue,
			     struct vh_chain *chains[], unsigned int max,
			     const struct mode mode)
{
	struct packed_ring *ring = &queue->packed;
	struct burst burst = {.chains = chains, .out = ring->out};
	uint16_t place = ring->avail_next;
	uint64_t bits = ring->avail_bits;
	struct descriptor first;
	uint32_t count;

	if (mode.careful && queue->waits)
		return 0;
	if (mode.careful && UNLIKELY(vh_virtqueue_unrecovered(queue)))
		return pop_again(queue, chains, max);
	while (burst.done < max && available(ring, place, bits, &first)) {
		count = pop_one(queue, place, first, &burst, mode);
		if (UNLIKELY(!count))
			break;
		advance(queue, &place, &bits, count);
	}
	ring->avail_next = place;
	ring->avail_bits = bits;
	ring->out = burst.out;
	slots_taken(queue, burst.done, mode);
	return burst.done || !queue->broken ? (int)burst.done : -EPROTO;
}

static ALWAYS_INLINE int pop_buffers(struct vh_virtqueue *queue,
				     struct vh_buffer buffers[],
				     unsigned int max, const struct mode mode)
{
	struct packed_ring *ring = &queue->packed;
	uint32_t room = queue->num - ring->out;
	uint16_t place = ring->avail_next;
	uint64_t bits = ring->avail_bits;
	unsigned int done = 0;
	struct descriptor d;

	if (!takes_buffers(queue, mode))
		return 0;
	if (max > room)
		max = room;
	while (done < max && available(ring, place, bits, &d) &&
	       walk_buffer(queue, d, id_of(d), &buffers[done], mode)) {
		advance(queue, &place, &bits, 1);
		done++;
	}
	ring->avail_next = place;
	ring->avail_bits = bits;
	ring->out += done;
	return (int)done;
}

/* What complete.h wants. */
typedef struct packed_used used_place;

static ALWAYS_INLINE used_place *used_place_of(struct vh_virtqueue *queue)
{
	return &queue->packed.used;
}

/*
 * The driver looks at one descriptor after the other, so it sees none of them
 * before the first, which is kept back.
 */
static ALWAYS_INLINE void write_used(struct vh_virtqueue *queue,
				     used_place *used, struct run run,
				     const struct mode mode)
{
	uint64_t rest = run.written | (uint64_t)run.head << 32 | used->bits;

	if (run.written)
		rest |= PACKED_FLAGS(DESCRIPTOR_WRITE);
	if (!used->advanced) {
		used->first = used->next;
		used->first_rest = rest;
	} else {
		vhi_store_le64(&queue->packed.descriptors[used->next].rest,
			       rest);
	}
	if (mode.careful && queue->log.on)
		log_descriptor(queue, used->next);
	used->advanced += run.descriptors;
	advance(queue, &used->next, &used->bits, run.descriptors);
}

static ALWAYS_INLINE void note_given(struct vh_virtqueue *queue,
				     const struct slot *slot)
{
	inflight_packed_give(queue, slot);
}

#include "complete.h"

/* Of the last so many descriptors, does the driver want to hear? */
static ALWAYS_INLINE bool wants_call(struct vh_virtqueue *queue,
				     uint32_t advanced)
{
	const struct packed_ring *ring = &queue->packed;
	uint32_t word, event;

	if (queue->event_idx && UNLIKELY(!queue->shown_once)) {
		/* Who was before us may have left a notification out. */
		queue->shown_once = true;
		return true;
	}
	word = vhi_load_le32(ring->driver_event);
	switch (word >> EVENT_FLAGS & 3) {
	case EVENT_DISABLE:
		return false;
	case EVENT_DESC:
		if (queue->event_idx)
			break;
		return true;
	default:
		return true;
	}
	/* A place of the round before lies a ring below. */
	event = word & EVENT_PLACE;
	if (!(word & EVENT_WRAP) != !used_wrap(ring))
		event -= queue->num;
	return (uint16_t)(ring->used.next - event - 1) < advanced;
}

static ALWAYS_INLINE int publish(struct vh_virtqueue *queue,
				 const struct mode mode)
{
	struct packed_ring *ring = &queue->packed;
	uint32_t advanced;
	bool call;

	if (keeps_order(queue, mode) && queue->run.count)
		write_run(queue, &ring->used, &queue->run, mode);
	advanced = ring->used.advanced;
	if (!advanced)
		return 0;
	if (mode.careful)
		log_flush(queue);
	if (mode.careful && queue->inflight.area)
		inflight_packed_show(queue);
	/*
	 * Release: pairs with the driver's barrier after it saw the flags of
	 * a used descriptor ("Receiving Used Buffers From The Device"). It
	 * sees what was written to the buffers and the descriptors behind.
	 */
	vhi_store_release_le64(&ring->descriptors[ring->used.first].rest,
			       ring->used.first_rest);
	ring->out -= advanced;
	ring->used.advanced = 0;
	if (mode.careful && queue->inflight.area)
		inflight_packed_shown(queue);
	/*
	 * Pairs with the driver's fence between asking for events and
	 * looking at the next used descriptor once more: either we see that
	 * it asks, or it sees what we have used.
	 */
	full_fence();
	call = wants_call(queue, advanced);
	if (mode.careful) {
		log_first_descriptor(queue);
		ring_detach_if_idle(queue);
	}
	return call;
}

bool packed_pending(const struct vh_virtqueue *queue)
{
	const struct packed_ring *ring = &queue->packed;
	struct descriptor first;

	return available(ring, ring->avail_next, ring->avail_bits, &first);
}

static void tell_event(struct vh_virtqueue *queue, uint32_t event)
{
	queue->packed.shown_event = event;
	vhi_store_le32(queue->packed.device_event, event);
	log_ring_now(queue, 0, sizeof(event));
}

bool packed_ask(struct vh_virtqueue *queue)
{
	const struct packed_ring *ring = &queue->packed;
	uint32_t event = EVENT_ENABLE << EVENT_FLAGS;

	if (queue->event_idx)
		event = EVENT_DESC << EVENT_FLAGS | ring->avail_next |
			(avail_wrap(ring) ? EVENT_WRAP : 0);
	if (queue->kick == KICK_ON && ring->shown_event == event)
		return false;
	tell_event(queue, event);
	return true;
}

void packed_unask(struct vh_virtqueue *queue)
{
	if (queue->kick == KICK_OFF)
		return;
	/* Advice only: it may be seen at any time, so it needs no order. */
	tell_event(queue, EVENT_DISABLE << EVENT_FLAGS);
	queue->kick = KICK_OFF;
}

VARIANT(plain, .packed = true)
VARIANT(in_order, .packed = true, .in_order = true)
VARIANT(careful, .packed = true, .careful = true)

const struct ring_ops *const packed_ops[VARIANTS] = {
    [PLAIN] = &ops_plain,
    [IN_ORDER] = &ops_in_order,
    [CAREFUL] = &ops_careful,
};
