/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What a kind of back-end fills in. Each member is the function of the same
 * name in <libvhost/backend.h>; one that is NULL answers -EOPNOTSUPP. A
 * member that fails puts words into backend->fault.
 */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include <base/fault.h>
#include <libvhost/backend.h>
#include <libvhost/special.h>
#include <pthread.h>

struct vhi_backend_ops {
	void (*free)(struct vh_backend *b);
	int (*fd)(struct vh_backend *b);
	int (*dispatch)(struct vh_backend *b);
	int (*set_owner)(struct vh_backend *b);
	int (*release)(struct vh_backend *b);
	int (*get_features)(struct vh_backend *b, uint64_t *ret);
	int (*set_features)(struct vh_backend *b, uint64_t features);
	int (*get_queue_num)(struct vh_backend *b, uint32_t *ret);
	int (*get_max_mem_slots)(struct vh_backend *b, uint32_t *ret);
	int (*set_mem_table)(struct vh_backend *b,
			     const struct vh_region regions[],
			     unsigned int count);
	int (*add_region)(struct vh_backend *b, const struct vh_region *region);
	int (*remove_region)(struct vh_backend *b,
			     const struct vh_region *region);
	int (*set_vring_num)(struct vh_backend *b, uint32_t q, uint32_t num);
	int (*set_vring_addr)(struct vh_backend *b, uint32_t q,
			      const struct vh_vring_addr *addr);
	int (*set_vring_base)(struct vh_backend *b, uint32_t q, uint32_t base);
	int (*get_vring_base)(struct vh_backend *b, uint32_t q, uint32_t *ret);
	int (*set_vring_kick)(struct vh_backend *b, uint32_t q, int fd);
	int (*set_vring_call)(struct vh_backend *b, uint32_t q, int fd);
	int (*set_vring_err)(struct vh_backend *b, uint32_t q, int fd);
	int (*set_vring_enable)(struct vh_backend *b, uint32_t q, bool enable);
	int (*get_config_size)(struct vh_backend *b, uint32_t *ret);
	int (*get_config)(struct vh_backend *b, uint32_t offset, void *buffer,
			  uint32_t size);
	int (*set_config)(struct vh_backend *b, uint32_t offset,
			  const void *buffer, uint32_t size, uint32_t by);
	int (*get_status)(struct vh_backend *b, uint8_t *ret);
	int (*set_status)(struct vh_backend *b, uint8_t status);
	int (*reset_device)(struct vh_backend *b);
	int (*get_inflight)(struct vh_backend *b, struct vh_inflight *inflight,
			    int *ret_fd);
	int (*set_inflight)(struct vh_backend *b,
			    const struct vh_inflight *inflight, int fd);
	int (*set_log_base)(struct vh_backend *b,
			    const struct vh_log_area *area, int fd);
	int (*set_log_fd)(struct vh_backend *b, int fd);
	int (*iotlb_update)(struct vh_backend *b,
			    const struct vh_iotlb_entry *entry);
	int (*iotlb_invalidate)(struct vh_backend *b, vh_gpa iova,
				uint64_t size);
	int (*get_backend_features)(struct vh_backend *b, uint64_t *ret);
	int (*set_backend_features)(struct vh_backend *b, uint64_t features);
	/* <libvhost/special.h> */
	int (*reset_owner)(struct vh_backend *b);
	int (*send_rarp)(struct vh_backend *b, const uint8_t *mac);
	int (*set_mtu)(struct vh_backend *b, uint32_t mtu);
	int (*set_vring_endian)(struct vh_backend *b, uint32_t q, bool big);
	int (*create_crypto_session)(struct vh_backend *b,
				     const uint8_t *session, int64_t *ret);
	int (*close_crypto_session)(struct vh_backend *b, int64_t id);
	int (*set_gpu_socket)(struct vh_backend *b, int fd);
	int (*kick_vring)(struct vh_backend *b, uint32_t q);
	int (*get_shared_object)(struct vh_backend *b, const uint8_t *uuid,
				 int *ret_fd);
	int (*get_shmem_config)(struct vh_backend *b,
				struct vh_shmem_config *ret);
	int (*set_device_state_fd)(struct vh_backend *b, uint32_t direction,
				   int fd, int *ret_fd);
	int (*check_device_state)(struct vh_backend *b);
	int (*get_vring_base_skip_drain)(struct vh_backend *b, uint32_t q,
					 uint32_t *ret);
	int (*postcopy_advise)(struct vh_backend *b, int *ret_fd);
	int (*postcopy_listen)(struct vh_backend *b);
	int (*postcopy_set_memory)(struct vh_backend *b,
				   const struct vh_region regions[],
				   unsigned int count,
				   uint64_t ret_addresses[]);
	int (*postcopy_ready)(struct vh_backend *b);
	int (*postcopy_end)(struct vh_backend *b);
};

/* The first member of every kind of back-end. */
struct vh_backend {
	const struct vhi_backend_ops *ops;
	uint64_t capabilities;
	struct vh_fault fault;
	/* Events come from any thread; the lock is held while one is told. */
	pthread_mutex_t events_lock;
	struct vh_backend_events events;
	void *events_user;
};

void vhi_backend_init(struct vh_backend *backend,
		      const struct vhi_backend_ops *ops, uint64_t capabilities);
void vhi_backend_done(struct vh_backend *backend);

/*
 * Tell the front-end. Any thread. 0 or what the receiver answers; -EOPNOTSUPP
 * if there is none.
 */
int vhi_backend_config_changed(struct vh_backend *backend);
int vhi_backend_vring_fault(struct vh_backend *backend,
			    const struct vh_fault *fault);
int vhi_backend_iotlb_miss(struct vh_backend *backend, vh_gpa iova,
			   uint32_t access);
void vhi_backend_gone(struct vh_backend *backend);
int vhi_backend_host_notifier(struct vh_backend *backend, uint32_t queue,
			      const struct vh_notify_area *area, int fd);
int vhi_backend_vring_call(struct vh_backend *backend, uint32_t queue);
int vhi_backend_shared_object_add(struct vh_backend *backend,
				  const uint8_t *uuid);
int vhi_backend_shared_object_remove(struct vh_backend *backend,
				     const uint8_t *uuid);
int vhi_backend_shared_object_lookup(struct vh_backend *backend,
				     const uint8_t *uuid, int *ret_fd);
int vhi_backend_shmem_map(struct vh_backend *backend,
			  const struct vh_shmem_map *map, int fd);
int vhi_backend_shmem_unmap(struct vh_backend *backend,
			    const struct vh_shmem_map *map);

/* The words of a kind of back-end that lacks an operation. */
int vhi_backend_unsupported(struct vh_backend *backend, const char *what);

/* Starts with a clean fault, so that it tells of this call alone. */
#define VHI_BACKEND_CALL(backend, op, ...)                                     \
	(vhi_fault_clear(&(backend)->fault),                                   \
	 (backend)->ops->op ? (backend)->ops->op(backend, ##__VA_ARGS__)       \
			    : vhi_backend_unsupported(backend, #op))

#endif
