/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Where the parts of a ring are in memory, and waiting until they are. */
#include "queue.h"
#include <base/check.h>
#include <base/fault.h>
#include <inttypes.h>

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

/* True if the queue must wait: an IOTLB has a hole where the part is. */
static bool part_is_missing(struct vh_virtqueue *queue,
			    const struct vh_memory *memory,
			    const struct ring_part *part)
{
	struct vhi_hit hit;
	vh_gpa at = part->at;

	if (!vh_iotlb_guest(memory) || vhi_range_wraps(part->at, part->size))
		return false;
	while (at - part->at < part->size) {
		if (!vhi_memory_find(memory, at, &hit)) {
			queue_wait(queue, at, part->access);
			return true;
		}
		at = hit.base + hit.size;
	}
	return false;
}

static void *part_host(const struct vh_memory *memory,
		       const struct ring_part *part, vh_gpa *ret_guest)
{
	struct vhi_hit hit = {0};
	void *host;

	if (part->at % part->alignment)
		return NULL;
	host = vhi_translate(memory, &hit, part->at, part->size);
	/* A region may be mapped with another alignment than its own. */
	if ((uintptr_t)host % part->alignment || part->access & ~hit.access)
		return NULL;
	*ret_guest = hit.guest + (part->at - hit.base);
	return host;
}

static int say_part(const struct vh_virtqueue *queue,
		    const struct vh_memory *memory,
		    const struct ring_part *part, struct vh_fault *fault)
{
	const char *why = "isn't in one region";
	struct vhi_hit hit = {0};

	if (part->at % part->alignment)
		why = "isn't aligned";
	else if (vhi_translate(memory, &hit, part->at, part->size))
		why = part->access & ~hit.access
			  ? "may not be accessed so"
			  : "isn't aligned where it is mapped";
	vhi_fault(fault, VH_FAULT_RING_ADDR, -EFAULT, "virtio, Virtqueues",
		  "queue %u: the %s at 0x%" PRIx64 ", %" PRIu64
		  " bytes, aligned to %" PRIu64 ", %s",
		  queue->index, part->name, part->at, part->size,
		  part->alignment, why);
	if (fault)
		fault->queue = queue->index;
	return -EFAULT;
}

static int find_parts(struct vh_virtqueue *queue,
		      const struct vh_memory *memory,
		      const struct ring_part parts[], void *ret_hosts[],
		      struct vh_fault *fault)
{
	vh_gpa guests[3];

	for (unsigned int i = 0; i < 3; i++) {
		ret_hosts[i] = part_host(memory, &parts[i], &guests[i]);
		if (ret_hosts[i])
			continue;
		if (part_is_missing(queue, memory, &parts[i]))
			return -EAGAIN;
		return say_part(queue, memory, &parts[i], fault);
	}
	queue->ring_guest = guests[0];
	queue->used_guest = guests[2];
	return 0;
}

static int split_attach(struct vh_virtqueue *queue,
			const struct vh_memory *memory, struct vh_fault *fault)
{
	uint64_t num = queue->num;
	const struct ring_part parts[3] = {
	    {"descriptor table", queue->descriptors_at, 16 * num, 16,
	     VH_ACCESS_READ},
	    {"available ring", queue->avail_at, 6 + 2 * num, 2, VH_ACCESS_READ},
	    {"used ring", queue->used_at, 6 + 8 * num, 4, VH_ACCESS_WRITE},
	};
	void *hosts[3];
	int r = find_parts(queue, memory, parts, hosts, fault);

	if (r < 0)
		return r;
	queue->split.descriptors = hosts[0];
	queue->split.avail = hosts[1];
	queue->split.used = hosts[2];
	return 0;
}

static int packed_attach(struct vh_virtqueue *queue,
			 const struct vh_memory *memory, struct vh_fault *fault)
{
	const struct ring_part parts[3] = {
	    {"descriptor ring", queue->descriptors_at,
	     UINT64_C(16) * queue->num, 16, VH_ACCESS_READ | VH_ACCESS_WRITE},
	    {"driver event suppression", queue->avail_at, 4, 4, VH_ACCESS_READ},
	    {"device event suppression", queue->used_at, 4, 4, VH_ACCESS_WRITE},
	};
	void *hosts[3];
	int r = find_parts(queue, memory, parts, hosts, fault);

	if (r < 0)
		return r;
	queue->packed.descriptors = hosts[0];
	queue->packed.driver_event = hosts[1];
	queue->packed.device_event = hosts[2];
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
	return queue->is_packed
		   ? inflight_packed_open(queue, queue->tracked,
					  queue->tracked_size, fault)
		   : inflight_open(queue, queue->tracked, queue->tracked_size,
				   fault);
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
	return queue->started ? 0 : first_attach(queue, fault);
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
	vh_memory_unref(queue->ring_memory);
	queue->ring_memory = NULL;
}
