/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a virtqueue consists of.
 *
 * Three ideas carry the room. Slots for as many requests as the queue can
 * have are there from the start, so that a request costs no allocation, and
 * a note for each head or buffer id says whether it is in flight. A walk
 * (chain.h) turns descriptors into the pieces of a slot and knows nothing of
 * rings. A ring (split.c, packed.c) says which chain is next and takes
 * completions, and knows nothing of descriptors but where they begin.
 *
 * Each ring's functions exist three times, made of the same source: plain,
 * for IN_ORDER, and careful, which knows of logging, of requests tracked in
 * shared memory and of IOTLBs. Which ones a queue uses is chosen when that
 * changes (queue_choose()), so nobody pays for what isn't on.
 */
#ifndef VIRTQUEUE_QUEUE_H
#define VIRTQUEUE_QUEUE_H

#include "inflight.h"
#include <errno.h>
#include <libvhost/virtqueue.h>
#include <memory/log.h>
#include <memory/translate.h>
#include <memory/view.h>

#define LIKELY(x)     __builtin_expect(!!(x), 1)
#define UNLIKELY(x)   __builtin_expect(!!(x), 0)
#define COLD	      __attribute__((cold, noinline))
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* A descriptor as it lies in guest memory: read it with descriptor_copy(). */
struct raw_descriptor {
	uint64_t address;
	/*
	 * Lowest bits first. Split: length, flags, next, of 32, 16 and 16
	 * bits; packed: length, id, flags.
	 */
	uint64_t rest;
};

#define DESCRIPTOR_NEXT	    1
#define DESCRIPTOR_WRITE    2
#define DESCRIPTOR_INDIRECT 4
#define DESCRIPTOR_AVAIL    0x80
#define DESCRIPTOR_USED	    0x8000

/* Flags of a packed descriptor, where they are in its rest. */
#define PACKED_FLAGS(flags) ((uint64_t)(flags) << 48)

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

/* Event suppression of a packed ring is one word: place, wrap, flags. */
#define EVENT_WRAP    (UINT32_C(1) << 15)
#define EVENT_PLACE   (EVENT_WRAP - 1)
#define EVENT_FLAGS   16 /* they are from this bit on */
#define EVENT_ENABLE  0
#define EVENT_DISABLE 1
#define EVENT_DESC    2

/*
 * Slots are 192 bytes: a chain of one piece touches one cache line, one of
 * five touches two. The slot that was given back last is taken first, so
 * those in use are few and warm.
 */
#define SLOT_PIECES 9

/* Everything after chain is ours alone: the device may scribble over chain. */
struct slot {
	struct vh_chain chain;
	uint32_t writable_size;
	uint16_t head; /* packed: the id */
	uint8_t epoch; /* whose map the pieces point into */
	uint8_t state; /* SLOT_... */
	union {
		struct iovec pieces[SLOT_PIECES];
		/* on the list of vh_virtqueue_push_remote() */
		struct {
			struct slot *next;
			uint32_t written;
		} remote;
	};
} __attribute__((aligned(64)));

#define SLOT_BUSY 1 /* popped and not pushed */
#define SLOT_AREA 2 /* the pieces are in an area */
#define SLOT_DONE 4 /* pushed, and waits for those before it (IN_ORDER) */
#define SLOT_FULL 8 /* and all of it was written */

/*
 * A map, a log, and what is in flight on them. The newest is the one that
 * pop uses.
 */
#define EPOCHS 4

struct epoch {
	struct vh_memory *memory; /* NULL: free */
	struct vh_dirty_log *log; /* NULL: nothing is logged */
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
	uint16_t kick_event; /* in avail_event, if kick is KICK_ON */
};

/* Where completions go, and those that weren't shown yet. */
struct packed_used {
	uint64_t first_rest; /* withheld until publish */
	uint64_t bits;	     /* AVAIL and USED of a used one, in its place */
	uint32_t advanced;   /* descriptors used since the last publish */
	uint16_t next;
	uint16_t first; /* where first_rest goes */
};

struct packed_ring {
	struct raw_descriptor *descriptors;
	const uint32_t *driver_event;
	uint32_t *device_event;
	struct packed_used used;
	uint32_t shown_event; /* in *device_event, if kick isn't unknown */
	uint32_t out;	      /* taken, and not yet shown as used */
	uint64_t avail_bits;  /* AVAIL and USED of an available one */
	uint16_t avail_next;
};

/* Completions that one used entry can stand for (IN_ORDER). */
struct run {
	uint32_t count;	      /* chains; 0: no run */
	uint32_t descriptors; /* of the ring */
	uint32_t written;     /* to the last */
	uint16_t head;	      /* of the last */
};

/* The Descriptor Area, the Driver Area and the Device Area. */
#define RING_PARTS 3

/* What depends on the ring's format and on what is switched on. */
struct ring_ops {
	int (*pop)(struct vh_virtqueue *queue, struct vh_chain *chains[],
		   unsigned int max);
	void (*push)(struct vh_virtqueue *queue,
		     struct vh_chain *const chains[], const uint32_t written[],
		     unsigned int count);
	int (*publish)(struct vh_virtqueue *queue);
	int (*pop_buffers)(struct vh_virtqueue *queue,
			   struct vh_buffer buffers[], unsigned int max);
	void (*push_buffers)(struct vh_virtqueue *queue,
			     const struct vh_buffer buffers[],
			     const uint32_t written[], unsigned int count);
};

enum variant { PLAIN, IN_ORDER, CAREFUL, VARIANTS };

/* What a source is compiled for; constant wherever it appears. */
struct mode {
	bool packed;
	bool in_order;
	bool careful;
};

/* Where a writable piece is in guest-physical memory. */
struct log_range {
	vh_gpa guest;
	uint64_t size;
};

struct ring_log {
	bool on; /* the ring's own areas are logged */
	vh_gpa at;
	struct vhi_hit hit; /* where the ring was logged last, in ring_memory */
	struct vhi_log_cache cache;
	struct log_range *ranges; /* NULL: never logged */
	size_t ranges_size;
};

/* The last member has a cache line of its own. */
/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct vh_virtqueue {
	const struct ring_ops *ops;
	union {
		struct split_ring split;
		struct packed_ring packed;
	};
	struct epoch *epoch; /* the current one */
	struct slot *slots;
	struct slot **free_slots; /* a stack */
	/* by head or id: 0, or how many of the ring's descriptors it took */
	uint16_t *taken;
	uint32_t free_count;
	uint32_t num;
	uint32_t mask;	       /* split: num - 1 */
	uint32_t slot_pieces;  /* SLOT_PIECES, or less if the device said so */
	uint32_t quick_pieces; /* and no more than num */
	uint8_t epoch_number;  /* of epoch */
	bool is_packed;
	bool is_in_order;
	bool indirect;
	bool event_idx;
	bool broken;
	bool starved;	 /* a chain waits for a free area */
	bool shown_once; /* the driver: we know what it was told before */
	enum kick_state kick;

	/* IN_ORDER: slots in the order of pop */
	struct slot **order;
	uint32_t order_mask;
	uint16_t order_first;
	uint16_t order_last;
	uint32_t done_early; /* slots that are SLOT_DONE */
	struct run run;

	/*
	 * Chains of more pieces than fit into a slot live in areas of
	 * max_pieces each. The last one that was given back is taken first,
	 * so few pages are ever touched.
	 */
	struct iovec *areas;
	uint16_t *area_free;  /* a stack */
	uint16_t *area_taken; /* by slot, if it says SLOT_AREA */
	uint32_t areas_left;
	uint32_t areas_count;
	uint32_t max_pieces;

	struct inflight inflight;
	struct ring_log log;

	/* IOTLB: what the queue waits for */
	bool waits;
	bool started; /* the ring's indices are known */
	uint32_t missing_access;
	vh_gpa missing;
	/* the map in which the ring was found last, and its parts there */
	struct vh_memory *ring_memory;
	struct vhi_view views[RING_PARTS];

	struct epoch epochs[EPOCHS];
	vh_gpa descriptors_at;
	vh_gpa avail_at;
	vh_gpa used_at;
	uint32_t base; /* where it shall start */
	void *tracked; /* NULL, or where requests in flight are noted */
	size_t tracked_size;
	uint32_t index;
	size_t arena_size; /* slots, stacks and areas are one mapping */
	struct vh_fault fault;

	/* other threads'; a cache line of its own */
	struct slot *remote __attribute__((aligned(64)));
};

extern const struct ring_ops *const split_ops[VARIANTS];
extern const struct ring_ops *const packed_ops[VARIANTS];

/* Chooses the functions, after what is switched on has changed. */
void queue_choose(struct vh_virtqueue *queue);

/* A chain of an epoch that isn't the current one was pushed. */
void epoch_leave_old(struct vh_virtqueue *queue, struct epoch *epoch) COLD;
/* Makes an epoch of these the current one. -EAGAIN: all are busy. */
int epoch_open(struct vh_virtqueue *queue, struct vh_memory *memory,
	       struct vh_dirty_log *log);

/* An address that the IOTLB doesn't have: pop again after the next map. */
void queue_wait(struct vh_virtqueue *queue, vh_gpa iova, uint32_t access) COLD;

/* attach.c: a part of a ring, to be found in memory. */
struct ring_part {
	const char *name;
	vh_gpa at;
	uint64_t size;
	uint64_t alignment;
	uint32_t access;
};

/*
 * Finds the parts of the ring in memory. 0, or -EFAULT with words; -EAGAIN if
 * an IOTLB doesn't have them yet, and the queue waits. What was found before
 * stays then.
 */
int ring_attach(struct vh_virtqueue *queue, const struct vh_memory *memory,
		struct vh_fault *fault);
/* Lets go of what was found. */
void ring_detach(struct vh_virtqueue *queue);
/* The same, if the queue waits and nothing needs it. */
void ring_detach_if_idle(struct vh_virtqueue *queue);

/* Begins at queue->base. -EINVAL, with words, if that isn't in the ring. */
int split_start(struct vh_virtqueue *queue, struct vh_fault *fault);
int packed_start(struct vh_virtqueue *queue, struct vh_fault *fault);
/* As that, and takes 0 for what it says. */
int packed_restart(struct vh_virtqueue *queue, struct vh_fault *fault);

/* The parts of the two kinds of ring which public functions choose between. */
bool split_pending(const struct vh_virtqueue *queue);
bool packed_pending(const struct vh_virtqueue *queue);
bool split_ask(struct vh_virtqueue *queue); /* true: something was stored */
bool packed_ask(struct vh_virtqueue *queue);
void split_unask(struct vh_virtqueue *queue);
void packed_unask(struct vh_virtqueue *queue);
uint32_t packed_base(const struct vh_virtqueue *queue);

/*
 * logging.c, of careful variants: where the ranges of a slot's pieces go; and
 * how they move to those of its area, where next is told.
 */
struct log_range *log_slot(const struct vh_virtqueue *queue,
			   const struct slot *slot);
struct log_range *log_move(const struct vh_virtqueue *queue,
			   const struct slot *slot,
			   const struct log_range *next);
void log_written(struct vh_virtqueue *queue, const struct slot *slot,
		 uint32_t written);
/* size bytes of the ring, at offset in its logged area, will be shown. */
void log_ring(struct vh_virtqueue *queue, uint64_t offset, uint64_t size);
void log_descriptor(struct vh_virtqueue *queue, uint32_t place);
/* A packed ring, which taking up its requests after a crash may have mended. */
void log_mended_ring(struct vh_virtqueue *queue);
/* The one that publish has just stored. */
void log_first_descriptor(struct vh_virtqueue *queue);
/* Marks all that before the driver is shown what was logged. */
void log_flush(struct vh_virtqueue *queue);
/* After a store to the ring that the driver sees at once. */
void log_ring_now(struct vh_virtqueue *queue, uint64_t offset, uint64_t size);

#endif
