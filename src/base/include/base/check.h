/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* Arithmetic that can't wrap, and the sizes of options. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <errno.h>
#include <libvhost/base.h>
#include <string.h>

#define VHI_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define VHI_CONTAINER_OF(ptr, type, member)                                    \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline bool vhi_is_power_of_2(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* [start, start + size) is empty or reaches beyond 2^64 - 1. */
static inline bool vhi_range_wraps(uint64_t start, uint64_t size)
{
	return size == 0 || size - 1 > UINT64_MAX - start;
}

/* The size of a range that isn't empty, or what of it is below 2^64. */
static inline uint64_t vhi_range_clip(uint64_t start, uint64_t size)
{
	return vhi_range_wraps(start, size) ? 0 - start : size;
}

/* Both ranges are known not to be empty and not to wrap. */
static inline bool vhi_ranges_overlap(uint64_t a, uint64_t a_size, uint64_t b,
				      uint64_t b_size)
{
	return a < b ? b - a < a_size : a - b < b_size;
}

/* [start, start + size) lies inside [base, base + length). */
static inline bool vhi_range_inside(uint64_t start, uint64_t size,
				    uint64_t base, uint64_t length)
{
	return start >= base && start - base < length &&
	       size <= length - (start - base);
}

/*
 * Copies a caller's options of *theirs bytes (its first member) into ours.
 * -EINVAL if the size can't be, -E2BIG if a member that we don't know is set.
 */
static inline int vhi_opts_copy(void *ours, size_t our_size, const void *theirs)
{
	size_t size;

	if (!theirs)
		return -EINVAL;
	memcpy(&size, theirs, sizeof(size));
	if (size < sizeof(size) || size > 65536)
		return -EINVAL;
	for (size_t i = our_size; i < size; i++)
		if (((const unsigned char *)theirs)[i])
			return -E2BIG;
	memset(ours, 0, our_size);
	memcpy(ours, theirs, size < our_size ? size : our_size);
	return 0;
}

#endif
