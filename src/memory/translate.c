/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Looking into a map. */
#include <base/check.h>
#include <errno.h>
#include <memory/translate.h>

#include "map.h"

/*
 * A guest address below the first region wraps the difference, and that is
 * no less than the region's size since base + size doesn't wrap.
 */
bool vhi_memory_find(const struct vh_memory *memory, vh_gpa guest,
		     struct vhi_hit *hit)
{
	unsigned int at = vhi_map_search(memory, guest);

	if (memory->count == 0 ||
	    guest - memory->bases[at] >= memory->sizes[at])
		return false;
	hit->base = memory->bases[at];
	hit->size = memory->sizes[at];
	hit->host = memory->hosts[at];
	hit->guest = hit->base;
	hit->access = VH_ACCESS_READ | VH_ACCESS_WRITE;
	if (__builtin_expect(memory->accesses != NULL, 0)) {
		hit->guest = memory->guests[at];
		hit->access = memory->accesses[at];
	}
	return true;
}

unsigned int vh_memory_count(const struct vh_memory *memory)
{
	return memory->count;
}

int vh_memory_region(const struct vh_memory *memory, unsigned int index,
		     struct vh_region *ret_region)
{
	if (index >= memory->count)
		return -ENOENT;
	*ret_region = (struct vh_region){
	    .guest = memory->bases[index],
	    .size = memory->sizes[index],
	    .user = memory->rest[index].user,
	    .fd_offset = memory->rest[index].fd_offset,
	    .fd = -1,
	};
	return 0;
}

void *vh_memory_at(const struct vh_memory *memory, vh_gpa guest, uint64_t size)
{
	struct vhi_hit hit = {0};

	return size ? vhi_translate(memory, &hit, guest, size) : NULL;
}

int vh_memory_user_to_guest(const struct vh_memory *memory,
			    struct vh_user_addr user, uint64_t size,
			    vh_gpa *ret_guest)
{
	for (unsigned int i = 0; size > 0 && i < memory->count; i++) {
		uint64_t base = memory->rest[i].user.raw;

		if (!vhi_range_inside(user.raw, size, base, memory->sizes[i]))
			continue;
		*ret_guest = memory->bases[i] + (user.raw - base);
		return 0;
	}
	return -EFAULT;
}

int vh_memory_guest_to_user(const struct vh_memory *memory, vh_gpa guest,
			    uint64_t size, struct vh_user_addr *ret_user)
{
	unsigned int at = vhi_map_search(memory, guest);

	if (size == 0 || at >= memory->count ||
	    !vhi_range_inside(guest, size, memory->bases[at],
			      memory->sizes[at]))
		return -EFAULT;
	ret_user->raw = memory->rest[at].user.raw + (guest - memory->bases[at]);
	return 0;
}
