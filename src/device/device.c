/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The life of a device, and what its author asks of the engine. */
#include "device.h"

#include <base/check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * While the driver consumes what it is shown of a burst and makes more
 * requests, we work on the rest, and neither side runs dry.
 */
#define PUBLISH_AFTER 16
#define SPIN_MAX_US   1000000

static int check_opts(const struct vh_device_ops *ops,
		      struct vh_device_opts *opts)
{
	if (!opts->max_queue_size)
		opts->max_queue_size = VH_VIRTQUEUE_MAX_SIZE;
	if (!opts->publish_after)
		opts->publish_after = PUBLISH_AFTER;
	if (opts->spin_us > SPIN_MAX_US)
		return -EINVAL;
	if (!ops->process || !opts->num_queues ||
	    opts->num_queues > VH_DEVICE_MAX_QUEUES ||
	    opts->max_queue_size > VH_VIRTQUEUE_MAX_SIZE ||
	    opts->workers > VH_DEVICE_MAX_WORKERS ||
	    opts->max_segments > UINT16_MAX ||
	    (opts->config_size && !ops->get_config))
		return -EINVAL;
	return 0;
}

void vhi_device_dispose(struct vh_device *device)
{
	for (uint32_t i = 0; device->workers && i < device->num_workers; i++)
		vhi_worker_done(&device->workers[i]);
	free(device->workers);
	vh_memory_unref(device->memory);
	vh_memory_unref(device->iotlb);
	pthread_mutex_destroy(&device->iotlb_lock);
	vhi_log_done(&device->words);
	vhi_backend_done(&device->backend);
	free(device->name);
	free(device);
}

static int init_parts(struct vh_device *device)
{
	const struct vh_device_opts *opts = &device->opts;
	int r;

	device->name = strdup(opts->name ? opts->name : "vhost");
	device->workers = calloc(device->num_workers, sizeof(struct vh_worker));
	if (!device->name || !device->workers)
		return -ENOMEM;
	r = vh_memory_new(&device->memory);
	for (uint32_t i = 0; r == 0 && i < device->num_workers; i++)
		r = vhi_worker_init(&device->workers[i], device, i);
	for (uint32_t i = 0; r == 0 && i < opts->num_queues; i++)
		vhi_vring_init(&device->queues[i], device, i);
	return r;
}

static uint64_t capabilities(const struct vh_device_opts *opts)
{
	return VH_CAP_STATUS | VH_CAP_RESET | VH_CAP_REGIONS | VH_CAP_INFLIGHT |
	       (opts->without_features & VH_F_LOG_ALL ? 0 : VH_CAP_LOG) |
	       (opts->features & VH_F_ACCESS_PLATFORM ? VH_CAP_IOTLB : 0) |
	       (opts->config_size ? VH_CAP_CONFIG : 0);
}

int vh_device_new(const struct vh_device_ops *ops,
		  const struct vh_device_opts *opts, void *user,
		  struct vh_backend **ret_backend)
{
	struct vh_device_ops our_ops;
	struct vh_device_opts our_opts;
	struct vh_device *device;
	int r = vhi_opts_copy(&our_ops, sizeof(our_ops), ops);

	if (r == 0)
		r = vhi_opts_copy(&our_opts, sizeof(our_opts), opts);
	if (r == 0)
		r = check_opts(&our_ops, &our_opts);
	if (r != 0)
		return r;
	device = calloc(1, sizeof(*device) +
			       our_opts.num_queues * sizeof(struct vh_queue));
	if (!device)
		return -ENOMEM;
	device->ops = our_ops;
	device->opts = our_opts;
	device->user = user;
	device->num_workers = our_opts.workers ? our_opts.workers : 1;
	vhi_backend_init(&device->backend, &vhi_device_backend_ops,
			 capabilities(&our_opts));
	vhi_log_init(&device->words, &our_opts.log);
	pthread_mutex_init(&device->iotlb_lock, NULL);
	device->log_fd = -1;
	r = init_parts(device);
	if (r < 0) {
		vhi_device_dispose(device);
		return r;
	}
	*ret_backend = &device->backend;
	return 0;
}

static const struct vh_device *device_of_const(const struct vh_backend *backend)
{
	return backend->ops == &vhi_device_backend_ops
		   ? (const struct vh_device *)backend
		   : NULL;
}

void *vh_device_user(const struct vh_backend *backend,
		     const struct vh_device_ops *ops)
{
	const struct vh_device *device = device_of_const(backend);

	return device && device->ops.process == ops->process ? device->user
							     : NULL;
}

int vh_device_fd(const struct vh_backend *backend)
{
	const struct vh_device *device = device_of_const(backend);

	if (!device || device->opts.workers)
		return -EINVAL;
	return device->workers[0].epoll;
}

int vh_device_dispatch(struct vh_backend *backend)
{
	if (vh_device_fd(backend) < 0)
		return -EINVAL;
	vhi_worker_round(vhi_device_of(backend)->workers, 0);
	return 0;
}

void vh_device_config_changed(struct vh_backend *backend)
{
	vhi_backend_config_changed(backend);
}

static uint64_t look(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

int vh_device_get_stats(const struct vh_backend *backend,
			struct vh_device_stats *stats)
{
	const struct vh_device *device = device_of_const(backend);
	struct vh_device_stats sum = {.size = stats->size};

	if (!device || stats->size < sizeof(stats->size))
		return -EINVAL;
	for (uint32_t i = 0; i < device->opts.num_queues; i++) {
		const struct vhi_counters *c = &device->queues[i].counters;

		sum.kicks += look(&c->kicks);
		sum.calls += look(&c->calls);
		sum.requests += look(&c->requests);
		sum.bursts += look(&c->bursts);
		sum.faults += look(&c->faults);
	}
	memcpy(stats, &sum,
	       stats->size < sizeof(sum) ? stats->size : sizeof(sum));
	return 0;
}
