/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Logging what the device writes (vhost-user, "Migration").
 *
 * Where a chain's writable pieces are in guest-physical memory is noted when
 * it is popped, since afterwards the pieces are the device's. It is marked
 * when the chain is pushed: a front-end clears marks and copies pages at any
 * time, so a mark has to come after the write that it is about.
 */
#include "slot.h"
#include <string.h>
#include <sys/mman.h>

/* One for each piece that a chain in a slot or in an area can have. */
static int map_ranges(struct vh_virtqueue *queue)
{
	size_t count = (size_t)queue->num * SLOT_PIECES +
		       (size_t)queue->areas_count * queue->max_pieces;
	size_t size = count * sizeof(struct log_range);
	void *ranges;

	if (queue->log.ranges)
		return 0;
	ranges = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ranges == MAP_FAILED)
		return -ENOMEM;
	queue->log.ranges = ranges;
	queue->log.ranges_size = size;
	return 0;
}

struct log_range *log_slot(const struct vh_virtqueue *queue,
			   const struct slot *slot)
{
	return queue->log.ranges +
	       (size_t)slot_number(queue, slot) * SLOT_PIECES;
}

static struct log_range *log_area(const struct vh_virtqueue *queue,
				  const struct slot *slot)
{
	size_t area = queue->area_taken[slot_number(queue, slot)];

	return queue->log.ranges + (size_t)queue->num * SLOT_PIECES +
	       area * queue->max_pieces;
}

struct log_range *log_move(const struct vh_virtqueue *queue,
			   const struct slot *slot,
			   const struct log_range *next)
{
	const struct log_range *from = log_slot(queue, slot);
	size_t count = (size_t)(next - from);

	memcpy(log_area(queue, slot), from, count * sizeof(*from));
	return log_area(queue, slot) + count;
}

void log_written(struct vh_virtqueue *queue, const struct slot *slot,
		 uint32_t written)
{
	const struct log_range *range = slot->state & SLOT_AREA
					    ? log_area(queue, slot)
					    : log_slot(queue, slot);
	struct epoch *epoch = &queue->epochs[slot->epoch];
	uint64_t part;

	/* The cache is of one log at a time, and an older one may go. */
	if (epoch != queue->epoch)
		log_flush(queue);
	for (; written; written -= part, range++) {
		part = range->size < written ? range->size : written;
		if (!part)
			break;
		vhi_log_note(epoch->log, &queue->log.cache, range->guest, part);
	}
	if (epoch != queue->epoch)
		vhi_log_flush(epoch->log, &queue->log.cache);
}

/* They aren't all where the ring was logged last. */
static COLD void log_elsewhere(struct vh_virtqueue *queue, vh_gpa at,
			       uint64_t size)
{
	struct vhi_hit *hit = &queue->log.hit;
	uint64_t part;

	for (; size; at += part, size -= part) {
		/* All of the ring was found in this map. */
		if (at - hit->base >= hit->size &&
		    !vhi_memory_find(queue->ring_memory, at, hit))
			return;
		part = hit->size - (at - hit->base);
		if (part > size)
			part = size;
		vhi_log_note(queue->epoch->log, &queue->log.cache,
			     hit->guest + (at - hit->base), part);
	}
}

/*
 * size bytes at an address of the ring's, where they are in guest-physical
 * memory: behind an IOMMU that may be another place for each page.
 */
static void log_place(struct vh_virtqueue *queue, vh_gpa at, uint64_t size)
{
	const struct vhi_hit *hit = &queue->log.hit;
	uint64_t offset = at - hit->base;

	if (LIKELY(offset < hit->size && size <= hit->size - offset))
		vhi_log_note(queue->epoch->log, &queue->log.cache,
			     hit->guest + offset, size);
	else
		log_elsewhere(queue, at, size);
}

/* Behind an IOMMU the address that was given is an IOVA, as the ring's are. */
void log_ring(struct vh_virtqueue *queue, uint64_t offset, uint64_t size)
{
	if (vh_iotlb_guest(queue->ring_memory))
		log_place(queue, queue->used_at + offset, size);
	else
		vhi_log_note(queue->epoch->log, &queue->log.cache,
			     queue->log.at + offset, size);
}

/* A packed ring is logged where it is. */
void log_descriptor(struct vh_virtqueue *queue, uint32_t place)
{
	log_place(queue,
		  queue->descriptors_at +
		      place * (uint64_t)sizeof(struct raw_descriptor),
		  sizeof(struct raw_descriptor));
}

void log_first_descriptor(struct vh_virtqueue *queue)
{
	if (!queue->log.on)
		return;
	log_descriptor(queue, queue->packed.used.first);
	log_flush(queue);
}

void log_mended_ring(struct vh_virtqueue *queue)
{
	if (!queue->log.on || !queue->is_packed || !queue->inflight.area ||
	    !queue->ring_memory)
		return;
	log_place(queue, queue->descriptors_at,
		  queue->num * (uint64_t)sizeof(struct raw_descriptor));
	log_flush(queue);
}

void log_flush(struct vh_virtqueue *queue)
{
	if (queue->epoch->log)
		vhi_log_flush(queue->epoch->log, &queue->log.cache);
}

void log_ring_now(struct vh_virtqueue *queue, uint64_t offset, uint64_t size)
{
	if (!queue->log.on)
		return;
	log_ring(queue, offset, size);
	log_flush(queue);
}

int vh_virtqueue_set_log(struct vh_virtqueue *queue, struct vh_dirty_log *log,
			 bool ring, vh_gpa ring_at)
{
	int r = log ? map_ranges(queue) : 0;

	if (r < 0)
		return r;
	log_flush(queue);
	r = epoch_open(queue, queue->epoch->memory, log);
	if (r < 0)
		return r;
	queue->log.on = log && ring;
	queue->log.at = ring_at;
	log_mended_ring(queue);
	queue_choose(queue);
	return 0;
}
