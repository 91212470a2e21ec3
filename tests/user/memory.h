/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Regions of one memfd for tests that look at addresses: guest, front-end and
 * file addresses of each byte are all different.
 */
#ifndef USER_MEMORY_H
#define USER_MEMORY_H

#include <libvhost/backend.h>
#include <sys/mman.h>
#include <unistd.h>

#define REGION_SIZE  UINT64_C(0x100000)
#define REGION_GUEST UINT64_C(0x40000000)
#define REGION_USER  UINT64_C(0x7f0000000000)
#define REGIONS_MAX  16

/* A file with room for all regions. */
static inline int memory_file(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	return fd >= 0 && ftruncate(fd, REGIONS_MAX * REGION_SIZE) == 0 ? fd
									: -1;
}

/* Number i: neighbours in guest addresses, apart in front-end addresses. */
static inline struct vh_region memory_region(int fd, unsigned int i)
{
	return (struct vh_region){
	    .guest = REGION_GUEST + i * REGION_SIZE,
	    .size = REGION_SIZE,
	    .user = {REGION_USER + 2 * i * REGION_SIZE},
	    .fd_offset = (REGIONS_MAX - 1 - i) * REGION_SIZE,
	    .fd = fd,
	};
}

#endif
