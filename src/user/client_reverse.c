/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The back-end's own requests ("Back-end communication"): decoded, told to
 * who receives the events, and answered if the back-end wants an answer. A
 * channel that breaks is closed, and the rest goes on without it.
 */
#include "client.h"

#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECTION "Back-end message types"

/* Before the caller gets on with what it waits for. */
#define REQUESTS_AT_ONCE 64

int vhi_reverse_open(struct vhi_client *c)
{
	struct epoll_event event = {.events = EPOLLIN};
	int r, pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return vhi_fault(&c->backend.fault, VH_FAULT_SYSTEM, -errno, "",
				 "socketpair: %m");
	r = vhi_channel_new(pair[0], &c->reverse);
	if (r < 0)
		vhi_fd_close(&pair[0]);
	else if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, pair[0], &event) < 0)
		r = -errno;
	if (r < 0)
		vhi_fault(&c->backend.fault, VH_FAULT_SYSTEM, r, "",
			  "the back-end channel: %s", strerrordesc_np(-r));
	else
		r = vhi_client_send_fd(c, VH_USER_SET_BACKEND_REQ_FD, pair[1]);
	vhi_fd_close(&pair[1]);
	return r;
}

void vhi_reverse_close(struct vhi_client *c)
{
	vhi_channel_free(c->reverse);
	c->reverse = NULL;
}

static int vring_error(struct vhi_client *c, uint32_t queue)
{
	struct vh_fault fault;

	vhi_fault(&fault, VH_FAULT_REQUEST, -EIO, SECTION,
		  "the back-end says that queue %" PRIu32 " is broken", queue);
	fault.queue = queue;
	return vhi_backend_vring_fault(&c->backend, &fault);
}

/* A doorbell is one page; whether the file has it shows when it is mapped. */
static int host_notifier(struct vhi_client *c, const struct vh_message *m,
			 struct vh_fault *fault)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	const struct vh_notify_area area = {
	    .offset = m->area.offset,
	    .size = m->area.size,
	};
	int fd = -1, r;

	if (!m->area.nofd && (area.size != page || area.offset % page))
		return vhi_fault(fault, VH_FAULT_MSG_FIELD, -EINVAL, SECTION,
				 "a doorbell of %" PRIu64 " bytes at %" PRIu64
				 ", must be one page",
				 area.size, area.offset);
	if (!m->area.nofd)
		fd = vhi_channel_take_fd(c->reverse, 0);
	r = vhi_backend_host_notifier(&c->backend, m->area.index, &area, fd);
	vhi_fd_close(&fd);
	return r;
}

static int shmem(struct vhi_client *c, const struct vh_message *m)
{
	const struct vh_shmem_map map = {
	    .id = m->mmap.shmid,
	    .writable = m->mmap.flags & 1,
	    .fd_offset = m->mmap.fd_offset,
	    .offset = m->mmap.shm_offset,
	    .length = m->mmap.len,
	};
	int fd, r;

	if (m->id == VH_USER_BACKEND_SHMEM_UNMAP)
		return vhi_backend_shmem_unmap(&c->backend, &map);
	fd = vhi_channel_take_fd(c->reverse, 0);
	r = vhi_backend_shmem_map(&c->backend, &map, fd);
	vhi_fd_close(&fd);
	return r;
}

/* Who receives it may well take the number for an index. */
static int check_queue(struct vhi_client *c, const struct vh_message *m,
		       struct vh_fault *fault)
{
	uint32_t queue;

	if (m->id == VH_USER_BACKEND_VRING_HOST_NOTIFIER_MSG)
		queue = m->area.index;
	else if (m->id == VH_USER_BACKEND_VRING_CALL ||
		 m->id == VH_USER_BACKEND_VRING_ERR)
		queue = m->state.index;
	else
		return 0;
	if (vhi_client_has_queue(c, queue))
		return 0;
	return vhi_fault(fault, VH_FAULT_MSG_FIELD, -ERANGE, SECTION,
			 "back-end request %" PRIu32 " about queue %" PRIu32
			 ", which it can't have",
			 m->id, queue);
}

static int handle(struct vhi_client *c, const struct vh_message *m,
		  struct vh_fault *fault, int *ret_fd)
{
	struct vh_backend *b = &c->backend;

	switch (m->id) {
	case VH_USER_BACKEND_IOTLB_MSG:
		if (m->iotlb.type != VH_USER_IOTLB_MISS)
			return -EOPNOTSUPP;
		return vhi_backend_iotlb_miss(b, m->iotlb.iova, m->iotlb.perm);
	case VH_USER_BACKEND_CONFIG_CHANGE_MSG:
		return vhi_backend_config_changed(b);
	case VH_USER_BACKEND_VRING_HOST_NOTIFIER_MSG:
		return host_notifier(c, m, fault);
	case VH_USER_BACKEND_VRING_CALL:
		return vhi_backend_vring_call(b, m->state.index);
	case VH_USER_BACKEND_VRING_ERR:
		return vring_error(c, m->state.index);
	case VH_USER_BACKEND_SHARED_OBJECT_ADD:
		return vhi_backend_shared_object_add(b, m->object.uuid);
	case VH_USER_BACKEND_SHARED_OBJECT_REMOVE:
		return vhi_backend_shared_object_remove(b, m->object.uuid);
	case VH_USER_BACKEND_SHARED_OBJECT_LOOKUP:
		return vhi_backend_shared_object_lookup(b, m->object.uuid,
							ret_fd);
	case VH_USER_BACKEND_SHMEM_MAP:
	case VH_USER_BACKEND_SHMEM_UNMAP:
		return shmem(c, m);
	default:
		return -EOPNOTSUPP;
	}
}

static bool wants_answer(const struct vhi_client *c,
			 const struct vh_message_header *header)
{
	return header->id == VH_USER_BACKEND_SHARED_OBJECT_LOOKUP ||
	       ((header->flags & VH_USER_FLAG_NEED_REPLY) &&
		vhi_client_has(c, VH_USER_PROTOCOL_F_REPLY_ACK));
}

/* False: the back-end doesn't read what it asked for. */
static bool answer(struct vhi_client *c, const struct vh_message_header *header,
		   int result, int fd)
{
	const struct vh_message m = {
	    .id = header->id,
	    .flags = VH_USER_FLAG_REPLY,
	    .payload = VH_PAYLOAD_U64,
	    .u64 = (uint64_t)-result,
	};
	uint8_t bytes[VH_USER_HEADER_SIZE + sizeof(uint64_t)];
	int size = vh_message_encode(&c->context, &m, bytes, sizeof(bytes));

	return vhi_channel_send(c->reverse, bytes, (size_t)size, &fd,
				fd >= 0) == 0;
}

/* False: the channel is no good any more. */
static bool take_one(struct vhi_client *c, const struct vhi_frame *frame)
{
	struct vh_message m;
	struct vh_fault fault;
	bool good = true;
	int fd = -1, r;

	vhi_fault_clear(&fault);
	r = vh_message_decode(VH_USER_FROM_BACKEND, &c->context, &frame->header,
			      frame->payload, frame->fds, &fault, &m);
	if (r == 0)
		r = check_queue(c, &m, &fault);
	if (r == 0)
		r = handle(c, &m, &fault, &fd);
	if (r < 0 && fault.code == VH_FAULT_NONE)
		vhi_fault(&fault, VH_FAULT_UNSUPPORTED, r, SECTION,
			  "back-end request %" PRIu32 " is refused: %s",
			  frame->header.id, strerrordesc_np(-r));
	if (r < 0)
		vhi_log_fault(&c->log, VH_LOG_WARN, "back-end request", &fault);
	if (fault.code == VH_FAULT_MSG_FLAGS)
		good = false;
	else if (wants_answer(c, &frame->header))
		good = answer(c, &frame->header, r < 0 ? r : 0, fd);
	vhi_fd_close(&fd);
	return good;
}

void vhi_reverse_serve(struct vhi_client *c)
{
	struct vh_fault fault;
	struct vhi_frame frame;

	for (int i = 0; i < REQUESTS_AT_ONCE && c->reverse; i++) {
		int r;

		vhi_fault_clear(&fault);
		r = vhi_channel_receive(c->reverse, &fault, &frame);
		if (r == 0)
			return;
		if (r > 0 && take_one(c, &frame)) {
			vhi_channel_next(c->reverse);
			continue;
		}
		vhi_log(&c->log, VH_LOG_WARN,
			"the back-end channel is closed: %s",
			fault.code != VH_FAULT_NONE ? fault.text
			: r > 0 ? "the back-end broke the protocol"
				: "the back-end left it");
		vhi_reverse_close(c);
	}
}
