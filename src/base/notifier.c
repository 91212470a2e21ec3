/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Notifying a peer that isn't trusted, by a descriptor that it chose. */
#include <base/fd.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Reads before something else gets its turn. */
#define READS_AT_ONCE 8

static bool is_stream_socket(int fd)
{
	socklen_t size = sizeof(int);
	int type = 0;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
	       type == SOCK_STREAM;
}

int vhi_notifier_copy(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISFIFO(st.st_mode))
		return vhi_fd_reopen_pipe(fd);
	/* Files without a type of their own (eventfd among them) have 0. */
	if ((st.st_mode & S_IFMT) && !is_stream_socket(fd))
		return -EINVAL;
	return vhi_fd_dup(fd);
}

void vhi_notifier_init(struct vhi_notifier *notifier, int fd)
{
	struct stat st;
	int flags;

	*notifier = (struct vhi_notifier){.fd = fd};
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	flags = fcntl(fd, F_GETFL);
	notifier->pipe = S_ISFIFO(st.st_mode);
	notifier->socket = S_ISSOCK(st.st_mode);
	/* O_NONBLOCK isn't ours to set on an eventfd: the peer shares it. */
	notifier->waits = flags < 0 || !(flags & O_NONBLOCK);
}

static void write_quietly(int fd)
{
	const struct timespec now = {0};
	sigset_t pipe_set, before, pending;

	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &before);
	vhi_eventfd_signal(fd);
	/* One that was pending before isn't ours to take. */
	if (!sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&pipe_set, NULL, &now) < 0 &&
		       errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static bool is_ready(int fd, short event)
{
	struct pollfd pfd = {.fd = fd, .events = event};

	return poll(&pfd, 1, 0) == 1 && (pfd.revents & event);
}

void vhi_notifier_signal(const struct vhi_notifier *notifier)
{
	const uint64_t one = 1;

	if (notifier->fd < 0)
		return;
	if (notifier->socket)
		(void)!send(notifier->fd, &one, sizeof(one),
			    MSG_DONTWAIT | MSG_NOSIGNAL);
	else if (notifier->pipe)
		write_quietly(notifier->fd);
	else if (!notifier->waits || is_ready(notifier->fd, POLLOUT))
		vhi_eventfd_signal(notifier->fd);
}

void vhi_notifier_signal_once(int fd)
{
	struct vhi_notifier notifier;

	vhi_notifier_init(&notifier, fd);
	vhi_notifier_signal(&notifier);
}

/* Doesn't wait, whatever a peer made of the descriptor. */
void vhi_notifier_empty(int fd)
{
	uint64_t value;
	struct iovec iov = {.iov_base = &value, .iov_len = sizeof(value)};

	if (preadv2(fd, &iov, 1, -1, RWF_NOWAIT) >= 0 || errno != EOPNOTSUPP)
		return;
	/* Before Linux 5.8 one can only look first. */
	if (is_ready(fd, POLLIN))
		(void)!read(fd, &value, sizeof(value));
}

void vhi_notifier_relieve(int fd)
{
	if (fd >= 0 && !is_ready(fd, POLLOUT))
		vhi_notifier_empty(fd);
}

void vhi_notifier_insist(int fd)
{
	if (!is_ready(fd, POLLOUT)) {
		vhi_notifier_empty(fd);
		if (!is_ready(fd, POLLOUT))
			return;
	}
	vhi_eventfd_signal(fd);
}

bool vhi_notifier_drain(const struct vhi_notifier *notifier)
{
	char bytes[512];
	ssize_t n = 1;

	if (!vhi_notifier_is_stream(notifier))
		return true;
	for (int i = 0; i < READS_AT_ONCE && n > 0; i++)
		n = notifier->pipe ? read(notifier->fd, bytes, sizeof(bytes))
				   : recv(notifier->fd, bytes, sizeof(bytes),
					  MSG_DONTWAIT);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}
