/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Requests of a back-end elsewhere, handed on to our front-end. They come
 * while this thread dispatches the back-end or waits for an answer of it, so
 * they can be asked at once; and the back-end waits for the answer.
 */
#include "server.h"

#include <base/fault.h>
#include <errno.h>
#include <string.h>

static bool may_ask(const struct vh_user_server *server, uint32_t id, int fd)
{
	uint64_t needs =
	    vh_message_info(VH_USER_FROM_BACKEND, id)->protocol_features;

	if (fd >= 0)
		needs |= VHI_BIT(VH_USER_PROTOCOL_F_BACKEND_SEND_FD);
	needs &= ~server->session.context.protocol_features;
	return server->session.reverse && !needs;
}

static int patience(const struct vh_user_server *server)
{
	uint32_t ms = server->opts.timeout_ms;

	return ms < INT32_MAX ? (int)ms : INT32_MAX;
}

static int send_request(struct vh_user_server *server,
			const struct vh_message *m, int fd)
{
	uint8_t bytes[VH_USER_HEADER_SIZE + VH_USER_MAX_PAYLOAD];
	int r = vh_message_encode(&server->session.context, m, bytes,
				  sizeof(bytes));

	if (r < 0)
		return r;
	return vhi_channel_send_wait(server->session.reverse, bytes, (size_t)r,
				     &fd, fd >= 0, patience(server));
}

/* The value that comes back: 0, or why not. */
static int receive_answer(struct vh_user_server *server, uint32_t id,
			  int *ret_fd)
{
	struct vhi_channel *reverse = server->session.reverse;
	struct vh_message reply = {.u64 = 0};
	struct vhi_frame frame;
	struct vh_fault fault;
	int r =
	    vhi_channel_receive_wait(reverse, patience(server), &fault, &frame);

	if (r > 0)
		r = vh_message_decode_reply(
		    VH_USER_FROM_BACKEND, &server->session.context, id, true,
		    &frame.header, frame.payload, frame.fds, &fault, &reply);
	if (r < 0)
		return r;
	if (ret_fd)
		*ret_fd = vhi_channel_take_fd(reverse, 0);
	vhi_channel_next(reverse);
	return reply.u64 ? 1 : 0;
}

/* 0 or a negative errno. A front-end that doesn't answer is asked no more. */
static int ask(struct vh_user_server *server, struct vh_message *m, int fd,
	       int *ret_fd)
{
	bool acks = vhi_session_has(server, VH_USER_PROTOCOL_F_REPLY_ACK);
	int r;

	if (!may_ask(server, m->id, fd))
		return -EOPNOTSUPP;
	if (acks)
		m->flags = VH_USER_FLAG_NEED_REPLY;
	r = send_request(server, m, fd);
	if (r == 0 && (acks || ret_fd))
		r = receive_answer(server, m->id, ret_fd);
	if (r < 0) {
		vhi_log(&server->log, VH_LOG_WARN,
			"a request of the back-end (%u) got no answer: %s",
			m->id, strerrordesc_np(-r));
		vhi_news_set_channel(server, NULL);
	}
	return r > 0 ? -EREMOTEIO : r;
}

static int host_notifier(void *user, uint32_t queue,
			 const struct vh_notify_area *area, int fd)
{
	struct vh_message m = {
	    .id = VH_USER_BACKEND_VRING_HOST_NOTIFIER_MSG,
	    .payload = VH_PAYLOAD_VRING_AREA,
	    .area.index = queue,
	    .area.nofd = fd < 0,
	    .area.size = area->size,
	    .area.offset = area->offset,
	};

	return ask(user, &m, fd, NULL);
}

static int about_object(struct vh_user_server *server, uint32_t id,
			const uint8_t *uuid, int *ret_fd)
{
	struct vh_message m = {
	    .id = id,
	    .payload = VH_PAYLOAD_SHARED_OBJECT,
	};

	memcpy(m.object.uuid, uuid, sizeof(m.object.uuid));
	return ask(server, &m, -1, ret_fd);
}

static int object_add(void *user, const uint8_t *uuid)
{
	return about_object(user, VH_USER_BACKEND_SHARED_OBJECT_ADD, uuid,
			    NULL);
}

static int object_remove(void *user, const uint8_t *uuid)
{
	return about_object(user, VH_USER_BACKEND_SHARED_OBJECT_REMOVE, uuid,
			    NULL);
}

static int object_lookup(void *user, const uint8_t *uuid, int *ret_fd)
{
	return about_object(user, VH_USER_BACKEND_SHARED_OBJECT_LOOKUP, uuid,
			    ret_fd);
}

static int about_shmem(struct vh_user_server *server, uint32_t id,
		       const struct vh_shmem_map *map, int fd)
{
	struct vh_message m = {
	    .id = id,
	    .payload = VH_PAYLOAD_MMAP,
	    .mmap.shmid = map->id,
	    .mmap.fd_offset = map->fd_offset,
	    .mmap.shm_offset = map->offset,
	    .mmap.len = map->length,
	    .mmap.flags = map->writable,
	};

	return ask(server, &m, fd, NULL);
}

static int shmem_map(void *user, const struct vh_shmem_map *map, int fd)
{
	return about_shmem(user, VH_USER_BACKEND_SHMEM_MAP, map, fd);
}

static int shmem_unmap(void *user, const struct vh_shmem_map *map)
{
	return about_shmem(user, VH_USER_BACKEND_SHMEM_UNMAP, map, -1);
}

void vhi_forward_events(struct vh_backend_events *events)
{
	events->host_notifier = host_notifier;
	events->shared_object_add = object_add;
	events->shared_object_remove = object_remove;
	events->shared_object_lookup = object_lookup;
	events->shmem_map = shmem_map;
	events->shmem_unmap = shmem_unmap;
}
