/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Buffers for devices that are done with them at once: which chains are given
 * as such, what a device may say about them, and what the driver hears. What
 * isn't given is left for vh_virtqueue_pop(), which knows what is wrong.
 */
#include "buffers_box.h"
#include <endian.h>
#include <string.h>

static void given(bool packed, uint64_t features)
{
	static const struct buffer sent[] = {
	    {BOX_DATA, 1, 0},
	    {BOX_DATA + 1, 8, F_WRITE},
	    {BOX_B - 3, 3, F_WRITE}, /* up to the end of a region */
	    {BOX_B, 5, 0},	     /* from the beginning of another */
	    {BOX_C, BOX_C_SIZE, F_WRITE},
	    {UINT64_MAX, 1, F_WRITE}, /* the last byte that there is */
	    {BOX_D, BOX_D_SIZE, 0},
	};
	static const unsigned int count = sizeof(sent) / sizeof(sent[0]);
	struct returned list[sizeof(sent) / sizeof(sent[0])];
	struct vh_buffer buffers[8];
	struct either e;

	either_open(&e, packed, features);
	take(&e, buffers, 8, 0);
	for (unsigned int id = 0; id < count; id++) {
		either_send_one(&e, id, sent[id].address, sent[id].length,
				sent[id].flags);
		list[id].id = id;
		list[id].room = sent[id].flags ? sent[id].length : 0;
		list[id].written = list[id].room;
	}
	take(&e, buffers, 8, (int)count);
	for (unsigned int id = 0; id < count; id++)
		expect_buffer(&e, &buffers[id], id, &sent[id]);
	give_back(&e, buffers, list, count);
	assert_false(vh_virtqueue_pending(e.box->queue));
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), 0);
	assert_int_equal(vh_virtqueue_base(e.box->queue),
			 packed ? PACKED_BASE(count, 1, count, 1) : count);
	take(&e, buffers, 8, 0);
	assert_int_equal(vh_virtqueue_publish(e.box->queue), 0);
	box_close(e.box);
}

static void test_virtqueue_buffers_given(void **state)
{
	(void)state;
	for_all(given);
}

/* Chains that aren't one buffer in one region, and what pop makes of them. */
struct odd {
	unsigned int count;
	struct buffer buffers[2];
	uint32_t fault; /* 0: there is nothing wrong with it */
	uint32_t readable_size;
	uint32_t writable_size;
	unsigned int pieces;
};

static const struct odd odd_ones[] = {
    {2, {{BOX_DATA, 4, 0}, {BOX_DATA, 8, F_WRITE}}, 0, 4, 8, 2},
    {2, {{BOX_DATA, 4, 0}, {BOX_DATA, 8, 0}}, 0, 12, 0, 2},
    {2, {{BOX_DATA, 4, F_WRITE}, {BOX_DATA, 0, F_WRITE}}, 0, 0, 4, 1},
    {1, {{BOX_DATA, 0, 0}}, 0, 0, 0, 0},
    {1, {{BOX_DATA, 0, F_WRITE}}, 0, 0, 0, 0},
    {1, {{0, 0, F_WRITE}}, 0, 0, 0, 0},
    {1, {{BOX_B - 1, 2, 0}}, 0, 2, 0, 2},
    {1, {{BOX_B - 7, 9, F_WRITE}}, 0, 0, 9, 2},
    {1, {{BOX_TABLES, 16, F_INDIRECT}}, 0, 0, 8, 1},
    {1, {{BOX_TABLES, 8, F_INDIRECT}}, VH_FAULT_DESC_INDIRECT, 0, 0, 0},
    {1, {{0, 1, 0}}, VH_FAULT_DESC_ADDR, 0, 0, 0},
    {1, {{BOX_A - 1, 1, F_WRITE}}, VH_FAULT_DESC_ADDR, 0, 0, 0},
    {1, {{BOX_C - 1, 2, F_WRITE}}, VH_FAULT_DESC_ADDR, 0, 0, 0},
    {1, {{BOX_B + BOX_B_SIZE, 1, 0}}, VH_FAULT_DESC_ADDR, 0, 0, 0},
    {1, {{BOX_C + 4, BOX_C_SIZE, 0}}, VH_FAULT_DESC_ADDR, 0, 0, 0},
    {1, {{BOX_DATA, UINT32_MAX, 0}}, VH_FAULT_DESC_ADDR, 0, 0, 0},
    {1, {{UINT64_MAX, 2, F_WRITE}}, VH_FAULT_DESC_ADDR, 0, 0, 0},
    {1, {{UINT64_MAX, UINT32_MAX, 0}}, VH_FAULT_DESC_ADDR, 0, 0, 0},
};

static void write_table(struct either *e)
{
	if (e->packed)
		packed_entry(&e->p, BOX_TABLES, 0, BOX_DATA, 8, F_WRITE);
	else
		box_entry(e->box, BOX_TABLES, 0, BOX_DATA, 8, F_WRITE, 0);
}

/* Pop gives the odd one, as chain 1, and buffers are given again behind it. */
static void expect_odd(struct either *e, const struct odd *odd)
{
	const struct returned list[] = {
	    {0, ROOM, ROOM}, {1, odd->writable_size, odd->writable_size}};
	struct vh_buffer buffer;
	struct vh_chain *chain = either_pop(e, 1);

	assert_int_equal(chain->readable_size, odd->readable_size);
	assert_int_equal(chain->writable_size, odd->writable_size);
	assert_int_equal(chain->readable_count + chain->writable_count,
			 odd->pieces);
	if (in_order(e))
		take(e, &buffer, 1, 0);
	vh_virtqueue_push(e->box->queue, chain, odd->writable_size);
	publish(e);
	expect_returned(e, list, 2);
	take_some(e, &buffer, 2, 3);
	give_back(e, &buffer, &(struct returned){2, ROOM, 5}, 1);
}

static void not_given(bool packed, uint64_t features)
{
	const uint32_t full = ROOM;
	struct vh_buffer buffers[8];
	struct either e;

	for (unsigned int i = 0; i < sizeof(odd_ones) / sizeof(*odd_ones);
	     i++) {
		const struct odd *odd = &odd_ones[i];

		either_open(&e, packed, features | BOX_INDIRECT);
		write_table(&e);
		send_some(&e, 0, 1);
		either_send(&e, 1, odd->buffers, odd->count);
		send_some(&e, 2, 3);
		take(&e, buffers, 8, 1);
		push_buffers(&e, buffers, &full, 1);
		for (unsigned int k = 0; k < 3; k++)
			take(&e, buffers, 8, 0);
		assert_null(vh_virtqueue_fault(e.box->queue));
		assert_true(vh_virtqueue_pending(e.box->queue));
		if (odd->fault) {
			box_expect_fault(e.box, odd->fault);
			take(&e, buffers, 8, -EPROTO);
		} else {
			expect_odd(&e, odd);
		}
		box_close(e.box);
	}
}

static void test_virtqueue_buffers_not_given(void **state)
{
	(void)state;
	for_all(not_given);
}

static void table_not_negotiated(bool packed, uint64_t features)
{
	struct vh_buffer buffer;
	struct either e;

	either_open(&e, packed, features);
	write_table(&e);
	either_send_one(&e, 0, BOX_TABLES, 16, F_INDIRECT);
	take(&e, &buffer, 1, 0);
	box_expect_fault(e.box, VH_FAULT_DESC_INDIRECT);
	box_close(e.box);
}

static void test_virtqueue_buffers_table_not_negotiated(void **state)
{
	(void)state;
	for_all(table_not_negotiated);
}

/* One good buffer under any head or id, whatever it may be. */
static void send_as(struct either *e, unsigned int head)
{
	if (e->packed) {
		packed_send(&e->p, head, BOX_DATA, ROOM, F_WRITE);
		return;
	}
	if (head < EITHER_NUM)
		box_descriptor(e->box, head, BOX_DATA, ROOM, F_WRITE, 0);
	box_send(e->box, head);
}

static void bad_head(bool packed, uint64_t features)
{
	static const unsigned int heads[] = {EITHER_NUM, EITHER_NUM + 1, 32768,
					     65535};
	const uint32_t full = ROOM;
	struct vh_buffer buffers[4];
	struct either e;

	for (unsigned int i = 0; i < 4; i++) {
		either_open(&e, packed, features);
		send_some(&e, 0, 1);
		/* Split: what is at the head's place in the ring is good. */
		send_as(&e, EITHER_NUM - 1);
		send_as(&e, heads[i]);
		send_as(&e, 5);
		take(&e, buffers, 4, 2);
		assert_int_equal(buffers[1].head, EITHER_NUM - 1);
		push_buffers(&e, buffers, (uint32_t[]){full, full}, 2);
		take(&e, buffers, 4, 0);
		box_expect_fault(e.box, VH_FAULT_RING_HEAD);
		box_close(e.box);
	}
}

static void test_virtqueue_buffers_bad_head(void **state)
{
	(void)state;
	for_all(bad_head);
}

/* A head that is in flight as a chain's isn't given as a buffer's. */
static void busy_head(bool packed, bool comes_back)
{
	const uint32_t full = ROOM;
	struct vh_buffer buffers[4];
	struct vh_chain *chain;
	struct either e;

	either_open(&e, packed, 0);
	send_some(&e, 0, 1);
	chain = either_pop(&e, 0);
	send_some(&e, 1, 2);
	send_as(&e, chain->head);
	take(&e, buffers, 4, 1);
	push_buffers(&e, buffers, &full, 1);
	take(&e, buffers, 4, 0);
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), 1);
	if (comes_back) {
		vh_virtqueue_push(e.box->queue, chain, 1);
		take(&e, buffers, 4, 1);
		assert_int_equal(buffers[0].head, 0);
		push_buffers(&e, buffers, &full, 1);
		publish(&e);
		either_expect(&e, 1, ROOM);
		either_expect(&e, 0, 1);
	} else {
		box_expect_fault(e.box, VH_FAULT_RING_BUSY);
		vh_virtqueue_push(e.box->queue, chain, 1);
	}
	assert_int_equal(vh_virtqueue_inflight(e.box->queue), 0);
	box_close(e.box);
}

static void test_virtqueue_buffers_busy_head(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		busy_head(i & 1, i & 2);
}

/* Who offers something twice gets it back twice, and that is all. */
static void twice(bool packed, uint64_t features)
{
	const uint32_t written[] = {ROOM, 3, ROOM};
	struct vh_buffer buffers[4];
	struct either e;

	either_open(&e, packed, features);
	for (unsigned int i = 0; i < 3; i++)
		send_as(&e, 8);
	take(&e, buffers, 4, 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(buffers[i].head, 8);
	push_buffers(&e, buffers, written, 3);
	publish(&e);
	if (packed)
		packed_expect_used(&e.p, 8, in_order(&e) ? 3 : ROOM,
				   in_order(&e) ? 2 : 1);
	else
		assert_int_equal(box_used_index(e.box), 3);
	assert_null(vh_virtqueue_fault(e.box->queue));
	send_as(&e, 8);
	take(&e, buffers, 4, 1);
	box_close(e.box);
}

static void test_virtqueue_buffers_twice(void **state)
{
	(void)state;
	for_all(twice);
}

static void broken(bool packed, uint64_t features)
{
	struct vh_buffer buffers[4];
	struct either e;

	either_open(&e, packed, features);
	send_some(&e, 0, 2);
	take(&e, buffers, 1, 1);
	vh_virtqueue_break(e.box->queue, VH_FAULT_REQUEST, "here", "%d", 1);
	push_buffers(&e, buffers, (uint32_t[]){ROOM}, 1);
	assert_int_equal(vh_virtqueue_publish(e.box->queue), 0);
	either_expect_none(&e);
	take(&e, buffers, 4, -EPROTO);
	take(&e, buffers, 0, -EPROTO);
	expect_fault(&e, VH_FAULT_REQUEST);
	box_close(e.box);
}

static void test_virtqueue_buffers_broken(void **state)
{
	(void)state;
	for_all(broken);
}

/* No buffer of a ring is to be believed whose index can't be true. */
static void test_virtqueue_buffers_index_jumps(void **state)
{
	struct vh_buffer buffers[4];
	struct either e;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		either_open(&e, false, i & 1 ? BOX_IN_ORDER : 0);
		send_some(&e, 0, 3);
		e.box->avail_index = i & 2 ? EITHER_NUM + 1 : 65535;
		box_show(e.box);
		take(&e, buffers, 4, -EPROTO);
		expect_fault(&e, VH_FAULT_RING_INDEX);
		take(&e, buffers, 4, -EPROTO);
		box_close(e.box);
	}
}

static void written_is_cut(bool packed, uint64_t features)
{
	static const struct {
		unsigned int flags;
		uint32_t said;
		uint32_t meant;
	} turns[] = {
	    {F_WRITE, 0, 0},
	    {F_WRITE, 3, 3},
	    {F_WRITE, ROOM, ROOM},
	    {F_WRITE, ROOM + 1, ROOM},
	    {F_WRITE, UINT32_MAX, ROOM},
	    {0, 0, 0},
	    {0, 3, 0},
	    {0, ROOM, 0},
	    {0, UINT32_MAX, 0},
	};
	static const unsigned int count = sizeof(turns) / sizeof(turns[0]);
	struct returned list[sizeof(turns) / sizeof(turns[0])];
	uint32_t said[sizeof(turns) / sizeof(turns[0])];
	struct vh_buffer buffers[16];
	struct either e;

	either_open(&e, packed, features);
	for (unsigned int i = 0; i < count; i++) {
		either_send_one(&e, i, place_of(i), ROOM, turns[i].flags);
		list[i].id = i;
		list[i].room = turns[i].flags ? ROOM : 0;
		list[i].written = turns[i].meant;
		said[i] = turns[i].said;
	}
	take(&e, buffers, 16, (int)count);
	push_buffers(&e, buffers, said, count);
	publish(&e);
	expect_returned(&e, list, count);
	box_close(e.box);
}

static void test_virtqueue_buffers_written_is_cut(void **state)
{
	(void)state;
	for_all(written_is_cut);
}

/* No call gives more than a burst, and none more than it is asked for. */
static void bursts(bool packed, uint64_t features)
{
	static const unsigned int asked[] = {0, 1, 2, 100, 0, 32, 33};
	static const int gets[] = {0, 1, 2, VH_VIRTQUEUE_BURST, 0, 5, 0};
	static const uint32_t written[VH_VIRTQUEUE_BURST];
	struct vh_buffer buffers[VH_VIRTQUEUE_BURST + 8];
	unsigned int next = 0;
	struct either e;

	either_open(&e, packed, features);
	for (unsigned int i = 0; i < 40; i++)
		send_as(&e, i);
	for (unsigned int i = 0; i < 7; i++) {
		memset(buffers, 0xee, sizeof(buffers));
		take(&e, buffers, asked[i], gets[i]);
		for (int k = 0; k < gets[i]; k++)
			assert_int_equal(buffers[k].head, next++);
		assert_int_equal(buffers[gets[i]].size, 0xeeeeeeee);
		push_buffers(&e, buffers, written, (unsigned int)gets[i]);
	}
	assert_int_equal(next, 40);
	publish(&e);
	if (!packed)
		assert_int_equal(box_used_index(e.box), 40);
	for (unsigned int i = 0; packed && i < 40; i++)
		packed_expect_used(&e.p, i, 0, 1);
	box_close(e.box);
}

static void test_virtqueue_buffers_bursts(void **state)
{
	(void)state;
	for_all(bursts);
}

/* The driver changes its mind: what was read counts. */
static void rewritten(bool packed, uint64_t features)
{
	const struct buffer sent = {place_of(0), ROOM, F_WRITE};
	struct vh_buffer buffer;
	struct either e;

	either_open(&e, packed, features);
	either_send(&e, 0, &sent, 1);
	take(&e, &buffer, 1, 1);
	if (packed)
		packed_write(&e.p, 0, 1, UINT32_MAX, 7, 0xffff);
	else
		box_descriptor(e.box, 0, 1, UINT32_MAX, 0xffff, 0xffff);
	*box_avail_word(e.box, 2) = htole16(7);
	expect_buffer(&e, &buffer, 0, &sent);
	push_buffers(&e, &buffer, (uint32_t[]){UINT32_MAX}, 1);
	publish(&e);
	either_expect(&e, 0, ROOM);
	box_close(e.box);
}

static void test_virtqueue_buffers_rewritten(void **state)
{
	(void)state;
	for_all(rewritten);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_buffers_given),
	    cmocka_unit_test(test_virtqueue_buffers_not_given),
	    cmocka_unit_test(test_virtqueue_buffers_table_not_negotiated),
	    cmocka_unit_test(test_virtqueue_buffers_bad_head),
	    cmocka_unit_test(test_virtqueue_buffers_busy_head),
	    cmocka_unit_test(test_virtqueue_buffers_twice),
	    cmocka_unit_test(test_virtqueue_buffers_broken),
	    cmocka_unit_test(test_virtqueue_buffers_index_jumps),
	    cmocka_unit_test(test_virtqueue_buffers_written_is_cut),
	    cmocka_unit_test(test_virtqueue_buffers_bursts),
	    cmocka_unit_test(test_virtqueue_buffers_rewritten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
