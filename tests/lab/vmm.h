/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A virtual machine monitor without a machine: guest memory, rings whose
 * driver we are ourselves, and waiting. Whatever fails ends the program.
 */
#ifndef TESTS_LAB_VMM_H
#define TESTS_LAB_VMM_H

#include <libvhost/libvhost.h>
#include <stdio.h>
#include <stdlib.h>

/* Guest memory is one region. */
#define VMM_RAM_SIZE  (UINT64_C(4) << 20)
#define VMM_RAM_GUEST UINT64_C(0x40000000)

/* How long something may take, in milliseconds: these machines are slow. */
#define VMM_PATIENCE  60000

#define VMM_MAX_RINGS 4

struct vmm_ring {
	struct vh_driver_queue *queue;
	uint32_t index;
	uint32_t num;
	int kick;
	int call;
};

struct vmm {
	struct vh_backend *backend;
	char *ram;
	int memfd;
	uint64_t used;	       /* bytes of ram that were handed out */
	struct vh_memory *map; /* for drivers: where the device sees ram */
	uint64_t features;
	/* With an IOMMU: what IOVAs have more than guest addresses. */
	uint64_t shift;
	bool asks;	    /* a driver that asks for what its IOTLB lacks */
	vh_gpa missing[64]; /* asked for, and not given yet */
	unsigned int num_missing;
	unsigned int misses; /* so far */
	struct vmm_ring rings[VMM_MAX_RINGS];
};

void vmm_fail(const char *format, ...) VH_PRINTF(1, 2)
    __attribute__((noreturn));

/* The condition holds, or that is all. */
#define VMM_CHECK(condition, ...)                                              \
	do {                                                                   \
		if (!(condition))                                              \
			vmm_fail(__VA_ARGS__);                                 \
	} while (0)

/* A call on the back-end that must give 0. */
#define VMM_OK(vmm, call)                                                      \
	do {                                                                   \
		int vmm_r = (call);                                            \
		if (vmm_r < 0)                                                 \
			vmm_fail("%s: %d, %s", #call, vmm_r,                   \
				 vh_backend_fault((vmm)->backend)->text);      \
	} while (0)

/* ... or that error, with words. */
#define VMM_FAILS(vmm, error, call)                                            \
	do {                                                                   \
		int vmm_r = (call);                                            \
		if (vmm_r != (error))                                          \
			vmm_fail("%s: %d, not %d (%s)", #call, vmm_r, (error), \
				 vh_backend_fault((vmm)->backend)->text);      \
		if (!vh_backend_fault((vmm)->backend)->text[0])                \
			vmm_fail("%s: no words", #call);                       \
	} while (0)

/* Guest memory; with shift, of a machine that has an IOMMU. */
void vmm_init(struct vmm *vmm, uint64_t shift);
struct vh_region vmm_region(const struct vmm *vmm);

/* Frees what vmm_init() made, and the rings; not the back-end. */
void vmm_done(struct vmm *vmm);

/* Zeroed guest memory, as long as the machine lives. */
void *vmm_alloc(struct vmm *vmm, size_t size);

/* Makes a ring; the back-end hears of it by vmm_start_ring(). */
struct vmm_ring *vmm_ring(struct vmm *vmm, uint32_t index, uint32_t num);

/* Tells where it is, and starts it at base; enabling is the caller's. */
void vmm_start_ring(struct vmm *vmm, struct vmm_ring *ring, uint32_t base);

/* Shows what was added, and kicks if the device wants that. */
void vmm_publish(struct vmm_ring *ring);

/* One chain, shown. */
void vmm_add(struct vmm_ring *ring, void *readable, size_t readable_size,
	     void *writable, size_t writable_size);

/*
 * Waits for a used chain and takes it; a call is no more than a hint. What
 * the IOTLB misses meanwhile is given. Its token is the writable buffer, or
 * the readable one if there is none.
 */
struct vh_driver_used vmm_wait(struct vmm *vmm, struct vmm_ring *ring);

/* Nothing is used within some hundred milliseconds. */
bool vmm_is_quiet(struct vmm *vmm, struct vmm_ring *ring);

#endif
