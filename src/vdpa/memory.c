/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Guest memory, mapped for the device region by region. */
#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>

#include "vdpa.h"

#define HALF (UINT64_C(1) << 63)

int vdpa_update(struct vdpa *v, uint32_t asid,
		const struct vh_iotlb_entry *entry, const void *host)
{
	if (asid == 0)
		v->mapped = true;
	return vhi_node_iotlb_update(&v->node, asid, entry, host);
}

/* Without the feature each message takes effect at once. */
int vdpa_batch(struct vdpa *v, uint32_t asid, bool begin)
{
	if (!(v->node.backend_features & VH_BACKEND_F_IOTLB_BATCH))
		return 0;
	return vhi_node_iotlb_batch(&v->node, asid, begin);
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
	r = vhi_node_iotlb_invalidate(&v->node, 0, 0, HALF);
	if (r >= 0)
		r = vhi_node_iotlb_invalidate(&v->node, 0, HALF, HALF);
	if (r >= 0)
		v->mapped = false;
	return r;
}

/* Ends a batch; the first error counts, with its words. */
static int finish(struct vdpa *v, int error)
{
	struct vh_fault words = v->backend.fault;
	int r = vdpa_batch(v, 0, false);

	if (error < 0)
		v->backend.fault = words;
	return error < 0 ? error : r;
}

/* Instead of all that is mapped, ram. */
static int replace(struct vdpa *v, const struct vhi_ram *ram)
{
	struct vh_fault words;
	int r = vdpa_batch(v, 0, true);

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
		r = vdpa_batch(v, 0, true);
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
	r = vdpa_drop_entries(v, region);
	if (r >= 0 && !vdpa_has_iommu(v)) {
		r = vdpa_batch(v, 0, true);
		if (r >= 0)
			r = finish(v, vhi_node_iotlb_invalidate(&v->node, 0,
								region->guest,
								region->size));
	}
	if (r < 0) {
		vhi_ram_done(&ram);
		return r;
	}
	take(v, &ram);
	return 0;
}
