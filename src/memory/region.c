/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Mapping one region, or a dirty log, and letting go of it. */
#include <base/check.h>
#include <base/fault.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "mapping.h"

#define HEX	  "0x%" PRIx64
#define WORDS_MAX 64

/* What faults call it. */
static const char *name_of(const struct vhi_file_part *part,
			   char name[WORDS_MAX])
{
	if (!part->guest)
		return "the dirty log";
	snprintf(name, WORDS_MAX, "the region at guest address " HEX,
		 *part->guest);
	return name;
}

static const char *section_of(const struct vhi_file_part *part)
{
	return part->guest ? "vhost-user, Memory region description"
			   : "vhost-user, VHOST_USER_SET_LOG_BASE";
}

static uint32_t code_of(const struct vhi_file_part *part)
{
	return part->guest ? VH_FAULT_MEM_FILE : VH_FAULT_MEM_LOG;
}

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

static int check_file(const struct vhi_file_part *part, const struct stat *st,
		      struct vh_fault *fault)
{
	uint64_t length = file_length(part->fd, st);
	char name[WORDS_MAX];

	if (length == 0 && !S_ISREG(st->st_mode))
		return vhi_fault(
		    fault, code_of(part), -ERANGE, section_of(part),
		    "descriptor %d (mode %#o) of %s has no length "
		    "that could bound it",
		    part->fd, (unsigned int)st->st_mode, name_of(part, name));
	if (!vhi_range_inside(part->offset, part->size, 0, length))
		return vhi_fault(
		    fault, code_of(part), -ERANGE, section_of(part),
		    "offset " HEX " and size " HEX " of %s exceed the " HEX
		    " bytes of its file",
		    part->offset, part->size, name_of(part, name), length);
	return 0;
}

/*
 * Neither addition can wrap: a file ends before 2^63. MAP_NORESERVE, because
 * huge pages are reserved by whoever made the file, once for all of us.
 */
static int map_file(const struct vhi_file_part *part, uint64_t unit,
		    struct vh_fault *fault, struct vhi_mapping *mapping)
{
	uint64_t begin = part->offset & ~(unit - 1);
	uint64_t end = (part->offset + part->size + unit - 1) & ~(unit - 1);
	void *start = MAP_FAILED;
	char name[WORDS_MAX];

	errno = ENOMEM;
	if (end - begin <= SIZE_MAX)
		start =
		    mmap(NULL, (size_t)(end - begin), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_NORESERVE, part->fd, (off_t)begin);
	if (start == MAP_FAILED)
		return vhi_fault(
		    fault, VH_FAULT_MEM_MAP, -errno, section_of(part),
		    "mmap of " HEX " bytes at offset " HEX " for %s: %m",
		    end - begin, begin, name_of(part, name));
	mapping->start = start;
	mapping->length = (size_t)(end - begin);
	/* A core dump shouldn't hold the guest; if it must, so be it. */
	madvise(start, mapping->length, MADV_DONTDUMP);
	return 0;
}

int vhi_mapping_new(const struct vhi_file_part *part, struct vh_fault *fault,
		    struct vhi_mapping **ret_mapping, char **ret_host)
{
	struct vhi_mapping *mapping;
	char name[WORDS_MAX];
	struct stat st;
	uint64_t unit;
	int err;

	if (fstat(part->fd, &st) < 0)
		return vhi_fault(fault, code_of(part), -errno, section_of(part),
				 "fstat of descriptor %d of %s: %m", part->fd,
				 name_of(part, name));
	err = check_file(part, &st, fault);
	if (err < 0)
		return err;
	mapping = malloc(sizeof(*mapping));
	if (!mapping)
		return vhi_fault(fault, VH_FAULT_SYSTEM, -ENOMEM, NULL,
				 "no memory for a mapping");
	*mapping = (struct vhi_mapping){.refs = 1};
	unit = map_unit(part->fd, &st);
	err = map_file(part, unit, fault, mapping);
	if (err < 0) {
		free(mapping);
		return err;
	}
	*ret_mapping = mapping;
	*ret_host = mapping->start + (part->offset & (unit - 1));
	return 0;
}

void vhi_mapping_unref(struct vhi_mapping *mapping)
{
	if (__atomic_sub_fetch(&mapping->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	munmap(mapping->start, mapping->length);
	free(mapping);
}
