/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The driver side of the model: it keeps all rules, and knows what it posted.
 */
#ifndef TESTS_VIRTQUEUE_MODEL_DRIVER_H
#define TESTS_VIRTQUEUE_MODEL_DRIVER_H

#include "model_ring.h"
#include "rng.h"

#define MODEL_BUFFERS 1024

/* A chain to be: readable buffers first. */
struct model_buffers {
	unsigned int count;
	unsigned int readable;
	struct {
		vh_gpa guest;
		uint32_t length;
	} buffers[MODEL_BUFFERS];
	/* so many of them, the last ones, are in a table that lies there */
	unsigned int in_table;
	vh_gpa table;
};

/* A chain in flight, by its head or buffer id. */
struct model_posted {
	bool busy;
	unsigned int slots;
	uint32_t writable;
};

struct model_driver {
	struct model_ring ring;
	struct rng rng;
	unsigned int inflight;
	unsigned int last_id; /* of the chain that was added last */
	bool looks_on;	      /* others take descriptors and give them back */
	/* split: the free descriptors; packed: the free ids */
	unsigned int free_count;
	unsigned int free_slots;
	uint16_t avail_next;
	uint16_t avail_shown;
	uint16_t used_next;
	uint16_t used_seen; /* entries, when the index was read last */
	/* packed */
	struct model_place avail_place;
	struct model_place avail_place_shown;
	struct model_place used_place;
	/* flags of the first descriptor that isn't shown yet */
	unsigned int held_flags;
	/* IN_ORDER: the chains in flight, in order */
	unsigned int order_first;
	unsigned int order_count;
	/* and what the device showed by one entry, and isn't collected */
	unsigned int batch;
	uint32_t batch_written;
	/* arrays are at the end: they need not be cleared for each queue */
	struct model_posted posted[32768];
	unsigned int free[32768];
	unsigned int next[32768]; /* split: which follows in a chain */
	unsigned int order[32768];
};

/* A ring that is fresh, but for where it begins: see vh_virtqueue_opts. */
void model_driver_start(struct model_driver *driver, const struct box *box,
			const struct vh_virtqueue_opts *opts, uint64_t seed);

/* Adds a chain; false, and nothing done, if there is no room. */
bool model_driver_add(struct model_driver *driver,
		      const struct model_buffers *chain);

/* Shows what was added; true if the device wants a kick. */
bool model_driver_publish(struct model_driver *driver);

/* True if chains were added and not shown. */
bool model_driver_holds(const struct model_driver *driver);

/*
 * The next chain that came back: 1 with its id and what was written to it, 0
 * if there is none, -1 if the device broke a rule.
 */
int model_driver_collect(struct model_driver *driver, unsigned int max,
			 unsigned int *ret_id, uint32_t *ret_written);

/* True if there may be one. */
bool model_driver_pending(const struct model_driver *driver);

/* One that only looks on while somebody else posts chains, like this one. */
void model_driver_start_onlooker(struct model_driver *driver,
				 const struct box *box,
				 const struct vh_virtqueue_opts *opts);
void model_driver_saw(struct model_driver *driver,
		      const struct model_chain *chain);

void model_driver_enable_calls(struct model_driver *driver);
void model_driver_disable_calls(struct model_driver *driver);

/* Whether a driver that showed these chains has to kick. */
bool model_driver_wants_kick(const struct model_ring *ring, uint16_t from,
			     uint16_t to);
bool model_driver_wants_kick_packed(const struct model_ring *ring,
				    struct model_place from,
				    struct model_place to);

#endif
