/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The device's deeds, of the queue under test and of the model. */
#include "device_vs_model.h"
#include <errno.h>

/* All of the ring is looked at, if it isn't too large for every time. */
static void look(struct test *t)
{
	model_look(&t->model, one_in(&t->rng, 200));
}

static void compare_chain(struct test *t, const struct vh_chain *chain,
			  const struct model_chain *expected)
{
	assert_int_equal(chain->head, expected->head);
	assert_int_equal(chain->descriptors, expected->descriptors);
	assert_int_equal(chain->readable_size, expected->readable_size);
	assert_int_equal(chain->writable_size,
			 expected->size - expected->readable_size);
	assert_int_equal(chain->readable_count, expected->readable_count);
	assert_int_equal(chain->writable_count,
			 expected->count - expected->readable_count);
	assert_null(chain->user);
	for (unsigned int i = 0; i < expected->count; i++) {
		const struct iovec *piece =
		    i < chain->readable_count
			? &chain->readable[i]
			: &chain->writable[i - chain->readable_count];

		box_expect_piece(&t->box, piece, expected->pieces[i].guest,
				 expected->pieces[i].length);
	}
}

/* What came out is what the driver meant, and not only what the model saw. */
static void compare_posted(struct test *t, unsigned int descriptors,
			   uint32_t readable_size, uint32_t writable_size)
{
	struct hand_posted posted;

	if (!t->tame)
		return;
	posted = hand_popped(&t->hand);
	assert_int_equal(descriptors, posted.descriptors);
	assert_int_equal(readable_size, posted.readable_size);
	assert_int_equal(writable_size, posted.writable_size);
}
void device_pops(struct test *t)
{
	static struct model_chain expected;
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	unsigned int max = rnd(&t->rng, VH_VIRTQUEUE_BURST + 8);
	unsigned int count = 0;
	int n, want = 1;

	look(t);
	n = vh_virtqueue_pop(t->box.queue, chains, max);
	if (max > VH_VIRTQUEUE_BURST)
		max = VH_VIRTQUEUE_BURST;
	while (count < max &&
	       (want = model_pop(&t->model, max - count, &expected)) > 0) {
		assert_true((int)count < n);
		compare_chain(t, chains[count], &expected);
		compare_posted(t, chains[count]->descriptors,
			       chains[count]->readable_size,
			       chains[count]->writable_size);
		dirty_popped(&t->dirty, &expected);
		t->logged[expected.head] = t->dirty.on;
		t->logged_count += t->dirty.on;
		t->taken[expected.head] = chains[count];
		t->ids[t->inflight++] = expected.head;
		count++;
	}
	t->chains += count;
	assert_int_equal(n, count || want >= 0 ? (int)count : -EPROTO);
	if (want < 0) {
		assert_non_null(vh_virtqueue_fault(t->box.queue));
		t->model.broken = true;
		return;
	}
	assert_null(vh_virtqueue_fault(t->box.queue));
	if (!t->model.staged_count)
		model_compare(&t->model);
}

static uint32_t some_written(struct test *t, uint32_t writable)
{
	switch (rnd(&t->rng, 6)) {
	case 0:
		return 0;
	case 1:
		return rnd(&t->rng, 100000);
	case 2:
	case 3:
		return writable ? rnd(&t->rng, writable) : 0;
	default:
		return writable;
	}
}

/* The next chain, which stays where it is. */
static int next_chain(struct test *t, unsigned int max,
		      struct model_chain *chain)
{
	return t->packed ? model_packed_find(&t->model, chain)
			 : model_split_find(&t->model, max, chain);
}

/* One buffer of some bytes in one region, in the ring itself. */
static bool is_buffer(const struct test *t, const struct model_chain *next)
{
	const struct model_ring *ring = &t->model.ring;
	unsigned int slot = t->packed ? t->model.avail_place.slot : next->head;
	vh_gpa flags = model_slot(ring, slot) + (t->packed ? 14 : 12);

	return next->descriptors == 1 && next->count == 1 &&
	       !(model_number(ring, flags, 2) & F_INDIRECT);
}

/* The device takes the next one and is done with it. */
static void model_passes(struct test *t, unsigned int max,
			 const struct vh_buffer *buffer, uint32_t *ret_written)
{
	static struct model_chain next;
	uint32_t readable, writable;

	assert_int_equal(next_chain(t, max, &next), 1);
	assert_true(is_buffer(t, &next));
	assert_int_equal(model_pop(&t->model, max, &next), 1);
	readable = (uint32_t)next.readable_size;
	writable = (uint32_t)next.size - readable;
	assert_int_equal(buffer->head, next.head);
	assert_int_equal(buffer->is_writable, writable > 0);
	box_expect_piece(&t->box, &(struct iovec){buffer->data, buffer->size},
			 next.pieces[0].guest, next.size);
	compare_posted(t, 1, readable, writable);
	*ret_written = some_written(t, writable);
	model_push(&t->model, next.head, *ret_written);
	t->buffers++;
}

/* There are none if nobody must overtake, or if each must be noted. */
static bool gives_buffers(const struct test *t)
{
	return !t->dirty.on && !t->logged_count &&
	       !(t->model.ring.in_order && t->model.order_count);
}

void device_pops_buffers(struct test *t)
{
	static struct model_chain next;
	struct vh_buffer buffers[VH_VIRTQUEUE_BURST];
	uint32_t written[VH_VIRTQUEUE_BURST];
	unsigned int max = rnd(&t->rng, VH_VIRTQUEUE_BURST + 8);
	int n;

	look(t);
	n = vh_virtqueue_pop_buffers(t->box.queue, buffers, max);
	if (max > VH_VIRTQUEUE_BURST)
		max = VH_VIRTQUEUE_BURST;
	if (!t->model.staged_count)
		model_compare(&t->model);
	if (n < 0) {
		assert_int_equal(n, -EPROTO);
		assert_int_equal(next_chain(t, max, &next), -1);
		t->model.broken = true;
		return;
	}
	assert_in_range(n, 0, gives_buffers(t) ? max : 0);
	for (int i = 0; i < n; i++)
		model_passes(t, max - (unsigned int)i, &buffers[i],
			     &written[i]);
	if (n < (int)max && gives_buffers(t) &&
	    next_chain(t, max - (unsigned int)n, &next) > 0)
		assert_false(is_buffer(t, &next));
	vh_virtqueue_push_buffers(t->box.queue, buffers, written,
				  (unsigned int)n);
}

static void model_pushes(struct test *t, unsigned int id, uint32_t written)
{
	model_push(&t->model, id, written);
	dirty_pushed(&t->dirty, id, t->model.requests[id].written);
	t->logged_count -= t->logged[id];
}

static void push_burst(struct test *t)
{
	if (t->burst_count == 1)
		vh_virtqueue_push(t->box.queue, t->burst[0],
				  t->burst_written[0]);
	else
		vh_virtqueue_push_many(t->box.queue, t->burst, t->burst_written,
				       t->burst_count);
	t->burst_count = 0;
}

static void push_one(struct test *t)
{
	unsigned int which = rnd(&t->rng, t->inflight), id;
	uint32_t written;

	/* In their order, more often than not. */
	id = t->ids[which];
	if (t->model.ring.in_order && !one_in(&t->rng, 3)) {
		for (which = 0; which < t->inflight; which++)
			if (t->ids[which] ==
			    t->model.order[t->model.order_first])
				break;
		if (which == t->inflight) /* it is on the list */
			which = 0;
		id = t->ids[which];
	}
	t->ids[which] = t->ids[--t->inflight];
	written = some_written(t, t->model.requests[id].writable);
	if (!one_in(&t->rng, 4)) {
		t->burst[t->burst_count] = t->taken[id];
		t->burst_written[t->burst_count++] = written;
		model_pushes(t, id, written);
		return;
	}
	assert_int_equal(
	    vh_virtqueue_push_remote(t->box.queue, t->taken[id], written),
	    !t->remote_count);
	t->remote[t->remote_count].id = id;
	t->remote[t->remote_count].written = written;
	t->remote_count++;
}

void device_pushes(struct test *t)
{
	unsigned int count = 1 + rnd(&t->rng, one_in(&t->rng, 8) ? 64 : 3);

	while (count-- && t->inflight) {
		push_one(t);
		if (one_in(&t->rng, 3))
			push_burst(t);
	}
	push_burst(t);
}

void device_takes_remote(struct test *t)
{
	assert_int_equal(vh_virtqueue_take_remote(t->box.queue),
			 t->remote_count);
	for (unsigned int i = 0; i < t->remote_count; i++)
		model_pushes(t, t->remote[i].id, t->remote[i].written);
	t->remote_count = 0;
}

void device_publishes(struct test *t)
{
	unsigned int at;
	int want;

	if (!one_in(&t->rng, 3))
		hand_sets_events(&t->hand);
	look(t);
	want = model_publish(&t->model);
	assert_int_equal(vh_virtqueue_publish(t->box.queue), want);
	if (t->packed && t->overwritten)
		model_compare_area(&t->model, MODEL_USED);
	else
		model_compare(&t->model);
	t->overwritten = false;
	dirty_published(&t->dirty, &t->model);
	if (t->model.shown_count)
		dirty_check(&t->dirty);
	t->merged += t->model.shown_count - t->model.entries;
	for (unsigned int i = 0; t->tame && i < t->model.shown_count; i++) {
		at = (t->shown_first + t->shown_count++) % 32768;
		t->shown[at].id = t->model.staged[i].id;
		t->shown[at].written = t->model.staged[i].written;
	}
}

void device_waits(struct test *t)
{
	bool pending = model_pending(&t->model), staged = t->model.staged_count;

	assert_int_equal(vh_virtqueue_pending(t->box.queue), pending);
	look(t);
	if (one_in(&t->rng, 2)) {
		vh_virtqueue_disable_kick(t->box.queue);
		model_disable_kick(&t->model);
	} else {
		assert_int_equal(vh_virtqueue_enable_kick(t->box.queue),
				 pending);
		model_enable_kick(&t->model);
	}
	if (!staged)
		model_compare(&t->model);
	dirty_told(&t->dirty, &t->model);
	if (!t->model.staged_count && one_in(&t->rng, t->dirty.on ? 12 : 50))
		(void)dirty_switch(&t->dirty, t->box.queue);
}
