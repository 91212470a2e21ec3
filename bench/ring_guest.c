/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The guest of the ring benchmarks: its memory and its driver. */
#include "measure.h"
#include "ring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int file_of(size_t size)
{
	int fd = memfd_create("bench-ring", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		die("memfd", errno);
	return fd;
}

static void *map_of(int fd, size_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		die("mmap", errno);
	return map;
}

/* Regions lie in guest memory as in the file, so one offset serves all. */
static void add_region(struct space *space, unsigned int index)
{
	struct vh_region region = {
	    .guest = index * REGION_STEP,
	    .size = REGION_SIZE,
	    .user = {(uintptr_t)space->base + index * REGION_STEP},
	    .fd_offset = index * REGION_STEP,
	    .fd = space->fd,
	};
	struct vh_memory *more;
	int r = vh_memory_add(space->memory, &region, NULL, &more);

	if (r < 0)
		die("memory map", r);
	vh_memory_unref(space->memory);
	space->memory = more;
}

static size_t space_size(const struct space *space)
{
	return space->regions * REGION_STEP;
}

static size_t log_size(const struct space *space)
{
	return space_size(space) / VH_DIRTY_LOG_PAGE / 8;
}

void space_make(struct space *space, unsigned int regions)
{
	int r;

	space->regions = regions;
	space->fd = file_of(space_size(space));
	space->base = map_of(space->fd, space_size(space));
	space->log_fd = file_of(log_size(space));
	space->log_words = map_of(space->log_fd, log_size(space));
	r = vh_memory_new(&space->memory);
	if (r < 0)
		die("memory map", r);
	for (unsigned int i = 0; i < regions; i++)
		add_region(space, i);
	r = vh_dirty_log_new(space->log_fd, 0, log_size(space), NULL,
			     &space->log);
	if (r < 0)
		die("dirty log", r);
}

void space_free(struct space *space)
{
	vh_dirty_log_unref(space->log);
	vh_memory_unref(space->memory);
	munmap(space->log_words, log_size(space));
	munmap(space->base, space_size(space));
	close(space->log_fd);
	close(space->fd);
}

void ring_make(struct ring *ring, struct space *space,
	       const struct setting *setting)
{
	struct vh_fault fault;

	VH_OPTS(vh_driver_queue_opts, opts);
	opts.num = RING_NUM;
	opts.features = VH_F_INDIRECT_DESC | VH_F_EVENT_IDX;
	if (setting->packed)
		opts.features |= VH_F_RING_PACKED;
	if (setting->in_order)
		opts.features |= VH_F_IN_ORDER;
	opts.ring = space->base;
	opts.ring_at = 0;
	if (setting->shape == INDIRECT_OF_THREE)
		opts.table_entries = RING_TABLE_ENTRIES;
	*ring = (struct ring){.space = space, .setting = setting};
	if (vh_driver_queue_size(opts.num, opts.features, opts.table_entries) >
	    REGION_SIZE / 2)
		die("the ring is larger than its room", 0);
	if (vh_driver_queue_new(&opts, &fault, &ring->driver) < 0)
		die(fault.text, 0);
	vh_driver_queue_addresses(ring->driver, &ring->descriptors,
				  &ring->available, &ring->used);
	vh_driver_queue_disable_calls(ring->driver);
}

void ring_free(struct ring *ring)
{
	vh_driver_queue_free(ring->driver);
}

unsigned int ring_chains(const struct setting *setting)
{
	return setting->shape == THREE ? RING_NUM / 4 : RING_NUM;
}

/* The ring has the lower half of the first region for itself. */
static void *next_buffer(struct ring *ring)
{
	unsigned int regions = ring->space->regions;
	unsigned int turn = ring->turn++;
	/* An odd step, so that it visits all regions in no simple order. */
	unsigned int region = ring->setting->spread ? turn * 397u % regions
						    : turn / 4096 % regions;
	uint64_t at =
	    region * REGION_STEP + REGION_SIZE / 2 + turn % 128 * BUFFER_SIZE;

	return (void *)(uintptr_t)at;
}

unsigned int ring_add(struct ring *ring, unsigned int count)
{
	unsigned int buffers = ring->setting->shape == ONE ? 1 : 3;
	unsigned int added;

	for (added = 0; added < count; added++) {
		struct iovec list[3];
		unsigned int turn = ring->turn;
		int r;

		for (unsigned int i = 0; i < buffers; i++)
			list[i] =
			    (struct iovec){next_buffer(ring), BUFFER_SIZE};
		r = vh_driver_queue_add(ring->driver, list, 1, list + 1,
					buffers - 1, ring);
		if (r == -ENOSPC) {
			ring->turn = turn;
			break;
		}
		if (r < 0)
			die("driver", r);
	}
	(void)!vh_driver_queue_publish(ring->driver);
	return added;
}

unsigned int ring_collect(struct ring *ring, unsigned int count)
{
	struct vh_driver_used used[RING_NUM];
	int n = vh_driver_queue_collect(ring->driver, used,
					count < RING_NUM ? count : RING_NUM);

	if (n < 0)
		die(vh_driver_queue_fault(ring->driver)->text, 0);
	return (unsigned int)n;
}

void print_setting(const struct setting *setting)
{
	static const char *const shapes[] = {"1", "3", "indirect 3"};

	printf("\"ring\": \"%s\", \"in_order\": %s, \"chain\": \"%s\", "
	       "\"burst\": %u, \"regions\": %u, \"spread\": %s, \"log\": %s",
	       setting->packed ? "packed" : "split",
	       setting->in_order ? "true" : "false", shapes[setting->shape],
	       setting->burst, setting->regions,
	       setting->spread ? "true" : "false",
	       setting->log ? "true" : "false");
}
