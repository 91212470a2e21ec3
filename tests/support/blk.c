/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "blk.h"
#include "bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int blk_new(struct blk *blk, struct session *session, unsigned int queue,
	    unsigned int depth, uint32_t data_size)
{
	struct guest *guest = &session->guest;

	*blk = (struct blk){
	    .session = session,
	    .queue = queue,
	    .depth = depth,
	    .data_size = data_size,
	    .headers = guest_alloc(guest, (uint64_t)depth * 16, 64),
	    .statuses = guest_alloc(guest, depth, 64),
	    .data = guest_alloc(guest, (uint64_t)depth * data_size, 4096),
	    .slots = calloc(session->queues[queue].size, 2),
	};
	if (!blk->headers || !blk->statuses || !blk->data || !blk->slots) {
		blk_free(blk);
		return -ENOMEM;
	}
	return 0;
}

void blk_free(struct blk *blk)
{
	free(blk->slots);
	blk->slots = NULL;
}

uint64_t blk_data_address(const struct blk *blk, unsigned int slot)
{
	return blk->data + (uint64_t)slot * blk->data_size;
}

void *blk_data(const struct blk *blk, unsigned int slot)
{
	return guest_at(&blk->session->guest, blk_data_address(blk, slot),
			blk->data_size);
}

static uint8_t *status_of(const struct blk *blk, unsigned int slot)
{
	return guest_at(&blk->session->guest, blk->statuses + slot, 1);
}

void blk_put_header(struct session *session, uint64_t gpa, uint32_t type,
		    uint64_t sector)
{
	uint8_t bytes[BLK_HEADER_SIZE];

	put32(bytes, 0, type);
	put32(bytes, 4, 0);
	put64(bytes, 8, sector);
	guest_write(&session->guest, gpa, bytes, sizeof(bytes));
}

static bool device_writes(uint32_t type)
{
	return type == BLK_IN || type == BLK_GET_ID;
}

int blk_submit(struct blk *blk, unsigned int slot, uint32_t type,
	       uint64_t sector, uint32_t length)
{
	uint64_t header = blk->headers + (uint64_t)slot * BLK_HEADER_SIZE;
	struct driver_buffer buffers[3] = {
	    {.gpa = header, .length = BLK_HEADER_SIZE},
	};
	unsigned int count = 1;
	int id;

	blk_put_header(blk->session, header, type, sector);
	*status_of(blk, slot) = BLK_NO_STATUS;
	if (length > 0)
		buffers[count++] = (struct driver_buffer){
		    .gpa = blk_data_address(blk, slot),
		    .length = length,
		    .write = device_writes(type),
		};
	buffers[count++] = (struct driver_buffer){
	    .gpa = blk->statuses + slot, .length = 1, .write = true};
	id = session_submit(blk->session, blk->queue, buffers, count,
			    blk->indirect);
	if (id < 0)
		return id;
	blk->slots[id] = (uint16_t)slot;
	return 0;
}

static int wait_for(struct blk *blk, struct driver_used *used,
		    unsigned int *ret_slot)
{
	int ret = session_wait(blk->session, blk->queue, used);

	if (ret < 0)
		return ret;
	*ret_slot = blk->slots[used->id];
	return *status_of(blk, *ret_slot);
}

int blk_wait(struct blk *blk, unsigned int *ret_slot)
{
	struct driver_used used;

	return wait_for(blk, &used, ret_slot);
}

/* Does the request of slot 0; of a good one the used length is checked. */
static int transfer(struct blk *blk, uint32_t type, uint64_t sector,
		    uint32_t length)
{
	uint32_t written = device_writes(type) ? length + 1 : 1;
	struct driver_used used;
	unsigned int slot;
	int ret;

	if (length > blk->data_size)
		return -EINVAL;
	ret = blk_submit(blk, 0, type, sector, length);
	if (ret == 0)
		ret = wait_for(blk, &used, &slot);
	if (ret == BLK_OK && used.length != written)
		return -EBADMSG;
	return ret;
}

int blk_read(struct blk *blk, uint64_t sector, void *data, uint32_t length)
{
	int ret = transfer(blk, BLK_IN, sector, length);

	if (ret == BLK_OK)
		memcpy(data, blk_data(blk, 0), length);
	return ret;
}

int blk_write(struct blk *blk, uint64_t sector, const void *data,
	      uint32_t length)
{
	if (length > blk->data_size)
		return -EINVAL;
	memcpy(blk_data(blk, 0), data, length);
	return transfer(blk, BLK_OUT, sector, length);
}

int blk_flush(struct blk *blk)
{
	return transfer(blk, BLK_FLUSH, 0, 0);
}

int blk_get_id(struct blk *blk, char id[20])
{
	int ret = transfer(blk, BLK_GET_ID, 0, 20);

	if (ret == BLK_OK)
		memcpy(id, blk_data(blk, 0), 20);
	return ret;
}

int blk_ranges(struct blk *blk, uint32_t type, const struct blk_range ranges[],
	       unsigned int count)
{
	uint8_t *data = blk_data(blk, 0);
	size_t at = 0;
	unsigned int i;

	if (count * 16 > blk->data_size)
		return -EINVAL;
	for (i = 0; i < count; i++) {
		at = put64(data, at, ranges[i].sector);
		at = put32(data, at, ranges[i].sectors);
		at = put32(data, at, ranges[i].flags);
	}
	return transfer(blk, type, 0, count * 16);
}

void blk_pattern(void *data, size_t length, uint64_t seed)
{
	uint8_t *bytes = data;
	size_t i;

	for (i = 0; i < length; i++) {
		uint64_t word = (seed + i / 8) * UINT64_C(0x9e3779b97f4a7c15);

		bytes[i] = (uint8_t)(word >> (8 * (i % 8)));
	}
}
