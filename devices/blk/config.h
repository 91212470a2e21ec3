/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Features and config space of a disk. */
#ifndef BLK_CONFIG_H
#define BLK_CONFIG_H

#include "blk.h"
#include "wire.h"

/* The feature bits that this disk offers. */
uint64_t blk_config_features(const struct blk *blk);

/* Capacity in sectors for a size in bytes: whole blocks only. */
uint64_t blk_config_capacity(const struct blk *blk, uint64_t size);

/* Callbacks of struct vh_device_ops. */
int blk_config_get(void *user, uint32_t offset, void *buffer, uint32_t size);
int blk_config_set(void *user, uint32_t offset, const void *buffer,
		   uint32_t size, uint32_t by);
int blk_config_set_features(void *user, uint64_t features);
void blk_config_reset(void *user);
void blk_config_release(void *user);

#endif
