/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A device for tests: it copies what is readable in a request into what is
 * writable. It can be told to hold its requests back, and to have them
 * completed by threads of its own, in any order.
 */
#ifndef SUPPORT_ECHO_H
#define SUPPORT_ECHO_H

#include <libvhost/device.h>

struct echo;

struct echo_opts {
	uint32_t num_queues;   /* 1 */
	uint32_t workers;      /* 1 */
	bool own_loop;	       /* no thread: the caller dispatches */
	uint32_t max_segments; /* 0: no bound */
	uint32_t helpers;      /* threads that complete requests; at most 4 */
	uint64_t features;     /* those of the rings that a device asks for */
};

#define ECHO_CONFIG_SIZE 16

/* The back-end owns the echo: vh_backend_free() frees it. */
int echo_new(const struct echo_opts *opts, struct echo **ret_echo,
	     struct vh_backend **ret_backend);

/* From now on requests are kept, until echo_release(), which also lets
 * those go that were kept. */
void echo_hold(struct echo *echo);
void echo_release(struct echo *echo);

/* Requests that are kept at present; waits until there are so many. */
unsigned int echo_held(const struct echo *echo);
int echo_wait_held(const struct echo *echo, unsigned int count);

#endif
