/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What the back-end says unasked comes from any thread. It is noted, and told
 * to the caller from his own loop.
 */
#include "frontend.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define FROM_NEWS    UINT32_MAX
#define FROM_BACKEND (UINT32_MAX - 1)

static int watch(struct vh_frontend *f, int fd, uint32_t from)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = from};

	return epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int vhi_frontend_events_init(struct vh_frontend *f)
{
	pthread_mutex_init(&f->lock, NULL);
	f->backend_fd = -1;
	f->news = vhi_eventfd();
	f->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (f->epoll < 0)
		return -errno;
	return f->news < 0 ? f->news : watch(f, f->news, FROM_NEWS);
}

void vhi_frontend_events_done(struct vh_frontend *f)
{
	vhi_fd_close(&f->epoll);
	if (f->news >= 0)
		vhi_fd_close(&f->news);
	pthread_mutex_destroy(&f->lock);
}

void vhi_frontend_config_changed(struct vh_frontend *f)
{
	pthread_mutex_lock(&f->lock);
	f->config_changed = true;
	pthread_mutex_unlock(&f->lock);
	vhi_eventfd_signal(f->news);
}

static void on_config_changed(void *user)
{
	vhi_frontend_config_changed(user);
}

static void note_broken(struct vh_frontend *f, uint32_t queue,
			const struct vh_fault *fault)
{
	struct ring *ring = &f->rings[queue];

	pthread_mutex_lock(&f->lock);
	if (!ring->told && !ring->broke) {
		ring->fault = *fault;
		ring->broke = true;
	}
	pthread_mutex_unlock(&f->lock);
}

static void on_vring_fault(void *user, const struct vh_fault *fault)
{
	struct vh_frontend *f = user;

	if (fault->queue >= f->opts.num_queues)
		return;
	note_broken(f, fault->queue, fault);
	vhi_eventfd_signal(f->news);
}

static void on_gone(void *user)
{
	struct vh_frontend *f = user;

	pthread_mutex_lock(&f->lock);
	f->died = true;
	pthread_mutex_unlock(&f->lock);
	vhi_eventfd_signal(f->news);
}

static int watch_rings(struct vh_frontend *f)
{
	int r = 0;

	for (uint32_t q = 0; r == 0 && q < f->opts.num_queues; q++) {
		r = watch(f, f->rings[q].err, q);
		/* As before an earlier back-end. */
		if (r == -EEXIST)
			r = 0;
	}
	return r;
}

int vhi_frontend_listen(struct vh_frontend *f)
{
	struct vh_backend_events events = {
	    .size = sizeof(events),
	    .config_changed = on_config_changed,
	    .vring_fault = on_vring_fault,
	    .gone = on_gone,
	};
	int fd = vh_backend_fd(f->backend);
	int r = watch_rings(f);

	if (r == 0 && fd >= 0)
		r = watch(f, fd, FROM_BACKEND);
	if (r < 0)
		return vhi_frontend_refuse(f, VH_FAULT_SYSTEM, r,
					   VH_FAULT_NO_QUEUE,
					   "nothing can be waited for: error "
					   "%d",
					   -r);
	f->backend_fd = fd >= 0 ? fd : -1;
	vhi_frontend_forward(f, &events);
	r = vh_backend_set_events(f->backend, &events, f);
	if (r < 0) {
		vhi_frontend_deafen(f);
		return vhi_frontend_refuse(f, VH_FAULT_SYSTEM, r,
					   VH_FAULT_NO_QUEUE,
					   "the back-end's events can't be "
					   "heard: error %d",
					   -r);
	}
	return 0;
}

static void forget_fd(struct vh_frontend *f)
{
	if (f->backend_fd >= 0)
		epoll_ctl(f->epoll, EPOLL_CTL_DEL, f->backend_fd, NULL);
	f->backend_fd = -1;
}

void vhi_frontend_deafen(struct vh_frontend *f)
{
	forget_fd(f);
	(void)!vh_backend_set_events(f->backend, NULL, NULL);
	pthread_mutex_lock(&f->lock);
	f->died = false;
	pthread_mutex_unlock(&f->lock);
}

void vhi_frontend_note_gone(struct vh_frontend *f)
{
	if (f->gone)
		return;
	f->gone = true;
	f->agreed = false;
	f->tell_gone = true;
	forget_fd(f);
	for (uint32_t q = 0; q < f->opts.num_queues; q++)
		if (f->rings[q].running)
			vhi_frontend_ring_died(f, q, true);
	vhi_log(&f->log, VH_LOG_WARN, "the back-end is gone");
	vhi_eventfd_signal(f->news);
}

static int dispatch_backend(struct vh_frontend *f)
{
	int r = vh_backend_dispatch(f->backend);

	if (r >= 0)
		return 0;
	vhi_frontend_failed(f, "dispatch", "dispatch", VH_FAULT_NO_QUEUE, r);
	return f->gone ? 0 : r;
}

/* An err descriptor is signalled; the words may be known from the event. */
static void on_err(struct vh_frontend *f, uint32_t queue)
{
	struct vh_fault fault;

	vhi_notifier_empty(f->rings[queue].err);
	if (!f->rings[queue].running)
		return;
	vhi_fault(&fault, VH_FAULT_BROKEN, -EIO, "",
		  "the back-end says that queue %u is broken", queue);
	fault.queue = queue;
	note_broken(f, queue, &fault);
}

static int look(struct vh_frontend *f)
{
	struct epoll_event events[16];
	int n = epoll_wait(f->epoll, events, 16, 0);
	int r = 0;

	for (int i = 0; i < n; i++) {
		uint32_t from = events[i].data.u32;

		if (from == FROM_NEWS)
			vhi_eventfd_drain(f->news);
		else if (from != FROM_BACKEND)
			on_err(f, from);
		else if (f->backend_fd >= 0)
			r = dispatch_backend(f);
	}
	return r;
}

static bool take_flag(struct vh_frontend *f, bool *flag)
{
	bool was;

	pthread_mutex_lock(&f->lock);
	was = *flag;
	*flag = false;
	pthread_mutex_unlock(&f->lock);
	return was;
}

/* From then on it is told no more, whatever else the back-end says of it. */
static bool take_fault(struct vh_frontend *f, struct ring *ring,
		       struct vh_fault *ret_fault)
{
	bool broke;

	pthread_mutex_lock(&f->lock);
	broke = ring->broke;
	if (broke) {
		*ret_fault = ring->fault;
		ring->broke = false;
		ring->told = true;
	}
	pthread_mutex_unlock(&f->lock);
	return broke;
}

static void tell_broken(struct vh_frontend *f, uint32_t queue)
{
	struct vh_fault fault;

	if (!take_fault(f, &f->rings[queue], &fault))
		return;
	vhi_log_fault(&f->log, VH_LOG_WARN, "a queue broke", &fault);
	if (f->events.ring_fault)
		f->events.ring_fault(f->opts.user, queue, &fault);
}

int vh_frontend_fd(const struct vh_frontend *frontend)
{
	return frontend->epoll;
}

int vh_frontend_dispatch(struct vh_frontend *frontend)
{
	struct vh_frontend *f = frontend;
	int r;

	vhi_fault_clear(&f->fault);
	r = look(f);
	if (take_flag(f, &f->died))
		vhi_frontend_note_gone(f);
	for (uint32_t q = 0; q < f->opts.num_queues; q++)
		tell_broken(f, q);
	if (take_flag(f, &f->config_changed) && f->events.config_changed)
		f->events.config_changed(f->opts.user);
	if (take_flag(f, &f->tell_gone) && f->events.backend_gone)
		f->events.backend_gone(f->opts.user);
	return r;
}
