/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A guest can't have sectors that are larger than its pages. */
#define MAX_BLOCK_SIZE 4096u
/* What a file system calls its block may be a huge page. */
#define MAX_PHYSICAL_SIZE 65536u

int blk_fault(struct vh_fault *fault, uint32_t code, int error,
	      const char *format, ...)
{
	va_list args;

	if (!fault)
		return error;
	*fault = (struct vh_fault){
	    .code = code,
	    .error = error,
	    .queue = VH_FAULT_NO_QUEUE,
	    .message = VH_FAULT_NO_MESSAGE,
	    .section = "",
	};
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return error;
}

const char *blk_error_text(int error)
{
	const char *text = strerrordesc_np(error);

	return text ? text : "unknown error";
}

static int fail(struct vh_fault *fault, int error, const char *path,
		const char *why)
{
	return blk_fault(fault, VH_FAULT_SYSTEM, error, "%.120s: %s", path,
			 why);
}

static bool is_power_of_2(uint32_t value)
{
	return value && !(value & (value - 1));
}

int blk_file_size(const struct blk_file *file, uint64_t *ret_size)
{
	struct stat st;
	uint64_t size;

	if (file->is_device) {
		if (ioctl(file->fd, BLKGETSIZE64, &size) < 0)
			return -errno;
		*ret_size = size;
		return 0;
	}
	if (fstat(file->fd, &st) < 0)
		return -errno;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

/* Opens without waiting for whoever is at the other end of a FIFO. */
static int open_path(const struct vh_blk_opts *opts)
{
	int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

	flags |= opts->read_only ? O_RDONLY : O_RDWR;
	return open(opts->path, flags | (opts->direct ? O_DIRECT : 0));
}

static int open_failed(const struct vh_blk_opts *opts, int error,
		       struct vh_fault *fault)
{
	if (error == EISDIR)
		return fail(fault, -EINVAL, opts->path, "is a directory");
	if (error == EINVAL && opts->direct)
		return fail(fault, -EINVAL, opts->path,
			    "its file system has no direct I/O");
	return fail(fault, -error, opts->path, blk_error_text(error));
}

static int check_kind(struct blk_file *file, const struct vh_blk_opts *opts,
		      struct stat *st, struct vh_fault *fault)
{
	int flags;

	if (fstat(file->fd, st) < 0)
		return fail(fault, -errno, opts->path, blk_error_text(errno));
	if (S_ISDIR(st->st_mode))
		return fail(fault, -EINVAL, opts->path, "is a directory");
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return fail(fault, -EINVAL, opts->path,
			    "is neither a regular file nor a block device");
	file->is_device = S_ISBLK(st->st_mode);
	flags = fcntl(file->fd, F_GETFL);
	if (flags < 0 || fcntl(file->fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return fail(fault, -errno, opts->path, blk_error_text(errno));
	return 0;
}

/* Where nobody tells the unit of direct I/O: 512 if that can be read. */
static uint32_t try_direct_unit(const struct blk_file *file)
{
	void *buffer = NULL;
	ssize_t n;
	int unit = 0;

	if (file->is_device && ioctl(file->fd, BLKSSZGET, &unit) == 0)
		return (uint32_t)unit;
	if (posix_memalign(&buffer, MAX_BLOCK_SIZE, MAX_BLOCK_SIZE) != 0)
		return MAX_BLOCK_SIZE;
	n = pread(file->fd, buffer, BLK_SECTOR, 0);
	free(buffer);
	return n < 0 ? MAX_BLOCK_SIZE : BLK_SECTOR;
}

/* Fills in what direct I/O demands. False if it isn't possible at all. */
static bool ask_direct_units(struct blk_file *file)
{
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    (stx.stx_mask & STATX_DIOALIGN)) {
		file->block_size = stx.stx_dio_offset_align;
		file->memory_align = stx.stx_dio_mem_align;
		return file->block_size && file->memory_align;
	}
#endif
	file->block_size = try_direct_unit(file);
	file->memory_align = file->block_size;
	return true;
}

static int find_units(struct blk_file *file, const struct vh_blk_opts *opts,
		      struct vh_fault *fault)
{
	file->block_size = BLK_SECTOR;
	file->memory_align = 1;
	file->direct = opts->direct;
	if (!file->direct)
		return 0;
	if (!ask_direct_units(file))
		return fail(fault, -EINVAL, opts->path,
			    "direct I/O isn't possible on this file");
	if (file->block_size < BLK_SECTOR)
		file->block_size = BLK_SECTOR;
	if (!is_power_of_2(file->block_size) ||
	    !is_power_of_2(file->memory_align) ||
	    file->block_size > MAX_BLOCK_SIZE)
		return blk_fault(fault, VH_FAULT_SYSTEM, -EINVAL,
				 "%.120s: direct I/O in units of %u bytes; at "
				 "most %u can be offered",
				 opts->path, file->block_size, MAX_BLOCK_SIZE);
	return 0;
}

static void find_topology(struct blk_file *file, const struct stat *st)
{
	unsigned int value;

	file->physical_size = (uint32_t)st->st_blksize;
	if (file->is_device) {
		if (ioctl(file->fd, BLKPBSZGET, &value) == 0)
			file->physical_size = value;
		if (ioctl(file->fd, BLKIOMIN, &value) == 0)
			file->min_io = value;
		if (ioctl(file->fd, BLKIOOPT, &value) == 0)
			file->optimal_io = value;
	}
	if (!is_power_of_2(file->physical_size) ||
	    file->physical_size < file->block_size ||
	    file->physical_size > MAX_PHYSICAL_SIZE)
		file->physical_size = MAX_BLOCK_SIZE;
	if (file->min_io < file->physical_size)
		file->min_io = file->physical_size;
}

/* A device can be asked what it discards, but not by trying. */
static bool device_discards(dev_t device)
{
	/* A partition has no queue of its own. */
	static const char *const parents[] = {"", "../"};
	unsigned long long bytes = 0;
	char path[96];
	char text[32];

	for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
		FILE *f;

		snprintf(path, sizeof(path),
			 "/sys/dev/block/%u:%u/%squeue/discard_max_bytes",
			 major(device), minor(device), parents[i]);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(text, sizeof(text), f))
			bytes = strtoull(text, NULL, 10);
		fclose(f);
		break;
	}
	return bytes > 0;
}

static bool probe_punch(const struct blk_file *file, const struct stat *st)
{
	const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	off_t behind = (st->st_size + 0xffff) & ~(off_t)0xffff;

	if (file->is_device)
		return device_discards(st->st_rdev);
	/* Nothing is there to be lost. */
	return fallocate(file->fd, mode, behind, MAX_BLOCK_SIZE) == 0;
}

static bool lives_in_memory(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	switch ((unsigned long)fs.f_type) {
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
	case HUGETLBFS_MAGIC:
		return true;
	default:
		return false;
	}
}

static int look_at(struct blk_file *file, const struct vh_blk_opts *opts,
		   struct vh_fault *fault)
{
	struct stat st;
	int r = check_kind(file, opts, &st, fault);

	if (r < 0)
		return r;
	r = find_units(file, opts, fault);
	if (r < 0)
		return r;
	r = blk_file_size(file, &file->size);
	if (r < 0)
		return fail(fault, r, opts->path, blk_error_text(-r));
	if (file->size < file->block_size)
		return blk_fault(fault, VH_FAULT_SYSTEM, -EINVAL,
				 "%.120s: %llu bytes long; a disk has at least "
				 "%u",
				 opts->path, (unsigned long long)file->size,
				 file->block_size);
	find_topology(file, &st);
	file->can_punch = !opts->read_only && probe_punch(file, &st);
	file->in_memory = !file->is_device && lives_in_memory(file->fd);
	return 0;
}

int blk_file_open(struct blk_file *file, const struct vh_blk_opts *opts,
		  struct vh_fault *fault)
{
	int r;

	*file = (struct blk_file){.fd = open_path(opts)};
	if (file->fd < 0)
		return open_failed(opts, errno, fault);
	r = look_at(file, opts, fault);
	if (r < 0)
		blk_file_close(file);
	return r;
}

void blk_file_close(struct blk_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}
