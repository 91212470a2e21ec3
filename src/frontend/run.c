/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Steps that move all rings: start, stop, pause, reset, reconnect. */
#include "frontend.h"

#include <errno.h>

static void drop_area(struct vh_frontend *f)
{
	vhi_fd_close(&f->area_fd);
	f->area = (struct vh_inflight){0};
	f->area_stale = false;
}

static uint16_t largest_ring(const struct vh_frontend *f)
{
	uint32_t most = 0;

	for (uint32_t q = 0; q < f->opts.num_queues; q++)
		if (f->rings[q].set && f->rings[q].place.num > most)
			most = f->rings[q].place.num;
	return (uint16_t)most;
}

/* What died knows of its requests nothing but what is in the area. */
static int check_area_is_free(struct vh_frontend *f, const char *step)
{
	for (uint32_t q = 0; q < f->opts.num_queues; q++)
		if (f->rings[q].tracked)
			return vhi_frontend_refuse(
			    f, VH_FAULT_MSG_STATE, -ENOTRECOVERABLE, q,
			    "%s: the in-flight area has requests of queue %u, "
			    "and can't be that of a ring that was set since",
			    step, q);
	return 0;
}

/* The back-end makes the area, and we keep it for whoever comes after. */
static int make_area(struct vh_frontend *f, const char *step)
{
	struct vh_inflight area = {
	    .num_queues = (uint16_t)f->opts.num_queues,
	    .queue_size = largest_ring(f),
	};
	int fd, r;

	if (f->area_fd >= 0 && !f->area_stale &&
	    f->area.queue_size >= area.queue_size)
		return 0;
	r = check_area_is_free(f, step);
	if (r < 0)
		return r;
	r = vh_backend_get_inflight(f->backend, &area, &fd);
	if (r < 0)
		return vhi_frontend_failed(f, step, "get_inflight",
					   VH_FAULT_NO_QUEUE, r);
	drop_area(f);
	f->area = area;
	f->area_fd = fd;
	return 0;
}

static int share_area(struct vh_frontend *f, const char *step)
{
	int r;

	if (!f->opts.inflight || !vhi_frontend_has(f, VH_CAP_INFLIGHT))
		return 0;
	r = make_area(f, step);
	if (r < 0)
		return r;
	r = vh_backend_set_inflight(f->backend, &f->area, f->area_fd);
	return r < 0 ? vhi_frontend_failed(f, step, "set_inflight",
					   VH_FAULT_NO_QUEUE, r)
		     : 0;
}

static int rings_up(struct vh_frontend *f, const char *step)
{
	const uint8_t ready = STATUS_ACKNOWLEDGE | STATUS_DRIVER |
			      STATUS_FEATURES_OK | STATUS_DRIVER_OK;
	int r = 0;

	for (uint32_t q = 0; r == 0 && q < f->opts.num_queues; q++)
		if (f->rings[q].set)
			r = vhi_frontend_ring_up(f, q, step);
	return r < 0 ? r : vhi_frontend_set_status(f, step, ready);
}

int vhi_frontend_bring_up(struct vh_frontend *f, const char *step)
{
	struct vh_fault why;
	int r = vhi_frontend_check_rings(f, step);

	if (r < 0)
		return r;
	if (!f->agreed)
		r = vhi_frontend_agree(f, step);
	if (r == 0)
		r = share_area(f, step);
	if (r < 0)
		return r;
	r = rings_up(f, step);
	if (r < 0 && !f->gone) {
		why = f->fault;
		(void)!vhi_frontend_take_down(f, step);
		f->fault = why;
	}
	return r;
}

static bool any_runs(const struct vh_frontend *f)
{
	for (uint32_t q = 0; q < f->opts.num_queues; q++)
		if (f->rings[q].running)
			return true;
	return false;
}

/* Nothing of the device is left then, its rings included. */
static int reset_device(struct vh_frontend *f, const char *step)
{
	int r = 0;

	f->agreed = false;
	if (vhi_frontend_has(f, VH_CAP_RESET)) {
		r = vh_backend_reset_device(f->backend);
		if (r < 0)
			vhi_frontend_failed(f, step, "reset_device",
					    VH_FAULT_NO_QUEUE, r);
	}
	return r < 0 ? r : vhi_frontend_set_status(f, step, 0);
}

/* For rings that don't stop, or don't say where. */
static int stop_by_force(struct vh_frontend *f, const char *step)
{
	struct vh_fault why = f->fault;

	if (!vhi_frontend_has(f, VH_CAP_RESET | VH_CAP_STATUS))
		return why.error;
	if (reset_device(f, step) < 0) {
		/* One that died of it has left the area as it was. */
		if (!f->gone)
			f->fault = why;
		return f->gone ? 0 : why.error;
	}
	/* Nor is what was in the area. */
	for (uint32_t q = 0; q < f->opts.num_queues; q++)
		if (f->rings[q].running || f->rings[q].tracked)
			vhi_frontend_ring_died(f, q, false);
	drop_area(f);
	return 0;
}

/* All that can be stopped; the first failure counts. */
static int rings_down(struct vh_frontend *f, const char *step)
{
	struct vh_fault first;
	int r = 0;

	for (uint32_t q = 0; !f->gone && q < f->opts.num_queues; q++) {
		if (!f->rings[q].running ||
		    vhi_frontend_ring_down(f, q, step) == 0)
			continue;
		if (r == 0)
			first = f->fault;
		r = first.error;
	}
	if (r == 0 || f->gone)
		return 0;
	f->fault = first;
	return r;
}

int vhi_frontend_take_down(struct vh_frontend *f, const char *step)
{
	int r = rings_down(f, step);

	/* Who has a status begins anew, which also unfreezes it. */
	if (vhi_frontend_has(f, VH_CAP_STATUS))
		f->agreed = false;
	return r < 0 && any_runs(f) ? stop_by_force(f, step) : 0;
}

static void forget_faults(struct vh_frontend *f)
{
	pthread_mutex_lock(&f->lock);
	for (uint32_t q = 0; q < f->opts.num_queues; q++)
		f->rings[q].broke = f->rings[q].told = false;
	pthread_mutex_unlock(&f->lock);
}

/* Brings up what may run; that the back-end dies meanwhile is no failure. */
static int go(struct vh_frontend *f, const char *step)
{
	int r = 0;

	if (vhi_frontend_is_live(f))
		r = vhi_frontend_bring_up(f, step);
	if (r < 0 && !f->gone)
		return r;
	vhi_fault_clear(&f->fault);
	return 0;
}

static int halt(struct vh_frontend *f, const char *step)
{
	int r = 0;

	if (vhi_frontend_is_live(f))
		r = vhi_frontend_take_down(f, step);
	if (r == 0)
		vhi_fault_clear(&f->fault);
	return r;
}

int vh_frontend_start(struct vh_frontend *frontend)
{
	struct vh_frontend *f = frontend;
	int r;

	vhi_fault_clear(&f->fault);
	if (f->started || !f->negotiated)
		return vhi_frontend_refuse(
		    f, VH_FAULT_MSG_STATE, f->started ? -EBUSY : -EINVAL,
		    VH_FAULT_NO_QUEUE, "start: %s",
		    f->started ? "started already"
			       : "features weren't negotiated yet");
	r = vhi_frontend_check_rings(f, "start");
	if (r < 0)
		return r;
	forget_faults(f);
	f->started = true;
	r = go(f, "start");
	if (r < 0)
		f->started = any_runs(f);
	return r;
}

int vh_frontend_stop(struct vh_frontend *frontend)
{
	int r;

	vhi_fault_clear(&frontend->fault);
	r = halt(frontend, "stop");
	if (r == 0)
		frontend->started = false;
	return r;
}

int vh_frontend_pause(struct vh_frontend *frontend)
{
	int r;

	vhi_fault_clear(&frontend->fault);
	r = halt(frontend, "pause");
	if (r == 0)
		frontend->paused = true;
	return r;
}

int vh_frontend_resume(struct vh_frontend *frontend)
{
	struct vh_frontend *f = frontend;
	int r = 0;

	vhi_fault_clear(&f->fault);
	if (!f->paused)
		return 0;
	f->paused = false;
	r = go(f, "resume");
	if (r < 0)
		f->paused = !any_runs(f);
	return r;
}

/* What the driver said. */
static void forget_driver(struct vh_frontend *f)
{
	f->started = f->negotiated = f->agreed = false;
	f->features = 0;
	for (uint32_t q = 0; q < f->opts.num_queues; q++)
		vhi_frontend_forget_ring(f, &f->rings[q]);
	drop_area(f);
	forget_faults(f);
}

int vh_frontend_reset(struct vh_frontend *frontend)
{
	struct vh_frontend *f = frontend;
	int r;

	vhi_fault_clear(&f->fault);
	r = halt(f, "reset");
	if (r < 0)
		return r;
	if (!f->gone)
		r = reset_device(f, "reset");
	if (f->gone)
		r = 0;
	forget_driver(f);
	if (r == 0)
		vhi_fault_clear(&f->fault);
	return r;
}

static int hand_over(struct vh_frontend *f)
{
	static const char step[] = "reconnect";
	int r = vhi_frontend_meet(
	    f, step, f->negotiated ? f->features : f->opts.required);

	if (r == 0 && f->area_fd >= 0 && !vhi_frontend_has(f, VH_CAP_INFLIGHT))
		r = vhi_frontend_refuse(f, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP,
					VH_FAULT_NO_QUEUE,
					"%s: requests in flight are tracked, "
					"and the back-end can't do that",
					step);
	if (r == 0)
		r = vhi_frontend_listen(f);
	if (r == 0)
		r = vhi_frontend_send_memory(f, step);
	if (r == 0 && f->negotiated)
		r = vhi_frontend_agree(f, step);
	if (r == 0 && vhi_frontend_is_live(f))
		r = vhi_frontend_bring_up(f, step);
	/* Without this the caller would hear of it only later. */
	return r == 0 && f->gone ? -ENODEV : r;
}

/* The new one didn't do: back to the old one, dead or alive. */
static void go_back(struct vh_frontend *f, struct vh_backend *old,
		    bool was_gone, uint64_t offered)
{
	struct vh_fault why = f->fault;

	if (any_runs(f))
		(void)!vhi_frontend_take_down(f, "reconnect");
	vhi_frontend_deafen(f);
	(void)!vh_backend_release(f->backend);
	f->backend = old;
	f->gone = was_gone;
	f->agreed = false;
	f->offered = offered;
	if (!was_gone) {
		f->tell_gone = false;
		if (vhi_frontend_listen(f) < 0 || go(f, "reconnect") < 0)
			f->started = false;
	}
	f->fault = why;
}

/*
 * Stops the old one gently: by force it might lose its place, and couldn't go
 * on if the new one doesn't do. If a ring doesn't stop, they all run as before.
 */
static int leave(struct vh_frontend *f)
{
	static const char step[] = "reconnect";
	struct vh_fault why;
	int again = 0, r = 0;

	if (vhi_frontend_is_live(f))
		r = rings_down(f, step);
	if (r == 0) {
		if (vhi_frontend_has(f, VH_CAP_STATUS))
			f->agreed = false;
		return 0;
	}
	why = f->fault;
	for (uint32_t q = 0; again == 0 && q < f->opts.num_queues; q++)
		if (f->rings[q].set && !f->rings[q].running)
			again = vhi_frontend_ring_up(f, q, step);
	if (again < 0 && !f->gone) {
		(void)!vhi_frontend_take_down(f, step);
		f->started = any_runs(f);
	}
	f->fault = why;
	return r;
}

int vh_frontend_reconnect(struct vh_frontend *frontend,
			  struct vh_backend *backend)
{
	struct vh_frontend *f = frontend;
	struct vh_backend *old = f->backend;
	uint64_t offered = f->offered;
	bool was_gone;
	int r = 0;

	vhi_fault_clear(&f->fault);
	if (backend == old)
		return vhi_frontend_refuse(
		    f, VH_FAULT_CALLER, -EINVAL, VH_FAULT_NO_QUEUE,
		    "reconnect: it is the same back-end");
	r = leave(f);
	if (r == 0 && f->started)
		r = vhi_frontend_check_rings(f, "reconnect");
	if (r < 0)
		return r;
	was_gone = f->gone;
	vhi_frontend_deafen(f);
	f->backend = backend;
	f->gone = f->agreed = false;
	r = hand_over(f);
	if (r < 0) {
		go_back(f, old, was_gone, offered);
		return r;
	}
	forget_faults(f);
	f->tell_gone = false;
	if (vhi_frontend_has(f, VH_CAP_CONFIG))
		vhi_frontend_config_changed(f);
	vhi_log(&f->log, VH_LOG_INFO, "another back-end goes on");
	vhi_fault_clear(&f->fault);
	return 0;
}
