/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The split ring ("Split Virtqueues"): what is next, what is done, and who
 * wants to hear of it.
 */
#include "chain.h"
#include "fence.h"
#include <base/check.h>
#include <base/fault.h>
#include <inttypes.h>

struct part {
	const char *name;
	vh_gpa at;
	uint64_t size;
	uint64_t alignment;
};

static void *find_part(const struct vh_virtqueue *queue,
		       const struct vh_memory *memory, const struct part *part,
		       struct vh_fault *fault)
{
	bool aligned = part->at % part->alignment == 0;
	void *host = NULL;

	if (aligned) {
		host = vh_memory_at(memory, part->at, part->size);
		/* A region may be mapped with another alignment than its own.
		 */
		aligned = (uintptr_t)host % part->alignment == 0;
	}
	if (host && aligned)
		return host;
	vhi_fault(fault, VH_FAULT_RING_ADDR, -EFAULT, "virtio, Virtqueues",
		  "queue %u: the %s at 0x%" PRIx64 " %s %" PRIu64 "%s",
		  queue->index, part->name, part->at,
		  aligned ? "with" : "isn't aligned to",
		  aligned ? part->size : part->alignment,
		  aligned ? " bytes isn't in one region" : " bytes");
	if (fault)
		fault->queue = queue->index;
	return NULL;
}

int split_attach(struct vh_virtqueue *queue, const struct vh_memory *memory,
		 struct vh_fault *fault)
{
	uint64_t num = queue->num;
	struct part descriptors = {"descriptor table", queue->descriptors_at,
				   16 * num, 16};
	struct part avail = {"available ring", queue->avail_at, 6 + 2 * num, 2};
	struct part used = {"used ring", queue->used_at, 6 + 8 * num, 4};
	struct split_ring ring = queue->split;

	ring.descriptors = find_part(queue, memory, &descriptors, fault);
	if (!ring.descriptors)
		return -EFAULT;
	ring.avail = find_part(queue, memory, &avail, fault);
	if (!ring.avail)
		return -EFAULT;
	ring.used = find_part(queue, memory, &used, fault);
	if (!ring.used)
		return -EFAULT;
	queue->split = ring;
	return 0;
}

void split_start(struct vh_virtqueue *queue, uint16_t base)
{
	struct split_ring *ring = &queue->split;

	ring->avail_next = base;
	ring->avail_seen = base;
	ring->used_next = vhi_load_le16(&ring->used->index);
	ring->used_shown = ring->used_next;
}

static uint16_t *avail_event(const struct vh_virtqueue *queue)
{
	/* It lies behind the last element, 4 bytes aligned like those. */
	return (uint16_t *)(void *)&queue->split.used->ring[queue->num];
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
		if (UNLIKELY(count > queue->num)) {
			vh_virtqueue_break(
			    queue, VH_FAULT_RING_INDEX, "virtio, Updating idx",
			    "queue %u: the available index is "
			    "%u, %u above the next one to be "
			    "popped, in a queue of %u",
			    queue->index, ring->avail_seen, count, queue->num);
			return -EPROTO;
		}
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

static ALWAYS_INLINE bool pop_one(struct vh_virtqueue *queue, uint16_t head)
{
	struct slot *slot;

	if (UNLIKELY(head >= queue->num))
		return fail_head(queue, head);
	slot = &queue->slots[head];
	if (UNLIKELY(slot->state & SLOT_BUSY))
		return fail_head(queue, head);
	return walk_chain(queue, queue->split.descriptors, slot, head);
}

/* What a process before us took and didn't give back comes first. */
static COLD int pop_again(struct vh_virtqueue *queue, struct vh_chain *chains[],
			  unsigned int max)
{
	struct inflight *inflight = &queue->inflight;
	int done = 0;

	while (done < (int)max &&
	       inflight->resend_next < inflight->resend_count) {
		uint16_t head = inflight->resend[inflight->resend_next];

		if (!pop_one(queue, head))
			break;
		inflight->resend_next++;
		chains[done++] = &queue->slots[head].chain;
	}
	queue->epoch->inflight += (unsigned int)done;
	return done || !queue->broken ? done : -EPROTO;
}

unsigned int vh_virtqueue_unrecovered(const struct vh_virtqueue *queue)
{
	return queue->inflight.resend_count - queue->inflight.resend_next;
}

int vh_virtqueue_pop(struct vh_virtqueue *queue, struct vh_chain *chains[],
		     unsigned int max)
{
	struct split_ring *ring = &queue->split;
	uint16_t heads[VH_VIRTQUEUE_BURST];
	int count, done;

	if (UNLIKELY(queue->broken))
		return -EPROTO;
	if (max > VH_VIRTQUEUE_BURST)
		max = VH_VIRTQUEUE_BURST;
	if (UNLIKELY(vh_virtqueue_unrecovered(queue)))
		return pop_again(queue, chains, max);
	count = available(queue, max);
	if (count <= 0)
		return count;
	/* Lines that the driver has just written: ask for all at once. */
	for (int i = 0; i < count; i++) {
		heads[i] = vhi_load_le16(
		    &ring->avail->ring[(ring->avail_next + (unsigned int)i) &
				       queue->mask]);
		__builtin_prefetch(&ring->descriptors[heads[i] & queue->mask]);
		__builtin_prefetch(&queue->slots[heads[i] & queue->mask], 1);
	}
	for (done = 0; done < count; done++) {
		if (!pop_one(queue, heads[done]))
			break;
		chains[done] = &queue->slots[heads[done]].chain;
		if (queue->inflight.area)
			inflight_take(&queue->inflight, heads[done]);
	}
	ring->avail_next = (uint16_t)(ring->avail_next + done);
	queue->epoch->inflight += (unsigned int)done;
	return done || !queue->broken ? done : -EPROTO;
}

void vh_virtqueue_push(struct vh_virtqueue *queue, struct vh_chain *chain,
		       uint32_t written)
{
	struct slot *slot = VHI_CONTAINER_OF(chain, struct slot, chain);
	struct split_ring *ring = &queue->split;
	struct epoch *epoch = &queue->epochs[slot->epoch];
	struct used_element *used;

	if (UNLIKELY(!(slot->state & SLOT_BUSY)))
		return;
	if (UNLIKELY(slot->state & SLOT_AREA))
		area_put(queue, slot->head);
	slot->state = 0;
	if (LIKELY(!queue->broken)) {
		used = &ring->used->ring[ring->used_next++ & queue->mask];
		vhi_store_le32(&used->id, slot->head);
		vhi_store_le32(&used->length, written < slot->writable_size
						  ? written
						  : slot->writable_size);
		if (queue->inflight.area)
			inflight_give(&queue->inflight, slot->head, queue->num);
	}
	if (--epoch->inflight == 0 && UNLIKELY(epoch != queue->epoch))
		epoch_retire(epoch);
}

int vh_virtqueue_publish(struct vh_virtqueue *queue)
{
	struct split_ring *ring = &queue->split;
	uint16_t old = ring->used_shown;
	uint16_t now = ring->used_next;
	uint16_t event;

	if (now == old || UNLIKELY(queue->broken))
		return 0;
	/*
	 * Release: pairs with the driver's acquire of the used index. What
	 * was written to the buffers and to the used ring is seen by who
	 * sees the index.
	 */
	vhi_store_release_le16(&ring->used->index, now);
	ring->used_shown = now;
	if (queue->inflight.area)
		inflight_shown(&queue->inflight, now);
	/*
	 * Pairs with the driver's fence between asking for interrupts
	 * (used_event or flags) and looking at the used index once more:
	 * either we see that it asks, or it sees our index.
	 */
	full_fence();
	if (!queue->event_idx)
		return !(vhi_load_le16(&ring->avail->flags) &
			 AVAIL_NO_INTERRUPT);
	if (UNLIKELY(!ring->shown_once)) {
		/* Who was before us may have left a notification out. */
		ring->shown_once = true;
		return 1;
	}
	event = vhi_load_le16(&ring->avail->ring[queue->num]);
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

bool vh_virtqueue_pending(const struct vh_virtqueue *queue)
{
	const struct split_ring *ring = &queue->split;

	if (queue->broken || queue->starved)
		return false;
	if (vh_virtqueue_unrecovered(queue))
		return true;
	/* No acquire: vh_virtqueue_pop() does it before it looks further. */
	return vhi_load_le16(&ring->avail->index) != ring->avail_next;
}

int vh_virtqueue_enable_kick(struct vh_virtqueue *queue)
{
	struct split_ring *ring = &queue->split;
	uint16_t next = ring->avail_next;

	if (queue->broken)
		return 0;
	if (ring->kick != KICK_ON ||
	    (queue->event_idx && ring->kick_event != next)) {
		if (queue->event_idx)
			vhi_store_le16(avail_event(queue), next);
		else
			vhi_store_le16(&ring->used->flags, 0);
		ring->kick = KICK_ON;
		ring->kick_event = next;
		/*
		 * Pairs with the driver's fence between storing the
		 * available index and reading avail_event or flags: either
		 * it sees that we ask, or we see its index. If nothing was
		 * stored, an earlier fence stands.
		 */
		full_fence();
	}
	return vh_virtqueue_pending(queue);
}

void vh_virtqueue_disable_kick(struct vh_virtqueue *queue)
{
	struct split_ring *ring = &queue->split;

	/* avail_event falls behind by itself. */
	if (queue->broken || queue->event_idx || ring->kick == KICK_OFF)
		return;
	/* Advice only: it may be seen at any time, so it needs no order. */
	vhi_store_le16(&ring->used->flags, USED_NO_NOTIFY);
	ring->kick = KICK_OFF;
}

uint16_t vh_virtqueue_base(const struct vh_virtqueue *queue)
{
	return queue->split.avail_next;
}
