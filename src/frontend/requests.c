/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What a back-end elsewhere asks goes to the caller's receivers at once. */
#include "frontend.h"

static void iotlb_miss(void *user, vh_gpa iova, uint32_t access)
{
	struct vh_frontend *f = user;

	f->requests.iotlb_miss(f->opts.user, iova, access);
}

static int host_notifier(void *user, uint32_t queue,
			 const struct vh_notify_area *area, int fd)
{
	struct vh_frontend *f = user;

	return f->requests.host_notifier(f->opts.user, queue, area, fd);
}

static int vring_call(void *user, uint32_t queue)
{
	struct vh_frontend *f = user;

	return f->requests.vring_call(f->opts.user, queue);
}

static int shared_object_add(void *user, const uint8_t *uuid)
{
	struct vh_frontend *f = user;

	return f->requests.shared_object_add(f->opts.user, uuid);
}

static int shared_object_remove(void *user, const uint8_t *uuid)
{
	struct vh_frontend *f = user;

	return f->requests.shared_object_remove(f->opts.user, uuid);
}

static int shared_object_lookup(void *user, const uint8_t *uuid, int *ret_fd)
{
	struct vh_frontend *f = user;

	return f->requests.shared_object_lookup(f->opts.user, uuid, ret_fd);
}

static int shmem_map(void *user, const struct vh_shmem_map *map, int fd)
{
	struct vh_frontend *f = user;

	return f->requests.shmem_map(f->opts.user, map, fd);
}

static int shmem_unmap(void *user, const struct vh_shmem_map *map)
{
	struct vh_frontend *f = user;

	return f->requests.shmem_unmap(f->opts.user, map);
}

#define FORWARD(f, events, name)                                               \
	((events)->name = (f)->requests.name ? (name) : NULL)

void vhi_frontend_forward(const struct vh_frontend *f,
			  struct vh_backend_events *events)
{
	FORWARD(f, events, iotlb_miss);
	FORWARD(f, events, host_notifier);
	FORWARD(f, events, vring_call);
	FORWARD(f, events, shared_object_add);
	FORWARD(f, events, shared_object_remove);
	FORWARD(f, events, shared_object_lookup);
	FORWARD(f, events, shmem_map);
	FORWARD(f, events, shmem_unmap);
}
