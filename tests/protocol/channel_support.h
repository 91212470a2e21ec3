/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/* What the tests of the channel share. */
#ifndef TESTS_PROTOCOL_CHANNEL_SUPPORT_H
#define TESTS_PROTOCOL_CHANNEL_SUPPORT_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <protocol/channel.h>
#include <resources.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* Long enough for any machine; no test waits for its end. */
#define GENEROUS_MS 30000
#define FRAME_MAX   (12 + 2056)

/*
 * What the system calls of the channel do besides their work. Set to zero
 * before each test.
 */
extern struct calls {
	unsigned int sends;
	unsigned int receives;
	unsigned int polls;
	unsigned int callocs;
	size_t calloc_size;	    /* of the last one */
	unsigned int interruptions; /* of each call before it works */
	unsigned int interrupted;
	size_t most;		/* bytes that one send takes, if not 0 */
	unsigned int full_at;	/* the send (from 1) that finds no room */
	unsigned int broken_at; /* the send that fails */
	bool no_memory;
} calls;

struct pair {
	struct vhi_channel *channel;
	int peer;
	unsigned int fds_before; /* open in this process before it all */
};

/* Fixtures: *state is a struct pair. The teardown fails if a descriptor is
 * open that wasn't before. */
int pair_setup(void **state);
int pair_teardown(void **state);

/* A frame of a request with a payload of size bytes: its size. */
size_t make_frame(uint8_t *frame, uint32_t id, uint32_t payload_size);

/* From the peer, with count descriptors, all of them copies of fd. */
void peer_send(int peer, const void *bytes, size_t size, int fd,
	       unsigned int count);
/* By the peer, without waiting: bytes and descriptors. */
size_t peer_receive(int peer, void *bytes, size_t size, int fds[8],
		    unsigned int *fd_count);

void receives_frame(struct vhi_channel *channel, const uint8_t *frame,
		    size_t size, unsigned int fds);
void receives_nothing(struct vhi_channel *channel);
void receive_fails(struct vhi_channel *channel, int error, uint32_t code,
		   const char *words);

extern const struct CMUnitTest send_tests[];
extern const size_t send_test_count;
extern const struct CMUnitTest fd_tests[];
extern const size_t fd_test_count;

#endif
