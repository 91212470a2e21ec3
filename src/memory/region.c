/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Mapping one region, and letting go of it. */
#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "mapping.h"

#define SECTION "vhost-user, Memory region description"
#define HEX	"0x%" PRIx64

/* A device or a dma-buf tells its length, if it has one, by seeking. */
static uint64_t seek_length(int fd)
{
	off_t here = lseek(fd, 0, SEEK_CUR);
	off_t end = lseek(fd, 0, SEEK_END);

	/* The position belongs to whoever else has this open file. */
	if (end >= 0)
		lseek(fd, here < 0 ? 0 : here, SEEK_SET);
	return end < 0 ? 0 : (uint64_t)end;
}

static uint64_t file_length(int fd, const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		return (uint64_t)st->st_size;
	/* Some file systems let one seek in a directory. */
	return S_ISDIR(st->st_mode) ? 0 : seek_length(fd);
}

/* The unit that the file can be mapped in: its huge page or the page. */
static uint64_t map_unit(int fd, const struct stat *st)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t block = (uint64_t)st->st_blksize;
	struct statfs fs;

	/* Large blocks are rare, so the system call is too. */
	if (block <= page || !vhi_is_power_of_2(block) || fstatfs(fd, &fs) < 0)
		return page;
	return fs.f_type == HUGETLBFS_MAGIC ? block : page;
}

static int check_file(const struct vh_region *region, const struct stat *st,
		      struct vh_fault *fault)
{
	uint64_t length = file_length(region->fd, st);

	if (length == 0 && !S_ISREG(st->st_mode))
		return vhi_fault(fault, VH_FAULT_MEM_FILE, -ERANGE, SECTION,
				 "descriptor %d (mode %#o) of the region at "
				 "guest address " HEX " has no length "
				 "that could bound it",
				 region->fd, (unsigned int)st->st_mode,
				 region->guest);
	if (!vhi_range_inside(region->fd_offset, region->size, 0, length))
		return vhi_fault(fault, VH_FAULT_MEM_FILE, -ERANGE, SECTION,
				 "offset " HEX " and size " HEX
				 " of the region at guest address " HEX
				 " exceed the " HEX " bytes of its file",
				 region->fd_offset, region->size, region->guest,
				 length);
	return 0;
}

/*
 * Neither addition can wrap: a file ends before 2^63. MAP_NORESERVE, because
 * huge pages are reserved by whoever made the file, once for all of us.
 */
static int map_file(const struct vh_region *region, uint64_t unit,
		    struct vh_fault *fault, struct vhi_mapping *mapping)
{
	uint64_t begin = region->fd_offset & ~(unit - 1);
	uint64_t end =
	    (region->fd_offset + region->size + unit - 1) & ~(unit - 1);
	void *start = MAP_FAILED;

	errno = ENOMEM;
	if (end - begin <= SIZE_MAX)
		start =
		    mmap(NULL, (size_t)(end - begin), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_NORESERVE, region->fd, (off_t)begin);
	if (start == MAP_FAILED)
		return vhi_fault(fault, VH_FAULT_MEM_MAP, -errno, SECTION,
				 "mmap of " HEX " bytes at offset " HEX
				 " for the region at guest address " HEX ": %m",
				 end - begin, begin, region->guest);
	mapping->start = start;
	mapping->length = (size_t)(end - begin);
	/* A core dump shouldn't hold the guest; if it must, so be it. */
	madvise(start, mapping->length, MADV_DONTDUMP);
	return 0;
}

int vhi_mapping_new(const struct vh_region *region, struct vh_fault *fault,
		    struct vhi_mapping **ret_mapping, char **ret_host)
{
	struct vhi_mapping *mapping;
	struct stat st;
	uint64_t unit;
	int err;

	if (fstat(region->fd, &st) < 0)
		return vhi_fault(fault, VH_FAULT_MEM_FILE, -errno, SECTION,
				 "fstat of descriptor %d of the region at "
				 "guest address " HEX ": %m",
				 region->fd, region->guest);
	err = check_file(region, &st, fault);
	if (err < 0)
		return err;
	mapping = malloc(sizeof(*mapping));
	if (!mapping)
		return vhi_fault(fault, VH_FAULT_SYSTEM, -ENOMEM, NULL,
				 "no memory for a mapping");
	*mapping = (struct vhi_mapping){.refs = 1};
	unit = map_unit(region->fd, &st);
	err = map_file(region, unit, fault, mapping);
	if (err < 0) {
		free(mapping);
		return err;
	}
	*ret_mapping = mapping;
	*ret_host = mapping->start + (region->fd_offset & (unit - 1));
	return 0;
}

void vhi_mapping_unref(struct vhi_mapping *mapping)
{
	if (__atomic_sub_fetch(&mapping->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	munmap(mapping->start, mapping->length);
	free(mapping);
}
