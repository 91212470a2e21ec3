/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Features, config space, status and reset: the control side. */
#include "device.h"

#include <base/check.h>
#include <base/fault.h>
#include <errno.h>

/*
 * What requests in flight may still take when their front-end is gone. Those
 * of a decent guest are done by then, and nobody has to wait for others.
 */
#define GRACE_NS 1000000000

static uint64_t offered(const struct vh_device *device)
{
	const uint64_t ours = VH_F_VERSION_1 | VH_F_INDIRECT_DESC |
			      VH_F_EVENT_IDX | VH_F_RING_PACKED |
			      VH_F_RING_RESET | VH_F_LOG_ALL;

	return device->opts.features | (ours & ~device->opts.without_features);
}

static int get_features(struct vh_backend *b, uint64_t *ret_features)
{
	*ret_features = offered(vhi_device_of(b));
	return 0;
}

bool vhi_device_started(const struct vh_device *device)
{
	for (uint32_t i = 0; i < device->opts.num_queues; i++)
		if (device->queues[i].started)
			return true;
	return false;
}

/* Whatever else changes, rings go on as they are. Workers may be looking. */
static int change_logging(struct vh_device *device, uint64_t features)
{
	uint64_t old = device->features;
	int r;

	__atomic_store_n(&device->features, features, __ATOMIC_RELAXED);
	r = vhi_device_update_log(device);
	if (r < 0) {
		__atomic_store_n(&device->features, old, __ATOMIC_RELAXED);
		(void)!vhi_device_update_log(device);
		return vhi_fault(&device->backend.fault, VH_FAULT_SYSTEM, r, "",
				 "logging can't begin: error %d", -r);
	}
	return 0;
}

static int set_features(struct vh_backend *b, uint64_t features)
{
	struct vh_device *device = vhi_device_of(b);
	uint64_t unknown = features & ~offered(device);
	int r = 0;

	if (unknown)
		return vhi_fault(&b->fault, VH_FAULT_FEATURES, -EINVAL,
				 "Feature bits",
				 "features 0x%llx weren't offered, 0x%llx are",
				 (unsigned long long)unknown,
				 (unsigned long long)offered(device));
	if (vhi_device_started(device)) {
		if (!((features ^ device->features) & ~VH_F_LOG_ALL))
			return change_logging(device, features);
		return vhi_fault(&b->fault, VH_FAULT_MSG_STATE, -EBUSY,
				 "Feature bits",
				 "features change from 0x%llx to 0x%llx while "
				 "a ring is started",
				 (unsigned long long)device->features,
				 (unsigned long long)features);
	}
	if (device->ops.set_features)
		r = device->ops.set_features(device->user,
					     features & ~VH_F_LOG_ALL);
	if (r < 0)
		return vhi_fault(&b->fault, VH_FAULT_FEATURES, r,
				 "Feature bits",
				 "the device refuses features 0x%llx",
				 (unsigned long long)features);
	device->features = features;
	return vhi_device_choose_iotlb(device);
}

static int set_owner(struct vh_backend *b)
{
	(void)b;
	return 0;
}

static int get_queue_num(struct vh_backend *b, uint32_t *ret_queues)
{
	*ret_queues = vhi_device_of(b)->opts.num_queues;
	return 0;
}

static int get_max_mem_slots(struct vh_backend *b, uint32_t *ret_slots)
{
	(void)b;
	*ret_slots = VH_MEMORY_MAX_REGIONS;
	return 0;
}

static int get_config_size(struct vh_backend *b, uint32_t *ret_size)
{
	*ret_size = vhi_device_of(b)->opts.config_size;
	return 0;
}

static int check_config(struct vh_backend *b, uint32_t offset, uint32_t size)
{
	uint32_t limit = vhi_device_of(b)->opts.config_size;

	if (size == 0 || offset > limit || size > limit - offset)
		return vhi_fault(&b->fault, VH_FAULT_CONFIG, -EINVAL,
				 "Virtio device config space",
				 "config access of %u bytes at %u, the space "
				 "has %u",
				 size, offset, limit);
	return 0;
}

static int get_config(struct vh_backend *b, uint32_t offset, void *buffer,
		      uint32_t size)
{
	struct vh_device *device = vhi_device_of(b);
	int r = check_config(b, offset, size);

	if (r == 0)
		r = device->ops.get_config(device->user, offset, buffer, size);
	return r < 0 ? r : 0;
}

static int set_config(struct vh_backend *b, uint32_t offset, const void *buffer,
		      uint32_t size, uint32_t by)
{
	struct vh_device *device = vhi_device_of(b);
	int r = check_config(b, offset, size);

	if (r < 0)
		return r;
	r = device->ops.set_config
		? device->ops.set_config(device->user, offset, buffer, size, by)
		: -EACCES;
	if (r < 0)
		return vhi_fault(
		    &b->fault, VH_FAULT_CONFIG, r, "Virtio device config space",
		    "config write of %u bytes at %u: %s", size, offset,
		    r == -EACCES ? "read-only for the driver"
				 : "not a value it can have");
	return 0;
}

static int get_status(struct vh_backend *b, uint8_t *ret_status)
{
	struct vh_device *device = vhi_device_of(b);
	uint8_t status = device->status;

	if (__atomic_load_n(&device->broken, __ATOMIC_RELAXED))
		status |= STATUS_NEEDS_RESET;
	*ret_status = status;
	return 0;
}

static int set_status(struct vh_backend *b, uint8_t status)
{
	vhi_device_of(b)->status = status & (uint8_t)~STATUS_NEEDS_RESET;
	return 0;
}

static int stop_all(struct vh_device *device)
{
	int r = 0;

	for (uint32_t i = 0; i < device->opts.num_queues; i++) {
		int stopped = vhi_vring_stop(&device->queues[i]);

		vhi_vring_clear(&device->queues[i]);
		r = r < 0 ? r : stopped;
	}
	return r;
}

static int reset(struct vh_device *device, void (*tell)(void *user))
{
	int r = stop_all(device);

	device->features = 0;
	device->status = 0;
	/* Without features there is no IOTLB, so nothing is to be made. */
	(void)!vhi_device_choose_iotlb(device);
	if (tell)
		tell(device->user);
	return r;
}

static int reset_device(struct vh_backend *b)
{
	struct vh_device *device = vhi_device_of(b);
	int r = reset(device, device->ops.reset);

	vhi_device_forget_inflight(device);
	return r;
}

/* What is in flight stays noted: a front-end may come back with it. */
int vhi_device_release(struct vh_backend *b)
{
	struct vh_device *device = vhi_device_of(b);
	int dropped;
	int r;

	__atomic_store_n(&device->grace_ends, vhi_now_ns() + GRACE_NS,
			 __ATOMIC_RELAXED);
	r = reset(device, device->ops.release ? device->ops.release
					      : device->ops.reset);
	for (uint32_t i = 0; i < device->opts.num_queues; i++) {
		int gone = vhi_vring_set_call(b, i, -1);

		r = r < 0 ? r : gone;
		gone = vhi_vring_set_err(b, i, -1);
		r = r < 0 ? r : gone;
	}
	for (uint32_t i = 0; i < device->num_workers; i++)
		vhi_worker_stop(&device->workers[i]);
	__atomic_store_n(&device->grace_ends, 0, __ATOMIC_RELAXED);
	vhi_device_drop_inflight(device);
	vhi_device_drop_log(device);
	dropped = vhi_device_drop_memory(device);
	return r < 0 ? r : dropped;
}

static int get_fd(struct vh_backend *b)
{
	int fd = vh_device_fd(b);

	if (fd < 0)
		return vhi_fault(&b->fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP,
				 "", "the device has threads of its own");
	return fd;
}

static int dispatch(struct vh_backend *b)
{
	int r = get_fd(b);

	return r < 0 ? r : vh_device_dispatch(b);
}

static void free_device(struct vh_backend *b);

const struct vhi_backend_ops vhi_device_backend_ops = {
    .free = free_device,
    .fd = get_fd,
    .dispatch = dispatch,
    .set_owner = set_owner,
    .release = vhi_device_release,
    .get_features = get_features,
    .set_features = set_features,
    .get_queue_num = get_queue_num,
    .get_max_mem_slots = get_max_mem_slots,
    .set_mem_table = vhi_device_set_mem_table,
    .add_region = vhi_device_add_region,
    .remove_region = vhi_device_remove_region,
    .set_vring_num = vhi_vring_set_num,
    .set_vring_addr = vhi_vring_set_addr,
    .set_vring_base = vhi_vring_set_base,
    .get_vring_base = vhi_vring_get_base,
    .set_vring_kick = vhi_vring_set_kick,
    .set_vring_call = vhi_vring_set_call,
    .set_vring_err = vhi_vring_set_err,
    .set_vring_enable = vhi_vring_set_enable,
    .get_config_size = get_config_size,
    .get_config = get_config,
    .set_config = set_config,
    .get_status = get_status,
    .set_status = set_status,
    .reset_device = reset_device,
    .get_inflight = vhi_device_get_inflight,
    .set_inflight = vhi_device_set_inflight,
    .set_log_base = vhi_device_set_log_base,
    .set_log_fd = vhi_device_set_log_fd,
    .iotlb_update = vhi_device_iotlb_update,
    .iotlb_invalidate = vhi_device_iotlb_invalidate,
};

static void free_device(struct vh_backend *b)
{
	struct vh_device *device = vhi_device_of(b);

	/* An error here means that memory is short; the rest goes anyway. */
	(void)!vhi_device_release(b);
	if (device->ops.destroy)
		device->ops.destroy(device->user);
	vhi_device_dispose(device);
}
