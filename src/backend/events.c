/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The life of a handle, and what it tells its front-end unasked. */
#include <backend/backend.h>
#include <base/check.h>
#include <base/fault.h>
#include <errno.h>

void vhi_backend_init(struct vh_backend *backend,
		      const struct vhi_backend_ops *ops, uint64_t capabilities)
{
	backend->ops = ops;
	backend->capabilities = capabilities;
	backend->events = (struct vh_backend_events){0};
	backend->events_user = NULL;
	vhi_fault_clear(&backend->fault);
	pthread_mutex_init(&backend->events_lock, NULL);
}

void vhi_backend_done(struct vh_backend *backend)
{
	pthread_mutex_destroy(&backend->events_lock);
}

int vh_backend_set_events(struct vh_backend *backend,
			  const struct vh_backend_events *events, void *user)
{
	struct vh_backend_events copy = {0};
	int r = 0;

	if (events)
		r = vhi_opts_copy(&copy, sizeof(copy), events);
	if (r < 0)
		return vhi_fault(&backend->fault, VH_FAULT_CALLER, r, NULL,
				 "set_events: size %zu, this library has %zu",
				 events->size, sizeof(copy));
	pthread_mutex_lock(&backend->events_lock);
	backend->events = copy;
	backend->events_user = user;
	pthread_mutex_unlock(&backend->events_lock);
	return 0;
}

/* Those that give no answer are content. */
#define TELL(backend, member, ...)                                             \
	do {                                                                   \
		pthread_mutex_lock(&(backend)->events_lock);                   \
		if ((backend)->events.member)                                  \
			(backend)->events.member((backend)->events_user,       \
						 ##__VA_ARGS__);               \
		else                                                           \
			r = -EOPNOTSUPP;                                       \
		pthread_mutex_unlock(&(backend)->events_lock);                 \
	} while (0)

#define ASK(backend, member, ...)                                              \
	do {                                                                   \
		pthread_mutex_lock(&(backend)->events_lock);                   \
		if ((backend)->events.member)                                  \
			r = (backend)->events.member((backend)->events_user,   \
						     ##__VA_ARGS__);           \
		pthread_mutex_unlock(&(backend)->events_lock);                 \
	} while (0)

int vhi_backend_config_changed(struct vh_backend *backend)
{
	int r = 0;

	TELL(backend, config_changed);
	return r;
}

int vhi_backend_iotlb_miss(struct vh_backend *backend, vh_gpa iova,
			   uint32_t access)
{
	int r = 0;

	TELL(backend, iotlb_miss, iova, access);
	return r;
}

int vhi_backend_vring_fault(struct vh_backend *backend,
			    const struct vh_fault *fault)
{
	int r = 0;

	TELL(backend, vring_fault, fault);
	return r;
}

void vhi_backend_gone(struct vh_backend *backend)
{
	pthread_mutex_lock(&backend->events_lock);
	if (backend->events.gone)
		backend->events.gone(backend->events_user);
	pthread_mutex_unlock(&backend->events_lock);
}

int vhi_backend_host_notifier(struct vh_backend *backend, uint32_t queue,
			      const struct vh_notify_area *area, int fd)
{
	int r = -EOPNOTSUPP;

	ASK(backend, host_notifier, queue, area, fd);
	return r;
}

int vhi_backend_vring_call(struct vh_backend *backend, uint32_t queue)
{
	int r = -EOPNOTSUPP;

	ASK(backend, vring_call, queue);
	return r;
}

int vhi_backend_shared_object_add(struct vh_backend *backend,
				  const uint8_t *uuid)
{
	int r = -EOPNOTSUPP;

	ASK(backend, shared_object_add, uuid);
	return r;
}

int vhi_backend_shared_object_remove(struct vh_backend *backend,
				     const uint8_t *uuid)
{
	int r = -EOPNOTSUPP;

	ASK(backend, shared_object_remove, uuid);
	return r;
}

int vhi_backend_shared_object_lookup(struct vh_backend *backend,
				     const uint8_t *uuid, int *ret_fd)
{
	int r = -EOPNOTSUPP;

	ASK(backend, shared_object_lookup, uuid, ret_fd);
	return r;
}

int vhi_backend_shmem_map(struct vh_backend *backend,
			  const struct vh_shmem_map *map, int fd)
{
	int r = -EOPNOTSUPP;

	ASK(backend, shmem_map, map, fd);
	return r;
}

int vhi_backend_shmem_unmap(struct vh_backend *backend,
			    const struct vh_shmem_map *map)
{
	int r = -EOPNOTSUPP;

	ASK(backend, shmem_unmap, map);
	return r;
}
