/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * One request and its answer. Between the two nothing else is sent, so the
 * next frame is the answer or the back-end is wrong; and after a wrong, late
 * or torn one nobody knows what the next bytes mean, so that the connection
 * ends.
 */
#include "client.h"

#include <base/check.h>
#include <base/clock.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#define SECTION "Communication"

static const char *name_of(uint32_t id)
{
	return vh_message_info(VH_USER_FROM_FRONTEND, id)->name;
}

static int check_connected(struct vhi_client *c, uint32_t id)
{
	bool cancelled = __atomic_load_n(&c->cancelled, __ATOMIC_ACQUIRE);

	if (c->channel && !cancelled)
		return 0;
	return vhi_fault(&c->backend.fault, VH_FAULT_MSG_STATE,
			 cancelled ? -ECANCELED : -ENODEV, SECTION,
			 "%s: the connection has ended: %.120s", name_of(id),
			 cancelled ? "it was cancelled" : c->end.text);
}

static int check_gate(struct vhi_client *c, const struct vh_message_info *info)
{
	uint64_t missing =
	    info->protocol_features & ~c->context.protocol_features;

	if (missing)
		return vhi_fault(&c->backend.fault, VH_FAULT_UNSUPPORTED,
				 -EOPNOTSUPP, info->section,
				 "%s: the back-end hasn't negotiated %s",
				 info->name,
				 vh_protocol_feature_name(
				     (unsigned int)__builtin_ctzll(missing)));
	missing = info->features & ~c->context.features;
	if (missing)
		return vhi_fault(&c->backend.fault, VH_FAULT_UNSUPPORTED,
				 -EOPNOTSUPP, info->section,
				 "%s: feature bit %d isn't negotiated",
				 info->name, __builtin_ctzll(missing));
	return 0;
}

static bool has_own_reply(const struct vhi_client *c,
			  const struct vh_message_info *info)
{
	return info->reply == VH_REPLY_ALWAYS ||
	       (info->reply == VH_REPLY_IF_LOG_SHMFD &&
		vhi_client_has(c, VH_USER_PROTOCOL_F_LOG_SHMFD));
}

/* Waits until the socket is ready; takes the back-end's requests meanwhile. */
static int wait_for(struct vhi_client *c, short events, int64_t deadline,
		    const char *name)
{
	struct pollfd fds[] = {
	    {.fd = vhi_channel_fd(c->channel), .events = events},
	    {.fd = c->cancel, .events = POLLIN},
	    {.fd = c->reverse ? vhi_channel_fd(c->reverse) : -1,
	     .events = POLLIN},
	};
	int left = vhi_ms_until(deadline);
	int n = left > 0 ? poll(fds, VHI_ARRAY_SIZE(fds), left) : 0;

	if (n == 0 && vhi_ms_until(deadline) == 0)
		return vhi_fault(
		    &c->backend.fault, VH_FAULT_MSG_TIMEOUT, -ETIMEDOUT,
		    SECTION, "%s: %s within %" PRIu32 " ms", name,
		    events == POLLOUT ? "the back-end doesn't take it"
		    : vhi_channel_partial(c->channel)
			? "only a part of the answer came"
			: "no answer came",
		    c->timeout_ms);
	if (n < 0 && errno != EINTR)
		return vhi_fault(&c->backend.fault, VH_FAULT_SYSTEM, -errno, "",
				 "poll: %m");
	if (n > 0 && fds[1].revents)
		return vhi_fault(&c->backend.fault, VH_FAULT_MSG_STATE,
				 -ECANCELED, "", "%s was cancelled", name);
	if (n > 0 && fds[2].revents)
		vhi_reverse_serve(c);
	return 0;
}

static int peer_left(struct vhi_client *c, const char *name)
{
	return vhi_fault(&c->backend.fault, VH_FAULT_MSG_EOF, -ENODEV, SECTION,
			 "%s: the back-end closed the connection", name);
}

static int send_all(struct vhi_client *c, const struct vh_message *m,
		    const int fds[], unsigned int fd_count)
{
	uint8_t bytes[VH_USER_HEADER_SIZE + VH_USER_MAX_PAYLOAD];
	int64_t deadline = vhi_now_ms() + c->timeout_ms;
	const char *name = name_of(m->id);
	int r = vh_message_encode(&c->context, m, bytes, sizeof(bytes));

	if (r < 0)
		return vhi_fault(&c->backend.fault, VH_FAULT_CALLER, r, SECTION,
				 "%s: a value doesn't fit its field", name);
	vhi_log(&c->log, VH_LOG_DEBUG,
		"%s (%" PRIu32 "), %d bytes, %u "
		"descriptors",
		name, m->id, r, fd_count);
	r = vhi_channel_send(c->channel, bytes, (size_t)r, fds, fd_count);
	while (r > 0) {
		r = wait_for(c, POLLOUT, deadline, name);
		if (r < 0) {
			vhi_client_lose(c);
			return r;
		}
		r = vhi_channel_flush(c->channel);
	}
	if (r == 0)
		return 0;
	if (r == -EPIPE || r == -ECONNRESET)
		r = peer_left(c, name);
	else
		vhi_fault(&c->backend.fault, VH_FAULT_SYSTEM, r, SECTION,
			  "%s can't be sent: %s", name, strerrordesc_np(-r));
	vhi_client_lose(c);
	return r;
}

static int receive_frame(struct vhi_client *c, const char *name,
			 struct vhi_frame *frame)
{
	int64_t deadline = vhi_now_ms() + c->timeout_ms;
	struct vh_fault *fault = &c->backend.fault;
	int r;

	while ((r = vhi_channel_receive(c->channel, fault, frame)) == 0) {
		r = wait_for(c, POLLIN, deadline, name);
		if (r < 0)
			return r;
	}
	if (r == -ENOTCONN)
		return peer_left(c, name);
	/* In the middle of a message: dead all the same. */
	if (r < 0 && fault->code == VH_FAULT_MSG_EOF)
		fault->error = r = -ENODEV;
	return r < 0 ? r : 0;
}

/* 0, -EREMOTEIO: an answer that says "failed", or an answer that isn't one. */
static int receive_reply(struct vhi_client *c,
			 const struct vh_message_info *info, bool acked,
			 struct vh_message *reply)
{
	struct vh_fault *fault = &c->backend.fault;
	struct vhi_frame frame;
	int r = receive_frame(c, info->name, &frame);

	if (r == 0) {
		r = vh_message_decode_reply(
		    VH_USER_FROM_FRONTEND, &c->context, info->id, acked,
		    &frame.header, frame.payload, frame.fds, fault, reply);
		if (r == 0 || r == -EREMOTEIO)
			return r;
		fault->error = r = -EPROTO;
	}
	fault->message = info->id;
	vhi_client_lose(c);
	return r;
}

/*
 * An acknowledgement other than 0 may be an errno, and may be anything. What
 * would say something about the connection isn't taken for one.
 */
static int error_of(uint64_t value)
{
	static const int not_ours[] = {EPERM,	  ENODEV,    ENOTCONN,
				       ECANCELED, ETIMEDOUT, EPROTO};
	int error;

	if (value > 4095 || !strerrorname_np((int)value))
		return -EREMOTEIO;
	error = (int)value;
	for (size_t i = 0; i < VHI_ARRAY_SIZE(not_ours); i++)
		if (error == not_ours[i])
			return -EREMOTEIO;
	return -error;
}

static int check_granted(struct vhi_client *c,
			 const struct vh_message_info *info,
			 const struct vh_message *reply)
{
	bool config = info->id == VH_USER_SET_CONFIG;
	int error;

	if (reply->u64 == 0)
		return 0;
	error = error_of(reply->u64);
	vhi_fault(&c->backend.fault,
		  config ? VH_FAULT_CONFIG : VH_FAULT_MSG_REFUSED, error,
		  info->section, "%s: the back-end answers %" PRIu64 " (%s)",
		  info->name, reply->u64,
		  error == -EREMOTEIO ? "it failed" : strerrordesc_np(-error));
	c->backend.fault.message = info->id;
	return error;
}

static bool in_postcopy(const struct vhi_client *c, const struct vh_message *m)
{
	return m->id == VH_USER_SET_MEM_TABLE &&
	       c->postcopy >= VHI_POSTCOPY_LISTENING;
}

/*
 * True if an answer is due. During postcopy a table comes back instead of an
 * acknowledgement, and the empty one behind it has no answer at all.
 */
static bool ask_for_answer(const struct vhi_client *c,
			   const struct vh_message_info *info,
			   struct vh_message *m)
{
	bool own = has_own_reply(c, info);
	bool acks = vhi_client_has(c, VH_USER_PROTOCOL_F_REPLY_ACK);

	m->flags = 0;
	if (in_postcopy(c, m))
		return m->mem_table.count > 0;
	/* DPDK answers IOTLB messages, too, only if it is asked to. */
	if (acks && (!own || info->id == VH_USER_IOTLB_MSG))
		m->flags = VH_USER_FLAG_NEED_REPLY;
	return own || acks;
}

/*
 * What is there before anything was asked for is an answer to nothing, or a
 * second one. It would be taken for that of this request.
 */
static int check_silence(struct vhi_client *c, const char *name)
{
	struct vh_fault *fault = &c->backend.fault;
	struct vhi_frame frame;
	int r;

	vhi_channel_next(c->channel);
	r = vhi_channel_receive(c->channel, fault, &frame);
	if (r == 0 && !vhi_channel_partial(c->channel))
		return 0;
	if (r >= 0)
		r = vhi_fault(fault, VH_FAULT_MSG_REPLY, -EPROTO, SECTION,
			      "before %s was sent there was an answer that "
			      "nobody had asked for",
			      name);
	else if (r == -ENOTCONN || fault->code == VH_FAULT_MSG_EOF)
		r = peer_left(c, name);
	vhi_client_lose(c);
	return r;
}

static int exchange(struct vhi_client *c, const struct vh_message *request,
		    const int fds[], unsigned int fd_count,
		    struct vh_message *reply)
{
	const struct vh_message_info *info =
	    vh_message_info(VH_USER_FROM_FRONTEND, request->id);
	struct vh_message m = *request;
	bool own = has_own_reply(c, info) || in_postcopy(c, &m);
	bool due = ask_for_answer(c, info, &m);
	int r;

	r = check_silence(c, info->name);
	if (r == 0)
		r = send_all(c, &m, fds, fd_count);
	if (r < 0 || !due)
		return r < 0 ? r : 1;
	r = receive_reply(c, info, !own, reply);
	if (r == 0 && (!own || info->id == VH_USER_IOTLB_MSG))
		r = check_granted(c, info, reply);
	return r;
}

int vhi_client_call(struct vhi_client *c, const struct vh_message *request,
		    const int fds[], unsigned int fd_count,
		    struct vh_message *ret_reply)
{
	static const struct vh_message harmless = {
	    .id = VH_USER_GET_FEATURES,
	};
	struct vh_message reply;
	int r = check_connected(c, request->id);

	if (r == 0)
		r = check_gate(
		    c, vh_message_info(VH_USER_FROM_FRONTEND, request->id));
	if (r == 0)
		r = exchange(c, request, fds, fd_count, &reply);
	/* Who answers this has done what came before it. */
	if (r == 1)
		r = c->ready ? exchange(c, &harmless, NULL, 0, &reply) : 0;
	if (r == 0 && ret_reply)
		*ret_reply = reply;
	return r;
}

int vhi_client_set_u64(struct vhi_client *c, uint32_t id, uint64_t value)
{
	const struct vh_message m = {
	    .id = id,
	    .payload = VH_PAYLOAD_U64,
	    .u64 = value,
	};

	return vhi_client_call(c, &m, NULL, 0, NULL);
}

int vhi_client_get_u64(struct vhi_client *c, uint32_t id, uint64_t *ret)
{
	const struct vh_message m = {.id = id};
	struct vh_message reply;
	int r = vhi_client_call(c, &m, NULL, 0, &reply);

	if (r == 0)
		*ret = reply.u64;
	return r;
}

int vhi_client_send_fd(struct vhi_client *c, uint32_t id, int fd)
{
	const struct vh_message m = {.id = id};

	return vhi_client_call(c, &m, &fd, 1, NULL);
}

int vhi_client_take_fd(struct vhi_client *c)
{
	return vhi_channel_take_fd(c->channel, 0);
}

int vhi_client_lie(struct vhi_client *c, uint32_t id, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vhi_vfault(&c->backend.fault, VH_FAULT_MSG_FIELD, -EPROTO,
		   vh_message_info(VH_USER_FROM_FRONTEND, id)->section, format,
		   args);
	va_end(args);
	c->backend.fault.message = id;
	vhi_client_lose(c);
	return -EPROTO;
}
