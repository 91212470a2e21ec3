/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What every back-end behind ioctls refuses, and how. */
#ifndef TESTS_IOCTL_REFUSES_H
#define TESTS_IOCTL_REFUSES_H

#include <libvhost/special.h>

/* r is this error, and there are words about it. */
void refuses(const struct vh_backend *backend, int r, int error);

/* Each operation refuses queues from the second on, 65536 among them. */
void refuses_queues(struct vh_backend *backend);

#endif
