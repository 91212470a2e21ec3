/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "inflight.h"
#include "queue.h"

#include <base/fault.h>
#include <stdlib.h>

#define SECTION "Inflight I/O tracking"

/* What is sorted when an area is taken up. */
struct found {
	uint64_t counter;
	uint16_t head;
};

static int by_counter(const void *a, const void *b)
{
	const struct found *x = a;
	const struct found *y = b;

	if (x->counter != y->counter)
		return x->counter < y->counter ? -1 : 1;
	return x->head < y->head ? -1 : x->head > y->head;
}

/*
 * The crash came between showing the driver a batch and noting that: those
 * heads aren't in flight any more.
 */
static void finish_batch(struct inflight_area *area, uint16_t count,
			 uint32_t num)
{
	uint16_t head =
	    __atomic_load_n(&area->last_batch_head, __ATOMIC_RELAXED);

	while (count-- && head < num) {
		__atomic_store_n(&area->entries[head].inflight, 0,
				 __ATOMIC_RELAXED);
		head = __atomic_load_n(&area->entries[head].next,
				       __ATOMIC_RELAXED);
	}
}

/* One pass over the area: what it says is looked at once. */
static unsigned int collect(const struct inflight_area *area, uint32_t num,
			    struct found *found)
{
	unsigned int count = 0;

	for (uint32_t i = 0; i < num; i++) {
		const struct inflight_entry *entry = &area->entries[i];

		if (__atomic_load_n(&entry->inflight, __ATOMIC_RELAXED) != 1)
			continue;
		found[count].head = (uint16_t)i;
		found[count++].counter =
		    __atomic_load_n(&entry->counter, __ATOMIC_RELAXED);
	}
	qsort(found, count, sizeof(*found), by_counter);
	return count;
}

static int recover(struct vh_virtqueue *queue, struct vh_fault *fault)
{
	struct inflight *inflight = &queue->inflight;
	struct inflight_area *area = inflight->area;
	struct split_ring *ring = &queue->split;
	uint16_t batch =
	    (uint16_t)(ring->used_next -
		       __atomic_load_n(&area->used_idx, __ATOMIC_RELAXED));
	struct found *found;
	unsigned int count;

	if (batch <= queue->num)
		finish_batch(area, batch, queue->num);
	found = calloc(queue->num, sizeof(*found));
	if (!found)
		return -ENOMEM;
	count = collect(area, queue->num, found);
	for (unsigned int i = 0; i < count; i++)
		inflight->resend[i] = found[i].head;
	inflight->resend_count = (uint16_t)count;
	inflight->counter = count ? found[count - 1].counter + 1 : 0;
	free(found);
	if (count && batch > queue->num)
		return vhi_fault(fault, VH_FAULT_MSG_FIELD, -EINVAL, SECTION,
				 "queue %u: the area is of used index %u, the "
				 "ring is at %u",
				 queue->index,
				 (uint16_t)(ring->used_next - batch),
				 ring->used_next);
	/* Every head is either given back, in flight, or still to be taken. */
	if (count)
		ring->avail_next = ring->avail_seen =
		    (uint16_t)(ring->used_next + count);
	__atomic_store_n(&area->used_idx, ring->used_next, __ATOMIC_RELAXED);
	return 0;
}

static void begin_fresh(struct vh_virtqueue *queue)
{
	struct inflight_area *area = queue->inflight.area;

	for (uint32_t i = 0; i < queue->num; i++)
		area->entries[i].inflight = 0;
	area->features = 0;
	area->desc_num = (uint16_t)queue->num;
	area->last_batch_head = 0;
	area->used_idx = queue->split.used_next;
	inflight_order();
	__atomic_store_n(&area->version, 1, __ATOMIC_RELAXED);
}

int inflight_open(struct vh_virtqueue *queue, void *memory, size_t size,
		  struct vh_fault *fault)
{
	struct inflight *inflight = &queue->inflight;
	struct inflight_area *area = memory;
	size_t need = sizeof(*area) + queue->num * sizeof(area->entries[0]);
	uint16_t version;

	if (size < need)
		return vhi_fault(fault, VH_FAULT_MSG_FIELD, -EINVAL, SECTION,
				 "queue %u of size %u needs %zu bytes in the "
				 "area, there are %zu",
				 queue->index, queue->num, need, size);
	inflight->batch = calloc(2UL * queue->num, sizeof(uint16_t));
	if (!inflight->batch)
		return -ENOMEM;
	inflight->resend = inflight->batch + queue->num;
	inflight->area = area;
	version = __atomic_load_n(&area->version, __ATOMIC_RELAXED);
	if (version == 0) {
		begin_fresh(queue);
		return 0;
	}
	if (version != 1)
		return vhi_fault(fault, VH_FAULT_MSG_FIELD, -EINVAL, SECTION,
				 "queue %u: the area has version %u, known is "
				 "1",
				 queue->index, version);
	return recover(queue, fault);
}

void inflight_close(struct inflight *inflight)
{
	free(inflight->batch);
	inflight_packed_close(inflight->packed);
}

void vh_virtqueue_forget_inflight(void *inflight)
{
	struct inflight_area *area = inflight;

	__atomic_store_n(&area->version, 0, __ATOMIC_RELAXED);
}
