/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "rig.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATIENCE_MS 20000

void rig_complete(void *user, struct vh_queue *queue, struct vh_chain *chains[],
		  unsigned int count)
{
	(void)user;
	for (unsigned int i = 0; i < count; i++) {
		/* The workers of all queues have the same buffer. */
		__atomic_store_n((char *)chains[i]->writable->iov_base, 'x',
				 __ATOMIC_RELAXED);
		vh_queue_complete(queue, chains[i], 1);
	}
}

void rig_open(struct rig *rig, uint32_t workers, uint64_t features,
	      rig_process *process)
{
	VH_OPTS(vh_device_ops, ops);

	ops.process = process;
	rig_open_ops(rig, workers, features, &ops);
}

void rig_open_ops(struct rig *rig, uint32_t workers, uint64_t features,
		  const struct vh_device_ops *ops)
{
	VH_OPTS(vh_device_opts, opts);

	opts.workers = workers;
	rig_open_opts(rig, &opts, features, ops);
}

void rig_open_opts(struct rig *rig, struct vh_device_opts *opts,
		   uint64_t features, const struct vh_device_ops *ops)
{
	struct vh_region region = {.size = RIG_MEMORY};

	memset(rig, 0, sizeof(*rig));
	rig->own_loop = !opts->workers;
	opts->features = features & VH_F_IN_ORDER;
	opts->num_queues = RIG_QUEUES;
	assert_int_equal(vh_device_new(ops, opts, rig, &rig->backend), 0);
	rig->fd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(rig->fd, (off_t)RIG_MEMORY), 0);
	rig->memory = mmap(NULL, RIG_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED,
			   rig->fd, 0);
	assert_true(rig->memory != MAP_FAILED);
	region.user.raw = (uintptr_t)rig->memory;
	region.fd = rig->fd;
	features |= VH_F_VERSION_1;
	assert_int_equal(vh_backend_set_features(rig->backend, features), 0);
	assert_int_equal(vh_backend_set_mem_table(rig->backend, &region, 1), 0);
	for (unsigned int i = 0; i < RIG_QUEUES; i++) {
		rig->kicks[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		rig->calls[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
}

void rig_close(struct rig *rig)
{
	vh_backend_free(rig->backend);
	for (unsigned int i = 0; i < RIG_QUEUES; i++) {
		vh_driver_queue_free(rig->drivers[i]);
		close(rig->kicks[i]);
		close(rig->calls[i]);
	}
	munmap(rig->memory, RIG_MEMORY);
	close(rig->fd);
}

static void start_queue(struct rig *rig, unsigned int queue, uint64_t features,
			uint32_t flags)
{
	VH_OPTS(vh_driver_queue_opts, opts);
	struct vh_vring_addr addr = {.flags = flags};
	struct vh_backend *b = rig->backend;

	opts.num = RIG_NUM;
	opts.features = features | VH_F_VERSION_1;
	opts.ring_at = UINT64_C(0x10000) * (queue + 1);
	opts.ring = rig->memory + opts.ring_at;
	assert_int_equal(vh_driver_queue_new(&opts, NULL, &rig->drivers[queue]),
			 0);
	vh_driver_queue_addresses(rig->drivers[queue], &addr.descriptors,
				  &addr.available, &addr.used);
	addr.log = addr.used;
	assert_int_equal(vh_backend_set_vring_num(b, queue, RIG_NUM), 0);
	assert_int_equal(
	    vh_backend_set_vring_base(
		b, queue, vh_driver_queue_base(rig->drivers[queue])),
	    0);
	assert_int_equal(vh_backend_set_vring_addr(b, queue, &addr), 0);
	assert_int_equal(vh_backend_set_vring_call(b, queue, rig->calls[queue]),
			 0);
	assert_int_equal(vh_backend_set_vring_enable(b, queue, true), 0);
	assert_int_equal(vh_backend_set_vring_kick(b, queue, rig->kicks[queue]),
			 0);
}

void rig_start(struct rig *rig, uint64_t features, uint32_t flags)
{
	for (unsigned int i = 0; i < RIG_QUEUES; i++)
		start_queue(rig, i, features, flags);
}

void rig_offer(struct rig *rig, unsigned int queue)
{
	const struct iovec buffer = {(void *)(uintptr_t)RIG_BUFFER, 1};
	struct vh_driver_queue *driver = rig->drivers[queue];

	assert_int_equal(vh_driver_queue_add(driver, NULL, 0, &buffer, 1, rig),
			 0);
	if (vh_driver_queue_publish(driver))
		assert_int_equal(eventfd_write(rig->kicks[queue], 1), 0);
}

void rig_wait(struct rig *rig, unsigned int queue)
{
	struct pollfd waiting = {.fd = rig->calls[queue], .events = POLLIN};
	struct vh_driver_queue *driver = rig->drivers[queue];
	struct vh_driver_used used;
	eventfd_t value;
	int n;

	for (;;) {
		if (rig->own_loop)
			assert_int_equal(vh_device_dispatch(rig->backend), 0);
		n = vh_driver_queue_collect(driver, &used, 1);
		assert_true(n >= 0);
		if (n == 1)
			return;
		if (rig->own_loop || vh_driver_queue_enable_calls(driver))
			continue;
		assert_int_equal(poll(&waiting, 1, PATIENCE_MS), 1);
		(void)!eventfd_read(waiting.fd, &value);
	}
}
