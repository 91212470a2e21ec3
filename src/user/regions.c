/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The only place that knows front-end addresses on this side of the wire. */
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int make_room(struct vhi_user_regions *regions)
{
	if (!regions->list)
		regions->list =
		    calloc(VH_MEMORY_MAX_REGIONS, sizeof(regions->list[0]));
	return regions->list ? 0 : -ENOMEM;
}

int vhi_regions_set(struct vhi_user_regions *regions,
		    const struct vh_region list[], unsigned int count)
{
	int r = make_room(regions);

	if (r < 0)
		return r;
	memcpy(regions->list, list, count * sizeof(list[0]));
	regions->count = count;
	return 0;
}

int vhi_regions_add(struct vhi_user_regions *regions,
		    const struct vh_region *region)
{
	int r = make_room(regions);

	if (r < 0)
		return r;
	if (regions->count == VH_MEMORY_MAX_REGIONS)
		return -ENOSPC;
	regions->list[regions->count++] = *region;
	return 0;
}

void vhi_regions_remove(struct vhi_user_regions *regions,
			const struct vh_region *region)
{
	for (unsigned int i = 0; i < regions->count; i++) {
		const struct vh_region *r = &regions->list[i];

		if (r->guest != region->guest || r->size != region->size ||
		    r->user.raw != region->user.raw)
			continue;
		regions->list[i] = regions->list[--regions->count];
		return;
	}
}

void vhi_regions_free(struct vhi_user_regions *regions)
{
	free(regions->list);
	*regions = (struct vhi_user_regions){0};
}

uint64_t vhi_regions_to_guest(const struct vhi_user_regions *regions,
			      struct vh_user_addr user, vh_gpa *ret_guest)
{
	for (unsigned int i = 0; i < regions->count; i++) {
		const struct vh_region *r = &regions->list[i];

		if (user.raw < r->user.raw || user.raw - r->user.raw >= r->size)
			continue;
		*ret_guest = r->guest + (user.raw - r->user.raw);
		return r->size - (user.raw - r->user.raw);
	}
	return 0;
}
