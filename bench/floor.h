/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The floor: a device side that does the loads and stores that the ring
 * demands, and that its caller does (a request structure filled in for each
 * chain, a call each to pop, push and publish a burst), and nothing else: it
 * checks nothing, translates by adding a constant, and completes a burst in
 * order before it pops the next one, so that few requests are ever touched.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include "ring.h"

#include <endian.h>

#define INLINE	 inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

/* As large as the library's. */
struct request {
	struct vh_chain chain;
	uint32_t writable_size;
	uint16_t id;
	uint16_t busy;
	struct iovec pieces[9];
} __attribute__((aligned(64)));

/* The bits AVAIL and USED of a packed descriptor's second word. */
#define FLOOR_USED_FLAGS (UINT64_C(0x8080) << 48)

/* A descriptor: the address, and all the rest in one word. */
struct raw {
	uint64_t address;
	uint64_t rest;
};

/*
 * Page by page, so that where it lies beside the ring, and what falls on the
 * same lines of the cache, is the same in each run.
 */
struct floor {
	struct raw *descriptors;
	uint16_t *available; /* packed: the driver's event suppression */
	uint16_t *used;
	char *delta;
	uint16_t avail_next;
	uint16_t used_next;
	uint16_t used_shown;
	bool avail_wrap;
	/*
	 * Packed: what marks an element as used just now, and the first
	 * element of a batch, which is written last. Split, in order: the
	 * only element of a batch.
	 */
	uint64_t used_flags;
	uint64_t *first;
	uint64_t first_flags;
	uint64_t first_value;
	unsigned int calls;
	/* the dirty log: what is pending of one word of it */
	uint64_t *log_words;
	uint64_t log_word;
	uint64_t log_mask;
	uint64_t ring_page;
	struct request requests[VH_VIRTQUEUE_BURST];
} __attribute__((aligned(4096)));

typedef void floor_run(void *user, unsigned int chains, unsigned int burst);

/* By in_order and log. */
extern floor_run *const floor_split[2][2];
extern floor_run *const floor_packed[2][2];
bool floor_split_pending(void *user);
bool floor_packed_pending(void *user);

static INLINE uint64_t load64(const uint64_t *p)
{
	return le64toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

/* What a walk has found so far. */
struct pieces {
	struct iovec *next;
	uint32_t bytes;
	uint32_t readable_bytes;
	uint32_t readable_count;
};

static INLINE void floor_piece(const struct floor *floor, struct pieces *pieces,
			       uint64_t address, uint32_t length, bool write,
			       const struct request *request)
{
	*pieces->next++ = (struct iovec){floor->delta + address, length};
	pieces->bytes += length;
	if (!write) {
		pieces->readable_bytes = pieces->bytes;
		pieces->readable_count =
		    (uint32_t)(pieces->next - request->pieces);
	}
}

static INLINE struct vh_chain *floor_fill(struct request *request,
					  const struct pieces *pieces,
					  uint16_t id, uint16_t descriptors)
{
	uint32_t count = (uint32_t)(pieces->next - request->pieces);
	uint32_t writable = pieces->bytes - pieces->readable_bytes;

	request->writable_size = writable;
	request->id = id;
	request->busy = 1;
	request->chain = (struct vh_chain){
	    .readable = request->pieces,
	    .writable = request->pieces + pieces->readable_count,
	    .readable_size = pieces->readable_bytes,
	    .writable_size = writable,
	    .readable_count = (uint16_t)pieces->readable_count,
	    .writable_count = (uint16_t)(count - pieces->readable_count),
	    .descriptors = descriptors,
	    .head = id,
	};
	return &request->chain;
}

static INLINE void floor_flush_log(struct floor *floor)
{
	if (floor->log_mask)
		__atomic_fetch_or(&floor->log_words[floor->log_word],
				  floor->log_mask, __ATOMIC_RELAXED);
	floor->log_mask = 0;
}

static INLINE void floor_log(struct floor *floor, uint64_t page)
{
	if (page / 64 != floor->log_word) {
		floor_flush_log(floor);
		floor->log_word = page / 64;
	}
	floor->log_mask |= htole64(UINT64_C(1) << page % 64);
}

/* No buffer of this benchmark lies on two pages. */
static INLINE void floor_log_chain(struct floor *floor,
				   const struct vh_chain *chain)
{
	for (unsigned int i = 0; i < chain->writable_count; i++)
		floor_log(floor,
			  (uint64_t)((char *)chain->writable[i].iov_base -
				     floor->delta) /
			      VH_DIRTY_LOG_PAGE);
}

static INLINE void floor_log_ring(struct floor *floor)
{
	floor_log(floor, floor->ring_page);
	floor_flush_log(floor);
}

typedef unsigned int floor_pop(struct floor *floor, struct vh_chain **list,
			       unsigned int burst);
typedef void floor_push(struct floor *floor, struct vh_chain *const chains[],
			const uint32_t written[], unsigned int count);
typedef bool floor_publish(struct floor *floor);

/* The caller's loop; the three are calls, as those of the library are. */
static INLINE void floor_loop(struct floor *floor, unsigned int chains,
			      unsigned int burst, floor_pop *pop,
			      floor_push *push, floor_publish *publish)
{
	struct vh_chain *list[VH_VIRTQUEUE_BURST];
	uint32_t written[VH_VIRTQUEUE_BURST];

	while (chains) {
		unsigned int n = pop(floor, list, burst);

		if (n == 0)
			continue;
		for (unsigned int i = 0; i < n; i++)
			written[i] = list[i]->writable_size;
		push(floor, list, written, n);
		floor->calls += publish(floor);
		chains -= n;
	}
}

/*
 * Makes run_NAME() of push() and publish(), which are inline and take
 * in_order and log as their last parameters.
 */
#define FLOOR_VARIANT(NAME, IN_ORDER, LOG)                                     \
	static NOINLINE void push_##NAME(                                      \
	    struct floor *floor, struct vh_chain *const chains[],              \
	    const uint32_t written[], unsigned int count)                      \
	{                                                                      \
		push(floor, chains, written, count, IN_ORDER, LOG);            \
	}                                                                      \
	static NOINLINE bool publish_##NAME(struct floor *floor)               \
	{                                                                      \
		return publish(floor, IN_ORDER, LOG);                          \
	}                                                                      \
	static void run_##NAME(void *user, unsigned int chains,                \
			       unsigned int burst)                             \
	{                                                                      \
		floor_loop(user, chains, burst, pop, push_##NAME,              \
			   publish_##NAME);                                    \
	}

#endif
