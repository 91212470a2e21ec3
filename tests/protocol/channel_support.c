/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "channel_support.h"

#include <poll.h>
#include <stdlib.h>

struct calls calls;

ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

static bool interrupted(void)
{
	if (calls.interrupted < calls.interruptions) {
		calls.interrupted++;
		errno = EINTR;
		return true;
	}
	calls.interrupted = 0;
	return false;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct msghdr cut = *msg;
	struct iovec iov = msg->msg_iov[0];

	if (interrupted())
		return -1;
	calls.sends++;
	if (calls.sends == calls.full_at || calls.sends == calls.broken_at) {
		errno = calls.sends == calls.full_at ? EAGAIN : ENOBUFS;
		return -1;
	}
	if (calls.most && iov.iov_len > calls.most)
		iov.iov_len = calls.most;
	cut.msg_iov = &iov;
	return __real_sendmsg(fd, &cut, flags);
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	if (interrupted())
		return -1;
	calls.receives++;
	return __real_recvmsg(fd, msg, flags);
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	if (interrupted())
		return -1;
	calls.polls++;
	return __real_poll(fds, count, timeout);
}

void *__wrap_calloc(size_t count, size_t size)
{
	calls.callocs++;
	calls.calloc_size = count * size;
	return calls.no_memory ? NULL : __real_calloc(count, size);
}

int pair_setup(void **state)
{
	static struct pair pair;
	int sockets[2];

	pair.fds_before = open_descriptors();
	memset(&calls, 0, sizeof(calls));
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) < 0)
		return -1;
	if (fcntl(sockets[1], F_SETFL, O_NONBLOCK) < 0)
		return -1;
	if (vhi_channel_new(sockets[0], &pair.channel) < 0)
		return -1;
	pair.peer = sockets[1];
	*state = &pair;
	return 0;
}

int pair_teardown(void **state)
{
	struct pair *pair = *state;

	vhi_channel_free(pair->channel);
	if (pair->peer >= 0)
		close(pair->peer);
	return open_descriptors() == pair->fds_before ? 0 : -1;
}

size_t make_frame(uint8_t *frame, uint32_t id, uint32_t payload_size)
{
	const uint32_t header[] = {id, 1, payload_size};

	memcpy(frame, header, 12);
	for (uint32_t i = 0; i < payload_size; i++)
		frame[12 + i] = (uint8_t)(id + i * 7);
	return 12 + payload_size;
}

void peer_send(int peer, const void *bytes, size_t size, int fd,
	       unsigned int count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(253 * sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)bytes, size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	int fds[253];

	assert_true(count <= 253);
	for (unsigned int i = 0; i < count; i++)
		fds[i] = fd;
	if (count > 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, count * sizeof(int));
	}
	assert_int_equal(__real_sendmsg(peer, &msg, 0), size);
}

size_t peer_receive(int peer, void *bytes, size_t size, int fds[8],
		    unsigned int *fd_count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct iovec iov = {bytes, size};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *cmsg;
	ssize_t n = __real_recvmsg(peer, &msg, MSG_DONTWAIT);

	*fd_count = 0;
	if (n < 0 && errno == EAGAIN)
		return 0;
	assert_true(n >= 0);
	assert_int_equal(msg.msg_flags & MSG_CTRUNC, 0);
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg) {
		*fd_count = (unsigned int)((cmsg->cmsg_len - CMSG_LEN(0)) /
					   sizeof(int));
		memcpy(fds, CMSG_DATA(cmsg), *fd_count * sizeof(int));
	}
	return (size_t)n;
}

void receives_frame(struct vhi_channel *channel, const uint8_t *frame,
		    size_t size, unsigned int fds)
{
	struct vhi_frame got = {.payload = NULL};
	struct vh_fault fault = {.text = ""};
	int ret = vhi_channel_receive(channel, &fault, &got);

	assert_string_equal(fault.text, "");
	assert_int_equal(ret, 1);
	assert_false(vhi_channel_partial(channel));
	assert_memory_equal(&got.header.id, frame, 4);
	assert_memory_equal(&got.header.flags, frame + 4, 4);
	assert_int_equal(got.header.size, size - 12);
	assert_memory_equal(got.payload, frame + 12, size - 12);
	assert_int_equal(got.fds, fds);
}

void receives_nothing(struct vhi_channel *channel)
{
	struct vhi_frame got = {.fds = 77};

	assert_int_equal(vhi_channel_receive(channel, NULL, &got), 0);
	assert_int_equal(got.fds, 77);
}

void receive_fails(struct vhi_channel *channel, int error, uint32_t code,
		   const char *words)
{
	struct vhi_frame got = {.fds = 77};
	struct vh_fault fault = {.text = ""};

	assert_int_equal(vhi_channel_receive(channel, &fault, &got), error);
	assert_int_equal(got.fds, 77);
	assert_int_equal(fault.code, code);
	assert_int_equal(fault.error, code ? error : 0);
	if (!strstr(fault.text, words))
		assert_string_equal(fault.text, words);
}
