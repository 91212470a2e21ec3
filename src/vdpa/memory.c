/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Guest memory, mapped for the device region by region. */
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>

#include "vdpa.h"

#define HALF (UINT64_C(1) << 63)

/* While the kernel has a batch it takes messages about that space only. */
static int check_batch(struct vdpa *v, uint32_t asid)
{
	if (!v->in_batch || v->batch_asid == asid)
		return 0;
	return vhi_fault(&v->backend.fault, VH_FAULT_CALLER, -EBUSY, NULL,
			 "address space %" PRIu32 ", while space %" PRIu32
			 " has a batch",
			 asid, v->batch_asid);
}

int vdpa_update(struct vdpa *v, uint32_t asid,
		const struct vh_iotlb_entry *entry, const void *host)
{
	int r = check_batch(v, asid);

	if (r < 0)
		return r;
	if (asid == 0)
		v->mapped = true;
	return vhi_node_iotlb_update(&v->node, asid, entry, host);
}

int vdpa_invalidate(struct vdpa *v, uint32_t asid, vh_gpa iova, uint64_t size)
{
	int r = check_batch(v, asid);

	if (r < 0)
		return r;
	return vhi_node_iotlb_invalidate(&v->node, asid, iova, size);
}

int vdpa_batch(struct vdpa *v, uint32_t asid, bool begin)
{
	int r = check_batch(v, asid);

	if (r < 0)
		return r;
	r = vhi_node_iotlb_batch(&v->node, asid, begin);
	/* One that can't begin once more is under way nevertheless. */
	if (r >= 0 || !begin)
		v->in_batch = begin;
	v->batch_asid = asid;
	return r;
}

int vdpa_check_no_batch(struct vdpa *v)
{
	if (!v->in_batch)
		return 0;
	return vhi_fault(&v->backend.fault, VH_FAULT_CALLER, -EBUSY, NULL,
			 "guest memory can't change while address space "
			 "%" PRIu32 " has a batch",
			 v->batch_asid);
}

/* Changes of guest memory take effect together, if the device knows how. */
static int begin(struct vdpa *v)
{
	int r = vdpa_check_no_batch(v);

	if (r < 0 || !(v->node.backend_features & VH_BACKEND_F_IOTLB_BATCH))
		return r;
	return vdpa_batch(v, 0, true);
}

static int end(struct vdpa *v)
{
	return v->in_batch ? vdpa_batch(v, 0, false) : 0;
}

/* Guest memory is at its own addresses. */
static int map(struct vdpa *v, const struct vhi_ram_region *e)
{
	const struct vh_iotlb_entry entry = {
	    .iova = e->region.guest,
	    .size = e->region.size,
	    .guest = e->region.guest,
	    .access = VH_ACCESS_READ | VH_ACCESS_WRITE,
	};

	return vdpa_update(v, 0, &entry, e->host);
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
	r = vdpa_invalidate(v, 0, 0, HALF);
	if (r >= 0)
		r = vdpa_invalidate(v, 0, HALF, HALF);
	if (r >= 0)
		v->mapped = false;
	return r;
}

static int put_in(struct vdpa *v, const struct vhi_ram *ram)
{
	int r = clear(v);

	return r < 0 || vdpa_has_iommu(v) ? r : map_all(v, ram);
}

/* Instead of all that is mapped, ram; or what was, as far as it can be. */
static int replace(struct vdpa *v, const struct vhi_ram *ram)
{
	struct vhi_first first = {.fault = &v->backend.fault};
	int r = begin(v);
	int ended;

	if (r < 0)
		return r;
	r = put_in(v, ram);
	vhi_first_note(&first, r);
	if (r < 0 && ram != &v->ram)
		r = put_in(v, &v->ram);
	ended = end(v);
	vhi_first_note(&first, ended);
	v->stale = r < 0 || ended < 0;
	return vhi_first_end(&first);
}

int vdpa_remap(struct vdpa *v)
{
	int r = v->mapped || v->ram.count ? replace(v, &v->ram) : 0;

	v->stale = r < 0;
	return r;
}

/* What failed to be mapped before is, before anything is added to it. */
static int settle(struct vdpa *v)
{
	return v->stale ? vdpa_remap(v) : 0;
}

/* Tells of rings that run without their memory from now on. */
static void tell_lost(struct vdpa *v)
{
	for (uint32_t i = 0; i < v->num_queues; i++) {
		struct vh_fault fault;

		if (!v->vrings[i].started ||
		    vdpa_check_inside(v, &v->vrings[i], &fault) >= 0)
			continue;
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
		r = vdpa_check_no_batch(v);
	if (r >= 0)
		r = vhi_ram_add(&nothing, regions, count, &v->rules, &b->fault,
				&ram);
	if (r < 0)
		return r;
	r = vdpa_drop_entries(v, NULL);
	if (r >= 0 && !vdpa_has_iommu(v))
		r = replace(v, &ram);
	if (r < 0) {
		vhi_ram_done(&ram);
		return r;
	}
	take(v, &ram);
	return 0;
}

/* One that isn't there in the end isn't in the kernel either. */
static int map_one(struct vdpa *v, const struct vhi_ram_region *e)
{
	struct vhi_first first = {.fault = &v->backend.fault};
	int r = begin(v);

	if (r < 0)
		return r;
	r = map(v, e);
	vhi_first_note(&first, r);
	vhi_first_note(&first, end(v));
	if (first.error && r >= 0)
		(void)vdpa_invalidate(v, 0, e->region.guest, e->region.size);
	return vhi_first_end(&first);
}

static int unmap_one(struct vdpa *v, const struct vh_region *region)
{
	struct vhi_first first = {.fault = &v->backend.fault};
	int r = begin(v);

	if (r < 0)
		return r;
	vhi_first_note(&first,
		       vdpa_invalidate(v, 0, region->guest, region->size));
	vhi_first_note(&first, end(v));
	return vhi_first_end(&first);
}

int vdpa_add_region(struct vh_backend *b, const struct vh_region *region)
{
	struct vdpa *v = vdpa_of(b);
	struct vhi_ram ram;
	int r = vhi_node_needs_owner(&v->node);

	if (r >= 0)
		r = vdpa_check_no_batch(v);
	if (r >= 0)
		r = settle(v);
	if (r >= 0)
		r = vhi_ram_add(&v->ram, region, 1, &v->rules, &b->fault, &ram);
	if (r < 0)
		return r;
	if (!vdpa_has_iommu(v))
		r = map_one(v, &ram.regions[ram.count - 1]);
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
	int r = vdpa_check_no_batch(v);

	if (r >= 0)
		r = vhi_ram_remove(&v->ram, region, &b->fault, &ram, &at);
	if (r < 0)
		return r;
	r = vdpa_drop_entries(v, region);
	if (r >= 0 && !vdpa_has_iommu(v))
		r = unmap_one(v, region);
	if (r < 0) {
		vhi_ram_done(&ram);
		return r;
	}
	take(v, &ram);
	return 0;
}
