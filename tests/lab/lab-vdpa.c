/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * lab-vdpa KIND NODE [FILE]: drives a vDPA device.
 *
 *   sim-blk   vdpa_sim_blk: a disk of zeroes
 *   vduse     a disk by VDUSE, whose contents are in FILE: lines of 8 bytes,
 *             line N is the number 1000000 + N
 *   sim-net   vdpa_sim_net: receives what it sends, and has a control queue
 *             in a group of its own
 */
#include "lab-vdpa.h"

#include <errno.h>
#include <string.h>

struct vmm *vdpa_open(const char *node, uint32_t device_id)
{
	static struct vmm vmm;
	struct vh_net_opts net = {.size = sizeof(net), .path = NULL};
	struct vh_backend *other;
	struct vh_fault fault;
	uint32_t id = 0;
	VH_OPTS(vh_vdpa_opts, opts);

	vmm_init(&vmm, 0);
	opts.path = node;
	VMM_CHECK(vh_vdpa_open(&opts, &fault, &vmm.backend) == 0, "%s",
		  fault.text);
	VMM_OK(&vmm, vh_vdpa_get_device_id(vmm.backend, &id));
	VMM_CHECK(id == device_id, "device id %u", id);
	/* One opener at a time, and no vhost-net. */
	VMM_CHECK(vh_vdpa_open(&opts, &fault, &other) == -EBUSY,
		  "%s can be opened twice", node);
	net.fd = 0;
	VMM_CHECK(vh_net_open(&net, &fault, &other) == -ENOTTY,
		  "the console is a vhost-net");
	return &vmm;
}

void vdpa_negotiate(struct vmm *vmm, uint64_t features)
{
	struct vh_backend *b = vmm->backend;

	vmm->features = features;
	VMM_OK(vmm, vh_backend_set_owner(b));
	VMM_OK(vmm, vh_backend_set_status(b, 0));
	VMM_OK(vmm, vh_backend_set_status(b, STATUS_DRIVER));
	VMM_OK(vmm, vh_backend_set_features(b, features));
	VMM_OK(vmm, vh_backend_set_status(b, STATUS_FEATURES_OK));
	VMM_FAILS(vmm, -EBUSY, vh_backend_set_features(b, features));
}

void vdpa_start(struct vmm *vmm)
{
	uint8_t status = 0;

	VMM_OK(vmm, vh_backend_set_status(vmm->backend, STATUS_DRIVER_OK));
	VMM_OK(vmm, vh_backend_get_status(vmm->backend, &status));
	VMM_CHECK(status == STATUS_DRIVER_OK, "status 0x%02x", status);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "sim-blk") == 0)
		vdpa_block(argv[2], NULL);
	else if (argc == 4 && strcmp(argv[1], "vduse") == 0)
		vdpa_block(argv[2], argv[3]);
	else if (argc == 3 && strcmp(argv[1], "sim-net") == 0)
		vdpa_network(argv[2]);
	else
		vmm_fail("usage: lab-vdpa sim-blk|vduse|sim-net NODE [FILE]");
	return 0;
}
