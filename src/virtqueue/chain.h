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
	uint64_t rest; /* see struct raw_descriptor */
};

static ALWAYS_INLINE uint32_t length_of(struct descriptor d)
{
	return (uint32_t)d.rest;
}

static ALWAYS_INLINE unsigned int flags_of(struct descriptor d, bool packed)
{
	return packed ? (unsigned int)(d.rest >> 48) : d.rest >> 32 & 0xffff;
}

static ALWAYS_INLINE uint32_t next_of(struct descriptor d)
{
	return (uint32_t)(d.rest >> 48);
}

/* Of a packed ring. */
static ALWAYS_INLINE uint16_t id_of(struct descriptor d)
{
	return (uint16_t)(d.rest >> 32);
}

static ALWAYS_INLINE struct descriptor
descriptor_copy(const struct raw_descriptor *raw)
{
	return (struct descriptor){.address = vhi_load_le64(&raw->address),
				   .rest = vhi_load_le64(&raw->rest)};
}

/* In a packed ring's table nothing else counts ("Indirect Flag"). */
static ALWAYS_INLINE struct descriptor only_write(struct descriptor d)
{
	d.rest &= UINT32_MAX | (uint64_t)DESCRIPTOR_WRITE << 48;
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

/* Fills in all but the pieces. There is a border between the two kinds. */
static ALWAYS_INLINE void slot_fill(const struct vh_virtqueue *queue,
				    struct slot *slot,
				    const struct pieces *pieces)
{
	struct iovec *border = pieces->writable;
	uint32_t readable = (uint32_t)pieces->readable_bytes;
	uint32_t writable = (uint32_t)pieces->bytes - readable;

	slot->writable_size = writable;
	slot->head = pieces->head;
	slot->epoch = queue->epoch_number;
	slot->state = pieces->has_area ? SLOT_BUSY | SLOT_AREA : SLOT_BUSY;
	slot->chain = (struct vh_chain){
	    .readable = pieces->first,
	    .writable = border,
	    .readable_size = readable,
	    .writable_size = writable,
	    .readable_count = (uint16_t)(border - pieces->first),
	    .writable_count = (uint16_t)(pieces->next - border),
	    .descriptors = (uint16_t)pieces->descriptors,
	    .head = pieces->head,
	};
}

/* What follows is writable, or nothing. */
static ALWAYS_INLINE void pieces_border(struct pieces *pieces)
{
	pieces->writable = pieces->next;
	pieces->readable_bytes = pieces->bytes;
}

/*
 * The offset of size bytes in the region of the hit. False if that takes a
 * closer look: so it does for 0 bytes, since size - 1 is the largest number
 * there is then.
 */
static ALWAYS_INLINE bool find_quickly(const struct vh_memory *memory,
				       struct vhi_hit *hit, vh_gpa address,
				       uint64_t size, uint64_t *ret_offset)
{
	uint64_t offset = address - hit->base;

	if (UNLIKELY(offset >= hit->size)) {
		if (!vhi_memory_find(memory, address, hit))
			return false;
		offset = address - hit->base;
	}
	*ret_offset = offset;
	return LIKELY(size - 1 < hit->size - offset);
}

/* The piece that a descriptor is, if it is one and may be used like that. */
static ALWAYS_INLINE bool quick_piece(struct epoch *epoch, struct descriptor d,
				      struct iovec *ret_piece,
				      struct log_range **range,
				      struct mode mode)
{
	bool write = flags_of(d, mode.packed) & DESCRIPTOR_WRITE;
	struct vhi_hit *hit = &epoch->buffers;
	uint64_t offset;

	if (!find_quickly(epoch->memory, hit, d.address, length_of(d), &offset))
		return false;
	if (mode.careful &&
	    !(hit->access & (write ? VH_ACCESS_WRITE : VH_ACCESS_READ)))
		return false;
	ret_piece->iov_base = hit->host + offset;
	ret_piece->iov_len = length_of(d);
	if (mode.careful && write && *range)
		*(*range)++ = (struct log_range){.guest = hit->guest + offset,
						 .size = length_of(d)};
	return true;
}

/* Where a walk is in a list. */
struct place_in_list {
	struct list list;
	uint32_t index;
	struct descriptor d; /* there */
};

enum quick { QUICK_END, QUICK_OTHER_KIND, QUICK_FAIL };

/* Goes on to the next descriptor. */
static ALWAYS_INLINE enum quick quick_step(struct place_in_list *at,
					   bool in_table, struct mode mode)
{
	if (mode.packed && in_table) {
		if (++at->index == at->list.limit)
			return QUICK_END;
	} else if (!(flags_of(at->d, mode.packed) & DESCRIPTOR_NEXT)) {
		return QUICK_END;
	} else if (mode.packed) {
		if (++at->index == at->list.limit)
			at->index = 0;
	} else {
		at->index = next_of(at->d);
		if (UNLIKELY(at->index >= at->list.limit))
			return QUICK_FAIL;
	}
	at->d = descriptor_copy(&at->list.table[at->index]);
	if (mode.packed && in_table)
		at->d = only_write(at->d);
	return QUICK_OTHER_KIND;
}

/*
 * Goes over the descriptors of one kind. Each uses up a piece, of which there
 * are few: it ends soon.
 */
static ALWAYS_INLINE enum quick quick_run(struct vh_virtqueue *queue,
					  struct pieces *pieces,
					  struct place_in_list *at, bool write,
					  bool in_table, struct mode mode)
{
	struct iovec *end = pieces->first + queue->quick_pieces;
	enum quick step = QUICK_OTHER_KIND;

	while (step == QUICK_OTHER_KIND &&
	       !(flags_of(at->d, mode.packed) & DESCRIPTOR_WRITE) == !write) {
		if (UNLIKELY(flags_of(at->d, mode.packed) &
			     DESCRIPTOR_INDIRECT) ||
		    UNLIKELY(pieces->next == end) ||
		    !quick_piece(queue->epoch, at->d, pieces->next,
				 &pieces->range, mode))
			return QUICK_FAIL;
		pieces->bytes += length_of(at->d);
		pieces->next++;
		step = quick_step(at, in_table, mode);
	}
	return step;
}

/* Goes over a list, from d on. */
static ALWAYS_INLINE bool quick_list(struct vh_virtqueue *queue,
				     struct list list, struct descriptor d,
				     struct pieces *pieces, bool in_table,
				     struct mode mode)
{
	struct place_in_list at = {.list = list, .index = list.start, .d = d};
	enum quick end;

	if (mode.packed && in_table)
		at.d = only_write(at.d);
	end = quick_run(queue, pieces, &at, false, in_table, mode);
	pieces_border(pieces);
	if (end == QUICK_OTHER_KIND)
		end = quick_run(queue, pieces, &at, true, in_table, mode);
	if (mode.packed && !in_table)
		pieces->head = id_of(at.d);
	return end == QUICK_END;
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

	if (UNLIKELY(!queue->indirect ||
		     (flags_of(d, mode.packed) & DESCRIPTOR_NEXT) ||
		     length % sizeof(struct raw_descriptor)))
		return list;
	if (!find_quickly(epoch->memory, &epoch->tables, d.address, length,
			  &offset) ||
	    (mode.careful && !(epoch->tables.access & VH_ACCESS_READ)))
		return list;
	host = epoch->tables.host + offset;
	if (LIKELY((uintptr_t)host % sizeof(uint64_t) == 0))
		list.table = (const void *)host;
	return list;
}

/* A chain of more than one buffer, or of a table. */
static ALWAYS_INLINE uint32_t walk_list(struct vh_virtqueue *queue,
					struct slot *slot, struct list list,
					struct descriptor d, struct mode mode)
{
	bool table = flags_of(d, mode.packed) & DESCRIPTOR_INDIRECT;
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
		done =
		    in_table.table &&
		    quick_list(queue, in_table, descriptor_copy(in_table.table),
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

/* A chain of one buffer. */
static ALWAYS_INLINE bool walk_single(struct vh_virtqueue *queue,
				      struct slot *slot, struct descriptor d,
				      uint16_t head, struct mode mode)
{
	uint32_t written =
	    flags_of(d, mode.packed) & DESCRIPTOR_WRITE ? length_of(d) : 0;
	struct log_range *range = NULL;
	uint16_t writable = written != 0;

	if (mode.careful && queue->epoch->log)
		range = log_slot(queue, slot);
	if (!quick_piece(queue->epoch, d, slot->pieces, &range, mode))
		return false;
	slot->writable_size = written;
	slot->head = head;
	slot->epoch = queue->epoch_number;
	slot->state = SLOT_BUSY;
	slot->chain = (struct vh_chain){
	    .readable = slot->pieces,
	    .writable = slot->pieces + 1 - writable,
	    .readable_size = length_of(d) - written,
	    .writable_size = written,
	    .readable_count = 1 - writable,
	    .writable_count = writable,
	    .descriptors = 1,
	    .head = head,
	};
	return true;
}

/* A chain of one buffer that is done at once, for which there is no slot. */
static ALWAYS_INLINE bool walk_buffer(struct vh_virtqueue *queue,
				      struct descriptor d, uint16_t head,
				      struct vh_buffer *ret_buffer,
				      struct mode mode)
{
	struct epoch *epoch = queue->epoch;
	uint64_t offset;

	if (UNLIKELY(head >= queue->num || queue->taken[head]) ||
	    flags_of(d, mode.packed) &
		(DESCRIPTOR_NEXT | DESCRIPTOR_INDIRECT) ||
	    !find_quickly(epoch->memory, &epoch->buffers, d.address,
			  length_of(d), &offset))
		return false;
	*ret_buffer = (struct vh_buffer){
	    .data = epoch->buffers.host + offset,
	    .size = length_of(d),
	    .head = head,
	    .is_writable = flags_of(d, mode.packed) & DESCRIPTOR_WRITE,
	};
	return true;
}

/*
 * Fills the slot from the chain that begins at list.start with d. Returns
 * what walk_carefully() does.
 */
static ALWAYS_INLINE uint32_t walk_chain(struct vh_virtqueue *queue,
					 struct slot *slot, struct list list,
					 struct descriptor d, struct mode mode)
{
	uint16_t head = mode.packed ? id_of(d) : (uint16_t)list.start;

	if (flags_of(d, mode.packed) & (DESCRIPTOR_NEXT | DESCRIPTOR_INDIRECT))
		return walk_list(queue, slot, list, d, mode);
	if (LIKELY(walk_single(queue, slot, d, head, mode)))
		return 1;
	return walk_carefully(queue, slot, list);
}

#endif
