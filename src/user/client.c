/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The life of a client: from a socket to a back-end, and to its end. */
#include "client.h"
#include "client_control.h"
#include "client_special.h"
#include "socket.h"

#include <base/check.h>
#include <base/clock.h>
#include <base/fault.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define DEFAULT_TIMEOUT_MS 10000
#define TRY_EVERY_MS	   10

void vhi_client_lose(struct vhi_client *c)
{
	if (!c->channel)
		return;
	c->end = c->backend.fault;
	vhi_log_fault(&c->log, VH_LOG_WARN, "back-end", &c->end);
	vhi_channel_free(c->channel);
	c->channel = NULL;
	vhi_reverse_close(c);
	if (c->ready && c->end.error != -ECANCELED)
		vhi_backend_gone(&c->backend);
}

static int get_fd(struct vh_backend *b)
{
	return vhi_client_of(b)->epoll;
}

static int dispatch(struct vh_backend *b)
{
	struct vhi_client *c = vhi_client_of(b);
	struct pollfd pfd = {.events = POLLRDHUP};

	if (__atomic_load_n(&c->cancelled, __ATOMIC_ACQUIRE))
		return vhi_fault(&b->fault, VH_FAULT_MSG_STATE, -ECANCELED, "",
				 "the connection was cancelled");
	if (c->channel) {
		vhi_reverse_serve(c);
		pfd.fd = vhi_channel_fd(c->channel);
		if (poll(&pfd, 1, 0) <= 0)
			return 0;
		vhi_fault(&b->fault, VH_FAULT_MSG_EOF, -ENODEV, "",
			  "the back-end closed the connection");
		vhi_client_lose(c);
	}
	b->fault = c->end;
	b->fault.error = -ENODEV;
	return -ENODEV;
}

static void dispose(struct vhi_client *c)
{
	vhi_channel_free(c->channel);
	vhi_reverse_close(c);
	c->channel = NULL;
	vhi_client_drop_memory(c);
	vhi_fd_close(&c->epoll);
	vhi_fd_close(&c->cancel);
	vhi_log_done(&c->log);
	vhi_backend_done(&c->backend);
	free(c);
}

/* What is in flight is done before the memory may go. */
static void free_client(struct vh_backend *b)
{
	struct vhi_client *c = vhi_client_of(b);

	(void)!vhi_client_stop_all(c);
	dispose(c);
}

const struct vhi_backend_ops vhi_client_ops = {
    .free = free_client,
    .fd = get_fd,
    .dispatch = dispatch,
    .set_owner = vhi_client_set_owner,
    .release = vhi_client_release,
    .get_features = vhi_client_get_features,
    .set_features = vhi_client_set_features,
    .get_queue_num = vhi_client_get_queue_num,
    .get_max_mem_slots = vhi_client_get_max_mem_slots,
    .set_mem_table = vhi_client_set_mem_table,
    .add_region = vhi_client_add_region,
    .remove_region = vhi_client_remove_region,
    .set_vring_num = vhi_client_set_vring_num,
    .set_vring_addr = vhi_client_set_vring_addr,
    .set_vring_base = vhi_client_set_vring_base,
    .get_vring_base = vhi_client_get_vring_base,
    .set_vring_kick = vhi_client_set_vring_kick,
    .set_vring_call = vhi_client_set_vring_call,
    .set_vring_err = vhi_client_set_vring_err,
    .set_vring_enable = vhi_client_set_vring_enable,
    .get_config = vhi_client_get_config,
    .set_config = vhi_client_set_config,
    .get_status = vhi_client_get_status,
    .set_status = vhi_client_set_status,
    .reset_device = vhi_client_reset_device,
    .get_inflight = vhi_client_get_inflight,
    .set_inflight = vhi_client_set_inflight,
    .set_log_base = vhi_client_set_log_base,
    .set_log_fd = vhi_client_set_log_fd,
    .iotlb_update = vhi_client_iotlb_update,
    .iotlb_invalidate = vhi_client_iotlb_invalidate,
    .reset_owner = vhi_client_reset_owner,
    .send_rarp = vhi_client_send_rarp,
    .set_mtu = vhi_client_set_mtu,
    .set_vring_endian = vhi_client_set_vring_endian,
    .create_crypto_session = vhi_client_create_crypto,
    .close_crypto_session = vhi_client_close_crypto,
    .set_gpu_socket = vhi_client_set_gpu_socket,
    .kick_vring = vhi_client_kick_vring,
    .get_shared_object = vhi_client_get_shared_object,
    .get_shmem_config = vhi_client_get_shmem_config,
    .set_device_state_fd = vhi_client_set_device_state_fd,
    .check_device_state = vhi_client_check_device_state,
    .get_vring_base_skip_drain = vhi_client_skip_drain,
    .postcopy_advise = vhi_client_postcopy_advise,
    .postcopy_listen = vhi_client_postcopy_listen,
    .postcopy_set_memory = vhi_client_postcopy_set_memory,
    .postcopy_ready = vhi_client_postcopy_ready,
    .postcopy_end = vhi_client_postcopy_end,
};

static int watch(const struct vhi_client *c, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events};

	return epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int init_parts(struct vhi_client *c)
{
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll < 0)
		return -errno;
	c->cancel = vhi_eventfd();
	if (c->cancel < 0)
		return c->cancel;
	if (vh_memory_new(&c->memory.map) < 0)
		return -ENOMEM;
	return watch(c, c->cancel, EPOLLIN);
}

static struct vhi_client *new_client(const struct vh_user_connect_opts *opts)
{
	struct vhi_client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	vhi_backend_init(&c->backend, &vhi_client_ops, 0);
	vhi_log_init(&c->log, &opts->log);
	vhi_fault_clear(&c->end);
	c->epoll = c->cancel = -1;
	c->timeout_ms =
	    opts->timeout_ms ? opts->timeout_ms : DEFAULT_TIMEOUT_MS;
	return c;
}

/* So many wait for the back-end already that there is no room: try again. */
static int connect_to(struct vhi_client *c, const char *path)
{
	const struct timespec pause = {.tv_nsec = TRY_EVERY_MS * 1000000L};
	int64_t deadline = vhi_now_ms() + c->timeout_ms;
	struct vh_fault *fault = &c->backend.fault;
	int fd, r = vhi_socket_check_path(path, fault);

	if (r < 0)
		return r;
	fd = vhi_socket_connect(path);
	while (fd == -EAGAIN) {
		if (vhi_ms_until(deadline) == 0)
			return vhi_fault(fault, VH_FAULT_MSG_TIMEOUT,
					 -ETIMEDOUT, "",
					 "%.120s: the back-end accepted nobody "
					 "within %u ms",
					 path, c->timeout_ms);
		nanosleep(&pause, NULL);
		fd = vhi_socket_connect(path);
	}
	if (fd < 0)
		vhi_fault(fault, VH_FAULT_SYSTEM, fd, "",
			  "can't connect to %.120s: %s", path,
			  strerrordesc_np(-fd));
	return fd;
}

/* Nobody is there: whoever knocked was let in by somebody else, say. */
static bool nobody(int error)
{
	return error == EAGAIN || error == EINTR || error == ECONNABORTED;
}

static int accept_one(struct vhi_client *c, int listener)
{
	int64_t deadline = vhi_now_ms() + c->timeout_ms;
	struct pollfd pfd = {.fd = listener, .events = POLLIN};
	int fd, left;

	do {
		left = vhi_ms_until(deadline);
		if (left == 0)
			return vhi_fault(&c->backend.fault,
					 VH_FAULT_MSG_TIMEOUT, -ETIMEDOUT, "",
					 "no back-end connected within %u ms",
					 c->timeout_ms);
		(void)!poll(&pfd, 1, left);
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	} while (fd < 0 && nobody(errno));
	if (fd < 0)
		return vhi_fault(&c->backend.fault, VH_FAULT_SYSTEM, -errno, "",
				 "accept: %m");
	return fd;
}

static int listen_for(struct vhi_client *c, const char *path)
{
	struct vhi_socket socket = {.listener = -1};
	int r = vhi_socket_check_path(path, &c->backend.fault);

	if (r < 0)
		return r;
	socket.path = strdup(path);
	r = socket.path ? vhi_socket_listen(&socket, &c->backend.fault)
			: -ENOMEM;
	if (r == 0)
		r = accept_one(c, socket.listener);
	vhi_socket_done(&socket);
	return r;
}

static int adopt(struct vhi_client *c, int fd)
{
	struct vhi_socket socket = {.listener = -1};
	int connected = -1;
	int r = vhi_socket_adopt(&socket, fd, &connected, &c->backend.fault);

	if (r == 0 && socket.listener >= 0)
		r = accept_one(c, socket.listener);
	else if (r == 0)
		r = connected;
	vhi_socket_done(&socket);
	return r;
}

static int open_channel(struct vhi_client *c,
			const struct vh_user_connect_opts *opts)
{
	int fd, r;

	if (opts->mode == VH_USER_CONNECT)
		fd = connect_to(c, opts->path);
	else if (opts->mode == VH_USER_LISTEN)
		fd = listen_for(c, opts->path);
	else
		fd = adopt(c, opts->fd);
	if (fd < 0)
		return fd;
	r = vhi_channel_new(fd, &c->channel);
	if (r < 0) {
		vhi_fd_close(&fd);
		return r;
	}
	return watch(c, fd, EPOLLRDHUP);
}

int vh_user_connect(const struct vh_user_connect_opts *opts,
		    struct vh_fault *fault, struct vh_backend **ret_backend)
{
	struct vh_user_connect_opts our_opts;
	struct vhi_client *c;
	int r = vhi_opts_copy(&our_opts, sizeof(our_opts), opts);

	if (r < 0 || our_opts.mode > VH_USER_FD)
		return vhi_fault(fault, VH_FAULT_CALLER, r < 0 ? r : -EINVAL,
				 "",
				 "the options of vh_user_connect() are wrong");
	c = new_client(&our_opts);
	if (!c)
		return vhi_fault(fault, VH_FAULT_SYSTEM, -ENOMEM, NULL,
				 "no memory for a client");
	r = init_parts(c);
	if (r == 0)
		r = open_channel(c, &our_opts);
	if (r == 0)
		r = vhi_client_negotiate(c, our_opts.protocol_features);
	if (r < 0) {
		if (c->backend.fault.code == VH_FAULT_NONE)
			vhi_fault(&c->backend.fault, VH_FAULT_SYSTEM, r, "",
				  "the client can't be made: %s",
				  strerrordesc_np(-r));
		if (fault)
			*fault = c->backend.fault;
		dispose(c);
		return r;
	}
	*ret_backend = &c->backend;
	return 0;
}

int vh_user_cancel(struct vh_backend *backend)
{
	struct vhi_client *c = vhi_client_of(backend);

	if (backend->ops != &vhi_client_ops)
		return -EINVAL;
	__atomic_store_n(&c->cancelled, true, __ATOMIC_RELEASE);
	vhi_eventfd_signal(c->cancel);
	return 0;
}

int vh_user_client_get_info(const struct vh_backend *backend,
			    struct vh_user_client_info *info)
{
	const struct vhi_client *c = (const struct vhi_client *)backend;
	struct vh_user_client_info all = {.size = info->size};

	if (backend->ops != &vhi_client_ops || info->size < sizeof(info->size))
		return -EINVAL;
	all.offered = c->offered;
	all.features = c->context.features;
	all.protocol_features = c->context.protocol_features;
	all.protocol_offered = c->protocol_offered;
	memcpy(info, &all, all.size < sizeof(all) ? all.size : sizeof(all));
	return 0;
}
