/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What the server waits for: front-ends, their messages, time. */
#include "server.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define LONGEST_PAUSE_MS 1000

int vhi_server_watch(struct vh_user_server *server, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (epoll_ctl(server->epoll, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno
								       : 0;
}

void vhi_server_unwatch(struct vh_user_server *server, int fd)
{
	epoll_ctl(server->epoll, EPOLL_CTL_DEL, fd, NULL);
}

/* 0 stops it. */
void vhi_server_set_timer(struct vh_user_server *server, unsigned int ms)
{
	struct itimerspec when = {
	    .it_value.tv_sec = ms / 1000,
	    .it_value.tv_nsec = (long)(ms % 1000) * 1000000,
	};

	timerfd_settime(server->timer, 0, &when, NULL);
}

static void try_later(struct vh_user_server *server)
{
	unsigned int pause = server->pause_ms;

	server->pause_ms =
	    pause * 2 > LONGEST_PAUSE_MS ? LONGEST_PAUSE_MS : pause * 2;
	vhi_server_set_timer(server, pause);
}

static void try_to_connect(struct vh_user_server *server)
{
	int fd = vhi_socket_connect(server->socket.path);

	/* Once: the next try is near, and mostly ends the same. */
	if (fd < 0 && fd != server->connect_error)
		vhi_log(&server->log, VH_LOG_WARN,
			"can't connect to %s yet: %s", server->socket.path,
			strerrordesc_np(-fd));
	server->connect_error = fd < 0 ? fd : 0;
	if (fd < 0 || vhi_session_open(server, fd) < 0)
		try_later(server);
}

void vhi_server_seek(struct vh_user_server *server)
{
	bool connects = server->opts.mode == VH_USER_CONNECT;

	if (!connects && server->socket.listener < 0)
		server->ended = true;
	else if (connects ||
		 vhi_server_watch(server, server->socket.listener, EPOLLIN) < 0)
		try_later(server);
}

static void accept_one(struct vh_user_server *server)
{
	int fd = accept4(server->socket.listener, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r = fd < 0 ? -errno : 0;

	if (r == -EAGAIN || r == -EINTR || r == -ECONNABORTED)
		return;
	/* The next one waits in the backlog until this one has left. */
	vhi_server_unwatch(server, server->socket.listener);
	if (r == 0)
		r = vhi_session_open(server, fd);
	if (r == 0)
		return;
	vhi_log(&server->log, VH_LOG_ERROR, "can't take a connection: %s",
		strerrordesc_np(-r));
	try_later(server);
}

static void lose_patience(struct vh_user_server *server)
{
	struct vh_fault fault = {
	    .code = VH_FAULT_MSG_TIMEOUT,
	    .error = -ETIMEDOUT,
	    .queue = VH_FAULT_NO_QUEUE,
	    .message = VH_FAULT_NO_MESSAGE,
	    .section = "",
	    .text = "the front-end stopped in the middle of a message",
	};

	vhi_session_note_fault(server, &fault);
	vhi_session_close(server);
	vhi_server_seek(server);
}

static void on_timer(struct vh_user_server *server)
{
	/* It may have been set anew since it ran out. */
	if (!vhi_eventfd_drain(server->timer))
		return;
	if (server->session.channel) {
		if (server->impatient)
			lose_patience(server);
	} else if (server->opts.mode == VH_USER_CONNECT) {
		try_to_connect(server);
	} else {
		vhi_server_seek(server);
	}
}

/* Without its back-end a server is of no use to anybody. */
static void end(struct vh_user_server *server)
{
	if (server->ended)
		return;
	vhi_session_close(server);
	if (server->backend_fd >= 0)
		vhi_server_unwatch(server, server->backend_fd);
	if (server->socket.listener >= 0)
		vhi_server_unwatch(server, server->socket.listener);
	vhi_server_set_timer(server, 0);
	server->ended = true;
	vhi_log(&server->log, VH_LOG_ERROR, "the back-end is gone");
}

static void on_wake(struct vh_user_server *server)
{
	vhi_eventfd_drain(server->wake);
	if (__atomic_load_n(&server->backend_gone, __ATOMIC_ACQUIRE))
		end(server);
	else
		vhi_news_tell(server);
}

static void on_event(struct vh_user_server *server, int fd)
{
	struct vhi_session *session = &server->session;

	if (fd == server->wake) {
		on_wake(server);
	} else if (fd == server->timer) {
		on_timer(server);
	} else if (fd == server->backend_fd) {
		if (vh_backend_dispatch(server->backend) < 0)
			end(server);
	} else if (fd == server->socket.listener) {
		if (!session->channel)
			accept_one(server);
	} else if (session->reverse && fd == vhi_channel_fd(session->reverse)) {
		vhi_news_flush(server);
	} else if (session->channel && fd == vhi_channel_fd(session->channel)) {
		if (vhi_session_progress(server))
			return;
		vhi_session_close(server);
		vhi_server_seek(server);
	}
}

int vhi_server_run(struct vh_user_server *server, int timeout_ms)
{
	struct epoll_event events[4];
	int n = epoll_wait(server->epoll, events, 4, timeout_ms);

	/* An event may close what a later one is about: then it's stale. */
	for (int i = 0; i < n; i++)
		on_event(server, events[i].data.fd);
	return server->ended ? -ENOTCONN : 0;
}
