/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The library against itself: guest memory of one region, with a ring at its
 * beginning, a driver's queue and a device's on it.
 */
#ifndef TESTS_VIRTQUEUE_DRIVER_PAIR_H
#define TESTS_VIRTQUEUE_DRIVER_PAIR_H

#include <libvhost/driver.h>
#include <libvhost/virtqueue.h>

/* cmocka wants these before itself */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct pair {
	struct vh_driver_queue *driver;
	struct vh_virtqueue *device;
	uint32_t num;
	uint64_t features;
	char *host; /* all of the memory; user addresses are these */
	char *data; /* behind the ring */
	size_t size;
	struct vh_memory *memory;
};

#define PAIR_TABLE_ENTRIES 4

/* data_size bytes are behind the ring. */
void pair_open(struct pair *pair, uint32_t num, uint64_t features,
	       size_t data_size);
void pair_close(struct pair *pair);

/* data as the device sees it: in another mapping of the same memory. */
char *pair_device_data(const struct pair *pair);

/*
 * Lets another device take the ring, at the base that the driver tells.
 * Nothing is in flight.
 */
void pair_restart_device(struct pair *pair);

/* Formats and features that are worth a test each; ends with UINT64_MAX. */
extern const uint64_t pair_features[];

#endif
