/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Memory that the driver or the peer can change while we look at it. It is
 * touched through these functions only: each is one access that the
 * compiler neither repeats nor tears, and each converts from little-endian.
 */
#ifndef BASE_SHARED_H
#define BASE_SHARED_H

#include <endian.h>
#include <stdint.h>

/* Each is one or two instructions, wherever it stands. */
#define SHARED static inline __attribute__((always_inline))

SHARED uint16_t vhi_load_le16(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

SHARED uint16_t vhi_load_acquire_le16(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

SHARED uint32_t vhi_load_le32(const uint32_t *p)
{
	return le32toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

SHARED uint64_t vhi_load_le64(const uint64_t *p)
{
	return le64toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

SHARED uint64_t vhi_load_acquire_le64(const uint64_t *p)
{
	return le64toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

SHARED void vhi_store_le16(uint16_t *p, uint16_t value)
{
	__atomic_store_n(p, htole16(value), __ATOMIC_RELAXED);
}

SHARED void vhi_store_release_le16(uint16_t *p, uint16_t value)
{
	__atomic_store_n(p, htole16(value), __ATOMIC_RELEASE);
}

SHARED void vhi_store_le32(uint32_t *p, uint32_t value)
{
	__atomic_store_n(p, htole32(value), __ATOMIC_RELAXED);
}

SHARED void vhi_store_le64(uint64_t *p, uint64_t value)
{
	__atomic_store_n(p, htole64(value), __ATOMIC_RELAXED);
}

SHARED void vhi_store_release_le64(uint64_t *p, uint64_t value)
{
	__atomic_store_n(p, htole64(value), __ATOMIC_RELEASE);
}

#endif
