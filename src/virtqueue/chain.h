/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * From a chain of descriptors to the pieces of a slot.
 *
 * Each descriptor is copied once, by two loads that can't be repeated, and
 * only the copy is looked at: a driver that rewrites it meanwhile gets the
 * old one, the new one or a mixture, all of which are checked in the same
 * way.
 *
 * walk_chain() knows what nearly all chains look like, with all it needs in
 * registers. Where it meets anything else it forgets what it has, and
 * walk_carefully() begins again, which knows everything and has the words
 * for what is wrong.
 */
#ifndef VIRTQUEUE_CHAIN_H
#define VIRTQUEUE_CHAIN_H

#include "queue.h"
#include <base/shared.h>

/* A private copy. It travels by value, so that it stays in registers. */
struct descriptor {
	uint64_t address;
	/* length, flags, next or id: 32, 16 and 16 bits, in both formats */
	uint64_t rest;
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

static ALWAYS_INLINE uint16_t id_of(struct descriptor d)
{
	return (uint16_t)(d.rest >> 48);
}

/* A packed ring has the flags above the id. */
static ALWAYS_INLINE struct descriptor descriptor_of(uint64_t address,
						     uint64_t rest, bool packed)
{
	uint32_t upper = (uint32_t)(rest >> 32);

	if (packed)
		rest = (uint32_t)rest | (uint64_t)(upper >> 16 | upper << 16)
					    << 32;
	return (struct descriptor){.address = address, .rest = rest};
}

static ALWAYS_INLINE struct descriptor
descriptor_copy(const struct raw_descriptor *raw, bool packed)
{
	return descriptor_of(vhi_load_le64(&raw->address),
			     vhi_load_le64(&raw->rest), packed);
}

/* In a packed ring's table nothing else counts ("Indirect Flag"). */
static ALWAYS_INLINE struct descriptor only_write(struct descriptor d)
{
	d.rest &= UINT32_MAX | (uint64_t)DESCRIPTOR_WRITE << 32;
	return d;
}

/* Descriptors that lie side by side: a ring's, a table's, or some of ours. */
struct list {
	const struct raw_descriptor *table;
	uint32_t limit; /* how many there are */
	uint32_t start; /* where the chain begins */
};

/*
 * Walks a chain in any case. Returns how many of the list's descriptors it
 * took, or 0 if the queue is broken or starved, or waits, now.
 */
uint32_t walk_carefully(struct vh_virtqueue *queue, struct slot *slot,
			struct list list);

/* What a walk has found. */
struct pieces {
	struct iovec *first;
	struct iovec *next;
	struct iovec *writable;	 /* where they begin; NULL: none yet */
	struct log_range *range; /* of the next writable one; NULL: no log */
	uint64_t bytes;
	uint64_t readable_bytes; /* once there is a writable one */
	uint32_t descriptors;
	uint16_t head; /* packed: the id */
	bool has_area; /* first is an area, no more in the slot */
};

/* Fills in all but the pieces. */
static ALWAYS_INLINE void slot_fill(const struct vh_virtqueue *queue,
				    struct slot *slot,
				    const struct pieces *pieces)
{
	struct iovec *border =
	    pieces->writable ? pieces->writable : pieces->next;
	uint64_t readable =
	    pieces->writable ? pieces->readable_bytes : pieces->bytes;
	uint32_t writable = (uint32_t)(pieces->bytes - readable);

	slot->writable_size = writable;
	slot->head = pieces->head;
	slot->epoch = queue->epoch_number;
	slot->state = pieces->has_area ? SLOT_BUSY | SLOT_AREA : SLOT_BUSY;
	slot->chain = (struct vh_chain){
	    .readable = pieces->first,
	    .writable = border,
	    .readable_size = (uint32_t)readable,
	    .writable_size = writable,
	    .readable_count = (uint16_t)(border - pieces->first),
	    .writable_count = (uint16_t)(pieces->next - border),
	    .descriptors = (uint16_t)pieces->descriptors,
	    .head = pieces->head,
	};
}

/* Adds a piece, after the order of readable and writable was checked. */
static ALWAYS_INLINE void add_piece(struct pieces *pieces, bool write,
				    char *host, uint64_t size)
{
	if (write && !pieces->writable) {
		pieces->writable = pieces->next;
		pieces->readable_bytes = pieces->bytes;
	}
	pieces->bytes += size;
	/* Whoever has room has a piece. */
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	pieces->next->iov_base = host;
	pieces->next->iov_len = size;
	pieces->next++;
}

/*
 * The offset of size bytes in the region of the hit, or UINT64_MAX if that
 * takes a closer look: so it does for 0 bytes, since size - 1 is the largest
 * number there is then.
 */
static ALWAYS_INLINE uint64_t offset_of(const struct vh_memory *memory,
					struct vhi_hit *hit, vh_gpa address,
					uint64_t size)
{
	uint64_t offset = address - hit->base;

	if (UNLIKELY(offset >= hit->size)) {
		if (!vhi_memory_find(memory, address, hit))
			return UINT64_MAX;
		offset = address - hit->base;
	}
	if (UNLIKELY(size - 1 >= hit->size - offset))
		return UINT64_MAX;
	return offset;
}

/* Either does all of a descriptor or nothing. */
static ALWAYS_INLINE bool quick_buffer(struct epoch *epoch,
				       struct pieces *pieces,
				       struct descriptor d, struct mode mode)
{
	struct vhi_hit *hit = &epoch->buffers;
	bool write = flags_of(d) & DESCRIPTOR_WRITE;
	uint64_t offset =
	    offset_of(epoch->memory, hit, d.address, length_of(d));

	if (UNLIKELY(offset == UINT64_MAX) ||
	    UNLIKELY(pieces->writable && !write))
		return false;
	if (mode.careful &&
	    !(hit->access & (write ? VH_ACCESS_WRITE : VH_ACCESS_READ)))
		return false;
	add_piece(pieces, write, hit->host + offset, length_of(d));
	if (mode.careful && write && pieces->range)
		*pieces->range++ = (struct log_range){
		    .guest = hit->guest + offset, .size = length_of(d)};
	return true;
}

/*
 * Goes over a list, from d on. Each step uses up a piece, of which there are
 * few: it ends soon.
 */
static ALWAYS_INLINE bool quick_list(struct vh_virtqueue *queue,
				     struct list list, struct descriptor d,
				     struct pieces *pieces, bool in_table,
				     struct mode mode)
{
	struct iovec *end = pieces->first + queue->quick_pieces;
	struct epoch *epoch = queue->epoch;
	uint32_t index = list.start;

	for (;;) {
		if (mode.packed && in_table)
			d = only_write(d);
		if (UNLIKELY(flags_of(d) & DESCRIPTOR_INDIRECT) ||
		    UNLIKELY(pieces->next == end) ||
		    !quick_buffer(epoch, pieces, d, mode))
			return false;
		if (mode.packed && in_table) {
			if (++index == list.limit)
				return true;
		} else if (!(flags_of(d) & DESCRIPTOR_NEXT)) {
			break;
		} else if (mode.packed) {
			if (++index == list.limit)
				index = 0;
		} else {
			index = next_of(d);
			if (UNLIKELY(index >= list.limit))
				return false;
		}
		d = descriptor_copy(&list.table[index], mode.packed);
	}
	if (mode.packed)
		pieces->head = id_of(d);
	return true;
}

/* The table that d leads to; NULL if that takes a closer look. */
static ALWAYS_INLINE struct list quick_table(const struct vh_virtqueue *queue,
					     struct descriptor d,
					     struct mode mode)
{
	struct epoch *epoch = queue->epoch;
	uint32_t length = length_of(d);
	struct list list = {.limit = length / sizeof(struct raw_descriptor)};
	uint64_t offset;
	char *host;

	if (UNLIKELY(!queue->indirect || (flags_of(d) & DESCRIPTOR_NEXT) ||
		     length % sizeof(struct raw_descriptor)))
		return list;
	offset = offset_of(epoch->memory, &epoch->tables, d.address, length);
	if (UNLIKELY(offset == UINT64_MAX) ||
	    (mode.careful && !(epoch->tables.access & VH_ACCESS_READ)))
		return list;
	host = epoch->tables.host + offset;
	if (LIKELY((uintptr_t)host % sizeof(uint64_t) == 0))
		list.table = (const void *)host;
	return list;
}

/*
 * Fills the slot from the chain that begins at list.start with d. Returns
 * what walk_carefully() does.
 */
static ALWAYS_INLINE uint32_t walk_chain(struct vh_virtqueue *queue,
					 struct slot *slot, struct list list,
					 struct descriptor d, struct mode mode)
{
	bool table = flags_of(d) & DESCRIPTOR_INDIRECT;
	struct pieces pieces = {
	    .first = slot->pieces,
	    .next = slot->pieces,
	    .head = mode.packed ? id_of(d) : (uint16_t)list.start,
	};
	struct list in_table;
	bool done;

	if (mode.careful && queue->epoch->log)
		pieces.range = log_slot(queue, slot);
	if (table) {
		in_table = quick_table(queue, d, mode);
		done = in_table.table &&
		       quick_list(queue, in_table,
				  descriptor_copy(in_table.table, mode.packed),
				  &pieces, true, mode);
	} else {
		done = quick_list(queue, list, d, &pieces, false, mode);
	}
	/* So few of them don't wrap; the sum has a limit nevertheless. */
	if (UNLIKELY(!done || pieces.bytes > UINT32_MAX))
		return walk_carefully(queue, slot, list);
	pieces.descriptors = (uint32_t)(pieces.next - pieces.first);
	slot_fill(queue, slot, &pieces);
	return table ? 1 : pieces.descriptors;
}

#endif
