/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A driver and a device of the library's on one ring, and all that either of
 * them must see of the other: what driver_vs_device.c consists of.
 */
#ifndef TESTS_VIRTQUEUE_DRIVER_VS_DEVICE_H
#define TESTS_VIRTQUEUE_DRIVER_VS_DEVICE_H

#include "box.h"
#include "rng.h"
#include <libvhost/driver.h>

/* Buffers are chunks, of which one lies across two regions. */
#define CHUNK	  256u
#define CHUNKS	  4350u
#define ACROSS	  4095u
#define UNTOUCHED 0xee
#define BUFFERS	  24u

struct chain {
	uint64_t serial;
	unsigned int readable;
	unsigned int count;
	struct {
		unsigned int chunk;
		uint32_t length;
	} buffers[BUFFERS];
	uint32_t readable_size;
	uint32_t writable_size;
	uint32_t written;
	bool back; /* the device gave it back */
	struct vh_chain *taken;
};

struct test {
	struct box box;
	struct vh_driver_queue *driver;
	struct vh_virtqueue *device;
	struct rng rng;
	bool use_memory;
	bool singles; /* each chain is one buffer */
	uint64_t serial;
	struct chain chains[CHUNKS];
	unsigned int free_chains[CHUNKS];
	unsigned int free_chain_count;
	unsigned int free_chunks[CHUNKS];
	unsigned int free_chunk_count;
	/* added, and not popped, in order */
	unsigned int added[CHUNKS];
	unsigned int added_first;
	unsigned int added_count;
	unsigned int unshown; /* of those */
	unsigned int taken[CHUNKS];
	unsigned int taken_count;
	/* popped, and not shown, in order */
	unsigned int order[CHUNKS];
	unsigned int order_first;
	unsigned int order_count;
	unsigned int remote;  /* on the list of other threads */
	unsigned int pushed;  /* and not published */
	unsigned int visible; /* shown to the driver, and not collected */
	uint64_t next_serial; /* IN_ORDER: of the next one to be collected */
	bool driver_sleeps;
	bool device_sleeps;
	unsigned int queues;
	unsigned long done;
	unsigned long buffers; /* done at once */
	unsigned long calls;
	unsigned long kicks;
};

/* What the bytes of a chain are; of its answer with ~serial. */
static inline uint8_t pattern(uint64_t serial, uint32_t offset)
{
	return (uint8_t)(serial * 167 + (uint64_t)offset * 13 + offset / 251);
}

/* The device's deeds. */
void device_pops(struct test *t);
void device_passes_buffers(struct test *t);
void device_pushes(struct test *t, unsigned int count);
void device_publishes(struct test *t);
void device_sleeps(struct test *t);

#endif
