/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "bytes.h"
#include "frontend.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct control {
	_Alignas(
	    struct cmsghdr) char bytes[CMSG_SPACE(FE_MAX_FDS * sizeof(int))];
};

int64_t fe_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd poller = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = deadline - fe_now_ms();
		int n = poll(&poller, 1, left > 0 ? (int)left : 0);

		if (n > 0)
			return 0;
		if (n == 0 && left <= 0)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

int fe_wait_readable(int fd, int timeout_ms)
{
	return wait_for(fd, POLLIN, fe_now_ms() + timeout_ms);
}

void fe_attach(struct frontend *fe, int sock)
{
	*fe = (struct frontend){.sock = sock, .timeout_ms = FE_TIMEOUT_MS};
}

int fe_connect(struct frontend *fe, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int64_t deadline = fe_now_ms() + FE_TIMEOUT_MS;
	int sock;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	while (connect(sock, (struct sockaddr *)&address, sizeof(address))) {
		int error = errno;

		if ((error != ENOENT && error != ECONNREFUSED) ||
		    fe_now_ms() > deadline) {
			close(sock);
			return -error;
		}
		usleep(2000);
	}
	fe_attach(fe, sock);
	return 0;
}

void fe_close(struct frontend *fe)
{
	if (fe->sock >= 0)
		close(fe->sock);
	fe->sock = -1;
}

static void attach_fds(struct msghdr *header, struct control *control,
		       const int *fds, unsigned int num_fds)
{
	struct cmsghdr *cmsg;

	memset(control, 0, sizeof(*control));
	header->msg_control = control->bytes;
	header->msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
	cmsg = CMSG_FIRSTHDR(header);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, num_fds * sizeof(int));
}

static int send_some(struct frontend *fe, const struct iovec *rest,
		     const int *fds, unsigned int num_fds)
{
	struct iovec part = *rest;
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	struct control control;
	ssize_t n;

	if (num_fds > FE_MAX_FDS)
		return -EINVAL;
	if (fe->chunk > 0 && part.iov_len > fe->chunk)
		part.iov_len = fe->chunk;
	if (num_fds > 0)
		attach_fds(&header, &control, fds, num_fds);
	n = sendmsg(fe->sock, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n >= 0)
		return (int)n;
	if (errno == ECONNRESET || errno == EPIPE)
		return -EPIPE;
	return -errno;
}

int fe_send_bytes(struct frontend *fe, const void *bytes, size_t length,
		  const int *fds, unsigned int num_fds)
{
	struct iovec rest = {.iov_base = (void *)bytes, .iov_len = length};
	int64_t deadline = fe_now_ms() + fe->timeout_ms;

	while (rest.iov_len > 0) {
		int n = send_some(fe, &rest, fds, num_fds);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			n = wait_for(fe->sock, POLLOUT, deadline);
			if (n < 0)
				return n;
			continue;
		}
		if (n < 0)
			return n;
		rest.iov_base = (char *)rest.iov_base + n;
		rest.iov_len -= (size_t)n;
		num_fds = 0;
	}
	return 0;
}

int fe_send(struct frontend *fe, const struct fe_message *message)
{
	uint8_t bytes[FE_HEADER + FE_MAX_PAYLOAD];

	if (message->length > FE_MAX_PAYLOAD)
		return -EINVAL;
	put32(bytes, 0, message->id);
	put32(bytes, 4, message->flags);
	put32(bytes, 8, message->size);
	if (message->length > 0)
		memcpy(bytes + FE_HEADER, message->payload, message->length);
	return fe_send_bytes(fe, bytes, FE_HEADER + message->length,
			     message->fds, message->num_fds);
}

static void take_fds(struct msghdr *header, struct fe_reply *reply)
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(header); cmsg;
	     cmsg = CMSG_NXTHDR(header, cmsg)) {
		size_t bytes = cmsg->cmsg_len - CMSG_LEN(0);
		size_t room = (FE_MAX_FDS - reply->num_fds) * sizeof(int);

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS || bytes > room)
			continue;
		memcpy(&reply->fds[reply->num_fds], CMSG_DATA(cmsg), bytes);
		reply->num_fds += (unsigned int)(bytes / sizeof(int));
	}
}

static int receive_some(struct frontend *fe, struct iovec *rest,
			struct fe_reply *reply)
{
	struct control control;
	struct msghdr header = {
	    .msg_iov = rest,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	n = recvmsg(fe->sock, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n > 0) {
		take_fds(&header, reply);
		return (int)n;
	}
	if (n == 0 || errno == ECONNRESET || errno == EPIPE)
		return -EPIPE;
	return -errno;
}

static int receive_bytes(struct frontend *fe, void *bytes, size_t length,
			 struct fe_reply *reply)
{
	struct iovec rest = {.iov_base = bytes, .iov_len = length};
	int64_t deadline = fe_now_ms() + fe->timeout_ms;

	while (rest.iov_len > 0) {
		int n = receive_some(fe, &rest, reply);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			n = wait_for(fe->sock, POLLIN, deadline);
			if (n < 0)
				return n;
			continue;
		}
		if (n < 0)
			return n;
		rest.iov_base = (char *)rest.iov_base + n;
		rest.iov_len -= (size_t)n;
	}
	return 0;
}

int fe_receive(struct frontend *fe, struct fe_reply *reply)
{
	uint8_t header[FE_HEADER];
	int ret;

	memset(reply, 0, sizeof(*reply));
	ret = receive_bytes(fe, header, sizeof(header), reply);
	if (ret == 0) {
		reply->id = get32(header);
		reply->flags = get32(header + 4);
		reply->size = get32(header + 8);
		if (reply->size > FE_MAX_PAYLOAD)
			ret = -EBADMSG;
		else
			ret = receive_bytes(fe, reply->payload, reply->size,
					    reply);
	}
	if (ret < 0)
		fe_reply_close(reply);
	return ret;
}

void fe_reply_close(struct fe_reply *reply)
{
	while (reply->num_fds > 0)
		close(reply->fds[--reply->num_fds]);
}

int fe_receive_for(struct frontend *fe, uint32_t id, struct fe_reply *reply)
{
	int ret = fe_receive(fe, reply);

	if (ret < 0)
		return ret;
	if (reply->id == id && reply->flags == (FE_VERSION | FE_REPLY))
		return 0;
	fe_reply_close(reply);
	return -EBADMSG;
}

int fe_wait_closed(struct frontend *fe)
{
	struct fe_reply reply;
	int ret = fe_receive(fe, &reply);

	if (ret == -EPIPE)
		return 0;
	if (ret < 0)
		return ret;
	fe_reply_close(&reply);
	return -EBADMSG;
}
