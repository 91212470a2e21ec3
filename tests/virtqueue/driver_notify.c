/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Who wants to hear of what, in both directions and both formats. */
#include "driver_box.h"

#define NUM 8

/* Modes of the packed ring's event suppression. */
#define ENABLE	0u
#define DISABLE 1u
#define DESC	2u

static void open_box(struct driver_box *box, uint64_t features, uint16_t base)
{
	driver_box_open(box, &(struct driver_box_opts){.num = NUM,
						       .features = features,
						       .base = base});
}

/* Adds so many chains and says whether they want a kick. */
static bool publish(struct driver_box *box, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(box_add(box, 0x1000, 1, 0, 1, NULL), 0);
	return vh_driver_queue_publish(box->queue);
}

/* The device gives back all that it can take. */
static void drain(struct driver_box *box)
{
	struct device_chain chain;

	while (device_take(box, &chain)) {
		device_give(box, &chain, 0, 1, 1);
		expect_used(box, NULL, 0);
	}
}

static void test_driver_notify_kick_by_flags(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 0, 0);
	for (uint16_t i = 0; i < 4; i++) {
		put16(box.used, 0, i & 1);
		/* Without EVENT_IDX nobody looks at avail_event. */
		put16(box.used, 4 + 8 * NUM, i);
		assert_int_equal(publish(&box, 1), !(i & 1));
	}
	driver_box_close(&box);
}

static void test_driver_notify_kick_by_event(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, VH_F_EVENT_IDX, 65534);
	/* A device that hasn't come yet hears of the first chain. */
	assert_int_equal(get16(box.used, 4 + 8 * NUM), 65534);
	assert_true(publish(&box, 1));
	/* Flags don't count; the event is behind us. */
	put16(box.used, 0, 1);
	assert_false(publish(&box, 1));
	drain(&box);
	/* 0 is the place of the third; it is shown as one of three. */
	put16(box.used, 4 + 8 * NUM, 0);
	assert_true(publish(&box, 3));
	drain(&box);
	/* 6 is not among 3, 4, 5, but is among 6, 7. */
	put16(box.used, 4 + 8 * NUM, 6);
	assert_false(publish(&box, 3));
	assert_true(publish(&box, 2));
	drain(&box);
	/* A whole queue at once. */
	put16(box.used, 4 + 8 * NUM, 8 + NUM - 1);
	assert_true(publish(&box, NUM));
	driver_box_close(&box);
}

static void set_device_event(struct driver_box *box, uint32_t mode,
			     uint32_t place, uint32_t wrap)
{
	put32(box->used, 0, mode << 16 | wrap << 15 | place);
}

static void test_driver_notify_kick_packed_modes(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, VH_F_RING_PACKED, 0);
	assert_true(publish(&box, 1));
	set_device_event(&box, DISABLE, 1, 1);
	assert_false(publish(&box, 1));
	set_device_event(&box, ENABLE, 0, 1);
	assert_true(publish(&box, 1));
	/* Places count only with EVENT_IDX; the mode 3 is reserved. */
	set_device_event(&box, DESC, 7, 1);
	assert_true(publish(&box, 1));
	set_device_event(&box, 3, 7, 1);
	assert_true(publish(&box, 1));
	driver_box_close(&box);
}

static void test_driver_notify_kick_packed_event(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, VH_F_RING_PACKED | VH_F_EVENT_IDX, 0);
	/* Places 0 to 2: the event at 3 isn't among them. */
	set_device_event(&box, DESC, 3, 1);
	assert_false(publish(&box, 3));
	/* 3 and 4: it is. */
	assert_true(publish(&box, 2));
	/* 5: it is behind. */
	assert_false(publish(&box, 1));
	/* Place 6 of the next lap. */
	set_device_event(&box, DESC, 6, 0);
	assert_false(publish(&box, 1));
	/* The last place of the ring. */
	set_device_event(&box, DESC, 7, 1);
	assert_true(publish(&box, 1));
	drain(&box);
	/* The second lap: 0 of the first is long gone. */
	set_device_event(&box, DESC, 0, 1);
	assert_false(publish(&box, 1));
	set_device_event(&box, DESC, 1, 0);
	assert_true(publish(&box, 1));
	drain(&box);
	/* 2 to 7 of this lap, and 0 and 1 of the next: a whole queue. */
	set_device_event(&box, DESC, 2, 0);
	assert_true(publish(&box, NUM));
	drain(&box);
	set_device_event(&box, DESC, 1, 0);
	assert_true(publish(&box, NUM));
	drain(&box);
	set_device_event(&box, DESC, 3, 1);
	assert_false(publish(&box, 1));
	/* Over the end: 3 to 7, then 0 and 1. */
	set_device_event(&box, DESC, 1, 1);
	assert_true(publish(&box, 7));
	drain(&box);
	/* 2 to 7, then 0: the event is one further. */
	set_device_event(&box, DESC, 1, 0);
	assert_false(publish(&box, 7));
	drain(&box);
	assert_true(publish(&box, 1));
	driver_box_close(&box);
}

/* No place is so wild that it does harm. */
static void test_driver_notify_kick_packed_wild(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, VH_F_RING_PACKED | VH_F_EVENT_IDX, 0);
	for (uint32_t i = 0; i < 2000; i++) {
		put32(box.used, 0, i * 0x9e3779b9u);
		(void)!publish(&box, 1 + i % NUM);
		drain(&box);
	}
	driver_box_close(&box);
}

static void test_driver_notify_call_by_flags(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, 0, 0);
	/* A fresh ring wants calls. */
	assert_int_equal(get16(box.available, 0), 0);
	vh_driver_queue_disable_calls(box.queue);
	assert_int_equal(get16(box.available, 0), 1);
	assert_false(vh_driver_queue_enable_calls(box.queue));
	assert_int_equal(get16(box.available, 0), 0);
	assert_true(publish(&box, 1));
	device_use(&box, 0, 0);
	assert_true(vh_driver_queue_enable_calls(box.queue));
	expect_used(&box, NULL, 0);
	assert_false(vh_driver_queue_enable_calls(box.queue));
	driver_box_close(&box);
}

static uint16_t used_event(const struct driver_box *box)
{
	return get16(box->available, 4 + 2 * NUM);
}

static void test_driver_notify_call_by_event(void **state)
{
	struct device_chain chain;
	struct driver_box box;

	(void)state;
	open_box(&box, VH_F_EVENT_IDX, 65535);
	assert_int_equal(used_event(&box), 65535);
	/* Behind us: no call for what comes next. */
	vh_driver_queue_disable_calls(box.queue);
	assert_int_equal(used_event(&box), 65534);
	assert_int_equal(get16(box.available, 0), 0);
	assert_true(publish(&box, 2));
	assert_true(device_take(&box, &chain));
	device_give(&box, &chain, 0, 1, 1);
	/* The next that we haven't collected; it is there already. */
	assert_true(vh_driver_queue_enable_calls(box.queue));
	assert_int_equal(used_event(&box), 65535);
	expect_used(&box, NULL, 0);
	assert_false(vh_driver_queue_enable_calls(box.queue));
	assert_int_equal(used_event(&box), 0);
	driver_box_close(&box);
}

static void test_driver_notify_call_packed(void **state)
{
	struct device_chain chain;
	struct driver_box box;

	(void)state;
	open_box(&box, VH_F_RING_PACKED, 0);
	assert_int_equal(get32(box.available, 0), ENABLE << 16);
	vh_driver_queue_disable_calls(box.queue);
	assert_int_equal(get32(box.available, 0), DISABLE << 16);
	assert_false(vh_driver_queue_enable_calls(box.queue));
	assert_int_equal(get32(box.available, 0), ENABLE << 16);
	/* Added and not published: nothing is there to be collected. */
	assert_int_equal(box_add(&box, 0x1000, 1, 0, 1, NULL), 0);
	assert_false(vh_driver_queue_enable_calls(box.queue));
	assert_true(vh_driver_queue_publish(box.queue));
	assert_false(vh_driver_queue_enable_calls(box.queue));
	assert_true(device_take(&box, &chain));
	device_give(&box, &chain, 0, 1, 1);
	assert_true(vh_driver_queue_enable_calls(box.queue));
	driver_box_close(&box);
}

static void test_driver_notify_call_packed_event(void **state)
{
	struct driver_box box;

	(void)state;
	open_box(&box, VH_F_RING_PACKED | VH_F_EVENT_IDX, 0);
	assert_false(vh_driver_queue_enable_calls(box.queue));
	assert_int_equal(get32(box.available, 0), DESC << 16 | 0x8000);
	(void)!publish(&box, NUM - 1);
	drain(&box);
	assert_false(vh_driver_queue_enable_calls(box.queue));
	assert_int_equal(get32(box.available, 0),
			 DESC << 16 | 0x8000 | (NUM - 1));
	(void)!publish(&box, 2);
	drain(&box);
	vh_driver_queue_disable_calls(box.queue);
	assert_int_equal(get32(box.available, 0), DISABLE << 16);
	assert_false(vh_driver_queue_enable_calls(box.queue));
	assert_int_equal(get32(box.available, 0), DESC << 16 | 1);
	driver_box_close(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_driver_notify_kick_by_flags),
	    cmocka_unit_test(test_driver_notify_kick_by_event),
	    cmocka_unit_test(test_driver_notify_kick_packed_modes),
	    cmocka_unit_test(test_driver_notify_kick_packed_event),
	    cmocka_unit_test(test_driver_notify_kick_packed_wild),
	    cmocka_unit_test(test_driver_notify_call_by_flags),
	    cmocka_unit_test(test_driver_notify_call_by_event),
	    cmocka_unit_test(test_driver_notify_call_packed),
	    cmocka_unit_test(test_driver_notify_call_packed_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
