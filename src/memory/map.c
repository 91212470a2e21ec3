/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Maps as values: making one from another, and letting go of it. */
#include "map.h"

#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SECTION "vhost-user, Memory region description"
#define HEX	"0x%" PRIx64

/* A map with room for count regions, whose columns aren't filled in yet. */
static struct vh_memory *map_alloc(unsigned int count)
{
	size_t row = sizeof(vh_gpa) + sizeof(uint64_t) + sizeof(char *) +
		     sizeof(struct vhi_region_rest);
	struct vh_memory *memory =
	    malloc(sizeof(*memory) + row * count +
		   vhi_guide_room(count) * sizeof(struct vhi_granule));

	if (!memory)
		return NULL;
	*memory = (struct vh_memory){.refs = 1, .count = count};
	/* In the order of falling alignment, so that no column needs padding */
	memory->bases = memory->columns;
	memory->sizes = memory->bases + count;
	memory->rest = (void *)(memory->sizes + count);
	memory->hosts = (void *)(memory->rest + count);
	memory->guide = (void *)(memory->hosts + count);
	return memory;
}

int vh_memory_new(struct vh_memory **ret_memory)
{
	struct vh_memory *memory = map_alloc(0);

	if (!memory)
		return -ENOMEM;
	*ret_memory = memory;
	return 0;
}

/* The map of old's shelves, but for number own, which is shelf (taken over). */
static struct vh_memory *map_derive(const struct vh_memory *old,
				    unsigned int count, unsigned int own,
				    struct vhi_shelf *shelf)
{
	struct vh_memory *memory = map_alloc(count);

	if (!memory)
		return NULL;
	for (unsigned int i = 0; i < VHI_SHELVES; i++)
		memory->shelves[i] =
		    i == own ? shelf : vhi_shelf_ref(old->shelves[i]);
	return memory;
}

/* An IOTLB has entries and no regions: the caller took one map for another. */
static int check_kind(const struct vh_memory *old, struct vh_fault *fault)
{
	if (!old->guest)
		return 0;
	return vhi_fault(fault, VH_FAULT_CALLER, -EINVAL, NULL,
			 "an IOTLB has no regions to add or remove; its map of "
			 "guest memory has");
}

static int check_shape(const struct vh_region *region, struct vh_fault *fault)
{
	if (region->size == 0)
		return vhi_fault(fault, VH_FAULT_MEM_REGION, -EINVAL, SECTION,
				 "the size of the region at guest address " HEX
				 " is 0",
				 region->guest);
	if (vhi_range_wraps(region->guest, region->size))
		return vhi_fault(fault, VH_FAULT_MEM_REGION, -EINVAL, SECTION,
				 "guest address " HEX " and size " HEX
				 " exceed 2^64",
				 region->guest, region->size);
	if (vhi_range_wraps(region->user.raw, region->size))
		return vhi_fault(fault, VH_FAULT_MEM_REGION, -EINVAL, SECTION,
				 "front-end (user) address " HEX
				 " and size " HEX " exceed 2^64",
				 region->user.raw, region->size);
	return 0;
}

static int overlap(struct vh_fault *fault, const char *kind, uint64_t start,
		   uint64_t size, uint64_t other, uint64_t other_size)
{
	return vhi_fault(fault, VH_FAULT_MEM_OVERLAP, -EEXIST, SECTION,
			 "%s address " HEX " and size " HEX
			 " overlap the region at " HEX " with size " HEX,
			 kind, start, size, other, other_size);
}

/*
 * Regions are sorted by guest address and don't overlap in it, so the two
 * neighbours stand for all. at is where the new one goes.
 */
static int check_guest(const struct vh_memory *old, unsigned int at,
		       const struct vh_region *region, struct vh_fault *fault)
{
	unsigned int first = at > 0 ? at - 1 : 0;

	for (unsigned int i = first; i <= at && i < old->count; i++)
		if (vhi_ranges_overlap(region->guest, region->size,
				       old->bases[i], old->sizes[i]))
			return overlap(fault, "guest", region->guest,
				       region->size, old->bases[i],
				       old->sizes[i]);
	return 0;
}

/* Not sorted: a walk costs less than the mmap() that is to come. */
static int check_user(const struct vh_memory *old,
		      const struct vh_region *region, struct vh_fault *fault)
{
	for (unsigned int i = 0; i < old->count; i++) {
		uint64_t user = old->rest[i].user.raw;

		if (vhi_ranges_overlap(region->user.raw, region->size, user,
				       old->sizes[i]))
			return overlap(fault, "front-end (user)",
				       region->user.raw, region->size, user,
				       old->sizes[i]);
	}
	return 0;
}

static int check_region(const struct vh_memory *old, unsigned int at,
			const struct vh_region *region, struct vh_fault *fault)
{
	int err = check_kind(old, fault);

	if (err < 0)
		return err;
	err = check_shape(region, fault);
	if (err < 0)
		return err;
	if (old->count >= VH_MEMORY_MAX_REGIONS)
		return vhi_fault(fault, VH_FAULT_MEM_SLOTS, -ENOSPC,
				 "vhost-user, VHOST_USER_GET_MAX_MEM_SLOTS",
				 "the region at guest address " HEX
				 " would be number %u, the limit is %u",
				 region->guest, old->count + 1,
				 (unsigned int)VH_MEMORY_MAX_REGIONS);
	err = check_guest(old, at, region, fault);
	if (err < 0)
		return err;
	return check_user(old, region, fault);
}

/* Copies a column with one element more at index at. */
static void column_insert(void *to, const void *from, unsigned int count,
			  unsigned int at, const void *one, size_t width)
{
	memcpy(to, from, at * width);
	memcpy((char *)to + at * width, one, width);
	memcpy((char *)to + (at + 1) * width, (const char *)from + at * width,
	       (count - at) * width);
}

/* Copies a column without the element at index at. */
static void column_remove(void *to, const void *from, unsigned int count,
			  unsigned int at, size_t width)
{
	memcpy(to, from, at * width);
	memcpy((char *)to + at * width, (const char *)from + (at + 1) * width,
	       (count - at - 1) * width);
}

/* The map with a mapping (taken over on success) as region number at. */
static struct vh_memory *map_with(const struct vh_memory *old, unsigned int at,
				  const struct vh_region *region,
				  struct vhi_mapping *mapping, char *host)
{
	struct vhi_region_rest rest = {region->user, region->fd_offset, 0, 0};
	unsigned int count = old->count;
	struct vh_memory *memory;
	struct vhi_shelf *shelf;

	while (old->shelves[rest.shelf] &&
	       old->shelves[rest.shelf]->used == VHI_SHELF_PLACES)
		rest.shelf++;
	shelf = vhi_shelf_copy(old->shelves[rest.shelf]);
	if (!shelf)
		return NULL;
	memory = map_derive(old, count + 1, rest.shelf, shelf);
	if (!memory) {
		vhi_shelf_unref(shelf);
		return NULL;
	}
	rest.place = vhi_shelf_put(shelf, mapping);
	column_insert(memory->bases, old->bases, count, at, &region->guest,
		      sizeof(*old->bases));
	column_insert(memory->sizes, old->sizes, count, at, &region->size,
		      sizeof(*old->sizes));
	column_insert(memory->hosts, old->hosts, count, at, &host,
		      sizeof(*old->hosts));
	column_insert(memory->rest, old->rest, count, at, &rest, sizeof(rest));
	vhi_guide_make(memory);
	return memory;
}

int vh_memory_add(const struct vh_memory *old, const struct vh_region *region,
		  struct vh_fault *fault, struct vh_memory **ret_memory)
{
	unsigned int at = vhi_map_search(old, region->guest);
	struct vhi_file_part part = {region->fd, region->fd_offset,
				     region->size, &region->guest};
	struct vhi_mapping *mapping;
	struct vh_memory *memory;
	char *host;
	int err;

	if (at < old->count && old->bases[at] <= region->guest)
		at++;
	err = check_region(old, at, region, fault);
	if (err < 0)
		return err;
	err = vhi_mapping_new(&part, fault, &mapping, &host);
	if (err < 0)
		return err;
	memory = map_with(old, at, region, mapping, host);
	if (!memory) {
		vhi_mapping_unref(mapping);
		return vhi_fault(fault, VH_FAULT_SYSTEM, -ENOMEM, NULL,
				 "no memory for a map of %u regions",
				 old->count + 1);
	}
	*ret_memory = memory;
	return 0;
}

/* The map without region number at. */
static struct vh_memory *map_without(const struct vh_memory *old,
				     unsigned int at)
{
	const struct vhi_region_rest *rest = &old->rest[at];
	struct vhi_shelf *shelf = vhi_shelf_copy(old->shelves[rest->shelf]);
	unsigned int count = old->count;
	struct vh_memory *memory;

	if (!shelf)
		return NULL;
	memory = map_derive(old, count - 1, rest->shelf, shelf);
	if (!memory) {
		vhi_shelf_unref(shelf);
		return NULL;
	}
	vhi_shelf_take(shelf, rest->place);
	column_remove(memory->bases, old->bases, count, at,
		      sizeof(*old->bases));
	column_remove(memory->sizes, old->sizes, count, at,
		      sizeof(*old->sizes));
	column_remove(memory->hosts, old->hosts, count, at,
		      sizeof(*old->hosts));
	column_remove(memory->rest, old->rest, count, at, sizeof(*old->rest));
	vhi_guide_make(memory);
	return memory;
}

int vh_memory_remove(const struct vh_memory *old,
		     const struct vh_region *region, struct vh_fault *fault,
		     struct vh_memory **ret_memory)
{
	unsigned int at = vhi_map_search(old, region->guest);
	struct vh_memory *memory;
	int err = check_kind(old, fault);

	if (err < 0)
		return err;
	if (at >= old->count || old->bases[at] != region->guest ||
	    old->sizes[at] != region->size ||
	    old->rest[at].user.raw != region->user.raw)
		return vhi_fault(
		    fault, VH_FAULT_MEM_UNKNOWN, -ENOENT,
		    "vhost-user, VHOST_USER_REM_MEM_REG",
		    "none of %u regions has guest address " HEX
		    ", front-end (user) address " HEX " and size " HEX,
		    old->count, region->guest, region->user.raw, region->size);
	memory = map_without(old, at);
	if (!memory)
		return vhi_fault(fault, VH_FAULT_SYSTEM, -ENOMEM, NULL,
				 "no memory for a map of %u regions",
				 old->count - 1);
	*ret_memory = memory;
	return 0;
}

/* const protects the regions; whoever may read a map may also share it. */
struct vh_memory *vh_memory_ref(const struct vh_memory *memory)
{
	struct vh_memory *shared = (struct vh_memory *)memory;

	__atomic_add_fetch(&shared->refs, 1, __ATOMIC_RELAXED);
	return shared;
}

/* With an IOTLB goes its reference to the map that it leads into. */
void vh_memory_unref(struct vh_memory *memory)
{
	while (memory &&
	       __atomic_sub_fetch(&memory->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		struct vh_memory *guest = memory->guest;

		for (unsigned int i = 0; i < VHI_SHELVES; i++)
			vhi_shelf_unref(memory->shelves[i]);
		free(memory);
		memory = guest;
	}
}
