/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The life of a handle, and what it tells its front-end unasked. */
#include <backend/backend.h>
#include <base/check.h>
#include <base/fault.h>

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

void vhi_backend_config_changed(struct vh_backend *backend)
{
	pthread_mutex_lock(&backend->events_lock);
	if (backend->events.config_changed)
		backend->events.config_changed(backend->events_user);
	pthread_mutex_unlock(&backend->events_lock);
}

void vhi_backend_iotlb_miss(struct vh_backend *backend, vh_gpa iova,
			    uint32_t access)
{
	pthread_mutex_lock(&backend->events_lock);
	if (backend->events.iotlb_miss)
		backend->events.iotlb_miss(backend->events_user, iova, access);
	pthread_mutex_unlock(&backend->events_lock);
}

void vhi_backend_vring_fault(struct vh_backend *backend,
			     const struct vh_fault *fault)
{
	pthread_mutex_lock(&backend->events_lock);
	if (backend->events.vring_fault)
		backend->events.vring_fault(backend->events_user, fault);
	pthread_mutex_unlock(&backend->events_lock);
}

void vhi_backend_gone(struct vh_backend *backend)
{
	pthread_mutex_lock(&backend->events_lock);
	if (backend->events.gone)
		backend->events.gone(backend->events_user);
	pthread_mutex_unlock(&backend->events_lock);
}
