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

/* An eventfd: close-on-exec and non-blocking. Negative errno on failure. */
int vhi_eventfd(void);

/*
 * A descriptor that a peer gave to notify it by: an eventfd, as the protocol
 * wants, or a pipe or socket where the peer has no eventfd.
 */
struct vhi_notifier {
	int fd;	    /* -1: none */
	bool ready; /* an eventfd whose writes never wait */
};

/*
 * What kind of descriptor fd is; -1 makes an empty notifier. -EINVAL if it
 * is none of the three kinds. The descriptor stays the caller's.
 */
int vhi_notifier_init(struct vhi_notifier *notifier, int fd);

/*
 * Writes 8 bytes. Never waits for the peer and never raises SIGPIPE; one
 * that can't take more is signalled already.
 */
void vhi_notifier_signal(const struct vhi_notifier *notifier);

/*
 * Takes what a peer wrote to a pipe or socket, so that it doesn't fill up.
 * An eventfd is left alone: it can't.
 */
void vhi_notifier_drain(const struct vhi_notifier *notifier);

/* Signals and drains an eventfd of vhi_eventfd(). */
void vhi_eventfd_signal(int fd);
void vhi_eventfd_drain(int fd);

#endif
