/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Guest memory, as one table, and the dirty log. */
#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <memory/log.h>
#include <stdlib.h>

#include "kernel.h"

static int send_table(struct kernel *k, const struct vhi_ram *ram)
{
	struct vhi_table *table;
	int r;

	table =
	    calloc(1, sizeof(*table) + ram->count * sizeof(table->regions[0]));
	if (!table)
		return vhi_fault(&k->backend.fault, VH_FAULT_SYSTEM, -ENOMEM,
				 NULL, "no memory for a table of regions");
	table->count = ram->count;
	for (unsigned int i = 0; i < ram->count; i++) {
		const struct vhi_ram_region *e = &ram->regions[i];

		table->regions[i] = (struct vhi_table_region){
		    .guest = e->region.guest,
		    .size = e->region.size,
		    .host = (uintptr_t)e->host,
		};
	}
	r = vhi_node_call(&k->node, VHI_SET_MEM_TABLE, table);
	free(table);
	return r < 0 ? r : 0;
}

/* Room for one more table that isn't let go of yet. */
static int make_room(struct kernel *k)
{
	struct vhi_ram *more =
	    realloc(k->kept, (k->num_kept + 1) * sizeof(*more));

	if (!more)
		return vhi_fault(&k->backend.fault, VH_FAULT_SYSTEM, -ENOMEM,
				 NULL, "no memory to keep a table of regions");
	k->kept = more;
	return 0;
}

void kernel_let_go(struct kernel *k)
{
	while (k->num_kept > 0)
		vhi_ram_done(&k->kept[--k->num_kept]);
	free(k->kept);
	k->kept = NULL;
}

/*
 * Takes ram over, or gives it up if the kernel doesn't like it. loses: not all
 * that was there is in there.
 */
static int change(struct kernel *k, struct vhi_ram *ram, bool loses)
{
	bool keep = k->kind->lingers && kernel_is_active(k);
	struct vhi_ram old = k->ram;
	int r = kernel_check_log(k, k->log, ram);

	if (r >= 0 && keep)
		r = make_room(k);
	if (r >= 0 && loses && kernel_has_iommu(k))
		r = kernel_clear_iotlb(k);
	if (r >= 0)
		r = send_table(k, ram);
	if (r < 0) {
		vhi_ram_done(ram);
		return r;
	}
	k->ram = *ram;
	if (keep)
		k->kept[k->num_kept++] = old;
	kernel_place_all(k);
	/* The kernel has flushed, and knows no address in here any more. */
	if (!keep)
		vhi_ram_done(&old);
	return 0;
}

int kernel_set_mem_table(struct vh_backend *b, const struct vh_region regions[],
			 unsigned int count)
{
	static const struct vhi_ram nothing;
	struct kernel *k = kernel_of(b);
	struct vhi_ram ram;
	int r =
	    vhi_ram_add(&nothing, regions, count, &k->rules, &b->fault, &ram);

	return r < 0 ? r : change(k, &ram, k->ram.count > 0);
}

int kernel_add_region(struct vh_backend *b, const struct vh_region *region)
{
	struct kernel *k = kernel_of(b);
	struct vhi_ram ram;
	int r = vhi_ram_add(&k->ram, region, 1, &k->rules, &b->fault, &ram);

	return r < 0 ? r : change(k, &ram, false);
}

int kernel_remove_region(struct vh_backend *b, const struct vh_region *region)
{
	struct kernel *k = kernel_of(b);
	struct vhi_ram ram;
	unsigned int at;
	int r = vhi_ram_remove(&k->ram, region, &b->fault, &ram, &at);

	return r < 0 ? r : change(k, &ram, true);
}

static bool has_room(const struct vh_dirty_log *log, vh_gpa guest,
		     uint64_t size)
{
	return !vhi_range_wraps(guest, size) &&
	       (guest + (size - 1)) / VH_DIRTY_LOG_PAGE < log->pages;
}

/* The kernel doesn't know how long a log is: it would write behind it. */
int kernel_check_log(struct kernel *k, const struct vh_dirty_log *log,
		     const struct vhi_ram *ram)
{
	for (unsigned int i = 0; log && i < ram->count; i++) {
		const struct vh_region *r = &ram->regions[i].region;

		if (!has_room(log, r->guest, r->size))
			return vhi_fault(
			    &k->backend.fault, VH_FAULT_MEM_LOG, -EINVAL, NULL,
			    "the log has bits for %" PRIu64
			    " pages, and region 0x%" PRIx64 ", size 0x%" PRIx64
			    ", ends behind those",
			    log->pages, r->guest, r->size);
	}
	return 0;
}

int kernel_check_ring_log(struct kernel *k, const struct vh_dirty_log *log,
			  uint32_t queue)
{
	const struct vhi_vring *vring = &k->vrings[queue];
	uint64_t size = vhi_vring_sizes(vring->num, kernel_is_packed(k)).used;

	if (!(vring->places.flags & VHI_VRING_F_LOG) || kernel_has_iommu(k) ||
	    !log || has_room(log, vring->places.log, size))
		return 0;
	return vhi_ring_about(&k->node, queue,
			      vhi_fault(&k->backend.fault, VH_FAULT_MEM_LOG,
					-EFAULT, NULL,
					"the used ring's log address 0x%" PRIx64
					" is outside the log",
					vring->places.log));
}

int kernel_send_log(struct kernel *k, const struct vh_dirty_log *log)
{
	uint64_t at = 0;
	int r;

	if (log)
		at = (uintptr_t)log->words + log->shift / 8;
	r = vhi_node_call(&k->node, VHI_SET_LOG_BASE, &at);
	return r < 0 ? r : 0;
}

/* Everything that is written there has its bit in the log. */
static int check_new_log(struct kernel *k, const struct vh_dirty_log *log)
{
	int r = kernel_check_log(k, log, &k->ram);

	for (uint32_t i = 0; i < k->num_queues && r >= 0; i++)
		if (k->vrings[i].placed)
			r = kernel_check_ring_log(k, log, i);
	return r;
}

/*
 * The kernel goes through its rings one by one, and past those that refuse:
 * on failure some may have the new log, which is to be unmapped.
 */
static int replace_log(struct kernel *k, const struct vh_dirty_log *log)
{
	struct vhi_first first = {.fault = &k->backend.fault};
	int r = kernel_send_log(k, log);

	if (r >= 0)
		return 0;
	vhi_first_note(&first, r);
	(void)kernel_send_log(k, k->log);
	return vhi_first_end(&first);
}

int kernel_set_log_base(struct vh_backend *b, const struct vh_log_area *area,
			int fd)
{
	struct kernel *k = kernel_of(b);
	struct vh_dirty_log *log = NULL;
	int r = 0;

	if (fd < 0 && k->features & VH_F_LOG_ALL)
		return vhi_fault(&b->fault, VH_FAULT_CALLER, -EBUSY, NULL,
				 "F_LOG_ALL is still negotiated");
	if (fd >= 0)
		r = vh_dirty_log_new(fd, area->offset, area->size, &b->fault,
				     &log);
	if (r >= 0)
		r = check_new_log(k, log);
	if (r >= 0)
		r = replace_log(k, log);
	if (r < 0) {
		vh_dirty_log_unref(log);
		return r;
	}
	vh_dirty_log_unref(k->log);
	k->log = log;
	return 0;
}

int kernel_set_log_fd(struct vh_backend *b, int fd)
{
	int arg = fd < 0 ? -1 : fd;
	int r = vhi_node_call(&kernel_of(b)->node, VHI_SET_LOG_FD, &arg);

	return r < 0 ? r : 0;
}
