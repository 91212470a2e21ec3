/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Invariants: a read never reaches beyond the present header or payload, so
 * what came after them stays in the socket together with its descriptors.
 * fds[0 .. fd_count) belong to the present frame; -1 is one that was taken.
 * rest_size > 0 means that bytes rest[rest_at ...] wait for the socket; their
 * descriptors wait too as long as not even the first byte is out.
 */
#include <base/clock.h>
#include <base/fault.h>
#include <base/fd.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <protocol/channel.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX (VH_USER_HEADER_SIZE + VH_USER_MAX_PAYLOAD)

struct vhi_channel {
	int fd;
	bool is_socket;

	bool whole;			 /* frame holds all of it */
	size_t received;		 /* bytes of frame that are there */
	struct vh_message_header header; /* once received covers it */
	unsigned int fd_count;
	int fds[VHI_CHANNEL_MAX_FDS];
	uint8_t frame[FRAME_MAX];

	size_t rest_size;
	size_t rest_at;
	unsigned int rest_fd_count;
	int rest_fds[VH_USER_MAX_FDS];
	uint8_t rest[FRAME_MAX];
};

/* Room for descriptors beside a message, aligned as the kernel wants it. */
union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(VHI_CHANNEL_MAX_FDS * sizeof(int))];
};

int vhi_channel_new(int socket, struct vhi_channel **ret_channel)
{
	struct vhi_channel *channel;
	struct stat st;
	int ret;

	if (fstat(socket, &st) < 0)
		return -errno;
	ret = vhi_fd_set_nonblock(socket, true);
	if (ret < 0)
		return ret;
	if (fcntl(socket, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return -ENOMEM;
	channel->fd = socket;
	channel->is_socket = S_ISSOCK(st.st_mode);
	*ret_channel = channel;
	return 0;
}

static void close_all(int fds[], unsigned int *count)
{
	for (unsigned int i = 0; i < *count; i++)
		vhi_fd_close(&fds[i]);
	*count = 0;
}

void vhi_channel_free(struct vhi_channel *channel)
{
	if (!channel)
		return;
	close_all(channel->fds, &channel->fd_count);
	close_all(channel->rest_fds, &channel->rest_fd_count);
	vhi_fd_close(&channel->fd);
	free(channel);
}

int vhi_channel_fd(const struct vhi_channel *channel)
{
	return channel->fd;
}

/* Takes the descriptors out of a received message. */
static void keep_fds(struct vhi_channel *channel, struct msghdr *msg)
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd),
			       sizeof(fd));
			if (channel->fd_count < VHI_CHANNEL_MAX_FDS)
				channel->fds[channel->fd_count++] = fd;
			else
				vhi_fd_close(&fd);
		}
	}
}

static int VH_PRINTF(5, 6)
    refuse(struct vhi_channel *channel, struct vh_fault *fault, uint32_t code,
	   int error, const char *format, ...)
{
	va_list args;

	close_all(channel->fds, &channel->fd_count);
	va_start(args, format);
	vhi_vfault(fault, code, error, "Message Specification", format, args);
	va_end(args);
	if (fault && channel->received >= VH_USER_HEADER_SIZE)
		fault->message = channel->header.id;
	return error;
}

static int end_of_file(struct vhi_channel *channel, struct vh_fault *fault)
{
	if (channel->received == 0)
		return -ENOTCONN;
	return refuse(channel, fault, VH_FAULT_MSG_EOF, -EPROTO,
		      "the peer closed after %zu bytes of a message",
		      channel->received);
}

/* Receives up to size bytes: 1 for some, 0 for none yet, or an error. */
static int receive_some(struct vhi_channel *channel, size_t size,
			struct vh_fault *fault)
{
	union control control;
	struct iovec iov = {channel->frame + channel->received, size};
	struct msghdr msg = {
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes),
	};
	unsigned int fds_before = channel->fd_count;
	bool first = channel->received == 0;
	ssize_t n;

	do
		n = recvmsg(channel->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	/* The peer closed without reading all that we had sent. */
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return end_of_file(channel, fault);
	if (n < 0) {
		int error = -errno;

		return refuse(channel, fault, VH_FAULT_SYSTEM, error,
			      "recvmsg: %m");
	}
	keep_fds(channel, &msg);
	if (msg.msg_flags & MSG_CTRUNC)
		return refuse(
		    channel, fault, VH_FAULT_MSG_FDS, -EPROTO,
		    "descriptors were lost: too many are open here, or more than %d came",
		    VHI_CHANNEL_MAX_FDS);
	if (!first && channel->fd_count > fds_before)
		return refuse(
		    channel, fault, VH_FAULT_MSG_FDS, -EPROTO,
		    "%u descriptors came with byte %zu of a message, must be with its first",
		    channel->fd_count - fds_before, channel->received);
	channel->received += (size_t)n;
	return 1;
}

/* One receive of what is missing of the header, or of the payload. */
static int receive_step(struct vhi_channel *channel, struct vh_fault *fault)
{
	size_t wanted = VH_USER_HEADER_SIZE;
	int ret;

	if (channel->received >= VH_USER_HEADER_SIZE)
		wanted += channel->header.size;
	ret = receive_some(channel, wanted - channel->received, fault);
	if (ret <= 0)
		return ret;
	if (channel->received == VH_USER_HEADER_SIZE) {
		vh_message_header_decode(channel->frame, &channel->header);
		if (channel->header.size > VH_USER_MAX_PAYLOAD)
			return refuse(channel, fault, VH_FAULT_MSG_SIZE,
				      -EPROTO,
				      "request %" PRIu32 ": payload of %" PRIu32
				      " bytes, no message has more than %d",
				      channel->header.id, channel->header.size,
				      VH_USER_MAX_PAYLOAD);
	}
	channel->whole =
	    channel->received >= VH_USER_HEADER_SIZE &&
	    channel->received == VH_USER_HEADER_SIZE + channel->header.size;
	return 1;
}

int vhi_channel_receive(struct vhi_channel *channel, struct vh_fault *fault,
			struct vhi_frame *ret_frame)
{
	while (!channel->whole) {
		int ret = receive_step(channel, fault);

		if (ret <= 0)
			return ret;
	}
	*ret_frame = (struct vhi_frame){
	    .header = channel->header,
	    .payload = channel->frame + VH_USER_HEADER_SIZE,
	    .fds = channel->fd_count,
	};
	return 1;
}

/* Waits for events until deadline: 0, or -ETIMEDOUT, or another errno. */
static int wait_for(struct vhi_channel *channel, short events, int64_t deadline)
{
	struct pollfd pfd = {.fd = channel->fd, .events = events};
	int n;

	do {
		int left = vhi_ms_until(deadline);

		if (left == 0)
			return -ETIMEDOUT;
		/* The clock's milliseconds are cut off: wait the rest too. */
		n = poll(&pfd, 1, left);
	} while (n == 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

int vhi_channel_receive_wait(struct vhi_channel *channel, int timeout_ms,
			     struct vh_fault *fault,
			     struct vhi_frame *ret_frame)
{
	int64_t deadline = vhi_now_ms() + timeout_ms;
	int ret;

	while ((ret = vhi_channel_receive(channel, fault, ret_frame)) == 0) {
		ret = wait_for(channel, POLLIN, deadline);
		if (ret == -ETIMEDOUT)
			return refuse(
			    channel, fault, VH_FAULT_MSG_TIMEOUT, ret,
			    "%zu bytes of a message came within %d ms",
			    channel->received, timeout_ms);
		if (ret < 0)
			return refuse(channel, fault, VH_FAULT_SYSTEM, ret,
				      "poll: %m");
	}
	return ret;
}

bool vhi_channel_partial(const struct vhi_channel *channel)
{
	return channel->received > 0 && !channel->whole;
}

int vhi_channel_take_fd(struct vhi_channel *channel, unsigned int index)
{
	int fd;

	if (!channel->whole || index >= channel->fd_count)
		return -1;
	fd = channel->fds[index];
	channel->fds[index] = -1;
	return fd;
}

void vhi_channel_next(struct vhi_channel *channel)
{
	if (!channel->whole)
		return;
	close_all(channel->fds, &channel->fd_count);
	channel->received = 0;
	channel->whole = false;
}

/*
 * write() that doesn't kill the process when nobody reads the pipe: the
 * signal is kept from the thread, and taken off it unless it was pending
 * before.
 */
static ssize_t write_quietly(int fd, const uint8_t *bytes, size_t size)
{
	const struct timespec now = {0, 0};
	sigset_t pipe_signal;
	sigset_t pending;
	sigset_t old;
	ssize_t n;
	int error;

	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe_signal, &old);
	n = write(fd, bytes, size);
	error = errno;
	if (n < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&pipe_signal, NULL, &now) < 0 &&
		       errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = error;
	return n;
}

static ssize_t send_with_fds(struct vhi_channel *channel, const uint8_t *bytes,
			     size_t size, const int fds[],
			     unsigned int fd_count)
{
	union control control = {.bytes = {0}};
	struct iovec iov = {(void *)bytes, size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	size_t fd_bytes = fd_count * sizeof(int);
	struct cmsghdr *cmsg;

	if (!channel->is_socket)
		return write_quietly(channel->fd, bytes, size);
	if (fd_count > 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(fd_bytes);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(fd_bytes);
		memcpy(CMSG_DATA(cmsg), fds, fd_bytes);
	}
	return sendmsg(channel->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/*
 * Sends until all is out or the socket takes no more; *at counts on. The
 * descriptors go with the first byte. 0, or a negative errno.
 */
static int send_some(struct vhi_channel *channel, const uint8_t *bytes,
		     size_t size, const int fds[], unsigned int fd_count,
		     size_t *at)
{
	while (*at < size) {
		ssize_t n = send_with_fds(channel, bytes + *at, size - *at, fds,
					  *at == 0 ? fd_count : 0);

		if (n > 0)
			*at += (size_t)n;
		else if (n == 0) /* a file that takes nothing */
			return -EIO;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static void forget_rest(struct vhi_channel *channel)
{
	close_all(channel->rest_fds, &channel->rest_fd_count);
	channel->rest_size = 0;
}

/* Keeps what didn't go out. */
static int keep_rest(struct vhi_channel *channel, const uint8_t *bytes,
		     size_t size, const int fds[], unsigned int fd_count)
{
	for (unsigned int i = 0; i < fd_count; i++) {
		int copy = vhi_fd_dup(fds[i]);

		if (copy < 0) {
			forget_rest(channel);
			return copy;
		}
		channel->rest_fds[channel->rest_fd_count++] = copy;
	}
	memcpy(channel->rest, bytes, size);
	channel->rest_size = size;
	channel->rest_at = 0;
	return 1;
}

int vhi_channel_send(struct vhi_channel *channel, const uint8_t *bytes,
		     size_t size, const int fds[], unsigned int fd_count)
{
	size_t at = 0;
	int ret;

	if (channel->rest_size > 0)
		return -EBUSY;
	if (size == 0 || size > FRAME_MAX || fd_count > VH_USER_MAX_FDS)
		return -EINVAL;
	if (fd_count > 0 && !channel->is_socket)
		return -ENOTSOCK;
	ret = send_some(channel, bytes, size, fds, fd_count, &at);
	if (ret < 0 || at == size)
		return ret;
	return keep_rest(channel, bytes + at, size - at, fds,
			 at == 0 ? fd_count : 0);
}

int vhi_channel_flush(struct vhi_channel *channel)
{
	int ret;

	if (channel->rest_size == 0)
		return 0;
	ret = send_some(channel, channel->rest, channel->rest_size,
			channel->rest_fds, channel->rest_fd_count,
			&channel->rest_at);
	if (channel->rest_at > 0)
		close_all(channel->rest_fds, &channel->rest_fd_count);
	if (ret < 0 || channel->rest_at == channel->rest_size) {
		forget_rest(channel);
		return ret;
	}
	return 1;
}

bool vhi_channel_sending(const struct vhi_channel *channel)
{
	return channel->rest_size > 0;
}

static int flush_until(struct vhi_channel *channel, int64_t deadline)
{
	int ret;

	while ((ret = vhi_channel_flush(channel)) > 0) {
		ret = wait_for(channel, POLLOUT, deadline);
		if (ret < 0)
			return ret;
	}
	return ret;
}

int vhi_channel_send_wait(struct vhi_channel *channel, const uint8_t *bytes,
			  size_t size, const int fds[], unsigned int fd_count,
			  int timeout_ms)
{
	int64_t deadline = vhi_now_ms() + timeout_ms;
	int ret = flush_until(channel, deadline);

	if (ret == 0)
		ret = vhi_channel_send(channel, bytes, size, fds, fd_count);
	if (ret > 0)
		ret = flush_until(channel, deadline);
	return ret;
}
