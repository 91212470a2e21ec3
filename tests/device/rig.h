/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A device in this process with two queues, its driver, and guest memory that
 * begins at guest address 0.
 */
#ifndef TESTS_DEVICE_RIG_H
#define TESTS_DEVICE_RIG_H

/* cmocka wants these before itself */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libvhost/device.h>
#include <libvhost/driver.h>

#define RIG_MEMORY UINT64_C(0x100000)
#define RIG_BUFFER UINT64_C(0x80000)
#define RIG_QUEUES 2
#define RIG_NUM	   16

typedef void rig_process(void *user, struct vh_queue *queue,
			 struct vh_chain *chains[], unsigned int count);

/* Writes a byte, and completes. */
rig_process rig_complete;

struct rig {
	struct vh_backend *backend;
	bool own_loop; /* no workers: the test dispatches */
	char *memory;
	int fd;
	struct vh_driver_queue *drivers[RIG_QUEUES];
	int kicks[RIG_QUEUES];
	int calls[RIG_QUEUES];
};

/*
 * With features, besides VERSION_1. workers 0: the test's own loop. The device
 * is given the rig for its user.
 */
void rig_open(struct rig *rig, uint32_t workers, uint64_t features,
	      rig_process *process);
void rig_open_ops(struct rig *rig, uint32_t workers, uint64_t features,
		  const struct vh_device_ops *ops);
/* The rest of *opts is filled in. */
void rig_open_opts(struct rig *rig, struct vh_device_opts *opts,
		   uint64_t features, const struct vh_device_ops *ops);
void rig_close(struct rig *rig);

/* Both queues; flags are those of their addresses. */
void rig_start(struct rig *rig, uint64_t features, uint32_t flags);

/* A request of one writable buffer, of one byte. */
void rig_offer(struct rig *rig, unsigned int queue);
void rig_wait(struct rig *rig, unsigned int queue);

#endif
