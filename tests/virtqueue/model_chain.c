/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The chain reader of the model, for both formats. */
#include "model_ring.h"

struct entry {
	uint64_t address;
	uint32_t length;
	unsigned int flags;
	unsigned int next; /* split */
	unsigned int id;   /* packed */
};

struct reader {
	const struct model_ring *ring;
	struct model_chain *chain;
	unsigned int max_pieces;
	uint64_t most; /* descriptors */
	bool writing;  /* there was a writable buffer */
};

/* How many bytes from guest on lie in its region; 0 if it is in none. */
static uint64_t bytes_here(const struct model_ring *ring, vh_gpa guest)
{
	for (unsigned int i = 0; i < BOX_REGIONS; i++) {
		struct vh_region region = box_region(ring->box, i);
		uint64_t last = region.guest + (region.size - 1);

		if (guest >= region.guest && guest <= last)
			return last - guest + 1;
	}
	return 0;
}

static bool all_mapped(const struct model_ring *ring, vh_gpa guest,
		       uint64_t length)
{
	while (length) {
		uint64_t here = bytes_here(ring, guest);

		if (!here)
			return false;
		if (here >= length)
			return true;
		length -= here;
		if (guest + here < guest) /* the end of all addresses */
			return false;
		guest += here;
	}
	return true;
}

static struct entry read_entry(const struct model_ring *ring, vh_gpa table,
			       unsigned int index)
{
	vh_gpa at = table + UINT64_C(16) * index;
	unsigned int first = (unsigned int)model_number(ring, at + 12, 2);
	unsigned int second = (unsigned int)model_number(ring, at + 14, 2);

	return (struct entry){
	    .address = model_number(ring, at, 8),
	    .length = (uint32_t)model_number(ring, at + 8, 4),
	    .flags = ring->packed ? second : first,
	    .next = second,
	    .id = first,
	};
}

static bool add_pieces(struct reader *reader, const struct entry *entry)
{
	struct model_chain *chain = reader->chain;
	vh_gpa guest = entry->address;
	uint64_t left = entry->length;

	if (!all_mapped(reader->ring, guest, left))
		return false;
	while (left) {
		uint64_t here = bytes_here(reader->ring, guest);

		if (here > left)
			here = left;
		if (chain->count == reader->max_pieces)
			return false;
		chain->pieces[chain->count].guest = guest;
		chain->pieces[chain->count].length = here;
		chain->count++;
		guest += here;
		left -= here;
	}
	return true;
}

static bool add_buffer(struct reader *reader, const struct entry *entry)
{
	struct model_chain *chain = reader->chain;

	if (++chain->descriptors > reader->most)
		return false;
	if (entry->flags & F_WRITE) {
		reader->writing = true;
	} else {
		if (reader->writing)
			return false;
		chain->readable_size += entry->length;
	}
	chain->size += entry->length;
	if (chain->size > UINT32_MAX || !add_pieces(reader, entry))
		return false;
	if (!reader->writing)
		chain->readable_count = chain->count;
	return true;
}

/*
 * The text wants no chain longer than the ring, but drivers make tables that
 * are. What leads to a table can't be longer, and a table has its own length.
 */
static void allow_table(struct reader *reader, uint64_t entries)
{
	reader->most = reader->chain->descriptors + entries;
	if (reader->most > VH_VIRTQUEUE_MAX_SIZE)
		reader->most = VH_VIRTQUEUE_MAX_SIZE;
}

static bool good_table(const struct model_ring *ring, const struct entry *entry)
{
	return ring->indirect && !(entry->flags & F_NEXT) &&
	       entry->length > 0 && entry->length % 16 == 0 &&
	       all_mapped(ring, entry->address, entry->length);
}

/* Any number of descriptors, of which the last may refer to a table. */
static bool read_split(struct reader *reader, unsigned int head)
{
	const struct model_ring *ring = reader->ring;
	vh_gpa table = ring->descriptors;
	uint64_t entries = ring->num;
	unsigned int index = head;
	bool in_table = false;

	reader->chain->head = head;
	for (;;) {
		struct entry entry = read_entry(ring, table, index);

		if (!in_table)
			reader->chain->slots++;
		if (entry.flags & F_INDIRECT) {
			if (in_table || !good_table(ring, &entry))
				return false;
			in_table = true;
			table = entry.address;
			entries = entry.length / 16;
			allow_table(reader, entries);
			index = 0;
			continue;
		}
		if (!add_buffer(reader, &entry))
			return false;
		if (!(entry.flags & F_NEXT))
			return true;
		if (entry.next >= entries)
			return false;
		index = entry.next;
	}
}

/* Neighbours in the ring, or one that refers to a table of neighbours. */
static bool read_packed(struct reader *reader, unsigned int slot)
{
	const struct model_ring *ring = reader->ring;
	struct model_chain *chain = reader->chain;
	struct entry entry = read_entry(ring, ring->descriptors, slot);

	chain->slots = 1;
	chain->head = entry.id;
	if (entry.flags & F_INDIRECT) {
		if (!good_table(ring, &entry))
			return false;
		allow_table(reader, entry.length / 16);
		for (unsigned int i = 0; i < entry.length / 16; i++) {
			struct entry inner = read_entry(ring, entry.address, i);

			if (!add_buffer(reader, &inner))
				return false;
		}
		return true;
	}
	while (add_buffer(reader, &entry)) {
		chain->head = entry.id;
		if (!(entry.flags & F_NEXT))
			return true;
		slot = (slot + 1) % ring->num;
		chain->slots++;
		entry = read_entry(ring, ring->descriptors, slot);
		if (entry.flags & F_INDIRECT)
			return false;
	}
	return false;
}

bool model_read_chain(const struct model_ring *ring, unsigned int start,
		      unsigned int max_pieces, struct model_chain *chain)
{
	struct reader reader = {
	    .ring = ring,
	    .chain = chain,
	    .max_pieces = max_pieces,
	    .most = ring->num,
	};

	chain->head = 0;
	chain->descriptors = 0;
	chain->slots = 0;
	chain->readable_count = 0;
	chain->count = 0;
	chain->readable_size = 0;
	chain->size = 0;
	return ring->packed ? read_packed(&reader, start)
			    : read_split(&reader, start);
}
