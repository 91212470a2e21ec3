/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What the tests of the memory room share. */
#ifndef TESTS_MEMORY_SUPPORT_H
#define TESTS_MEMORY_SUPPORT_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <libvhost/memory.h>
#include <string.h>
#include <unistd.h>

#define PAGE ((uint64_t)sysconf(_SC_PAGESIZE))

/* A memfd of size bytes; the byte at each offset tells where it is. */
int file_of(uint64_t size);
unsigned char byte_at(uint64_t offset);

struct vh_region region_of(vh_gpa guest, uint64_t size, uint64_t user,
			   uint64_t fd_offset, int fd);

struct vh_memory *empty_map(void);

/* Replace *memory by the map with or without a region; must succeed. */
void must_add(struct vh_memory **memory, const struct vh_region *region);
void must_remove(struct vh_memory **memory, const struct vh_region *region);

/* The same of IOTLBs. */
void must_update(struct vh_memory **iotlb, vh_gpa iova, uint64_t size,
		 vh_gpa guest, uint32_t access);
void must_invalidate(struct vh_memory **iotlb, vh_gpa iova, uint64_t size);

/*
 * A refusal: error and code are as given, the text has words in it, and
 * neither the map nor the result has changed.
 */
void refuses_add(const struct vh_memory *memory, const struct vh_region *region,
		 int error, uint32_t code, const char *words);

/* The mapping in /proc/self/maps that has address in it. */
struct span {
	uintptr_t start;
	uintptr_t end;
	char name[64];
};
bool find_span(const void *address, struct span *ret_span);

#endif
