/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Rings: what was said of them, and one ring's start and stop. */
#include "frontend.h"

#include <base/check.h>
#include <base/shared.h>
#include <errno.h>
#include <libvhost/virtqueue.h>
#include <memory/translate.h>

static bool is_packed(const struct vh_frontend *f)
{
	return f->features & VH_F_RING_PACKED;
}

void vhi_frontend_parts(const struct vh_frontend *f, const struct ring *ring,
			struct part parts[RING_PARTS])
{
	uint64_t num = ring->place.num;
	bool packed = is_packed(f);

	parts[0] = (struct part){
	    .name = packed ? "descriptor ring" : "descriptor table",
	    .at = ring->place.descriptors,
	    .size = 16 * num,
	    .align = 16,
	};
	parts[1] = (struct part){
	    .name = packed ? "driver area" : "available ring",
	    .at = ring->place.available,
	    .size = packed ? 4 : 6 + 2 * num,
	    .align = packed ? 4 : 2,
	};
	parts[2] = (struct part){
	    .name = packed ? "device area" : "used ring",
	    .at = ring->place.used,
	    .size = packed ? 4 : 6 + 8 * num,
	    .align = 4,
	};
}

static struct ring *find(struct vh_frontend *f, const char *step,
			 uint32_t queue)
{
	vhi_fault_clear(&f->fault);
	if (queue < f->opts.num_queues)
		return &f->rings[queue];
	vhi_frontend_refuse(f, VH_FAULT_CALLER, -ERANGE, queue,
			    "%s: queue %u, there are %u", step, queue,
			    f->opts.num_queues);
	return NULL;
}

static struct ring *find_set(struct vh_frontend *f, const char *step,
			     uint32_t queue)
{
	struct ring *ring = find(f, step, queue);

	if (!ring || ring->set)
		return ring;
	vhi_frontend_refuse(f, VH_FAULT_MSG_STATE, -EINVAL, queue,
			    "%s: queue %u wasn't set", step, queue);
	return NULL;
}

static int check_place(struct vh_frontend *f, uint32_t queue,
		       const struct ring *ring)
{
	uint32_t num = ring->place.num;
	struct part parts[RING_PARTS];

	if (!num || num > VH_VIRTQUEUE_MAX_SIZE ||
	    (!is_packed(f) && !vhi_is_power_of_2(num)))
		return vhi_frontend_refuse(
		    f, VH_FAULT_RING_SIZE, -EINVAL, queue,
		    "set_ring: queue %u of %u descriptors, a %s up to %u is "
		    "right",
		    queue, num, is_packed(f) ? "number" : "power of two",
		    VH_VIRTQUEUE_MAX_SIZE);
	vhi_frontend_parts(f, ring, parts);
	for (int i = 0; i < RING_PARTS; i++)
		if (parts[i].at % parts[i].align)
			return vhi_frontend_refuse(
			    f, VH_FAULT_RING_ADDR, -EFAULT, queue,
			    "set_ring: the %s of queue %u at 0x%llx isn't "
			    "aligned to %u",
			    parts[i].name, queue,
			    (unsigned long long)parts[i].at,
			    (unsigned int)parts[i].align);
	return 0;
}

void vhi_frontend_forget_ring(struct vh_frontend *f, struct ring *ring)
{
	f->area_stale |= ring->tracked;
	ring->set = ring->lost = ring->tracked = ring->call_again = false;
	ring->place = (struct vh_frontend_ring){0};
	ring->base = 0;
}

int vh_frontend_set_ring(struct vh_frontend *frontend, uint32_t queue,
			 const struct vh_frontend_ring *place)
{
	struct vh_frontend *f = frontend;
	struct ring *ring = find(f, "set_ring", queue);
	struct ring new = {0};
	int r;

	if (!ring)
		return f->fault.error;
	if (!f->negotiated || f->started)
		return vhi_frontend_refuse(
		    f, VH_FAULT_MSG_STATE, f->started ? -EBUSY : -EINVAL, queue,
		    "set_ring: %s",
		    f->started ? "the device is started"
			       : "features weren't negotiated yet");
	if (!place) {
		vhi_frontend_forget_ring(f, ring);
		return 0;
	}
	r = vhi_opts_copy(&new.place, sizeof(new.place), place);
	if (r < 0)
		return vhi_frontend_refuse(f, VH_FAULT_CALLER, r, queue,
					   "set_ring: a size that can't be");
	r = check_place(f, queue, &new);
	if (r < 0)
		return r;
	vhi_frontend_forget_ring(f, ring);
	ring->place = new.place;
	ring->set = ring->enabled = true;
	ring->base =
	    is_packed(f) ? VH_VIRTQUEUE_FRESH_PACKED : VH_VIRTQUEUE_FRESH_SPLIT;
	return 0;
}

int vh_frontend_set_call(struct vh_frontend *frontend, uint32_t queue, int fd)
{
	struct vh_frontend *f = frontend;
	struct ring *ring = find(f, "set_call", queue);
	int copy = -1;
	int r = 0;

	if (!ring)
		return f->fault.error;
	if (fd >= 0)
		copy = vhi_notifier_copy(fd);
	if (fd >= 0 && copy < 0)
		return vhi_frontend_refuse(
		    f, VH_FAULT_MSG_FDS, copy, queue,
		    "set_call: queue %u: no eventfd, or no more descriptors",
		    queue);
	if (ring->running)
		r = vh_backend_set_vring_call(f->backend, queue, copy);
	if (r < 0)
		vhi_frontend_failed(f, "set_call", "set_vring_call", queue, r);
	if (r < 0 && !f->gone) {
		vhi_fd_close(&copy);
		return r;
	}
	vhi_fault_clear(&f->fault);
	vhi_fd_close(&ring->call);
	ring->call = copy;
	return 0;
}

int vh_frontend_kick_fd(const struct vh_frontend *frontend, uint32_t queue)
{
	if (queue >= frontend->opts.num_queues)
		return -ERANGE;
	return frontend->rings[queue].kick;
}

int vh_frontend_kick(const struct vh_frontend *frontend, uint32_t queue)
{
	if (queue >= frontend->opts.num_queues)
		return -ERANGE;
	vhi_notifier_insist(frontend->rings[queue].kick);
	return 0;
}

/* One that serves whatever it is given needn't be told to. */
static int enable(struct vh_frontend *f, uint32_t queue, bool yes)
{
	int r = vh_backend_set_vring_enable(f->backend, queue, yes);

	return r == -EOPNOTSUPP && yes ? 0 : r;
}

int vh_frontend_enable(struct vh_frontend *frontend, uint32_t queue, bool yes)
{
	struct vh_frontend *f = frontend;
	struct ring *ring = find_set(f, "enable", queue);
	int r = 0;

	if (!ring)
		return f->fault.error;
	if (ring->running)
		r = enable(f, queue, yes);
	if (r < 0)
		vhi_frontend_failed(f, "enable", "set_vring_enable", queue, r);
	if (r < 0 && !f->gone)
		return r;
	vhi_fault_clear(&f->fault);
	ring->enabled = yes;
	return 0;
}

static int check_ring(struct vh_frontend *f, uint32_t queue, const char *step)
{
	struct ring *ring = &f->rings[queue];
	struct part parts[RING_PARTS];

	if (ring->lost)
		return vhi_frontend_refuse(
		    f, VH_FAULT_MSG_STATE, -ENOTRECOVERABLE, queue,
		    "%s: nobody knows where queue %u was: requests may have "
		    "been in flight that weren't tracked",
		    step, queue);
	vhi_frontend_parts(f, ring, parts);
	for (int i = 0; i < RING_PARTS; i++)
		if (!vhi_frontend_has_iommu(f) &&
		    !vhi_frontend_at(&f->memory, parts[i].at, parts[i].size))
			return vhi_frontend_refuse(
			    f, VH_FAULT_RING_ADDR, -EFAULT, queue,
			    "%s: the %s of queue %u, 0x%llx bytes at 0x%llx, "
			    "is in none of the %u memory regions",
			    step, parts[i].name, queue,
			    (unsigned long long)parts[i].size,
			    (unsigned long long)parts[i].at, f->memory.count);
	return 0;
}

int vhi_frontend_check_rings(struct vh_frontend *f, const char *step)
{
	bool any = false;
	int r = 0;

	for (uint32_t q = 0; r == 0 && q < f->opts.num_queues; q++) {
		if (f->rings[q].set) {
			any = true;
			r = check_ring(f, q, step);
		}
	}
	if (r == 0 && !any)
		r = vhi_frontend_refuse(f, VH_FAULT_MSG_STATE, -EINVAL,
					VH_FAULT_NO_QUEUE,
					"%s: no ring was set", step);
	return r;
}

/* Who served it before may have shown something and died. */
static void call_again(struct ring *ring)
{
	if (!ring->call_again || ring->call < 0)
		return;
	vhi_notifier_signal_once(ring->call);
	ring->call_again = false;
}

int vhi_frontend_ring_up(struct vh_frontend *f, uint32_t queue,
			 const char *step)
{
	struct vh_backend *b = f->backend;
	struct ring *ring = &f->rings[queue];
	const struct vh_vring_addr addr = {
	    .descriptors = ring->place.descriptors,
	    .available = ring->place.available,
	    .used = ring->place.used,
	    .log = ring->place.used,
	};
	const char *op = "set_vring_num";
	int r;

	vhi_notifier_empty(ring->err); /* of an earlier life */
	r = vh_backend_set_vring_num(b, queue, ring->place.num);

	if (r >= 0) {
		op = "set_vring_base";
		r = vh_backend_set_vring_base(b, queue, ring->base);
	}
	if (r >= 0) {
		op = "set_vring_addr";
		r = vh_backend_set_vring_addr(b, queue, &addr);
	}
	if (r >= 0) {
		op = "set_vring_call";
		r = vh_backend_set_vring_call(b, queue, ring->call);
	}
	if (r >= 0) {
		op = "set_vring_err";
		r = vh_backend_set_vring_err(b, queue, ring->err);
		r = r == -EOPNOTSUPP ? 0 : r;
	}
	if (r >= 0) {
		op = "set_vring_kick";
		r = vh_backend_set_vring_kick(b, queue, ring->kick);
		ring->running = r >= 0;
	}
	if (r >= 0) {
		op = "set_vring_enable";
		r = enable(f, queue, ring->enabled);
	}
	if (r < 0)
		return vhi_frontend_failed(f, step, op, queue, r);
	/* The driver may have kicked long ago. */
	(void)!vh_frontend_kick(f, queue);
	call_again(ring);
	return 0;
}

int vhi_frontend_ring_down(struct vh_frontend *f, uint32_t queue,
			   const char *step)
{
	struct ring *ring = &f->rings[queue];
	uint32_t base;
	int r = vh_backend_get_vring_base(f->backend, queue, &base);

	if (r < 0)
		return vhi_frontend_failed(f, step, "get_vring_base", queue, r);
	ring->base = base;
	ring->running = ring->tracked = false;
	return 0;
}

/*
 * The area knows what of a split ring was taken beyond the used index (vhost-
 * user, "Inflight I/O tracking"), and all about a packed one. Without it the
 * index says enough if nothing can have overtaken anything.
 */
void vhi_frontend_ring_died(struct vh_frontend *f, uint32_t queue, bool tracked)
{
	struct ring *ring = &f->rings[queue];
	struct part parts[RING_PARTS];
	const uint16_t *available, *used;
	uint16_t shown;
	bool idle;

	tracked &= f->area_fd >= 0;
	ring->tracked = tracked;
	ring->running = false;
	ring->call_again = true;
	ring->lost = is_packed(f) ? !tracked : true;
	if (is_packed(f) || vhi_frontend_has_iommu(f))
		return;
	vhi_frontend_parts(f, ring, parts);
	available = vhi_frontend_at(&f->memory, parts[1].at, parts[1].size);
	used = vhi_frontend_at(&f->memory, parts[2].at, parts[2].size);
	if (!available || !used)
		return;
	/* Their files may have been cut. */
	vhi_memory_guard_begin();
	shown = vhi_load_acquire_le16(&used[1]);
	idle = vhi_load_le16(&available[1]) == shown;
	vhi_memory_guard_end();
	ring->tracked = tracked && !idle;
	ring->lost = !tracked && !(f->features & VH_F_IN_ORDER) && !idle;
	ring->base = shown;
}

int vh_frontend_get_base(struct vh_frontend *frontend, uint32_t queue,
			 uint32_t *ret_base)
{
	struct vh_frontend *f = frontend;
	struct ring *ring = find_set(f, "get_base", queue);

	if (!ring)
		return f->fault.error;
	if (ring->running)
		return vhi_frontend_refuse(f, VH_FAULT_MSG_STATE, -EBUSY, queue,
					   "get_base: queue %u is running",
					   queue);
	/* Of a packed one that is in the area, only the next back-end does. */
	if (ring->lost || (ring->tracked && is_packed(f)))
		return vhi_frontend_refuse(
		    f, VH_FAULT_MSG_STATE, -ENOTRECOVERABLE, queue,
		    "get_base: nobody knows where queue %u was", queue);
	*ret_base = ring->base;
	return 0;
}

int vh_frontend_set_base(struct vh_frontend *frontend, uint32_t queue,
			 uint32_t base)
{
	struct vh_frontend *f = frontend;
	struct ring *ring = find_set(f, "set_base", queue);

	if (!ring)
		return f->fault.error;
	if (ring->running)
		return vhi_frontend_refuse(f, VH_FAULT_MSG_STATE, -EBUSY, queue,
					   "set_base: queue %u is running",
					   queue);
	if (base > UINT16_MAX && !is_packed(f))
		return vhi_frontend_refuse(
		    f, VH_FAULT_MSG_FIELD, -EINVAL, queue,
		    "set_base: queue %u: base 0x%x has bits above 15, which a "
		    "split ring doesn't have",
		    queue, base);
	ring->base = base;
	f->area_stale |= ring->tracked; /* that said something else */
	ring->lost = ring->tracked = false;
	return 0;
}
