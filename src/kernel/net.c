/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* vhost-net: each ring runs while a tap device or socket is bound to it. */
#include <base/fault.h>
#include <base/fd.h>
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "kernel.h"

#define QUEUES		2
#define NET_F_MRG_RXBUF (UINT64_C(1) << 15)

static int start(struct kernel *k, uint32_t queue)
{
	return vhi_ring_set_fd(&k->node, VHI_NET_SET_BACKEND, queue,
			       k->taps[queue]);
}

static int stop(struct kernel *k, uint32_t queue)
{
	return vhi_ring_set_fd(&k->node, VHI_NET_SET_BACKEND, queue, -1);
}

/*
 * Only vhost-net has mergeable buffers among those drivers, and only it looks
 * at what NET_SET_BACKEND points to before it asks who owns the device.
 */
static int probe(struct kernel *k, uint64_t features)
{
	unsigned long request = vhi_call_info(VHI_NET_SET_BACKEND)->number;

	if (features & NET_F_MRG_RXBUF &&
	    ioctl(k->node.fd, request, NULL) < 0 && errno == EFAULT)
		return 0;
	return kernel_wrong_kind(k);
}

static const struct kernel_kind net = {
    .name = "vhost-net",
    .probe = probe,
    .start = start,
    .stop = stop,
};

static int bind_taps(struct kernel *k, const struct vh_net_opts *opts)
{
	if (!opts->taps)
		return 0;
	if (opts->num_taps < 1 || opts->num_taps > QUEUES)
		return vhi_fault(&k->backend.fault, VH_FAULT_CALLER, -EINVAL,
				 NULL, "%" PRIu32 " tap devices, not 1 or 2",
				 opts->num_taps);
	for (uint32_t i = 0; i < QUEUES; i++) {
		int fd = opts->taps[opts->num_taps == QUEUES ? i : 0];
		int copy = vhi_fd_dup(fd);

		if (copy < 0)
			return vhi_fault(&k->backend.fault, VH_FAULT_SYSTEM,
					 copy, NULL,
					 "tap descriptor %d can't be "
					 "duplicated",
					 fd);
		k->taps[i] = copy;
	}
	return 0;
}

int vh_net_open(const struct vh_net_opts *opts, struct vh_fault *fault,
		struct vh_backend **ret_backend)
{
	struct vh_net_opts copy;
	struct kernel *k;
	int r = vhi_node_opts(&copy, sizeof(copy), opts, fault);

	if (r >= 0)
		r = kernel_open(copy.path, copy.fd, &net, fault, &k);
	if (r < 0)
		return r;
	return kernel_finish(k, bind_taps(k, &copy), QUEUES, fault,
			     ret_backend);
}

int vh_net_set_backend(struct vh_backend *backend, uint32_t queue, int fd)
{
	struct kernel *k = kernel_of(backend);
	int r = kernel_check(backend, &net);
	int copy = -1;
	int old;

	if (r >= 0)
		r = kernel_check_queue(k, queue);
	if (r < 0)
		return r;
	if (fd >= 0) {
		copy = vhi_fd_dup(fd);
		if (copy < 0)
			return vhi_fault(&backend->fault, VH_FAULT_SYSTEM, copy,
					 NULL, "descriptor %d", fd);
	}
	old = k->taps[queue];
	k->taps[queue] = copy;
	if (copy >= 0 && k->vrings[queue].active)
		r = start(k, queue);
	else
		r = kernel_run(k, queue);
	if (r < 0) {
		k->taps[queue] = old;
		old = copy;
	}
	vhi_fd_close(&old);
	return r;
}
