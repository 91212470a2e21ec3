/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* vhost-scsi: all rings run while an endpoint is set. */
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "kernel.h"

#define DEFAULT_QUEUES 3
#define MAX_QUEUES     1026 /* two, and as many as the driver takes at most */

static int start(struct kernel *k, uint32_t queue)
{
	int r = vhi_node_call(&k->node, VHI_SCSI_SET_ENDPOINT, &k->target);

	(void)queue;
	return r < 0 ? r : 0;
}

static int stop(struct kernel *k, uint32_t queue)
{
	int r = vhi_node_call(&k->node, VHI_SCSI_CLEAR_ENDPOINT, &k->target);

	(void)queue;
	if (r < 0)
		return r;
	kernel_let_go(k);
	return 0;
}

static int check(struct kernel *k, uint32_t queue)
{
	(void)queue;
	if (k->target.wwpn[0])
		return 0;
	return vhi_fault(&k->backend.fault, VH_FAULT_CALLER, -EINVAL, NULL,
			 "vhost-scsi can't run without an endpoint");
}

static int get_abi(struct kernel *k, int *ret)
{
	int version = -1;
	int r = vhi_node_call(&k->node, VHI_SCSI_GET_ABI_VERSION, &version);

	if (r < 0)
		return r;
	if (version < 0)
		return vhi_node_nonsense(&k->node, VHI_SCSI_GET_ABI_VERSION,
					 "version", (unsigned int)version);
	*ret = version;
	return 0;
}

static int probe(struct kernel *k, uint64_t features)
{
	int version = 0;
	int r = get_abi(k, &version);

	(void)features;
	if (r < 0 && r != -EPROTO)
		return kernel_wrong_kind(k);
	if (r < 0)
		return r;
	if (version <= VHI_SCSI_ABI)
		return 0;
	return vhi_fault(&k->backend.fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP,
			 NULL, "ABI version %d, this library knows %d", version,
			 VHI_SCSI_ABI);
}

static const struct kernel_kind scsi = {
    .name = "vhost-scsi",
    .whole = true,
    .lingers = true,
    .probe = probe,
    .check = check,
    .start = start,
    .stop = stop,
};

static int set_target(struct kernel *k, const char *wwpn, uint16_t tpgt)
{
	struct vhi_scsi_target target = {.abi_version = VHI_SCSI_ABI,
					 .tpgt = tpgt};
	size_t length = wwpn ? strnlen(wwpn, sizeof(target.wwpn)) : 0;

	if (length == 0 || length == sizeof(target.wwpn))
		return vhi_fault(&k->backend.fault, VH_FAULT_CALLER, -EINVAL,
				 NULL, "a target's name has 1 to %zu bytes",
				 sizeof(target.wwpn) - 1);
	memcpy(target.wwpn, wwpn, length);
	k->target = target;
	return 0;
}

static int count_queues(struct kernel *k, uint32_t *num)
{
	if (*num == 0)
		*num = DEFAULT_QUEUES;
	if (*num >= DEFAULT_QUEUES && *num <= MAX_QUEUES)
		return 0;
	return vhi_fault(&k->backend.fault, VH_FAULT_CALLER, -EINVAL, NULL,
			 "%" PRIu32 " rings, not %d to %d", *num,
			 DEFAULT_QUEUES, MAX_QUEUES);
}

int vh_scsi_open(const struct vh_scsi_opts *opts, struct vh_fault *fault,
		 struct vh_backend **ret_backend)
{
	struct vh_scsi_opts copy;
	struct kernel *k;
	int r = vhi_node_opts(&copy, sizeof(copy), opts, fault);

	if (r >= 0)
		r = kernel_open(copy.path, copy.fd, &scsi, fault, &k);
	if (r < 0)
		return r;
	r = count_queues(k, &copy.num_queues);
	if (r >= 0 && copy.wwpn)
		r = set_target(k, copy.wwpn, copy.tpgt);
	return kernel_finish(k, r, copy.num_queues, fault, ret_backend);
}

int vh_scsi_set_endpoint(struct vh_backend *backend, const char *wwpn,
			 uint16_t tpgt)
{
	struct kernel *k = kernel_of(backend);
	int r = kernel_check(backend, &scsi);

	if (r < 0)
		return r;
	if (kernel_is_active(k))
		return vhi_fault(&backend->fault, VH_FAULT_CALLER, -EBUSY, NULL,
				 "the rings run with another endpoint");
	return set_target(k, wwpn, tpgt);
}

int vh_scsi_clear_endpoint(struct vh_backend *backend)
{
	struct kernel *k = kernel_of(backend);
	int r = kernel_check(backend, &scsi);

	bool runs = r >= 0 && kernel_is_active(k);

	if (runs)
		r = stop(k, 0);
	if (r < 0)
		return r;
	for (uint32_t i = 0; runs && i < k->num_queues; i++) {
		k->vrings[i].active = false;
		k->vrings[i].started = false;
	}
	k->target = (struct vhi_scsi_target){0};
	return 0;
}

int vh_scsi_get_abi_version(struct vh_backend *backend, int *ret_version)
{
	int r = kernel_check(backend, &scsi);

	return r < 0 ? r : get_abi(kernel_of(backend), ret_version);
}

int vh_scsi_set_events_missed(struct vh_backend *backend, uint32_t missed)
{
	int r = kernel_check(backend, &scsi);

	if (r >= 0)
		r = vhi_node_call(&kernel_of(backend)->node,
				  VHI_SCSI_SET_EVENTS_MISSED, &missed);
	return r < 0 ? r : 0;
}

int vh_scsi_get_events_missed(struct vh_backend *backend, uint32_t *ret_missed)
{
	uint32_t missed = 0;
	int r = kernel_check(backend, &scsi);

	if (r >= 0)
		r = vhi_node_call(&kernel_of(backend)->node,
				  VHI_SCSI_GET_EVENTS_MISSED, &missed);
	if (r < 0)
		return r;
	*ret_missed = missed;
	return 0;
}
