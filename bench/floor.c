/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "floor.h"
#include "measure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct device floor_device(const struct ring *ring)
{
	const struct setting *setting = ring->setting;
	struct floor *floor =
	    aligned_alloc(_Alignof(struct floor), sizeof(*floor));
	char *base = ring->space->base;
	bool packed = setting->packed;

	if (!floor)
		die("floor", ENOMEM);
	memset(floor, 0, sizeof(*floor));
	floor->delta = base;
	floor->descriptors = (void *)(base + ring->descriptors);
	floor->available = (void *)(base + ring->available);
	floor->used = (void *)(base + ring->used);
	floor->avail_wrap = true;
	floor->used_flags = FLOOR_USED_FLAGS;
	floor->log_words = ring->space->log_words;
	floor->ring_page =
	    (packed ? ring->descriptors : ring->used) / VH_DIRTY_LOG_PAGE;
	return (struct device){
	    .user = floor,
	    .run = (packed ? floor_packed
			   : floor_split)[setting->in_order][setting->log],
	    .pending = packed ? floor_packed_pending : floor_split_pending,
	    .free = free,
	};
}
