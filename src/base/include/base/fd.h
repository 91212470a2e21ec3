/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Owning file descriptors. -1 is none. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <libvhost/base.h>

/* Closes *fd if there is one and forgets it; errno is kept. */
void vhi_fd_close(int *fd);

/* Close-on-exec duplicate, or a negative errno. */
int vhi_fd_dup(int fd);

/* Sets or clears O_NONBLOCK. 0 or a negative errno. */
int vhi_fd_set_nonblock(int fd, bool nonblock);

/*
 * The same pipe by another open file, which is non-blocking whatever the
 * peer does with the flags of its own. Negative errno on failure.
 */
int vhi_fd_reopen_pipe(int fd);

/* An eventfd: close-on-exec and non-blocking. Negative errno on failure. */
int vhi_eventfd(void);

/*
 * A descriptor that a peer gave to notify it by: an eventfd, as the protocol
 * wants, or a pipe or stream socket where the peer has no eventfd.
 */
struct vhi_notifier {
	int fd; /* -1: none */
	bool pipe;
	bool socket;
	bool waits; /* an eventfd whose writes may block */
};

/* One that keeps what is written to it until it is read. */
static inline bool vhi_notifier_is_stream(const struct vhi_notifier *notifier)
{
	return notifier->pipe || notifier->socket;
}

/*
 * A copy of our own of a descriptor that a peer gave. -EINVAL: it is none of
 * the three kinds.
 */
int vhi_notifier_copy(int fd);

/* fd is of vhi_notifier_copy(), and stays the caller's; -1: an empty one. */
void vhi_notifier_init(struct vhi_notifier *notifier, int fd);

/*
 * Writes 8 bytes. Never raises SIGPIPE. Something that can't take more is
 * signalled already; a peer that fills an eventfd on purpose, and makes it
 * blocking, can nevertheless hold the caller until somebody relieves it.
 */
void vhi_notifier_signal(const struct vhi_notifier *notifier);

/* The same for one that is seldom signalled; -1: nothing happens. */
void vhi_notifier_signal_once(int fd);

/* Empties an eventfd that a peer has, too, and may have made blocking. */
void vhi_notifier_empty(int fd);

/* Empties an eventfd that is full, so that whoever is held by it goes on. */
void vhi_notifier_relieve(int fd);

/*
 * Signals an eventfd that a peer has, too, and may have made blocking and
 * full: it is emptied then, so that whoever waits for an edge sees one.
 */
void vhi_notifier_insist(int fd);

/*
 * Takes some of what a peer wrote to a stream, so that it doesn't fill up. An
 * eventfd is left alone: it can't. False: nothing more can ever come.
 */
bool vhi_notifier_drain(const struct vhi_notifier *notifier);

/* Signals and drains an eventfd of vhi_eventfd(); true: it was signalled. */
void vhi_eventfd_signal(int fd);
bool vhi_eventfd_drain(int fd);

#endif
