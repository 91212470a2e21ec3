/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The life of a front-end, its words, and features. */
#include "frontend.h"

#include <base/check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECTION_INIT "Device Initialization"

/*
 * These may mean that it is gone, or only that the kernel has no such target
 * or that one answer was wrong. Whoever is there has features.
 */
static void find_out(struct vh_frontend *f, int r)
{
	uint64_t features;

	if (r != -ENODEV && r != -EPROTO && r != -ETIMEDOUT && r != -ECANCELED)
		return;
	if (vh_backend_get_features(f->backend, &features) < 0)
		vhi_frontend_note_gone(f);
}

int vhi_frontend_failed(struct vh_frontend *f, const char *step, const char *op,
			uint32_t queue, int r)
{
	const struct vh_fault *why = vh_backend_fault(f->backend);
	bool worded = why->code != VH_FAULT_NONE;
	char of[32] = "", number[32];

	if (queue != VH_FAULT_NO_QUEUE)
		snprintf(of, sizeof(of), " of queue %u", queue);
	snprintf(number, sizeof(number), "error %d", -r);
	vhi_fault(&f->fault, worded ? why->code : VH_FAULT_SYSTEM, r,
		  worded ? why->section : "", "%s: %s%s: %s", step, op, of,
		  worded ? why->text : number);
	f->fault.queue = queue;
	f->fault.message = worded ? why->message : VH_FAULT_NO_MESSAGE;
	find_out(f, r);
	return r;
}

int vhi_frontend_refuse(struct vh_frontend *f, uint32_t code, int error,
			uint32_t queue, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vhi_vfault(&f->fault, code, error, "", format, args);
	va_end(args);
	f->fault.queue = queue;
	return error;
}

static int check_opts(struct vh_frontend_opts *opts, struct vh_fault *fault)
{
	if (!opts->num_queues || opts->num_queues > VH_FRONTEND_MAX_QUEUES)
		return vhi_fault(fault, VH_FAULT_CALLER, -EINVAL, NULL,
				 "%u queues, there can be 1 to %u",
				 opts->num_queues, VH_FRONTEND_MAX_QUEUES);
	opts->features &= ~VH_F_LOG_ALL; /* not the driver's */
	if (opts->required & ~opts->features)
		return vhi_fault(
		    fault, VH_FAULT_CALLER, -EINVAL, NULL,
		    "features 0x%llx are required and not wanted",
		    (unsigned long long)(opts->required & ~opts->features));
	return 0;
}

/* A back-end without this request has as many as it takes. */
static int check_queues(struct vh_frontend *f, const char *step)
{
	uint32_t queues, each = f->opts.pairs ? 2 : 1;
	int r = vh_backend_get_queue_num(f->backend, &queues);

	if (r == -EOPNOTSUPP)
		return 0;
	if (r < 0)
		return vhi_frontend_failed(f, step, "get_queue_num",
					   VH_FAULT_NO_QUEUE, r);
	if (queues < (f->opts.num_queues + each - 1) / each)
		return vhi_frontend_refuse(
		    f, VH_FAULT_CALLER, -ERANGE, VH_FAULT_NO_QUEUE,
		    "%s: %u queues are wanted, the back-end has %u%s", step,
		    f->opts.num_queues, queues, each > 1 ? " pairs" : "");
	return 0;
}

int vhi_frontend_meet(struct vh_frontend *f, const char *step, uint64_t needed)
{
	uint64_t features;
	int r = vh_backend_set_owner(f->backend);

	if (r < 0)
		return vhi_frontend_failed(f, step, "set_owner",
					   VH_FAULT_NO_QUEUE, r);
	r = vh_backend_get_features(f->backend, &features);
	if (r < 0)
		return vhi_frontend_failed(f, step, "get_features",
					   VH_FAULT_NO_QUEUE, r);
	if (needed & ~features)
		return vhi_frontend_refuse(
		    f, VH_FAULT_FEATURES, -EOPNOTSUPP, VH_FAULT_NO_QUEUE,
		    "%s: features 0x%llx are needed, the back-end has 0x%llx "
		    "and lacks 0x%llx",
		    step, (unsigned long long)needed,
		    (unsigned long long)features,
		    (unsigned long long)(needed & ~features));
	r = check_queues(f, step);
	if (r < 0)
		return r;
	f->offered = features & f->opts.features;
	return 0;
}

static int make_rings(struct vh_frontend *f)
{
	for (uint32_t q = 0; q < f->opts.num_queues; q++) {
		struct ring *ring = &f->rings[q];

		ring->kick = vhi_eventfd();
		ring->err = vhi_eventfd();
		if (ring->kick < 0)
			return ring->kick;
		if (ring->err < 0)
			return ring->err;
	}
	return 0;
}

static void dispose(struct vh_frontend *f)
{
	for (uint32_t q = 0; q < f->opts.num_queues; q++) {
		vhi_fd_close(&f->rings[q].kick);
		vhi_fd_close(&f->rings[q].call);
		vhi_fd_close(&f->rings[q].err);
	}
	vhi_frontend_drop_memory(f);
	vhi_frontend_events_done(f);
	vhi_fd_close(&f->area_fd);
	vhi_log_done(&f->log);
	free(f);
}

/* Into a front-end that is nothing but the room for it. */
static int copy_opts(struct vh_frontend *f, const struct vh_frontend_opts *opts,
		     struct vh_fault *fault)
{
	int r = vhi_opts_copy(&f->opts, sizeof(f->opts), opts);

	if (r == 0 && f->opts.events)
		r = vhi_opts_copy(&f->events, sizeof(f->events),
				  f->opts.events);
	if (r == 0 && f->opts.requests)
		r = vhi_opts_copy(&f->requests, sizeof(f->requests),
				  f->opts.requests);
	if (r < 0)
		return vhi_fault(fault, VH_FAULT_CALLER, r, NULL,
				 "the size of the options or events can't be");
	return check_opts(&f->opts, fault);
}

/* NULL, with the reason: the options can't be, or memory is short. */
static struct vh_frontend *make(const struct vh_frontend_opts *opts,
				struct vh_fault *fault, int *ret_error)
{
	struct vh_frontend head = {0};
	struct vh_frontend *f;

	*ret_error = copy_opts(&head, opts, fault);
	if (*ret_error < 0)
		return NULL;
	f = calloc(1, sizeof(*f) + head.opts.num_queues * sizeof(struct ring));
	if (!f) {
		*ret_error = vhi_fault(fault, VH_FAULT_SYSTEM, -ENOMEM, NULL,
				       "no memory for a front-end");
		return NULL;
	}
	*f = head;
	f->opts.events = NULL; /* these are the caller's, and were copied */
	f->opts.requests = NULL;
	f->area_fd = -1;
	for (uint32_t q = 0; q < f->opts.num_queues; q++)
		f->rings[q].kick = f->rings[q].call = f->rings[q].err = -1;
	vhi_fault_clear(&f->fault);
	vhi_log_init(&f->log, &f->opts.log);
	return f;
}

int vh_frontend_new(struct vh_backend *backend,
		    const struct vh_frontend_opts *opts, struct vh_fault *fault,
		    struct vh_frontend **ret_frontend)
{
	struct vh_frontend *f;
	int r;

	f = make(opts, fault, &r);
	if (!f)
		return r;
	f->backend = backend;
	r = vhi_frontend_events_init(f);
	if (r == 0)
		r = make_rings(f);
	if (r < 0)
		vhi_frontend_refuse(f, VH_FAULT_SYSTEM, r, VH_FAULT_NO_QUEUE,
				    "no descriptors: error %d", -r);
	else
		r = vhi_frontend_meet(f, "new", f->opts.required);
	if (r == 0)
		r = vhi_frontend_listen(f);
	if (r < 0) {
		if (fault)
			*fault = f->fault;
		dispose(f);
		return r;
	}
	*ret_frontend = f;
	return 0;
}

void vh_frontend_free(struct vh_frontend *frontend)
{
	if (!frontend)
		return;
	/* Whatever can't be stopped in the right order is released. */
	if (vhi_frontend_is_live(frontend))
		(void)!vhi_frontend_take_down(frontend, "free");
	vhi_frontend_deafen(frontend);
	(void)!vh_backend_release(frontend->backend);
	dispose(frontend);
}

const struct vh_fault *vh_frontend_fault(const struct vh_frontend *frontend)
{
	return &frontend->fault;
}

uint64_t vh_frontend_features(const struct vh_frontend *frontend)
{
	return frontend->offered;
}

int vhi_frontend_set_status(struct vh_frontend *f, const char *step,
			    uint8_t status)
{
	int r = 0;

	if (vhi_frontend_has(f, VH_CAP_STATUS))
		r = vh_backend_set_status(f->backend, status);
	return r < 0 ? vhi_frontend_failed(f, step, "set_status",
					   VH_FAULT_NO_QUEUE, r)
		     : 0;
}

/* A device that doesn't like the features takes FEATURES_OK back. */
static int check_features_ok(struct vh_frontend *f, const char *step)
{
	uint8_t status;
	int r;

	if (!vhi_frontend_has(f, VH_CAP_STATUS))
		return 0;
	r = vh_backend_get_status(f->backend, &status);
	if (r < 0)
		return vhi_frontend_failed(f, step, "get_status",
					   VH_FAULT_NO_QUEUE, r);
	if (status & STATUS_FEATURES_OK)
		return 0;
	vhi_frontend_refuse(
	    f, VH_FAULT_FEATURES, -EINVAL, VH_FAULT_NO_QUEUE,
	    "%s: the device refuses features 0x%llx: its status is 0x%x, "
	    "without FEATURES_OK",
	    step, (unsigned long long)f->features, status);
	f->fault.section = SECTION_INIT;
	return -EINVAL;
}

/* One that is fresh needs no reset, which might cost more than that. */
static int reset_status(struct vh_frontend *f, const char *step)
{
	uint8_t status;
	int r;

	if (!vhi_frontend_has(f, VH_CAP_STATUS))
		return 0;
	r = vh_backend_get_status(f->backend, &status);
	if (r < 0)
		return vhi_frontend_failed(f, step, "get_status",
					   VH_FAULT_NO_QUEUE, r);
	return status ? vhi_frontend_set_status(f, step, 0) : 0;
}

int vhi_frontend_agree(struct vh_frontend *f, const char *step)
{
	const uint8_t known = STATUS_ACKNOWLEDGE | STATUS_DRIVER;
	int r = reset_status(f, step);

	if (r == 0)
		r = vhi_frontend_set_status(f, step, STATUS_ACKNOWLEDGE);
	if (r == 0)
		r = vhi_frontend_set_status(f, step, known);
	if (r < 0)
		return r;
	r = vh_backend_set_features(f->backend, f->features);
	if (r < 0)
		return vhi_frontend_failed(f, step, "set_features",
					   VH_FAULT_NO_QUEUE, r);
	r = vhi_frontend_set_status(f, step, known | STATUS_FEATURES_OK);
	if (r == 0)
		r = check_features_ok(f, step);
	f->agreed = r == 0;
	return r;
}

static int check_choice(struct vh_frontend *f, uint64_t features)
{
	for (uint32_t q = 0; q < f->opts.num_queues; q++)
		if (f->rings[q].set)
			return vhi_frontend_refuse(
			    f, VH_FAULT_MSG_STATE, -EBUSY, q,
			    "negotiate: ring %u is set for other features: "
			    "reset first",
			    q);
	if (!(features & ~f->offered) && !(f->opts.required & ~features))
		return 0;
	vhi_frontend_refuse(
	    f, VH_FAULT_FEATURES, -EINVAL, VH_FAULT_NO_QUEUE,
	    "negotiate: features 0x%llx aren't between the required 0x%llx and "
	    "the offered 0x%llx",
	    (unsigned long long)features, (unsigned long long)f->opts.required,
	    (unsigned long long)f->offered);
	f->fault.section = "Feature bits";
	return -EINVAL;
}

int vh_frontend_negotiate(struct vh_frontend *frontend, uint64_t features)
{
	struct vh_frontend *f = frontend;
	uint64_t before = f->features;
	int r;

	vhi_fault_clear(&f->fault);
	r = check_choice(f, features);
	if (r < 0)
		return r;
	f->features = features;
	f->agreed = false;
	if (!f->gone)
		r = vhi_frontend_agree(f, "negotiate");
	if (r < 0 && !f->gone) {
		/* The back-end may have half of it: told again at the start. */
		f->features = before;
		return r;
	}
	f->negotiated = true;
	f->area_stale = true; /* another format of rings has another one */
	vhi_fault_clear(&f->fault);
	return 0;
}
