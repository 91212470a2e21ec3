/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* vhost-vsock: both rings run, or none. */
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>

#include "kernel.h"

#define QUEUES 2

static int set_running(struct kernel *k, int running)
{
	int r = vhi_node_call(&k->node, VHI_VSOCK_SET_RUNNING, &running);

	return r < 0 ? r : 0;
}

static int start(struct kernel *k, uint32_t queue)
{
	(void)queue;
	return set_running(k, 1);
}

static int stop(struct kernel *k, uint32_t queue)
{
	(void)queue;
	return set_running(k, 0);
}

static int check(struct kernel *k, uint32_t queue)
{
	(void)queue;
	if (k->has_cid)
		return 0;
	return vhi_fault(&k->backend.fault, VH_FAULT_CALLER, -EINVAL, NULL,
			 "vhost-vsock can't run without a guest CID");
}

/*
 * CID 0 can't be. Only vhost-vsock says so; the others say that nobody owns
 * the device, or that they don't know the request.
 */
static int probe(struct kernel *k, uint64_t features)
{
	unsigned long request = vhi_call_info(VHI_VSOCK_SET_GUEST_CID)->number;
	uint64_t cid = 0;

	(void)features;
	if (ioctl(k->node.fd, request, &cid) < 0 && errno == EINVAL)
		return 0;
	return kernel_wrong_kind(k);
}

static const struct kernel_kind vsock = {
    .name = "vhost-vsock",
    .whole = true,
    .probe = probe,
    .check = check,
    .start = start,
    .stop = stop,
};

static int set_cid(struct kernel *k, uint64_t cid)
{
	int r;

	if (cid < 3 || cid >= UINT32_MAX)
		return vhi_fault(&k->backend.fault, VH_FAULT_CALLER, -EINVAL,
				 NULL, "CID %" PRIu64 " isn't 3 to %" PRIu32,
				 cid, UINT32_MAX - 1);
	r = vhi_node_call(&k->node, VHI_VSOCK_SET_GUEST_CID, &cid);
	if (r < 0)
		return r;
	k->has_cid = true;
	return 0;
}

int vh_vsock_open(const struct vh_vsock_opts *opts, struct vh_fault *fault,
		  struct vh_backend **ret_backend)
{
	struct vh_vsock_opts copy;
	struct kernel *k;
	int r = vhi_node_opts(&copy, sizeof(copy), opts, fault);

	if (r >= 0)
		r = kernel_open(copy.path, copy.fd, &vsock, fault, &k);
	if (r < 0)
		return r;
	if (copy.guest_cid)
		r = set_cid(k, copy.guest_cid);
	return kernel_finish(k, r, QUEUES, fault, ret_backend);
}

int vh_vsock_set_guest_cid(struct vh_backend *backend, uint64_t guest_cid)
{
	int r = kernel_check(backend, &vsock);

	return r < 0 ? r : set_cid(kernel_of(backend), guest_cid);
}

int vh_vsock_set_running(struct vh_backend *backend, bool running)
{
	struct kernel *k = kernel_of(backend);
	int r = kernel_check(backend, &vsock);
	bool held;

	if (r < 0)
		return r;
	held = k->held;
	for (uint32_t i = 0; running && i < QUEUES; i++)
		if (!k->vrings[i].started || !k->vrings[i].enabled)
			return vhi_fault(&backend->fault, VH_FAULT_CALLER,
					 -EINVAL, NULL,
					 "ring %" PRIu32 " isn't started and "
					 "enabled",
					 i);
	k->held = !running;
	r = kernel_run(k, 0);
	if (r < 0)
		k->held = held;
	return r;
}
