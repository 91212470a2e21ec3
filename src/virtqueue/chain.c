/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The careful walk: it knows every chain, and what to say. */
#include "chain.h"
#include "slot.h"
#include <base/check.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TABLE	 "virtio, The Virtqueue Descriptor Table"
#define INDIRECT "virtio, Indirect Descriptors"
#define FRAMING	 "virtio, Message Framing"
#define IOMMU	 "vhost-user, IOMMU support"

/* How far a chain has been walked. */
struct walk {
	struct pieces pieces;
	struct iovec *end; /* the pieces may not go beyond; room may be made */
	struct list list; /* table is NULL: it may be in pieces; see table_at */
	uint32_t index;	  /* of the present descriptor */
	uint32_t table_from; /* the descriptor that led into the table */
	uint32_t before;     /* descriptors that aren't in the table */
	uint32_t entries;    /* of the IOTLB that it went through */
	bool in_table;
	uint32_t start; /* where the chain begins in the ring */
	vh_gpa table_at;
};

enum walk_error {
	WALK_FINE,
	WALK_LOOP,
	WALK_NEXT,
	WALK_ORDER,
	WALK_LENGTH,
	WALK_ADDRESS,
	WALK_ACCESS,
	WALK_SEGMENTS,
	WALK_ENTRIES,
	WALK_INDIRECT_FEATURE,
	WALK_INDIRECT_NESTED,
	WALK_INDIRECT_NEXT,
	WALK_INDIRECT_LENGTH,
	WALK_INDIRECT_ADDRESS,
	WALK_INDIRECT_ACCESS,
	WALK_WAIT, /* for the IOTLB: not an error */
};

static const struct {
	uint32_t code;
	const char *section;
} errors[] = {
    [WALK_LOOP] = {VH_FAULT_DESC_LOOP, INDIRECT},
    [WALK_NEXT] = {VH_FAULT_DESC_NEXT, TABLE},
    [WALK_ORDER] = {VH_FAULT_DESC_ORDER, FRAMING},
    [WALK_LENGTH] = {VH_FAULT_DESC_LENGTH, TABLE},
    [WALK_ADDRESS] = {VH_FAULT_DESC_ADDR, TABLE},
    [WALK_ACCESS] = {VH_FAULT_DESC_ACCESS, IOMMU},
    [WALK_SEGMENTS] = {VH_FAULT_DESC_SEGMENTS, FRAMING},
    [WALK_ENTRIES] = {VH_FAULT_DESC_SEGMENTS, IOMMU},
    [WALK_INDIRECT_FEATURE] = {VH_FAULT_DESC_INDIRECT, INDIRECT},
    [WALK_INDIRECT_NESTED] = {VH_FAULT_DESC_INDIRECT, INDIRECT},
    [WALK_INDIRECT_NEXT] = {VH_FAULT_DESC_INDIRECT, INDIRECT},
    [WALK_INDIRECT_LENGTH] = {VH_FAULT_DESC_INDIRECT, INDIRECT},
    [WALK_INDIRECT_ADDRESS] = {VH_FAULT_DESC_ADDR, INDIRECT},
    [WALK_INDIRECT_ACCESS] = {VH_FAULT_DESC_ACCESS, IOMMU},
};

/*
 * Linux makes tables that are longer than its rings, whatever the text says
 * ("Indirect Descriptors"), so it's the table that bounds what is in it.
 */
static uint32_t most_descriptors(const struct vh_virtqueue *queue,
				 const struct walk *walk)
{
	uint32_t most = walk->before + walk->list.limit;

	if (!walk->in_table)
		return queue->num;
	return most < VH_VIRTQUEUE_MAX_SIZE ? most : VH_VIRTQUEUE_MAX_SIZE;
}

/* Says which rule the descriptor broke: the field, its value, the limit. */
static void say_what(const struct vh_virtqueue *queue, const struct walk *walk,
		     struct descriptor d, enum walk_error error, char *text,
		     size_t size)
{
	switch (error) {
	case WALK_LOOP:
		snprintf(text, size,
			 "it is number %u of the chain, which has at "
			 "most %u",
			 walk->pieces.descriptors,
			 most_descriptors(queue, walk));
		break;
	case WALK_NEXT:
		snprintf(text, size, "next is %u, of a table of %u", next_of(d),
			 walk->list.limit);
		break;
	case WALK_ORDER:
		snprintf(text, size,
			 "flags are 0x%x: device-readable behind "
			 "device-writable",
			 flags_of(d, queue->is_packed));
		break;
	case WALK_LENGTH:
		snprintf(text, size,
			 "the chain has %" PRIu64 " bytes, more "
			 "than 4294967295",
			 walk->pieces.bytes);
		break;
	case WALK_SEGMENTS:
		snprintf(text, size, "the chain has more than %u pieces",
			 queue->max_pieces);
		break;
	case WALK_ENTRIES:
		snprintf(text, size,
			 "the chain needs more than %u entries of the IOTLB, "
			 "which is full",
			 walk->entries);
		break;
	case WALK_INDIRECT_FEATURE:
		snprintf(text, size,
			 "flags are 0x%x, but "
			 "VIRTIO_F_INDIRECT_DESC wasn't negotiated",
			 flags_of(d, queue->is_packed));
		break;
	case WALK_INDIRECT_NESTED:
		snprintf(text, size, "flags are 0x%x: a table within a table",
			 flags_of(d, queue->is_packed));
		break;
	case WALK_INDIRECT_NEXT:
		snprintf(text, size, "flags are 0x%x: both INDIRECT and NEXT",
			 flags_of(d, queue->is_packed));
		break;
	case WALK_INDIRECT_LENGTH:
		snprintf(text, size,
			 "the length of its table is %u, not a "
			 "multiple of 16 above 0",
			 length_of(d));
		break;
	case WALK_ACCESS:
	case WALK_INDIRECT_ACCESS:
		snprintf(text, size,
			 "the IOTLB forbids to %s 0x%" PRIx64
			 " with length 0x%x",
			 error == WALK_ACCESS && flags_of(d, queue->is_packed) &
						     DESCRIPTOR_WRITE
			     ? "write"
			     : "read",
			 d.address, length_of(d));
		break;
	case WALK_ADDRESS:
	case WALK_INDIRECT_ADDRESS:
	case WALK_WAIT:
	case WALK_FINE:
		snprintf(text, size,
			 "%s0x%" PRIx64 " with length 0x%x isn't "
			 "all in guest memory",
			 error == WALK_ADDRESS ? "address " : "table ",
			 d.address, length_of(d));
		break;
	}
}

/* Breaks the queue and says why. Returns false. */
static COLD bool fail(struct vh_virtqueue *queue, const struct walk *walk,
		      struct descriptor d, enum walk_error error)
{
	char where[64];
	char what[112];

	if (walk->in_table)
		snprintf(where, sizeof(where),
			 "entry %u of the table of descriptor %u", walk->index,
			 walk->table_from);
	else
		snprintf(where, sizeof(where), "descriptor %u", walk->index);
	say_what(queue, walk, d, error, what, sizeof(what));
	vh_virtqueue_break(queue, errors[error].code, errors[error].section,
			   "queue %u, chain at %u, %s: %s", queue->index,
			   walk->start, where, what);
	return false;
}

/*
 * A full IOTLB can't be relied on to have more entries than that at a time, so
 * who still lacks one would wait for ever.
 */
#define ENTRIES_MAX (VH_IOTLB_MAX_ENTRIES / 2)

/* An address that isn't in the map. */
static enum walk_error miss(struct vh_virtqueue *queue, const struct walk *walk,
			    vh_gpa address, uint32_t access)
{
	const struct vh_memory *memory = queue->epoch->memory;

	if (!vh_iotlb_guest(memory))
		return WALK_ADDRESS;
	if (walk->entries >= ENTRIES_MAX &&
	    vh_memory_count(memory) == VH_IOTLB_MAX_ENTRIES)
		return WALK_ENTRIES;
	queue_wait(queue, address, access);
	return WALK_WAIT;
}

/* What is at an address, for one who wants to access it. */
static enum walk_error find(struct vh_virtqueue *queue, struct walk *walk,
			    struct vhi_hit *hit, vh_gpa address,
			    uint32_t access)
{
	if (address - hit->base >= hit->size) {
		if (!vhi_memory_find(queue->epoch->memory, address, hit))
			return miss(queue, walk, address, access);
		walk->entries++;
	}
	return access & ~hit->access ? WALK_ACCESS : WALK_FINE;
}

/* Moves the pieces from the slot to an area, where the most have room. */
static bool make_room(struct vh_virtqueue *queue, struct slot *slot,
		      struct walk *walk, struct descriptor d)
{
	struct pieces *pieces = &walk->pieces;
	size_t count = (size_t)(pieces->next - pieces->first);
	uint16_t number;
	struct iovec *area;

	if (pieces->has_area || count >= queue->max_pieces)
		return fail(queue, walk, d, WALK_SEGMENTS);
	if (!queue->areas_left) {
		queue->starved = true;
		return false;
	}
	number = queue->area_free[--queue->areas_left];
	queue->area_taken[slot_number(queue, slot)] = number;
	area = queue->areas + (size_t)number * queue->max_pieces;
	memcpy(area, pieces->first, count * sizeof(*area));
	if (pieces->range)
		pieces->range = log_move(queue, slot, pieces->range);
	if (pieces->writable)
		pieces->writable = area + (pieces->writable - pieces->first);
	pieces->first = area;
	pieces->next = area + count;
	pieces->has_area = true;
	walk->end = area + queue->max_pieces;
	return true;
}

/* Adds the pieces of a buffer, one for each region that it lies in. */
static bool add_pieces(struct vh_virtqueue *queue, struct slot *slot,
		       struct walk *walk, struct descriptor d)
{
	struct vhi_hit *hit = &queue->epoch->buffers;
	bool write = flags_of(d, queue->is_packed) & DESCRIPTOR_WRITE;
	struct pieces *pieces = &walk->pieces;
	vh_gpa address = d.address;
	uint64_t left = length_of(d);
	uint64_t offset, part;
	enum walk_error error;

	/* Without bytes there is nothing to point to, nor to check. */
	if (!left)
		return true;
	if (vhi_range_wraps(address, left))
		return fail(queue, walk, d, WALK_ADDRESS);
	for (; left; address += part, left -= part) {
		error = find(queue, walk, hit, address,
			     write ? VH_ACCESS_WRITE : VH_ACCESS_READ);
		if (error == WALK_WAIT)
			return false;
		if (error)
			return fail(queue, walk, d, error);
		offset = address - hit->base;
		part = hit->size - offset;
		if (part > left)
			part = left;
		if (pieces->next == walk->end &&
		    !make_room(queue, slot, walk, d))
			return false;
		*pieces->next = (struct iovec){.iov_base = hit->host + offset,
					       .iov_len = part};
		pieces->bytes += part;
		pieces->next++;
		if (write && pieces->range)
			*pieces->range++ = (struct log_range){
			    .guest = hit->guest + offset, .size = part};
	}
	return true;
}

/* All of a table can be read, in any number of regions. */
static enum walk_error is_mapped(struct vh_virtqueue *queue, struct walk *walk,
				 vh_gpa address, uint64_t left)
{
	struct vhi_hit *hit = &queue->epoch->tables;
	enum walk_error error;
	uint64_t part;

	if (vhi_range_wraps(address, left))
		return WALK_INDIRECT_ADDRESS;
	for (; left; address += part, left -= part) {
		error = find(queue, walk, hit, address, VH_ACCESS_READ);
		if (error == WALK_ADDRESS)
			return WALK_INDIRECT_ADDRESS;
		if (error == WALK_ACCESS)
			return WALK_INDIRECT_ACCESS;
		if (error)
			return error;
		part = hit->size - (address - hit->base);
		if (part > left)
			part = left;
	}
	return WALK_FINE;
}

static enum walk_error check_table(struct vh_virtqueue *queue,
				   struct walk *walk, struct descriptor d)
{
	if (!queue->indirect)
		return WALK_INDIRECT_FEATURE;
	if (walk->in_table)
		return WALK_INDIRECT_NESTED;
	if (flags_of(d, queue->is_packed) & DESCRIPTOR_NEXT)
		return WALK_INDIRECT_NEXT;
	if (queue->is_packed && walk->pieces.descriptors)
		return WALK_INDIRECT_NEXT;
	if (!length_of(d) || length_of(d) % sizeof(struct raw_descriptor))
		return WALK_INDIRECT_LENGTH;
	return is_mapped(queue, walk, d.address, length_of(d));
}

/* Entries are read one by one from here on: the table may be in pieces. */
static bool enter_table(struct vh_virtqueue *queue, struct walk *walk,
			struct descriptor d)
{
	enum walk_error error = check_table(queue, walk, d);

	if (error == WALK_WAIT)
		return false;
	if (error)
		return fail(queue, walk, d, error);
	if (queue->is_packed)
		walk->pieces.head = id_of(d);
	walk->in_table = true;
	walk->before = walk->pieces.descriptors;
	walk->table_from = walk->index;
	walk->list.table = NULL;
	walk->table_at = d.address;
	walk->list.limit = length_of(d) / sizeof(struct raw_descriptor);
	walk->index = 0;
	return true;
}

static bool copy_entry(struct vh_virtqueue *queue, const struct walk *walk,
		       struct descriptor *ret_descriptor)
{
	struct vhi_hit *hit = &queue->epoch->tables;
	vh_gpa address = walk->table_at +
			 (uint64_t)walk->index * sizeof(struct raw_descriptor);
	uint64_t words[2] = {0, 0};

	/* Any byte may be the first one of a region. */
	for (unsigned int i = 0; i < sizeof(words); i++) {
		const uint8_t *byte =
		    vhi_translate(queue->epoch->memory, hit, address + i, 1);

		if (!byte) /* enter_table() saw all of it */
			return fail(queue, walk,
				    (struct descriptor){
					.address = address,
					.rest = sizeof(words),
				    },
				    WALK_INDIRECT_ADDRESS);
		words[i / 8] |=
		    (uint64_t)__atomic_load_n(byte, __ATOMIC_RELAXED)
		    << (i % 8 * 8);
	}
	*ret_descriptor =
	    (struct descriptor){.address = words[0], .rest = words[1]};
	return true;
}

static bool add_descriptor(struct vh_virtqueue *queue, struct slot *slot,
			   struct walk *walk, struct descriptor d)
{
	struct pieces *pieces = &walk->pieces;

	if (++pieces->descriptors > most_descriptors(queue, walk))
		return fail(queue, walk, d, WALK_LOOP);
	if (flags_of(d, queue->is_packed) & DESCRIPTOR_WRITE) {
		/* Without bytes it has no piece, but its place counts. */
		if (!pieces->writable)
			pieces_border(pieces);
	} else if (pieces->writable) {
		return fail(queue, walk, d, WALK_ORDER);
	}
	/* At most 2^32 - 1 and one more length: it can't wrap. */
	if (pieces->bytes + length_of(d) > UINT32_MAX) {
		pieces->bytes += length_of(d);
		return fail(queue, walk, d, WALK_LENGTH);
	}
	return add_pieces(queue, slot, walk, d);
}

/* Goes to the next descriptor; 0 if d is the last, -1 if there is none. */
static int step(struct vh_virtqueue *queue, struct walk *walk,
		struct descriptor d)
{
	if (queue->is_packed && walk->in_table)
		return ++walk->index < walk->list.limit;
	if (!(flags_of(d, queue->is_packed) & DESCRIPTOR_NEXT)) {
		if (queue->is_packed)
			walk->pieces.head = id_of(d);
		return 0;
	}
	if (queue->is_packed) {
		if (++walk->index == walk->list.limit)
			walk->index = 0;
		return 1;
	}
	if (next_of(d) >= walk->list.limit) {
		fail(queue, walk, d, WALK_NEXT);
		return -1;
	}
	walk->index = next_of(d);
	return 1;
}

/* At most num buffers and one table: the number of steps has a bound. */
static bool walk_all(struct vh_virtqueue *queue, struct slot *slot,
		     struct walk *walk)
{
	struct descriptor d;
	int more = 1;

	while (more > 0) {
		if (walk->list.table)
			d = descriptor_copy(&walk->list.table[walk->index]);
		else if (!copy_entry(queue, walk, &d))
			return false;
		if (queue->is_packed && walk->in_table)
			d = only_write(d);
		if (flags_of(d, queue->is_packed) & DESCRIPTOR_INDIRECT) {
			if (!enter_table(queue, walk, d))
				return false;
			continue;
		}
		if (!add_descriptor(queue, slot, walk, d))
			return false;
		more = step(queue, walk, d);
	}
	return more == 0;
}

uint32_t walk_carefully(struct vh_virtqueue *queue, struct slot *slot,
			struct list list)
{
	struct walk walk = {
	    .pieces = {.first = slot->pieces,
		       .next = slot->pieces,
		       .head = (uint16_t)list.start},
	    .end = slot->pieces + queue->slot_pieces,
	    .list = list,
	    .index = list.start,
	    .start = list.start,
	};

	if (queue->epoch->log)
		walk.pieces.range = log_slot(queue, slot);
	if (walk_all(queue, slot, &walk)) {
		if (!walk.pieces.writable)
			pieces_border(&walk.pieces);
		slot_fill(queue, slot, &walk.pieces);
		/* A table takes one descriptor of a packed ring. */
		return walk.in_table ? 1 : walk.pieces.descriptors;
	}
	if (walk.pieces.has_area)
		queue->area_free[queue->areas_left++] =
		    queue->area_taken[slot_number(queue, slot)];
	return 0;
}
