/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A session: from a front-end's connection to its end. */
#include "server.h"

#include <base/fault.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/* Messages before other devices of the same loop get their turn. */
#define MESSAGES_AT_ONCE 64

bool vhi_session_has(const struct vh_user_server *server, unsigned int bit)
{
	return server->session.context.protocol_features & VHI_BIT(bit);
}

void vhi_session_note_fault(struct vh_user_server *server,
			    const struct vh_fault *fault)
{
	pthread_mutex_lock(&server->lock);
	server->last_fault = *fault;
	pthread_mutex_unlock(&server->lock);
	vhi_log_fault(&server->log, VH_LOG_WARN, "front-end", fault);
}

int vhi_session_open(struct vh_user_server *server, int socket)
{
	struct vhi_session *session = &server->session;
	int r = vhi_channel_new(socket, &session->channel);

	if (r < 0) {
		vhi_fd_close(&socket);
		return r;
	}
	r = vhi_server_watch(server, socket, EPOLLIN);
	if (r < 0) {
		vhi_channel_free(session->channel);
		session->channel = NULL;
		return r;
	}
	vhi_server_set_timer(server, 0);
	server->impatient = false;
	pthread_mutex_lock(&server->lock);
	server->info.connected = true;
	server->info.connections++;
	pthread_mutex_unlock(&server->lock);
	vhi_log(&server->log, VH_LOG_INFO, "a front-end connected");
	return 0;
}

void vhi_session_close(struct vh_user_server *server)
{
	struct vhi_session *session = &server->session;

	if (!session->channel)
		return;
	if (vh_backend_release(server->backend) < 0)
		vhi_session_note_fault(server,
				       vh_backend_fault(server->backend));
	vhi_server_unwatch(server, vhi_channel_fd(session->channel));
	vhi_channel_free(session->channel);
	vhi_news_set_channel(server, NULL);
	vhi_news_forget_misses(server);
	memset(server->calls, 0, sizeof(server->calls));
	memset(server->errors, 0, sizeof(server->errors));
	vhi_regions_free(&session->regions);
	*session = (struct vhi_session){0};
	vhi_server_set_timer(server, 0);
	pthread_mutex_lock(&server->lock);
	server->info.connected = false;
	pthread_mutex_unlock(&server->lock);
	vhi_log(&server->log, VH_LOG_INFO, "the front-end is gone");
}

/* The clock runs while the front-end owes us the rest of something. */
static void set_patience(struct vh_user_server *server)
{
	struct vhi_channel *channel = server->session.channel;
	bool sending = vhi_channel_sending(channel);
	bool waiting = sending || vhi_channel_partial(channel);

	/* While it doesn't read our answer, there is no sense in asking. */
	if (sending != server->session.sending)
		vhi_server_watch(server, vhi_channel_fd(channel),
				 sending ? EPOLLOUT : EPOLLIN);
	server->session.sending = sending;
	if (waiting != server->impatient)
		vhi_server_set_timer(server,
				     waiting ? server->opts.timeout_ms : 0);
	server->impatient = waiting;
}

/* 1: a frame was answered; 0: wait; -1: the session is over. */
static int receive_one(struct vh_user_server *server)
{
	struct vhi_channel *channel = server->session.channel;
	struct vh_fault fault;
	struct vhi_frame frame;
	bool go_on;
	int r;

	if (vhi_channel_sending(channel)) {
		r = vhi_channel_flush(channel);
		if (r != 0)
			return r < 0 ? -1 : 0;
	}
	vhi_fault_clear(&fault);
	r = vhi_channel_receive(channel, &fault, &frame);
	if (r == 0)
		return 0;
	if (r < 0) {
		if (fault.code != VH_FAULT_NONE)
			vhi_session_note_fault(server, &fault);
		return -1;
	}
	/* Whoever got one message through has a new span for the next. */
	if (server->impatient)
		vhi_server_set_timer(server, server->opts.timeout_ms);
	go_on = vhi_answer(server, &frame);
	vhi_channel_next(channel);
	return go_on ? 1 : -1;
}

bool vhi_session_progress(struct vh_user_server *server)
{
	int r = 1;

	for (int i = 0; i < MESSAGES_AT_ONCE && r > 0; i++)
		r = receive_one(server);
	if (r < 0)
		return false;
	set_patience(server);
	return true;
}
