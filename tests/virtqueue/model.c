/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "model.h"
#include <string.h>

struct entry {
	uint64_t address;
	uint32_t length;
	unsigned int flags;
	unsigned int next;
};

/* How many bytes from guest on lie in its region; 0 if it is in none. */
static uint64_t bytes_here(const struct model *model, vh_gpa guest)
{
	for (unsigned int i = 0; i < BOX_REGIONS; i++) {
		struct vh_region region = box_region(model->box, i);
		uint64_t last = region.guest + (region.size - 1);

		if (guest >= region.guest && guest <= last)
			return last - guest + 1;
	}
	return 0;
}

static bool all_mapped(const struct model *model, vh_gpa guest, uint64_t length)
{
	while (length) {
		uint64_t here = bytes_here(model, guest);

		if (!here)
			return false;
		if (here >= length)
			return true;
		length -= here;
		if (guest + here < guest) /* the end of all addresses */
			return false;
		guest += here;
	}
	return true;
}

static uint64_t number(const struct model *model, vh_gpa guest,
		       unsigned int bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes; i++)
		value |= (uint64_t) * (uint8_t *)box_host(model->box, guest + i)
			 << 8 * i;
	return value;
}

static struct entry read_entry(const struct model *model, vh_gpa table,
			       unsigned int index)
{
	vh_gpa at = table + 16 * (uint64_t)index;

	return (struct entry){
	    .address = number(model, at, 8),
	    .length = (uint32_t)number(model, at + 8, 4),
	    .flags = (unsigned int)number(model, at + 12, 2),
	    .next = (unsigned int)number(model, at + 14, 2),
	};
}

static bool add_buffer(const struct model *model, struct model_chain *chain,
		       const struct entry *entry)
{
	vh_gpa guest = entry->address;
	uint64_t left = entry->length;

	if (!all_mapped(model, guest, left))
		return false;
	while (left) {
		uint64_t here = bytes_here(model, guest);

		if (here > left)
			here = left;
		if (chain->count == model->max_pieces)
			return false;
		chain->pieces[chain->count].guest = guest;
		chain->pieces[chain->count].length = here;
		chain->count++;
		guest += here;
		left -= here;
	}
	return true;
}

static bool good_table(const struct model *model, const struct entry *entry)
{
	return model->indirect && !(entry->flags & F_NEXT) &&
	       entry->length > 0 && entry->length % 16 == 0 &&
	       all_mapped(model, entry->address, entry->length);
}

static bool read_chain(const struct model *model, unsigned int head,
		       struct model_chain *chain)
{
	vh_gpa table = BOX_DESCRIPTORS;
	uint64_t entries = model->num;
	unsigned int index = head;
	bool in_table = false, writing = false;

	memset(chain, 0, sizeof(*chain));
	chain->head = head;
	for (;;) {
		struct entry entry = read_entry(model, table, index);

		if (entry.flags & F_INDIRECT) {
			if (in_table || !good_table(model, &entry))
				return false;
			in_table = true;
			table = entry.address;
			entries = entry.length / 16;
			index = 0;
			continue;
		}
		if (++chain->descriptors > model->num)
			return false;
		if (entry.flags & F_WRITE) {
			writing = true;
		} else {
			if (writing)
				return false;
			chain->readable_size += entry.length;
		}
		chain->size += entry.length;
		if (chain->size > UINT32_MAX ||
		    !add_buffer(model, chain, &entry))
			return false;
		if (!writing)
			chain->readable_count = chain->count;
		if (!(entry.flags & F_NEXT))
			return true;
		if (entry.next >= entries)
			return false;
		index = entry.next;
	}
}

void model_start(struct model *model, const struct box *box,
		 unsigned int max_segments, uint16_t base)
{
	memset(model, 0, sizeof(*model));
	model->box = box;
	model->num = box->num;
	model->max_pieces =
	    max_segments ? max_segments : box->num + VH_MEMORY_MAX_REGIONS;
	model->indirect = box->features & BOX_INDIRECT;
	model->event_idx = box->features & BOX_EVENT_IDX;
	model->avail_next = base;
	model->used_next = (uint16_t)number(model, BOX_USED + 2, 2);
	model->used_shown = model->used_next;
}

int model_pop(struct model *model, struct model_chain *chain)
{
	uint16_t index = (uint16_t)number(model, BOX_AVAIL + 2, 2);
	uint16_t there = (uint16_t)(index - model->avail_next);
	unsigned int head;

	if (!there)
		return 0;
	if (there > model->num)
		return -1;
	head = (unsigned int)number(
	    model, BOX_AVAIL + 4 + 2 * (model->avail_next % model->num), 2);
	if (head >= model->num || model->inflight[head] ||
	    !read_chain(model, head, chain))
		return -1;
	model->avail_next++;
	model->inflight[head] = true;
	model->writable[head] = (uint32_t)(chain->size - chain->readable_size);
	return 1;
}

void model_push(struct model *model, unsigned int head, uint32_t written)
{
	if (written > model->writable[head])
		written = model->writable[head];
	model->inflight[head] = false;
	model->staged_id[model->used_next] = head;
	model->staged_length[model->used_next] = written;
	model->used_next++;
}

int model_publish(struct model *model)
{
	uint16_t event = (uint16_t)number(
	    model, BOX_AVAIL + 4 + 2 * (uint64_t)model->num, 2);
	bool no_interrupt = number(model, BOX_AVAIL, 2) & 1;
	bool reached = false;

	if (model->used_next == model->used_shown)
		return 0;
	for (uint16_t i = model->used_shown; i != model->used_next; i++)
		reached |= i == event;
	if (!model->event_idx)
		return !no_interrupt;
	reached |= !model->shown_once;
	model->shown_once = true;
	return reached;
}

void model_check_used(struct model *model)
{
	assert_int_equal(box_used_index(model->box), model->used_next);
	for (; model->used_shown != model->used_next; model->used_shown++) {
		uint16_t i = model->used_shown;

		/* Overwritten by a later one, if there were more than num. */
		if ((uint16_t)(model->used_next - i) > model->num)
			continue;
		assert_int_equal(box_used_id(model->box, i),
				 model->staged_id[i]);
		assert_int_equal(box_used_length(model->box, i),
				 model->staged_length[i]);
	}
}
