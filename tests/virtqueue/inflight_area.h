/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The area that tracks the requests of a split ring (vhost-user, "Inflight
 * I/O tracking"), taken from that text and not from the library.
 */
#ifndef TESTS_VIRTQUEUE_INFLIGHT_AREA_H
#define TESTS_VIRTQUEUE_INFLIGHT_AREA_H

#include "box.h"
#include <endian.h>
#include <errno.h>
#include <stdlib.h>

struct entry {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct area {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct entry entries[];
};

static inline size_t area_size(uint32_t num)
{
	return 16 + 16 * (size_t)num;
}

/* Exactly as large as it must be, so that ASan sees what goes beyond. */
static inline struct area *new_area(uint32_t num)
{
	struct area *area = calloc(1, area_size(num));

	assert_non_null(area);
	return area;
}

/* Guest memory, both indices, and a good descriptor for each head. */
static inline void open_ring(struct box *box, uint32_t num, uint16_t index)
{
	box_open_memory(box, num);
	box->avail_index = index;
	box_show(box);
	*box_used_word(box, 1) = htole16(index);
	for (unsigned int i = 0; i < num; i++)
		box_descriptor(box, i, BOX_DATA, 1, 0, 0);
}

/* What vh_virtqueue_new() returns. */
static inline int try_queue(struct box *box, void *area, size_t size,
			    uint16_t base, struct vh_fault *fault)
{
	struct vh_virtqueue_opts opts = box_queue_opts(box);

	opts.base = base;
	opts.inflight = area;
	opts.inflight_size = size;
	return vh_virtqueue_new(&opts, box->memory, fault, &box->queue);
}

static inline void open_queue(struct box *box, void *area, uint16_t base)
{
	assert_int_equal(try_queue(box, area, area_size(box->num), base, NULL),
			 0);
}

/* Pops one chain after the other: these heads, and no more. */
static inline void expect_heads(struct box *box, const uint16_t heads[],
				unsigned int count, struct vh_chain *chains[])
{
	struct vh_chain *more;

	for (unsigned int i = 0; i < count; i++) {
		assert_true(vh_virtqueue_pending(box->queue));
		chains[i] = box_pop(box);
		assert_int_equal(chains[i]->head, heads[i]);
	}
	assert_int_equal(vh_virtqueue_pop(box->queue, &more, 1), 0);
	assert_false(vh_virtqueue_pending(box->queue));
}

static inline void give_all(struct box *box, struct vh_chain *chains[],
			    unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		vh_virtqueue_push(box->queue, chains[i], 0);
	assert_true(vh_virtqueue_publish(box->queue) >= 0);
}

static inline void expect_clean(const struct box *box, const struct area *area)
{
	assert_int_equal(area->version, 1);
	assert_int_equal(area->used_idx, box_used_index(box));
	for (unsigned int i = 0; i < box->num; i++)
		assert_int_equal(area->entries[i].inflight, 0);
}

static inline void close_all(struct box *box, struct area *area)
{
	box_close(box);
	free(area);
}

#endif
