/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The table of regions. */
#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <ioctl/ram.h>
#include <memory/iotlb.h>
#include <stdlib.h>

#define HEX "0x%" PRIx64

static int check_rules(const struct vh_region *r,
		       const struct vhi_ram_rules *rules,
		       struct vh_fault *fault)
{
	if (vhi_range_wraps(r->guest, r->size) ||
	    vhi_range_wraps(r->user.raw, r->size))
		return vhi_fault(fault, VH_FAULT_MEM_REGION, -EINVAL, NULL,
				 "region " HEX ": size " HEX
				 " is 0 or leads beyond 2^64",
				 r->guest, r->size);
	if ((r->guest | r->size) % rules->align ||
	    (r->fd < 0 ? r->user.raw : r->fd_offset) % rules->align)
		return vhi_fault(fault, VH_FAULT_MEM_REGION, -EINVAL, NULL,
				 "region " HEX ", size " HEX
				 ": not in whole pages of %" PRIu64
				 " bytes, or not at the start of one",
				 r->guest, r->size, rules->align);
	if (r->guest < rules->first || r->guest + (r->size - 1) > rules->last)
		return vhi_fault(fault, VH_FAULT_MEM_REGION, -EINVAL, NULL,
				 "region " HEX ", size " HEX
				 ": the device reaches " HEX " to " HEX,
				 r->guest, r->size, rules->first, rules->last);
	if (r->fd < 0 && rules->shared)
		return vhi_fault(fault, VH_FAULT_MEM_REGION, -EINVAL, NULL,
				 "region " HEX ": no descriptor; the device "
				 "can't use memory that isn't shared",
				 r->guest);
	if (r->fd < 0 && !r->user.raw)
		return vhi_fault(fault, VH_FAULT_MEM_REGION, -EINVAL, NULL,
				 "region " HEX ": neither a descriptor nor an "
				 "address",
				 r->guest);
	return 0;
}

static int check_overlap(const struct vhi_ram *ram, const struct vh_region *r,
			 struct vh_fault *fault)
{
	for (unsigned int i = 0; i < ram->count; i++) {
		const struct vh_region *o = &ram->regions[i].region;

		if (vhi_ranges_overlap(o->guest, o->size, r->guest, r->size) ||
		    vhi_ranges_overlap(o->user.raw, o->size, r->user.raw,
				       r->size))
			return vhi_fault(fault, VH_FAULT_MEM_OVERLAP, -EEXIST,
					 NULL,
					 "region " HEX ", size " HEX
					 ": overlaps region " HEX,
					 r->guest, r->size, o->guest);
	}
	return 0;
}

/* Maps a region's file, for as long as some table has the region. */
static int map_region(struct vhi_ram_region *entry, struct vh_fault *fault)
{
	struct vh_memory *none;
	int r;

	if (entry->region.fd < 0) {
		entry->map = NULL;
		entry->host = (char *)(uintptr_t)entry->region.user.raw;
		return 0;
	}
	r = vh_memory_new(&none);
	if (r < 0)
		return vhi_fault(fault, VH_FAULT_SYSTEM, r, NULL,
				 "no memory for a map");
	r = vh_memory_add(none, &entry->region, fault, &entry->map);
	vh_memory_unref(none);
	if (r < 0)
		return r;
	entry->host =
	    vh_memory_at(entry->map, entry->region.guest, entry->region.size);
	entry->region.fd = -1;
	return 0;
}

static int add_one(struct vhi_ram *ram, const struct vh_region *region,
		   const struct vhi_ram_rules *rules, struct vh_fault *fault)
{
	struct vhi_ram_region entry = {.region = *region};
	int r = check_rules(region, rules, fault);

	if (r >= 0)
		r = check_overlap(ram, region, fault);
	if (r >= 0)
		r = map_region(&entry, fault);
	if (r < 0)
		return r;
	ram->regions[ram->count++] = entry;
	return 0;
}

static void add_known(struct vhi_ram *ram, const struct vhi_ram_region *known)
{
	ram->regions[ram->count] = *known;
	if (known->map)
		vh_memory_ref(known->map);
	ram->count++;
}

static int allocate(struct vhi_ram *ram, size_t count, struct vh_fault *fault)
{
	/* One more, since of nothing calloc() may give nothing. */
	ram->regions = calloc(count + 1, sizeof(*ram->regions));
	ram->count = 0;
	if (!ram->regions)
		return vhi_fault(fault, VH_FAULT_SYSTEM, -ENOMEM, NULL,
				 "no memory for a table of %zu regions", count);
	return 0;
}

int vhi_ram_add(const struct vhi_ram *old, const struct vh_region regions[],
		unsigned int count, const struct vhi_ram_rules *rules,
		struct vh_fault *fault, struct vhi_ram *ret)
{
	struct vhi_ram ram;
	int r;

	if (count > rules->max || old->count > rules->max - count)
		return vhi_fault(fault, VH_FAULT_MEM_SLOTS, -ENOSPC, NULL,
				 "%u and %u regions, the device takes %" PRIu32,
				 old->count, count, rules->max);
	r = allocate(&ram, (size_t)old->count + count, fault);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < old->count; i++)
		add_known(&ram, &old->regions[i]);
	for (unsigned int i = 0; i < count && r >= 0; i++)
		r = add_one(&ram, &regions[i], rules, fault);
	if (r < 0) {
		vhi_ram_done(&ram);
		return r;
	}
	*ret = ram;
	return 0;
}

int vhi_ram_remove(const struct vhi_ram *old, const struct vh_region *region,
		   struct vh_fault *fault, struct vhi_ram *ret,
		   unsigned int *ret_index)
{
	unsigned int found = 0;
	struct vhi_ram ram;
	int r;

	while (found < old->count &&
	       (old->regions[found].region.guest != region->guest ||
		old->regions[found].region.size != region->size ||
		old->regions[found].region.user.raw != region->user.raw))
		found++;
	if (found == old->count)
		return vhi_fault(fault, VH_FAULT_MEM_UNKNOWN, -ENOENT, NULL,
				 "no region " HEX " of size " HEX " at user "
				 "address " HEX,
				 region->guest, region->size, region->user.raw);
	r = allocate(&ram, old->count, fault);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < old->count; i++)
		if (i != found)
			add_known(&ram, &old->regions[i]);
	*ret = ram;
	*ret_index = found;
	return 0;
}

void vhi_ram_done(struct vhi_ram *ram)
{
	for (unsigned int i = 0; i < ram->count; i++)
		vh_memory_unref(ram->regions[i].map);
	free(ram->regions);
	*ram = (struct vhi_ram){0};
}

/* NULL, or where guest is; *ret_size bytes from there are in its region. */
static void *find(const struct vhi_ram *ram, vh_gpa guest, uint64_t *ret_size)
{
	for (unsigned int i = 0; i < ram->count; i++) {
		const struct vhi_ram_region *e = &ram->regions[i];
		uint64_t at = guest - e->region.guest;

		if (guest < e->region.guest || at >= e->region.size)
			continue;
		*ret_size = e->region.size - at;
		return e->host + at;
	}
	return NULL;
}

void *vhi_ram_at(const struct vhi_ram *ram, vh_gpa guest, uint64_t size)
{
	uint64_t room = 0;
	void *host = find(ram, guest, &room);

	return size && size <= room ? host : NULL;
}

void *vhi_ram_take_part(const struct vhi_ram *ram, struct vh_iotlb_entry *left,
			struct vh_iotlb_entry *ret_part)
{
	struct vh_iotlb_entry part = *left;
	uint64_t room = 0;
	void *host = find(ram, left->guest, &room);

	if (!host)
		return NULL;
	if (part.size > room)
		part.size = room;
	left->iova += part.size;
	left->guest += part.size;
	left->size -= part.size;
	*ret_part = part;
	return host;
}

int vhi_ram_check_entry(const struct vhi_ram *ram,
			const struct vh_iotlb_entry *entry,
			struct vh_fault *fault)
{
	struct vh_iotlb_entry left = *entry;
	struct vh_iotlb_entry part;
	int r = vhi_iotlb_check_entry(entry, fault);

	while (r >= 0 && left.size)
		if (!vhi_ram_take_part(ram, &left, &part))
			r = vhi_fault(fault, VH_FAULT_MEM_IOTLB, -EFAULT, NULL,
				      "entry " HEX ", size " HEX ": " HEX
				      " isn't in guest memory",
				      entry->iova, entry->size, left.guest);
	return r;
}
