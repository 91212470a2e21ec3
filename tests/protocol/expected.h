/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * The message table once more, from the specification, in numbers: none of
 * the library's names is used, so that a wrong one can't hide.
 */
#ifndef TESTS_PROTOCOL_EXPECTED_H
#define TESTS_PROTOCOL_EXPECTED_H

#include <stddef.h>
#include <stdint.h>

#define FRONT 0
#define BACK  1
#define NONE  (-1) /* no protocol feature is needed */

/* How many descriptors come with a request. */
enum fds { ZERO, ONE, UP_TO_ONE, NOFD, PER_REGION, SHMFD };

/* When there is an answer. */
enum answer { ACK, ALWAYS, LOG_SHMFD };

struct expected {
	uint32_t direction;
	uint32_t id;
	const char *name;
	uint32_t min;
	uint32_t max;
	enum fds fds;
	enum answer answer;
	uint32_t reply_min;
	uint32_t reply_max;
	unsigned int reply_fds;
	int protocol_feature;
	uint64_t features;
};

extern const struct expected expected[];
extern const size_t expected_count;

/* NULL if there is no such message. */
const struct expected *expected_row(uint32_t direction, uint32_t id);

#endif
