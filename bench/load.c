/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "load.h"
#include "blk.h"
#include "measure.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BURST	  32
#define TIMEOUT_S 20
/* A line of the cache for each request's header and status, as in Linux. */
#define SLOT_SIZE 64

/* What a slot needs in the loop, ready to be handed to the ring. */
struct load_slot {
	struct iovec header;
	struct iovec writable[2]; /* data and status */
	uint64_t *sector;	  /* in the header, in guest memory */
	uint8_t *status;
	uint8_t *data;
};

uint64_t load_memory(const struct load_opts *opts)
{
	return vh_driver_queue_size(opts->queue_size, VH_F_INDIRECT_DESC,
				    LOAD_TABLE_ENTRIES) +
	       (uint64_t)opts->depth * (opts->read_size + SLOT_SIZE) +
	       UINT64_C(3) * 4096; /* each part begins on a page */
}

static uint64_t next_random(struct load *load)
{
	uint64_t x = load->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	load->random = x;
	return x;
}

static struct iovec at_guest(uint64_t gpa, size_t size)
{
	return (struct iovec){(void *)(uintptr_t)gpa, size};
}

static int make_slots(struct load *load)
{
	struct guest *guest = &load->session->guest;
	unsigned int depth = load->opts.depth;
	uint32_t size = load->opts.read_size;
	uint64_t headers = guest_alloc(guest, depth * SLOT_SIZE, 4096);
	uint64_t data = guest_alloc(guest, (uint64_t)depth * size, 4096);

	load->slots = calloc(depth, sizeof(*load->slots));
	load->idle = calloc(depth, sizeof(struct load_slot *));
	if (!headers || !data || !load->slots || !load->idle)
		return -ENOMEM;
	for (unsigned int i = 0; i < depth; i++) {
		uint64_t header = headers + (uint64_t)i * SLOT_SIZE;
		uint64_t status = header + BLK_HEADER_SIZE;
		struct load_slot *slot = &load->slots[i];

		blk_put_header(load->session, header, BLK_IN, 0);
		slot->header = at_guest(header, BLK_HEADER_SIZE);
		slot->writable[0] = at_guest(data + (uint64_t)i * size, size);
		slot->writable[1] = at_guest(status, 1);
		slot->sector = guest_at(guest, header + 8, 8);
		slot->status = guest_at(guest, status, 1);
		slot->data = guest_at(guest, data + (uint64_t)i * size, size);
		load->idle[load->num_idle++] = slot;
	}
	return 0;
}

static int make_driver(struct load *load)
{
	struct guest *guest = &load->session->guest;
	size_t size;

	VH_OPTS(vh_driver_queue_opts, opts);
	opts.num = load->opts.queue_size;
	opts.features = load->session->features;
	if (load->opts.indirect)
		opts.table_entries = LOAD_TABLE_ENTRIES;
	size =
	    vh_driver_queue_size(opts.num, opts.features, opts.table_entries);
	opts.ring_at = guest_alloc(guest, size, 4096);
	if (!opts.ring_at)
		return -ENOMEM;
	opts.ring = guest_at(guest, opts.ring_at, size);
	return vh_driver_queue_new(&opts, NULL, &load->driver);
}

static int start_queue(struct load *load)
{
	struct session_queue *queue = &load->session->queues[load->opts.queue];
	struct frontend *fe = &load->session->fe;
	unsigned int number = load->opts.queue;
	struct fe_vring_addr addr = {.index = number};
	uint64_t descriptors, available, used;
	int ret =
	    fe_set_vring(fe, FE_SET_VRING_NUM, number, load->opts.queue_size);

	vh_driver_queue_addresses(load->driver, &descriptors, &available,
				  &used);
	addr.desc = guest_user(&load->session->guest, descriptors);
	addr.avail = guest_user(&load->session->guest, available);
	addr.used = guest_user(&load->session->guest, used);
	if (ret == 0)
		ret = fe_set_vring(fe, FE_SET_VRING_BASE, number,
				   vh_driver_queue_base(load->driver));
	if (ret == 0)
		ret = fe_set_vring_addr(fe, &addr);
	if (ret == 0)
		ret =
		    fe_set_vring_fd(fe, FE_SET_VRING_CALL, number, queue->call);
	if (ret == 0)
		ret =
		    fe_set_vring_fd(fe, FE_SET_VRING_KICK, number, queue->kick);
	if (ret == 0 && load->session->features & FE_F_PROTOCOL_FEATURES)
		ret = fe_set_vring(fe, FE_SET_VRING_ENABLE, number, 1);
	return ret < 0 ? ret : fe_sync(fe);
}

int load_start(struct load *load, struct session *session,
	       const struct load_opts *opts)
{
	int ret;

	*load = (struct load){
	    .session = session,
	    .opts = *opts,
	    .random = UINT64_C(0x2545f4914f6cdd1d) + opts->queue,
	};
	ret = make_slots(load);
	if (ret == 0)
		ret = make_driver(load);
	if (ret == 0)
		ret = start_queue(load);
	if (ret == 0)
		vh_driver_queue_disable_calls(load->driver);
	return ret;
}

void load_free(struct load *load)
{
	vh_driver_queue_free(load->driver);
	free(load->slots);
	free(load->idle);
	*load = (struct load){.num_idle = 0};
}

void *load_data(const struct load *load, unsigned int slot)
{
	return load->slots[slot].data;
}

int load_submit(struct load *load)
{
	uint32_t sectors = load->opts.read_size / BLK_SECTOR;
	bool any = false;

	while (load->num_idle > 0) {
		struct load_slot *slot = load->idle[load->num_idle - 1];
		uint64_t block = next_random(load) % load->opts.blocks;
		int ret;

		*slot->sector = block * sectors;
		*slot->status = BLK_NO_STATUS;
		ret = vh_driver_queue_add(load->driver, &slot->header, 1,
					  slot->writable, 2, slot);
		if (ret == -ENOSPC)
			break;
		if (ret < 0)
			return ret;
		load->num_idle--;
		any = true;
	}
	if (!any || !vh_driver_queue_publish(load->driver))
		return 0;
	load->kicks++;
	return session_kick(load->session, load->opts.queue);
}

int load_collect(struct load *load)
{
	struct vh_driver_used used[BURST];
	int n = vh_driver_queue_collect(load->driver, used, BURST);

	for (int i = 0; i < n; i++) {
		struct load_slot *slot = used[i].token;

		if (*slot->status != BLK_OK ||
		    used[i].written != load->opts.read_size + 1)
			load->wrong++;
		load->idle[load->num_idle++] = slot;
	}
	if (n > 0)
		load->requests += (unsigned int)n;
	return n;
}

int load_sleep(struct load *load)
{
	int call = load->session->queues[load->opts.queue].call;
	struct pollfd poller = {.fd = call, .events = POLLIN};
	uint64_t value;

	if (vh_driver_queue_enable_calls(load->driver))
		return 0;
	if (poll(&poller, 1, TIMEOUT_S * 1000) != 1)
		return -ETIMEDOUT;
	load->calls++;
	if (read(call, &value, sizeof(value)) < 0 && errno != EAGAIN)
		return -errno;
	vh_driver_queue_disable_calls(load->driver);
	return 0;
}

int load_finish(struct load *load)
{
	uint64_t end = now_ns() + UINT64_C(1000000000) * TIMEOUT_S;

	while (vh_driver_queue_inflight(load->driver) > 0)
		if (load_collect(load) < 0 || now_ns() > end)
			return -ETIMEDOUT;
	return 0;
}

/* As a guest does whose processors poll before they halt. */
static int look_on(struct load *load)
{
	uint64_t end = now_ns() + UINT64_C(1000) * load->opts.spin_us;
	int n = 0;

	while (n == 0 && now_ns() < end)
		n = load_collect(load);
	return n;
}

static int one_turn(struct load *load, bool events)
{
	int n = load_submit(load);

	if (n == 0)
		n = load_collect(load);
	if (n == 0 && load->opts.spin_us)
		n = look_on(load);
	return n == 0 && events ? load_sleep(load) : n;
}

static void count_anew(struct load *loads, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		loads[i].requests = 0;
		loads[i].kicks = 0;
		loads[i].calls = 0;
	}
}

static double outcome(const struct load *loads, unsigned int count,
		      uint64_t took)
{
	uint64_t requests = 0;

	for (unsigned int i = 0; i < count; i++) {
		requests += loads[i].requests;
		if (loads[i].wrong)
			return -EBADMSG;
	}
	return requests ? (double)took * 1e-9 : -ETIMEDOUT;
}

double load_run(struct load *loads, unsigned int count, double seconds,
		bool events)
{
	uint64_t start = now_ns();
	uint64_t now = start, end = start + (uint64_t)(seconds * 1e9);
	uint64_t patience = start + UINT64_C(1000000000) * TIMEOUT_S;
	unsigned int turn = 0;
	bool any = false;

	count_anew(loads, count);
	/* On a machine that is busy otherwise nothing may come for a while. */
	while (now < end || (!any && now < patience)) {
		for (unsigned int i = 0; i < count; i++) {
			int n = one_turn(&loads[i], events);

			if (n < 0)
				return n;
			any |= n > 0;
		}
		if (events || ++turn % 16 == 0)
			now = now_ns();
	}
	return outcome(loads, count, now - start);
}
