/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Logging for migration, switched on and off while rings run: each worker
 * gives its rings the new log between two bursts, and the change is done when
 * no request is left that was taken before it.
 */
#include "device.h"

#include <base/fault.h>
#include <errno.h>

/* The log that rings use now; NULL: none. */
static struct vh_dirty_log *log_in_use(const struct vh_device *device)
{
	return device->features & VH_F_LOG_ALL ? device->log : NULL;
}

/* W */
static int set_log(struct vh_queue *queue)
{
	const struct vh_vring_addr *addr = &queue->addr;
	struct vh_dirty_log *log = log_in_use(queue->device);
	int r = vh_virtqueue_set_log(queue->ring, log,
				     addr->flags & VH_VRING_F_LOG, addr->log);

	if (r == 0)
		queue->logs = log;
	return r;
}

int vhi_queue_start_log(struct vh_queue *queue)
{
	return log_in_use(queue->device) ? set_log(queue) : 0;
}

struct change {
	bool *given; /* by queue: it has the new log */
};

/* W: one queue; VHI_AGAIN while it must be asked again. */
static int change_queue(struct vh_queue *queue, bool *given)
{
	int r = 0;

	if (!*given)
		r = set_log(queue);
	if (r == -EAGAIN)
		return VHI_AGAIN;
	if (r < 0)
		return r;
	*given = true;
	return vh_virtqueue_holds_old_memory(queue->ring) ? VHI_AGAIN : 0;
}

/* W */
static int run_change(struct vh_worker *worker, void *arg)
{
	struct vh_device *device = worker->device;
	struct change *change = arg;
	int r, result = 0;

	for (uint32_t i = 0; i < device->opts.num_queues; i++) {
		struct vh_queue *queue = &device->queues[i];

		if (queue->worker != worker || !queue->ring)
			continue;
		r = change_queue(queue, &change->given[i]);
		if (r < 0)
			return r;
		if (r == VHI_AGAIN)
			result = VHI_AGAIN;
	}
	return result;
}

int vhi_device_update_log(struct vh_device *device)
{
	bool given[VH_DEVICE_MAX_QUEUES] = {false};
	struct change change = {.given = given};
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < device->num_workers; i++) {
		struct vh_worker *worker = &device->workers[i];

		if (worker->running || !worker->threaded)
			r = vhi_worker_call(worker, run_change, &change);
	}
	return r;
}

int vhi_device_set_log_base(struct vh_backend *b,
			    const struct vh_log_area *area, int fd)
{
	struct vh_device *device = vhi_device_of(b);
	struct vh_dirty_log *old = device->log;
	struct vh_dirty_log *log = NULL;
	int r = 0;

	if (fd >= 0)
		r = vh_dirty_log_new(fd, area->offset, area->size, &b->fault,
				     &log);
	if (r < 0)
		return r;
	device->log = log;
	r = vhi_device_update_log(device);
	if (r < 0) {
		device->log = old;
		(void)!vhi_device_update_log(device);
		vh_dirty_log_unref(log);
		return vhi_fault(&b->fault, VH_FAULT_SYSTEM, r, "Migration",
				 "the log can't be used: error %d", -r);
	}
	vh_dirty_log_unref(old);
	return 0;
}

/* W */
static int run_swap(struct vh_worker *worker, void *arg)
{
	const int *fd = arg;

	vhi_notifier_init(&worker->logged, *fd);
	return 0;
}

/* Takes over fd. */
static int swap_log_fd(struct vh_device *device, int fd)
{
	for (uint32_t i = 0; i < device->num_workers; i++) {
		struct vh_worker *worker = &device->workers[i];

		/* Without a thread yet, nobody else looks at it. */
		if (worker->running || !worker->threaded)
			vhi_worker_call(worker, run_swap, &fd);
		else
			run_swap(worker, &fd);
	}
	vhi_fd_close(&device->log_fd);
	device->log_fd = fd;
	return 0;
}

int vhi_device_set_log_fd(struct vh_backend *b, int fd)
{
	struct vh_device *device = vhi_device_of(b);
	int copy = fd < 0 ? -1 : vhi_notifier_copy(fd);

	if (fd >= 0 && copy < 0)
		return vhi_fault(&b->fault, VH_FAULT_MSG_FDS, copy, "Migration",
				 "the log descriptor can't be used: error %d",
				 -copy);
	return swap_log_fd(device, copy);
}

void vhi_device_drop_log(struct vh_device *device)
{
	(void)!swap_log_fd(device, -1);
	vh_dirty_log_unref(device->log);
	device->log = NULL;
}
