/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * From a frame to its answer. A request that fails gets a negative
 * acknowledgement if it may be acknowledged; otherwise the connection ends,
 * since the front-end would go on as if the request had been granted.
 */
#include "server.h"

#include <base/fault.h>
#include <errno.h>
#include <string.h>

static int send_message(struct vh_user_server *server,
			const struct vh_message *message, int fd)
{
	struct vhi_session *session = &server->session;
	uint8_t bytes[VH_USER_HEADER_SIZE + VH_USER_MAX_PAYLOAD];
	int size =
	    vh_message_encode(&session->context, message, bytes, sizeof(bytes));

	if (size < 0)
		return size;
	return vhi_channel_send(session->channel, bytes, (size_t)size, &fd,
				fd >= 0);
}

static bool acknowledge(struct vh_user_server *server, uint32_t id, int result)
{
	const struct vh_message ack = {
	    .id = id,
	    .flags = VH_USER_FLAG_REPLY,
	    .payload = VH_PAYLOAD_U64,
	    .u64 = (uint64_t)-result,
	};

	return send_message(server, &ack, -1) >= 0;
}

/* GET_CONFIG says "error" with a reply that has no payload. */
static bool refuse_config(struct vh_user_server *server)
{
	const struct vh_message error = {
	    .id = VH_USER_GET_CONFIG,
	    .flags = VH_USER_FLAG_REPLY,
	    .payload = VH_PAYLOAD_NONE,
	};

	return send_message(server, &error, -1) >= 0;
}

static bool wants_ack(const struct vh_user_server *server,
		      const struct vh_message_header *header)
{
	return (header->flags & VH_USER_FLAG_NEED_REPLY) &&
	       vhi_session_has(server, VH_USER_PROTOCOL_F_REPLY_ACK);
}

static void note_refusal(struct vh_user_server *server,
			 const struct vh_message_header *header)
{
	server->fault.message = header->id;
	pthread_mutex_lock(&server->lock);
	server->info.refused++;
	pthread_mutex_unlock(&server->lock);
	vhi_session_note_fault(server, &server->fault);
}

static bool refuse(struct vh_user_server *server,
		   const struct vh_message_header *header, int error)
{
	const struct vh_message_info *info =
	    vh_message_info(VH_USER_FROM_FRONTEND, header->id);
	bool ackable = !info || info->reply != VH_REPLY_ALWAYS;

	note_refusal(server, header);
	/* With such a header nothing can be said about what follows. */
	if (server->fault.code == VH_FAULT_MSG_FLAGS)
		return false;
	if (header->id == VH_USER_GET_CONFIG &&
	    server->fault.code != VH_FAULT_MSG_SIZE &&
	    server->fault.code != VH_FAULT_MSG_FDS)
		return refuse_config(server);
	/* The reply to IOTLB_MSG is an acknowledgement that always comes. */
	if (header->id == VH_USER_IOTLB_MSG ||
	    (ackable && wants_ack(server, header)))
		return acknowledge(server, header->id, error);
	/* The guest writes what it likes; that isn't the front-end's fault. */
	return header->id == VH_USER_SET_CONFIG &&
	       server->fault.code == VH_FAULT_CONFIG;
}

static bool grant(struct vh_user_server *server,
		  const struct vh_message_header *header,
		  struct vhi_reply *reply)
{
	bool ok = true;

	if (reply->made) {
		reply->message.id = header->id;
		reply->message.flags = VH_USER_FLAG_REPLY;
		ok = send_message(server, &reply->message, reply->fd) >= 0;
	} else if (wants_ack(server, header)) {
		ok = acknowledge(server, header->id, 0);
	}
	vhi_fd_close(&reply->fd);
	return ok;
}

static void trace(struct vh_user_server *server, const struct vhi_frame *frame)
{
	const struct vh_message_info *info =
	    vh_message_info(VH_USER_FROM_FRONTEND, frame->header.id);

	vhi_log(&server->log, VH_LOG_DEBUG,
		"%s (%u), flags 0x%x, %u bytes, %u descriptors",
		info ? info->name : "unknown request", frame->header.id,
		frame->header.flags, frame->header.size, frame->fds);
}

bool vhi_answer(struct vh_user_server *server, const struct vhi_frame *frame)
{
	struct vh_message message;
	struct vhi_reply reply = {.fd = -1};
	int r;

	if (vhi_log_wants(&server->log, VH_LOG_DEBUG))
		trace(server, frame);
	pthread_mutex_lock(&server->lock);
	server->info.messages++;
	pthread_mutex_unlock(&server->lock);
	vhi_fault_clear(&server->fault);
	r = vh_message_decode(VH_USER_FROM_FRONTEND, &server->session.context,
			      &frame->header, frame->payload, frame->fds,
			      &server->fault, &message);
	if (r == 0)
		r = vhi_handle(server, &message, &reply);
	if (r < 0)
		return refuse(server, &frame->header, r);
	return grant(server, &frame->header, &reply);
}
