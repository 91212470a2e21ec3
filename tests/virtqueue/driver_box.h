/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A box for tests of the driver's side: a driver's queue, its ring as bytes,
 * and a device written from the specification that does what it is told.
 */
#ifndef TESTS_VIRTQUEUE_DRIVER_BOX_H
#define TESTS_VIRTQUEUE_DRIVER_BOX_H

#include <libvhost/driver.h>

/* cmocka wants these before itself */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define RING_AT UINT64_C(0x40000000)

/* Flags of descriptors; the last two are of packed ones. */
#define F_NEXT	    1
#define F_WRITE	    2
#define F_INDIRECT  4
#define F_AVAIL	    0x80
#define F_USED	    0x8000

#define QUEUE_INDEX 7

struct driver_box_opts {
	uint32_t num;
	uint64_t features;
	uint32_t table_entries;
	uint16_t base;
	struct vh_memory *memory;
};

struct driver_box {
	struct vh_driver_queue *queue;
	char *ring;
	uint32_t num;
	bool packed;
	/* the parts, found by the addresses that the queue tells */
	char *descriptors;
	char *available; /* packed: driver event suppression */
	char *used;	 /* packed: device event suppression */

	/* The device's own; packed: places in the ring. */
	uint16_t next_available;
	uint16_t next_used;
	bool available_wrap;
	bool used_wrap;
};

void driver_box_open(struct driver_box *box,
		     const struct driver_box_opts *opts);
void driver_box_close(struct driver_box *box);

/* A 16, 32 or 64 bit little-endian number at an offset. */
uint16_t get16(const char *part, size_t offset);
uint32_t get32(const char *part, size_t offset);
uint64_t get64(const char *part, size_t offset);
void put16(char *part, size_t offset, uint16_t value);
void put32(char *part, size_t offset, uint32_t value);

/* Adds readable buffers of these lengths, then writable ones, at address. */
int box_add(struct driver_box *box, uint64_t address, unsigned int readable,
	    unsigned int writable, uint32_t length, void *token);
/* The same; must be good, and is published. */
void box_post(struct driver_box *box, uint64_t address, unsigned int readable,
	      unsigned int writable, uint32_t length, void *token);

/* A descriptor of the ring or, at another address, of a table. */
void expect_descriptor(const char *at, uint64_t address, uint32_t length,
		       uint16_t flags, uint16_t next);
void expect_packed(const char *at, uint64_t address, uint32_t length,
		   uint16_t id, uint16_t flags);

/* Split: writes the used element number position (from 0, free-running). */
void device_element(struct driver_box *box, uint16_t position, uint32_t id,
		    uint32_t length);
void device_index(struct driver_box *box, uint16_t index);
/* Split: writes the next element and shows it. */
void device_use(struct driver_box *box, uint32_t id, uint32_t length);

/*
 * Packed: writes a used descriptor in the device's place and goes on by so
 * many descriptors. Says F_WRITE if length isn't 0.
 */
void device_use_packed(struct driver_box *box, uint16_t id, uint32_t length,
		       unsigned int descriptors);

/* A chain as the device sees it. */
#define DEVICE_BUFFERS 16

struct device_chain {
	uint16_t id;
	unsigned int descriptors; /* of the ring */
	unsigned int count;
	struct {
		uint64_t address;
		uint32_t length;
		bool write;
	} buffers[DEVICE_BUFFERS];
};

/* Takes the next available chain, of either format. False if none is. */
bool device_take(struct driver_box *box, struct device_chain *chain);
/*
 * Gives it back: as one that stands for chains in order, which have so many
 * descriptors of the ring.
 */
void device_give(struct driver_box *box, const struct device_chain *chain,
		 uint32_t length, unsigned int chains,
		 unsigned int descriptors);

/* Collects exactly one chain, with this token and length. */
void expect_used(struct driver_box *box, const void *token, uint32_t written);
void expect_nothing(struct driver_box *box);
/* Collecting breaks the queue for this reason, and it stays so. */
void expect_broken(struct driver_box *box, uint32_t code);

#endif
