/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What the device does, and whether all arrives that the driver sent. */
#include "driver_vs_device.h"
#include <string.h>

static void check_readable(const struct chain *chain,
			   const struct vh_chain *taken)
{
	uint32_t offset = 0;

	for (unsigned int i = 0; i < taken->readable_count; i++) {
		const uint8_t *bytes = taken->readable[i].iov_base;

		for (size_t k = 0; k < taken->readable[i].iov_len; k++)
			if (bytes[k] != pattern(chain->serial, offset++))
				fail_msg("byte %u of chain %llu", offset - 1,
					 (unsigned long long)chain->serial);
	}
	assert_int_equal(offset, chain->readable_size);
}

/* The next one that was added, and shown, is the device's. */
static struct chain *take_next(struct test *t, unsigned int *ret_which)
{
	*ret_which = t->added[t->added_first];
	t->added_first = (t->added_first + 1) % CHUNKS;
	t->added_count--;
	t->order[(t->order_first + t->order_count++) % CHUNKS] = *ret_which;
	return &t->chains[*ret_which];
}

void device_pops(struct test *t)
{
	struct vh_chain *chains[VH_VIRTQUEUE_BURST];
	unsigned int max = 1 + rnd(&t->rng, VH_VIRTQUEUE_BURST);
	unsigned int there = t->added_count - t->unshown, which;
	struct chain *chain;
	int n;

	if (t->device_sleeps)
		return;
	n = vh_virtqueue_pop(t->device, chains, max);
	assert_int_equal(n, there < max ? there : max);
	for (int i = 0; i < n; i++) {
		chain = take_next(t, &which);
		assert_int_equal(chains[i]->descriptors, chain->count);
		assert_int_equal(chains[i]->writable_size,
				 chain->writable_size);
		check_readable(chain, chains[i]);
		chain->taken = chains[i];
		t->taken[t->taken_count++] = which;
	}
}

static void write_data(const struct chain *chain, const struct vh_chain *taken,
		       uint32_t written)
{
	uint32_t offset = 0;

	for (unsigned int i = 0; i < taken->writable_count; i++) {
		uint8_t *bytes = taken->writable[i].iov_base;

		for (size_t k = 0; k < taken->writable[i].iov_len; k++) {
			if (offset == written)
				return;
			bytes[k] = pattern(~chain->serial, offset++);
		}
	}
}

static void answer(struct test *t, struct chain *chain,
		   const struct vh_chain *taken)
{
	chain->written = chain->writable_size;
	if (chain->written && one_in(&t->rng, 3))
		chain->written = rnd(&t->rng, chain->written);
	write_data(chain, taken, chain->written);
	chain->back = true;
}

static void pass_buffer(struct test *t, const struct vh_buffer *buffer,
			uint32_t *ret_written)
{
	struct iovec piece = {buffer->data, buffer->size};
	const struct vh_chain taken = {
	    .readable = &piece,
	    .writable = &piece,
	    .readable_count = !buffer->is_writable,
	    .writable_count = buffer->is_writable,
	};
	unsigned int which;
	struct chain *chain = take_next(t, &which);

	assert_int_equal(chain->count, 1);
	assert_int_equal(buffer->is_writable, chain->writable_size > 0);
	assert_int_equal(buffer->size,
			 chain->readable_size + chain->writable_size);
	check_readable(chain, &taken);
	answer(t, chain, &taken);
	*ret_written = chain->written;
}

/* The next one is a buffer that the device may be done with at once. */
static bool is_buffer(const struct test *t)
{
	const struct chain *chain = &t->chains[t->added[t->added_first]];

	return chain->count == 1 &&
	       chain->readable_size + chain->writable_size > 0 &&
	       !(chain->buffers[0].chunk == ACROSS &&
		 chain->buffers[0].length > CHUNK / 2) &&
	       !((t->box.features & VH_F_IN_ORDER) &&
		 vh_virtqueue_inflight(t->device));
}

void device_passes_buffers(struct test *t)
{
	struct vh_buffer buffers[VH_VIRTQUEUE_BURST];
	uint32_t written[VH_VIRTQUEUE_BURST];
	unsigned int max = 1 + rnd(&t->rng, VH_VIRTQUEUE_BURST);
	int n;

	if (t->device_sleeps)
		return;
	n = vh_virtqueue_pop_buffers(t->device, buffers, max);
	assert_in_range(n, 0, max);
	for (int i = 0; i < n; i++) {
		assert_true(t->added_count > t->unshown && is_buffer(t));
		pass_buffer(t, &buffers[i], &written[i]);
	}
	if (n < (int)max && t->added_count > t->unshown)
		assert_false(is_buffer(t));
	vh_virtqueue_push_buffers(t->device, buffers, written, (unsigned int)n);
	t->pushed += (unsigned int)n;
	t->buffers += (unsigned int)n;
}

/* One of those that were taken, and answered. */
static struct chain *answer_one(struct test *t)
{
	unsigned int which =
	    one_in(&t->rng, 2) ? 0 : rnd(&t->rng, t->taken_count);
	struct chain *chain = &t->chains[t->taken[which]];

	t->taken_count--;
	memmove(t->taken + which, t->taken + which + 1,
		(t->taken_count - which) * sizeof(t->taken[0]));
	answer(t, chain, chain->taken);
	return chain;
}

void device_pushes(struct test *t, unsigned int count)
{
	struct vh_chain *burst[8];
	uint32_t written[8];
	unsigned int n = 0;

	for (; count && t->taken_count; count--) {
		struct chain *chain = answer_one(t);

		if (one_in(&t->rng, 4)) {
			assert_int_equal(
			    vh_virtqueue_push_remote(t->device, chain->taken,
						     chain->written),
			    !t->remote);
			t->remote++;
		} else if (one_in(&t->rng, 3)) {
			vh_virtqueue_push(t->device, chain->taken,
					  chain->written);
			t->pushed++;
		} else {
			burst[n] = chain->taken;
			written[n++] = chain->written;
		}
		if (n == 8 || count == 1 || !t->taken_count) {
			vh_virtqueue_push_many(t->device, burst, written, n);
			t->pushed += n;
			n = 0;
		}
	}
}

/* How many more the driver must see after a publish. */
static unsigned int shown(struct test *t)
{
	unsigned int count = 0;

	if (!(t->box.features & VH_F_IN_ORDER))
		return t->pushed;
	while (t->order_count && t->chains[t->order[t->order_first]].back) {
		t->order_first = (t->order_first + 1) % CHUNKS;
		t->order_count--;
		count++;
	}
	return count;
}

void device_publishes(struct test *t)
{
	unsigned int count;
	int call;

	assert_int_equal(vh_virtqueue_take_remote(t->device), t->remote);
	t->pushed += t->remote;
	t->remote = 0;
	count = shown(t);
	t->pushed = 0;
	t->visible += count;
	call = vh_virtqueue_publish(t->device);
	assert_true(!call || count);
	if (!call)
		return;
	t->calls++;
	if (t->driver_sleeps && one_in(&t->rng, 2))
		vh_driver_queue_disable_calls(t->driver);
	t->driver_sleeps = false;
}
void device_sleeps(struct test *t)
{
	if (t->device_sleeps)
		return;
	if (one_in(&t->rng, 4)) {
		vh_virtqueue_disable_kick(t->device);
		return;
	}
	t->device_sleeps = !vh_virtqueue_enable_kick(t->device);
	assert_int_equal(t->device_sleeps, t->added_count == t->unshown);
}
