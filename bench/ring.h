/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What bench-ring and bench-ring-threads share: a ring in guest memory with
 * the library's driver on it, and two devices to put on the other side: the
 * library's and a floor.
 */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <libvhost/driver.h>
#include <libvhost/virtqueue.h>

#define RING_NUM	   256
#define RING_TABLE_ENTRIES 4
#define REGION_SIZE	   UINT64_C(0x20000)
#define REGION_STEP	   UINT64_C(0x40000) /* holes: regions don't merge */
#define BUFFER_SIZE	   512

enum shape { ONE, THREE, INDIRECT_OF_THREE };

struct setting {
	bool packed;
	bool in_order;
	enum shape shape;
	unsigned int burst;
	unsigned int regions;
	bool spread; /* neighbouring buffers lie in different regions */
	bool log;
};

/* Guest memory of so many regions, and its dirty log. */
struct space {
	unsigned int regions;
	int fd;
	int log_fd;
	char *base; /* all regions, as flat as in guest addresses */
	uint64_t *log_words;
	struct vh_memory *memory;
	struct vh_dirty_log *log;
};

/* A ring in a space, and its driver. */
struct ring {
	struct space *space;
	const struct setting *setting;
	struct vh_driver_queue *driver;
	vh_gpa descriptors;
	vh_gpa available;
	vh_gpa used;
	unsigned int turn;
};

/* A device side to be measured. */
struct device {
	void *user;
	/* pops, pushes and publishes until so many chains are done */
	void (*run)(void *user, unsigned int chains, unsigned int burst);
	bool (*pending)(void *user);
	void (*free)(void *user);
};

void space_make(struct space *space, unsigned int regions);
void space_free(struct space *space);

/* The setting must stay as long as the ring. */
void ring_make(struct ring *ring, struct space *space,
	       const struct setting *setting);
void ring_free(struct ring *ring);

/* As many chains as a round has: the ring full, in whole bursts. */
unsigned int ring_chains(const struct setting *setting);

/* Adds up to count chains, as many as there is room for; shows them. */
unsigned int ring_add(struct ring *ring, unsigned int count);

/* Takes what came back, at most count. */
unsigned int ring_collect(struct ring *ring, unsigned int count);

struct device library_device(const struct ring *ring);
struct device floor_device(const struct ring *ring);

/* The setting's members of a JSON object, without its braces. */
void print_setting(const struct setting *setting);

#endif
