/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Who wants to hear of what: flags and EVENT_IDX, in both directions. */
#include "box.h"
#include <endian.h>
#include <stdlib.h>

#define NUM 8

/* Sends one chain through, without publishing it. */
static void pass(struct box *box)
{
	box_descriptor(box, 0, BOX_DATA, 1, 0, 0);
	box_send(box, 0);
	vh_virtqueue_push(box->queue, box_pop(box), 0);
}

static void set_used_event(struct box *box, uint16_t value)
{
	*box_avail_word(box, 2 + NUM) = htole16(value);
}

static uint16_t avail_event(struct box *box)
{
	return le16toh(*box_used_word(box, 2 + 4 * NUM));
}

static void test_virtqueue_notify_by_flags(void **state)
{
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = NUM});
	assert_int_equal(vh_virtqueue_publish(box.queue), 0);
	for (unsigned int i = 0; i < 4; i++) {
		pass(&box);
		*box_avail_word(&box, 0) = htole16(i & 1);
		/* Without EVENT_IDX nobody looks at used_event. */
		set_used_event(&box, (uint16_t)i);
		assert_int_equal(vh_virtqueue_publish(box.queue), !(i & 1));
		assert_int_equal(vh_virtqueue_publish(box.queue), 0);
	}
	assert_int_equal(box_used_index(&box), 4);
	box_close(&box);
}

static void test_virtqueue_notify_publish_shows_all_at_once(void **state)
{
	struct vh_chain *chains[4];
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = NUM, .base = 65534});
	for (unsigned int i = 0; i < 4; i++) {
		box_descriptor(&box, i, BOX_DATA, 10, F_WRITE, 0);
		box_offer(&box, i);
	}
	box_show(&box);
	assert_int_equal(vh_virtqueue_pop(box.queue, chains, 4), 4);
	for (unsigned int i = 0; i < 4; i++) {
		vh_virtqueue_push(box.queue, chains[3 - i], i);
		assert_int_equal(box_used_index(&box), 65534);
	}
	assert_int_equal(vh_virtqueue_publish(box.queue), 1);
	assert_int_equal(box_used_index(&box), 2);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(box_used_id(&box, (65534 + i) % NUM), 3 - i);
		assert_int_equal(box_used_length(&box, (65534 + i) % NUM), i);
	}
	box_close(&box);
}

static void test_virtqueue_notify_first_publish_always(void **state)
{
	struct box box;

	(void)state;
	for (unsigned int event = 0; event < 65536; event += 4369) {
		box_open(&box, &(struct box_opts){.num = NUM,
						  .features = BOX_EVENT_IDX,
						  .base = 65535});
		set_used_event(&box, (uint16_t)event);
		pass(&box);
		assert_int_equal(vh_virtqueue_publish(box.queue), 1);
		assert_int_equal(box_used_index(&box), 0);
		box_close(&box);
	}
}

/*
 * By the text: notify if one of the entries that were written has the index
 * used_event. Counted out here, entry by entry, across the wrap.
 */
static void test_virtqueue_notify_used_event_window(void **state)
{
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = NUM,
					  .features = BOX_EVENT_IDX,
					  .base = 65000});
	pass(&box);
	assert_int_equal(vh_virtqueue_publish(box.queue), 1);
	srandom(1);
	for (unsigned int turn = 0; turn < 20000; turn++) {
		unsigned int count = 1 + (unsigned int)random() % 20;
		uint16_t from = box_used_index(&box);
		uint16_t event = (uint16_t)(from - 25 + random() % 50);
		int wanted = 0;

		for (unsigned int i = 0; i < count; i++) {
			pass(&box);
			wanted |= (uint16_t)(from + i) == event;
		}
		/* With EVENT_IDX nobody looks at the flag. */
		*box_avail_word(&box, 0) = htole16(turn & 1);
		set_used_event(&box, event);
		assert_int_equal(vh_virtqueue_publish(box.queue), wanted);
	}
	box_close(&box);
}

static void test_virtqueue_notify_kick_by_flags(void **state)
{
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = NUM});
	/* Left by who was here before. */
	*box_used_word(&box, 0) = htole16(1);
	assert_int_equal(vh_virtqueue_enable_kick(box.queue), 0);
	assert_int_equal(le16toh(*box_used_word(&box, 0)), 0);
	vh_virtqueue_disable_kick(box.queue);
	assert_int_equal(le16toh(*box_used_word(&box, 0)), 1);
	/* It is stored if it isn't so already, and never read. */
	*box_used_word(&box, 0) = htole16(0);
	vh_virtqueue_disable_kick(box.queue);
	assert_int_equal(le16toh(*box_used_word(&box, 0)), 0);
	box_descriptor(&box, 0, BOX_DATA, 1, 0, 0);
	box_send(&box, 0);
	assert_int_equal(vh_virtqueue_enable_kick(box.queue), 1);
	assert_int_equal(le16toh(*box_used_word(&box, 0)), 0);
	assert_int_equal(avail_event(&box), 0);
	(void)box_pop(&box);
	assert_int_equal(vh_virtqueue_enable_kick(box.queue), 0);
	box_close(&box);
}

static void test_virtqueue_notify_kick_by_event(void **state)
{
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = NUM,
					  .features = BOX_EVENT_IDX,
					  .base = 65530});
	for (unsigned int i = 0; i < 20; i++) {
		uint16_t next = (uint16_t)(65530 + i);

		assert_int_equal(vh_virtqueue_enable_kick(box.queue), 0);
		assert_int_equal(avail_event(&box), next);
		box_descriptor(&box, 0, BOX_DATA, 1, 0, 0);
		box_send(&box, 0);
		/* Asked before: it knows without asking again. */
		assert_int_equal(vh_virtqueue_enable_kick(box.queue), 1);
		vh_virtqueue_push(box.queue, box_pop(&box), 0);
		vh_virtqueue_disable_kick(box.queue);
		assert_int_equal(avail_event(&box), next);
		assert_int_equal(*box_used_word(&box, 0), 0);
	}
	box_close(&box);
}

static void test_virtqueue_notify_pending(void **state)
{
	struct box box;

	(void)state;
	box_open(&box, &(struct box_opts){.num = NUM, .base = 65535});
	assert_false(vh_virtqueue_pending(box.queue));
	box_descriptor(&box, 0, BOX_DATA, 1, 0, 0);
	box_descriptor(&box, 1, BOX_DATA, 1, 0, 0);
	box_offer(&box, 0);
	assert_false(vh_virtqueue_pending(box.queue));
	box_send(&box, 1);
	assert_true(vh_virtqueue_pending(box.queue));
	assert_int_equal(vh_virtqueue_base(box.queue), 65535);
	(void)box_pop(&box);
	assert_true(vh_virtqueue_pending(box.queue));
	assert_int_equal(vh_virtqueue_base(box.queue), 0);
	(void)box_pop(&box);
	assert_false(vh_virtqueue_pending(box.queue));
	assert_int_equal(vh_virtqueue_base(box.queue), 1);
	box_close(&box);
}

/* A broken queue doesn't touch the ring, and asks for nothing. */
static void test_virtqueue_notify_broken(void **state)
{
	struct vh_chain *chain;
	struct box box;

	(void)state;
	for (unsigned int event = 0; event < 2; event++) {
		box_open(&box, &(struct box_opts){.num = NUM,
						  .features =
						      event ? BOX_EVENT_IDX : 0,
						  .base = 3});
		box_descriptor(&box, 0, BOX_DATA, 1, 0, 0);
		box_send(&box, 0);
		chain = box_pop(&box);
		vh_virtqueue_break(box.queue, VH_FAULT_REQUEST, "here", "%d",
				   42);
		vh_virtqueue_push(box.queue, chain, 0);
		assert_int_equal(vh_virtqueue_publish(box.queue), 0);
		assert_int_equal(vh_virtqueue_enable_kick(box.queue), 0);
		vh_virtqueue_disable_kick(box.queue);
		assert_int_equal(*box_used_word(&box, 0), 0);
		assert_int_equal(box_used_index(&box), 3);
		assert_int_equal(avail_event(&box), 0);
		box_close(&box);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtqueue_notify_by_flags),
	    cmocka_unit_test(test_virtqueue_notify_publish_shows_all_at_once),
	    cmocka_unit_test(test_virtqueue_notify_first_publish_always),
	    cmocka_unit_test(test_virtqueue_notify_used_event_window),
	    cmocka_unit_test(test_virtqueue_notify_kick_by_flags),
	    cmocka_unit_test(test_virtqueue_notify_kick_by_event),
	    cmocka_unit_test(test_virtqueue_notify_pending),
	    cmocka_unit_test(test_virtqueue_notify_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
