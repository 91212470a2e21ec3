/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Rings of a device of the kernel's: what was set, and the requests to do it.
 */
#ifndef IOCTL_VRING_H
#define IOCTL_VRING_H

#include <ioctl/call.h>
#include <ioctl/ram.h>

struct vhi_vring {
	uint32_t num; /* 0: wasn't set */
	bool placed;  /* places were set */
	bool started;
	bool enabled;
	bool active;			/* the driver works on it */
	bool ordered;			/* its byte order was set */
	int kick;			/* a copy of ours; -1: none */
	struct vhi_vring_places places; /* guest addresses */
};

/* Bytes of a ring's parts. */
struct vhi_vring_sizes {
	uint64_t descriptors;
	uint64_t available;
	uint64_t used;
};

struct vhi_vring_sizes vhi_vring_sizes(uint32_t num, bool packed);

/* count rings of which nothing is known; free() them. NULL: no memory. */
struct vhi_vring *vhi_rings_new(uint32_t count);

/* Forgets what was set, and closes the copy of the kick descriptor. */
void vhi_ring_clear(struct vhi_vring *vring);

/* Names the queue in the words of an error, and hands it on. */
int vhi_ring_about(struct vhi_node *node, uint32_t queue, int error);

/* -ERANGE: there is no such queue. */
int vhi_ring_check_queue(struct vhi_node *node, uint32_t queue, uint32_t count);

/* -EBUSY: what can't change, since the ring is started. */
int vhi_ring_check_stopped(struct vhi_node *node, uint32_t queue,
			   const struct vhi_vring *vring, const char *what);

/* -EFAULT: a part isn't aligned; -EOPNOTSUPP: a flag that isn't known. */
int vhi_ring_check_places(const struct vhi_vring_places *places, bool packed,
			  struct vh_fault *fault);

/*
 * Where this process sees a ring's parts; its size is at least 1. -EFAULT: a
 * part isn't in guest memory.
 */
int vhi_ring_locate(const struct vhi_ram *ram, const struct vhi_vring *vring,
		    bool packed, struct vh_fault *fault,
		    struct vhi_vring_places *ret);

/* -EINVAL: size or address are missing. */
int vhi_ring_check_ready(const struct vhi_vring *vring, struct vh_fault *fault);

/* SET_VRING_... and their kin: one number about a queue. */
int vhi_ring_set(struct vhi_node *node, enum vhi_call call, uint32_t queue,
		 uint32_t value);

/* GET_... of one number about a queue. */
int vhi_ring_get(struct vhi_node *node, enum vhi_call call, uint32_t queue,
		 uint32_t *ret);

/* A descriptor for a queue, -1 for none. */
int vhi_ring_set_fd(struct vhi_node *node, enum vhi_call call, uint32_t queue,
		    int fd);

/*
 * The size of a ring that is stopped. -EINVAL: none that a ring can have, or
 * more than max.
 */
int vhi_ring_set_num(struct vhi_node *node, uint32_t queue,
		     struct vhi_vring *vring, uint32_t num, uint32_t max,
		     bool packed);

/* -EINVAL: bits that the ring format doesn't have. */
int vhi_ring_set_base(struct vhi_node *node, uint32_t queue,
		      const struct vhi_vring *vring, uint32_t base,
		      bool packed);
int vhi_ring_get_base(struct vhi_node *node, uint32_t queue, bool packed,
		      uint32_t *ret);

#endif
