/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Entries that a program puts into address spaces itself. The kernel adds
 * none over another, and takes an entry out as a whole if part of it is
 * meant. So it is known here what is in, one entry for each message, and what
 * is left of one that was cut goes in again.
 */
#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "vdpa.h"

static int add(struct vdpa *v, const struct vdpa_entry *entry)
{
	void *host = vhi_ram_at(&v->ram, entry->e.guest, entry->e.size);
	struct vdpa_entry *more;
	int r;

	more = realloc(v->entries, (v->num_entries + 1) * sizeof(*more));
	if (!more)
		return vhi_fault(&v->backend.fault, VH_FAULT_SYSTEM, -ENOMEM,
				 NULL, "no memory for an entry");
	v->entries = more;
	r = vdpa_update(v, entry->asid, &entry->e, host);
	if (r >= 0)
		v->entries[v->num_entries++] = *entry;
	return r;
}

/* One that the kernel keeps stays known here. */
static int take_out(struct vdpa *v, size_t index)
{
	const struct vdpa_entry *entry = &v->entries[index];
	int r = vdpa_invalidate(v, entry->asid, entry->e.iova, entry->e.size);

	if (r >= 0)
		v->entries[index] = v->entries[--v->num_entries];
	return r;
}

/* What is left of an entry that was taken out: from offset, size bytes. */
static int put_back(struct vdpa *v, const struct vdpa_entry *old,
		    uint64_t offset, uint64_t size)
{
	struct vdpa_entry entry = *old;

	if (size == 0)
		return 0;
	entry.e.iova += offset;
	entry.e.guest += offset;
	entry.e.size = size;
	return add(v, &entry);
}

/* Takes a range out of an address space, and nothing beside it. */
static int cut(struct vdpa *v, uint32_t asid, uint64_t iova, uint64_t size)
{
	uint64_t last = iova + (size - 1);
	size_t i = 0;

	while (i < v->num_entries) {
		struct vdpa_entry old = v->entries[i];
		uint64_t old_last = old.e.iova + (old.e.size - 1);
		int r;

		if (old.asid != asid ||
		    !vhi_ranges_overlap(old.e.iova, old.e.size, iova, size)) {
			i++;
			continue;
		}
		r = take_out(v, i);
		if (r >= 0 && old.e.iova < iova)
			r = put_back(v, &old, 0, iova - old.e.iova);
		if (r >= 0 && old_last > last)
			r = put_back(v, &old, last + 1 - old.e.iova,
				     old_last - last);
		if (r < 0)
			return r;
	}
	return 0;
}

int vdpa_drop_entries(struct vdpa *v, const struct vh_region *region)
{
	struct vhi_first first = {.fault = &v->backend.fault};
	size_t i = 0;

	while (i < v->num_entries) {
		const struct vh_iotlb_entry *e = &v->entries[i].e;
		int r = 1;

		if (!region || vhi_ranges_overlap(e->guest, e->size,
						  region->guest, region->size))
			r = take_out(v, i);
		vhi_first_note(&first, r);
		/* Another one is in its place now. */
		i += r != 0;
	}
	return vhi_first_end(&first);
}

static int check_space(struct vh_backend *b, uint32_t asid)
{
	struct vdpa *v = vdpa_of(b);
	int r = vdpa_check(b);

	if (r >= 0)
		r = vhi_node_needs_owner(&v->node);
	if (r < 0 || asid < v->num_spaces)
		return r;
	return vhi_fault(&b->fault, VH_FAULT_CALLER, -EINVAL, NULL,
			 "address space %" PRIu32 ", there are %" PRIu32, asid,
			 v->num_spaces);
}

static int bad_entry(struct vdpa *v, const struct vh_iotlb_entry *entry,
		     int error, const char *what)
{
	return vhi_fault(&v->backend.fault, VH_FAULT_MEM_IOTLB, error, NULL,
			 "entry 0x%" PRIx64 ", size 0x%" PRIx64
			 ", access %" PRIu32 ", to 0x%" PRIx64 ": %s",
			 entry->iova, entry->size, entry->access, entry->guest,
			 what);
}

/* Guest memory is in space 0 already. */
static bool is_taken(const struct vdpa *v, uint32_t asid,
		     const struct vh_iotlb_entry *entry)
{
	if (asid != 0 || vdpa_has_iommu(v))
		return false;
	for (unsigned int i = 0; i < v->ram.count; i++) {
		const struct vh_region *r = &v->ram.regions[i].region;

		if (vhi_ranges_overlap(r->guest, r->size, entry->iova,
				       entry->size))
			return true;
	}
	return false;
}

static int check_entry(struct vdpa *v, uint32_t asid,
		       const struct vh_iotlb_entry *entry)
{
	int r = vhi_ram_check_entry(&v->ram, entry, &v->backend.fault);

	if (r < 0)
		return r;
	if ((entry->iova | entry->size | entry->guest) % v->rules.align)
		return bad_entry(v, entry, -EINVAL, "no whole pages");
	if (entry->iova < v->rules.first ||
	    entry->iova + (entry->size - 1) > v->rules.last)
		return bad_entry(v, entry, -ERANGE,
				 "the device has no such addresses");
	if (is_taken(v, asid, entry))
		return bad_entry(v, entry, -EEXIST, "guest memory is there");
	return 0;
}

/* One message for each region that the entry leads to; all of it or none. */
static int add_parts(struct vdpa *v, uint32_t asid,
		     const struct vh_iotlb_entry *entry)
{
	struct vhi_first first = {.fault = &v->backend.fault};
	struct vh_iotlb_entry left = *entry;

	while (!first.error && left.size) {
		struct vdpa_entry part = {.asid = asid};

		(void)vhi_ram_take_part(&v->ram, &left, &part.e);
		vhi_first_note(&first, add(v, &part));
	}
	if (first.error)
		(void)cut(v, asid, entry->iova, entry->size);
	return vhi_first_end(&first);
}

int vh_vdpa_iotlb_update(struct vh_backend *backend, uint32_t asid,
			 const struct vh_iotlb_entry *entry)
{
	struct vdpa *v = vdpa_of(backend);
	int r = check_space(backend, asid);

	if (r >= 0)
		r = check_entry(v, asid, entry);
	if (r >= 0)
		r = cut(v, asid, entry->iova, entry->size);
	return r < 0 ? r : add_parts(v, asid, entry);
}

int vh_vdpa_iotlb_invalidate(struct vh_backend *backend, uint32_t asid,
			     vh_gpa iova, uint64_t size)
{
	struct vdpa *v = vdpa_of(backend);
	int r = check_space(backend, asid);

	if (r < 0)
		return r;
	if (size == 0 || (iova | size) % v->rules.align)
		return vhi_fault(&backend->fault, VH_FAULT_MEM_IOTLB, -EINVAL,
				 NULL,
				 "invalidation of 0x%" PRIx64
				 " bytes at 0x%" PRIx64 ": no whole pages",
				 size, iova);
	return cut(v, asid, iova, vhi_range_clip(iova, size));
}

int vh_vdpa_iotlb_batch(struct vh_backend *backend, uint32_t asid, bool begin)
{
	struct vdpa *v = vdpa_of(backend);
	int r = check_space(backend, asid);

	if (r < 0)
		return r;
	if (!(v->node.backend_features & VH_BACKEND_F_IOTLB_BATCH))
		return vhi_fault(&backend->fault, VH_FAULT_UNSUPPORTED,
				 -EOPNOTSUPP, NULL, "IOTLB_BATCH isn't agreed");
	return vdpa_batch(v, asid, begin);
}

int vdpa_iotlb_update(struct vh_backend *b, const struct vh_iotlb_entry *entry)
{
	struct vdpa *v = vdpa_of(b);
	int r = vhi_iotlb_is_on(&v->node, v->features);

	return r < 0 ? r : vh_vdpa_iotlb_update(b, 0, entry);
}

int vdpa_iotlb_invalidate(struct vh_backend *b, vh_gpa iova, uint64_t size)
{
	struct vdpa *v = vdpa_of(b);
	int r = vhi_iotlb_is_on(&v->node, v->features);

	return r < 0 ? r : vh_vdpa_iotlb_invalidate(b, 0, iova, size);
}
