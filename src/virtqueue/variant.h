/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * VARIANT(NAME, members of a struct mode) compiles pop(), push(), publish(),
 * pop_buffers() and push_buffers() of a ring once more, for that mode, and
 * makes ops_NAME of them.
 */
#ifndef VIRTQUEUE_VARIANT_H
#define VIRTQUEUE_VARIANT_H

#include "queue.h"

#define VARIANT(name, ...)                                                     \
	static int pop_##name(struct vh_virtqueue *queue,                      \
			      struct vh_chain *chains[], unsigned int max)     \
	{                                                                      \
		return pop(queue, chains, max, (struct mode){__VA_ARGS__});    \
	}                                                                      \
	static void push_##name(struct vh_virtqueue *queue,                    \
				struct vh_chain *const chains[],               \
				const uint32_t written[], unsigned int count)  \
	{                                                                      \
		push(queue, chains, written, count,                            \
		     (struct mode){__VA_ARGS__});                              \
	}                                                                      \
	static int publish_##name(struct vh_virtqueue *queue)                  \
	{                                                                      \
		return publish(queue, (struct mode){__VA_ARGS__});             \
	}                                                                      \
	static int pop_buffers_##name(struct vh_virtqueue *queue,              \
				      struct vh_buffer buffers[],              \
				      unsigned int max)                        \
	{                                                                      \
		return pop_buffers(queue, buffers, max,                        \
				   (struct mode){__VA_ARGS__});                \
	}                                                                      \
	static void push_buffers_##name(                                       \
	    struct vh_virtqueue *queue, const struct vh_buffer buffers[],      \
	    const uint32_t written[], unsigned int count)                      \
	{                                                                      \
		push_buffers(queue, buffers, written, count,                   \
			     (struct mode){__VA_ARGS__});                      \
	}                                                                      \
	static const struct ring_ops ops_##name = {                            \
	    pop_##name,		push_##name,	     publish_##name,           \
	    pop_buffers_##name, push_buffers_##name,                           \
	};

#endif
