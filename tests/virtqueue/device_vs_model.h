/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A queue of the library's and a model of it, which are told to do the same:
 * what device_vs_model.c consists of.
 */
#ifndef TESTS_VIRTQUEUE_DEVICE_VS_MODEL_H
#define TESTS_VIRTQUEUE_DEVICE_VS_MODEL_H

#include "dirty.h"
#include "hand.h"

struct completion {
	unsigned int id;
	uint32_t written;
};

struct test {
	struct box box;
	struct model model;
	struct hand hand;
	struct dirty dirty;
	struct rng rng;
	bool packed;
	bool tame;
	const unsigned int *weights;
	struct vh_chain *taken[32768];
	unsigned int ids[32768]; /* those in flight, in no order */
	unsigned int inflight;
	/* popped while there was a log, and not pushed: by head or id */
	bool logged[32768];
	unsigned int logged_count;
	/* to be pushed at once */
	struct vh_chain *burst[64];
	uint32_t burst_written[64];
	unsigned int burst_count;
	/* on the list of other threads */
	struct completion remote[32768];
	unsigned int remote_count;
	/* shown, and not collected by a tame driver, in order */
	struct completion shown[32768];
	unsigned int shown_first;
	unsigned int shown_count;
	/* An evil driver wrote to the ring before it got anything back. */
	bool overwritten;
	unsigned int queues;
	unsigned int broken;
	unsigned long chains;
	unsigned long buffers;
	unsigned long merged; /* chains without an entry of their own */
};

/* The device's deeds, compared with what the model does. */
void device_pops(struct test *t);
void device_pops_buffers(struct test *t);
void device_pushes(struct test *t);
void device_takes_remote(struct test *t);
void device_publishes(struct test *t);
/* Asks for kicks or doesn't, and switches the log on or off. */
void device_waits(struct test *t);

#endif
