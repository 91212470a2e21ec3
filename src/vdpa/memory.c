/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Guest memory, mapped for the device region by region, and entries of its
 * own that a program puts in.
 */
#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>

#include "vdpa.h"

#define HALF (UINT64_C(1) << 63)

static int update(struct vdpa *v, uint32_t asid, uint64_t iova, uint64_t size,
		  const void *host, uint32_t access)
{
	struct vhi_iotlb_message message = {
	    .type = VHI_IOTLB_UPDATE,
	    .iova = iova,
	    .size = size,
	    .host = (uintptr_t)host,
	    .access = (uint8_t)access,
	};

	if (asid == 0)
		v->mapped = true;
	return vhi_node_iotlb(&v->node, asid, &message);
}

static int invalidate(struct vdpa *v, uint32_t asid, uint64_t iova,
		      uint64_t size)
{
	struct vhi_iotlb_message message = {
	    .type = VHI_IOTLB_INVALIDATE,
	    .iova = iova,
	    .size = size,
	};

	return vhi_node_iotlb(&v->node, asid, &message);
}

/* Without the feature each message takes effect at once. */
static int batch(struct vdpa *v, uint32_t asid, bool begin)
{
	struct vhi_iotlb_message message = {
	    .type = begin ? VHI_IOTLB_BATCH_BEGIN : VHI_IOTLB_BATCH_END,
	};

	if (!(v->node.backend_features & VH_BACKEND_F_IOTLB_BATCH))
		return 0;
	return vhi_node_iotlb(&v->node, asid, &message);
}

static int map(struct vdpa *v, const struct vhi_ram_region *e)
{
	return update(v, 0, e->region.guest, e->region.size, e->host,
		      VH_ACCESS_READ | VH_ACCESS_WRITE);
}

static int map_all(struct vdpa *v, const struct vhi_ram *ram)
{
	int r = 0;

	for (unsigned int i = 0; i < ram->count && r >= 0; i++)
		r = map(v, &ram->regions[i]);
	return r;
}

/* Everything, whoever put it in. */
static int clear(struct vdpa *v)
{
	int r;

	if (!v->mapped)
		return 0;
	r = invalidate(v, 0, 0, HALF);
	if (r >= 0)
		r = invalidate(v, 0, HALF, HALF);
	if (r >= 0)
		v->mapped = false;
	return r;
}

/* Ends a batch; the first error counts, with its words. */
static int finish(struct vdpa *v, int error)
{
	struct vh_fault words = v->backend.fault;
	int r = batch(v, 0, false);

	if (error < 0)
		v->backend.fault = words;
	return error < 0 ? error : r;
}

/* Instead of all that is mapped, ram. */
static int replace(struct vdpa *v, const struct vhi_ram *ram)
{
	struct vh_fault words;
	int r = batch(v, 0, true);

	if (r < 0)
		return r;
	r = clear(v);
	if (r >= 0 && !vdpa_has_iommu(v))
		r = map_all(v, ram);
	if (r < 0 && ram != &v->ram) {
		/* Back to how it was, as far as it can be. */
		words = v->backend.fault;
		if (clear(v) >= 0 && !vdpa_has_iommu(v))
			(void)map_all(v, &v->ram);
		v->backend.fault = words;
	}
	return finish(v, r);
}

int vdpa_remap(struct vdpa *v)
{
	if (!v->mapped && v->ram.count == 0)
		return 0;
	return replace(v, &v->ram);
}

/* Tells of rings that run without their memory from now on. */
static void tell_lost(struct vdpa *v)
{
	for (uint32_t i = 0; i < v->num_queues; i++) {
		const struct vhi_vring *vring = &v->vrings[i];
		const struct vhi_vring_places *p = &vring->places;
		struct vhi_vring_sizes s;
		struct vh_fault fault;

		if (!vring->started || vdpa_has_iommu(v) || v->spaces_used)
			continue;
		s = vhi_vring_sizes(vring->num, vdpa_is_packed(v));
		if (vhi_ram_at(&v->ram, p->descriptors, s.descriptors) &&
		    vhi_ram_at(&v->ram, p->available, s.available) &&
		    vhi_ram_at(&v->ram, p->used, s.used))
			continue;
		vhi_fault(&fault, VH_FAULT_RING_ADDR, -EFAULT, NULL,
			  "the ring isn't in guest memory any more");
		fault.queue = i;
		vhi_backend_vring_fault(&v->backend, &fault);
	}
}

static void take(struct vdpa *v, struct vhi_ram *ram)
{
	vhi_ram_done(&v->ram);
	v->ram = *ram;
	tell_lost(v);
}

int vdpa_set_mem_table(struct vh_backend *b, const struct vh_region regions[],
		       unsigned int count)
{
	static const struct vhi_ram nothing;
	struct vdpa *v = vdpa_of(b);
	struct vhi_ram ram;
	int r = vhi_node_needs_owner(&v->node);

	if (r >= 0)
		r = vhi_ram_add(&nothing, regions, count, &v->rules, &b->fault,
				&ram);
	if (r < 0)
		return r;
	if (!vdpa_has_iommu(v))
		r = replace(v, &ram);
	if (r < 0) {
		vhi_ram_done(&ram);
		return r;
	}
	take(v, &ram);
	return 0;
}

int vdpa_add_region(struct vh_backend *b, const struct vh_region *region)
{
	struct vdpa *v = vdpa_of(b);
	struct vhi_ram ram;
	int r = vhi_node_needs_owner(&v->node);

	if (r >= 0)
		r = vhi_ram_add(&v->ram, region, 1, &v->rules, &b->fault, &ram);
	if (r < 0)
		return r;
	if (!vdpa_has_iommu(v)) {
		r = batch(v, 0, true);
		if (r >= 0)
			r = finish(v, map(v, &ram.regions[ram.count - 1]));
	}
	if (r < 0) {
		vhi_ram_done(&ram);
		return r;
	}
	take(v, &ram);
	return 0;
}

int vdpa_remove_region(struct vh_backend *b, const struct vh_region *region)
{
	struct vdpa *v = vdpa_of(b);
	struct vhi_ram ram;
	unsigned int at;
	int r = vhi_ram_remove(&v->ram, region, &b->fault, &ram, &at);

	if (r < 0)
		return r;
	if (!vdpa_has_iommu(v)) {
		r = batch(v, 0, true);
		if (r >= 0)
			r = finish(
			    v, invalidate(v, 0, region->guest, region->size));
	}
	if (r < 0) {
		vhi_ram_done(&ram);
		return r;
	}
	take(v, &ram);
	return 0;
}

static int check_space(struct vdpa *v, uint32_t asid)
{
	if (asid < v->num_spaces)
		return 0;
	return vhi_fault(&v->backend.fault, VH_FAULT_CALLER, -EINVAL, NULL,
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

static int check_entry(struct vdpa *v, const struct vh_iotlb_entry *entry)
{
	uint64_t size;

	if (vhi_range_wraps(entry->iova, entry->size) ||
	    vhi_range_wraps(entry->guest, entry->size) || !entry->access ||
	    entry->access & ~(VH_ACCESS_READ | VH_ACCESS_WRITE) ||
	    (entry->iova | entry->size | entry->guest) % v->rules.align)
		return bad_entry(v, entry, -EINVAL, "can't be");
	if (entry->iova < v->rules.first ||
	    entry->iova + (entry->size - 1) > v->rules.last)
		return bad_entry(v, entry, -ERANGE,
				 "the device has no such "
				 "addresses");
	for (uint64_t done = 0; done < entry->size; done += size)
		if (!vhi_ram_part(&v->ram, entry->guest + done,
				  entry->size - done, &size))
			return bad_entry(v, entry, -EFAULT,
					 "isn't in guest memory");
	return 0;
}

/* One part of an entry. The kernel adds nothing to what is there already. */
static int update_part(struct vdpa *v, uint32_t asid,
		       const struct vh_iotlb_entry *entry, uint64_t done,
		       uint64_t *ret_size)
{
	const void *host = vhi_ram_part(&v->ram, entry->guest + done,
					entry->size - done, ret_size);
	uint64_t iova = entry->iova + done;
	int r = update(v, asid, iova, *ret_size, host, entry->access);

	if (r != -EFAULT)
		return r;
	r = invalidate(v, asid, iova, *ret_size);
	if (r >= 0)
		r = update(v, asid, iova, *ret_size, host, entry->access);
	if (r >= 0)
		vhi_fault_clear(&v->backend.fault);
	return r;
}

int vh_vdpa_iotlb_update(struct vh_backend *backend, uint32_t asid,
			 const struct vh_iotlb_entry *entry)
{
	struct vdpa *v = vdpa_of(backend);
	uint64_t size = 0;
	int r = vdpa_check(backend);

	if (r >= 0)
		r = vhi_node_needs_owner(&v->node);
	if (r >= 0)
		r = check_space(v, asid);
	if (r >= 0)
		r = check_entry(v, entry);
	for (uint64_t done = 0; r >= 0 && done < entry->size; done += size)
		r = update_part(v, asid, entry, done, &size);
	return r;
}

int vh_vdpa_iotlb_invalidate(struct vh_backend *backend, uint32_t asid,
			     vh_gpa iova, uint64_t size)
{
	struct vdpa *v = vdpa_of(backend);
	int r = vdpa_check(backend);

	if (r >= 0)
		r = vhi_node_needs_owner(&v->node);
	if (r >= 0)
		r = check_space(v, asid);
	if (r < 0)
		return r;
	if (size == 0)
		return vhi_fault(&backend->fault, VH_FAULT_MEM_IOTLB, -EINVAL,
				 NULL, "invalidation of 0 bytes");
	if (vhi_range_wraps(iova, size))
		size = UINT64_MAX - iova;
	return invalidate(v, asid, iova, size);
}

int vh_vdpa_iotlb_batch(struct vh_backend *backend, uint32_t asid, bool begin)
{
	struct vdpa *v = vdpa_of(backend);
	int r = vdpa_check(backend);

	if (r >= 0)
		r = vhi_node_needs_owner(&v->node);
	if (r >= 0)
		r = check_space(v, asid);
	if (r < 0)
		return r;
	if (!(v->node.backend_features & VH_BACKEND_F_IOTLB_BATCH))
		return vhi_fault(&backend->fault, VH_FAULT_UNSUPPORTED,
				 -EOPNOTSUPP, NULL, "IOTLB_BATCH isn't agreed");
	return batch(v, asid, begin);
}

static int check_iommu(struct vdpa *v)
{
	if (vdpa_has_iommu(v))
		return 0;
	return vhi_fault(&v->backend.fault, VH_FAULT_CALLER, -EINVAL, NULL,
			 "there is no IOTLB without F_ACCESS_PLATFORM");
}

int vdpa_iotlb_update(struct vh_backend *b, const struct vh_iotlb_entry *entry)
{
	int r = check_iommu(vdpa_of(b));

	return r < 0 ? r : vh_vdpa_iotlb_update(b, 0, entry);
}

int vdpa_iotlb_invalidate(struct vh_backend *b, vh_gpa iova, uint64_t size)
{
	int r = check_iommu(vdpa_of(b));

	return r < 0 ? r : vh_vdpa_iotlb_invalidate(b, 0, iova, size);
}
