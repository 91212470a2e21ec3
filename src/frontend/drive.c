/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a monitor needs that has no guest: the driver's side of a queue, made of
 * what the front-end knows, and a sleep until the device has done something.
 */
#include "frontend.h"

#include <base/check.h>
#include <errno.h>
#include <libvhost/driver.h>
#include <poll.h>

static int make_driver(struct vh_frontend *f, uint32_t queue,
		       struct vh_driver_queue_opts *opts,
		       struct vh_driver_queue **ret_driver)
{
	size_t size;

	opts->index = queue;
	opts->features = f->features;
	size =
	    vh_driver_queue_size(opts->num, f->features, opts->table_entries);
	/* A size that can't be has better words of its own. */
	opts->ring =
	    vhi_frontend_at(&f->memory, opts->ring_at, size ? size : 1);
	if (!opts->ring)
		return vhi_frontend_refuse(
		    f, VH_FAULT_RING_ADDR, -EFAULT, queue,
		    "drive: queue %u, %zu bytes at 0x%llx, is in none of the "
		    "%u memory regions",
		    queue, size, (unsigned long long)opts->ring_at,
		    f->memory.count);
	return vh_driver_queue_new(opts, &f->fault, ret_driver);
}

int vh_frontend_drive(struct vh_frontend *frontend, uint32_t queue,
		      const struct vh_driver_queue_opts *opts,
		      struct vh_driver_queue **ret_driver)
{
	struct vh_frontend *f = frontend;
	struct vh_driver_queue_opts ours;
	VH_OPTS(vh_frontend_ring, place);
	struct vh_driver_queue *driver = NULL;
	int r = vhi_opts_copy(&ours, sizeof(ours), opts);

	if (r < 0)
		return vhi_frontend_refuse(f, VH_FAULT_CALLER, r, queue,
					   "drive: a size that can't be");
	/* Nothing is written to a ring that may be at work. */
	r = vh_frontend_set_ring(f, queue, NULL);
	if (r == 0)
		r = make_driver(f, queue, &ours, &driver);
	if (r < 0)
		return r;
	place.num = ours.num;
	vh_driver_queue_addresses(driver, &place.descriptors, &place.available,
				  &place.used);
	r = vh_frontend_set_ring(f, queue, &place);
	if (r < 0) {
		vh_driver_queue_free(driver);
		return r;
	}
	f->rings[queue].base = vh_driver_queue_base(driver);
	*ret_driver = driver;
	return 0;
}

/* And why, if that has just been found out. */
static int say_gone(struct vh_frontend *f)
{
	const struct vh_fault why = f->fault;

	return vhi_frontend_refuse(
	    f, VH_FAULT_MSG_STATE, -ENODEV, VH_FAULT_NO_QUEUE,
	    "wait: the back-end is gone%s%s", *why.text ? ": " : "", why.text);
}

int vh_frontend_wait(struct vh_frontend *frontend, int call, int timeout_ms)
{
	struct vh_frontend *f = frontend;
	struct pollfd fds[] = {
	    {.fd = call, .events = POLLIN},
	    {.fd = f->epoll, .events = POLLIN},
	};
	int n, r;

	vhi_fault_clear(&f->fault);
	n = poll(fds, 2, f->gone ? 0 : timeout_ms);
	if (n < 0)
		return vhi_frontend_refuse(f, VH_FAULT_SYSTEM, -errno,
					   VH_FAULT_NO_QUEUE, "wait: %m");
	if (fds[0].revents)
		vhi_notifier_empty(call);
	r = vh_frontend_dispatch(f);
	if (r == 0 && f->gone)
		r = say_gone(f);
	return r < 0 ? r : n > 0;
}
