/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The device side of a split ring. */
#include "model.h"

#define AVAIL_FLAGS 0
#define AVAIL_INDEX 2
#define AVAIL_RING  4
#define USED_FLAGS  0
#define USED_INDEX  2
#define USED_RING   4

/* The index is read if less is known than wanted. */
int model_split_find(struct model *model, unsigned int max,
		     struct model_chain *chain)
{
	const struct model_ring *ring = &model->ring;
	unsigned int head;

	if ((uint16_t)(model->avail_seen - model->avail_next) < max)
		model->avail_seen = (uint16_t)model_number(
		    ring, ring->available + AVAIL_INDEX, 2);
	if (model->avail_seen == model->avail_next)
		return 0;
	if ((uint16_t)(model->avail_seen - model->avail_next) > ring->num)
		return -1;
	head = (unsigned int)model_number(
	    ring,
	    ring->available + AVAIL_RING +
		UINT64_C(2) * (model->avail_next % ring->num),
	    2);
	if (head >= ring->num || model->requests[head].busy ||
	    !model_read_chain(ring, head, model->max_pieces, chain))
		return -1;
	return 1;
}

void model_split_show(struct model *model, const struct model_used *entry,
		      unsigned int chains)
{
	uint64_t at =
	    USED_RING + UINT64_C(8) * (model->used_next % model->ring.num);

	model_write(model, MODEL_USED, at, entry->id, 4);
	model_write(model, MODEL_USED, at + 4, entry->written, 4);
	model->used_next = (uint16_t)(model->used_next + chains);
}

bool model_split_end_show(struct model *model)
{
	const struct model_ring *ring = &model->ring;
	uint16_t from = model->used_shown;

	model_write(model, MODEL_USED, USED_INDEX, model->used_next, 2);
	model->used_shown = model->used_next;
	return model_split_wants_event(ring, ring->available + AVAIL_FLAGS,
				       ring->available + AVAIL_RING +
					   UINT64_C(2) * ring->num,
				       from, model->used_next);
}

void model_split_kick(struct model *model, bool enable)
{
	if (!model->ring.event_idx) {
		model_write(model, MODEL_USED, USED_FLAGS, !enable, 2);
		return;
	}
	/* There is no index that means never. */
	if (enable)
		model_write(model, MODEL_USED,
			    USED_RING + UINT64_C(8) * model->ring.num,
			    model->avail_next, 2);
}
