/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What the driver's side of a virtqueue consists of.
 *
 * Chains are counted from the beginning on, in 64 bits: how many were added,
 * published and collected. The number of a chain, its turn, says whether the
 * device may give it back, and in order how many go with it. All bookkeeping
 * is private; of the ring only what the device writes is ever read.
 *
 * driver.c has what both formats share, driver_split.c and driver_packed.c
 * put chains into a ring and take them out. What differs by features is a
 * function of its own, chosen once.
 */
#ifndef VIRTQUEUE_DRIVER_H
#define VIRTQUEUE_DRIVER_H

#include <base/shared.h>
#include <errno.h>
#include <libvhost/driver.h>

#define DRIVER_LIKELY(x)   __builtin_expect(!!(x), 1)
#define DRIVER_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define DRIVER_COLD	   __attribute__((cold, noinline))
#define DRIVER_INLINE	   inline __attribute__((always_inline))

#define DRIVER_NEXT	   1
#define DRIVER_WRITE	   2
#define DRIVER_INDIRECT	   4
/* Packed only. */
#define DRIVER_AVAIL 0x0080
#define DRIVER_USED  0x8000

/*
 * A descriptor of either format. The second word has the length in its low
 * half; above it are the flags and the next one if split, the id and the
 * flags if packed.
 */
struct driver_descriptor {
	uint64_t address;
	uint64_t rest;
};

/*
 * A chain, in the place of the id by which the device gives it back: its
 * first descriptor, or a free id if the ring is packed and not in order.
 */
struct driver_chain {
	void *token;
	uint64_t turn;	      /* DRIVER_FREE: not in flight */
	uint32_t writable;    /* bytes */
	uint16_t descriptors; /* in the ring */
	uint16_t link;	      /* split: its last descriptor; packed: next id */
};

#define DRIVER_FREE UINT64_MAX

/* A place in a ring in which descriptors are taken one after the other. */
struct driver_place {
	uint32_t at;
	/* packed: the bits of AVAIL and USED that are right in this lap */
	uint32_t flags;
};

/* Where addresses of iovecs lie and what to add to them. */
struct driver_region {
	uint64_t user;
	uint64_t size;
	uint64_t to_guest;
};

/* What a caller wants to add. */
struct driver_request {
	const struct iovec *readable;
	const struct iovec *writable;
	unsigned int readable_count;
	unsigned int writable_count;
};

/* What is different in each format, and in order. */
struct driver_ops {
	/* One buffer, as most are in many queues, or any number of them. */
	int (*add_one)(struct vh_driver_queue *queue, const struct iovec *iov,
		       bool writable, void *token);
	int (*add)(struct vh_driver_queue *queue,
		   const struct driver_request *request, void *token);
	bool (*publish)(struct vh_driver_queue *queue);
	int (*collect)(struct vh_driver_queue *queue,
		       struct vh_driver_used used[], unsigned int max);
	/* Says whether calls are wanted; true if that was news. */
	bool (*want_calls)(struct vh_driver_queue *queue, bool wanted);
	/* There is something to collect. */
	bool (*pending)(const struct vh_driver_queue *queue);
};

struct driver_split {
	uint16_t *available;  /* flags, index, num heads, used_event */
	const uint16_t *used; /* flags, index, num elements, avail_event */
	uint16_t *next;	      /* private: the descriptor to take after each */
	uint64_t seen; /* chains that the used index covered when last seen */
};

struct driver_packed {
	uint32_t *driver_event;
	const uint32_t *device_event;
	/*
	 * The second word of the first descriptor since the last publish,
	 * little-endian: as long as it isn't in the ring the device sees
	 * nothing of all that lies behind it.
	 */
	uint64_t withheld;
	struct driver_place next;  /* where the next chain goes */
	struct driver_place shown; /* where next was at the last publish */
};

struct vh_driver_queue {
	struct driver_ops ops;
	struct driver_descriptor *descriptors;
	struct driver_chain *chains;
	uint64_t added;
	uint64_t published;
	uint64_t collected;
	struct driver_region hit; /* the last region that was used */
	uint32_t num;
	uint32_t mask;	/* num - 1; split only */
	uint32_t room;	/* free descriptors; 0 if broken */
	uint32_t free;	/* split: next descriptor; packed: next id */
	uint32_t quick; /* chains of 2 to 1 more than that use a table */
	uint32_t calls; /* what we last wrote to say whether we want calls */
	/*
	 * Packed: where the next used descriptor will be. In order, in both
	 * formats, that is where the oldest chain in flight begins.
	 */
	struct driver_place used;
	bool is_packed;
	bool event_idx;
	bool broken;
	/* in order: what the device's last word covers, and said of the last */
	uint32_t batch_written;
	uint64_t batch_end;
	union {
		struct driver_split split;
		struct driver_packed packed;
	};
	struct driver_descriptor *tables;
	vh_gpa tables_at;
	uint32_t table_entries;
	uint32_t index;
	uint32_t region_count;
	struct driver_region *regions; /* by user address */
	struct vh_memory *memory;
	vh_gpa descriptors_at;
	vh_gpa available_at;
	vh_gpa used_at;
	struct vh_fault fault;
};

/* [in order] */
extern const struct driver_ops driver_split_ops[2];
extern const struct driver_ops driver_packed_ops[2];

/* Begins with a fresh ring: base is what both indices are. */
void driver_split_start(struct vh_driver_queue *queue, uint16_t base);
void driver_packed_start(struct vh_driver_queue *queue);

/*
 * Makes the region of a buffer the one that was used last. False if it lies
 * in none, or not with all its bytes.
 */
bool driver_find_region(struct vh_driver_queue *queue, uint64_t address,
			uint64_t length);

void driver_break(struct vh_driver_queue *queue, uint32_t code,
		  const char *section, const char *format, ...)
    VH_PRINTF(4, 5) DRIVER_COLD;

/* The words for an id or a length that can't be. */
void driver_refuse_used(struct vh_driver_queue *queue, uint32_t id,
			uint32_t written) DRIVER_COLD;

/* Why a chain can't be added: a negative errno. */
int driver_refuse_add(const struct vh_driver_queue *queue,
		      struct driver_request request,
		      unsigned int descriptors) DRIVER_COLD;

/* What is known of the buffers of a chain that were walked over. */
struct driver_walk {
	uint64_t lengths; /* ORed: none has more than 32 bits */
	uint64_t bytes;	  /* in all */
	unsigned int left;
};

/* A chain of so many buffers is possible, and so many descriptors are free. */
static DRIVER_INLINE bool driver_fits(const struct vh_driver_queue *queue,
				      const struct driver_request *request,
				      unsigned int descriptors)
{
	unsigned int count = request->readable_count + request->writable_count;

	return DRIVER_LIKELY(count - 1 < queue->num &&
			     count >= request->readable_count &&
			     descriptors <= queue->room);
}

/* False if there was a buffer that can't be, or all are too much. */
static DRIVER_INLINE bool driver_walk_good(const struct driver_walk *walk)
{
	return DRIVER_LIKELY(!((walk->lengths | walk->bytes) >> 32));
}

/*
 * Where the device sees a buffer. It only counts if driver_walk_good() in the
 * end.
 */
static DRIVER_INLINE uint64_t driver_walk(struct vh_driver_queue *queue,
					  struct driver_walk *walk,
					  const struct iovec *iov)
{
	uint64_t address = (uintptr_t)iov->iov_base;
	uint64_t offset = address - queue->hit.user;

	walk->lengths |= iov->iov_len;
	walk->bytes += iov->iov_len;
	walk->left--;
	if (DRIVER_UNLIKELY(offset >= queue->hit.size ||
			    iov->iov_len > queue->hit.size - offset) &&
	    !driver_find_region(queue, address, iov->iov_len))
		walk->lengths = UINT64_MAX;
	return address + queue->hit.to_guest;
}

/* The second word of a descriptor. */
static DRIVER_INLINE uint64_t driver_rest(size_t length, uint32_t low,
					  uint32_t high)
{
	return (uint32_t)length | (uint64_t)low << 32 | (uint64_t)high << 48;
}

/* Notes a chain of id, which is in the ring. */
static DRIVER_INLINE void driver_note(struct vh_driver_queue *queue,
				      uint32_t id, uint32_t descriptors,
				      uint64_t writable, void *token)
{
	struct driver_chain *chain = &queue->chains[id];

	chain->token = token;
	chain->turn = queue->added++;
	chain->writable = (uint32_t)writable;
	chain->descriptors = (uint16_t)descriptors;
	queue->room -= descriptors;
}

/* The chain that the device gives back as id, or NULL: that can't be. */
static DRIVER_INLINE struct driver_chain *
driver_claim(struct vh_driver_queue *queue, uint32_t id, uint32_t written)
{
	struct driver_chain *chain;

	if (DRIVER_LIKELY(id < queue->num)) {
		chain = &queue->chains[id];
		if (DRIVER_LIKELY(chain->turn < queue->published &&
				  written <= chain->writable))
			return chain;
	}
	driver_refuse_used(queue, id, written);
	return NULL;
}

/* Lets go of a chain that was collected. */
static DRIVER_INLINE void driver_release(struct vh_driver_queue *queue,
					 struct driver_chain *chain,
					 uint32_t written,
					 struct vh_driver_used *used)
{
	used->token = chain->token;
	used->written = written;
	chain->turn = DRIVER_FREE;
	queue->room += chain->descriptors;
	queue->collected++;
}

/* Goes on by so many descriptors, at most num. */
static DRIVER_INLINE void driver_move(const struct vh_driver_queue *queue,
				      struct driver_place *place,
				      uint32_t descriptors)
{
	place->at += descriptors;
	if (place->at >= queue->num) {
		place->at -= queue->num;
		place->flags ^= DRIVER_AVAIL | DRIVER_USED;
	}
}

/*
 * In order: gives back what is left of the device's last word, at most max
 * chains.
 */
static DRIVER_INLINE unsigned int driver_give(struct vh_driver_queue *queue,
					      struct vh_driver_used used[],
					      unsigned int max)
{
	unsigned int done;

	for (done = 0; done < max && queue->collected != queue->batch_end;
	     done++) {
		struct driver_chain *chain = &queue->chains[queue->used.at];
		bool last = queue->collected + 1 == queue->batch_end;

		driver_release(queue, chain,
			       last ? queue->batch_written : chain->writable,
			       &used[done]);
		driver_move(queue, &queue->used, chain->descriptors);
	}
	return done;
}

#endif
