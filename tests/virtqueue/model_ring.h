/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A slow and plain model of virtqueues, written from the virtio text ("Split
 * Virtqueues", "Packed Virtqueues"). This part is what both sides see of a
 * ring: its bytes in guest memory. The device is in model.h, the driver in
 * model_driver.h.
 */
#ifndef TESTS_VIRTQUEUE_MODEL_RING_H
#define TESTS_VIRTQUEUE_MODEL_RING_H

#include "box.h"

/* Flags of a packed descriptor, besides F_NEXT, F_WRITE and F_INDIRECT. */
#define F_AVAIL (1u << 7)
#define F_USED	(1u << 15)

/* Flags of an event suppression structure; 3 is reserved. */
#define EVENT_ENABLE  0u
#define EVENT_DISABLE 1u
#define EVENT_DESC    2u

#define MODEL_PIECES  2048

struct model_ring {
	const struct box *box;
	/* Descriptor Area, Driver Area, Device Area */
	vh_gpa descriptors;
	vh_gpa available;
	vh_gpa used;
	uint32_t num;
	bool packed;
	bool indirect;
	bool event_idx;
	bool in_order;
};

/* A place in a packed ring; fresh: slot 0 with the wrap counter set. */
struct model_place {
	uint32_t slot;
	bool wrap;
};

struct model_chain {
	unsigned int head;	  /* packed: the buffer id */
	unsigned int descriptors; /* buffers, wherever they are listed */
	unsigned int slots;	  /* descriptors of the ring itself */
	unsigned int readable_count;
	unsigned int count;
	uint64_t readable_size;
	uint64_t size;
	struct {
		vh_gpa guest;
		uint64_t length;
	} pieces[MODEL_PIECES];
};

struct model_ring model_ring(const struct box *box,
			     const struct vh_virtqueue_opts *opts);

/* The sizes of the three areas. */
uint64_t model_descriptors_size(const struct model_ring *ring);
uint64_t model_available_size(const struct model_ring *ring);
uint64_t model_used_size(const struct model_ring *ring);

/* A little-endian number of so many bytes in guest memory. */
uint64_t model_number(const struct model_ring *ring, vh_gpa guest,
		      unsigned int bytes);
void model_store(const struct model_ring *ring, vh_gpa guest, uint64_t value,
		 unsigned int bytes);

void model_advance(const struct model_ring *ring, struct model_place *place,
		   unsigned int slots);

/* Where descriptor number slot of the ring is. */
vh_gpa model_slot(const struct model_ring *ring, unsigned int slot);

/* A slot holds a descriptor that is available, or used, in this round. */
bool model_slot_available(const struct model_ring *ring,
			  struct model_place place);
bool model_slot_used(const struct model_ring *ring, struct model_place place);

/*
 * Reads the chain that begins at a descriptor of the ring; false if it breaks
 * a rule. max_pieces is the reader's own limit.
 */
bool model_read_chain(const struct model_ring *ring, unsigned int start,
		      unsigned int max_pieces, struct model_chain *chain);

/*
 * Whether the structure at event asks for a notification, now that all places
 * from one up to another, which isn't included, changed.
 */
bool model_packed_wants_event(const struct model_ring *ring, vh_gpa event,
			      struct model_place from, struct model_place to);

/* The same of a split ring: its two flags and two indices. */
bool model_split_wants_event(const struct model_ring *ring, vh_gpa flags,
			     vh_gpa event, uint16_t from, uint16_t to);

#endif
