/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a virtqueue consists of.
 *
 * Three ideas carry the room. A slot for every head is there from the
 * start, so that a request costs no allocation and a head that comes twice
 * is seen. A walk (chain.h) turns descriptors into the pieces of a slot
 * and knows nothing of rings. The ring (split.c) says which chain is next
 * and takes completions, and knows nothing of descriptors but where they
 * begin; another ring format is another file beside it.
 */
#ifndef VIRTQUEUE_QUEUE_H
#define VIRTQUEUE_QUEUE_H

#include "inflight.h"
#include <errno.h>
#include <libvhost/virtqueue.h>
#include <memory/translate.h>

#define LIKELY(x)	  __builtin_expect(!!(x), 1)
#define UNLIKELY(x)	  __builtin_expect(!!(x), 0)
#define COLD		  __attribute__((cold, noinline))
#define ALWAYS_INLINE	  inline __attribute__((always_inline))

#define FEATURE_INDIRECT  (UINT64_C(1) << 28)
#define FEATURE_EVENT_IDX (UINT64_C(1) << 29)

/* A descriptor as it lies in guest memory: read it with descriptor_copy(). */
struct raw_descriptor {
	uint64_t address;
	uint64_t length_flags_next; /* 32, 16 and 16 bits, lowest first */
};

#define DESCRIPTOR_NEXT	    1
#define DESCRIPTOR_WRITE    2
#define DESCRIPTOR_INDIRECT 4

struct avail_ring {
	uint16_t flags;
	uint16_t index;
	uint16_t ring[]; /* num heads, then used_event */
};

#define AVAIL_NO_INTERRUPT 1

struct used_element {
	uint32_t id;
	uint32_t length;
};

struct used_ring {
	uint16_t flags;
	uint16_t index;
	struct used_element ring[]; /* num of them, then avail_event */
};

#define USED_NO_NOTIFY 1

/*
 * Slots are 192 bytes: a chain of one piece touches one cache line, one of
 * five touches two, and three lines to a slot spread the first lines of
 * all slots over all sets of the cache.
 */
#define SLOT_PIECES 9

/* Everything after chain is ours alone: the device may scribble over chain. */
struct slot {
	struct vh_chain chain;
	uint32_t writable_size;
	uint16_t head;
	uint8_t epoch; /* whose map the pieces point into */
	uint8_t state; /* SLOT_... */
	struct iovec pieces[SLOT_PIECES];
} __attribute__((aligned(64)));

#define SLOT_BUSY 1 /* popped and not pushed */
#define SLOT_AREA 2 /* the pieces are in an area */

/* A map and what is in flight on it. The newest is the one that pop uses. */
#define EPOCHS 4

struct epoch {
	struct vh_memory *memory; /* NULL: free */
	unsigned int inflight;
	struct vhi_hit buffers;
	struct vhi_hit tables; /* they seldom lie beside the buffers */
};

enum kick_state { KICK_UNKNOWN, KICK_ON, KICK_OFF };

struct split_ring {
	const struct raw_descriptor *descriptors;
	const struct avail_ring *avail;
	struct used_ring *used;
	uint16_t avail_next; /* the next one to pop */
	uint16_t avail_seen; /* the driver's index when we last looked */
	uint16_t used_next;  /* where the next completion goes */
	uint16_t used_shown; /* what the driver was shown */
	bool shown_once;     /* used_shown is the base of a decision */
	enum kick_state kick;
	uint16_t kick_event; /* in avail_event, if kick is KICK_ON */
};

struct vh_virtqueue {
	struct split_ring split;
	struct inflight inflight;
	struct slot *slots;
	struct epoch *epoch; /* the current one */
	uint32_t num;
	uint32_t mask;
	uint32_t slot_pieces;  /* SLOT_PIECES, or less if the device said so */
	uint32_t quick_pieces; /* and no more than num */
	uint8_t epoch_number;  /* of epoch */
	bool indirect;
	bool event_idx;
	bool broken;
	bool starved; /* a chain waits for a free area */

	/*
	 * Chains of more pieces than fit into a slot live in areas of
	 * max_pieces each. The last one that was given back is taken first,
	 * so few pages are ever touched.
	 */
	struct iovec *areas;
	uint16_t *area_free;  /* a stack */
	uint16_t *area_taken; /* by head, if its slot says SLOT_AREA */
	uint32_t areas_left;
	uint32_t max_pieces;

	struct epoch epochs[EPOCHS];
	vh_gpa descriptors_at;
	vh_gpa avail_at;
	vh_gpa used_at;
	uint32_t index;
	size_t arena_size; /* slots, stacks and areas are one mapping */
	struct vh_fault fault;
};

/* Gives back the area that the pieces of a head were in. */
static inline void area_put(struct vh_virtqueue *queue, uint16_t head)
{
	queue->area_free[queue->areas_left++] = queue->area_taken[head];
	queue->starved = false;
}

/* The last chain of an epoch that isn't the current one was pushed. */
void epoch_retire(struct epoch *epoch) COLD;

/*
 * Finds the parts of the ring in memory; what was found before stays if
 * they aren't there (-EFAULT, with words).
 */
int split_attach(struct vh_virtqueue *queue, const struct vh_memory *memory,
		 struct vh_fault *fault);

/* Begins at base; the used index is read, for the first and last time. */
void split_start(struct vh_virtqueue *queue, uint16_t base);

#endif
