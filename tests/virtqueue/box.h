/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A box for tests of rings: guest memory of several regions, a split ring
 * in the first of them, a queue, and a hand that writes whatever it likes.
 */
#ifndef TESTS_VIRTQUEUE_BOX_H
#define TESTS_VIRTQUEUE_BOX_H

#include <libvhost/virtqueue.h>

/* cmocka wants these before itself */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/*
 * Four regions: B begins where A ends, but lies elsewhere in host memory;
 * there is a hole before C; D ends with the last address there is.
 */
#define BOX_A	    UINT64_C(0x100000)
#define BOX_A_SIZE  UINT64_C(0x400000)
#define BOX_B	    (BOX_A + BOX_A_SIZE)
#define BOX_B_SIZE  UINT64_C(0x10000)
#define BOX_C	    (BOX_B + UINT64_C(0x100000))
#define BOX_C_SIZE  UINT64_C(0x10000)
#define BOX_D	    (UINT64_MAX - UINT64_C(0xffff))
#define BOX_D_SIZE  UINT64_C(0x10000)
#define BOX_REGIONS 4

/* Where things are in A. */
#define BOX_DESCRIPTORS BOX_A
#define BOX_AVAIL	(BOX_A + UINT64_C(0x100000))
#define BOX_USED	(BOX_A + UINT64_C(0x140000))
#define BOX_TABLES	(BOX_A + UINT64_C(0x200000)) /* free for use */
#define BOX_DATA	(BOX_A + UINT64_C(0x300000)) /* free for use */

#define BOX_INDIRECT	(UINT64_C(1) << 28)
#define BOX_EVENT_IDX	(UINT64_C(1) << 29)

#define F_NEXT		1
#define F_WRITE		2
#define F_INDIRECT	4

#define BOX_QUEUE_INDEX 5

struct box {
	int fd;
	char *flat; /* all of the file */
	struct vh_memory *memory;
	struct vh_virtqueue *queue;
	uint32_t num;
	uint64_t features;
	uint16_t avail_index; /* ours; shown by box_show() */
};

struct box_opts {
	uint32_t num;
	uint64_t features;
	uint16_t base; /* both indices begin here */
	uint16_t max_segments;
};

/* Makes memory, an empty ring and a queue on it. */
void box_open(struct box *box, const struct box_opts *opts);
void box_close(struct box *box);

/* Makes memory only; queue is NULL. */
void box_open_memory(struct box *box, uint32_t num);

/* Options for a queue in this box. */
struct vh_virtqueue_opts box_queue_opts(const struct box *box);

/* A region by its place in the list above, A being 0. */
struct vh_region box_region(const struct box *box, unsigned int which);

/* The byte of a guest address in flat; it must be in a region. */
void *box_host(const struct box *box, vh_gpa guest);

/* Writes a descriptor of the ring, or the entry of a table anywhere. */
void box_descriptor(struct box *box, unsigned int index, vh_gpa address,
		    uint32_t length, unsigned int flags, unsigned int next);
void box_entry(struct box *box, vh_gpa table, unsigned int index,
	       vh_gpa address, uint32_t length, unsigned int flags,
	       unsigned int next);

/* Puts a head into the available ring; box_show() stores the index. */
void box_offer(struct box *box, unsigned int head);
void box_show(struct box *box);
/* Both. */
void box_send(struct box *box, unsigned int head);

uint16_t box_used_index(const struct box *box);
uint32_t box_used_id(const struct box *box, unsigned int position);
uint32_t box_used_length(const struct box *box, unsigned int position);
uint16_t *box_avail_word(const struct box *box, unsigned int word);
uint16_t *box_used_word(const struct box *box, unsigned int word);

/* Pops exactly one chain. */
struct vh_chain *box_pop(struct box *box);

/* The next pop breaks the queue for this reason; nothing is given. */
void box_expect_fault(struct box *box, uint32_t code);

/* A piece is the guest's bytes from this address on. */
void box_expect_piece(const struct box *box, const struct iovec *piece,
		      vh_gpa guest, size_t length);

#endif
