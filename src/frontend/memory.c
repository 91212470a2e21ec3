/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The guest's memory. What changes is told to the back-end, and nothing else:
 * first the regions that go, then those that come, and if one of these steps
 * fails, the earlier ones back in reverse.
 */
#include "frontend.h"

#include <base/check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static unsigned long long hex(uint64_t number)
{
	return number;
}

static void close_regions(struct memory_list *list)
{
	for (unsigned int i = 0; i < list->count; i++)
		vhi_fd_close(&list->regions[i].region.fd);
	free(list->regions);
	*list = (struct memory_list){0};
}

void vhi_frontend_drop_memory(struct vh_frontend *f)
{
	close_regions(&f->memory);
}

void *vhi_frontend_at(const struct memory_list *list, vh_gpa guest,
		      uint64_t size)
{
	for (unsigned int i = 0; i < list->count; i++) {
		const struct vh_region *region = &list->regions[i].region;

		if (vhi_range_inside(guest, size, region->guest, region->size))
			return (char *)(uintptr_t)region->user.raw +
			       (guest - region->guest);
	}
	return NULL;
}

static int check_region(struct vh_frontend *f, const struct vh_region *region)
{
	if (vhi_range_wraps(region->guest, region->size) ||
	    vhi_range_wraps(region->user.raw, region->size))
		return vhi_frontend_refuse(
		    f, VH_FAULT_MEM_REGION, -EINVAL, VH_FAULT_NO_QUEUE,
		    "set_memory: a region of 0x%llx bytes at 0x%llx, user "
		    "0x%llx, is empty or wraps",
		    hex(region->size), hex(region->guest),
		    hex(region->user.raw));
	return 0;
}

static bool overlap(const struct vh_region *a, const struct vh_region *b)
{
	return vhi_ranges_overlap(a->guest, a->size, b->guest, b->size) ||
	       vhi_ranges_overlap(a->user.raw, a->size, b->user.raw, b->size);
}

static int check_regions(struct vh_frontend *f,
			 const struct vh_region regions[], unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		int r = check_region(f, &regions[i]);

		if (r < 0)
			return r;
		for (unsigned int j = 0; j < i; j++)
			if (overlap(&regions[i], &regions[j]))
				return vhi_frontend_refuse(
				    f, VH_FAULT_MEM_OVERLAP, -EEXIST,
				    VH_FAULT_NO_QUEUE,
				    "set_memory: the region at 0x%llx overlaps "
				    "that at 0x%llx, in guest or user "
				    "addresses",
				    hex(regions[i].guest),
				    hex(regions[j].guest));
	}
	return 0;
}

/* A back-end without this request says so when it has enough. */
static int check_slots(struct vh_frontend *f, unsigned int count)
{
	uint32_t slots;
	int r;

	if (f->gone)
		return 0;
	r = vh_backend_get_max_mem_slots(f->backend, &slots);
	if (r == -EOPNOTSUPP)
		return 0;
	if (r < 0)
		return vhi_frontend_failed(f, "set_memory", "get_max_mem_slots",
					   VH_FAULT_NO_QUEUE, r);
	if (count > slots)
		return vhi_frontend_refuse(
		    f, VH_FAULT_MEM_SLOTS, -ENOSPC, VH_FAULT_NO_QUEUE,
		    "set_memory: %u regions, the back-end takes %u", count,
		    slots);
	return 0;
}

static int hold(struct held_region *held, const struct vh_region *region)
{
	struct stat st = {0};

	*held = (struct held_region){.region = *region};
	if (region->fd < 0)
		return 0;
	if (fstat(region->fd, &st) < 0)
		return -errno;
	held->device = st.st_dev;
	held->inode = st.st_ino;
	held->region.fd = vhi_fd_dup(region->fd);
	return held->region.fd < 0 ? held->region.fd : 0;
}

static int make_list(struct vh_frontend *f, const struct vh_region regions[],
		     unsigned int count, struct memory_list *list)
{
	int r = 0;

	*list = (struct memory_list){0};
	list->regions = calloc(count ? count : 1, sizeof(*list->regions));
	if (!list->regions)
		r = -ENOMEM;
	for (unsigned int i = 0; r == 0 && i < count; i++) {
		r = hold(&list->regions[i], &regions[i]);
		if (r == 0)
			list->count++;
	}
	if (r == 0)
		return 0;
	close_regions(list);
	return vhi_frontend_refuse(f, VH_FAULT_SYSTEM, r, VH_FAULT_NO_QUEUE,
				   "set_memory: a region's descriptor can't be "
				   "kept: error %d",
				   -r);
}

static bool same(const struct held_region *a, const struct held_region *b)
{
	return a->region.guest == b->region.guest &&
	       a->region.size == b->region.size &&
	       a->region.user.raw == b->region.user.raw &&
	       a->region.fd_offset == b->region.fd_offset &&
	       (a->region.fd < 0) == (b->region.fd < 0) &&
	       a->device == b->device && a->inode == b->inode;
}

static bool has(const struct memory_list *list, const struct held_region *held)
{
	for (unsigned int i = 0; i < list->count; i++)
		if (same(&list->regions[i], held))
			return true;
	return false;
}

static int add(struct vh_frontend *f, struct held_region *held)
{
	int r = vh_backend_add_region(f->backend, &held->region);

	held->here = r >= 0;
	return r;
}

static int take(struct vh_frontend *f, struct held_region *held)
{
	int r = vh_backend_remove_region(f->backend, &held->region);

	held->here = r < 0;
	return r;
}

/* What goes of the old list and what comes with the new one. */
static int change(struct vh_frontend *f, struct memory_list *old,
		  struct memory_list *new, const char **ret_op)
{
	int r = 0;

	*ret_op = "remove_region";
	for (unsigned int i = 0; r == 0 && i < old->count; i++)
		if (!has(new, &old->regions[i]))
			r = take(f, &old->regions[i]);
	if (r < 0)
		return r;
	*ret_op = "add_region";
	for (unsigned int i = 0; r == 0 && i < new->count; i++) {
		if (has(old, &new->regions[i]))
			new->regions[i].here = true;
		else
			r = add(f, &new->regions[i]);
	}
	return r;
}

/*
 * Makes it as it was, as far as the back-end can: what it can't take back is
 * not in its map any more, and isn't in our list.
 */
static void change_back(struct vh_frontend *f, struct memory_list *old,
			struct memory_list *new)
{
	unsigned int count = 0;
	int r = 0;

	for (unsigned int i = new->count; r != -ENODEV &&i-- > 0;)
		if (new->regions[i].here && !has(old, &new->regions[i]))
			r = take(f, &new->regions[i]);
	for (unsigned int i = old->count; r != -ENODEV && i-- > 0;)
		if (!old->regions[i].here)
			r = add(f, &old->regions[i]);
	if (r == -ENODEV)
		return; /* all of it counts, for the next back-end */
	for (unsigned int i = 0; i < old->count; i++) {
		if (old->regions[i].here)
			old->regions[count++] = old->regions[i];
		else
			vhi_fd_close(&old->regions[i].region.fd);
	}
	old->count = count;
}

/* An empty one isn't sent: it is more than some back-ends survive. */
static int send_table(struct vh_frontend *f, struct memory_list *list)
{
	struct vh_region *table;
	int r;

	if (list->count == 0)
		return 0;
	table = calloc(list->count, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (unsigned int i = 0; i < list->count; i++)
		table[i] = list->regions[i].region;
	r = vh_backend_set_mem_table(f->backend, table, list->count);
	free(table);
	for (unsigned int i = 0; r >= 0 && i < list->count; i++)
		list->regions[i].here = true;
	return r;
}

int vhi_frontend_send_memory(struct vh_frontend *f, const char *step)
{
	struct memory_list none = {0};
	const char *op = "set_mem_table";
	int r;

	for (unsigned int i = 0; i < f->memory.count; i++)
		f->memory.regions[i].here = false;
	if (vhi_frontend_has(f, VH_CAP_REGIONS))
		r = change(f, &none, &f->memory, &op);
	else
		r = send_table(f, &f->memory);
	return r < 0 ? vhi_frontend_failed(f, step, op, VH_FAULT_NO_QUEUE, r)
		     : 0;
}

/*
 * A table is exchanged at once, and rings in it go on if they are where they
 * were in our address space, which is how the back-end knows them.
 */
static bool stays(const struct vh_frontend *f, const struct part *part,
		  const struct held_region *held, const struct memory_list *new)
{
	return vhi_frontend_has(f, VH_CAP_REGIONS)
		   ? has(&f->memory, held)
		   : vhi_frontend_at(&f->memory, part->at, part->size) ==
			 vhi_frontend_at(new, part->at, part->size);
}

/* A ring that runs must be there all the time. */
static int check_part(struct vh_frontend *f, uint32_t queue,
		      const struct part *part, const struct memory_list *new)
{
	for (unsigned int i = 0; i < new->count; i++) {
		const struct held_region *held = &new->regions[i];

		if (!vhi_range_inside(part->at, part->size, held->region.guest,
				      held->region.size))
			continue;
		if (stays(f, part, held, new))
			return 0;
		return vhi_frontend_refuse(
		    f, VH_FAULT_MSG_STATE, -EBUSY, queue,
		    "set_memory: the %s of queue %u, which is started, is in "
		    "the region at 0x%llx, which changes",
		    part->name, queue, hex(held->region.guest));
	}
	return vhi_frontend_refuse(
	    f, VH_FAULT_RING_ADDR, -EFAULT, queue,
	    "set_memory: the %s of queue %u, which is "
	    "started, 0x%llx bytes at 0x%llx, is in none "
	    "of the regions",
	    part->name, queue, hex(part->size), hex(part->at));
}

static int check_rings(struct vh_frontend *f, const struct memory_list *new)
{
	struct part parts[RING_PARTS];
	int r = 0;

	for (uint32_t q = 0; q < f->opts.num_queues; q++) {
		if (!f->rings[q].running || vhi_frontend_has_iommu(f))
			continue;
		vhi_frontend_parts(f, &f->rings[q], parts);
		for (int i = 0; r == 0 && i < RING_PARTS; i++)
			r = check_part(f, q, &parts[i], new);
	}
	return r;
}

static int apply(struct vh_frontend *f, struct memory_list *new)
{
	const char *op = "set_mem_table";
	int r;

	for (unsigned int i = 0; i < f->memory.count; i++)
		f->memory.regions[i].here = true;
	if (vhi_frontend_has(f, VH_CAP_REGIONS))
		r = change(f, &f->memory, new, &op);
	else
		r = send_table(f, new);
	if (r < 0)
		vhi_frontend_failed(f, "set_memory", op, VH_FAULT_NO_QUEUE, r);
	/* A new back-end will get all of it. */
	if (r >= 0 || f->gone)
		return 0;
	if (vhi_frontend_has(f, VH_CAP_REGIONS))
		change_back(f, &f->memory, new);
	return r;
}

int vh_frontend_set_memory(struct vh_frontend *frontend,
			   const struct vh_region regions[], unsigned int count)
{
	struct vh_frontend *f = frontend;
	struct memory_list new;
	int r;

	vhi_fault_clear(&f->fault);
	r = check_regions(f, regions, count);
	if (r < 0)
		return r;
	r = check_slots(f, count);
	if (r < 0 && !f->gone)
		return r;
	r = make_list(f, regions, count, &new);
	if (r < 0)
		return r;
	r = check_rings(f, &new);
	if (r == 0 && !f->gone)
		r = apply(f, &new);
	if (r < 0) {
		close_regions(&new);
		return r;
	}
	close_regions(&f->memory);
	f->memory = new;
	vhi_fault_clear(&f->fault);
	return 0;
}
