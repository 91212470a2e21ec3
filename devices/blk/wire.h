/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * What the driver and the device agree on (virtio, "Block Device"), all of it
 * little-endian.
 */
#ifndef BLK_WIRE_H
#define BLK_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define BLK_F_SEG_MAX	   (UINT64_C(1) << 2)
#define BLK_F_RO	   (UINT64_C(1) << 5)
#define BLK_F_BLK_SIZE	   (UINT64_C(1) << 6)
#define BLK_F_FLUSH	   (UINT64_C(1) << 9)
#define BLK_F_TOPOLOGY	   (UINT64_C(1) << 10)
#define BLK_F_CONFIG_WCE   (UINT64_C(1) << 11)
#define BLK_F_MQ	   (UINT64_C(1) << 12)
#define BLK_F_DISCARD	   (UINT64_C(1) << 13)
#define BLK_F_WRITE_ZEROES (UINT64_C(1) << 14)

enum {
	BLK_T_IN = 0,
	BLK_T_OUT = 1,
	BLK_T_FLUSH = 4,
	BLK_T_GET_ID = 8,
	BLK_T_DISCARD = 11,
	BLK_T_WRITE_ZEROES = 13,
};

enum {
	BLK_S_OK = 0,
	BLK_S_IOERR = 1,
	BLK_S_UNSUPP = 2,
};

struct blk_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

/* Of a discard or write zeroes request. */
struct blk_segment {
	uint64_t sector;
	uint32_t num_sectors;
	uint32_t flags;
};

#define BLK_SEGMENT_UNMAP 1u

struct blk_config {
	uint64_t capacity; /* sectors of 512 bytes, whatever blk_size is */
	uint32_t size_max;
	uint32_t seg_max;
	uint16_t cylinders;
	uint8_t heads;
	uint8_t sectors;
	uint32_t blk_size;
	uint8_t physical_block_exp;
	uint8_t alignment_offset;
	uint16_t min_io_size; /* blocks, as the next */
	uint32_t opt_io_size;
	uint8_t writeback;
	uint8_t unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors;
	uint32_t max_discard_seg;
	uint32_t discard_sector_alignment;
	uint32_t max_write_zeroes_sectors;
	uint32_t max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
	uint32_t max_secure_erase_sectors;
	uint32_t max_secure_erase_seg;
	uint32_t secure_erase_sector_alignment;
	uint8_t zoned[24]; /* never offered */
} __attribute__((packed));

_Static_assert(offsetof(struct blk_config, seg_max) == 12, "seg_max");
_Static_assert(offsetof(struct blk_config, blk_size) == 20, "blk_size");
_Static_assert(offsetof(struct blk_config, physical_block_exp) == 24, "exp");
_Static_assert(offsetof(struct blk_config, writeback) == 32, "writeback");
_Static_assert(offsetof(struct blk_config, num_queues) == 34, "num_queues");
_Static_assert(offsetof(struct blk_config, max_discard_sectors) == 36, "36");
_Static_assert(offsetof(struct blk_config, max_write_zeroes_sectors) == 48,
	       "max_write_zeroes_sectors");
_Static_assert(offsetof(struct blk_config, write_zeroes_may_unmap) == 56,
	       "write_zeroes_may_unmap");
_Static_assert(offsetof(struct blk_config, max_secure_erase_sectors) == 60,
	       "max_secure_erase_sectors");
_Static_assert(offsetof(struct blk_config, zoned) == 72, "zoned");
_Static_assert(sizeof(struct blk_config) == 96, "config");
_Static_assert(sizeof(struct blk_header) == 16, "header");
_Static_assert(sizeof(struct blk_segment) == 16, "segment");

#endif
