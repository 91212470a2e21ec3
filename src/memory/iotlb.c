/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * IOTLBs as values. A change copies all rows below it, adds its own and copies
 * all rows above it. A row is added to the one before if it goes on where that
 * one ends, so rows are never more than they have to be.
 */
#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <memory/iotlb.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"

#define SECTION "vhost-user, IOMMU support"
#define HEX	"0x%" PRIx64

/* One range of IOVAs that leads into one region. */
struct row {
	vh_gpa iova;
	uint64_t size;
	vh_gpa guest;
	char *host;
	uint32_t access;
	struct vhi_region_rest rest;
};

/*
 * The last so many rows that were added stay, if there is anything else to let
 * go of: who asks for fewer, one after the other, has all of them in the end.
 */
#define KEPT_ROWS (UINT64_C(3) * VH_IOTLB_MAX_ENTRIES / 4)

/* An IOTLB without rows, which has room for some. Takes a reference on guest */
static struct vh_memory *iotlb_alloc(const struct vh_memory *guest,
				     unsigned int room)
{
	size_t row = sizeof(vh_gpa) + sizeof(uint64_t) + sizeof(vh_gpa) +
		     sizeof(struct vhi_region_rest) + sizeof(char *) +
		     sizeof(uint32_t);
	struct vh_memory *iotlb =
	    malloc(sizeof(*iotlb) + row * room +
		   vhi_guide_room(room) * sizeof(struct vhi_granule));

	if (!iotlb)
		return NULL;
	*iotlb = (struct vh_memory){.refs = 1, .guest = vh_memory_ref(guest)};
	/* In the order of falling alignment, so that no column needs padding */
	iotlb->bases = iotlb->columns;
	iotlb->sizes = iotlb->bases + room;
	iotlb->guests = iotlb->sizes + room;
	iotlb->rest = (void *)(iotlb->guests + room);
	iotlb->hosts = (void *)(iotlb->rest + room);
	iotlb->accesses = (void *)(iotlb->hosts + room);
	iotlb->guide = (void *)(iotlb->accesses + room);
	return iotlb;
}

int vh_iotlb_new(const struct vh_memory *guest, struct vh_memory **ret_iotlb)
{
	struct vh_memory *iotlb;

	if (guest->guest)
		return -EINVAL;
	iotlb = iotlb_alloc(guest, 0);
	if (!iotlb)
		return -ENOMEM;
	vhi_guide_make(iotlb);
	*ret_iotlb = iotlb;
	return 0;
}

const struct vh_memory *vh_iotlb_guest(const struct vh_memory *memory)
{
	return memory->guest;
}

static struct row row_at(const struct vh_memory *iotlb, unsigned int at)
{
	return (struct row){
	    .iova = iotlb->bases[at],
	    .size = iotlb->sizes[at],
	    .guest = iotlb->guests[at],
	    .host = iotlb->hosts[at],
	    .access = iotlb->accesses[at],
	    .rest = iotlb->rest[at],
	};
}

/* The first row of those that begin at iova or above. */
static unsigned int first_from(const struct vh_memory *iotlb, vh_gpa iova)
{
	unsigned int at = vhi_map_search(iotlb, iova);

	return at < iotlb->count && iotlb->bases[at] < iova ? at + 1 : at;
}

/* The ranges may overlap. */
static void rows_move(struct vh_memory *to, unsigned int to_at,
		      const struct vh_memory *from, unsigned int at,
		      unsigned int count)
{
	memmove(to->bases + to_at, from->bases + at,
		count * sizeof(*to->bases));
	memmove(to->sizes + to_at, from->sizes + at,
		count * sizeof(*to->sizes));
	memmove(to->guests + to_at, from->guests + at,
		count * sizeof(*to->guests));
	memmove(to->hosts + to_at, from->hosts + at,
		count * sizeof(*to->hosts));
	memmove(to->accesses + to_at, from->accesses + at,
		count * sizeof(*to->accesses));
	memmove(to->rest + to_at, from->rest + at, count * sizeof(*to->rest));
}

static void rows_drop(struct vh_memory *iotlb, unsigned int at,
		      unsigned int count)
{
	iotlb->count -= count;
	rows_move(iotlb, at, iotlb, at + count, iotlb->count - at);
}

/*
 * Does row go on where the last one ends? In one region host addresses are
 * as far apart as guest addresses; two regions may lie side by side in either
 * kind.
 */
static bool goes_on(const struct vh_memory *iotlb, const struct row *row)
{
	unsigned int last = iotlb->count - 1;
	uint64_t size;

	if (iotlb->count == 0)
		return false;
	size = iotlb->sizes[last];
	return row->iova - iotlb->bases[last] == size &&
	       row->guest - iotlb->guests[last] == size &&
	       row->access == iotlb->accesses[last] &&
	       row->rest.shelf == iotlb->rest[last].shelf &&
	       row->rest.place == iotlb->rest[last].place;
}

static void append(struct vh_memory *iotlb, const struct row *row)
{
	unsigned int at = iotlb->count;

	if (goes_on(iotlb, row)) {
		iotlb->sizes[at - 1] += row->size;
		if (iotlb->rest[at - 1].added < row->rest.added)
			iotlb->rest[at - 1].added = row->rest.added;
		return;
	}
	iotlb->bases[at] = row->iova;
	iotlb->sizes[at] = row->size;
	iotlb->guests[at] = row->guest;
	iotlb->hosts[at] = row->host;
	iotlb->accesses[at] = row->access;
	iotlb->rest[at] = row->rest;
	iotlb->count++;
}

/* What old has below iova, into an IOTLB without rows. */
static void append_below(struct vh_memory *iotlb, const struct vh_memory *old,
			 vh_gpa iova)
{
	unsigned int count = first_from(old, iova);

	rows_move(iotlb, 0, old, 0, count);
	iotlb->count = count;
	if (count > 0 && iotlb->sizes[count - 1] > iova - old->bases[count - 1])
		iotlb->sizes[count - 1] = iova - old->bases[count - 1];
}

/* What old has above iova. */
static void append_above(struct vh_memory *iotlb, const struct vh_memory *old,
			 vh_gpa iova)
{
	unsigned int at =
	    iova < UINT64_MAX ? first_from(old, iova + 1) : old->count;
	unsigned int left = old->count - at;
	struct row row;

	if (at > 0 && old->sizes[at - 1] - 1 > iova - old->bases[at - 1]) {
		uint64_t skip = iova - old->bases[at - 1] + 1;

		row = row_at(old, at - 1);
		row.iova += skip;
		row.size -= skip;
		row.guest += skip;
		row.host += skip;
		row.rest.user.raw += skip;
		row.rest.fd_offset += skip;
		append(iotlb, &row);
	}
	if (left == 0)
		return;
	row = row_at(old, at);
	append(iotlb, &row);
	rows_move(iotlb, iotlb->count, old, at + 1, left - 1);
	iotlb->count += left - 1;
}

/*
 * The row for as much of an entry as lies in one region; its size is 0 if its
 * first byte lies in none.
 */
static struct row resolve(const struct vh_memory *guest,
			  const struct vh_iotlb_entry *entry)
{
	unsigned int at = vhi_map_search(guest, entry->guest);
	struct row row = {.iova = entry->iova,
			  .guest = entry->guest,
			  .access = entry->access};
	uint64_t offset;

	if (guest->count == 0)
		return row;
	offset = entry->guest - guest->bases[at];
	if (offset >= guest->sizes[at])
		return row;
	row.size = guest->sizes[at] - offset;
	if (row.size > entry->size)
		row.size = entry->size;
	row.host = guest->hosts[at] + offset;
	row.rest = guest->rest[at];
	row.rest.user.raw += offset;
	row.rest.fd_offset += offset;
	return row;
}

/* Takes the first bytes of an entry away. */
static void skip(struct vh_iotlb_entry *entry, uint64_t size)
{
	entry->iova += size;
	entry->guest += size;
	entry->size -= size;
}

static int check_kind(const struct vh_memory *old, struct vh_fault *fault)
{
	if (old->guest)
		return 0;
	return vhi_fault(fault, VH_FAULT_CALLER, -EINVAL, NULL,
			 "a map of guest memory isn't an IOTLB and has no "
			 "entries to change");
}

int vhi_iotlb_check_entry(const struct vh_iotlb_entry *entry,
			  struct vh_fault *fault)
{
	uint32_t unknown = entry->access & ~(VH_ACCESS_READ | VH_ACCESS_WRITE);

	if (entry->size == 0)
		return vhi_fault(fault, VH_FAULT_MEM_IOTLB, -EINVAL, SECTION,
				 "the size of the entry for IOVA " HEX " is 0",
				 entry->iova);
	if (vhi_range_wraps(entry->iova, entry->size))
		return vhi_fault(fault, VH_FAULT_MEM_IOTLB, -EINVAL, SECTION,
				 "IOVA " HEX " and size " HEX " exceed 2^64",
				 entry->iova, entry->size);
	if (vhi_range_wraps(entry->guest, entry->size))
		return vhi_fault(fault, VH_FAULT_MEM_IOTLB, -EINVAL, SECTION,
				 "guest address " HEX " and size " HEX
				 " of the entry for IOVA " HEX " exceed 2^64",
				 entry->guest, entry->size, entry->iova);
	if (entry->access == 0 || unknown)
		return vhi_fault(fault, VH_FAULT_MEM_IOTLB, -EINVAL, SECTION,
				 "the access of the entry for IOVA " HEX
				 " is %u; it can be 1 (read), 2 (write) or 3",
				 entry->iova, entry->access);
	return 0;
}

/* Of how many regions an entry is made; -EFAULT if some byte is in none. */
static int count_pieces(const struct vh_memory *guest,
			struct vh_iotlb_entry entry, struct vh_fault *fault)
{
	vh_gpa iova = entry.iova;
	int count = 0;

	for (; entry.size > 0; count++) {
		struct row row = resolve(guest, &entry);

		if (row.size == 0)
			return vhi_fault(fault, VH_FAULT_MEM_IOTLB, -EFAULT,
					 SECTION,
					 "the entry for IOVA " HEX
					 " leads to guest address " HEX
					 ", which is in none of %u regions",
					 iova, entry.guest, guest->count);
		skip(&entry, row.size);
	}
	return count;
}

/* The lowest row that was added before the last so many; or count. */
static unsigned int first_older(const struct vh_memory *iotlb, uint64_t rows)
{
	unsigned int at = 0;

	while (at < iotlb->count && iotlb->added - iotlb->rest[at].added < rows)
		at++;
	return at;
}

/*
 * Whose turn it is to go. All rows may be new where invalidations have cut them
 * to pieces; but what an update adds is newer than all others.
 */
static unsigned int find_victim(const struct vh_memory *iotlb)
{
	unsigned int at = first_older(iotlb, KEPT_ROWS);

	if (at == iotlb->count)
		at = first_older(iotlb, 1);
	return at == iotlb->count ? 0 : at;
}

_Static_assert(VH_MEMORY_MAX_REGIONS < VH_IOTLB_MAX_ENTRIES,
	       "room for all that an update adds");

static void evict(struct vh_memory *iotlb)
{
	while (iotlb->count > VH_IOTLB_MAX_ENTRIES)
		rows_drop(iotlb, find_victim(iotlb), 1);
}

static int no_memory(struct vh_fault *fault, unsigned int count)
{
	return vhi_fault(fault, VH_FAULT_SYSTEM, -ENOMEM, NULL,
			 "no memory for an IOTLB of about %u entries", count);
}

int vh_iotlb_update(const struct vh_memory *old,
		    const struct vh_iotlb_entry *entry, struct vh_fault *fault,
		    struct vh_memory **ret_iotlb)
{
	struct vh_iotlb_entry left = *entry;
	vh_gpa last = entry->iova + entry->size - 1;
	struct vh_memory *iotlb;
	int err = check_kind(old, fault);

	if (err == 0)
		err = vhi_iotlb_check_entry(entry, fault);
	if (err == 0)
		err = count_pieces(old->guest, *entry, fault);
	if (err < 0)
		return err;
	/* One row of old may become two. */
	iotlb = iotlb_alloc(old->guest, old->count + (unsigned int)err + 1);
	if (!iotlb)
		return no_memory(fault, old->count + 1);
	iotlb->added = old->added + (unsigned int)err;
	append_below(iotlb, old, entry->iova);
	while (left.size > 0) {
		struct row row = resolve(old->guest, &left);

		row.rest.added = iotlb->added;
		append(iotlb, &row);
		skip(&left, row.size);
	}
	append_above(iotlb, old, last);
	evict(iotlb);
	vhi_guide_make(iotlb);
	*ret_iotlb = iotlb;
	return 0;
}

int vh_iotlb_invalidate(const struct vh_memory *old, vh_gpa iova, uint64_t size,
			struct vh_fault *fault, struct vh_memory **ret_iotlb)
{
	vh_gpa last = size > UINT64_MAX - iova ? UINT64_MAX : iova + (size - 1);
	struct vh_memory *iotlb;
	int err = check_kind(old, fault);

	if (err < 0)
		return err;
	if (size == 0)
		return vhi_fault(
		    fault, VH_FAULT_MEM_IOTLB, -EINVAL, SECTION,
		    "the size of the range to invalidate at IOVA " HEX " is 0",
		    iova);
	iotlb = iotlb_alloc(old->guest, old->count + 1);
	if (!iotlb)
		return no_memory(fault, old->count);
	iotlb->added = old->added;
	append_below(iotlb, old, iova);
	append_above(iotlb, old, last);
	evict(iotlb);
	vhi_guide_make(iotlb);
	*ret_iotlb = iotlb;
	return 0;
}

int vh_iotlb_rebase(const struct vh_memory *old, const struct vh_memory *guest,
		    struct vh_memory **ret_iotlb)
{
	struct vh_memory *iotlb;

	if (!old->guest || guest->guest)
		return -EINVAL;
	iotlb = iotlb_alloc(guest, old->count);
	if (!iotlb)
		return -ENOMEM;
	iotlb->added = old->added;
	for (unsigned int i = 0; i < old->count; i++) {
		struct vh_iotlb_entry entry = {
		    .iova = old->bases[i],
		    .size = old->sizes[i],
		    .guest = old->guests[i],
		    .access = old->accesses[i],
		};
		struct row row = resolve(guest, &entry);

		row.rest.added = old->rest[i].added;
		if (row.size == entry.size &&
		    row.rest.user.raw == old->rest[i].user.raw)
			append(iotlb, &row);
	}
	vhi_guide_make(iotlb);
	*ret_iotlb = iotlb;
	return 0;
}
