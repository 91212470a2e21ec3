/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "loop.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { SERVER, SIGNALS, TIMER, DESCRIPTORS };

static void fill_signals(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGHUP);
	sigaddset(signals, SIGUSR1);
}

int loop_block_signals(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t signals;

	/* A reader of our output that left is no reason to stop a disk. */
	if (sigaction(SIGPIPE, &ignore, NULL) < 0)
		return -errno;
	fill_signals(&signals);
	return -pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

static int open_signals(void)
{
	sigset_t signals;
	int fd;

	fill_signals(&signals);
	fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int open_timer(void)
{
	const struct itimerspec each_second = {
	    .it_interval = {.tv_sec = 1},
	    .it_value = {.tv_sec = 1},
	};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (timerfd_settime(fd, 0, &each_second, NULL) < 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

/* True when the program shall end. */
static bool take_signals(int fd, const struct loop_ops *ops, void *user)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGUSR1:
			ops->statistics(user);
			break;
		case SIGHUP:
			ops->look_again(user);
			break;
		default:
			return true;
		}
	}
	return false;
}

static int run(struct pollfd fds[], struct vh_user_server *server,
	       const struct loop_ops *ops, void *user)
{
	uint64_t ticks;
	int r;

	for (;;) {
		if (poll(fds, DESCRIPTORS, -1) < 0 && errno != EINTR)
			return -errno;
		if (fds[SIGNALS].revents &&
		    take_signals(fds[SIGNALS].fd, ops, user))
			return 0;
		if (fds[TIMER].revents &&
		    read(fds[TIMER].fd, &ticks, sizeof(ticks)) > 0)
			ops->look_again(user);
		if (!fds[SERVER].revents)
			continue;
		r = vh_user_server_dispatch(server);
		if (r < 0)
			return r == -ENOTCONN ? 0 : r;
	}
}

int loop_run(struct vh_user_server *server, const struct loop_ops *ops,
	     void *user)
{
	struct pollfd fds[DESCRIPTORS] = {
	    [SERVER] = {.fd = vh_user_server_fd(server), .events = POLLIN},
	    [SIGNALS] = {.fd = open_signals(), .events = POLLIN},
	    [TIMER] = {.fd = open_timer(), .events = POLLIN},
	};
	int r = 0;

	for (int i = 0; i < DESCRIPTORS; i++)
		if (fds[i].fd < 0)
			r = fds[i].fd;
	if (r == 0)
		r = run(fds, server, ops, user);
	if (fds[SIGNALS].fd >= 0)
		close(fds[SIGNALS].fd);
	if (fds[TIMER].fd >= 0)
		close(fds[TIMER].fd);
	return r;
}
