/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Rings: their state here, and the driver that follows it. */
#include <base/fault.h>
#include <base/fd.h>
#include <errno.h>

#include "kernel.h"

#define MAX_RING_SIZE 32768

int kernel_check_queue(struct kernel *k, uint32_t queue)
{
	return vhi_ring_check_queue(&k->node, queue, k->num_queues);
}

/* The host's addresses, or the guest's if there is an IOMMU. */
static int translate(struct kernel *k, uint32_t queue,
		     struct vhi_vring_places *ret)
{
	const struct vhi_vring *vring = &k->vrings[queue];

	*ret = vring->places;
	if (kernel_has_iommu(k))
		return 0;
	return vhi_ring_about(&k->node, queue,
			      vhi_ring_locate(&k->ram, vring,
					      kernel_is_packed(k),
					      &k->backend.fault, ret));
}

int kernel_place(struct kernel *k, uint32_t queue)
{
	struct vhi_vring_places places;
	int r = translate(k, queue, &places);

	if (r >= 0)
		r = kernel_check_ring_log(k, k->log, queue);
	if (r < 0)
		return r;
	r = vhi_node_queue_call(&k->node, VHI_SET_VRING_ADDR, queue, &places);
	return r < 0 ? r : 0;
}

void kernel_place_all(struct kernel *k)
{
	for (uint32_t i = 0; i < k->num_queues; i++) {
		struct vhi_vring *vring = &k->vrings[i];
		struct vh_fault words;

		if (!vring->placed || kernel_has_iommu(k) ||
		    kernel_place(k, i) >= 0)
			continue;
		words = k->backend.fault;
		if (vring->started) {
			vring->started = false;
			/* Whatever the driver says: the ring is lost. */
			if (kernel_run(k, i) < 0)
				vring->active = false;
			vhi_backend_vring_fault(&k->backend, &words);
		}
		vhi_fault_clear(&k->backend.fault);
	}
}

static bool wants(const struct kernel *k, uint32_t queue)
{
	if (!k->kind->whole)
		return k->vrings[queue].started && k->vrings[queue].enabled &&
		       k->taps[queue] >= 0;
	for (uint32_t i = 0; i < k->num_queues; i++)
		if (!k->vrings[i].started || !k->vrings[i].enabled)
			return false;
	return !k->held;
}

/* A ring alone, or all of them. */
static void range(const struct kernel *k, uint32_t queue, uint32_t *ret_from,
		  uint32_t *ret_to)
{
	*ret_from = k->kind->whole ? 0 : queue;
	*ret_to = k->kind->whole ? k->num_queues : queue + 1;
}

static int start(struct kernel *k, uint32_t from, uint32_t to)
{
	int r = k->kind->check ? k->kind->check(k, from) : 0;

	for (uint32_t i = from; i < to && r >= 0; i++)
		r = kernel_place(k, i);
	if (r >= 0)
		r = vhi_ring_about(&k->node, from, k->kind->start(k, from));
	if (r < 0)
		return r;
	/*
	 * Drivers forget a kick that comes before they run. One too many does
	 * no harm.
	 */
	for (uint32_t i = from; i < to; i++) {
		k->vrings[i].active = true;
		vhi_notifier_signal_once(k->vrings[i].kick);
	}
	return 0;
}

int kernel_run(struct kernel *k, uint32_t queue)
{
	bool wanted = wants(k, queue);
	uint32_t from, to;
	int r;

	if (wanted == k->vrings[queue].active)
		return 0;
	range(k, queue, &from, &to);
	if (wanted)
		return start(k, from, to);
	r = vhi_ring_about(&k->node, queue, k->kind->stop(k, from));
	if (r < 0)
		return r;
	for (uint32_t i = from; i < to; i++)
		k->vrings[i].active = false;
	return 0;
}

/* Starts, stops, enables or disables a ring; or it stays as it was. */
static int change(struct kernel *k, uint32_t q, bool started, bool enabled)
{
	struct vhi_vring *vring = &k->vrings[q];
	bool was_started = vring->started;
	bool was_enabled = vring->enabled;
	int r;

	vring->started = started;
	vring->enabled = enabled;
	r = kernel_run(k, q);
	if (r >= 0)
		return 0;
	vring->started = was_started;
	vring->enabled = was_enabled;
	return r;
}

int kernel_set_vring_num(struct vh_backend *b, uint32_t q, uint32_t num)
{
	struct kernel *k = kernel_of(b);
	int r = kernel_check_queue(k, q);

	if (r < 0)
		return r;
	return vhi_ring_set_num(&k->node, q, &k->vrings[q], num, MAX_RING_SIZE,
				kernel_is_packed(k));
}

static bool is_elsewhere(const struct vhi_vring_places *a,
			 const struct vhi_vring_places *b)
{
	return a->descriptors != b->descriptors ||
	       a->available != b->available || a->used != b->used;
}

int kernel_set_vring_addr(struct vh_backend *b, uint32_t q,
			  const struct vh_vring_addr *addr)
{
	struct kernel *k = kernel_of(b);
	bool logged = addr->flags & VH_VRING_F_LOG;
	struct vhi_vring_places places = {
	    .index = q,
	    .flags = addr->flags,
	    .descriptors = addr->descriptors,
	    .available = addr->available,
	    .used = addr->used,
	    /* The kernel looks at it even if nothing is logged. */
	    .log = logged ? addr->log : 0,
	};
	struct vhi_vring old;
	int r = kernel_check_queue(k, q);

	if (r < 0)
		return r;
	old = k->vrings[q];
	r = vhi_ring_check_places(&places, kernel_is_packed(k), &b->fault);
	if (r >= 0 && logged && !k->log)
		r = vhi_fault(&b->fault, VH_FAULT_MEM_LOG, -EFAULT, NULL,
			      "a used ring is to be logged, and there is no "
			      "log");
	if (r >= 0 && is_elsewhere(&old.places, &places))
		r = vhi_ring_check_stopped(&k->node, q, &old, "the address");
	if (r < 0)
		return vhi_ring_about(&k->node, q, r);
	k->vrings[q].places = places;
	k->vrings[q].placed = true;
	r = kernel_place(k, q);
	if (r < 0)
		k->vrings[q] = old;
	return r;
}

int kernel_set_vring_base(struct vh_backend *b, uint32_t q, uint32_t base)
{
	struct kernel *k = kernel_of(b);
	int r = kernel_check_queue(k, q);

	if (r < 0)
		return r;
	return vhi_ring_set_base(&k->node, q, &k->vrings[q], base,
				 kernel_is_packed(k));
}

int kernel_set_vring_endian(struct vh_backend *b, uint32_t q, bool big)
{
	struct kernel *k = kernel_of(b);
	int r = kernel_check_queue(k, q);

	if (r >= 0)
		r = vhi_ring_check_stopped(&k->node, q, &k->vrings[q],
					   "the byte order");
	if (r >= 0)
		r = vhi_node_needs_owner(&k->node);
	if (r >= 0)
		r = vhi_ring_set(&k->node, VHI_SET_VRING_ENDIAN, q, big);
	if (r >= 0)
		k->vrings[q].ordered = true;
	return r;
}

int kernel_get_vring_base(struct vh_backend *b, uint32_t q, uint32_t *ret)
{
	struct kernel *k = kernel_of(b);
	int r = kernel_check_queue(k, q);

	if (r >= 0)
		r = change(k, q, false, k->vrings[q].enabled);
	if (r < 0)
		return r;
	return vhi_ring_get_base(&k->node, q, kernel_is_packed(k), ret);
}

/* A copy of fd for the ring, which the driver watches from now on. */
static int take_kick(struct kernel *k, uint32_t q, int fd)
{
	int copy = vhi_fd_dup(fd);
	int r;

	if (copy < 0)
		return vhi_fault(&k->backend.fault, VH_FAULT_SYSTEM, copy, NULL,
				 "kick descriptor %d can't be duplicated", fd);
	r = vhi_ring_set_fd(&k->node, VHI_SET_VRING_KICK, q, copy);
	if (r < 0) {
		vhi_fd_close(&copy);
		return r;
	}
	vhi_fd_close(&k->vrings[q].kick);
	k->vrings[q].kick = copy;
	return 0;
}

int kernel_set_vring_kick(struct vh_backend *b, uint32_t q, int fd)
{
	struct kernel *k = kernel_of(b);
	int r = kernel_check_queue(k, q);

	if (r < 0)
		return r;
	if (fd < 0)
		r = vhi_fault(&b->fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP,
			      NULL,
			      "no kick descriptor: the kernel doesn't poll "
			      "rings");
	if (r >= 0)
		r = vhi_ring_check_ready(&k->vrings[q], &b->fault);
	if (r >= 0)
		r = take_kick(k, q, fd);
	if (r < 0)
		return vhi_ring_about(&k->node, q, r);
	return change(k, q, true, k->vrings[q].enabled);
}

int kernel_set_vring_call(struct vh_backend *b, uint32_t q, int fd)
{
	struct kernel *k = kernel_of(b);
	int r = kernel_check_queue(k, q);

	if (r >= 0)
		r = vhi_ring_set_fd(&k->node, VHI_SET_VRING_CALL, q, fd);
	if (r < 0)
		return r;
	/* What was used before is told by the new one. */
	if (fd >= 0 && k->vrings[q].started)
		vhi_notifier_signal_once(fd);
	return 0;
}

int kernel_set_vring_err(struct vh_backend *b, uint32_t q, int fd)
{
	struct kernel *k = kernel_of(b);
	int r = kernel_check_queue(k, q);

	if (r < 0)
		return r;
	return vhi_ring_set_fd(&k->node, VHI_SET_VRING_ERR, q, fd);
}

int kernel_set_vring_enable(struct vh_backend *b, uint32_t q, bool enable)
{
	struct kernel *k = kernel_of(b);
	int r = kernel_check_queue(k, q);

	return r < 0 ? r : change(k, q, k->vrings[q].started, enable);
}
