/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Features, config space, status, in-flight area and log, over the socket. */
#include "client_control.h"

#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define OWN VHI_BIT(VH_USER_F_PROTOCOL_FEATURES)

static int command(struct vhi_client *c, uint32_t id)
{
	const struct vh_message m = {.id = id};

	return vhi_client_call(c, &m, NULL, 0, NULL);
}

/* Nothing is sent twice; but a connection that has ended is told of. */
int vhi_client_set_owner(struct vh_backend *b)
{
	struct vhi_client *c = vhi_client_of(b);
	bool ended =
	    !c->channel || __atomic_load_n(&c->cancelled, __ATOMIC_ACQUIRE);
	int r = c->owned && !ended ? 0 : command(c, VH_USER_SET_OWNER);

	c->owned = r == 0;
	return r;
}

int vhi_client_get_features(struct vh_backend *b, uint64_t *ret)
{
	struct vhi_client *c = vhi_client_of(b);
	uint64_t features;
	int r = vhi_client_get_u64(c, VH_USER_GET_FEATURES, &features);

	if (r == 0)
		*ret = c->offered = features & ~OWN;
	return r;
}

int vhi_client_set_features(struct vh_backend *b, uint64_t features)
{
	struct vhi_client *c = vhi_client_of(b);
	uint64_t unknown = features & ~c->offered;
	uint64_t old = c->context.features;
	int r;

	if (unknown)
		return vhi_fault(&b->fault, VH_FAULT_FEATURES, -EINVAL,
				 "Feature bits",
				 "features 0x%" PRIx64 " weren't offered, "
				 "0x%" PRIx64 " are",
				 unknown, c->offered);
	features |= old & OWN;
	if (vhi_client_started(c) && ((features ^ old) & ~VH_F_LOG_ALL))
		return vhi_fault(&b->fault, VH_FAULT_MSG_STATE, -EBUSY,
				 "Feature bits",
				 "features change from 0x%" PRIx64
				 " to 0x%" PRIx64 " while a ring is started",
				 old, features);
	r = vhi_client_set_u64(c, VH_USER_SET_FEATURES, features);
	if (r == 0)
		c->context.features = features;
	return r;
}

int vhi_client_get_queue_num(struct vh_backend *b, uint32_t *ret)
{
	*ret = vhi_client_of(b)->queue_num;
	return 0;
}

int vhi_client_get_max_mem_slots(struct vh_backend *b, uint32_t *ret)
{
	*ret = vhi_client_of(b)->slots;
	return 0;
}

static int check_config(struct vhi_client *c, uint32_t offset, uint32_t size)
{
	if (size > 0 && size <= UINT32_MAX - offset)
		return 0;
	return vhi_fault(&c->backend.fault, VH_FAULT_CONFIG, -EINVAL,
			 "Virtio device config space",
			 "config access of %" PRIu32 " bytes at %" PRIu32, size,
			 offset);
}

static struct vh_message config_message(uint32_t id, uint32_t offset,
					const uint8_t *data, uint32_t size)
{
	return (struct vh_message){
	    .id = id,
	    .payload = VH_PAYLOAD_CONFIG,
	    .config.offset = offset,
	    .config.size =
		size < VH_USER_MAX_CONFIG ? size : VH_USER_MAX_CONFIG,
	    .config.data = data,
	};
}

static int get_piece(struct vhi_client *c, const struct vh_message *m,
		     uint8_t *to)
{
	struct vh_message reply;
	int r = vhi_client_call(c, m, NULL, 0, &reply);

	if (r < 0)
		return r;
	if (reply.config.offset != m->config.offset ||
	    reply.config.size != m->config.size)
		return vhi_client_lie(c, m->id,
				      "%" PRIu32 " bytes at %" PRIu32
				      " of the config space, asked for "
				      "%" PRIu32 " at %" PRIu32,
				      reply.config.size, reply.config.offset,
				      m->config.size, m->config.offset);
	memcpy(to, reply.config.data, reply.config.size);
	return 0;
}

int vhi_client_get_config(struct vh_backend *b, uint32_t offset, void *buffer,
			  uint32_t size)
{
	static const uint8_t zeroes[VH_USER_MAX_CONFIG];
	struct vhi_client *c = vhi_client_of(b);
	uint8_t *to = buffer;
	int r = check_config(c, offset, size);

	while (r == 0 && size > 0) {
		const struct vh_message m =
		    config_message(VH_USER_GET_CONFIG, offset, zeroes, size);

		r = get_piece(c, &m, to);
		to += m.config.size;
		offset += m.config.size;
		size -= m.config.size;
	}
	return r;
}

int vhi_client_set_config(struct vh_backend *b, uint32_t offset,
			  const void *buffer, uint32_t size, uint32_t by)
{
	struct vhi_client *c = vhi_client_of(b);
	const uint8_t *from = buffer;
	int r = check_config(c, offset, size);

	if (r == 0 && by > VH_CONFIG_BY_MIGRATION)
		return vhi_fault(
		    &b->fault, VH_FAULT_CALLER, -EINVAL, "",
		    "config space written by %" PRIu32 ", must be 0 or 1", by);
	while (r == 0 && size > 0) {
		struct vh_message m =
		    config_message(VH_USER_SET_CONFIG, offset, from, size);

		m.config.flags = by;
		r = vhi_client_call(c, &m, NULL, 0, NULL);
		from += m.config.size;
		offset += m.config.size;
		size -= m.config.size;
	}
	return r;
}

int vhi_client_get_status(struct vh_backend *b, uint8_t *ret)
{
	struct vhi_client *c = vhi_client_of(b);
	uint64_t status;
	int r = vhi_client_get_u64(c, VH_USER_GET_STATUS, &status);

	if (r < 0)
		return r;
	if (status > UINT8_MAX)
		return vhi_client_lie(
		    c, VH_USER_GET_STATUS,
		    "device status 0x%" PRIx64 ", it has 8 bits", status);
	*ret = (uint8_t)status;
	return 0;
}

int vhi_client_set_status(struct vh_backend *b, uint8_t status)
{
	return vhi_client_set_u64(vhi_client_of(b), VH_USER_SET_STATUS, status);
}

/* The bit that is the protocol's own isn't the device's to forget. */
int vhi_client_reset_device(struct vh_backend *b)
{
	struct vhi_client *c = vhi_client_of(b);
	int r = vhi_client_stop_all(c);

	if (r == 0)
		r = command(c, VH_USER_RESET_DEVICE);
	if (r < 0)
		return r;
	vhi_client_forget_queues(c);
	c->context.features &= OWN;
	return 0;
}

static int ask_inflight(struct vhi_client *c, struct vh_inflight *inflight)
{
	const struct vh_message m = {
	    .id = VH_USER_GET_INFLIGHT_FD,
	    .payload = VH_PAYLOAD_INFLIGHT,
	    .inflight.num_queues = inflight->num_queues,
	    .inflight.queue_size = inflight->queue_size,
	};
	struct vh_message reply;
	int r = vhi_client_call(c, &m, NULL, 0, &reply);

	if (r < 0)
		return r;
	if (reply.inflight.num_queues != m.inflight.num_queues ||
	    reply.inflight.queue_size != m.inflight.queue_size)
		return vhi_client_lie(
		    c, m.id,
		    "an area for %u queues of %u, asked for "
		    "%u of %u",
		    reply.inflight.num_queues, reply.inflight.queue_size,
		    m.inflight.num_queues, m.inflight.queue_size);
	inflight->mmap_size = reply.inflight.mmap_size;
	inflight->mmap_offset = reply.inflight.mmap_offset;
	return 0;
}

/* What the back-end makes must lie in the file that it gave for it. */
int vhi_client_get_inflight(struct vh_backend *b, struct vh_inflight *inflight,
			    int *ret_fd)
{
	struct vhi_client *c = vhi_client_of(b);
	struct vh_inflight area = *inflight;
	int fd, r;

	if (!area.num_queues || !area.queue_size)
		return vhi_fault(&b->fault, VH_FAULT_CALLER, -EINVAL,
				 "Inflight I/O tracking",
				 "an area for %u queues of %u", area.num_queues,
				 area.queue_size);
	r = ask_inflight(c, &area);
	if (r < 0)
		return r;
	fd = vhi_client_take_fd(c);
	if (fd < 0 && area.mmap_size == 0)
		return vhi_fault(&b->fault, VH_FAULT_MSG_REFUSED, -EREMOTEIO,
				 "Inflight I/O tracking",
				 "the back-end makes no area");
	if (fd >= 0)
		r = vhi_client_check_file(c, fd, area.mmap_offset,
					  area.mmap_size);
	if (fd < 0 || r < 0) {
		vhi_fd_close(&fd);
		return vhi_client_lie(c, VH_USER_GET_INFLIGHT_FD,
				      "an area of %" PRIu64 " bytes at "
				      "%" PRIu64 " that isn't in its file",
				      area.mmap_size, area.mmap_offset);
	}
	*inflight = area;
	*ret_fd = fd;
	return 0;
}

int vhi_client_set_inflight(struct vh_backend *b,
			    const struct vh_inflight *inflight, int fd)
{
	struct vhi_client *c = vhi_client_of(b);
	const struct vh_message m = {
	    .id = VH_USER_SET_INFLIGHT_FD,
	    .payload = VH_PAYLOAD_INFLIGHT,
	    .inflight.mmap_size = inflight->mmap_size,
	    .inflight.mmap_offset = inflight->mmap_offset,
	    .inflight.num_queues = inflight->num_queues,
	    .inflight.queue_size = inflight->queue_size,
	};
	int r;

	if (vhi_client_started(c))
		return vhi_fault(&b->fault, VH_FAULT_MSG_STATE, -EBUSY,
				 "Inflight I/O tracking",
				 "the area can't change while a ring is "
				 "started");
	r = vhi_client_check_file(c, fd, inflight->mmap_offset,
				  inflight->mmap_size);
	if (r == 0)
		r = vhi_client_call(c, &m, &fd, 1, NULL);
	c->tracked = c->tracked || r == 0;
	return r;
}

/*
 * Some back-ends answer with nothing, some with 0, and some with what lies
 * where the size was in the request.
 */
static int send_log(struct vhi_client *c, const struct vh_log_area *area,
		    int fd)
{
	const struct vh_message m = {
	    .id = VH_USER_SET_LOG_BASE,
	    .payload = VH_PAYLOAD_LOG,
	    .log.size = area->size,
	    .log.offset = area->offset,
	};
	struct vh_message reply;
	int r = vhi_client_call(c, &m, &fd, 1, &reply);

	if (r < 0 || reply.payload != VH_PAYLOAD_U64 || reply.u64 == 0 ||
	    reply.u64 == area->size)
		return r;
	return vhi_fault(
	    &c->backend.fault, VH_FAULT_MSG_REFUSED, -EREMOTEIO, "Migration",
	    "SET_LOG_BASE: the back-end answers %" PRIu64, reply.u64);
}

/* No message ends a log; it isn't used without the feature bit. */
int vhi_client_set_log_base(struct vh_backend *b,
			    const struct vh_log_area *area, int fd)
{
	struct vhi_client *c = vhi_client_of(b);
	int r;

	if (!vhi_client_has(c, VH_USER_PROTOCOL_F_LOG_SHMFD))
		return vhi_fault(&b->fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP,
				 "Migration",
				 "the back-end hasn't negotiated LOG_SHMFD");
	if (fd < 0 && !(c->context.features & VH_F_LOG_ALL))
		return 0;
	if (fd < 0)
		return vhi_fault(
		    &b->fault, VH_FAULT_MSG_STATE, -EBUSY, "Migration",
		    "the log is in use: take VH_F_LOG_ALL from the "
		    "features first");
	r = vhi_client_check_file(c, fd, area->offset, area->size);
	return r < 0 ? r : send_log(c, area, fd);
}

int vhi_client_set_log_fd(struct vh_backend *b, int fd)
{
	int copy = fd < 0 ? -EOPNOTSUPP : vhi_notifier_copy(fd);

	if (copy < 0)
		return vhi_fault(&b->fault, VH_FAULT_CALLER, copy, "Migration",
				 "descriptor %d can't be signalled for the log",
				 fd);
	vhi_fd_close(&copy);
	return vhi_client_send_fd(vhi_client_of(b), VH_USER_SET_LOG_FD, fd);
}

int vhi_client_stop_all(struct vhi_client *c)
{
	uint32_t base;
	int r = 0;

	for (uint32_t q = 0; c->channel && q < VHI_CLIENT_QUEUES; q++) {
		int stopped;

		if (!c->queues[q].started)
			continue;
		stopped = vhi_client_get_vring_base(&c->backend, q, &base);
		r = r < 0 ? r : stopped;
	}
	return r;
}

/* Whoever comes next finds neither descriptors nor enabled rings. */
static int quiet_queue(struct vhi_client *c, uint32_t q)
{
	struct vhi_client_queue *queue = &c->queues[q];
	int r = 0;

	if (queue->called)
		r = vhi_client_set_vring_call(&c->backend, q, -1);
	if (r == 0 && queue->erred)
		r = vhi_client_set_vring_err(&c->backend, q, -1);
	if (r == 0 && queue->num)
		r = vhi_client_set_vring_enable(&c->backend, q, false);
	return r;
}

int vhi_client_release(struct vh_backend *b)
{
	struct vhi_client *c = vhi_client_of(b);
	int gone, r = vhi_client_stop_all(c);

	for (uint32_t q = 0; c->channel && q < VHI_CLIENT_QUEUES; q++) {
		int quiet = quiet_queue(c, q);

		r = r < 0 ? r : quiet;
	}
	if (c->channel && vhi_client_has(c, VH_USER_PROTOCOL_F_RESET_DEVICE)) {
		gone = command(c, VH_USER_RESET_DEVICE);
		r = r < 0 ? r : gone;
	}
	vhi_client_forget_queues(c);
	c->context.features &= OWN;
	c->owned = c->tracked = false;
	c->postcopy = VHI_POSTCOPY_NONE;
	gone = vhi_client_forget_memory(c);
	return r < 0 ? r : gone;
}
