/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The life of a server. */
#include "server.h"

#include <base/check.h>
#include <base/fault.h>
#include <base/thread.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#define DEFAULT_TIMEOUT_MS 10000

static void on_config_changed(void *user)
{
	vhi_news_config(user);
}

static void on_iotlb_miss(void *user, vh_gpa iova, uint32_t access)
{
	vhi_news_miss(user, iova, access);
}

static void on_gone(void *user)
{
	struct vh_user_server *server = user;

	__atomic_store_n(&server->backend_gone, true, __ATOMIC_RELEASE);
	vhi_eventfd_signal(server->wake);
}

static int on_vring_call(void *user, uint32_t queue)
{
	vhi_news_call(user, queue);
	return 0;
}

static void on_vring_fault(void *user, const struct vh_fault *fault)
{
	struct vh_user_server *server = user;

	vhi_news_error(server, fault->queue);
	pthread_mutex_lock(&server->lock);
	server->last_fault = *fault;
	pthread_mutex_unlock(&server->lock);
}

static int init_descriptors(struct vh_user_server *server)
{
	int r;

	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll < 0)
		return -errno;
	server->wake = vhi_eventfd();
	server->timer =
	    timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	server->ended_fd = vhi_eventfd();
	if (server->wake < 0 || server->timer < 0 || server->ended_fd < 0)
		return -EMFILE;
	r = vhi_server_watch(server, server->wake, EPOLLIN);
	return r < 0 ? r : vhi_server_watch(server, server->timer, EPOLLIN);
}

/* Gets hold of the socket that the options describe. */
static int open_socket(struct vh_user_server *server, struct vh_fault *fault)
{
	int connected = -1;
	int r;

	if (server->opts.mode != VH_USER_FD) {
		r = vhi_socket_check_path(server->opts.path, fault);
		if (r < 0)
			return r;
		server->socket.path = strdup(server->opts.path);
		if (!server->socket.path)
			return -ENOMEM;
	}
	if (server->opts.mode == VH_USER_LISTEN) {
		r = vhi_socket_listen(&server->socket, fault);
		if (r < 0)
			return r;
	} else if (server->opts.mode == VH_USER_FD) {
		r = vhi_socket_adopt(&server->socket, server->opts.fd,
				     &connected, fault);
		if (r < 0)
			return r;
	}
	if (connected < 0) {
		vhi_server_seek(server);
		return 0;
	}
	return vhi_session_open(server, connected);
}

static int listen_to_backend(struct vh_user_server *server)
{
	VH_OPTS(vh_backend_events, events);
	int r;

	events.config_changed = on_config_changed;
	events.vring_fault = on_vring_fault;
	events.iotlb_miss = on_iotlb_miss;
	events.gone = on_gone;
	events.vring_call = on_vring_call;
	vhi_forward_events(&events);
	r = vh_backend_set_events(server->backend, &events, server);
	server->listens = r == 0;
	if (r < 0)
		return r;
	server->backend_fd = vh_backend_fd(server->backend);
	return server->backend_fd < 0
		   ? 0
		   : vhi_server_watch(server, server->backend_fd, EPOLLIN);
}

static struct vh_user_server *new_server(struct vh_backend *backend,
					 const struct vh_user_serve_opts *opts)
{
	struct vh_user_server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	server->backend = backend;
	server->opts = *opts;
	if (!server->opts.timeout_ms)
		server->opts.timeout_ms = DEFAULT_TIMEOUT_MS;
	server->pause_ms = VHI_FIRST_PAUSE_MS;
	server->epoll = server->wake = server->timer = -1;
	server->socket.listener = server->ended_fd = -1;
	server->backend_fd = -1;
	vhi_log_init(&server->log, &opts->log);
	pthread_mutex_init(&server->lock, NULL);
	vhi_fault_clear(&server->last_fault);
	return server;
}

int vh_user_serve(struct vh_backend *backend,
		  const struct vh_user_serve_opts *opts, struct vh_fault *fault,
		  struct vh_user_server **ret_server)
{
	struct vh_user_serve_opts our_opts;
	struct vh_user_server *server;
	int r = vhi_opts_copy(&our_opts, sizeof(our_opts), opts);

	if (r < 0 || our_opts.mode > VH_USER_FD)
		return vhi_fault(fault, VH_FAULT_CALLER, r < 0 ? r : -EINVAL,
				 "",
				 "the options of vh_user_serve() are wrong");
	server = new_server(backend, &our_opts);
	if (!server)
		return vhi_fault(fault, VH_FAULT_SYSTEM, -ENOMEM, NULL,
				 "no memory for a server");
	vhi_fault_clear(fault);
	r = init_descriptors(server);
	if (r == 0)
		r = open_socket(server, fault);
	if (r == 0)
		r = listen_to_backend(server);
	if (r < 0) {
		if (fault && fault->code == VH_FAULT_NONE)
			vhi_fault(fault, VH_FAULT_SYSTEM, r, "",
				  "the server can't be made: %s",
				  strerrordesc_np(-r));
		vh_user_server_free(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

static void stop_thread(struct vh_user_server *server)
{
	if (!server->running)
		return;
	__atomic_store_n(&server->quit, true, __ATOMIC_RELEASE);
	vhi_eventfd_signal(server->wake);
	pthread_join(server->thread, NULL);
	server->running = false;
}

void vh_user_server_free(struct vh_user_server *server)
{
	if (!server)
		return;
	stop_thread(server);
	vhi_session_close(server);
	if (server->listens)
		(void)!vh_backend_set_events(server->backend, NULL, NULL);
	vhi_socket_done(&server->socket);
	vhi_fd_close(&server->timer);
	vhi_fd_close(&server->wake);
	vhi_fd_close(&server->ended_fd);
	vhi_fd_close(&server->epoll);
	vhi_log_done(&server->log);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

int vh_user_server_fd(const struct vh_user_server *server)
{
	return server->epoll;
}

int vh_user_server_dispatch(struct vh_user_server *server)
{
	return vhi_server_run(server, 0);
}

static void *thread_main(void *arg)
{
	struct vh_user_server *server = arg;
	int r = 0;

	while (r == 0 && !__atomic_load_n(&server->quit, __ATOMIC_ACQUIRE))
		r = vhi_server_run(server, -1);
	if (r < 0)
		vhi_eventfd_signal(server->ended_fd);
	return NULL;
}

int vh_user_server_start(struct vh_user_server *server)
{
	int r;

	if (server->running)
		return -EBUSY;
	r = vhi_thread_create(&server->thread, "vhost-user", thread_main,
			      server);
	server->running = r == 0;
	return r;
}

int vh_user_server_ended_fd(const struct vh_user_server *server)
{
	return server->ended_fd;
}

int vh_user_server_get_info(struct vh_user_server *server,
			    struct vh_user_server_info *info)
{
	size_t size = info->size;

	if (size < sizeof(info->size))
		return -EINVAL;
	pthread_mutex_lock(&server->lock);
	memcpy(info, &server->info,
	       size < sizeof(*info) ? size : sizeof(*info));
	pthread_mutex_unlock(&server->lock);
	info->size = size;
	return 0;
}

void vh_user_server_fault(struct vh_user_server *server,
			  struct vh_fault *ret_fault)
{
	pthread_mutex_lock(&server->lock);
	*ret_fault = server->last_fault;
	pthread_mutex_unlock(&server->lock);
}
