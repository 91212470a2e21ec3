/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The device side of a packed ring. */
#include "model.h"

int model_packed_find(const struct model *model, struct model_chain *chain)
{
	const struct model_ring *ring = &model->ring;

	if (!model_slot_available(ring, model->avail_place))
		return 0;
	if (!model_read_chain(ring, model->avail_place.slot, model->max_pieces,
			      chain) ||
	    chain->head >= ring->num || model->requests[chain->head].busy)
		return -1;
	/* No driver can have so many: they aren't its own any more. */
	if (model->slots_out + chain->slots > ring->num)
		return -1;
	return 1;
}

/* The address that the driver left there has no meaning any more. */
void model_packed_show(struct model *model, const struct model_used *entry,
		       unsigned int slots)
{
	uint64_t at = UINT64_C(16) * model->used_place.slot;
	unsigned int flags = 0;

	if (model->used_place.wrap)
		flags |= F_AVAIL | F_USED;
	if (entry->written)
		flags |= F_WRITE;
	model_write(model, MODEL_DESCRIPTORS, at + 8, entry->written, 4);
	model_write(model, MODEL_DESCRIPTORS, at + 12, entry->id, 2);
	model_write(model, MODEL_DESCRIPTORS, at + 14, flags, 2);
	model_advance(&model->ring, &model->used_place, slots);
}

bool model_packed_end_show(struct model *model)
{
	struct model_place from = model->used_place_shown;

	model->used_place_shown = model->used_place;
	return model_packed_wants_event(&model->ring, model->ring.available,
					from, model->used_place);
}

void model_packed_kick(struct model *model, bool enable)
{
	unsigned int place = model->avail_place.slot |
			     (unsigned int)model->avail_place.wrap << 15;

	if (!enable) {
		model_write(model, MODEL_USED, 2, EVENT_DISABLE, 2);
	} else if (!model->ring.event_idx) {
		model_write(model, MODEL_USED, 2, EVENT_ENABLE, 2);
	} else {
		model_write(model, MODEL_USED, 0, place, 2);
		model_write(model, MODEL_USED, 2, EVENT_DESC, 2);
	}
}
