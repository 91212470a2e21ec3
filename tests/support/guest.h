/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Guest memory for tests: one memfd in which the regions lie in reverse
 * order, adjacent in guest addresses, far apart in front-end addresses, and
 * none of them at offset 0, so that every kind of address is different.
 */
#ifndef SUPPORT_GUEST_H
#define SUPPORT_GUEST_H

#include "frontend.h"

#define GUEST_BASE	  UINT64_C(0x40000000)
#define GUEST_MAX_REGIONS 8

struct guest {
	int fd;
	uint8_t *map;
	size_t file_size;
	struct fe_region regions[GUEST_MAX_REGIONS];
	unsigned int count;
	uint64_t next; /* guest address; from here on nothing is taken */
};

/* region_size is a multiple of the page size. */
int guest_new(struct guest *guest, uint64_t region_size, unsigned int count);
void guest_free(struct guest *guest);
/* The guest address behind the last byte. */
uint64_t guest_end(const struct guest *guest);

/* Takes size bytes of one region, never given back; 0 if there is no room.
 * Contents are zero. */
uint64_t guest_alloc(struct guest *guest, uint64_t size, uint64_t alignment);

/* Our own view; NULL unless size bytes lie in one region. */
void *guest_at(const struct guest *guest, uint64_t gpa, uint64_t size);

/* The front-end address that the regions give it; 0 outside. */
uint64_t guest_user(const struct guest *guest, uint64_t gpa);

/* Copies, across regions if need be. */
void guest_write(const struct guest *guest, uint64_t gpa, const void *data,
		 size_t size);
void guest_read(const struct guest *guest, uint64_t gpa, void *data,
		size_t size);

#endif
