/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvhost: a back-end made of a device's callbacks.
 *
 * The engine runs the queues: it waits for kicks, takes requests off the
 * rings in bursts, hands them to the device, returns what the device
 * completes and notifies the driver. A queue belongs to one worker: a thread
 * of the engine's, or, with opts.workers = 0, whoever calls
 * vh_device_dispatch(). All callbacks about a queue come from its worker, so
 * a device needs no lock for what belongs to a queue or a worker.
 */
#ifndef LIBVHOST_DEVICE_H
#define LIBVHOST_DEVICE_H

#include <libvhost/backend.h>
#include <libvhost/base.h>
#include <libvhost/virtqueue.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VH_DEVICE_MAX_QUEUES  256
#define VH_DEVICE_MAX_WORKERS 64

struct vh_worker;
struct vh_queue;

/*
 * What a device does. Only process is needed; any other may be NULL. Each
 * line says which thread calls: W the worker of the queue, C the control
 * side (see <libvhost/backend.h>).
 */
struct vh_device_ops {
	size_t size;

	/*
	 * W: count requests (1 to VH_VIRTQUEUE_BURST) of one queue. Each is
	 * the device's until it gives it back with vh_queue_complete(), now
	 * or later, in any order.
	 */
	void (*process)(void *user, struct vh_queue *queue,
			struct vh_chain *chains[], unsigned int count);

	/*
	 * W: all queues that had something were processed; start what was
	 * only prepared (submit I/O). Whatever was completed by the time it
	 * returns, the driver is shown next.
	 */
	void (*flush)(void *user, struct vh_worker *worker);

	/*
	 * W: a ring starts (a negative errno refuses that), and has ended,
	 * after its last request was completed.
	 */
	int (*queue_start)(void *user, struct vh_queue *queue);
	void (*queue_stop)(void *user, struct vh_queue *queue);

	/*
	 * W: a worker begins, before its first ring starts, and ends when
	 * the back-end is freed or released. A worker of the caller's loop
	 * begins and ends likewise. A negative errno refuses the ring.
	 */
	int (*worker_start)(void *user, struct vh_worker *worker);
	void (*worker_stop)(void *user, struct vh_worker *worker);

	/*
	 * C: reads or writes the config space; the range was checked. 0, or
	 * a negative errno: -EINVAL for a value that can't be, -EACCES for a
	 * field that is read-only; without set_config every field is.
	 */
	int (*get_config)(void *user, uint32_t offset, void *buffer,
			  uint32_t size);
	int (*set_config)(void *user, uint32_t offset, const void *buffer,
			  uint32_t size, uint32_t by);

	/*
	 * C: the driver's choice, a part of what is offered; called before
	 * rings start, more than once perhaps. A negative errno refuses it.
	 */
	int (*set_features)(void *user, uint64_t features);

	/* C: back to the state after creation; all rings are stopped. */
	void (*reset)(void *user);

	/* C: the back-end is freed; the last callback. */
	void (*destroy)(void *user);

	/*
	 * C: the front-end is gone; all rings are stopped. The features are
	 * forgotten. What the driver set otherwise stays, since a front-end
	 * that lost its connection comes back without saying it again. If
	 * this is NULL, reset is called instead.
	 */
	void (*release)(void *user);
};

struct vh_device_opts {
	size_t size;
	/*
	 * Feature bits of the device type, and, if it wants them, these of
	 * the rings: VH_F_IN_ORDER, for a device that completes requests in
	 * the order in which it got them (others would wait), and
	 * VH_F_ACCESS_PLATFORM, for a device behind an IOMMU. The engine adds
	 * those that it takes care of: VERSION_1, INDIRECT_DESC, EVENT_IDX,
	 * RING_PACKED, RING_RESET and LOG_ALL.
	 */
	uint64_t features;
	uint64_t without_features; /* of those that the engine adds */
	uint32_t num_queues;	   /* 1 to VH_DEVICE_MAX_QUEUES */
	uint32_t max_queue_size;   /* 0: VH_VIRTQUEUE_MAX_SIZE */
	uint32_t config_size;	   /* bytes; 0: no config space */
	uint32_t max_segments;	   /* pieces in a request; 0: no bound */
	/*
	 * Threads, each started with its first ring; 0: the caller's loop,
	 * for front-ends that aren't out to harm: one that fills its own
	 * call eventfd, and makes it blocking, in the moment between a look
	 * at it and the write, holds whoever writes to it.
	 */
	uint32_t workers;
	/*
	 * How long a worker looks on, when its rings have run dry, before it
	 * sleeps, in microseconds. It stops sooner while that doesn't pay.
	 * 0: only as long as a sleep and a wake-up take, and only if the
	 * driver has just been quicker than that.
	 */
	uint32_t spin_us;
	/*
	 * Completions that the driver is shown at once, without waiting for
	 * the rest of a burst: 0 for what has proven best (16), 1 for each by
	 * itself. The last of a burst never wait.
	 */
	uint32_t publish_after;
	const char *name; /* of the device, for threads and the log */
	struct vh_log log;
};

/*
 * Makes a back-end of a device, to be freed with vh_backend_free(). *ops,
 * *opts and the name are copied; user, which is given to each callback,
 * stays the caller's until destroy. Starts no thread yet. A device that
 * several front-ends use at a time, whether they are served or in this
 * process, gets a back-end for each, with the same user: then callbacks come
 * from workers of each, and destroy comes for each.
 *   -EINVAL  a number is out of range, process is NULL, or there is a config
 *            space and get_config is NULL
 *   -E2BIG   *ops or *opts is of a newer library
 *   -ENOMEM, -EMFILE
 * On failure destroy isn't called.
 */
VH_API VH_MUST_CHECK int vh_device_new(const struct vh_device_ops *ops,
				       const struct vh_device_opts *opts,
				       void *user,
				       struct vh_backend **ret_backend);

/*
 * The user pointer of a back-end that vh_device_new() made with the same
 * process callback as *ops, or NULL if it is another kind of back-end. Any
 * thread.
 */
VH_API void *vh_device_user(const struct vh_backend *backend,
			    const struct vh_device_ops *ops);

/*
 * With opts.workers = 0: the descriptor that becomes readable when
 * vh_device_dispatch() has something to do; it stays the back-end's. -EINVAL
 * for other back-ends. A ring without a kick descriptor has to be polled: it
 * makes nothing readable.
 */
VH_API VH_MUST_CHECK int vh_device_fd(const struct vh_backend *backend);

/*
 * Runs the queues as far as they go without waiting. Must be called from the
 * thread that drives the back-end. 0, or -EINVAL as vh_device_fd().
 */
VH_API VH_MUST_CHECK int vh_device_dispatch(struct vh_backend *backend);

/*
 * Tells the front-end that the config space changed (vhost-user,
 * "VHOST_USER_BACKEND_CONFIG_CHANGE_MSG"), which will read it again. Any
 * thread, but not from within the callbacks of vh_backend_set_events().
 */
VH_API void vh_device_config_changed(struct vh_backend *backend);

struct vh_device_stats {
	size_t size;	   /* set by the caller to sizeof */
	uint64_t kicks;	   /* wake-ups by the driver */
	uint64_t calls;	   /* notifications of the driver */
	uint64_t requests; /* chains taken off the rings */
	uint64_t bursts;   /* calls of process */
	uint64_t faults;   /* rings that broke */
};

/*
 * Counters of all queues since vh_device_new(). Any thread. Fills in as much
 * as stats->size has room for. -EINVAL: that is 0, or the back-end isn't one
 * of vh_device_new().
 */
VH_API VH_MUST_CHECK int vh_device_get_stats(const struct vh_backend *backend,
					     struct vh_device_stats *stats);

/*
 * Worker thread only: returns a request to the driver, of whose writable part
 * the first written bytes were filled; see vh_virtqueue_push(). A caller's loop
 * may do so between two calls of vh_device_dispatch(), too, and has to call it
 * then: its descriptor is readable. But who stops a ring waits within for what
 * vh_worker_watch() tells and other threads do, and for nothing else of the
 * caller's loop.
 */
VH_API void vh_queue_complete(struct vh_queue *queue, struct vh_chain *chain,
			      uint32_t written);

/*
 * vh_queue_complete() for any thread but the queue's worker, which is woken
 * to do it. No lock is taken, and nothing allocated. Who frees the back-end
 * waits for its requests, and for calls of this that haven't returned.
 */
VH_API void vh_queue_complete_remote(struct vh_queue *queue,
				     struct vh_chain *chain, uint32_t written);

/*
 * Worker thread only: breaks the queue, in words; see vh_virtqueue_break().
 * The front-end is told, process isn't called for it any more, and requests
 * that the device has must still be completed.
 */
VH_API void vh_queue_break(struct vh_queue *queue, uint32_t code,
			   const char *section, const char *format, ...)
    VH_PRINTF(4, 5);

/*
 * Worker thread only: a line for the log about something that the driver did
 * and that doesn't break the queue. The parameters are those of
 * vh_queue_break().
 */
VH_API void vh_queue_warn(struct vh_queue *queue, uint32_t code,
			  const char *section, const char *format, ...)
    VH_PRINTF(4, 5);

/*
 * Worker thread only: true once nobody waits for this queue's requests any
 * more. The front-end has left, or the back-end is being freed, and those in
 * flight had a second to be done, since the driver may come back and look. A
 * device that has more to do answers it with an error then, because the next
 * front-end waits. It is false while a ring only stops or resets: whoever
 * asked for that wants everything done.
 */
VH_API VH_MUST_CHECK bool vh_queue_abandoned(const struct vh_queue *queue);

/* The number of a queue, from 0. Any thread. */
VH_API uint32_t vh_queue_index(const struct vh_queue *queue);

/* Worker thread only: the features that were negotiated. */
VH_API uint64_t vh_queue_features(const struct vh_queue *queue);

/* The worker that a queue belongs to, always the same. Any thread. */
VH_API struct vh_worker *vh_queue_worker(const struct vh_queue *queue);

/* Worker thread only: the device's own pointer for a queue; NULL at first. */
VH_API void *vh_queue_user(const struct vh_queue *queue);

/* Worker thread only: sets the device's own pointer for a queue. */
VH_API void vh_queue_set_user(struct vh_queue *queue, void *user);

/*
 * Worker thread only: has flush called again soon, even if nothing else
 * happens, after kicks and tasks got their turn. For a device that does long
 * work in steps.
 */
VH_API void vh_worker_again(struct vh_worker *worker);

/* Worker thread only: the device's own pointer for a worker; NULL at first. */
VH_API void *vh_worker_user(const struct vh_worker *worker);

/* Worker thread only: sets the device's own pointer for a worker. */
VH_API void vh_worker_set_user(struct vh_worker *worker, void *user);

/* The number of a worker, from 0. Any thread. */
VH_API uint32_t vh_worker_index(const struct vh_worker *worker);

/*
 * Worker thread only: calls ready(user) on the worker whenever fd is
 * readable, until it is unwatched or the worker stops. One descriptor at a
 * time for a worker (an epoll or io_uring descriptor covers many), which
 * stays the caller's and open meanwhile. -EEXIST: there is one; and what
 * epoll_ctl() returns.
 */
VH_API VH_MUST_CHECK int vh_worker_watch(struct vh_worker *worker, int fd,
					 void (*ready)(void *user), void *user);

/* Worker thread only: ends vh_worker_watch(), if there was one. */
VH_API void vh_worker_unwatch(struct vh_worker *worker);

#ifdef __cplusplus
}
#endif

#endif /* LIBVHOST_DEVICE_H */
