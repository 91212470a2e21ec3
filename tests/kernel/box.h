/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Handles on a driver that isn't there, and memory to give to them. */
#ifndef TESTS_KERNEL_BOX_H
#define TESTS_KERNEL_BOX_H

#include <errno.h>
#include <libvhost/libvhost.h>
#include <numbers.h>
#include <refuses.h>
#include <setjmp.h>
#include <shim.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What vhost-net offered on Linux 6.12, MRG_RXBUF among it, and IOMMUs. */
#define NET_FEATURES   UINT64_C(0x1033d008000)
#define VSOCK_FEATURES UINT64_C(0x33d000002)
#define SCSI_FEATURES  UINT64_C(0x13d00000c)

/* Two regions of guest memory with a hole between them. */
#define RAM_SIZE    UINT64_C(0x10000)
#define LOW	    UINT64_C(0x0)
#define HIGH	    UINT64_C(0x100000)
#define DESCRIPTORS UINT64_C(0x1000)
#define AVAILABLE   UINT64_C(0x2000)
#define USED	    UINT64_C(0x3000)

struct box {
	struct vh_backend *backend;
	char *ram; /* 2 * RAM_SIZE: LOW, then HIGH */
	int tap[2];
	int kick[2];
};

/* Opens a kind with everything that it needs to run; nothing is noted. */
int box_net(void **state);
int box_vsock(void **state);
int box_scsi(void **state);
int box_free(void **state);

/* The region at LOW or HIGH, this process's own memory. */
struct vh_region box_region(const struct box *box, bool high);

/* The owner, memory, features, and a ring of 256 set up but not started. */
void box_prepare(struct box *box, uint64_t features, uint32_t queue);

/* That, started and enabled, on num_queues queues. */
void box_start(struct box *box, uint64_t features, uint32_t num_queues);

/* r is this error, and there are words about it. */
#define box_fails(box, r, error) refuses((box)->backend, r, error)
#define OK(call)		 assert_int_equal(call, 0)

#endif
