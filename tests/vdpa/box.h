/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A handle on a vDPA device that isn't there. */
#ifndef TESTS_VDPA_BOX_H
#define TESTS_VDPA_BOX_H

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

/* VERSION_1, ACCESS_PLATFORM, RING_PACKED and block's BLK_SIZE. */
#define FEATURES  UINT64_C(0x700000040)
#define VERSION_1 UINT64_C(0x100000000)

/* All that Linux 6.12 has. */
#define BACKEND_ALL UINT64_C(0x1fe)

/* A disk with 2 queues in 2 groups, and 2 address spaces. */
#define DEVICE_ID   2u
#define MAX_NUM	    256u
#define CONFIG_SIZE 60u
#define FIRST	    UINT64_C(0x0)
#define LAST	    UINT64_C(0xffffffffff)

#define RAM_SIZE    UINT64_C(0x10000)
#define DESCRIPTORS UINT64_C(0x1000)
#define AVAILABLE   UINT64_C(0x2000)
#define USED	    UINT64_C(0x3000)

#define UPDATE	    2
#define INVALIDATE  3
#define BEGIN	    5
#define END	    6
#define READ_WRITE  3

struct box {
	struct vh_backend *backend;
	int memfd; /* 2 * RAM_SIZE */
	int event;
};

/* With every backend feature, or with none. Nothing is noted. */
int box_full(void **state);
int box_plain(void **state);
int box_free(void **state);

/* The answers of such a device. */
void box_answers(uint64_t backend_features);

/* Half of the memory at any address. */
struct vh_region box_region(const struct box *box, unsigned int half,
			    vh_gpa guest);

/* The owner, features, memory, and one ring of 256 that isn't started. */
void box_prepare(struct box *box);

/* That, and DRIVER_OK. */
void box_start(struct box *box);

/* Sets the status, with the device's consent. */
void box_status(struct box *box, uint8_t status);

/* The host address in the IOTLB message that comes next. */
uint64_t box_expect_update(const struct box *box, uint32_t form, uint32_t asid,
			   uint64_t iova, uint64_t size);

/* The begin or end of a batch, and all taken out of space 0. */
void box_expect_batch(uint32_t asid, uint8_t type);
void box_expect_clear(uint32_t form);

/* r is this error, and there are words about it. */
#define box_fails(box, r, error) refuses((box)->backend, r, error)
#define OK(call)		 assert_int_equal(call, 0)

#endif
