/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Notifying a peer that isn't trusted, by a descriptor that it chose. */
#include <base/fd.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

int vhi_notifier_init(struct vhi_notifier *notifier, int fd)
{
	struct stat st;
	int flags;

	if (fd < 0) {
		*notifier = (struct vhi_notifier){.fd = -1};
		return 0;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	/* Files without a type of their own (eventfd among them) have 0. */
	if ((st.st_mode & S_IFMT) && !S_ISFIFO(st.st_mode) &&
	    !S_ISSOCK(st.st_mode))
		return -EINVAL;
	flags = fcntl(fd, F_GETFL);
	notifier->fd = fd;
	/*
	 * A peer can fill up a blocking eventfd, and the next write would
	 * wait for ever. O_NONBLOCK isn't ours to set: the peer shares it.
	 */
	notifier->ready =
	    !(st.st_mode & S_IFMT) && flags >= 0 && (flags & O_NONBLOCK);
	return 0;
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

void vhi_notifier_signal(const struct vhi_notifier *notifier)
{
	struct pollfd pfd = {.fd = notifier->fd, .events = POLLOUT};

	if (notifier->fd < 0)
		return;
	if (notifier->ready)
		vhi_eventfd_signal(notifier->fd);
	else if (poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLOUT))
		write_quietly(notifier->fd);
}

void vhi_notifier_drain(const struct vhi_notifier *notifier)
{
	char bytes[512];
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	ssize_t n;

	if (notifier->fd < 0 || notifier->ready)
		return;
	do {
		n = recv(notifier->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		/* eventfds refuse these flags: then there is nothing to do. */
		if (n < 0 && errno == ENOTSOCK)
			n = preadv2(notifier->fd, &iov, 1, -1, RWF_NOWAIT);
	} while (n == (ssize_t)sizeof(bytes));
}
