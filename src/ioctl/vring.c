/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <ioctl/vring.h>

#define HEX "0x%" PRIx64

struct vhi_vring_sizes vhi_vring_sizes(uint32_t num, bool packed)
{
	uint64_t n = num;

	if (packed)
		return (struct vhi_vring_sizes){16 * n, 4, 4};
	return (struct vhi_vring_sizes){16 * n, 6 + 2 * n, 6 + 8 * n};
}

int vhi_ring_check_num(uint32_t num, uint32_t max, bool packed,
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
		return vhi_node_nonsense(node, call, "queue", state.index);
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

int vhi_ring_set_base(struct vhi_node *node, uint32_t queue, bool packed,
		      uint32_t base)
{
	if (!packed && base > UINT16_MAX)
		return vhi_fault(node->fault, VH_FAULT_RING_INDEX, -EINVAL,
				 NULL,
				 "base 0x%" PRIx32 " of a split ring has more "
				 "than 16 bits",
				 base);
	return vhi_ring_set(node, VHI_SET_VRING_BASE, queue, base);
}

int vhi_ring_get_base(struct vhi_node *node, uint32_t queue, bool packed,
		      uint32_t *ret)
{
	uint32_t base = 0;
	int r = vhi_ring_get(node, VHI_GET_VRING_BASE, queue, &base);

	if (r < 0)
		return r;
	if (!packed && base > UINT16_MAX)
		return vhi_node_nonsense(node, VHI_GET_VRING_BASE, "base",
					 base);
	*ret = base;
	return 0;
}
