/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#include "config.h"
#include <endian.h>
#include <errno.h>
#include <string.h>

#define WRITEBACK_OFFSET offsetof(struct blk_config, writeback)

uint64_t blk_config_features(const struct blk *blk)
{
	uint64_t features = BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH |
			    BLK_F_TOPOLOGY | BLK_F_CONFIG_WCE;

	if (blk->num_queues > 1)
		features |= BLK_F_MQ;
	if (blk->read_only)
		return features | BLK_F_RO;
	if (blk->file.can_punch)
		features |= BLK_F_DISCARD;
	return features | BLK_F_WRITE_ZEROES;
}

uint64_t blk_config_capacity(const struct blk *blk, uint64_t size)
{
	uint32_t block = blk->file.block_size;

	return size / block * (block / BLK_SECTOR);
}

static void fill_topology(const struct blk_file *file,
			  struct blk_config *config)
{
	uint32_t block = file->block_size;
	uint32_t min_io = file->min_io / block;

	config->blk_size = htole32(block);
	config->physical_block_exp =
	    (uint8_t)__builtin_ctz(file->physical_size / block);
	config->min_io_size =
	    htole16((uint16_t)(min_io < UINT16_MAX ? min_io : 0));
	config->opt_io_size = htole32(file->optimal_io / block);
}

static void fill(const struct blk *blk, struct blk_config *config)
{
	uint32_t align = blk->file.block_size / BLK_SECTOR;

	memset(config, 0, sizeof(*config));
	config->capacity =
	    htole64(atomic_load_explicit(&blk->capacity, memory_order_relaxed));
	config->seg_max = htole32(BLK_SEG_MAX);
	fill_topology(&blk->file, config);
	config->writeback = blk->writeback;
	config->num_queues = htole16((uint16_t)blk->num_queues);
	if (blk->features & BLK_F_DISCARD) {
		config->max_discard_sectors = htole32(BLK_MAX_DISCARD_SECTORS);
		config->max_discard_seg = htole32(1);
		config->discard_sector_alignment = htole32(align);
	}
	if (blk->features & BLK_F_WRITE_ZEROES) {
		config->max_write_zeroes_sectors =
		    htole32(BLK_MAX_ZEROES_SECTORS);
		config->max_write_zeroes_seg = htole32(1);
		config->write_zeroes_may_unmap = blk->file.can_punch;
	}
}

int blk_config_get(void *user, uint32_t offset, void *buffer, uint32_t size)
{
	const struct blk *blk = user;
	struct blk_config config;

	fill(blk, &config);
	memcpy(buffer, (const char *)&config + offset, size);
	return 0;
}

/*
 * When a completed write is already stable: if the driver can't flush, or if
 * it chose that mode (virtio, Block Device, Device Operation).
 */
static void choose_mode(struct blk *blk)
{
	bool through = !(blk->acked & BLK_F_FLUSH);

	if (blk->acked & BLK_F_CONFIG_WCE)
		through = !blk->writeback;
	atomic_store_explicit(&blk->write_through, through,
			      memory_order_relaxed);
}

static int set_writeback(struct blk *blk, uint8_t value)
{
	if (value > 1)
		return -EINVAL;
	blk->writeback = value;
	choose_mode(blk);
	return 0;
}

int blk_config_set(void *user, uint32_t offset, const void *buffer,
		   uint32_t size, uint32_t by)
{
	struct blk *blk = user;
	const uint8_t *bytes = buffer;

	/* The rest of what a migration brings describes this disk already. */
	if (by == VH_CONFIG_BY_MIGRATION) {
		if (offset > WRITEBACK_OFFSET ||
		    WRITEBACK_OFFSET - offset >= size)
			return 0;
		return set_writeback(blk, bytes[WRITEBACK_OFFSET - offset]);
	}
	if (offset != WRITEBACK_OFFSET || size != 1 ||
	    !(blk->acked & BLK_F_CONFIG_WCE))
		return -EACCES;
	return set_writeback(blk, bytes[0]);
}

int blk_config_set_features(void *user, uint64_t features)
{
	struct blk *blk = user;

	/*
	 * Front-ends set the same features again when they stop and go on,
	 * which must not change the driver's mode.
	 */
	if (features != blk->acked && (features & BLK_F_CONFIG_WCE) &&
	    !(features & BLK_F_FLUSH))
		blk->writeback = 0;
	blk->acked = features;
	choose_mode(blk);
	return 0;
}

void blk_config_reset(void *user)
{
	struct blk *blk = user;

	blk->acked = 0;
	blk->writeback = 1;
	choose_mode(blk);
}

/*
 * A front-end that comes back doesn't say again which mode its driver chose,
 * and the driver relies on it. Another guest may find the mode of the one
 * before: "the cache mode after reset can be either", says virtio, and a
 * driver that knows of modes reads it, while for one that doesn't the mode
 * follows from its features.
 */
void blk_config_release(void *user)
{
	struct blk *blk = user;

	blk->acked = 0;
	choose_mode(blk);
}
