/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* A stranger's program: a disk of 1 MiB, whose size it reads back. */
#include <libvhost-devices/blk.h>
#include <libvhost/libvhost.h>
#include <stdio.h>

#define SECTORS 2048

static int read_sectors(struct vh_backend *disk, uint64_t *ret_sectors)
{
	uint8_t bytes[8];
	int i, r = vh_backend_get_config(disk, 0, bytes, sizeof(bytes));

	if (r < 0)
		return r;
	*ret_sectors = 0;
	for (i = 7; i >= 0; i--)
		*ret_sectors = *ret_sectors << 8 | bytes[i];
	return 0;
}

int main(void)
{
	struct vh_backend *disk;
	struct vh_fault fault;
	uint64_t sectors;

	VH_OPTS(vh_blk_opts, opts);
	opts.null_size = SECTORS * 512;
	if (vh_blk_new(&opts, &fault, &disk) < 0) {
		fprintf(stderr, "%s\n", fault.text);
		return 1;
	}
	if (read_sectors(disk, &sectors) < 0 || sectors != SECTORS)
		return 1;
	vh_backend_free(disk);
	printf("%s\n", vh_version());
	return 0;
}
