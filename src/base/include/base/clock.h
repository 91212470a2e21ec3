/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Time for deadlines. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Milliseconds since some moment, cut off; nobody sets this clock. */
static inline int64_t vhi_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What is left until then, as poll() wants it; 0: it is over. */
static inline int vhi_ms_until(int64_t deadline)
{
	int64_t left = deadline - vhi_now_ms();

	if (left <= 0)
		return 0;
	return left < INT32_MAX ? (int)left : INT32_MAX;
}

#endif
