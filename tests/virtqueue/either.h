/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A driver's hand for tests that are the same for both formats of a ring. It
 * sends chains by a number of its own below EITHER_IDS, and finds out by the
 * virtio text which of them came back.
 */
#ifndef TESTS_VIRTQUEUE_EITHER_H
#define TESTS_VIRTQUEUE_EITHER_H

#include "packed_box.h"

#define EITHER_IDS  15
#define EITHER_MOST 4 /* buffers in a chain */
#define EITHER_NUM  64

struct either {
	struct packed_box p;
	struct box *box; /* in it */
	bool packed;
	uint16_t used; /* split: the index up to which it has looked */
	/* what was sent and didn't come back, in order */
	unsigned int order[EITHER_IDS];
	unsigned int order_count;
	unsigned int descriptors[EITHER_IDS]; /* of each */
};

struct buffer {
	vh_gpa address;
	uint32_t length;
	unsigned int flags; /* F_WRITE, or 0 */
};

/* features without RING_PACKED. */
void either_open_memory(struct either *e, bool packed, uint64_t features);
/* Makes the queue on a map, which isn't kept. */
int either_try(struct either *e, const struct vh_virtqueue_opts *opts,
	       struct vh_memory *memory, struct vh_fault *fault);
void either_open(struct either *e, bool packed, uint64_t features);
struct vh_virtqueue_opts either_opts(const struct either *e);

void either_send(struct either *e, unsigned int id,
		 const struct buffer buffers[], unsigned int count);
/* One buffer. */
void either_send_one(struct either *e, unsigned int id, vh_gpa address,
		     uint32_t length, unsigned int flags);

/* Pops exactly one chain, which is this one. */
struct vh_chain *either_pop(struct either *e, unsigned int id);
unsigned int either_id(const struct either *e, const struct vh_chain *chain);

/*
 * The next used entry. Returns how many chains it stands for, of which the
 * last is *ret_id; 0 if there is none.
 */
unsigned int either_collect(struct either *e, unsigned int *ret_id,
			    uint32_t *ret_written);
/* There is one, of one chain. */
void either_expect(struct either *e, unsigned int id, uint32_t written);
void either_expect_none(struct either *e);

#endif
