/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * From a chain of descriptors to the pieces of a slot.
 *
 * Each descriptor is copied once, by two loads that can't be repeated, and
 * only the copy is looked at: a driver that rewrites it meanwhile gets the
 * old one, the new one or a mixture, all of which are checked in the same
 * way.
 *
 * walk_chain() knows what nearly all chains look like. Whatever else it
 * meets, it hands the copy and what it has so far to walk_on(), which knows
 * everything, does the rest of the chain and has the words for what is
 * wrong. So there is one way out of the fast path, and no way back.
 */
#ifndef VIRTQUEUE_CHAIN_H
#define VIRTQUEUE_CHAIN_H

#include "queue.h"
#include <base/shared.h>

/* A private copy. It travels by value, so that it stays in registers. */
struct descriptor {
	uint64_t address;
	uint64_t rest; /* length, flags, next: 32, 16 and 16 bits */
};

static ALWAYS_INLINE uint32_t length_of(struct descriptor d)
{
	return (uint32_t)d.rest;
}

static ALWAYS_INLINE unsigned int flags_of(struct descriptor d)
{
	return d.rest >> 32 & 0xffff;
}

static ALWAYS_INLINE uint32_t next_of(struct descriptor d)
{
	return (uint32_t)(d.rest >> 48);
}

static ALWAYS_INLINE struct descriptor
descriptor_copy(const struct raw_descriptor *raw)
{
	return (struct descriptor){
	    .address = vhi_load_le64(&raw->address),
	    .rest = vhi_load_le64(&raw->length_flags_next),
	};
}

/* How far a chain has been walked. */
struct walk {
	/* NULL: the table is in pieces, or not aligned; see table_at */
	const struct raw_descriptor *table;
	uint32_t limit;	     /* entries in it */
	uint32_t index;	     /* of the present descriptor */
	uint32_t table_from; /* the descriptor that led into the table */
	bool in_table;
	bool has_area; /* first is an area, no more in the slot */
	uint16_t head;
	struct iovec *first;
	struct iovec *next;
	struct iovec *end;	/* next may not go beyond; room may be made */
	struct iovec *writable; /* where they begin; NULL: none yet */
	uint64_t bytes;
	uint64_t readable_bytes; /* once there is a writable one */
	uint32_t descriptors;
	vh_gpa table_at;
};

/*
 * Goes on with a walk, beginning with a descriptor that was copied already.
 * False if the queue is broken or starved now.
 */
__attribute__((noinline)) bool walk_on(struct vh_virtqueue *queue,
				       struct slot *slot, struct walk *walk,
				       struct descriptor d);

/* Fills in all but the pieces. */
static ALWAYS_INLINE void slot_fill(const struct vh_virtqueue *queue,
				    struct slot *slot, const struct walk *walk)
{
	bool writable = walk->writable;
	struct iovec *border = writable ? walk->writable : walk->next;
	uint64_t readable = writable ? walk->readable_bytes : walk->bytes;

	slot->writable_size = (uint32_t)(walk->bytes - readable);
	slot->head = walk->head;
	slot->epoch = queue->epoch_number;
	slot->state = walk->has_area ? SLOT_BUSY | SLOT_AREA : SLOT_BUSY;
	slot->chain = (struct vh_chain){
	    .readable = walk->first,
	    .writable = border,
	    .readable_size = (uint32_t)readable,
	    .writable_size = (uint32_t)(walk->bytes - readable),
	    .readable_count = (uint16_t)(border - walk->first),
	    .writable_count = (uint16_t)(walk->next - border),
	    .descriptors = (uint16_t)walk->descriptors,
	    .head = walk->head,
	};
}

/*
 * The host address of size bytes in one region, or NULL if that takes a
 * closer look: so it does for 0 bytes, since size - 1 is the largest number
 * there is then.
 */
static ALWAYS_INLINE char *host_of(const struct vh_memory *memory,
				   struct vhi_hit *hit, vh_gpa address,
				   uint64_t size)
{
	uint64_t offset = address - hit->base;

	if (UNLIKELY(offset >= hit->size)) {
		if (!vhi_memory_find(memory, address, hit))
			return NULL;
		offset = address - hit->base;
	}
	if (UNLIKELY(size - 1 >= hit->size - offset))
		return NULL;
	return hit->host + offset;
}

/* The table that d leads to, or NULL if that takes a closer look. */
static ALWAYS_INLINE const struct raw_descriptor *
table_at_once(const struct vh_virtqueue *queue, struct descriptor d)
{
	uint32_t length = length_of(d);
	const void *table;

	if (!queue->indirect || (flags_of(d) & DESCRIPTOR_NEXT) ||
	    length % sizeof(struct raw_descriptor))
		return NULL;
	table = host_of(queue->epoch->memory, &queue->epoch->tables, d.address,
			length);
	if ((uintptr_t)table % sizeof(uint64_t))
		return NULL;
	return table;
}

static ALWAYS_INLINE bool quick_table(const struct vh_virtqueue *queue,
				      struct walk *walk, struct descriptor d)
{
	const struct raw_descriptor *table = table_at_once(queue, d);

	if (UNLIKELY(!table || walk->in_table))
		return false;
	walk->in_table = true;
	walk->table_from = walk->index;
	walk->table = table;
	walk->limit = length_of(d) / sizeof(*table);
	walk->index = 0;
	return true;
}

/* Either does all of a descriptor or nothing. */
static ALWAYS_INLINE bool quick_buffer(const struct vh_virtqueue *queue,
				       struct walk *walk, struct descriptor d)
{
	uint64_t bytes = walk->bytes + length_of(d);
	char *host = host_of(queue->epoch->memory, &queue->epoch->buffers,
			     d.address, length_of(d));

	if (UNLIKELY(!host || walk->next == walk->end || bytes > UINT32_MAX))
		return false;
	if (flags_of(d) & DESCRIPTOR_NEXT &&
	    UNLIKELY(next_of(d) >= walk->limit))
		return false;
	if (flags_of(d) & DESCRIPTOR_WRITE) {
		if (!walk->writable) {
			walk->writable = walk->next;
			walk->readable_bytes = walk->bytes;
		}
	} else if (UNLIKELY(walk->writable)) {
		return false;
	}
	walk->bytes = bytes;
	walk->next->iov_base = host;
	walk->next->iov_len = length_of(d);
	walk->next++;
	return true;
}

/*
 * Fills the slot from the chain that begins at head, which was checked.
 * False if the queue is broken or starved now. Each step of the fast path
 * uses up a piece, of which it has no more than there are descriptors, but
 * for the one step into a table: it ends soon. The address of walk goes
 * nowhere, so that all of it stays in registers.
 */
static ALWAYS_INLINE bool walk_chain(struct vh_virtqueue *queue,
				     const struct raw_descriptor *table,
				     struct slot *slot, uint16_t head)
{
	struct walk walk = {
	    .table = table,
	    .limit = queue->num,
	    .index = head,
	    .head = head,
	    .first = slot->pieces,
	    .next = slot->pieces,
	    .end = slot->pieces + queue->quick_pieces,
	};
	struct walk copy;
	struct descriptor d;

	for (;;) {
		d = descriptor_copy(&walk.table[walk.index]);
		if (flags_of(d) & DESCRIPTOR_INDIRECT) {
			if (!quick_table(queue, &walk, d))
				break;
			continue;
		}
		if (!quick_buffer(queue, &walk, d))
			break;
		if (!(flags_of(d) & DESCRIPTOR_NEXT)) {
			walk.descriptors = (uint32_t)(walk.next - walk.first);
			slot_fill(queue, slot, &walk);
			return true;
		}
		walk.index = next_of(d);
	}
	copy = walk;
	copy.descriptors = (uint32_t)(walk.next - walk.first);
	return walk_on(queue, slot, &copy, d);
}

#endif
