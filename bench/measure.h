/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Clocks, processors and last words of the benchmarks. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

/* Says what failed, and why if error isn't 0, and ends the program. */
void die(const char *what, int error) __attribute__((noreturn));

uint64_t now_ns(void);

/* What it costs to ask for the time, to be taken off. */
uint64_t clock_cost(void);

static inline void keep_least(uint64_t *best, uint64_t value)
{
	if (value < *best)
		*best = value;
}

/*
 * Nanoseconds for each of count things that took so long together, with as
 * many looks at the clock: never 0.
 */
double each_ns(uint64_t took, unsigned int looks, unsigned int count);

/* How many this program may use. */
unsigned int processors(void);

/*
 * Ties this thread to one of them, from 0. The first call of the two is the
 * main thread's.
 */
void use_processor(unsigned int number);

/*
 * The number above 0 of the only argument, --NAME=N, or fallback without
 * one. Anything else ends the program.
 */
unsigned int only_number(int argc, char *argv[], const char *name,
			 unsigned int fallback);

#endif
