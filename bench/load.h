/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A load of random reads on one queue of a vhost-user block device: a number
 * of requests that are always in flight. The session has negotiated and
 * shared its memory; the ring is the load's own, of the format that was
 * negotiated. Functions return 0, or what they say, or a negative errno.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "session.h"
#include <libvhost/driver.h>

#define LOAD_TABLE_ENTRIES 4

struct load_opts {
	unsigned int queue;
	unsigned int depth;
	uint32_t queue_size;
	uint32_t read_size; /* bytes, whole sectors */
	uint64_t blocks;    /* of read_size, that are read from */
	bool indirect;	    /* tables instead of chains of descriptors */
	uint32_t spin_us;   /* looks on so long before it sleeps */
};

struct load_slot;

struct load {
	struct session *session;
	struct load_opts opts;
	struct vh_driver_queue *driver;
	struct load_slot *slots;
	struct load_slot **idle; /* a stack */
	unsigned int num_idle;
	uint64_t random;
	uint64_t requests;
	uint64_t kicks;
	uint64_t calls;
	uint64_t wrong; /* answers */
};

/* Bytes of guest memory that it takes, at most. */
uint64_t load_memory(const struct load_opts *opts);

/* Starts the ring; whatever comes of it, load_free() tidies up. */
int load_start(struct load *load, struct session *session,
	       const struct load_opts *opts);
void load_free(struct load *load);

/* Everything that is idle is asked for. */
int load_submit(struct load *load);
/* What is done: how many. */
int load_collect(struct load *load);
/* Until there is a call, or something to collect. */
int load_sleep(struct load *load);
/* Until nothing is in flight. */
int load_finish(struct load *load);

/* The data of a slot, as we see it. */
void *load_data(const struct load *load, unsigned int slot);

/*
 * Keeps them busy for so many seconds, polling or asleep until called (only
 * one of them, then), and counts anew; the seconds that it took. -ETIMEDOUT:
 * nothing came back; -EBADMSG: there were wrong answers.
 */
double load_run(struct load *loads, unsigned int count, double seconds,
		bool events);

#endif
