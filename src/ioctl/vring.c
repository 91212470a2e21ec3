/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include <base/check.h>
#include <base/fault.h>
#include <base/fd.h>
#include <errno.h>
#include <inttypes.h>
#include <ioctl/vring.h>
#include <stdlib.h>

#define HEX "0x%" PRIx64

struct vhi_vring_sizes vhi_vring_sizes(uint32_t num, bool packed)
{
	uint64_t n = num;

	if (packed)
		return (struct vhi_vring_sizes){16 * n, 4, 4};
	return (struct vhi_vring_sizes){16 * n, 6 + 2 * n, 6 + 8 * n};
}

struct vhi_vring *vhi_rings_new(uint32_t count)
{
	struct vhi_vring *vrings = calloc(count, sizeof(*vrings));

	for (uint32_t i = 0; vrings && i < count; i++)
		vrings[i].kick = -1;
	return vrings;
}

void vhi_ring_clear(struct vhi_vring *vring)
{
	vhi_fd_close(&vring->kick);
	*vring = (struct vhi_vring){.kick = -1};
}

int vhi_ring_about(struct vhi_node *node, uint32_t queue, int error)
{
	if (error < 0)
		node->fault->queue = queue;
	return error < 0 ? error : 0;
}

int vhi_ring_check_queue(struct vhi_node *node, uint32_t queue, uint32_t count)
{
	if (queue < count)
		return 0;
	return vhi_fault(node->fault, VH_FAULT_CALLER, -ERANGE, NULL,
			 "queue %" PRIu32 ", there are %" PRIu32, queue, count);
}

int vhi_ring_check_stopped(struct vhi_node *node, uint32_t queue,
			   const struct vhi_vring *vring, const char *what)
{
	if (!vring->started)
		return 0;
	return vhi_ring_about(node, queue,
			      vhi_fault(node->fault, VH_FAULT_CALLER, -EBUSY,
					NULL, "%s of a ring that is started",
					what));
}

int vhi_ring_check_places(const struct vhi_vring_places *places, bool packed,
			  struct vh_fault *fault)
{
	uint64_t available = packed ? 4 : 2;

	if (places->flags & ~VHI_VRING_F_LOG)
		return vhi_fault(fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP, NULL,
				 "ring flags 0x%" PRIx32 " aren't known",
				 places->flags & ~VHI_VRING_F_LOG);
	if (places->descriptors % 16 || places->available % available ||
	    places->used % 4 ||
	    (places->flags & VHI_VRING_F_LOG && places->log % 4))
		return vhi_fault(fault, VH_FAULT_RING_ADDR, -EFAULT, NULL,
				 "a part of the ring is misaligned: " HEX
				 ", " HEX ", " HEX ", log " HEX,
				 places->descriptors, places->available,
				 places->used, places->log);
	return 0;
}

int vhi_ring_locate(const struct vhi_ram *ram, const struct vhi_vring *vring,
		    bool packed, struct vh_fault *fault,
		    struct vhi_vring_places *ret)
{
	struct vhi_vring_places places = vring->places;
	const struct vhi_vring_places *p = &vring->places;
	struct vhi_vring_sizes s =
	    vhi_vring_sizes(vring->num ? vring->num : 1, packed);

	places.descriptors =
	    (uintptr_t)vhi_ram_at(ram, p->descriptors, s.descriptors);
	places.available =
	    (uintptr_t)vhi_ram_at(ram, p->available, s.available);
	places.used = (uintptr_t)vhi_ram_at(ram, p->used, s.used);
	if (!places.descriptors || !places.available || !places.used)
		return vhi_fault(fault, VH_FAULT_RING_ADDR, -EFAULT, NULL,
				 "a part of the ring (" HEX ", " HEX ", " HEX
				 ") isn't in guest memory",
				 p->descriptors, p->available, p->used);
	*ret = places;
	return 0;
}

int vhi_ring_check_ready(const struct vhi_vring *vring, struct vh_fault *fault)
{
	if (vring->num && vring->placed)
		return 0;
	return vhi_fault(fault, VH_FAULT_CALLER, -EINVAL, NULL,
			 "a ring can't start without its %s",
			 vring->num ? "address" : "size");
}

int vhi_ring_set(struct vhi_node *node, enum vhi_call call, uint32_t queue,
		 uint32_t value)
{
	struct vhi_vring_state state = {queue, value};
	int r = vhi_node_queue_call(node, call, queue, &state);

	return r < 0 ? r : 0;
}

int vhi_ring_get(struct vhi_node *node, enum vhi_call call, uint32_t queue,
		 uint32_t *ret)
{
	struct vhi_vring_state state = {queue, 0};
	int r = vhi_node_queue_call(node, call, queue, &state);

	if (r < 0)
		return r;
	if (state.index != queue)
		return vhi_ring_about(
		    node, queue,
		    vhi_node_nonsense(node, call, "queue", state.index));
	*ret = state.num;
	return 0;
}

int vhi_ring_set_fd(struct vhi_node *node, enum vhi_call call, uint32_t queue,
		    int fd)
{
	struct vhi_vring_file file = {queue, fd < 0 ? -1 : fd};
	int r = vhi_node_queue_call(node, call, queue, &file);

	return r < 0 ? r : 0;
}

static int check_num(uint32_t num, uint32_t max, bool packed,
		     struct vh_fault *fault)
{
	if (num == 0 || num > max)
		return vhi_fault(fault, VH_FAULT_RING_SIZE, -EINVAL, NULL,
				 "ring size %" PRIu32 " isn't 1 to %" PRIu32,
				 num, max);
	if (!packed && !vhi_is_power_of_2(num))
		return vhi_fault(fault, VH_FAULT_RING_SIZE, -EINVAL, NULL,
				 "ring size %" PRIu32 " isn't a power of two",
				 num);
	return 0;
}

int vhi_ring_set_num(struct vhi_node *node, uint32_t queue,
		     struct vhi_vring *vring, uint32_t num, uint32_t max,
		     bool packed)
{
	int r = vhi_ring_check_stopped(node, queue, vring, "the size");

	if (r >= 0)
		r = check_num(num, max, packed, node->fault);
	if (r >= 0)
		r = vhi_ring_set(node, VHI_SET_VRING_NUM, queue, num);
	if (r >= 0)
		vring->num = num;
	return vhi_ring_about(node, queue, r);
}

int vhi_ring_set_base(struct vhi_node *node, uint32_t queue,
		      const struct vhi_vring *vring, uint32_t base, bool packed)
{
	int r = vhi_ring_check_stopped(node, queue, vring, "the base");

	if (r >= 0 && !packed && base > UINT16_MAX)
		r = vhi_fault(node->fault, VH_FAULT_RING_INDEX, -EINVAL, NULL,
			      "base 0x%" PRIx32 " of a split ring has more "
			      "than 16 bits",
			      base);
	if (r >= 0)
		r = vhi_ring_set(node, VHI_SET_VRING_BASE, queue, base);
	return vhi_ring_about(node, queue, r);
}

int vhi_ring_get_base(struct vhi_node *node, uint32_t queue, bool packed,
		      uint32_t *ret)
{
	uint32_t base = 0;
	int r = vhi_ring_get(node, VHI_GET_VRING_BASE, queue, &base);

	if (r >= 0 && !packed && base > UINT16_MAX)
		r = vhi_node_nonsense(node, VHI_GET_VRING_BASE, "base", base);
	if (r >= 0)
		*ret = base;
	return vhi_ring_about(node, queue, r);
}
