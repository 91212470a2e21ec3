/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A machine without a processor: guest memory and rings of our driver side,
 * on a back-end of any kind. Functions return 0 or a negative errno.
 */
#ifndef USER_RIG_H
#define USER_RIG_H

#include <libvhost/backend.h>
#include <libvhost/driver.h>
#include <libvhost/user.h>

#define RIG_QUEUES 4
#define RIG_GUEST  UINT64_C(0x100000000)
#define RIG_SIZE   (UINT64_C(16) << 20)
/* What is before it belongs to the rings. */
#define RIG_DATA     (RIG_GUEST + (UINT64_C(4) << 20))
#define RIG_PATIENCE 20000 /* ms */

struct rig_queue {
	struct vh_driver_queue *driver;
	int kick;
	int call;
};

struct rig {
	struct vh_backend *backend;
	uint64_t features; /* agreed */
	int fd;
	char *memory;
	struct rig_queue queues[RIG_QUEUES];
};

/*
 * Connects a client, and waits for a server that isn't there yet. Says on
 * stderr why it can't.
 */
int rig_connect(const char *path, struct vh_backend **ret_backend);

/* Makes memory of two regions, and agrees on the features that are there. */
int rig_open(struct rig *rig, struct vh_backend *backend, uint64_t features);
/* Closes all but the back-end. */
void rig_close(struct rig *rig);

/* Makes a ring and starts it, or starts the one that was stopped when empty. */
int rig_start(struct rig *rig, uint32_t queue, uint32_t num);
/* Where the back-end said that it had got to. */
int rig_start_at(struct rig *rig, uint32_t queue, uint32_t num, uint32_t base);
/* -EBADMSG: it isn't where our side of the ring is, with nothing in flight. */
int rig_stop(struct rig *rig, uint32_t queue);

/* Our view of guest memory. */
void *rig_at(const struct rig *rig, vh_gpa guest);

/* Adds one chain of guest addresses and tells the device. */
int rig_offer(struct rig *rig, uint32_t queue, const struct iovec readable[],
	      unsigned int readable_count, const struct iovec writable[],
	      unsigned int writable_count);
/* Waits until a chain is used; fills in how much was written, if wanted. */
int rig_wait(struct rig *rig, uint32_t queue, uint32_t *ret_written);

/*
 * One block request, with its data at RIG_DATA: the status byte or a negative
 * errno. Types are those of virtio.
 */
int rig_blk(struct rig *rig, uint32_t queue, uint32_t type, uint64_t sector,
	    uint32_t length);

#endif
