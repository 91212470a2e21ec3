/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "model.h"
#include <string.h>

void model_start(struct model *model, const struct box *box,
		 const struct vh_virtqueue_opts *opts)
{
	memset(model, 0, offsetof(struct model, requests));
	memset(model->requests, 0, opts->num * sizeof(model->requests[0]));
	model->ring = model_ring(box, opts);
	model->max_pieces = opts->max_segments;
	if (!model->max_pieces)
		model->max_pieces = (opts->num > 1024 ? opts->num : 1024) +
				    VH_MEMORY_MAX_REGIONS;
	if (model->max_pieces > MODEL_PIECES)
		model->max_pieces = MODEL_PIECES;
	if (model->ring.packed) {
		model->avail_place.slot = opts->base & 0x7fff;
		model->avail_place.wrap = opts->base >> 15 & 1;
		model->used_place.slot = opts->base >> 16 & 0x7fff;
		model->used_place.wrap = opts->base >> 31;
		model->used_place_shown = model->used_place;
	} else {
		model->avail_next = (uint16_t)opts->base;
		model->avail_seen = model->avail_next;
		model->used_next =
		    (uint16_t)model_number(&model->ring, opts->used + 2, 2);
		model->used_shown = model->used_next;
	}
}

int model_pop(struct model *model, unsigned int max, struct model_chain *chain)
{
	struct model_request *request;
	unsigned int at;
	int found = model->ring.packed ? model_packed_find(model, chain)
				       : model_split_find(model, max, chain);

	if (found <= 0)
		return found;
	request = &model->requests[chain->head];
	request->busy = true;
	request->done = false;
	request->slots = chain->slots;
	request->writable = (uint32_t)(chain->size - chain->readable_size);
	model->slots_out += chain->slots;
	model->avail_next++;
	model_advance(&model->ring, &model->avail_place, chain->slots);
	if (model->ring.in_order) {
		at = (model->order_first + model->order_count++) % 32768;
		model->order[at] = chain->head;
	}
	return 1;
}

static void stage(struct model *model, unsigned int id)
{
	struct model_request *request = &model->requests[id];

	assert_true(model->staged_count < 65536);
	model->staged[model->staged_count++] = (struct model_used){
	    .id = id,
	    .slots = request->slots,
	    .writable = request->writable,
	    .written = request->written,
	};
	request->busy = false;
}

void model_push(struct model *model, unsigned int id, uint32_t written)
{
	struct model_request *request = &model->requests[id];

	assert_true(request->busy && !request->done);
	request->done = true;
	request->written =
	    written < request->writable ? written : request->writable;
	if (!model->ring.in_order) {
		stage(model, id);
		return;
	}
	while (model->order_count) {
		id = model->order[model->order_first];
		if (!model->requests[id].done)
			return;
		stage(model, id);
		model->order_first = (model->order_first + 1) % 32768;
		model->order_count--;
	}
}

/*
 * An entry for each chain; in order, one for the last of a run of chains of
 * which all others were written in full.
 */
static void show_staged(struct model *model)
{
	unsigned int chains = 0, slots = 0;

	for (unsigned int i = 0; i < model->staged_count; i++) {
		const struct model_used *entry = &model->staged[i];

		chains++;
		slots += entry->slots;
		model->slots_out -= entry->slots;
		if (model->ring.in_order && i + 1 < model->staged_count &&
		    entry->written == entry->writable)
			continue;
		if (model->ring.packed)
			model_packed_show(model, entry, slots);
		else
			model_split_show(model, entry, chains);
		model->entries++;
		chains = 0;
		slots = 0;
	}
}

int model_publish(struct model *model)
{
	bool wants, first = !model->shown_once;

	model->shown_count = model->staged_count;
	model->entries = 0;
	if (!model->staged_count)
		return 0;
	show_staged(model);
	model->staged_count = 0;
	model->shown_once = true;
	wants = model->ring.packed ? model_packed_end_show(model)
				   : model_split_end_show(model);
	/* Nobody knows what the driver was told before. */
	return wants || (first && model->ring.event_idx);
}

void model_enable_kick(struct model *model)
{
	if (model->ring.packed)
		model_packed_kick(model, true);
	else
		model_split_kick(model, true);
}

void model_disable_kick(struct model *model)
{
	if (model->ring.packed)
		model_packed_kick(model, false);
	else
		model_split_kick(model, false);
}

bool model_pending(const struct model *model)
{
	const struct model_ring *ring = &model->ring;

	if (ring->packed)
		return model_slot_available(ring, model->avail_place);
	return model_number(ring, ring->available + 2, 2) != model->avail_next;
}

uint32_t model_base(const struct model *model)
{
	if (!model->ring.packed)
		return model->avail_next;
	return model->avail_place.slot |
	       (uint32_t)model->avail_place.wrap << 15 |
	       model->used_place_shown.slot << 16 |
	       (uint32_t)model->used_place_shown.wrap << 31;
}

static vh_gpa area_at(const struct model_ring *ring, unsigned int area)
{
	if (area == MODEL_DESCRIPTORS)
		return ring->descriptors;
	return area == MODEL_AVAILABLE ? ring->available : ring->used;
}

static uint64_t area_size(const struct model_ring *ring, unsigned int area)
{
	if (area == MODEL_DESCRIPTORS)
		return model_descriptors_size(ring);
	return area == MODEL_AVAILABLE ? model_available_size(ring)
				       : model_used_size(ring);
}

void model_write(struct model *model, enum model_area area, uint64_t offset,
		 uint64_t value, unsigned int bytes)
{
	if (model->writes) {
		model_store(&model->ring, area_at(&model->ring, area) + offset,
			    value, bytes);
		return;
	}
	assert_true(model->write_count < MODEL_WRITES);
	model->writes_made[model->write_count].area = area;
	model->writes_made[model->write_count].offset = offset;
	model->writes_made[model->write_count].bytes = bytes;
	model->write_count++;
	for (unsigned int i = 0; i < bytes; i++)
		model->image[area][offset + i] = (uint8_t)(value >> 8 * i);
}

void model_look(struct model *model, bool whole)
{
	const struct model_ring *ring = &model->ring;

	model->write_count = 0;
	model->image_whole = whole || ring->num <= 256;
	for (unsigned int i = 0; i < 3 && model->image_whole; i++)
		memcpy(model->image[i], box_host(ring->box, area_at(ring, i)),
		       area_size(ring, i));
}

static void compare(const struct model *model, unsigned int area,
		    uint64_t offset, uint64_t bytes)
{
	const uint8_t *want = &model->image[area][offset];
	vh_gpa at = area_at(&model->ring, area) + offset;
	const uint8_t *have = box_host(model->ring.box, at);

	if (memcmp(want, have, bytes) == 0)
		return;
	while (*want == *have) {
		want++;
		have++;
		at++;
	}
	fail_msg("byte %llu of area %u is %u, not %u",
		 (unsigned long long)(at - area_at(&model->ring, area)), area,
		 *have, *want);
}

void model_compare(struct model *model)
{
	/* A place means nothing unless the flags say so. */
	if (model->ring.packed &&
	    model_number(&model->ring, model->ring.used + 2, 2) != EVENT_DESC)
		memcpy(model->image[MODEL_USED],
		       box_host(model->ring.box, model->ring.used), 2);
	for (unsigned int i = 0; i < 3 && model->image_whole; i++)
		compare(model, i, 0, area_size(&model->ring, i));
	for (unsigned int i = 0; i < model->write_count; i++)
		compare(model, model->writes_made[i].area,
			model->writes_made[i].offset,
			model->writes_made[i].bytes);
}

void model_compare_area(const struct model *model, enum model_area area)
{
	if (model->image_whole)
		compare(model, area, 0, area_size(&model->ring, area));
}
