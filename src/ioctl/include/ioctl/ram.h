/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The regions of guest memory that a driver of the kernel was told, and where
 * this process sees them. A region with a descriptor is mapped here, so that
 * it makes no difference whose address region.user is, and is sure to be a
 * shared mapping; one without is memory of this process, at region.user. A
 * table is a value: a change makes a new one, and mappings go with the last
 * that has them.
 */
#ifndef IOCTL_RAM_H
#define IOCTL_RAM_H

#include <libvhost/memory.h>

struct vhi_ram_region {
	struct vh_region region; /* fd is -1 */
	char *host;
	struct vh_memory *map; /* NULL: this process's own memory */
};

struct vhi_ram {
	struct vhi_ram_region *regions;
	unsigned int count;
};

/* What a driver wants of regions. */
struct vhi_ram_rules {
	uint32_t max;
	uint64_t align; /* of all addresses and sizes */
	bool shared;	/* a descriptor is a must */
	vh_gpa first;	/* first and last address that can be */
	vh_gpa last;
};

/*
 * Makes a table of old's regions and count more. Errors are those of
 * vh_memory_add(), and -EINVAL for what breaks a rule.
 */
int vhi_ram_add(const struct vhi_ram *old, const struct vh_region regions[],
		unsigned int count, const struct vhi_ram_rules *rules,
		struct vh_fault *fault, struct vhi_ram *ret);

/* Makes a table without a region; ret_index is where old has it. -ENOENT. */
int vhi_ram_remove(const struct vhi_ram *old, const struct vh_region *region,
		   struct vh_fault *fault, struct vhi_ram *ret,
		   unsigned int *ret_index);

void vhi_ram_done(struct vhi_ram *ram);

/* Where this process sees size bytes in one region; NULL: nowhere. */
void *vhi_ram_at(const struct vhi_ram *ram, vh_gpa guest, uint64_t size);

/* -EINVAL: an entry that can't be; -EFAULT: it leads outside. */
int vhi_ram_check_entry(const struct vhi_ram *ram,
			const struct vh_iotlb_entry *entry,
			struct vh_fault *fault);

/*
 * Takes the first part of an entry, as far as it lies in one region, off
 * *left. The result is where this process sees it; NULL: nowhere.
 */
void *vhi_ram_take_part(const struct vhi_ram *ram, struct vh_iotlb_entry *left,
			struct vh_iotlb_entry *ret_part);

#endif
