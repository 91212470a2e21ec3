/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A driver of random deeds, for tests of the device side. A tame one keeps to
 * the rules; the other one writes what it likes, where it likes.
 */
#ifndef TESTS_VIRTQUEUE_HAND_H
#define TESTS_VIRTQUEUE_HAND_H

#include "model.h"
#include "model_driver.h"

#define HAND_TABLES 2048

/* What a tame driver posted, to be held against what comes out. */
struct hand_posted {
	uint64_t readable_size;
	uint64_t writable_size;
	unsigned int descriptors;
};

struct hand {
	struct model_driver driver;
	const struct model *device; /* an evil one sees what the device does */
	struct rng *rng;
	bool tame;
	bool singles; /* each chain is one buffer; set after hand_start() */
	struct model_buffers chain; /* the last one */
	/* places for tables that are free, and those in use, by id */
	unsigned int tables[HAND_TABLES + 1];
	unsigned int table_count;
	unsigned int table_of[32768];
	/* posted and not popped, in order */
	struct hand_posted posted[32768];
	unsigned int posted_first;
	unsigned int posted_count;
};

void hand_start(struct hand *hand, const struct box *box,
		const struct vh_virtqueue_opts *opts, bool tame);

/* Adds a chain if there is room. */
void hand_offers(struct hand *hand);

/* Shows what was added. */
void hand_shows(struct hand *hand);

/* Writes anything at all to the ring or to a table. */
void hand_scribbles(struct hand *hand);

/* Asks for calls in some way, or for none. */
void hand_sets_events(struct hand *hand);

/* A tame driver's next used chain, as model_driver_collect(). */
int hand_collects(struct hand *hand, unsigned int *ret_id,
		  uint32_t *ret_written);

/* The device popped a chain: what a tame driver had posted. */
struct hand_posted hand_popped(struct hand *hand);

#endif
