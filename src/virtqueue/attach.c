/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Where the parts of a ring are in memory, and waiting until they are. */
#include "queue.h"
#include <base/check.h>
#include <base/fault.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void queue_wait(struct vh_virtqueue *queue, vh_gpa iova, uint32_t access)
{
	queue->waits = true;
	queue->missing = iova;
	queue->missing_access = access;
}

bool vh_virtqueue_missing(const struct vh_virtqueue *queue, vh_gpa *ret_iova,
			  uint32_t *ret_access)
{
	if (!queue->waits || queue->broken)
		return false;
	*ret_iova = queue->missing;
	*ret_access = queue->missing_access;
	return true;
}

static int say_part(const struct vh_virtqueue *queue,
		    const struct ring_part *part, const char *why,
		    struct vh_fault *fault)
{
	vhi_fault(fault, VH_FAULT_RING_ADDR, -EFAULT, "virtio, Virtqueues",
		  "queue %u: the %s at 0x%" PRIx64 ", %" PRIu64
		  " bytes, aligned to %" PRIu64 ", %s",
		  queue->index, part->name, part->at, part->size,
		  part->alignment, why);
	if (fault)
		fault->queue = queue->index;
	return -EFAULT;
}

/*
 * All of a part is there, for the access that it needs. -EAGAIN: an IOTLB has
 * a hole where the part is, and the queue waits.
 */
static int check_part(struct vh_virtqueue *queue,
		      const struct vh_memory *memory,
		      const struct ring_part *part, struct vh_fault *fault)
{
	bool iotlb = vh_iotlb_guest(memory);
	uint32_t allowed = part->access;
	struct vhi_hit hit = {0};
	vh_gpa at = part->at;

	if (part->at % part->alignment)
		return say_part(queue, part, "isn't aligned", fault);
	if (vhi_range_wraps(part->at, part->size) ||
	    (!iotlb && !vhi_translate(memory, &hit, part->at, part->size)))
		return say_part(queue, part, "isn't in one region", fault);
	for (; iotlb && at - part->at < part->size; at = hit.base + hit.size) {
		if (!vhi_memory_find(memory, at, &hit)) {
			queue_wait(queue, at, part->access);
			return -EAGAIN;
		}
		allowed &= hit.access;
	}
	if (allowed != part->access)
		return say_part(queue, part, "may not be accessed so", fault);
	return 0;
}

/* A view of the part; the old one, if memory has it in the same places. */
static int view_part(const struct vh_virtqueue *queue,
		     const struct vh_memory *memory,
		     const struct ring_part *part, const struct vhi_view *old,
		     struct vhi_view *ret_view, struct vh_fault *fault)
{
	char why[64];
	int r = 0;

	if (old->mapped &&
	    vhi_view_is_same(queue->ring_memory, memory, part->at, part->size))
		*ret_view = *old;
	else
		r = vhi_view_open(memory, part->at, part->size, ret_view);
	if (r == -EDOM)
		return say_part(queue, part,
				"is scattered, and not by whole pages", fault);
	if (r < 0) {
		snprintf(why, sizeof(why),
			 "is scattered and can't be mapped again: error %d",
			 -r);
		return say_part(queue, part, why, fault);
	}
	/* A region may be mapped with another alignment than its own. */
	if ((uintptr_t)ret_view->host % part->alignment)
		return say_part(queue, part, "isn't aligned where it is mapped",
				fault);
	return 0;
}

/* Closes those that aren't kept. */
static void close_views(struct vhi_view views[RING_PARTS],
			const struct vhi_view kept[RING_PARTS])
{
	for (unsigned int i = 0; i < RING_PARTS; i++)
		if (views[i].mapped != kept[i].mapped)
			vhi_view_close(&views[i]);
}

/* Puts a view of each part into queue->views. */
static int find_parts(struct vh_virtqueue *queue,
		      const struct vh_memory *memory,
		      const struct ring_part parts[RING_PARTS],
		      struct vh_fault *fault)
{
	struct vhi_view views[RING_PARTS] = {{0}};
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < RING_PARTS; i++)
		r = check_part(queue, memory, &parts[i], fault);
	for (unsigned int i = 0; r == 0 && i < RING_PARTS; i++)
		r = view_part(queue, memory, &parts[i], &queue->views[i],
			      &views[i], fault);
	if (r < 0) {
		close_views(views, queue->views);
		return r;
	}
	close_views(queue->views, views);
	memcpy(queue->views, views, sizeof(views));
	return 0;
}

static int split_attach(struct vh_virtqueue *queue,
			const struct vh_memory *memory, struct vh_fault *fault)
{
	uint64_t num = queue->num;
	const struct ring_part parts[RING_PARTS] = {
	    {"descriptor table", queue->descriptors_at, 16 * num, 16,
	     VH_ACCESS_READ},
	    {"available ring", queue->avail_at, 6 + 2 * num, 2, VH_ACCESS_READ},
	    {"used ring", queue->used_at, 6 + 8 * num, 4, VH_ACCESS_WRITE},
	};
	int r = find_parts(queue, memory, parts, fault);

	if (r < 0)
		return r;
	queue->split.descriptors = queue->views[0].host;
	queue->split.avail = queue->views[1].host;
	queue->split.used = queue->views[2].host;
	return 0;
}

static int packed_attach(struct vh_virtqueue *queue,
			 const struct vh_memory *memory, struct vh_fault *fault)
{
	const struct ring_part parts[RING_PARTS] = {
	    {"descriptor ring", queue->descriptors_at,
	     UINT64_C(16) * queue->num, 16, VH_ACCESS_READ | VH_ACCESS_WRITE},
	    {"driver event suppression", queue->avail_at, 4, 4, VH_ACCESS_READ},
	    {"device event suppression", queue->used_at, 4, 4, VH_ACCESS_WRITE},
	};
	int r = find_parts(queue, memory, parts, fault);

	if (r < 0)
		return r;
	queue->packed.descriptors = queue->views[0].host;
	queue->packed.driver_event = queue->views[1].host;
	queue->packed.device_event = queue->views[2].host;
	return 0;
}

/* Now the ring can be looked at: where it begins, what was in flight. */
static int first_attach(struct vh_virtqueue *queue, struct vh_fault *fault)
{
	int r = queue->is_packed ? packed_start(queue, fault)
				 : split_start(queue, fault);

	queue->started = true;
	if (r < 0 || !queue->tracked)
		return r;
	r = queue->is_packed ? inflight_packed_open(queue, queue->tracked,
						    queue->tracked_size, fault)
			     : inflight_open(queue, queue->tracked,
					     queue->tracked_size, fault);
	if (r == -ENOMEM)
		vhi_fault(fault, VH_FAULT_SYSTEM, r, "Inflight I/O tracking",
			  "queue %u: no memory to track requests",
			  queue->index);
	if (r == 0)
		log_mended_ring(queue);
	return r;
}

int ring_attach(struct vh_virtqueue *queue, const struct vh_memory *memory,
		struct vh_fault *fault)
{
	int r;

	queue->waits = false;
	r = queue->is_packed ? packed_attach(queue, memory, fault)
			     : split_attach(queue, memory, fault);
	if (r < 0)
		return r;
	vh_memory_unref(queue->ring_memory);
	queue->ring_memory = vh_memory_ref(memory);
	queue->log.hit = (struct vhi_hit){0};
	return queue->started ? 0 : first_attach(queue, fault);
}

void ring_detach(struct vh_virtqueue *queue)
{
	const struct vhi_view none[RING_PARTS] = {{0}};

	close_views(queue->views, none);
	vh_memory_unref(queue->ring_memory);
	queue->ring_memory = NULL;
}

static bool is_unpublished(const struct vh_virtqueue *queue)
{
	if (queue->run.count)
		return true;
	return queue->is_packed
		   ? queue->packed.used.advanced != 0
		   : queue->split.used_next != queue->split.used_shown;
}

/* Completions go where the ring was, as long as there are any. */
void ring_detach_if_idle(struct vh_virtqueue *queue)
{
	if (!queue->waits || queue->ring_memory == queue->epoch->memory ||
	    vh_virtqueue_inflight(queue) || is_unpublished(queue))
		return;
	ring_detach(queue);
}
