/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A kernel driver that isn't there: each ioctl() and each write of an IOTLB
 * message is noted, and answered as the test wants it. Programs that use it
 * link with -Wl,--wrap=ioctl,--wrap=write,--wrap=mmap64.
 */
#ifndef TESTS_IOCTL_SHIM_H
#define TESTS_IOCTL_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Stands for the number of a request where a message was written. */
#define SHIM_WRITE 0UL

/* Forgets all notes and answers. */
void shim_reset(void);

/* What the driver's descriptor is: give it to an open function. */
int shim_fd(void);

/* Makes a miss readable there: size bytes. */
void shim_miss(const void *message, size_t size);

/* From now on a request answers with these bytes ... */
void shim_answer(unsigned long number, const void *bytes, size_t size);
void shim_answer_u64(unsigned long number, uint64_t value);
void shim_answer_u32(unsigned long number, uint32_t value);

/* ... or fails, after it has worked skip times; 0 takes that back. */
void shim_fail(unsigned long number, int error);
void shim_fail_after(unsigned long number, int error, unsigned int skip);

/* The next mmap() of the descriptor fails, or gives ordinary memory (0). */
void shim_mmap(int error);

/* The next request that was noted is this one, with these bytes. */
void shim_expect(unsigned long number, const void *bytes, size_t size);
void shim_expect_2(unsigned long number, uint32_t first, uint32_t second);
void shim_expect_u64(unsigned long number, uint64_t value);
void shim_expect_u32(unsigned long number, uint32_t value);
/* ... or just that it came; its bytes, until shim_forget(). */
const void *shim_expect_any(unsigned long number);
/* ... with a queue and a descriptor of the same file as fd. */
void shim_expect_file(unsigned long number, uint32_t queue, int fd);
/* An IOTLB message: of form 1 or 2. */
void shim_expect_iotlb(uint32_t form, uint32_t asid, uint8_t type,
		       uint64_t iova, uint64_t size, uint64_t host,
		       uint8_t access);

/* Nothing else was noted. */
void shim_expect_nothing(void);

/* Forgets what was noted, and keeps the answers. */
void shim_forget(void);

/* How often a request was noted since shim_forget(). */
unsigned int shim_count(unsigned long number);

#endif
