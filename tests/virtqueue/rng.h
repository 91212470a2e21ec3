/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Chance for tests, the same each time (xorshift64). */
#ifndef TESTS_VIRTQUEUE_RNG_H
#define TESTS_VIRTQUEUE_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

static inline struct rng rng_start(uint64_t seed)
{
	return (struct rng){seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
}

/* 0 if there is nothing below. */
static inline uint32_t rnd(struct rng *rng, uint32_t below)
{
	rng->state ^= rng->state << 13;
	rng->state ^= rng->state >> 7;
	rng->state ^= rng->state << 17;
	return below ? (uint32_t)(rng->state >> 32) % below : 0;
}

static inline bool one_in(struct rng *rng, uint32_t n)
{
	return rnd(rng, n) == 0;
}

#endif
