/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#ifndef VIRTQUEUE_FENCE_H
#define VIRTQUEUE_FENCE_H

/*
 * Orders our earlier stores before our later loads, which acquire and
 * release don't. ThreadSanitizer doesn't model fences, and gcc warns of it:
 * nothing is handed over here, so it has nothing to miss.
 */
static inline void full_fence(void)
{
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
}

#endif
