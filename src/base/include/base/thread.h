/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

/*
 * A thread that takes none of the program's signals; name has at most 15
 * bytes. 0 or a negative errno.
 */
int vhi_thread_create(pthread_t *thread, const char *name,
		      void *(*run)(void *arg), void *arg);

#endif
