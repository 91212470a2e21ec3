/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The driver's side against the device of driver_box.h, which follows the
 * specification step by step: random chains, given back in random order or in
 * random batches, over many laps. Both sides go to sleep now and then, and
 * must be woken when there is something to do.
 */
#include "driver_box.h"
#include <stdlib.h>
#include <string.h>

#define STEPS	   6000
#define MAX_CHAINS 256
#define MAX_LENGTH 100

/* What was posted, by token. */
struct posted {
	unsigned int readable;
	unsigned int writable;
	uint64_t address;
	uint32_t length; /* of each buffer */
	bool busy;
	bool given;
	uint32_t written; /* what collecting must say */
};

struct run {
	struct driver_box box;
	uint64_t features;
	struct posted posted[MAX_CHAINS];
	/* what the device holds, in the order in which it came */
	struct device_chain held[MAX_CHAINS];
	unsigned int held_count;
	uint64_t next_address;
	bool device_asleep;
	bool driver_asleep;
};

static unsigned int up_to(unsigned int most)
{
	return (unsigned int)rand() % (most + 1);
}

static void post(struct run *run)
{
	struct posted *posted = run->posted;
	unsigned int most = run->box.num < 6 ? run->box.num : 6;
	bool in_table;
	unsigned int room = vh_driver_queue_room(run->box.queue);

	while (posted < run->posted + MAX_CHAINS && posted->busy)
		posted++;
	if (posted == run->posted + MAX_CHAINS)
		return;
	memset(posted, 0, sizeof(*posted));
	posted->readable = up_to(most);
	posted->writable = up_to(most - posted->readable);
	if (posted->readable + posted->writable == 0)
		posted->writable = 1;
	/* Addresses tell the chains apart. */
	posted->address = run->next_address;
	posted->length = up_to(MAX_LENGTH);
	run->next_address += UINT64_C(0x10000);
	most = posted->readable + posted->writable;
	in_table = run->features & VH_F_INDIRECT_DESC && most > 1 && most < 5;
	if (box_add(&run->box, posted->address, posted->readable,
		    posted->writable, posted->length, posted) < 0) {
		assert_true(room < (in_table ? 1 : most));
		return;
	}
	posted->busy = true;
	assert_int_equal(room - vh_driver_queue_room(run->box.queue),
			 in_table ? 1 : most);
}

static struct posted *find(struct run *run, const struct device_chain *chain)
{
	struct posted *posted = run->posted;

	while (!posted->busy || posted->given ||
	       posted->address != chain->buffers[0].address) {
		posted++;
		assert_true(posted < run->posted + MAX_CHAINS);
	}
	return posted;
}

static void take(struct run *run)
{
	struct device_chain *chain = &run->held[run->held_count];
	const struct posted *posted;

	if (run->held_count == MAX_CHAINS || !device_take(&run->box, chain))
		return;
	posted = find(run, chain);
	assert_int_equal(chain->count, posted->readable + posted->writable);
	for (unsigned int i = 0; i < chain->count; i++) {
		assert_int_equal(chain->buffers[i].address,
				 posted->address +
				     (uint64_t)i * posted->length);
		assert_int_equal(chain->buffers[i].length, posted->length);
		assert_int_equal(chain->buffers[i].write,
				 i >= posted->readable);
	}
	run->held_count++;
}

/* Whether the used entries from before up to now pass the driver's event. */
static bool call_wanted(const struct driver_box *box, uint64_t features,
			unsigned int before, bool wrap, unsigned int count)
{
	uint32_t event = get32(box->available, 0);
	uint16_t split_event;

	if (box->packed) {
		if (event >> 16 != 2)
			return event >> 16 == 0;
		for (unsigned int i = 0; i < count; i++) {
			if (before == (event & 0x7fff) &&
			    wrap == (event >> 15 & 1))
				return true;
			if (++before == box->num) {
				before = 0;
				wrap = !wrap;
			}
		}
		return false;
	}
	if (!(features & VH_F_EVENT_IDX))
		return !(event & 1);
	split_event = get16(box->available, 4 + 2 * (size_t)box->num);
	for (unsigned int i = 0; i < count; i++)
		if ((uint16_t)(before + i) == split_event)
			return true;
	return false;
}

/* Gives back the chains from first on, count of them, with one word. */
static void give(struct run *run, unsigned int first, unsigned int count)
{
	const struct device_chain *last = &run->held[first + count - 1];
	unsigned int before = run->box.next_used;
	bool wrap = run->box.used_wrap;
	unsigned int descriptors = 0;
	struct posted *posted = NULL;
	uint32_t room = 0;

	for (unsigned int i = first; i < first + count; i++) {
		posted = find(run, &run->held[i]);
		room = posted->writable * posted->length;
		posted->written = room;
		posted->given = true;
		descriptors += run->held[i].descriptors;
	}
	posted->written = up_to(room);
	device_give(&run->box, last, posted->written, count, descriptors);
	memmove(&run->held[first], &run->held[first + count],
		(run->held_count - first - count) * sizeof(*run->held));
	run->held_count -= count;
	if (call_wanted(&run->box, run->features, before, wrap,
			run->box.packed ? descriptors : count))
		run->driver_asleep = false;
	assert_false(run->driver_asleep);
}

static void collect(struct run *run)
{
	struct vh_driver_used used[8];
	int count = vh_driver_queue_collect(run->box.queue, used, up_to(8));

	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		struct posted *posted = used[i].token;

		assert_true(posted->busy && posted->given);
		assert_int_equal(used[i].written, posted->written);
		posted->busy = false;
	}
}

static bool available(const struct run *run)
{
	struct driver_box look = run->box;
	struct device_chain chain;

	return device_take(&look, &chain);
}

/* The device asks for kicks, and sleeps if there is nothing. */
static void device_sleeps(struct run *run)
{
	struct driver_box *box = &run->box;

	if (!box->packed && run->features & VH_F_EVENT_IDX)
		put16(box->used, 4 + 8 * (size_t)box->num, box->next_available);
	else if (box->packed && run->features & VH_F_EVENT_IDX)
		put32(box->used, 0,
		      2u << 16 | (unsigned int)box->available_wrap << 15 |
			  box->next_available);
	else
		put32(box->used, 0, get32(box->used, 0) & 0xffff0000);
	run->device_asleep = !available(run);
}

static void step(struct run *run)
{
	bool in_order = run->features & VH_F_IN_ORDER;
	unsigned int first;

	switch (rand() % 8) {
	case 0:
	case 1:
		post(run);
		break;
	case 2:
		/* If it sleeps and we show it something, it wants a kick. */
		if (vh_driver_queue_publish(run->box.queue))
			run->device_asleep = false;
		assert_false(run->device_asleep && available(run));
		break;
	case 3:
		if (!run->device_asleep)
			take(run);
		break;
	case 4:
		if (!run->held_count || run->device_asleep)
			break;
		first = in_order ? 0 : up_to(run->held_count - 1);
		give(run, first, in_order ? 1 + up_to(run->held_count - 1) : 1);
		break;
	case 5:
		if (!run->driver_asleep)
			collect(run);
		break;
	case 6:
		if (run->held_count == 0)
			device_sleeps(run);
		break;
	default:
		if (run->driver_asleep)
			break;
		if (rand() % 4 == 0)
			vh_driver_queue_disable_calls(run->box.queue);
		else
			run->driver_asleep =
			    !vh_driver_queue_enable_calls(run->box.queue);
		break;
	}
}

static void check(uint64_t features, uint32_t num)
{
	struct run *run = calloc(1, sizeof(*run));

	assert_non_null(run);
	run->features = features;
	run->next_address = 0x10000;
	driver_box_open(&run->box, &(struct driver_box_opts){
				       .num = num,
				       .features = features,
				       .table_entries = 4,
				       .base = 65500,
				   });
	for (unsigned int i = 0; i < STEPS; i++)
		step(run);
	/* And now all that is left. */
	(void)!vh_driver_queue_publish(run->box.queue);
	run->driver_asleep = false;
	while (vh_driver_queue_inflight(run->box.queue)) {
		take(run);
		if (run->held_count)
			give(run, 0, 1);
		collect(run);
	}
	for (unsigned int i = 0; i < MAX_CHAINS; i++)
		assert_false(run->posted[i].busy);
	assert_int_equal(vh_driver_queue_room(run->box.queue), num);
	driver_box_close(&run->box);
	free(run);
}

static void check_sizes(uint64_t features)
{
	const uint32_t sizes[] = {1, 2, 8, 256};
	const uint32_t odd[] = {3, 7, 100};

	for (unsigned int i = 0; i < 4; i++)
		check(features, sizes[i]);
	for (unsigned int i = 0; i < 3 && features & VH_F_RING_PACKED; i++)
		check(features, odd[i]);
}

static void check_features(uint64_t format)
{
	const uint64_t bits[] = {VH_F_INDIRECT_DESC, VH_F_EVENT_IDX,
				 VH_F_IN_ORDER};

	srand(1);
	for (unsigned int set = 0; set < 8; set++) {
		uint64_t features = format;

		for (unsigned int bit = 0; bit < 3; bit++)
			if (set & 1u << bit)
				features |= bits[bit];
		check_sizes(features);
	}
}

static void test_driver_random_split(void **state)
{
	(void)state;
	check_features(0);
}

static void test_driver_random_packed(void **state)
{
	(void)state;
	check_features(VH_F_RING_PACKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_driver_random_split),
	    cmocka_unit_test(test_driver_random_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
