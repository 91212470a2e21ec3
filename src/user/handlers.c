/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * One function for each request ("Front-end message types"). The message was
 * checked against the table; what depends on the back-end is checked here or
 * by the back-end itself.
 */
#include "handler.h"

#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int vhi_done(struct vh_user_server *server, int r)
{
	if (r >= 0)
		return 0;
	server->fault = *vh_backend_fault(server->backend);
	if (server->fault.code == VH_FAULT_NONE)
		vhi_fault(&server->fault, VH_FAULT_SYSTEM, r, "",
			  "the back-end failed: %s", strerrordesc_np(-r));
	return r;
}

int vhi_reply_u64(struct vhi_reply *reply, uint64_t value)
{
	reply->made = true;
	reply->message.payload = VH_PAYLOAD_U64;
	reply->message.u64 = value;
	return 0;
}

/* What a front-end may use, since the back-end behind can. */
static const struct {
	uint64_t capability;
	uint64_t protocol_features;
} offers[] = {
    {VH_CAP_CONFIG, VHI_BIT(VH_USER_PROTOCOL_F_CONFIG)},
    {VH_CAP_STATUS, VHI_BIT(VH_USER_PROTOCOL_F_STATUS)},
    {VH_CAP_RESET, VHI_BIT(VH_USER_PROTOCOL_F_RESET_DEVICE)},
    {VH_CAP_REGIONS, VHI_BIT(VH_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)},
    {VH_CAP_INFLIGHT, VHI_BIT(VH_USER_PROTOCOL_F_INFLIGHT_SHMFD)},
    {VH_CAP_LOG, VHI_BIT(VH_USER_PROTOCOL_F_LOG_SHMFD)},
    {VH_CAP_RARP, VHI_BIT(VH_USER_PROTOCOL_F_RARP)},
    {VH_CAP_MTU, VHI_BIT(VH_USER_PROTOCOL_F_MTU)},
    {VH_CAP_ENDIAN, VHI_BIT(VH_USER_PROTOCOL_F_CROSS_ENDIAN)},
    {VH_CAP_CRYPTO, VHI_BIT(VH_USER_PROTOCOL_F_CRYPTO_SESSION)},
    {VH_CAP_POSTCOPY, VHI_BIT(VH_USER_PROTOCOL_F_PAGEFAULT)},
    {VH_CAP_INBAND, VHI_BIT(VH_USER_PROTOCOL_F_INBAND_NOTIFICATIONS)},
    {VH_CAP_SHARED_OBJECT, VHI_BIT(VH_USER_PROTOCOL_F_SHARED_OBJECT)},
    {VH_CAP_DEVICE_STATE, VHI_BIT(VH_USER_PROTOCOL_F_DEVICE_STATE)},
    {VH_CAP_SHMEM, VHI_BIT(VH_USER_PROTOCOL_F_SHMEM) |
		       VHI_BIT(VH_USER_PROTOCOL_F_BACKEND_SEND_FD)},
    {VH_CAP_HOST_NOTIFIER, VHI_BIT(VH_USER_PROTOCOL_F_HOST_NOTIFIER) |
			       VHI_BIT(VH_USER_PROTOCOL_F_BACKEND_SEND_FD)},
    {VH_CAP_SKIP_DRAIN,
     VHI_BIT(VH_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN) |
	 VHI_BIT(VH_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT)},
};

uint64_t vhi_protocol_features(const struct vh_user_server *server)
{
	uint64_t can = vh_backend_capabilities(server->backend);
	uint64_t bits = VHI_BIT(VH_USER_PROTOCOL_F_MQ) |
			VHI_BIT(VH_USER_PROTOCOL_F_REPLY_ACK) |
			VHI_BIT(VH_USER_PROTOCOL_F_BACKEND_REQ);

	/* Slots and postcopy exclude each other. */
	if (can & VH_CAP_POSTCOPY)
		can &= ~VH_CAP_REGIONS;
	for (size_t i = 0; i < VHI_ARRAY_SIZE(offers); i++)
		if (can & offers[i].capability)
			bits |= offers[i].protocol_features;
	return bits;
}

static HANDLER(get_features)
{
	uint64_t features;
	int r = vh_backend_get_features(server->backend, &features);

	UNUSED(m);
	if (r < 0)
		return vhi_done(server, r);
	return vhi_reply_u64(reply,
			     features | VHI_BIT(VH_USER_F_PROTOCOL_FEATURES));
}

static int enable_all(struct vh_user_server *server, bool enable)
{
	uint32_t queues;
	int r = vh_backend_get_queue_num(server->backend, &queues);

	for (uint32_t i = 0; r >= 0 && i < queues; i++)
		r = vh_backend_set_vring_enable(server->backend, i, enable);
	return vhi_done(server, r);
}

static void note_features(struct vh_user_server *server)
{
	pthread_mutex_lock(&server->lock);
	server->info.features = server->session.context.features;
	server->info.protocol_features =
	    server->session.context.protocol_features;
	pthread_mutex_unlock(&server->lock);
	vhi_log(&server->log, VH_LOG_INFO,
		"features 0x%llx, protocol features 0x%llx",
		(unsigned long long)server->session.context.features,
		(unsigned long long)server->session.context.protocol_features);
}

static HANDLER(set_features)
{
	uint64_t own = VHI_BIT(VH_USER_F_PROTOCOL_FEATURES);
	int r = vh_backend_set_features(server->backend, m->u64 & ~own);

	UNUSED(reply);
	if (r < 0)
		return vhi_done(server, r);
	server->session.context.features = m->u64;
	note_features(server);
	/* Such a front-end knows nothing of enabling ("Ring states"). */
	return m->u64 & own ? 0 : enable_all(server, true);
}

static HANDLER(get_protocol_features)
{
	UNUSED(m);
	return vhi_reply_u64(reply, vhi_protocol_features(server));
}

static HANDLER(set_protocol_features)
{
	uint64_t unknown = m->u64 & ~vhi_protocol_features(server);

	UNUSED(reply);
	if (unknown)
		return vhi_fault(&server->fault, VH_FAULT_FEATURES, -EINVAL,
				 "Protocol features",
				 "protocol features 0x%llx weren't offered",
				 (unsigned long long)unknown);
	server->session.context.protocol_features = m->u64;
	note_features(server);
	return 0;
}

static HANDLER(set_owner)
{
	UNUSED(m), UNUSED(reply);
	return vhi_done(server, vh_backend_set_owner(server->backend));
}

static HANDLER(reset_owner)
{
	int r = vh_backend_reset_owner(server->backend);

	UNUSED(m), UNUSED(reply);
	return r == -EOPNOTSUPP ? enable_all(server, false)
				: vhi_done(server, r);
}

static HANDLER(get_queue_num)
{
	uint32_t queues;
	int r = vh_backend_get_queue_num(server->backend, &queues);

	UNUSED(m);
	return r < 0 ? vhi_done(server, r) : vhi_reply_u64(reply, queues);
}

static HANDLER(get_max_mem_slots)
{
	uint32_t slots;
	int r = vh_backend_get_max_mem_slots(server->backend, &slots);

	UNUSED(m);
	return r < 0 ? vhi_done(server, r) : vhi_reply_u64(reply, slots);
}

static HANDLER(set_vring_num)
{
	UNUSED(reply);
	return vhi_done(server,
			vh_backend_set_vring_num(server->backend,
						 m->state.index, m->state.num));
}

static HANDLER(set_vring_base)
{
	UNUSED(reply);
	return vhi_done(server, vh_backend_set_vring_base(server->backend,
							  m->state.index,
							  m->state.num));
}

void vhi_note_started(struct vh_user_server *server, uint32_t queue,
		      bool started)
{
	uint64_t *word = &server->session.started[queue / 64 % 4];

	if (started)
		*word |= VHI_BIT(queue % 64);
	else
		*word &= ~VHI_BIT(queue % 64);
}

/* Both requests that stop a ring are answered alike. */
static int stop(struct vh_user_server *server, const struct vh_message *m,
		int (*get_base)(struct vh_backend *, uint32_t, uint32_t *),
		struct vhi_reply *reply)
{
	uint32_t base;
	int r = get_base(server->backend, m->state.index, &base);

	if (r < 0)
		return vhi_done(server, r);
	vhi_note_started(server, m->state.index, false);
	reply->made = true;
	reply->message.payload = VH_PAYLOAD_VRING_STATE;
	reply->message.state.index = m->state.index;
	reply->message.state.num = base;
	return 0;
}

static HANDLER(get_vring_base)
{
	return stop(server, m, vh_backend_get_vring_base, reply);
}

static HANDLER(get_vring_base_skip_drain)
{
	return stop(server, m, vh_backend_get_vring_base_skip_drain, reply);
}

/* The descriptor of a vring message goes to one of three setters. */
static int set_vring_fd(struct vh_user_server *server,
			const struct vh_message *m,
			int (*set)(struct vh_backend *, uint32_t, int))
{
	int fd = m->vring_fd.nofd
		     ? -1
		     : vhi_channel_take_fd(server->session.channel, 0);
	int r = set(server->backend, m->vring_fd.index, fd);

	vhi_fd_close(&fd);
	return vhi_done(server, r);
}

static HANDLER(set_vring_kick)
{
	int r = set_vring_fd(server, m, vh_backend_set_vring_kick);

	UNUSED(reply);
	if (r < 0)
		return r;
	vhi_note_started(server, m->vring_fd.index, true);
	server->pause_ms = VHI_FIRST_PAUSE_MS;
	vhi_news_tell(server);
	return 0;
}

static HANDLER(set_vring_call)
{
	UNUSED(reply);
	return set_vring_fd(server, m, vh_backend_set_vring_call);
}

static HANDLER(set_vring_err)
{
	UNUSED(reply);
	return set_vring_fd(server, m, vh_backend_set_vring_err);
}

static HANDLER(set_vring_enable)
{
	UNUSED(reply);
	return vhi_done(server, vh_backend_set_vring_enable(server->backend,
							    m->state.index,
							    m->state.num != 0));
}

/* A socket, or a pipe from a front-end that doesn't want to answer. */
static int own_reverse_fd(int *fd)
{
	struct stat st;
	int own;

	if (fstat(*fd, &st) < 0)
		return -errno;
	if (S_ISSOCK(st.st_mode))
		return 0;
	if (!S_ISFIFO(st.st_mode))
		return -ENOTSOCK;
	own = vhi_fd_reopen_pipe(*fd);
	if (own < 0)
		return own;
	vhi_fd_close(fd);
	*fd = own;
	return 0;
}

static HANDLER(set_backend_req_fd)
{
	struct vhi_channel *reverse = NULL;
	int fd = vhi_channel_take_fd(server->session.channel, 0);
	int r = own_reverse_fd(&fd);

	UNUSED(m), UNUSED(reply);
	if (r == 0)
		r = vhi_channel_new(fd, &reverse);
	if (r < 0) {
		vhi_fd_close(&fd);
		return vhi_fault(&server->fault, VH_FAULT_MSG_FDS, r,
				 "Back-end communication",
				 "the descriptor can't be used: %s",
				 strerrordesc_np(-r));
	}
	vhi_news_set_channel(server, reverse);
	vhi_news_tell(server);
	return 0;
}

static HANDLER(get_config)
{
	int r = vh_backend_get_config(server->backend, m->config.offset,
				      reply->config, m->config.size);

	if (r < 0)
		return vhi_done(server, r);
	reply->made = true;
	reply->message.payload = VH_PAYLOAD_CONFIG;
	reply->message.config.offset = m->config.offset;
	reply->message.config.size = m->config.size;
	reply->message.config.flags = m->config.flags;
	reply->message.config.data = reply->config;
	return 0;
}

static HANDLER(set_config)
{
	UNUSED(reply);
	return vhi_done(server,
			vh_backend_set_config(server->backend, m->config.offset,
					      m->config.data, m->config.size,
					      m->config.flags));
}

static HANDLER(reset_device)
{
	UNUSED(m), UNUSED(reply);
	memset(server->session.started, 0, sizeof(server->session.started));
	server->session.context.features = 0;
	return vhi_done(server, vh_backend_reset_device(server->backend));
}

static HANDLER(set_status)
{
	UNUSED(reply);
	return vhi_done(
	    server, vh_backend_set_status(server->backend, (uint8_t)m->u64));
}

static HANDLER(get_status)
{
	uint8_t status;
	int r = vh_backend_get_status(server->backend, &status);

	UNUSED(m);
	return r < 0 ? vhi_done(server, r) : vhi_reply_u64(reply, status);
}

static struct vh_inflight inflight_of(const struct vh_message *m)
{
	return (struct vh_inflight){
	    .mmap_size = m->inflight.mmap_size,
	    .mmap_offset = m->inflight.mmap_offset,
	    .num_queues = m->inflight.num_queues,
	    .queue_size = m->inflight.queue_size,
	};
}

static HANDLER(get_inflight_fd)
{
	struct vh_inflight area = inflight_of(m);
	int r = vh_backend_get_inflight(server->backend, &area, &reply->fd);

	if (r < 0)
		return vhi_done(server, r);
	reply->made = true;
	reply->message.payload = VH_PAYLOAD_INFLIGHT;
	reply->message.inflight.mmap_size = area.mmap_size;
	reply->message.inflight.mmap_offset = area.mmap_offset;
	reply->message.inflight.num_queues = area.num_queues;
	reply->message.inflight.queue_size = area.queue_size;
	return 0;
}

static HANDLER(set_inflight_fd)
{
	const struct vh_inflight area = inflight_of(m);
	int fd = vhi_channel_take_fd(server->session.channel, 0);
	int r = vh_backend_set_inflight(server->backend, &area, fd);

	UNUSED(reply);
	vhi_fd_close(&fd);
	return vhi_done(server, r);
}

static int (*const handlers[])(struct vh_user_server *server,
			       const struct vh_message *m,
			       struct vhi_reply *reply) = {
    [VH_USER_GET_FEATURES] = get_features,
    [VH_USER_SET_FEATURES] = set_features,
    [VH_USER_SET_OWNER] = set_owner,
    [VH_USER_RESET_OWNER] = reset_owner,
    [VH_USER_SET_MEM_TABLE] = vhi_set_mem_table,
    [VH_USER_SET_LOG_BASE] = vhi_set_log_base,
    [VH_USER_SET_LOG_FD] = vhi_set_log_fd,
    [VH_USER_SET_VRING_NUM] = set_vring_num,
    [VH_USER_SET_VRING_ADDR] = vhi_set_vring_addr,
    [VH_USER_SET_VRING_BASE] = set_vring_base,
    [VH_USER_GET_VRING_BASE] = get_vring_base,
    [VH_USER_SET_VRING_KICK] = set_vring_kick,
    [VH_USER_SET_VRING_CALL] = set_vring_call,
    [VH_USER_SET_VRING_ERR] = set_vring_err,
    [VH_USER_GET_PROTOCOL_FEATURES] = get_protocol_features,
    [VH_USER_SET_PROTOCOL_FEATURES] = set_protocol_features,
    [VH_USER_GET_QUEUE_NUM] = get_queue_num,
    [VH_USER_SET_VRING_ENABLE] = set_vring_enable,
    [VH_USER_SET_BACKEND_REQ_FD] = set_backend_req_fd,
    [VH_USER_IOTLB_MSG] = vhi_iotlb_msg,
    [VH_USER_GET_CONFIG] = get_config,
    [VH_USER_SET_CONFIG] = set_config,
    [VH_USER_GET_INFLIGHT_FD] = get_inflight_fd,
    [VH_USER_SET_INFLIGHT_FD] = set_inflight_fd,
    [VH_USER_RESET_DEVICE] = reset_device,
    [VH_USER_GET_MAX_MEM_SLOTS] = get_max_mem_slots,
    [VH_USER_ADD_MEM_REG] = vhi_add_mem_reg,
    [VH_USER_REM_MEM_REG] = vhi_rem_mem_reg,
    [VH_USER_SET_STATUS] = set_status,
    [VH_USER_GET_STATUS] = get_status,
    [VH_USER_SEND_RARP] = vhi_send_rarp,
    [VH_USER_NET_SET_MTU] = vhi_net_set_mtu,
    [VH_USER_SET_VRING_ENDIAN] = vhi_set_vring_endian,
    [VH_USER_CREATE_CRYPTO_SESSION] = vhi_create_crypto_session,
    [VH_USER_CLOSE_CRYPTO_SESSION] = vhi_close_crypto_session,
    [VH_USER_POSTCOPY_ADVISE] = vhi_postcopy_advise,
    [VH_USER_POSTCOPY_LISTEN] = vhi_postcopy_listen,
    [VH_USER_POSTCOPY_END] = vhi_postcopy_end,
    [VH_USER_GPU_SET_SOCKET] = vhi_gpu_set_socket,
    [VH_USER_VRING_KICK] = vhi_vring_kick,
    [VH_USER_GET_SHARED_OBJECT] = vhi_get_shared_object,
    [VH_USER_SET_DEVICE_STATE_FD] = vhi_set_device_state_fd,
    [VH_USER_CHECK_DEVICE_STATE] = vhi_check_device_state,
    [VH_USER_GET_SHMEM_CONFIG] = vhi_get_shmem_config,
    [VH_USER_GET_VRING_BASE_SKIP_DRAIN] = get_vring_base_skip_drain,
};

int vhi_handle(struct vh_user_server *server, const struct vh_message *message,
	       struct vhi_reply *reply)
{
	if (message->id < VHI_ARRAY_SIZE(handlers) && handlers[message->id])
		return handlers[message->id](server, message, reply);
	return vhi_fault(
	    &server->fault, VH_FAULT_UNSUPPORTED, -EOPNOTSUPP,
	    "Front-end message types", "this back-end doesn't do %s",
	    vh_message_info(VH_USER_FROM_FRONTEND, message->id)->name);
}
