/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Rings. */
#include <base/fault.h>
#include <base/fd.h>
#include <errno.h>
#include <inttypes.h>

#include "vdpa.h"

int vdpa_check_queue(struct vdpa *v, uint32_t queue)
{
	return vhi_ring_check_queue(&v->node, queue, v->num_queues);
}

static int about(struct vdpa *v, uint32_t queue, int error)
{
	return vhi_ring_about(&v->node, queue, error);
}

void vdpa_forget_vrings(struct vdpa *v)
{
	for (uint32_t i = 0; i < v->num_queues; i++) {
		struct vhi_vring *vring = &v->vrings[i];

		/* The kernel itself watches the kick descriptor. */
		if (vring->kick >= 0 &&
		    vhi_ring_set_fd(&v->node, VHI_SET_VRING_KICK, i, -1) < 0)
			vhi_fault_clear(&v->backend.fault);
		vhi_ring_clear(vring);
		v->queues[i].held = false;
	}
}

int vdpa_set_vring_num(struct vh_backend *b, uint32_t q, uint32_t num)
{
	struct vdpa *v = vdpa_of(b);
	int r = vdpa_check_queue(v, q);

	if (r < 0)
		return r;
	/* The kernel wants a power of two of packed rings, too. */
	return vhi_ring_set_num(&v->node, q, &v->vrings[q], num, v->max_num,
				false);
}

int vdpa_check_inside(struct vdpa *v, const struct vhi_vring *vring,
		      struct vh_fault *fault)
{
	struct vhi_vring_places host;

	if (vdpa_has_iommu(v) || v->spaces_used)
		return 0;
	return vhi_ring_locate(&v->ram, vring, vdpa_is_packed(v), fault, &host);
}

int vdpa_set_vring_addr(struct vh_backend *b, uint32_t q,
			const struct vh_vring_addr *addr)
{
	struct vdpa *v = vdpa_of(b);
	struct vhi_vring_places places = {
	    .index = q,
	    .descriptors = addr->descriptors,
	    .available = addr->available,
	    .used = addr->used,
	};
	struct vhi_vring vring;
	int r = vdpa_check_queue(v, q);

	if (r >= 0)
		r = vhi_ring_check_stopped(&v->node, q, &v->vrings[q],
					   "the address");
	if (r < 0)
		return r;
	vring = v->vrings[q];
	vring.places = places;
	vring.placed = true;
	if (addr->flags)
		r = vhi_fault(
		    &b->fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP, NULL,
		    "ring flags 0x%" PRIx32 ": vDPA doesn't log", addr->flags);
	if (r >= 0)
		r = vhi_ring_check_places(&places, vdpa_is_packed(v),
					  &b->fault);
	if (r >= 0)
		r = vdpa_check_inside(v, &vring, &b->fault);
	if (r >= 0)
		r = vhi_node_call(&v->node, VHI_SET_VRING_ADDR, &places);
	if (r >= 0)
		v->vrings[q] = vring;
	return about(v, q, r);
}

int vdpa_set_vring_base(struct vh_backend *b, uint32_t q, uint32_t base)
{
	struct vdpa *v = vdpa_of(b);
	int r = vdpa_check_queue(v, q);

	if (r < 0)
		return r;
	return vhi_ring_set_base(&v->node, q, &v->vrings[q], base,
				 vdpa_is_packed(v));
}

int vdpa_suspend(struct vdpa *v)
{
	int r;

	if (v->suspended)
		return 0;
	if (!(v->node.backend_features & VH_BACKEND_F_SUSPEND))
		return vhi_fault(&v->backend.fault, VH_FAULT_UNSUPPORTED,
				 -EOPNOTSUPP, NULL,
				 "this device can't be suspended, only reset");
	r = vhi_node_call(&v->node, VHI_VDPA_SUSPEND, NULL);
	if (r < 0)
		return r;
	v->suspended = v->status & VDPA_S_DRIVER_OK;
	return 0;
}

int vdpa_resume(struct vdpa *v)
{
	int r;

	if (!(v->node.backend_features & VH_BACKEND_F_RESUME))
		return vhi_fault(&v->backend.fault, VH_FAULT_UNSUPPORTED,
				 -EOPNOTSUPP, NULL,
				 "this device can't be resumed, only reset");
	r = vhi_node_call(&v->node, VHI_VDPA_RESUME, NULL);
	if (r < 0)
		return r;
	v->suspended = false;
	/* The device knows nothing of single rings that were stopped. */
	for (uint32_t i = 0; i < v->num_queues; i++) {
		v->vrings[i].started |= v->queues[i].held;
		v->queues[i].held = false;
	}
	return 0;
}

/* Nor does the device stand still for a position that it doesn't tell. */
static int no_position(struct vdpa *v, int error)
{
	struct vhi_first first = {.fault = &v->backend.fault};

	vhi_first_note(&first, error);
	(void)vdpa_resume(v);
	return vhi_first_end(&first);
}

int vdpa_get_vring_base(struct vh_backend *b, uint32_t q, uint32_t *ret)
{
	struct vdpa *v = vdpa_of(b);
	struct vhi_vring *vring;
	bool running;
	int r = vdpa_check_queue(v, q);

	if (r < 0)
		return r;
	vring = &v->vrings[q];
	running = vring->started && vdpa_runs(v);
	if (running)
		r = vdpa_suspend(v);
	if (r < 0)
		return about(v, q, r);
	r = vhi_ring_get_base(&v->node, q, vdpa_is_packed(v), ret);
	if (r < 0)
		return running ? no_position(v, r) : r;
	v->queues[q].held |= vring->started && v->suspended;
	vring->started = false;
	return 0;
}

/*
 * A ring starts again that was stopped with the device. The kernel takes new
 * positions only while it is suspended, so the last of them lets it go on.
 */
static int go_on(struct vdpa *v, uint32_t q)
{
	struct vdpa_queue *queue = &v->queues[q];

	if (!queue->held)
		return 0;
	for (uint32_t i = 0; i < v->num_queues; i++) {
		if (i == q || !v->queues[i].held)
			continue;
		queue->held = false;
		return 0;
	}
	return vdpa_resume(v);
}

/* The ring doesn't start, so the kernel watches what it did before. */
static int put_back_kick(struct vdpa *v, uint32_t q, int error)
{
	struct vhi_first first = {.fault = &v->backend.fault};

	vhi_first_note(&first, error);
	(void)vhi_ring_set_fd(&v->node, VHI_SET_VRING_KICK, q,
			      v->vrings[q].kick);
	return vhi_first_end(&first);
}

int vdpa_set_vring_kick(struct vh_backend *b, uint32_t q, int fd)
{
	struct vdpa *v = vdpa_of(b);
	struct vhi_vring *vring;
	int copy = -1;
	int r = vdpa_check_queue(v, q);

	if (r < 0)
		return r;
	vring = &v->vrings[q];
	r = vhi_ring_check_ready(vring, &b->fault);
	if (r >= 0)
		r = vdpa_check_inside(v, vring, &b->fault);
	if (r < 0)
		return about(v, q, r);
	if (fd >= 0) {
		copy = vhi_fd_dup(fd);
		if (copy < 0)
			return about(v, q,
				     vhi_fault(&b->fault, VH_FAULT_SYSTEM, copy,
					       NULL, "kick descriptor %d", fd));
	}
	r = vhi_ring_set_fd(&v->node, VHI_SET_VRING_KICK, q, copy);
	if (r >= 0) {
		r = go_on(v, q);
		if (r < 0)
			r = put_back_kick(v, q, r);
	}
	if (r < 0) {
		vhi_fd_close(&copy);
		return about(v, q, r);
	}
	vhi_fd_close(&vring->kick);
	vring->kick = copy;
	vring->started = true;
	return 0;
}

int vdpa_set_vring_call(struct vh_backend *b, uint32_t q, int fd)
{
	struct vdpa *v = vdpa_of(b);
	int copy = -1;
	int r = vdpa_check_queue(v, q);

	if (r < 0)
		return r;
	if (fd >= 0) {
		copy = vhi_fd_dup(fd);
		if (copy < 0)
			return vhi_fault(&b->fault, VH_FAULT_SYSTEM, copy, NULL,
					 "call descriptor %d", fd);
	}
	r = vhi_ring_set_fd(&v->node, VHI_SET_VRING_CALL, q, copy);
	if (r < 0) {
		vhi_fd_close(&copy);
		return r;
	}
	vhi_fd_close(&v->queues[q].call);
	v->queues[q].call = copy;
	if (copy >= 0 && v->vrings[q].started && vdpa_runs(v))
		vhi_notifier_signal_once(copy);
	return 0;
}

int vdpa_set_vring_err(struct vh_backend *b, uint32_t q, int fd)
{
	struct vdpa *v = vdpa_of(b);
	int r = vdpa_check_queue(v, q);

	return r < 0 ? r : vhi_ring_set_fd(&v->node, VHI_SET_VRING_ERR, q, fd);
}

int vdpa_set_vring_enable(struct vh_backend *b, uint32_t q, bool enable)
{
	struct vdpa *v = vdpa_of(b);
	int r = vdpa_check_queue(v, q);

	if (r < 0)
		return r;
	if (enable && !v->vrings[q].enabled && vdpa_runs(v) &&
	    !(v->node.backend_features & VH_BACKEND_F_ENABLE_AFTER_DRIVER_OK))
		return about(v, q,
			     vhi_fault(&b->fault, VH_FAULT_CALLER, -EBUSY, NULL,
				       "this device's rings are enabled before "
				       "DRIVER_OK"));
	r = vhi_ring_set(&v->node, VHI_VDPA_SET_VRING_ENABLE, q, enable);
	if (r >= 0)
		v->vrings[q].enabled = enable;
	return r;
}
