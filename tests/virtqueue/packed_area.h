/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The area that tracks the requests of a packed ring (vhost-user, "Inflight
 * I/O tracking"), taken from that text and not from the library.
 */
#ifndef TESTS_VIRTQUEUE_PACKED_AREA_H
#define TESTS_VIRTQUEUE_PACKED_AREA_H

#include "packed_box.h"
#include <stdlib.h>
#include <string.h>

struct entry {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

struct area {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head;
	uint16_t old_free_head;
	uint16_t used_idx;
	uint16_t old_used_idx;
	uint8_t used_wrap_counter;
	uint8_t old_used_wrap_counter;
	uint8_t padding[7];
	struct entry entries[];
};

static inline size_t area_size(uint32_t num)
{
	return 32 + 32 * (size_t)num;
}

/* Exactly as large as it must be, so that ASan sees what goes beyond. */
static inline struct area *new_area(uint32_t num)
{
	struct area *area = calloc(1, area_size(num));

	assert_non_null(area);
	return area;
}

/* What vh_virtqueue_new() returns. */
static inline int try_queue(struct packed_box *p, void *area, size_t size,
			    uint32_t base, struct vh_fault *fault)
{
	struct vh_virtqueue_opts opts = box_queue_opts(&p->box);

	opts.base = base;
	opts.max_segments = 32; /* little memory: it is made step by step */
	opts.inflight = area;
	opts.inflight_size = size;
	return vh_virtqueue_new(&opts, p->box.memory, fault, &p->box.queue);
}

static inline void open_queue(struct packed_box *p, void *area, uint32_t base)
{
	assert_int_equal(try_queue(p, area, area_size(p->box.num), base, NULL),
			 0);
}

/* The process ends here: nothing that it did is undone. */
static inline void crash(struct packed_box *p)
{
	vh_virtqueue_free(p->box.queue);
	p->box.queue = NULL;
}

/* The list of free entries: so many, and each of them once. */
static inline void expect_free(const struct packed_box *p,
			       const struct area *area, unsigned int count)
{
	bool seen[256] = {false};
	uint16_t at = area->free_head;

	assert_int_equal(area->old_free_head, area->free_head);
	while (count--) {
		assert_true(at < p->box.num && !seen[at]);
		seen[at] = true;
		assert_int_equal(area->entries[at].inflight, 0);
		at = area->entries[at].next;
	}
}

/* Nothing is in flight, and the ring's used place is noted. */
static inline void expect_clean(const struct packed_box *p,
				const struct area *area)
{
	assert_int_equal(area->version, 1);
	assert_int_equal(area->desc_num, p->box.num);
	assert_int_equal(area->used_idx, p->used);
	assert_int_equal(area->old_used_idx, p->used);
	assert_int_equal(area->used_wrap_counter, p->used_wrap);
	assert_int_equal(area->old_used_wrap_counter, p->used_wrap);
	for (unsigned int i = 0; i < p->box.num; i++)
		assert_int_equal(area->entries[i].inflight, 0);
	expect_free(p, area, p->box.num);
}

static inline void close_all(struct packed_box *p, struct area *area)
{
	box_close(&p->box);
	free(area);
}

#endif
