/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What tests of vh_virtqueue_pop_buffers() and its kin have in common. */
#ifndef TESTS_VIRTQUEUE_BUFFERS_BOX_H
#define TESTS_VIRTQUEUE_BUFFERS_BOX_H

#include "either.h"
#include <errno.h>

#define ROOM 8u /* bytes of a buffer, if nothing else is said */

/* A chain that was given back: what the driver must hear of it. */
struct returned {
	unsigned int id;
	uint32_t room; /* that it had for the device */
	uint32_t written;
};

static inline void for_all(void (*test)(bool packed, uint64_t features))
{
	for (unsigned int i = 0; i < 8; i++)
		test(i & 1,
		     (i & 2 ? BOX_EVENT_IDX : 0) | (i & 4 ? BOX_IN_ORDER : 0));
}

static inline bool in_order(const struct either *e)
{
	return e->box->features & BOX_IN_ORDER;
}

/* Where a buffer of ROOM bytes is that belongs to this id. */
static inline vh_gpa place_of(unsigned int id)
{
	return BOX_DATA + 16 * (vh_gpa)id;
}

/* One buffer of ROOM bytes each, for the device to fill. */
static inline void send_some(struct either *e, unsigned int from,
			     unsigned int to)
{
	for (unsigned int id = from; id < to; id++)
		either_send_one(e, id, place_of(id), ROOM, F_WRITE);
}

/* Asks for up to max buffers, and gets this many. */
static inline void take(struct either *e, struct vh_buffer buffers[],
			unsigned int max, int count)
{
	assert_int_equal(vh_virtqueue_pop_buffers(e->box->queue, buffers, max),
			 count);
}

static inline void expect_buffer(const struct either *e,
				 const struct vh_buffer *buffer,
				 unsigned int id, const struct buffer *sent)
{
	assert_int_equal(buffer->head, e->packed ? id : EITHER_MOST * id);
	assert_int_equal(buffer->size, sent->length);
	assert_int_equal(buffer->is_writable, sent->flags == F_WRITE);
	assert_non_null(buffer->data);
	assert_ptr_equal(
	    buffer->data,
	    vh_memory_at(e->box->memory, sent->address, sent->length));
}

/* Takes what send_some() has sent, and finds it all there. */
static inline void take_some(struct either *e, struct vh_buffer buffers[],
			     unsigned int from, unsigned int to)
{
	take(e, buffers, to - from, (int)(to - from));
	for (unsigned int id = from; id < to; id++)
		expect_buffer(e, &buffers[id - from], id,
			      &(struct buffer){place_of(id), ROOM, F_WRITE});
}

static inline void push_buffers(struct either *e,
				const struct vh_buffer buffers[],
				const uint32_t written[], unsigned int count)
{
	vh_virtqueue_push_buffers(e->box->queue, buffers, written, count);
}

static inline void publish(struct either *e)
{
	assert_true(vh_virtqueue_publish(e->box->queue) >= 0);
}

/*
 * The driver hears of these and no others: in entries of their own, or, with
 * IN_ORDER, in one for the last of a run of which all others are full.
 */
static inline void expect_returned(struct either *e,
				   const struct returned list[],
				   unsigned int count)
{
	unsigned int run = 0, id;
	uint32_t written;

	for (unsigned int i = 0; i < count; i++) {
		run++;
		if (in_order(e) && i + 1 < count &&
		    list[i].written == list[i].room)
			continue;
		assert_int_equal(either_collect(e, &id, &written), run);
		assert_int_equal(id, list[i].id);
		assert_int_equal(written, list[i].written);
		run = 0;
	}
	either_expect_none(e);
}

/* Gives back what was taken, and the driver hears of it, but not too early. */
static inline void give_back(struct either *e, const struct vh_buffer buffers[],
			     const struct returned list[], unsigned int count)
{
	uint32_t written[EITHER_IDS];

	for (unsigned int i = 0; i < count; i++)
		written[i] = list[i].written;
	push_buffers(e, buffers, written, count);
	either_expect_none(e);
	publish(e);
	expect_returned(e, list, count);
}

/* One buffer goes there and back. */
static inline void pass_one(struct either *e, unsigned int id)
{
	const struct returned list[] = {{id, ROOM, ROOM}};
	struct vh_buffer buffer;

	send_some(e, id, id + 1);
	take_some(e, &buffer, id, id + 1);
	give_back(e, &buffer, list, 1);
}

static inline void expect_fault(const struct either *e, uint32_t code)
{
	const struct vh_fault *fault = vh_virtqueue_fault(e->box->queue);

	assert_non_null(fault);
	assert_string_equal(vh_fault_name(fault->code), vh_fault_name(code));
}

#endif
