/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * Driver and device of one ring on two threads, and what they share: see
 * stress.c.
 */
#ifndef TESTS_VIRTQUEUE_STRESS_H
#define TESTS_VIRTQUEUE_STRESS_H

#include <libvhost/driver.h>
#include <libvhost/virtqueue.h>
#include <stdbool.h>
#include <stdint.h>

#define STRESS_MAX_NUM	 256
#define STRESS_MEMORY_AT UINT64_C(0x10000000) /* its guest address */
#define STRESS_MAX_DATA	 200		      /* bytes behind a header */
#define STRESS_MAX_ROOM	 200		      /* bytes for an answer */
#define STRESS_BUFFERS	 5		      /* at most, of a request */

/*
 * A request begins with this, followed by bytes that number decides. One that
 * is nothing but room has neither.
 */
struct stress_header {
	uint64_t number; /* counted from 0 in the order of the ring */
	uint32_t data;	 /* bytes that follow */
	uint32_t room;	 /* bytes for the answer */
};

struct stress_random {
	uint64_t state;
};

struct stress {
	uint64_t features;
	uint32_t num;
	bool remote;	/* a third thread completes some requests */
	uint64_t total; /* requests to be made */
	struct vh_memory *memory;
	char *host; /* where it lies */
	uint64_t size;
	struct vh_driver_queue *driver;
	struct vh_virtqueue *device;
	int kick; /* eventfds: the device sleeps on this one, */
	int call; /* the driver on this one */
	uint64_t slept[2];
	uint64_t at_once; /* requests that were buffers, done at once */
	bool failed;	  /* atomic: nobody goes on */
};

/* The two threads. What goes wrong they say on stderr, and set failed. */
void *stress_drive(void *stress);
void *stress_serve(void *stress);

/* The bytes of the requests and answers, and of room not written to. */
#define STRESS_SALT_REQUEST UINT64_C(0x5851f42d4c957f2d)
#define STRESS_SALT_ANSWER  UINT64_C(0x14057b7ef767814f)
#define STRESS_UNTOUCHED    0xa5

uint8_t stress_byte(uint64_t number, uint64_t salt, unsigned int at);

/* How much of its room the answer to a request fills. */
uint32_t stress_answer_size(const struct stress_header *header);

/* A number below limit. */
uint32_t stress_below(struct stress_random *random, uint32_t limit);

/* Lets the other side come first, now and then. */
void stress_pause(struct stress_random *random);

bool stress_failed(const struct stress *stress);

/* Says why and wakes everybody up. Returns false. */
bool stress_fail(struct stress *stress, const char *format, ...)
    VH_PRINTF(2, 3);

void stress_wake(int fd);

/* Sleeps until fd is woken; fails if nothing comes for a very long time. */
void stress_sleep(struct stress *stress, int fd, const char *who);

#endif
