/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A virtual machine without a processor: memory, a driver's queues, and a
 * front-end on an echo device in this process.
 */
#ifndef FRONTEND_VM_H
#define FRONTEND_VM_H

#include "echo.h"
#include "flaky.h"

#include <libvhost/driver.h>
#include <libvhost/frontend.h>

#define VM_QUEUES      2
#define VM_QUEUE_SIZE  64
#define VM_REGIONS     8
#define VM_REGION_SIZE UINT64_C(0x100000)
/* Region i begins here. The first one has the rings. */
#define VM_GUEST(i) (UINT64_C(0x40000000) * (i) + UINT64_C(0x10000000))
/* Where echoes go: in the first region, behind the rings. */
#define VM_BUFFERS (VM_GUEST(0) + 0x80000)

#define VM_FEATURES                                                            \
	(VH_F_VERSION_1 | VH_F_EVENT_IDX | VH_F_INDIRECT_DESC |                \
	 VH_F_RING_PACKED)

struct vm_opts {
	uint64_t hides;	   /* capabilities */
	uint64_t features; /* that the driver takes; 0: VERSION_1, EVENT_IDX */
	bool inflight;
	bool own_loop; /* the device runs in vh_frontend_dispatch() */
};

struct vm {
	struct vm_opts opts;
	int fd;
	uint8_t *memory;
	struct vh_region regions[VM_REGIONS];
	struct echo *echo;
	struct flaky *flaky;
	struct flaky *before[8]; /* earlier back-ends */
	struct echo *echoes_before[8];
	unsigned int num_before;
	struct vh_frontend *frontend;
	struct vh_driver_queue *driver[VM_QUEUES];
	int call[VM_QUEUES];
	unsigned int echoes[VM_QUEUES]; /* so far, for other contents */
	/* what the events said */
	unsigned int config_changes, faults, gone;
	struct vh_fault fault;
	uint32_t fault_queue;
};

/* With a front-end, and nothing told to it. */
void vm_make(struct vm *vm, const struct vm_opts *opts);
void vm_free(struct vm *vm);

/* Fixtures: *state is a struct vm, whose device has threads or our loop. */
int vm_set_up(void **state);
int vm_set_up_loop(void **state);
int vm_tear_down(void **state);

/* Another back-end of the same kind, in the VM's place for one. */
struct flaky *vm_another(struct vm *vm);

/* The back-end dies, and the monitor hears of it. */
void vm_die(struct vm *vm);
/* Goes on with another one. */
int vm_reconnect(struct vm *vm);
/* That one didn't do, and the one before is the VM's again. */
void vm_drop_another(struct vm *vm);

/* The first count regions. */
int vm_set_memory(struct vm *vm, unsigned int count);
void vm_negotiate(struct vm *vm);
/* Makes the driver's side and tells the front-end. */
void vm_set_rings(struct vm *vm);
/* All of this, and starts. */
void vm_boot(struct vm *vm);

void *vm_at(const struct vm *vm, vh_gpa guest);
/* There and back through the device, through memory at area. */
void vm_send(struct vm *vm, uint32_t queue, vh_gpa area);
void vm_receive(struct vm *vm, uint32_t queue, vh_gpa area);
void vm_echo(struct vm *vm, uint32_t queue, vh_gpa area);
/* Both queues work. */
void vm_works(struct vm *vm);

/*
 * As a hostile back-end leaves an eventfd that it shares: reads block, or, if
 * fill is true, writes do.
 */
void vm_spoil(int fd, bool fill);

/* Dispatches what is there. */
void vm_dispatch(struct vm *vm);

/* The fault says code, error and queue, and has these words. */
void vm_assert_fault(const struct vm *vm, int r, int error, const char *words);

#endif
