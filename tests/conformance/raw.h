/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The bytes of a split ring, to be written as no decent driver would. */
#ifndef CONFORMANCE_RAW_H
#define CONFORMANCE_RAW_H

#include "fixture.h"

#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4

struct raw_desc {
	uint64_t addr;
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};

struct raw_ring {
	struct fixture *f;
	unsigned int queue;
	uint32_t size;
	struct raw_desc *desc;
	volatile uint16_t *avail; /* flags, index, ring */
	volatile uint16_t *used;  /* flags, index */
	uint64_t in;		  /* 4 KiB for the device to read */
	uint64_t out;		  /* and to write */
	uint64_t table;		  /* and for indirect tables */
};

/* On the rings of a session, which has made them. */
void raw_attach(struct raw_ring *ring, struct fixture *f, unsigned int queue);

void raw_set(struct raw_ring *ring, unsigned int index, struct raw_desc desc);
/* Makes heads available and kicks. */
void raw_offer(struct raw_ring *ring, const uint16_t heads[],
	       unsigned int count);
void raw_offer_one(struct raw_ring *ring, uint16_t head);
/* Sets the available index and kicks. */
void raw_set_index(struct raw_ring *ring, uint16_t index);
uint16_t raw_used(const struct raw_ring *ring);

/* A chain of two, as the echo device likes it, from descriptor first on. */
void raw_good_chain(struct raw_ring *ring, uint16_t first);

#endif
