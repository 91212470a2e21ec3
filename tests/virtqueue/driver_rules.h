/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * All of the descriptors that a driver wrote for a chain are as the text
 * wants them; the ring and its tables have size bytes. A split ring that is
 * used in order goes on at a slot of its table, which is told and returned.
 */
#ifndef TESTS_VIRTQUEUE_DRIVER_RULES_H
#define TESTS_VIRTQUEUE_DRIVER_RULES_H

#include "model.h"

unsigned int driver_split_rules(const struct model_ring *ring, uint64_t size,
				unsigned int next_slot,
				const struct model_chain *chain);
void driver_packed_rules(const struct model_ring *ring, uint64_t size,
			 struct model_place place,
			 const struct model_chain *chain);

#endif
