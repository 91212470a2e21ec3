/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Block requests on a queue of a session, one at a time or many. */
#ifndef SUPPORT_BLK_H
#define SUPPORT_BLK_H

#include "session.h"

#define BLK_SECTOR 512

enum {
	BLK_IN = 0,
	BLK_OUT = 1,
	BLK_FLUSH = 4,
	BLK_GET_ID = 8,
	BLK_DISCARD = 11,
	BLK_WRITE_ZEROES = 13,
};

enum {
	BLK_OK = 0,
	BLK_IOERR = 1,
	BLK_UNSUPP = 2,
	BLK_NO_STATUS = 0xee, /* what we put there before */
};

/* feature bits */
#define BLK_F_SIZE_MAX	   FE_BIT(1)
#define BLK_F_SEG_MAX	   FE_BIT(2)
#define BLK_F_RO	   FE_BIT(5)
#define BLK_F_BLK_SIZE	   FE_BIT(6)
#define BLK_F_FLUSH	   FE_BIT(9)
#define BLK_F_CONFIG_WCE   FE_BIT(11)
#define BLK_F_MQ	   FE_BIT(12)
#define BLK_F_DISCARD	   FE_BIT(13)
#define BLK_F_WRITE_ZEROES FE_BIT(14)

/* offsets in the config space */
#define BLK_CONFIG_CAPACITY   0
#define BLK_CONFIG_WCE	      32
#define BLK_CONFIG_NUM_QUEUES 34
#define BLK_CONFIG_SIZE	      60

#define BLK_HEADER_SIZE	      16

/* depth slots, each with a header, a status byte and data_size bytes. */
struct blk {
	struct session *session;
	unsigned int queue;
	unsigned int depth;
	uint32_t data_size;
	bool indirect;
	uint64_t headers; /* guest addresses */
	uint64_t statuses;
	uint64_t data;
	uint16_t *slots; /* by chain id */
};

struct blk_range {
	uint64_t sector;
	uint32_t sectors;
	uint32_t flags;
};

int blk_new(struct blk *blk, struct session *session, unsigned int queue,
	    unsigned int depth, uint32_t data_size);
void blk_free(struct blk *blk);

/* The data of a slot, as we see it and as the guest addresses it. */
void *blk_data(const struct blk *blk, unsigned int slot);
uint64_t blk_data_address(const struct blk *blk, unsigned int slot);

/* Fills in a header in guest memory. */
void blk_put_header(struct session *session, uint64_t gpa, uint32_t type,
		    uint64_t sector);

/*
 * Many at once. The data of IN goes to, that of the others comes from the
 * slot. blk_wait returns the status byte and says of which slot.
 */
int blk_submit(struct blk *blk, unsigned int slot, uint32_t type,
	       uint64_t sector, uint32_t length);
int blk_wait(struct blk *blk, unsigned int *ret_slot);

/*
 * One at a time, in slot 0: the status byte, or a negative errno.
 * -EBADMSG: the device says that it wrote another number of bytes than it
 * should.
 */
int blk_read(struct blk *blk, uint64_t sector, void *data, uint32_t length);
int blk_write(struct blk *blk, uint64_t sector, const void *data,
	      uint32_t length);
int blk_flush(struct blk *blk);
int blk_get_id(struct blk *blk, char id[20]);
int blk_ranges(struct blk *blk, uint32_t type, const struct blk_range ranges[],
	       unsigned int count);

/* A pattern that names its place: every 8 bytes are different. */
void blk_pattern(void *data, size_t length, uint64_t seed);

#endif
