/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A slow and plain model of the device side of a split ring, written from
 * the virtio text ("Split Virtqueues"). It looks at the same guest memory
 * as the queue under test, through its own eyes, and says what has to come
 * out. It knows one thing about the library: what its limits are.
 */
#ifndef TESTS_VIRTQUEUE_MODEL_H
#define TESTS_VIRTQUEUE_MODEL_H

#include "box.h"

#define MODEL_PIECES 1024

struct model {
	const struct box *box;
	uint32_t num;
	unsigned int max_pieces;
	bool indirect;
	bool event_idx;
	uint16_t avail_next;
	uint16_t used_next;
	uint16_t used_shown;
	bool shown_once;
	bool broken;
	bool inflight[32768];
	uint32_t writable[32768]; /* bytes, of those in flight */
	/* pushed and not published: ids and lengths */
	uint32_t staged_id[65536];
	uint32_t staged_length[65536];
};

struct model_chain {
	unsigned int head;
	unsigned int descriptors;
	unsigned int readable_count;
	unsigned int count;
	uint64_t readable_size;
	uint64_t size;
	struct {
		vh_gpa guest;
		uint64_t length;
	} pieces[MODEL_PIECES];
};

void model_start(struct model *model, const struct box *box,
		 unsigned int max_segments, uint16_t base);

/*
 * The next chain: 1 and *chain, 0 if there is none, or -1 if the driver
 * broke a rule.
 */
int model_pop(struct model *model, struct model_chain *chain);

void model_push(struct model *model, unsigned int head, uint32_t written);

/* What vh_virtqueue_publish() must return; checks the used ring, too. */
int model_publish(struct model *model);

/* After the queue published: the used ring holds what was pushed. */
void model_check_used(struct model *model);

#endif
