/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Shelves. A count goes up relaxed, since whoever raises it holds a reference
 * already; it goes down with acquire and release, so that the last one sees
 * everything that the others did before they let go.
 */
#include <stdlib.h>
#include <string.h>

#include "mapping.h"

struct vhi_shelf *vhi_shelf_copy(const struct vhi_shelf *old)
{
	struct vhi_shelf *shelf = calloc(1, sizeof(*shelf));

	if (!shelf)
		return NULL;
	shelf->refs = 1;
	if (!old)
		return shelf;
	/* not *shelf = *old: the count of old changes under our eyes */
	shelf->used = old->used;
	memcpy(shelf->mappings, old->mappings, sizeof(shelf->mappings));
	for (unsigned int i = 0; i < VHI_SHELF_PLACES; i++)
		if (shelf->mappings[i])
			__atomic_add_fetch(&shelf->mappings[i]->refs, 1,
					   __ATOMIC_RELAXED);
	return shelf;
}

unsigned int vhi_shelf_put(struct vhi_shelf *shelf, struct vhi_mapping *mapping)
{
	unsigned int place = 0;

	while (shelf->mappings[place])
		place++;
	shelf->mappings[place] = mapping;
	shelf->used++;
	return place;
}

void vhi_shelf_take(struct vhi_shelf *shelf, unsigned int place)
{
	vhi_mapping_unref(shelf->mappings[place]);
	shelf->mappings[place] = NULL;
	shelf->used--;
}

struct vhi_shelf *vhi_shelf_ref(struct vhi_shelf *shelf)
{
	if (shelf)
		__atomic_add_fetch(&shelf->refs, 1, __ATOMIC_RELAXED);
	return shelf;
}

void vhi_shelf_unref(struct vhi_shelf *shelf)
{
	if (!shelf || __atomic_sub_fetch(&shelf->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (unsigned int i = 0; i < VHI_SHELF_PLACES; i++)
		if (shelf->mappings[i])
			vhi_mapping_unref(shelf->mappings[i]);
	free(shelf);
}
