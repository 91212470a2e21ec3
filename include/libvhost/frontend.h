/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * libvhost: the front-end: what a virtual machine monitor does with a
 * back-end, of any kind, over its life, in whole steps:
 *
 *	vh_frontend_new(backend, &opts, &fault, &f);
 *	vh_frontend_set_memory(f, regions, count);
 *	vh_frontend_negotiate(f, features);	what the driver chose
 *	vh_frontend_set_ring(f, 0, &ring);	where it put its rings
 *	vh_frontend_set_call(f, 0, interrupt);
 *	vh_frontend_start(f);
 *	poll vh_frontend_fd(), call vh_frontend_dispatch()
 *
 * and the driver kicks by vh_frontend_kick(). Requests for the config
 * space go to the back-end itself, by vh_backend_get_config() and its kin;
 * everything else about it is the front-end's.
 *
 * A back-end that died is no error here. What is asked for while it is gone
 * is noted; vh_frontend_reconnect() makes it so on another one, and goes on
 * where the rings were.
 *
 * Threads: one at a time uses a front-end, which is the back-end's control
 * side. It starts no thread, and waits for nobody but the back-end.
 *
 * Errors: a negative errno, and vh_frontend_fault() says which step failed,
 * for which queue, and what rule was broken. A step that fails has changed
 * nothing, or has stopped the rings that it had started. Besides those that
 * are listed, each may return -ENOMEM and what the back-end returns.
 */
#ifndef LIBVHOST_FRONTEND_H
#define LIBVHOST_FRONTEND_H

#include <libvhost/backend.h>
#include <libvhost/base.h>
#include <libvhost/driver.h>
#include <libvhost/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VH_FRONTEND_MAX_QUEUES 1024

struct vh_frontend;

/*
 * What happened. Called by vh_frontend_dispatch(); they may call everything
 * but that, vh_frontend_wait() and vh_frontend_free(). Any may be NULL.
 */
struct vh_frontend_events {
	size_t size;
	/* the config space changed: read it again, and tell the driver */
	void (*config_changed)(void *user);
	/*
	 * a queue broke: set DEVICE_NEEDS_RESET for the driver; it works
	 * again after a reset
	 */
	void (*ring_fault)(void *user, uint32_t queue,
			   const struct vh_fault *fault);
	/* the back-end is gone: vh_frontend_reconnect(), now or later */
	void (*backend_gone)(void *user);
};

struct vh_frontend_opts {
	size_t size;
	uint32_t num_queues; /* at most VH_FRONTEND_MAX_QUEUES */
	/*
	 * VH_F_... and the device type's that a driver may be offered.
	 * ACCESS_PLATFORM puts the driver behind an IOMMU, if it takes it:
	 * addresses of rings are IOVAs then, and vh_backend_iotlb_update()
	 * says where they lead.
	 */
	uint64_t features;
	/* of them: those without which there is no device */
	uint64_t required;
	/*
	 * Keep track of the requests in flight, if the back-end can
	 * (VH_CAP_INFLIGHT), so that none is lost when it dies.
	 */
	bool inflight;
	const struct vh_frontend_events *events; /* is copied; NULL: none */
	/*
	 * Receivers of what has to be answered at once: iotlb_miss and
	 * host_notifier to the end. The others of this struct aren't called,
	 * and these from any thread, not to call back. Is copied; NULL: none.
	 */
	const struct vh_backend_events *requests;
	void *user; /* for each of them */
	struct vh_log log;
	/*
	 * A network device: the back-end may count pairs of queues, and so
	 * have twice as many as it says.
	 */
	bool pairs;
};

/* Where a driver put a ring, in guest addresses. */
struct vh_frontend_ring {
	size_t size;
	uint32_t num; /* descriptors */
	vh_gpa descriptors;
	vh_gpa available;
	vh_gpa used;
};

/*
 * Takes a fresh back-end, which stays the caller's, to be freed after the
 * front-end; its events are the front-end's. *opts is copied. Errors, with
 * words in *fault if that isn't NULL:
 *   -EINVAL      an option is out of range
 *   -E2BIG       *opts, *opts->events or *opts->requests is of a newer
 *                library
 *   -EOPNOTSUPP  the back-end hasn't the required features
 *   -ERANGE      it has fewer queues than opts->num_queues
 *   -EMFILE
 */
VH_API VH_MUST_CHECK int vh_frontend_new(struct vh_backend *backend,
					 const struct vh_frontend_opts *opts,
					 struct vh_fault *fault,
					 struct vh_frontend **ret_frontend);

/*
 * Stops the rings, releases the back-end (vh_backend_release()) and frees the
 * front-end. NULL is fine.
 */
VH_API void vh_frontend_free(struct vh_frontend *frontend);

/*
 * Why the last function on this front-end failed; its code is VH_FAULT_NONE
 * after a success. Valid until the next one.
 */
VH_API const struct vh_fault *
vh_frontend_fault(const struct vh_frontend *frontend);

/* What the driver can be offered: opts.features as far as the back-end has. */
VH_API uint64_t vh_frontend_features(const struct vh_frontend *frontend);

/*
 * The guest's memory, whenever it changes, running or not: all of its
 * regions. Only the difference is sent, a region at a time where the back-end
 * can take one (VH_CAP_REGIONS). region.user is where this process sees it.
 * Descriptors are duplicated; one may be -1 for kinds of back-ends that work
 * in this process' address space. On failure everything is as it was, but for
 * regions that the back-end doesn't take back after it has given them away:
 * these are missing. A back-end that takes all or nothing keeps its last ones
 * when none are left, since many don't survive that.
 *   -EINVAL, -EEXIST  a region wraps or is empty, or two overlap
 *   -ENOSPC           more than the back-end takes
 *   -EFAULT           a ring that is started isn't in it any more
 *   -EBUSY            a ring that is started lies in what changes: stop first
 */
VH_API VH_MUST_CHECK int
vh_frontend_set_memory(struct vh_frontend *frontend,
		       const struct vh_region regions[], unsigned int count);

/*
 * The driver accepted these features: tells the back-end, in the order of
 * virtio's device initialization (RESET to FEATURES_OK) where it has a
 * status.
 *   -EINVAL  more than vh_frontend_features(), less than opts.required, or
 *            the device refuses them
 *   -EBUSY   rings are set: reset first
 */
VH_API VH_MUST_CHECK int vh_frontend_negotiate(struct vh_frontend *frontend,
					       uint64_t features);

/*
 * Where a ring is; it begins afresh, and enabled. NULL: the driver doesn't
 * use this queue. Its memory may come later.
 *   -ERANGE  no such queue
 *   -EINVAL  features weren't negotiated, or the size can't be
 *   -EFAULT  a part is misaligned
 *   -EBUSY   started
 */
VH_API VH_MUST_CHECK int
vh_frontend_set_ring(struct vh_frontend *frontend, uint32_t queue,
		     const struct vh_frontend_ring *ring);

/*
 * The eventfd to interrupt the driver with, or -1: it polls. At any time;
 * duplicated, and kept until another one comes. -ERANGE.
 */
VH_API VH_MUST_CHECK int vh_frontend_set_call(struct vh_frontend *frontend,
					      uint32_t queue, int fd);

/*
 * The driver announced buffers: tells the back-end. From any thread, as long
 * as the front-end is there. -ERANGE.
 *
 * The back-end has the same eventfd and may make it blocking and full: it is
 * emptied then. Only one that fills it in the instant between our look and our
 * write holds the call, until somebody reads it.
 */
VH_API VH_MUST_CHECK int vh_frontend_kick(const struct vh_frontend *frontend,
					  uint32_t queue);

/*
 * The eventfd behind vh_frontend_kick(), for a KVM ioeventfd say: always the
 * same, the front-end's. -ERANGE. A back-end can make a plain write(2) to it
 * wait forever.
 */
VH_API VH_MUST_CHECK int vh_frontend_kick_fd(const struct vh_frontend *frontend,
					     uint32_t queue);

/*
 * Disables or enables a ring that was set, started or not (a network card's
 * queues that aren't in use). -ERANGE; -EINVAL: it wasn't set.
 */
VH_API VH_MUST_CHECK int vh_frontend_enable(struct vh_frontend *frontend,
					    uint32_t queue, bool enable);

/*
 * Starts all rings that were set, where they were, and tells the device that
 * the driver is ready.
 *   -EINVAL           features weren't negotiated, or no ring was set
 *   -EFAULT           a part of a ring isn't in one region of memory
 *   -EBUSY            started already
 *   -ENOTRECOVERABLE  nobody knows where a ring was: vh_frontend_reconnect()
 */
VH_API VH_MUST_CHECK int vh_frontend_start(struct vh_frontend *frontend);

/*
 * Stops all rings, when their requests are done, and notes where they are:
 * from then on the back-end leaves guest memory alone. Stopped already: 0. A
 * ring whose position the back-end doesn't tell is where its used index says,
 * as after a crash; the device is reset in between. If a ring can't be
 * stopped at all the front-end is still started: try again, or reset.
 */
VH_API VH_MUST_CHECK int vh_frontend_stop(struct vh_frontend *frontend);

/*
 * The machine is paused: what is started stops, as by vh_frontend_stop(), and
 * what is started from now on waits for vh_frontend_resume(). Both do nothing
 * the second time.
 */
VH_API VH_MUST_CHECK int vh_frontend_pause(struct vh_frontend *frontend);
/* Goes on after vh_frontend_pause(). If it fails it is paused. */
VH_API VH_MUST_CHECK int vh_frontend_resume(struct vh_frontend *frontend);

/*
 * The driver reset the device: stops everything and forgets features, rings
 * and requests in flight; memory and call descriptors stay. Begin again with
 * vh_frontend_negotiate(). On failure it is forgotten nevertheless, unless
 * rings can't be stopped.
 */
VH_API VH_MUST_CHECK int vh_frontend_reset(struct vh_frontend *frontend);

/*
 * Goes on with another back-end, after the earlier one died, or in its place:
 * then it is stopped first, and must say where its rings are (one that doesn't
 * can be stopped by vh_frontend_stop()). Its features are compared with those
 * that are in use; memory, in-flight area, rings and descriptors are handed
 * over; rings that were started start where they were. Where that is after a
 * crash is known from the in-flight area, from the used index of a split ring
 * if the device works in order or had nothing to do, or by
 * vh_frontend_set_base(). On failure the front-end has the earlier one, as it
 * was (or stopped, if that one fails, too, when it is to go on), and the new
 * one is released, or fresh as it was. On success the earlier one may be freed.
 *   -EOPNOTSUPP       features in use are missing, or in-flight tracking is
 *   -ERANGE           it has fewer queues
 *   -ENOTRECOVERABLE  nobody knows where a ring was; or a ring that was set
 *                     since needs another in-flight area, and there are
 *                     requests of others in the old one; after
 *                     vh_frontend_reset() it doesn't matter
 */
VH_API VH_MUST_CHECK int vh_frontend_reconnect(struct vh_frontend *frontend,
					       struct vh_backend *backend);

/*
 * Where a ring that isn't running would start, in the format of
 * vh_virtqueue_opts.base: for a snapshot or a migration. -ERANGE; -EINVAL: it
 * wasn't set; -EBUSY: it is running; -ENOTRECOVERABLE.
 */
VH_API VH_MUST_CHECK int vh_frontend_get_base(struct vh_frontend *frontend,
					      uint32_t queue,
					      uint32_t *ret_base);

/* Where it is to start. Errors are those of vh_frontend_get_base(). */
VH_API VH_MUST_CHECK int vh_frontend_set_base(struct vh_frontend *frontend,
					      uint32_t queue, uint32_t base);

/*
 * The descriptor that is readable when vh_frontend_dispatch() has something
 * to do; the front-end's.
 */
VH_API VH_MUST_CHECK int vh_frontend_fd(const struct vh_frontend *frontend);

/*
 * Does what there is to do, without waiting for anything: calls the events,
 * and vh_backend_dispatch() of back-ends that need it. 0, or what that
 * returned.
 */
VH_API VH_MUST_CHECK int vh_frontend_dispatch(struct vh_frontend *frontend);

/*
 * For a monitor without a guest: makes the driver's side of a queue, and sets
 * the ring, as by vh_frontend_set_ring(). Of *opts it takes num, ring_at,
 * table_entries, memory and base; the front-end knows the others: the features
 * that were negotiated, and where it sees the ring (with ACCESS_PLATFORM the
 * IOMMU must map the ring to itself). The driver queue is the caller's, to be
 * freed when the ring doesn't run any more. On failure no ring is set. Errors
 * are those of vh_frontend_set_ring() and vh_driver_queue_new(), and
 *   -EFAULT  the ring and its tables aren't in one region of memory
 */
VH_API VH_MUST_CHECK int
vh_frontend_drive(struct vh_frontend *frontend, uint32_t queue,
		  const struct vh_driver_queue_opts *opts,
		  struct vh_driver_queue **ret_driver);

/*
 * Sleeps until the eventfd call (of vh_frontend_set_call()) is signalled or
 * vh_frontend_dispatch() has something to do, which it then does; empties
 * call, and never waits for that although the back-end has it, too. timeout_ms
 * is poll()'s. Returns 1, 0 when the time is over, or
 *   -EINTR   a signal came
 *   -ENODEV  the back-end is gone, and the receiver of backend_gone, if there
 *            is one, has found no other
 * and what vh_frontend_dispatch() returns.
 */
VH_API VH_MUST_CHECK int vh_frontend_wait(struct vh_frontend *frontend,
					  int call, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif /* LIBVHOST_FRONTEND_H */
