/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A dirty log (vhost-user, "Migration") and what must be in it: whatever a
 * device wrote, and no page that it can't have written to.
 */
#ifndef TESTS_VIRTQUEUE_DIRTY_H
#define TESTS_VIRTQUEUE_DIRTY_H

#include "model.h"

/* Enough for regions A to C; D is where no log reaches. */
#define DIRTY_BYTES 256u
/* Where the log is told that the ring lies: in none of the regions. */
#define DIRTY_RING_AT UINT64_C(0x700000)

struct dirty {
	struct vh_dirty_log *log;
	uint8_t *bits; /* shared with the library */
	bool on;
	uint8_t must[DIRTY_BYTES];
	uint8_t may[DIRTY_BYTES];
	/* the writable pieces of chains in flight that are logged, by id */
	struct dirty_piece {
		vh_gpa guest;
		uint64_t length;
	} * pieces[32768];
	unsigned int piece_count[32768];
	uint32_t ids; /* that there can be */
};

void dirty_open(struct dirty *dirty);
void dirty_close(struct dirty *dirty);

/* For a new queue of num: nothing is logged, and the log is empty. */
void dirty_start(struct dirty *dirty, uint32_t num);

/* Switches logging on or off; false if the queue can't just now. */
bool dirty_switch(struct dirty *dirty, struct vh_virtqueue *queue);

void dirty_popped(struct dirty *dirty, const struct model_chain *chain);
void dirty_pushed(struct dirty *dirty, unsigned int id, uint32_t written);

/* After model_publish() and what the library did: all that was written. */
void dirty_published(struct dirty *dirty, const struct model *model);

/* The device may have written to the notification fields of its area. */
void dirty_told(struct dirty *dirty, const struct model *model);

void dirty_check(const struct dirty *dirty);

#endif
