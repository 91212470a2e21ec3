/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Rings of a back-end behind a socket. What is wrong for any back-end isn't
 * sent: many of them don't survive it.
 */
#include "client.h"

#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define SECTION	       "Ring states"
#define SPLIT_BASE_MAX 0xffffu
#define QUEUE_SIZE_MAX 32768

static int failure(struct vhi_client *c, uint32_t q, int r)
{
	if (r < 0)
		c->backend.fault.queue = q;
	return r;
}

#define FAIL(c, q, code, error, ...)                                           \
	failure(                                                               \
	    c, q,                                                              \
	    vhi_fault(&(c)->backend.fault, code, error, SECTION, __VA_ARGS__))

/*
 * Network back-ends count pairs of queues, and nothing tells that they do: so
 * the upper half is the back-end's to refuse.
 */
bool vhi_client_has_queue(const struct vhi_client *c, uint32_t q)
{
	uint32_t limit = VHI_CLIENT_QUEUES;

	if (vhi_client_has(c, VH_USER_PROTOCOL_F_MQ) &&
	    c->queue_num < limit / 2)
		limit = 2 * c->queue_num;
	return q < limit;
}

struct vhi_client_queue *vhi_client_queue(struct vhi_client *c, uint32_t q)
{
	if (vhi_client_has_queue(c, q))
		return &c->queues[q];
	FAIL(c, q, VH_FAULT_MSG_FIELD, -ERANGE,
	     "there is no queue %" PRIu32 ", the back-end has %" PRIu32, q,
	     c->queue_num);
	return NULL;
}

bool vhi_client_started(const struct vhi_client *c)
{
	for (uint32_t q = 0; q < VHI_CLIENT_QUEUES; q++)
		if (c->queues[q].started)
			return true;
	return false;
}

void vhi_client_forget_queues(struct vhi_client *c)
{
	for (uint32_t q = 0; q < VHI_CLIENT_QUEUES; q++) {
		c->queues[q].num = 0;
		c->queues[q].has_addr = false;
		c->queues[q].started = false;
	}
}

static bool is_packed(const struct vhi_client *c)
{
	return c->context.features & VH_F_RING_PACKED;
}

int vhi_client_set_state(struct vhi_client *c, uint32_t id, uint32_t q,
			 uint32_t num)
{
	const struct vh_message m = {
	    .id = id,
	    .payload = VH_PAYLOAD_VRING_STATE,
	    .state.index = q,
	    .state.num = num,
	};

	return failure(c, q, vhi_client_call(c, &m, NULL, 0, NULL));
}

static int must_be_stopped(struct vhi_client *c, uint32_t q, const char *what)
{
	if (!c->queues[q].started)
		return 0;
	return FAIL(c, q, VH_FAULT_MSG_STATE, -EBUSY,
		    "%s of queue %" PRIu32 " can't change while it is started",
		    what, q);
}

int vhi_client_set_vring_num(struct vh_backend *b, uint32_t q, uint32_t num)
{
	struct vhi_client *c = vhi_client_of(b);
	struct vhi_client_queue *queue = vhi_client_queue(c, q);
	int r;

	if (!queue)
		return -ERANGE;
	r = must_be_stopped(c, q, "the size");
	if (r < 0)
		return r;
	if (num == 0 || num > QUEUE_SIZE_MAX ||
	    (!is_packed(c) && !vhi_is_power_of_2(num)))
		return FAIL(c, q, VH_FAULT_RING_SIZE, -EINVAL,
			    "a ring of %" PRIu32 " descriptors: must be 1 to "
			    "32768%s",
			    num, is_packed(c) ? "" : " and a power of two");
	r = vhi_client_set_state(c, VH_USER_SET_VRING_NUM, q, num);
	if (r == 0)
		queue->num = num;
	return r;
}

/* Replaces a guest address; all size bytes must be in one region. */
static int part_to_user(struct vhi_client *c, uint32_t q, const char *part,
			uint64_t *address, uint64_t size)
{
	struct vh_user_addr user;

	if (vh_memory_guest_to_user(c->memory.map, *address, size, &user) < 0)
		return FAIL(c, q, VH_FAULT_RING_ADDR, -EFAULT,
			    "queue %" PRIu32 ": %s ring at guest address "
			    "0x%" PRIx64 ", %" PRIu64 " bytes, isn't in one "
			    "memory region%s",
			    q, part, *address, size,
			    c->memory.count ? "" : " (there is no memory yet)");
	*address = user.raw;
	return 0;
}

/*
 * From guest to front-end addresses. Behind an IOMMU they are IOVAs, which
 * mean the same everywhere. The size may be set later, and so be 0 here.
 */
static int addr_to_user(struct vhi_client *c, uint32_t q,
			const struct vh_vring_addr *addr, struct vh_message *m)
{
	uint64_t num = c->queues[q].num;
	bool packed = is_packed(c);
	int r;

	*m = (struct vh_message){
	    .id = VH_USER_SET_VRING_ADDR,
	    .payload = VH_PAYLOAD_VRING_ADDR,
	    .addr.index = q,
	    .addr.flags = addr->flags,
	    .addr.descriptors = addr->descriptors,
	    .addr.available = addr->available,
	    .addr.used = addr->used,
	    .addr.log = addr->log,
	};
	if (c->context.features & VH_F_ACCESS_PLATFORM)
		return 0;
	r = part_to_user(c, q, "descriptor", &m->addr.descriptors,
			 num ? 16 * num : 1);
	if (r == 0)
		r = part_to_user(c, q, "available", &m->addr.available,
				 packed ? 4 : 4 + 2 * num);
	if (r == 0)
		r = part_to_user(c, q, "used", &m->addr.used,
				 packed ? 4 : 4 + 8 * num);
	return r;
}

static bool same_place(const struct vh_vring_addr *a,
		       const struct vh_vring_addr *b)
{
	return a->descriptors == b->descriptors &&
	       a->available == b->available && a->used == b->used;
}

static int check_addr(struct vhi_client *c, uint32_t q,
		      const struct vh_vring_addr *addr)
{
	const struct vhi_client_queue *queue = &c->queues[q];
	uint64_t align = is_packed(c) ? 4 : 2;

	if (queue->started && !same_place(&queue->addr, addr))
		return must_be_stopped(c, q, "the place");
	if (addr->flags & ~VH_VRING_F_LOG)
		return FAIL(c, q, VH_FAULT_CALLER, -EINVAL,
			    "flags 0x%" PRIx32 ", must be 0 or 1", addr->flags);
	if ((addr->flags & VH_VRING_F_LOG) &&
	    !(c->backend.capabilities & VH_CAP_LOG))
		return FAIL(c, q, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP,
			    "the back-end doesn't log");
	if (addr->descriptors % 16 || addr->available % align || addr->used % 4)
		return FAIL(c, q, VH_FAULT_RING_ADDR, -EFAULT,
			    "misaligned: descriptors 0x%" PRIx64
			    ", available 0x%" PRIx64 ", used 0x%" PRIx64,
			    addr->descriptors, addr->available, addr->used);
	return 0;
}

int vhi_client_set_vring_addr(struct vh_backend *b, uint32_t q,
			      const struct vh_vring_addr *addr)
{
	struct vhi_client *c = vhi_client_of(b);
	struct vhi_client_queue *queue = vhi_client_queue(c, q);
	struct vh_message m;
	int r;

	if (!queue)
		return -ERANGE;
	r = check_addr(c, q, addr);
	if (r == 0)
		r = addr_to_user(c, q, addr, &m);
	if (r == 0)
		r = failure(c, q, vhi_client_call(c, &m, NULL, 0, NULL));
	if (r < 0)
		return r;
	queue->addr = *addr;
	queue->has_addr = true;
	return 0;
}

int vhi_client_set_vring_base(struct vh_backend *b, uint32_t q, uint32_t base)
{
	struct vhi_client *c = vhi_client_of(b);
	int r;

	if (!vhi_client_queue(c, q))
		return -ERANGE;
	r = must_be_stopped(c, q, "the position");
	if (r < 0)
		return r;
	if (!is_packed(c) && base > SPLIT_BASE_MAX)
		return FAIL(c, q, VH_FAULT_CALLER, -EINVAL,
			    "base 0x%" PRIx32 ": a split ring has 16 bits",
			    base);
	return vhi_client_set_state(c, VH_USER_SET_VRING_BASE, q, base);
}

/*
 * Some back-ends (DPDK up to now) tell only half of where a packed ring is.
 * Since it is drained, the other half is the same.
 */
static uint32_t whole_base(uint32_t base)
{
	return base >> 16 ? base : base | base << 16;
}

/* id: GET_VRING_BASE or the one that doesn't wait. */
static int stop(struct vhi_client *c, uint32_t id, uint32_t q, uint32_t *ret)
{
	struct vhi_client_queue *queue = vhi_client_queue(c, q);
	const struct vh_message m = {
	    .id = id,
	    .payload = VH_PAYLOAD_VRING_STATE,
	    .state.index = q,
	};
	struct vh_message reply;
	int r;

	if (!queue)
		return -ERANGE;
	r = failure(c, q, vhi_client_call(c, &m, NULL, 0, &reply));
	if (r < 0)
		return r;
	queue->started = false;
	if (reply.state.index != q)
		return failure(c, q,
			       vhi_client_lie(c, id,
					      "the position of queue %" PRIu32
					      ", asked for that of %" PRIu32,
					      reply.state.index, q));
	if (!is_packed(c) && reply.state.num > SPLIT_BASE_MAX)
		return failure(c, q,
			       vhi_client_lie(c, id,
					      "a split ring at position "
					      "0x%" PRIx32,
					      reply.state.num));
	*ret = reply.state.num;
	return 0;
}

int vhi_client_get_vring_base(struct vh_backend *b, uint32_t q, uint32_t *ret)
{
	struct vhi_client *c = vhi_client_of(b);
	uint32_t base = 0;
	int r = stop(c, VH_USER_GET_VRING_BASE, q, &base);

	if (r == 0)
		*ret = is_packed(c) ? whole_base(base) : base;
	return r;
}

int vhi_client_skip_drain(struct vh_backend *b, uint32_t q, uint32_t *ret)
{
	struct vhi_client *c = vhi_client_of(b);

	if (!c->tracked)
		return FAIL(c, q, VH_FAULT_MSG_STATE, -EINVAL,
			    "what is in flight would be lost: no in-flight "
			    "area was set");
	return stop(c, VH_USER_GET_VRING_BASE_SKIP_DRAIN, q, ret);
}

/* fd -1: the "no descriptor" flag. */
static int set_fd(struct vhi_client *c, uint32_t id, uint32_t q, int fd)
{
	const struct vh_message m = {
	    .id = id,
	    .payload = VH_PAYLOAD_VRING_FD,
	    .vring_fd.index = q,
	    .vring_fd.nofd = fd < 0,
	};
	int copy;

	if (!vhi_client_queue(c, q))
		return -ERANGE;
	if (fd >= 0) {
		copy = vhi_notifier_copy(fd);
		if (copy < 0)
			return FAIL(c, q, VH_FAULT_MSG_FDS, copy,
				    "descriptor %d is no eventfd, pipe or "
				    "socket",
				    fd);
		vhi_fd_close(&copy);
	}
	return failure(c, q, vhi_client_call(c, &m, &fd, fd >= 0, NULL));
}

/* The rules of a start: size, then memory, then place. */
static int can_start(struct vhi_client *c, uint32_t q)
{
	const struct vhi_client_queue *queue = &c->queues[q];
	struct vh_message unused;

	if (!queue->num || !queue->has_addr)
		return FAIL(c, q, VH_FAULT_MSG_STATE, -EINVAL,
			    "queue %" PRIu32 " can't start: its %s wasn't set",
			    q, queue->num ? "address" : "size");
	return addr_to_user(c, q, &queue->addr, &unused);
}

int vhi_client_set_vring_kick(struct vh_backend *b, uint32_t q, int fd)
{
	struct vhi_client *c = vhi_client_of(b);
	struct vhi_client_queue *queue = vhi_client_queue(c, q);
	int r;

	if (!queue)
		return -ERANGE;
	r = can_start(c, q);
	if (r == 0)
		r = set_fd(c, VH_USER_SET_VRING_KICK, q, fd);
	if (r < 0)
		return r;
	queue->started = true;
	/*
	 * Back-ends of the old school start with the first kick, so it gets
	 * one; in the ring there may be requests already.
	 */
	vhi_notifier_signal_once(fd);
	return 0;
}

int vhi_client_set_vring_call(struct vh_backend *b, uint32_t q, int fd)
{
	struct vhi_client *c = vhi_client_of(b);
	int r = set_fd(c, VH_USER_SET_VRING_CALL, q, fd);

	if (r == 0)
		c->queues[q].called = fd >= 0;
	return r;
}

int vhi_client_set_vring_err(struct vh_backend *b, uint32_t q, int fd)
{
	struct vhi_client *c = vhi_client_of(b);
	int r = set_fd(c, VH_USER_SET_VRING_ERR, q, fd);

	if (r == 0)
		c->queues[q].erred = fd >= 0;
	return r;
}

/* Without the protocol's feature bit rings are enabled from the beginning. */
int vhi_client_set_vring_enable(struct vh_backend *b, uint32_t q, bool enable)
{
	struct vhi_client *c = vhi_client_of(b);

	if (!vhi_client_queue(c, q))
		return -ERANGE;
	if (!(c->context.features & VHI_BIT(VH_USER_F_PROTOCOL_FEATURES)))
		return 0;
	return vhi_client_set_state(c, VH_USER_SET_VRING_ENABLE, q, enable);
}
