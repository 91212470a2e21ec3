/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "either.h"
#include <string.h>

void either_open_memory(struct either *e, bool packed, uint64_t features)
{
	memset(e, 0, sizeof(*e));
	packed_open_memory(&e->p, &(struct packed_opts){.num = EITHER_NUM,
							.features = features});
	e->box = &e->p.box;
	e->packed = packed;
	if (!packed)
		e->box->features &= ~BOX_PACKED;
}

struct vh_virtqueue_opts either_opts(const struct either *e)
{
	struct vh_virtqueue_opts opts = box_queue_opts(e->box);

	opts.base = e->packed ? PACKED_BASE(0, 1, 0, 1) : 0;
	return opts;
}

int either_try(struct either *e, const struct vh_virtqueue_opts *opts,
	       struct vh_memory *memory, struct vh_fault *fault)
{
	return vh_virtqueue_new(opts, memory, fault, &e->box->queue);
}

void either_open(struct either *e, bool packed, uint64_t features)
{
	struct vh_virtqueue_opts opts;

	either_open_memory(e, packed, features);
	opts = either_opts(e);
	assert_int_equal(either_try(e, &opts, e->box->memory, NULL), 0);
}

void either_send(struct either *e, unsigned int id,
		 const struct buffer buffers[], unsigned int count)
{
	assert_true(id < EITHER_IDS && count <= EITHER_MOST);
	assert_true(e->order_count < EITHER_IDS);
	e->order[e->order_count++] = id;
	e->descriptors[id] = count;
	for (unsigned int i = 0; i < count; i++) {
		unsigned int flags =
		    buffers[i].flags | (i + 1 < count ? F_NEXT : 0);

		if (e->packed)
			packed_send(&e->p, id, buffers[i].address,
				    buffers[i].length, flags);
		else
			box_descriptor(e->box, EITHER_MOST * id + i,
				       buffers[i].address, buffers[i].length,
				       flags, EITHER_MOST * id + i + 1);
	}
	if (!e->packed)
		box_send(e->box, EITHER_MOST * id);
}

void either_send_one(struct either *e, unsigned int id, vh_gpa address,
		     uint32_t length, unsigned int flags)
{
	either_send(e, id, &(struct buffer){address, length, flags}, 1);
}

unsigned int either_id(const struct either *e, const struct vh_chain *chain)
{
	return e->packed ? chain->head : chain->head / EITHER_MOST;
}

struct vh_chain *either_pop(struct either *e, unsigned int id)
{
	struct vh_chain *chain = box_pop(e->box);

	assert_int_equal(either_id(e, chain), id);
	return chain;
}

/* Takes what was sent up to id, or it alone, off the list. */
static unsigned int take_off(struct either *e, unsigned int id,
			     unsigned int *ret_descriptors)
{
	bool in_order = e->box->features & BOX_IN_ORDER;
	unsigned int at = 0, first, count;

	while (at < e->order_count && e->order[at] != id)
		at++;
	assert_true(at < e->order_count);
	first = in_order ? 0 : at;
	count = at + 1 - first;
	*ret_descriptors = 0;
	for (unsigned int i = first; i <= at; i++)
		*ret_descriptors += e->descriptors[e->order[i]];
	e->order_count -= count;
	memmove(&e->order[first], &e->order[first + count],
		(e->order_count - first) * sizeof(e->order[0]));
	return count;
}

static unsigned int collect_split(struct either *e, unsigned int *ret_id,
				  uint32_t *ret_written)
{
	unsigned int count, descriptors;

	if (box_used_index(e->box) == e->used)
		return 0;
	*ret_id = box_used_id(e->box, e->used) / EITHER_MOST;
	*ret_written = box_used_length(e->box, e->used);
	count = take_off(e, *ret_id, &descriptors);
	e->used = (uint16_t)(e->used + count);
	return count;
}

static unsigned int collect_packed(struct either *e, unsigned int *ret_id,
				   uint32_t *ret_written)
{
	struct packed_box *p = &e->p;
	const uint32_t *words =
	    box_host(e->box, BOX_DESCRIPTORS + 16 * (vh_gpa)p->used);
	unsigned int both = F_AVAIL | F_USED;
	unsigned int count, descriptors;

	if ((packed_flags(p, p->used) & both) != (p->used_wrap ? both : 0))
		return 0;
	*ret_id = words[3] & 0xffff;
	*ret_written = packed_flags(p, p->used) & F_WRITE ? words[2] : 0;
	count = take_off(e, *ret_id, &descriptors);
	packed_expect_used(p, *ret_id, *ret_written, descriptors);
	return count;
}

unsigned int either_collect(struct either *e, unsigned int *ret_id,
			    uint32_t *ret_written)
{
	return e->packed ? collect_packed(e, ret_id, ret_written)
			 : collect_split(e, ret_id, ret_written);
}

void either_expect(struct either *e, unsigned int id, uint32_t written)
{
	uint32_t used_written;
	unsigned int used_id;

	assert_int_equal(either_collect(e, &used_id, &used_written), 1);
	assert_int_equal(used_id, id);
	assert_int_equal(used_written, written);
}

void either_expect_none(struct either *e)
{
	uint32_t written;
	unsigned int id;

	assert_int_equal(either_collect(e, &id, &written), 0);
}
