/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The careful half of a walk: it knows every chain, and what to say. */
#include "chain.h"
#include <base/check.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TABLE	 "virtio, The Virtqueue Descriptor Table"
#define INDIRECT "virtio, Indirect Descriptors"
#define FRAMING	 "virtio, Message Framing"

enum walk_error {
	WALK_FINE,
	WALK_LOOP,
	WALK_NEXT,
	WALK_ORDER,
	WALK_LENGTH,
	WALK_ADDRESS,
	WALK_SEGMENTS,
	WALK_INDIRECT_FEATURE,
	WALK_INDIRECT_NESTED,
	WALK_INDIRECT_NEXT,
	WALK_INDIRECT_LENGTH,
	WALK_INDIRECT_ADDRESS,
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
    [WALK_SEGMENTS] = {VH_FAULT_DESC_SEGMENTS, FRAMING},
    [WALK_INDIRECT_FEATURE] = {VH_FAULT_DESC_INDIRECT, INDIRECT},
    [WALK_INDIRECT_NESTED] = {VH_FAULT_DESC_INDIRECT, INDIRECT},
    [WALK_INDIRECT_NEXT] = {VH_FAULT_DESC_INDIRECT, INDIRECT},
    [WALK_INDIRECT_LENGTH] = {VH_FAULT_DESC_INDIRECT, INDIRECT},
    [WALK_INDIRECT_ADDRESS] = {VH_FAULT_DESC_ADDR, INDIRECT},
};

/* Says which rule the descriptor broke: the field, its value, the limit. */
static void say_what(const struct vh_virtqueue *queue, const struct walk *walk,
		     struct descriptor d, enum walk_error error, char *text,
		     size_t size)
{
	switch (error) {
	case WALK_LOOP:
		snprintf(text, size,
			 "it is number %u of the chain, of a queue "
			 "of %u",
			 walk->descriptors, queue->num);
		break;
	case WALK_NEXT:
		snprintf(text, size, "next is %u, of a table of %u", next_of(d),
			 walk->limit);
		break;
	case WALK_ORDER:
		snprintf(text, size,
			 "flags are 0x%x: device-readable behind "
			 "device-writable",
			 flags_of(d));
		break;
	case WALK_LENGTH:
		snprintf(text, size,
			 "the chain has %" PRIu64 " bytes, more "
			 "than 4294967295",
			 walk->bytes);
		break;
	case WALK_SEGMENTS:
		snprintf(text, size, "the chain has more than %u pieces",
			 queue->max_pieces);
		break;
	case WALK_INDIRECT_FEATURE:
		snprintf(text, size,
			 "flags are 0x%x, but "
			 "VIRTIO_F_INDIRECT_DESC wasn't negotiated",
			 flags_of(d));
		break;
	case WALK_INDIRECT_NESTED:
		snprintf(text, size, "flags are 0x%x: a table within a table",
			 flags_of(d));
		break;
	case WALK_INDIRECT_NEXT:
		snprintf(text, size, "flags are 0x%x: both INDIRECT and NEXT",
			 flags_of(d));
		break;
	case WALK_INDIRECT_LENGTH:
		snprintf(text, size,
			 "the length of its table is %u, not a "
			 "multiple of 16 above 0",
			 length_of(d));
		break;
	case WALK_ADDRESS:
	case WALK_INDIRECT_ADDRESS:
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
			   "queue %u, head %u, %s: %s", queue->index,
			   walk->head, where, what);
	return false;
}

/* Moves the pieces from the slot to an area, where the most have room. */
static bool make_room(struct vh_virtqueue *queue, struct walk *walk,
		      struct descriptor d)
{
	size_t count = (size_t)(walk->next - walk->first);
	uint16_t number;
	struct iovec *area;

	if (walk->has_area || count >= queue->max_pieces)
		return fail(queue, walk, d, WALK_SEGMENTS);
	if (!queue->areas_left) {
		queue->starved = true;
		return false;
	}
	number = queue->area_free[--queue->areas_left];
	queue->area_taken[walk->head] = number;
	area = queue->areas + (size_t)number * queue->max_pieces;
	memcpy(area, walk->first, count * sizeof(*area));
	if (walk->writable)
		walk->writable = area + (walk->writable - walk->first);
	walk->first = area;
	walk->next = area + count;
	walk->end = area + queue->max_pieces;
	walk->has_area = true;
	return true;
}

/* Adds the pieces of a buffer, one for each region that it lies in. */
static bool add_pieces(struct vh_virtqueue *queue, struct walk *walk,
		       struct descriptor d)
{
	struct vhi_hit *hit = &queue->epoch->buffers;
	vh_gpa address = d.address;
	uint64_t left = length_of(d);
	uint64_t offset, part;

	/* Without bytes there is nothing to point to, nor to check. */
	if (!left)
		return true;
	if (vhi_range_wraps(address, left))
		return fail(queue, walk, d, WALK_ADDRESS);
	for (; left; address += part, left -= part) {
		offset = address - hit->base;
		if (offset >= hit->size) {
			if (!vhi_memory_find(queue->epoch->memory, address,
					     hit))
				return fail(queue, walk, d, WALK_ADDRESS);
			offset = address - hit->base;
		}
		part = hit->size - offset;
		if (part > left)
			part = left;
		if (walk->next == walk->end && !make_room(queue, walk, d))
			return false;
		walk->next->iov_base = hit->host + offset;
		walk->next->iov_len = part;
		walk->next++;
	}
	return true;
}

/* All of the range is in guest memory, in any number of regions. */
static bool is_mapped(struct vh_virtqueue *queue, vh_gpa address, uint64_t left)
{
	struct vhi_hit *hit = &queue->epoch->tables;
	uint64_t part;

	if (vhi_range_wraps(address, left))
		return false;
	for (; left; address += part, left -= part) {
		if (address - hit->base >= hit->size &&
		    !vhi_memory_find(queue->epoch->memory, address, hit))
			return false;
		part = hit->size - (address - hit->base);
		if (part > left)
			part = left;
	}
	return true;
}

static enum walk_error check_table(struct vh_virtqueue *queue,
				   const struct walk *walk, struct descriptor d)
{
	if (!queue->indirect)
		return WALK_INDIRECT_FEATURE;
	if (walk->in_table)
		return WALK_INDIRECT_NESTED;
	if (flags_of(d) & DESCRIPTOR_NEXT)
		return WALK_INDIRECT_NEXT;
	if (!length_of(d) || length_of(d) % sizeof(struct raw_descriptor))
		return WALK_INDIRECT_LENGTH;
	if (!is_mapped(queue, d.address, length_of(d)))
		return WALK_INDIRECT_ADDRESS;
	return WALK_FINE;
}

/* Entries are read one by one from here on: the table may be in pieces. */
static bool enter_table(struct vh_virtqueue *queue, struct walk *walk,
			struct descriptor d)
{
	enum walk_error error = check_table(queue, walk, d);

	if (error)
		return fail(queue, walk, d, error);
	walk->in_table = true;
	walk->table_from = walk->index;
	walk->table = NULL;
	walk->table_at = d.address;
	walk->limit = length_of(d) / sizeof(struct raw_descriptor);
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
	*ret_descriptor = (struct descriptor){words[0], words[1]};
	return true;
}

static bool add_descriptor(struct vh_virtqueue *queue, struct walk *walk,
			   struct descriptor d)
{
	if (++walk->descriptors > queue->num)
		return fail(queue, walk, d, WALK_LOOP);
	if (flags_of(d) & DESCRIPTOR_WRITE) {
		if (!walk->writable) {
			walk->writable = walk->next;
			walk->readable_bytes = walk->bytes;
		}
	} else if (walk->writable) {
		return fail(queue, walk, d, WALK_ORDER);
	}
	/* At most 2^32 - 1 and one more length: it can't wrap. */
	walk->bytes += length_of(d);
	if (walk->bytes > UINT32_MAX)
		return fail(queue, walk, d, WALK_LENGTH);
	return add_pieces(queue, walk, d);
}

/* At most num buffers and one table: the number of steps has a bound. */
bool walk_on(struct vh_virtqueue *queue, struct slot *slot, struct walk *walk,
	     struct descriptor d)
{
	walk->end = slot->pieces + queue->slot_pieces;
	for (;;) {
		if (flags_of(d) & DESCRIPTOR_INDIRECT) {
			if (!enter_table(queue, walk, d))
				return false;
		} else {
			if (!add_descriptor(queue, walk, d))
				return false;
			if (!(flags_of(d) & DESCRIPTOR_NEXT))
				break;
			if (next_of(d) >= walk->limit)
				return fail(queue, walk, d, WALK_NEXT);
			walk->index = next_of(d);
		}
		if (walk->table)
			d = descriptor_copy(&walk->table[walk->index]);
		else if (!copy_entry(queue, walk, &d))
			return false;
	}
	slot_fill(queue, slot, walk);
	return true;
}
