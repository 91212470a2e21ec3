/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* The file behind a disk, and what is to be known about it. */
#ifndef BLK_FILE_H
#define BLK_FILE_H

#include <libvhost-devices/blk.h>

struct blk_file {
	int fd; /* -1: the null store */
	bool is_device;
	bool direct;
	bool can_punch;
	/* it lives in memory, where system calls don't wait */
	bool in_memory;
	uint32_t block_size;	/* requests are multiples of it */
	uint32_t memory_align;	/* of buffers, with direct */
	uint32_t physical_size; /* a hint, like the following */
	uint32_t min_io;
	uint32_t optimal_io;
	uint64_t size;
};

#define BLK_SECTOR 512u

/*
 * Opens opts->path, which holds a raw image: nothing of its content is
 * looked at. Errors are those of vh_blk_new().
 */
int blk_file_open(struct blk_file *file, const struct vh_blk_opts *opts,
		  struct vh_fault *fault);

void blk_file_close(struct blk_file *file);

/* The size now, which may have changed. */
int blk_file_size(const struct blk_file *file, uint64_t *ret_size);

/* Fills in *fault, if there is one, and returns error. */
int blk_fault(struct vh_fault *fault, uint32_t code, int error,
	      const char *format, ...) VH_PRINTF(4, 5);

/* As strerror(), but for any thread. */
const char *blk_error_text(int error);

#endif
