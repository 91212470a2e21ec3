/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The functions of the handle: each goes to the kind of back-end behind it. */
#include <backend/backend.h>
#include <base/fault.h>
#include <errno.h>

void vh_backend_free(struct vh_backend *backend)
{
	if (backend)
		backend->ops->free(backend);
}

const struct vh_fault *vh_backend_fault(const struct vh_backend *backend)
{
	return &backend->fault;
}

uint64_t vh_backend_capabilities(const struct vh_backend *backend)
{
	return backend->capabilities;
}

int vhi_backend_unsupported(struct vh_backend *backend, const char *what)
{
	return vhi_fault(&backend->fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP,
			 NULL, "%s: this back-end can't do that", what);
}

#define CALL VHI_BACKEND_CALL

int vh_backend_fd(struct vh_backend *backend)
{
	return CALL(backend, fd);
}

int vh_backend_dispatch(struct vh_backend *backend)
{
	return CALL(backend, dispatch);
}

int vh_backend_set_owner(struct vh_backend *backend)
{
	return CALL(backend, set_owner);
}

int vh_backend_release(struct vh_backend *backend)
{
	return CALL(backend, release);
}

int vh_backend_get_features(struct vh_backend *backend, uint64_t *ret_features)
{
	return CALL(backend, get_features, ret_features);
}

int vh_backend_set_features(struct vh_backend *backend, uint64_t features)
{
	return CALL(backend, set_features, features);
}

int vh_backend_get_queue_num(struct vh_backend *backend, uint32_t *ret_queues)
{
	return CALL(backend, get_queue_num, ret_queues);
}

int vh_backend_get_max_mem_slots(struct vh_backend *backend,
				 uint32_t *ret_slots)
{
	return CALL(backend, get_max_mem_slots, ret_slots);
}

int vh_backend_set_mem_table(struct vh_backend *backend,
			     const struct vh_region regions[],
			     unsigned int count)
{
	return CALL(backend, set_mem_table, regions, count);
}

int vh_backend_add_region(struct vh_backend *backend,
			  const struct vh_region *region)
{
	return CALL(backend, add_region, region);
}

int vh_backend_remove_region(struct vh_backend *backend,
			     const struct vh_region *region)
{
	return CALL(backend, remove_region, region);
}

int vh_backend_set_vring_num(struct vh_backend *backend, uint32_t queue,
			     uint32_t num)
{
	return CALL(backend, set_vring_num, queue, num);
}

int vh_backend_set_vring_addr(struct vh_backend *backend, uint32_t queue,
			      const struct vh_vring_addr *addr)
{
	return CALL(backend, set_vring_addr, queue, addr);
}

int vh_backend_set_vring_base(struct vh_backend *backend, uint32_t queue,
			      uint32_t base)
{
	return CALL(backend, set_vring_base, queue, base);
}

int vh_backend_get_vring_base(struct vh_backend *backend, uint32_t queue,
			      uint32_t *ret_base)
{
	return CALL(backend, get_vring_base, queue, ret_base);
}

int vh_backend_set_vring_kick(struct vh_backend *backend, uint32_t queue,
			      int fd)
{
	return CALL(backend, set_vring_kick, queue, fd);
}

int vh_backend_set_vring_call(struct vh_backend *backend, uint32_t queue,
			      int fd)
{
	return CALL(backend, set_vring_call, queue, fd);
}

int vh_backend_set_vring_err(struct vh_backend *backend, uint32_t queue, int fd)
{
	return CALL(backend, set_vring_err, queue, fd);
}

int vh_backend_set_vring_enable(struct vh_backend *backend, uint32_t queue,
				bool enable)
{
	return CALL(backend, set_vring_enable, queue, enable);
}

int vh_backend_get_config_size(struct vh_backend *backend, uint32_t *ret_size)
{
	return CALL(backend, get_config_size, ret_size);
}

int vh_backend_get_config(struct vh_backend *backend, uint32_t offset,
			  void *buffer, uint32_t size)
{
	return CALL(backend, get_config, offset, buffer, size);
}

int vh_backend_set_config(struct vh_backend *backend, uint32_t offset,
			  const void *buffer, uint32_t size, uint32_t by)
{
	return CALL(backend, set_config, offset, buffer, size, by);
}

int vh_backend_get_status(struct vh_backend *backend, uint8_t *ret_status)
{
	return CALL(backend, get_status, ret_status);
}

int vh_backend_set_status(struct vh_backend *backend, uint8_t status)
{
	return CALL(backend, set_status, status);
}

int vh_backend_reset_device(struct vh_backend *backend)
{
	return CALL(backend, reset_device);
}

int vh_backend_get_inflight(struct vh_backend *backend,
			    struct vh_inflight *inflight, int *ret_fd)
{
	return CALL(backend, get_inflight, inflight, ret_fd);
}

int vh_backend_set_inflight(struct vh_backend *backend,
			    const struct vh_inflight *inflight, int fd)
{
	return CALL(backend, set_inflight, inflight, fd);
}

int vh_backend_set_log_base(struct vh_backend *backend,
			    const struct vh_log_area *area, int fd)
{
	return CALL(backend, set_log_base, area, fd);
}

int vh_backend_set_log_fd(struct vh_backend *backend, int fd)
{
	return CALL(backend, set_log_fd, fd);
}

int vh_backend_iotlb_update(struct vh_backend *backend,
			    const struct vh_iotlb_entry *entry)
{
	return CALL(backend, iotlb_update, entry);
}

int vh_backend_iotlb_invalidate(struct vh_backend *backend, vh_gpa iova,
				uint64_t size)
{
	return CALL(backend, iotlb_invalidate, iova, size);
}

int vh_backend_get_backend_features(struct vh_backend *backend,
				    uint64_t *ret_features)
{
	return CALL(backend, get_backend_features, ret_features);
}

int vh_backend_set_backend_features(struct vh_backend *backend,
				    uint64_t features)
{
	return CALL(backend, set_backend_features, features);
}
