/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Requests in flight, tracked in memory that outlives us (vhost-user,
 * "Inflight I/O tracking"). Whoever serves the queue after a crash finds
 * there which heads were taken and not given back.
 *
 * We only ever write to the area; it is read once, when a queue starts, and
 * not trusted then.
 */
#ifndef VIRTQUEUE_INFLIGHT_H
#define VIRTQUEUE_INFLIGHT_H

#include <base/check.h>
#include <stdint.h>

struct inflight_entry {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next; /* of the last batch */
	uint64_t counter;
};

struct inflight_area {
	uint64_t features;
	uint16_t version; /* 0: fresh */
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct inflight_entry entries[];
};

struct inflight {
	struct inflight_area *area; /* NULL: nothing is tracked */
	uint64_t counter;
	uint16_t last; /* head of the batch in the making */
	uint16_t batch_count;
	uint16_t resend_count;
	uint16_t resend_next;
	uint16_t *batch;  /* pushed and not shown */
	uint16_t *resend; /* found in the area, oldest first */
	struct vhi_inflight_packed *packed; /* what a packed ring has instead */
};

struct vh_virtqueue;

/*
 * Takes up an area of size bytes. What it says was in flight waits in
 * resend[]. -EINVAL: it is too small for the queue or can't be true.
 */
int inflight_open(struct vh_virtqueue *queue, void *memory, size_t size,
		  struct vh_fault *fault);
void inflight_close(struct inflight *inflight);

/* inflight_packed.c: the same for packed rings. */
struct slot;
struct raw_descriptor;
int inflight_packed_open(struct vh_virtqueue *queue, void *memory, size_t size,
			 struct vh_fault *fault);
void inflight_packed_close(struct vhi_inflight_packed *own);
/* The chain at a place of the ring is in this slot now; or it is done. */
void inflight_packed_take(struct vh_virtqueue *queue, const struct slot *slot,
			  uint32_t place);
void inflight_packed_give(struct vh_virtqueue *queue, const struct slot *slot);
/* Before and after the driver is shown what was given back. */
void inflight_packed_show(struct vh_virtqueue *queue);
void inflight_packed_shown(struct vh_virtqueue *queue);
/* The descriptors of the next request to be popped again, into this slot. */
const struct raw_descriptor *inflight_packed_resend(struct vh_virtqueue *queue,
						    const struct slot *slot,
						    uint32_t *ret_count);

/* A compiler barrier is enough between our stores: a crash of the process
 * loses none that the processor has seen, and nobody reads concurrently. */
static inline void inflight_order(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void inflight_take(struct inflight *inflight, uint16_t head)
{
	struct inflight_entry *entry = &inflight->area->entries[head];

	entry->counter = inflight->counter++;
	inflight_order();
	__atomic_store_n(&entry->inflight, 1, __ATOMIC_RELAXED);
}

static inline void inflight_give(struct inflight *inflight, uint16_t head,
				 uint32_t num)
{
	struct inflight_area *area = inflight->area;

	__atomic_store_n(&area->entries[head].next, inflight->last,
			 __ATOMIC_RELAXED);
	inflight_order();
	__atomic_store_n(&area->last_batch_head, head, __ATOMIC_RELAXED);
	inflight->last = head;
	/* A driver that reuses heads early gets what it asks for. */
	if (inflight->batch_count < num)
		inflight->batch[inflight->batch_count++] = head;
}

/* The used index was moved to used: the batch is the driver's. */
static inline void inflight_shown(struct inflight *inflight, uint16_t used)
{
	struct inflight_area *area = inflight->area;

	inflight_order();
	for (unsigned int i = 0; i < inflight->batch_count; i++)
		__atomic_store_n(&area->entries[inflight->batch[i]].inflight, 0,
				 __ATOMIC_RELAXED);
	inflight->batch_count = 0;
	inflight_order();
	__atomic_store_n(&area->used_idx, used, __ATOMIC_RELAXED);
}

#endif
