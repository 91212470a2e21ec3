/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "guest.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_HEAD UINT64_C(0x5000)
#define USER_BASE UINT64_C(0x7e1200000000)
#define USER_STEP UINT64_C(0x100000000)

static void lay_out(struct guest *guest, uint64_t size, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		unsigned int back = count - 1 - i;

		guest->regions[i] = (struct fe_region){
		    .guest = GUEST_BASE + i * size,
		    .size = size,
		    .user = USER_BASE + back * USER_STEP,
		    .offset = FILE_HEAD + back * size,
		    .fd = guest->fd,
		};
	}
	guest->count = count;
	guest->next = GUEST_BASE;
}

int guest_new(struct guest *guest, uint64_t region_size, unsigned int count)
{
	*guest = (struct guest){.fd = -1};
	if (count > GUEST_MAX_REGIONS)
		return -EINVAL;
	guest->fd = memfd_create("guest", MFD_CLOEXEC);
	if (guest->fd < 0)
		return -errno;
	guest->file_size = FILE_HEAD + region_size * count;
	if (ftruncate(guest->fd, (off_t)guest->file_size) != 0)
		goto fail;
	guest->map = mmap(NULL, guest->file_size, PROT_READ | PROT_WRITE,
			  MAP_SHARED, guest->fd, 0);
	if (guest->map == MAP_FAILED)
		goto fail;
	lay_out(guest, region_size, count);
	return 0;
fail:
	close(guest->fd);
	guest->fd = -1;
	guest->map = NULL;
	return -errno;
}

void guest_free(struct guest *guest)
{
	if (guest->map)
		munmap(guest->map, guest->file_size);
	if (guest->fd >= 0)
		close(guest->fd);
	guest->map = NULL;
	guest->fd = -1;
}

static const struct fe_region *find(const struct guest *guest, uint64_t gpa)
{
	unsigned int i;

	for (i = 0; i < guest->count; i++) {
		const struct fe_region *region = &guest->regions[i];

		if (gpa >= region->guest && gpa - region->guest < region->size)
			return region;
	}
	return NULL;
}

uint64_t guest_alloc(struct guest *guest, uint64_t size, uint64_t alignment)
{
	for (;;) {
		uint64_t gpa = (guest->next + alignment - 1) & ~(alignment - 1);
		const struct fe_region *region = find(guest, gpa);

		if (!region || size > region->size)
			return 0;
		if (size <= region->size - (gpa - region->guest)) {
			guest->next = gpa + size;
			return gpa;
		}
		guest->next = region->guest + region->size;
	}
}

uint64_t guest_end(const struct guest *guest)
{
	const struct fe_region *last = &guest->regions[guest->count - 1];

	return last->guest + last->size;
}

void *guest_at(const struct guest *guest, uint64_t gpa, uint64_t size)
{
	const struct fe_region *region = find(guest, gpa);

	if (!region || size > region->size - (gpa - region->guest))
		return NULL;
	return guest->map + region->offset + (gpa - region->guest);
}

uint64_t guest_user(const struct guest *guest, uint64_t gpa)
{
	const struct fe_region *region = find(guest, gpa);

	return region ? region->user + (gpa - region->guest) : 0;
}

/* Bytes from gpa on that lie in its region, at most size. */
static size_t piece(const struct guest *guest, uint64_t gpa, size_t size)
{
	const struct fe_region *region = find(guest, gpa);
	uint64_t left = region->size - (gpa - region->guest);

	return left < size ? (size_t)left : size;
}

void guest_write(const struct guest *guest, uint64_t gpa, const void *data,
		 size_t size)
{
	while (size > 0) {
		size_t n = piece(guest, gpa, size);

		memcpy(guest_at(guest, gpa, n), data, n);
		data = (const char *)data + n;
		gpa += n;
		size -= n;
	}
}

void guest_read(const struct guest *guest, uint64_t gpa, void *data,
		size_t size)
{
	while (size > 0) {
		size_t n = piece(guest, gpa, size);

		memcpy(data, guest_at(guest, gpa, n), n);
		data = (char *)data + n;
		gpa += n;
		size -= n;
	}
}
